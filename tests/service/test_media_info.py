"""What MediaInfo says of a file, node by node."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.service.results import media_info
from tests.service.media import SAMPLE, run


def test_media_info_is_what_ffprobe_would_say(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    picture = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=1"]
    audio = ["-f", "lavfi", "-i", "sine=440:d=1:r=48000"]
    tags = "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
    run(*picture, *audio, "-vf", f"format=yuv420p,{tags}", "-c:v", "libx264", "-ac", "2", "-shortest", str(path))
    info = media_info(path).plain()
    size, container, video = path.stat().st_size, info["format"], info["stream"]["video"][0]
    assert container == {
        "num_stream": 2,
        "num_program": 0,
        "format_name": "mov,mp4,m4a,3gp,3g2,mj2",
        "format_long_name": "QuickTime / MOV",
        "start_time": 0,
        "duration": 1,
        "bitrate": size * 8 / 1000,
        "size": size,
    }
    assert {name: value for name, value in video.items() if name != "bitrate"} == {
        "index": 0,
        "codec_name": "h264",
        "codec_long_name": "H.264 / AVC / MPEG-4 AVC / MPEG-4 part 10",
        "codec_time_base": "1/12800",
        "codec_tag_string": "avc1",
        "codec_tag": "0x31637661",
        "color_primaries": "bt709",
        "color_range": "tv",
        "color_transfer": "bt709",
        "profile": "High",
        "width": 320,
        "height": 180,
        "has_b_frame": 2,
        "sar": "1:1",
        "dar": "16:9",
        "pix_format": "yuv420p",
        "field_order": "progressive",
        "level": 12,
        "fps": 25,
        "avg_fps": "25/1",
        "timebase": "1/12800",
        "start_time": 0,
        "duration": 1,
        "num_frames": 25,
        "language": "und",
        "rotation": 0,
    }
    (heard,) = info["stream"]["audio"]
    assert heard["bitrate"] + video["bitrate"] == pytest.approx(container["bitrate"], rel=0.2)
    assert {name: value for name, value in heard.items() if name != "bitrate"} == {
        "index": 1,
        "codec_name": "aac",
        "codec_long_name": "AAC (Advanced Audio Coding)",
        "codec_time_base": "1/48000",
        "codec_tag_string": "mp4a",
        "codec_tag": "0x6134706d",
        "sample_fmt": "fltp",
        "sample_rate": 48000,
        "channel": 2,
        "channel_layout": "stereo",
        "timebase": "1/48000",
        "start_time": 0,
        "duration": 1,
        "language": "und",
    }


def test_numbers_have_six_decimals_on_the_wire() -> None:
    info = media_info(SAMPLE)
    assert info.format is not None
    assert [str(info.format.duration), str(info.format.bitrate)] == ["5.312000", "347.871000"]
