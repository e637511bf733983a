"""Every node of MediaInfo and MediaResult, reference/video-synthesis.md §3.4 and §3.5."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reconciler.api import xml
from reconciler.api.media import (
    AudioStream,
    Format,
    Md5Info,
    MediaInfo,
    MediaResult,
    OutputFile,
    Stream,
    SubtitleStream,
    VideoStream,
)
from reconciler.api.node import Node

CASES: dict[type[Node], tuple[str, dict[str, Any]]] = {
    Format: (
        (
            "<NumStream>2</NumStream><NumProgram>0</NumProgram><FormatName>mov,mp4,m4a,3gp,3g2,mj2</FormatName>"
            "<FormatLongName>QuickTime / MOV</FormatLongName><StartTime>0.000000</StartTime><Duration>13.654000</Duration>"
            "<Bitrate>834.736000</Bitrate><Size>1424696</Size>"
        ),
        {
            "num_stream": 2,
            "num_program": 0,
            "format_name": "mov,mp4,m4a,3gp,3g2,mj2",
            "format_long_name": "QuickTime / MOV",
            "start_time": 0,
            "duration": 13.654,
            "bitrate": 834.736,
            "size": 1424696,
        },
    ),
    VideoStream: (
        (
            "<Index>0</Index><CodecName>h264</CodecName><CodecLongName>H.264 / AVC</CodecLongName>"
            "<CodecTimeBase>1/12800</CodecTimeBase><CodecTagString>avc1</CodecTagString><CodecTag>0x31637661</CodecTag>"
            "<ColorPrimaries>bt709</ColorPrimaries><ColorRange>tv</ColorRange><ColorTransfer>unknown</ColorTransfer>"
            "<Profile>High</Profile><Width>1280</Width><Height>720</Height><HasBFrame>2</HasBFrame><RefFrames>1</RefFrames>"
            "<Sar>1:1</Sar><Dar>16:9</Dar><PixFormat>yuv420p</PixFormat><FieldOrder>progressive</FieldOrder>"
            "<Level>31</Level><Fps>25.000000</Fps><AvgFps>25/1</AvgFps><Timebase>1/12800</Timebase>"
            "<StartTime>0.000000</StartTime><Duration>13.640000</Duration><Bitrate>700.100000</Bitrate>"
            "<NumFrames>341</NumFrames><Language>und</Language><Rotation>0.000000</Rotation>"
        ),
        {
            "index": 0,
            "codec_name": "h264",
            "codec_long_name": "H.264 / AVC",
            "codec_time_base": "1/12800",
            "codec_tag_string": "avc1",
            "codec_tag": "0x31637661",
            "color_primaries": "bt709",
            "color_range": "tv",
            "color_transfer": "unknown",
            "profile": "High",
            "width": 1280,
            "height": 720,
            "has_b_frame": 2,
            "ref_frames": 1,
            "sar": "1:1",
            "dar": "16:9",
            "pix_format": "yuv420p",
            "field_order": "progressive",
            "level": 31,
            "fps": 25,
            "avg_fps": "25/1",
            "timebase": "1/12800",
            "start_time": 0,
            "duration": 13.64,
            "bitrate": 700.1,
            "num_frames": 341,
            "language": "und",
            "rotation": 0,
        },
    ),
    AudioStream: (
        (
            "<Index>1</Index><CodecName>aac</CodecName><CodecLongName>AAC</CodecLongName>"
            "<CodecTimeBase>1/44100</CodecTimeBase><CodecTagString>mp4a</CodecTagString><CodecTag>0x6134706d</CodecTag>"
            "<SampleFmt>fltp</SampleFmt><SampleRate>44100</SampleRate><Channel>2</Channel>"
            "<ChannelLayout>stereo</ChannelLayout><Timebase>1/44100</Timebase><StartTime>0.000000</StartTime>"
            "<Duration>13.654000</Duration><Bitrate>128.000000</Bitrate><Language>und</Language>"
        ),
        {
            "index": 1,
            "codec_name": "aac",
            "codec_long_name": "AAC",
            "codec_time_base": "1/44100",
            "codec_tag_string": "mp4a",
            "codec_tag": "0x6134706d",
            "sample_fmt": "fltp",
            "sample_rate": 44100,
            "channel": 2,
            "channel_layout": "stereo",
            "timebase": "1/44100",
            "start_time": 0,
            "duration": 13.654,
            "bitrate": 128,
            "language": "und",
        },
    ),
    SubtitleStream: ("<Index>2</Index><Language>eng</Language>", {"index": 2, "language": "eng"}),
    Stream: (
        (
            "<Video><Index>0</Index></Video><Video><Index>3</Index></Video><Audio><Index>1</Index></Audio>"
            "<Subtitle><Index>2</Index></Subtitle>"
        ),
        {"video": [{"index": 0}, {"index": 3}], "audio": [{"index": 1}], "subtitle": [{"index": 2}]},
    ),
    MediaInfo: (
        "<Format><NumStream>1</NumStream></Format><Stream><Video><Index>0</Index></Video></Stream>",
        {"format": {"num_stream": 1}, "stream": {"video": [{"index": 0}]}},
    ),
    Md5Info: (
        "<ObjectName>out/x.mp4</ObjectName><Md5>852883012a6ba726e6ed8d9b984edfdf</Md5>",
        {"object_name": "out/x.mp4", "md5": "852883012a6ba726e6ed8d9b984edfdf"},
    ),
    OutputFile: (
        (
            "<Bucket>clips-1250000000</Bucket><Region>ap-chongqing</Region><ObjectName>out/x.m3u8</ObjectName>"
            "<ObjectName>out/x0.ts</ObjectName><ObjectPrefix>out/x</ObjectPrefix><Md5Info><Md5>00</Md5></Md5Info>"
            "<Md5Info><Md5>01</Md5></Md5Info>"
        ),
        {
            "bucket": "clips-1250000000",
            "region": "ap-chongqing",
            "object_name": ["out/x.m3u8", "out/x0.ts"],
            "object_prefix": "out/x",
            "md5_info": [{"md5": "00"}, {"md5": "01"}],
        },
    ),
    MediaResult: (
        "<OutputFile><Bucket>clips-1250000000</Bucket></OutputFile>",
        {"output_file": {"bucket": "clips-1250000000"}},
    ),
}


@pytest.mark.parametrize("model", CASES, ids=lambda model: model.__name__)
def test_node(model: type[Node], check_node: Callable[..., None]) -> None:
    check_node(model, *CASES[model])


def test_an_empty_subtitle_is_none() -> None:
    stream = xml.read(Stream, b"<Stream><Audio><Index>1</Index></Audio><Subtitle/></Stream>", "Stream")
    assert stream.subtitle is None
