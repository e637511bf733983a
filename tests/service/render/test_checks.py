"""The switches that compare the result with its sources."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from reconciler.api.transcode import Transcode
from reconciler.service.probe import Probe
from reconciler.service.render import RenderFailed
from reconciler.service.render.checks import checked
from tests.service.media import job
from tests.service.render.probes import command, option, song, source, still


def asked(switches: dict[str, Any], video: dict[str, Any], audio: dict[str, Any] | None = None) -> Transcode:
    return Transcode.model_validate({"video": video, "audio": audio, "trans_config": switches})


FPS: dict[str, Any] = {"is_check_video_fps": True}
VIDEO: dict[str, Any] = {"is_check_video_bitrate": True}
AUDIO: dict[str, Any] = {"is_check_audio_bitrate": True}


@pytest.mark.parametrize(
    ("switches", "fps", "sources", "wanted"),
    [
        pytest.param(FPS, 30, [source(fps=25)], None, id="above all: theirs"),
        pytest.param(FPS | {"video_fps_adj_method": 0}, 30, [source(fps=25)], None, id="said to take theirs"),
        pytest.param(FPS, 30, [source(fps=25), source(fps=30)], 30, id="as high as one of them"),
        pytest.param(FPS | {"video_fps_adj_method": 1}, 20, [source(fps=25)], 20, id="below: nothing to fail"),
        pytest.param(FPS, 30, [still(), still()], 30, id="stills have no rate"),
        pytest.param(FPS, 30, [still(fps=50), source(fps=25)], None, id="a still does not count"),
        pytest.param(FPS, Decimal("29.97"), [source(fps=Fraction(30000, 1001))], Decimal("29.97"), id="by exact rates"),
        pytest.param({}, 30, [source(fps=25)], 30, id="not compared"),
        pytest.param({"video_fps_adj_method": 1}, 30, [source(fps=25)], 30, id="the method alone is nothing"),
        pytest.param(FPS, None, [source(fps=25)], None, id="nothing asked"),
    ],
)
def test_frame_rate(switches: dict[str, Any], fps: Any, sources: list[Probe], wanted: Any) -> None:
    video = checked(asked(switches, {"fps": fps}), sources, []).video
    assert video is not None
    assert video.fps == wanted


SLOW, FAST = source(bitrate=800_000), source(bitrate=2_500_999)


@pytest.mark.parametrize(
    ("switches", "video", "sources", "wanted"),
    [
        pytest.param(VIDEO, {"bitrate": 3000}, [SLOW, FAST], 2500, id="above all: that of the highest"),
        pytest.param(VIDEO, {"bitrate": 2500}, [SLOW, FAST], 2500, id="as high"),
        pytest.param(VIDEO, {"bitrate": 500}, [SLOW, FAST], 500, id="below"),
        pytest.param(VIDEO, {"bitrate": 3000}, [source()], 3000, id="a source that does not tell is not compared"),
        pytest.param(VIDEO, {"bitrate": 3000}, [source(), SLOW], 800, id="one that tells is"),
        pytest.param(VIDEO, {"bitrate": 3000}, [still(bitrate=1000)], 3000, id="stills have none"),
        pytest.param(VIDEO, {"bitrate": "auto"}, [SLOW], "auto", id="auto is no number"),
        pytest.param(VIDEO, {"bitrate": 3000, "crf": 20}, [SLOW], 3000, id="crf beats it, so nothing acts"),
        pytest.param(
            VIDEO | {"video_bitrate_adj_method": 1}, {"bitrate": 3000, "crf": 20}, [SLOW], 3000, id="and nothing fails"
        ),
        pytest.param({}, {"bitrate": 3000}, [SLOW], 3000, id="not compared"),
    ],
)
def test_video_bitrate(switches: dict[str, Any], video: dict[str, Any], sources: list[Probe], wanted: Any) -> None:
    found = checked(asked(switches, video), sources, []).video
    assert found is not None
    assert found.bitrate == wanted


@pytest.mark.parametrize(
    ("switches", "sources", "wanted"),
    [
        pytest.param(AUDIO, [source(sound=2, kbps=96)], 96, id="above: theirs"),
        pytest.param(AUDIO, [source(sound=2, kbps=96), source(sound=2, kbps=192)], 128, id="below the highest"),
        pytest.param(AUDIO, [source(sound=2)], 128, id="a source that does not tell"),
        pytest.param(AUDIO, [source()], 128, id="no sound"),
        pytest.param(AUDIO, [], 128, id="nothing is heard"),
        pytest.param({}, [song(kbps=96)], 128, id="not compared"),
    ],
)
def test_audio_bitrate(switches: dict[str, Any], sources: list[Probe], wanted: int) -> None:
    audio = checked(asked(switches, {}, {"bitrate": 128}), [source(bitrate=1)], sources).audio
    assert audio is not None
    assert audio.bitrate == wanted


@pytest.mark.parametrize(
    ("switches", "video", "audio", "message"),
    [
        (FPS | {"video_fps_adj_method": 1}, {"fps": Decimal("29.97")}, {}, "transcode.video.fps is 29.97, above 25"),
        (
            VIDEO | {"video_bitrate_adj_method": 1},
            {"bitrate": 900},
            {},
            "transcode.video.bitrate is 900 kbps, above 800 kbps",
        ),
        (
            AUDIO | {"audio_bitrate_adj_method": 1},
            {},
            {"bitrate": 128},
            "transcode.audio.bitrate is 128 kbps, above 96 kbps",
        ),
    ],
)
def test_a_job_may_ask_to_fail_instead(
    switches: dict[str, Any], video: dict[str, Any], audio: dict[str, Any], message: str
) -> None:
    seen = source(sound=2, kbps=96, bitrate=800_000)
    with pytest.raises(RenderFailed) as failure:
        checked(asked(switches, video, audio), [seen], [seen])
    assert failure.value.code == "InvalidArgument"
    assert str(failure.value) == f"{message}, the highest of the sources; trans_config says to fail then"


def test_no_sound_is_nothing_to_compare() -> None:
    transcode = asked(AUDIO, {})
    assert checked(transcode, [source()], []) == transcode


def test_what_acts_is_what_the_encoder_is_told() -> None:
    operation = job(
        "a.mp4",
        ("b.mp4", {"x": 300}),
        keep=True,
        video={"fps": 50, "bitrate": 3000},
        audio={"bitrate": 320},
        trans_config=FPS | VIDEO | AUDIO,
    )
    unseen = source(sound=2, kbps=192, bitrate=9_000_000)  # but it counts: where it is placed is no matter of rates
    arguments = command(operation, source(sound=2, kbps=96, bitrate=800_000), unseen)
    assert [option(arguments, name) for name in ("-b:v", "-b:a", "-r")] == ["3000k", "192k", "25/1"]
