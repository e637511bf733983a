"""Nothing is silently ignored: every node of a job acts as it promises, or is refused, or has no effect by definition.

The walk is over the models, so a node that is added fails here until it is said what it does. Then every documented
container, codec and value is rendered, and every job a second time, to the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

import pytest

from reconciler.api import codecs, xml
from reconciler.api.messages import JobRequest, Operation
from reconciler.api.shape import tag_path
from tests.api.cases import Keys
from tests.service.harness import CI, Caller, lasting
from tests.service.media import Picture
from tests.service.nodes import (
    Made,
    Measure,
    Studio,
    box,
    colours,
    course,
    decoded,
    failure,
    faintly,
    fields,
    files,
    films,
    form,
    grain,
    heard,
    ink,
    key_frames,
    keys,
    kilobits,
    label,
    leaves,
    level,
    listed,
    marked,
    matrix,
    moments,
    placed,
    references,
    segments,
    shown,
    size,
    sound_rate,
    sounding,
    starts,
    title,
    told,
    tracks,
    url,
)

Changes = Mapping[str, object]
NOTHING: Final[Changes] = {}


@dataclass(frozen=True)
class Acts:
    """A node that acts: what is found without the value and with it, in the plain job with some changes."""

    value: object
    measure: Measure
    before: Any
    after: Any
    base: Changes = field(default_factory=dict)


@dataclass(frozen=True)
class Refused:
    """A node whose value is refused, by its own name or by that of the node ``named``, with these words."""

    value: object
    words: str
    base: Changes = field(default_factory=dict)
    named: str | None = None


@dataclass(frozen=True)
class Nothing:
    """A node that changes nothing, and the sentence of the documents that says so."""

    value: object
    because: str
    base: Changes = field(default_factory=dict)


def near(value: float, share: float = 0.25) -> Any:
    """About a value."""
    return pytest.approx(value, rel=share)


def between(low: float, high: float) -> Any:
    """Any number in a range."""
    return pytest.approx((low + high) / 2, abs=(high - low) / 2)


def source(name: str, **place: int) -> Changes:
    """One source instead of the red film."""
    return {"video_synthesis.splice_info": [{"url": url(name), **place}]}


FULL: Final = source("red", width=256, height=192)
GRAIN: Final = {**source("grain", width=256, height=192), "transcode.audio": None}
HLS: Final = {**source("long"), "transcode.container": {"format": "hls"}}
LABEL: Final = {"transcode.trans_config": {"aigc_metadata": {"produce_id": "7"}}}


def config(**switches: object) -> Changes:
    return {"transcode.trans_config": switches}


TRANSCODE: Final[dict[str, Acts | Refused | Nothing]] = {
    "time_interval.start": Acts(0.2, course, ["red"] * 5 + ["blue"] * 5, ["blue"] * 5, source("turning")),
    "time_interval.duration": Acts(0.2, course, ["red"] * 10, ["red"] * 5),
    "container.format": Acts("mkv", form, "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"),
    "container.clip_config.duration": Acts(0.4, segments, [1.0], [0.4, 0.4, 0.2], HLS),
    "video.codec": Acts("H.265", told("codec_name"), ("h264",), ("hevc",), {"transcode.video.preset": None}),
    "video.width": Acts(320, size, (256, 192), (320, 192)),
    "video.height": Acts(320, size, (256, 192), (256, 320)),
    "video.fps": Acts(10, told("avg_fps", "num_frames"), ("25/1", 10), ("10/1", 4)),
    "video.remove": Refused(True, "drops the composed picture"),
    "video.profile": Acts("main", told("profile"), ("High",), ("Main",)),
    "video.bitrate": Acts(300, kilobits(2), between(1500, 90000), near(600), GRAIN),
    "video.crf": Acts(51, grain, between(10, 40), between(0, 8), {**GRAIN, "transcode.video.bitrate": 9000}),
    "video.gop": Acts(5, key_frames, [0], [0, 5]),
    "video.preset": Acts("slow", references, "ref=1 ", "ref=5 "),
    "video.bufsize": Acts(
        4000,
        kilobits(1),
        between(200, 1450),
        between(2000, 4550),
        {**GRAIN, "transcode.video.maxrate": 500, "transcode.video.bufsize": 1000},
    ),
    "video.maxrate": Acts(500, kilobits(1, start=1), between(1500, 90000), between(50, 1000), GRAIN),
    "video.pixfmt": Acts("yuv444p", told("pix_format"), ("yuv420p",), ("yuv444p",)),
    "video.long_short_mode": Refused(True, "no longer side"),
    "video.rotate": Acts(
        90,
        lambda made: (size(made), colours((62, 10), (66, 10))(made)),
        ((256, 192), ("red", "red")),
        ((192, 256), ("black", "red")),
    ),
    "video.roi": Refused("high", "regions of interest"),
    "video.crop": Acts(
        "64:64:96:96",
        lambda made: (size(made), colours((30, 30), (34, 30))(made)),
        ((256, 192), ("red", "red")),
        ((64, 64), ("red", "black")),
    ),
    "video.interlaced": Acts(
        True, fields, ("progressive", [False] * 10), ("tt", [True] * 10), {**source("fast"), "transcode.video.fps": 25}
    ),
    "video.hls_ts_time": Acts(0.4, segments, [1.0], [0.4, 0.4, 0.2], HLS),
    "video.scan_mode": Refused("interlaced", "not documented"),
    "video.color_param.color_range": Acts("pc", told("color_range"), ("tv",), ("pc",)),
    "video.color_param.color_space": Acts("smpte170m", matrix, ("1", True), ("6", True)),
    "video.color_param.color_trc": Acts("smpte170m", told("color_transfer"), ("bt709",), ("smpte170m",)),
    "video.color_param.color_primaries": Acts("smpte170m", told("color_primaries"), ("bt709",), ("smpte170m",)),
    "video.std_ext_info": Refused("single-pps=1", "not documented"),
    "audio.codec": Acts("mp3", sounding("codec_name"), [("aac",)], [("mp3",)]),
    "audio.samplerate": Acts(22050, sounding("sample_rate"), [(44100,)], [(22050,)]),
    "audio.bitrate": Acts(
        32, sound_rate, between(90, 200), near(32), {**source("sample"), "transcode.time_interval": {"duration": 1}}
    ),
    "audio.channels": Acts(1, sounding("channel", "channel_layout"), [(2, "stereo")], [(1, "mono")]),
    "audio.remove": Acts(True, sounding("channel"), [(2,)], []),
    "audio.keep_two_tracks": Acts(True, tracks, [[440]], [[440], [1200]], source("two.mp4")),
    "audio.switch_track": Acts(True, tracks, [[440]], [[1200]], source("two.mp4")),
    "audio.sample_format": Acts("s16p", faintly, [440], [], {**source("faint"), "transcode.audio": {"codec": "mp3"}}),
    "trans_config.adj_dar_method": Refused("crop", "nothing to crop or pad"),
    "trans_config.is_check_reso": Refused(True, "not compared"),
    "trans_config.reso_adj_method": Nothing(1, "only if IsCheckReso=true"),
    "trans_config.is_check_video_bitrate": Acts(
        True, kilobits(1), between(450, 3000), between(50, 330), {**source("small"), "transcode.video.bitrate": 3000}
    ),
    "trans_config.video_bitrate_adj_method": Acts(
        1,
        failure,
        "",
        "transcode.video.bitrate",
        {**source("small"), "transcode.video.bitrate": 3000, **config(is_check_video_bitrate=True)},
    ),
    "trans_config.is_check_audio_bitrate": Acts(
        True, sound_rate, between(120, 220), between(20, 70), {**source("thin"), "transcode.audio.bitrate": 192}
    ),
    "trans_config.audio_bitrate_adj_method": Acts(
        1,
        failure,
        "",
        "transcode.audio.bitrate",
        {**source("thin"), "transcode.audio.bitrate": 192, **config(is_check_audio_bitrate=True)},
    ),
    "trans_config.is_check_video_fps": Acts(True, told("avg_fps"), ("50/1",), ("25/1",), {"transcode.video.fps": 50}),
    "trans_config.video_fps_adj_method": Acts(
        1, failure, "", "transcode.video.fps", {"transcode.video.fps": 50, **config(is_check_video_fps=True)}
    ),
    "trans_config.delete_metadata": Acts(True, title, "a red film", None, source("titled")),
    "trans_config.is_hdr2_sdr": Nothing(
        True, "HDR is always converted to SDR, and the job's record says so", source("hdr")
    ),
    "trans_config.transcode_index": Refused(1, "its own best stream"),
    "trans_config.hls_encrypt.is_hls_encrypt": Refused(True, "not encrypted", HLS),
    "trans_config.hls_encrypt.uri_key": Nothing("key", "used if true"),
    "trans_config.dash_encrypt.is_encrypt": Refused(True, "not encrypted", {"transcode.container": {"format": "dash"}}),
    "trans_config.dash_encrypt.uri_key": Nothing("key", "used if true"),
    "trans_config.aigc_metadata.label": Acts("1", label("Label"), None, "1", LABEL),
    "trans_config.aigc_metadata.content_producer": Acts("we", label("ContentProducer"), None, "we", LABEL),
    "trans_config.aigc_metadata.produce_id": Acts("8", label("ProduceID"), None, "8"),
    "trans_config.aigc_metadata.reserved_code1": Acts("YQ==", label("ReservedCode1"), None, "YQ==", LABEL),
    "trans_config.aigc_metadata.reserved_code2": Acts("YQ==", label("ReservedCode2"), None, "YQ==", LABEL),
    "trans_config.aigc_metadata.content_propagator": Acts("they", label("ContentPropagator"), None, "they", LABEL),
    "trans_config.aigc_metadata.propagate_id": Acts("9", label("PropagateID"), None, "9", LABEL),
}


def mixed(where: str) -> dict[str, Acts]:
    """What the nodes of one sound that is mixed in do."""

    def base(name: str = "song.wav", **effects: object) -> Changes:
        mix: Keys = {"audio_source": url(name), **({"effect_config": effects} if effects else {})}
        return {**source("long"), f"transcode.{where}": [mix] if where.endswith("array") else mix}

    def fade(**effects: object) -> Changes:
        return base("song.wav", **effects)

    start, end, change = level(2500, 0.1), level(2500, 0.85), level(1200, 0.2)
    nodes = {
        "audio_source": Acts(url("note.wav"), heard(440, 1200, 2500), [440, 2500], [440, 1200], base()),
        "mix_mode": Acts("Once", heard(1200, start=0.6), [1200], [], base("note.wav")),
        "replace": Acts(True, heard(440, 2500), [440, 2500], [2500], base()),
        "effect_config.enable_start_fadein": Acts(True, start, 14, between(0, 7), fade(start_fadein_time=0.6)),
        "effect_config.start_fadein_time": Acts(
            0.6, start, 14, between(0, 7), fade(enable_start_fadein=True, start_fadein_time=0.05)
        ),
        "effect_config.enable_end_fadeout": Acts(True, end, 14, between(0, 7), fade(end_fadeout_time=0.6)),
        "effect_config.end_fadeout_time": Acts(
            0.6, end, 14, between(0, 7), fade(enable_end_fadeout=True, end_fadeout_time=0.05)
        ),
        "effect_config.enable_bgm_fade": Acts(
            True, change, between(12, 15), between(0, 8), base("note.wav", bgm_fade_time=0.15)
        ),
        "effect_config.bgm_fade_time": Acts(
            0.15, change, between(12, 15), between(0, 8), base("note.wav", enable_bgm_fade=True, bgm_fade_time=0.01)
        ),
    }
    return {f"{where}.{name}": case for name, case in nodes.items()}


IMAGE: Final[Keys] = {"url": url("logo.png"), "mode": "Original", "transparency": 100}
TEXT: Final[Keys] = {
    "text": "demo",
    "font_size": 40,
    "font_type": "arial.ttf",
    "font_color": "0x00ff00",
    "transparency": 100,
}
MARK: Final[Keys] = {"pos": "TopLeft", "loc_mode": "Absolute", "dx": 0, "dy": 0}


def image(*, film: Changes = FULL, mark: Keys | None = None, **picture: object) -> Changes:
    """A red picture with a green one on it, 32×16."""
    return {**film, "watermark": [{**MARK, "type": "Image", "image": {**IMAGE, **picture}, **(mark or {})}]}


def text(**letters: object) -> Changes:
    """A red picture with a green text on it."""
    return {**FULL, "watermark": [{**MARK, "type": "Text", "text": {**TEXT, **letters}}]}


def slide(**speeds: object) -> Changes:
    """A picture that moves over a red film of two seconds, five frames a second."""
    return image(film=source("slow", width=256, height=192), mark={"slide_config": speeds})


AT_THE_EDGE: Final = (0, 0, 32, 16)
BOTH: Final = {**FULL, "watermark": [{**MARK, "type": "Text", "text": {**TEXT, "text": "i"}, "image": IMAGE}]}

WATERMARK: Final[dict[str, Acts | Refused | Nothing]] = {
    "type": Acts("Image", box(), (between(0, 8), between(0, 16), between(4, 14), between(30, 50)), AT_THE_EDGE, BOTH),
    "pos": Acts("BottomRight", box(), AT_THE_EDGE, (224, 176, 256, 192), image()),
    "loc_mode": Acts("Relativity", box(), (50, 0, 82, 16), (128, 0, 160, 16), image(mark={"dx": 50})),
    "dx": Acts(20, box(), AT_THE_EDGE, (20, 0, 52, 16), image()),
    "dy": Acts(20, box(), AT_THE_EDGE, (0, 20, 32, 36), image()),
    "start_time": Acts(0.2, marked, list(range(10)), [5, 6, 7, 8, 9], image()),
    "end_time": Acts(0.2, marked, list(range(10)), [0, 1, 2, 3, 4], image()),
    "slide_config.slide_mode": Acts(
        "ScrollFromLeft", box(9), AT_THE_EDGE, (between(13, 15), 0, between(45, 47), 16), slide(x_slide_speed=10)
    ),
    "slide_config.x_slide_speed": Acts(
        10,
        box(9),
        (0, 0, between(22, 24), 16),
        (between(13, 15), 0, between(45, 47), 16),
        slide(slide_mode="ScrollFromLeft", x_slide_speed=5),
    ),
    "slide_config.y_slide_speed": Acts(
        10,
        box(9),
        (0, 0, between(22, 24), 16),
        (0, between(33, 36), between(22, 24), between(49, 52)),
        slide(slide_mode="ScrollFromLeft", x_slide_speed=5),
    ),
    "image.url": Acts(url("lime"), box(), AT_THE_EDGE, (0, 0, 128, 128), image()),
    "image.mode": Acts("Fixed", box(), (0, 0, 128, 50), (0, 0, 50, 26), image(mode="Proportion", width=50, height=26)),
    "image.width": Acts(64, box(), AT_THE_EDGE, (0, 0, 64, 32), image(mode="Fixed")),
    "image.height": Acts(64, box(), AT_THE_EDGE, (0, 0, 128, 64), image(mode="Fixed")),
    "image.transparency": Acts(50, colours((10, 10)), ("lime",), ("olive",), image()),
    "image.background": Acts(
        True,
        colours((10, 10), (140, 20)),
        ("lime", "lime"),
        ("red", "lime"),
        image(film=source("red"), mode="Fixed", width=200, height=100),
    ),
    "text.text": Acts(
        "demodemo",
        box(),
        (between(0, 8), between(4, 20), between(80, 120), between(30, 50)),
        (between(0, 8), between(4, 20), between(160, 240), between(30, 50)),
        text(),
    ),
    "text.font_size": Acts(20, ink, between(500, 2500), between(20, 200), text()),
    "text.font_type": Acts("ariblk.ttf", ink, between(500, 1000), between(1001, 3000), text()),
    "text.font_color": Acts("0xff0000", ink, between(500, 2500), 0, text()),
    "text.transparency": Acts(70, ink, between(500, 2500), between(50, 450), text()),
}

DIGITAL: Final[Keys] = {"message": "owner", "type": "Text", "version": "V1", "ignore_error": False}
NOT_EMBEDDED: Final = "not embedded here"
GOES_ON: Final = {"digital_watermark": {**DIGITAL, "ignore_error": True}}

NODES: Final[dict[str, Acts | Refused | Nothing]] = {
    "video_synthesis.keep_audio_track": Acts(
        True, heard(440), [], [440], {"video_synthesis": {"splice_info": [{"url": url("red")}]}}
    ),
    "video_synthesis.splice_info.url": Acts(url("blue"), course, ["red"] * 10, ["blue"] * 10),
    "video_synthesis.splice_info.x": Acts(100, colours((90, 10), (220, 10)), ("red", "black"), ("black", "red")),
    "video_synthesis.splice_info.y": Acts(60, colours((10, 50), (10, 180)), ("red", "black"), ("black", "red")),
    "video_synthesis.splice_info.width": Acts(200, colours((190, 10), (190, 140)), ("black",) * 2, ("red", "black")),
    "video_synthesis.splice_info.height": Acts(180, colours((10, 170), (140, 170)), ("black",) * 2, ("red", "black")),
    "video_synthesis.splice_info.name": Nothing("left", "custom stream name"),
    **{f"transcode.{path}": case for path, case in TRANSCODE.items()},
    **{f"transcode.{path}": case for where in ("audio_mix", "audio_mix_array") for path, case in mixed(where).items()},
    **{f"watermark.{path}": case for path, case in WATERMARK.items()},
    "digital_watermark.message": Refused("owner-2", NOT_EMBEDDED, {"digital_watermark": DIGITAL}, "digital_watermark"),
    "digital_watermark.type": Refused("Text", NOT_EMBEDDED, {"digital_watermark": DIGITAL}, "digital_watermark"),
    "digital_watermark.version": Refused("V1", NOT_EMBEDDED, {"digital_watermark": DIGITAL}, "digital_watermark"),
    "digital_watermark.ignore_error": Nothing(True, "true = go on if embedding fails", GOES_ON),
    "digital_watermark.state": Nothing("Success", "response only", GOES_ON),
    "output.region": Refused("ap-beijing", "not in `ap-beijing`"),
    "output.bucket": Refused("none-1250000000", "there is no bucket"),
    "output.object": Nothing("elsewhere/a.bin", "result object key"),
    "user_data": Nothing("order-17", "passed through"),
    "job_level": Nothing(2, "larger = higher priority"),
}
BEFORE_RENDERING: Final = {"transcode_template_id", "watermark_template_id"}
"""Replaced by what they name before anything is rendered; ``test_resolution`` shows it."""


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    return Studio(tmp_path_factory.mktemp("made"), films(tmp_path_factory.mktemp("films")))


Service = Callable[[Callable[[Caller], Awaitable[None]]], None]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with lasting(tmp_path_factory.mktemp("service")) as calls:
        yield calls


def answer(service: Service, job: Keys) -> str:
    """Submit a job; return the message of its refusal, empty when it is accepted."""
    said: list[str] = []

    async def calls(caller: Caller) -> None:
        operation = Operation.model_validate(job)
        body = xml.write(JobRequest(operation=(operation,)), "Request")
        reply = await caller.http.post(f"{CI}/jobs", content=body)
        root = xml.parse(reply.content, "Response" if reply.status_code == 200 else "Error")
        if reply.status_code != 200:
            assert (reply.status_code, root.findtext("Code")) == (400, "InvalidArgument")
        said.append(root.findtext("Message") or "" if reply.status_code != 200 else "")

    service(calls)
    return said[0]


def with_node(path: str, value: object, base: Changes) -> Keys:
    """The plain job with some changes and a value in one node."""
    return keys({".".join(map(str, placed(path))): value}, keys(base))


def test_every_node_is_classified() -> None:
    assert set(leaves(Operation)) == set(NODES) | BEFORE_RENDERING


def of_kind(kind: type) -> list[str]:
    return [path for path, case in NODES.items() if isinstance(case, kind)]


@pytest.mark.parametrize("path", of_kind(Acts))
def test_a_node_acts(studio: Studio, service: Service, path: str) -> None:
    case = NODES[path]
    assert isinstance(case, Acts)
    plain, asked = keys(case.base), with_node(path, case.value, case.base)
    assert (answer(service, plain), answer(service, asked)) == ("", "")
    before, after = (case.measure(studio.render(job)) for job in (plain, asked))
    assert before == case.before
    if case.measure is failure:
        assert f"InvalidArgument: {case.after} is " in after
    else:
        assert after == case.after


@pytest.mark.parametrize("path", of_kind(Refused))
def test_a_node_is_refused_by_its_name(service: Service, path: str) -> None:
    case = NODES[path]
    assert isinstance(case, Refused)
    named = tag_path(Operation, placed(case.named or path)[: None if case.named is None else 1])
    message = answer(service, with_node(path, case.value, case.base))
    assert message.startswith(f"Request.Operation.{named}: ")
    assert case.words in message
    assert message.count("Request.Operation") == 1
    without = {key: value for key, value in case.base.items() if key != case.named}
    assert answer(service, keys(without)) == ""


@pytest.mark.parametrize("path", of_kind(Nothing))
def test_a_node_has_no_effect_by_definition(studio: Studio, service: Service, path: str) -> None:
    case = NODES[path]
    assert isinstance(case, Nothing)
    plain, asked = keys(case.base), with_node(path, case.value, case.base)
    assert (answer(service, plain), answer(service, asked)) == ("", "")
    assert studio.render(plain).path.read_bytes() == studio.render(asked).path.read_bytes()


# --- every container, codec and value --------------------------------------------------------------------------------

BOTH_SOURCES: Final[Keys] = keys(
    {
        "video_synthesis.splice_info": [
            {"url": url("red"), "width": 64},
            {"url": url("blue"), "x": 64, "width": 64},
        ],
        "transcode.video": {"width": 128, "height": 128},
    }
)
"""Red with a tone of 440 Hz beside blue with one of 1200 Hz, ten frames, on the smallest canvas."""

FORMATS: Final = [
    (container, picture, sound)
    for container in codecs.VIDEO_CONTAINERS
    for picture in codecs.CONTAINERS[container].video
    for sound in codecs.CONTAINERS[container].audio
]
CODED: Final = {
    "H.264": "h264",
    "H.265": "hevc",
    "VP8": "vp8",
    "VP9": "vp9",
    "AV1": "av1",
    "aac": "aac",
    "mp3": "mp3",
    "Vorbis": "vorbis",
    "opus": "opus",
}
LAYOUTS: Final = {1: "mono", 2: "stereo", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}


def packed(container: str, picture: str, sound: str | None, base: Keys = BOTH_SOURCES, **video: object) -> Keys:
    """A job in a container, with its codecs."""
    changes: dict[str, object] = {
        "transcode.container": {"format": container},
        "transcode.video.codec": picture,
        "transcode.audio": None if sound is None else {"codec": sound},
    }
    if picture == "H.264":
        changes["transcode.video.preset"] = "veryfast"
    return keys(changes | {f"transcode.video.{name}": value for name, value in video.items()}, base)


def accepted(service: Service, job: Keys, node: str) -> bool:
    """Whether a job is accepted; one that is not must be refused by the name of ``node``."""
    message = answer(service, job)
    if message:
        assert message.startswith(f"Request.Operation.{tag_path(Operation, placed(node))}: ")
    return not message


@pytest.mark.parametrize(("container", "picture", "sound"), FORMATS)
def test_a_format(studio: Studio, service: Service, container: str, picture: str, sound: str) -> None:
    job = packed(container, picture, sound)
    assert answer(service, job) == ""
    made = studio.render(job)
    seen = decoded(made)
    assert (made.video.codec_name, [each.codec_name for each in made.audios]) == (CODED[picture], [CODED[sound]])
    assert [colours_of(frame) for frame in seen.frames] == [("red", "blue")] * 10
    assert (seen.seconds, seen.tones) == ([between(0.38, 0.48)], [[440, 1200]])


def colours_of(frame: Picture) -> tuple[str, str]:
    """The colours on either side."""
    return shown(frame, 30, 64), shown(frame, 98, 64)


@pytest.mark.parametrize(("container", "picture", "sound"), [each for each in FORMATS if each[0] in codecs.SEGMENTED])
def test_segments(studio: Studio, container: str, picture: str, sound: str) -> None:
    clip = {"transcode.container": {"format": container, "clip_config": {"duration": 0.2}}}
    made = studio.render(keys(clip, packed(container, picture, sound)))
    seen = decoded(made)
    names = [name for stream in listed(made) for name in stream]
    assert sorted(names) == sorted(set(files(made)) - {made.path.name})
    assert starts(made) == [True, True]
    assert [colours_of(frame) for frame in seen.frames] == [("red", "blue")] * 10
    assert (seen.seconds, seen.tones) == ([between(0.38, 0.48)], [[440, 1200]])


def rates(container: str, sound: str) -> tuple[int, ...]:
    """The documented sample rates."""
    own = codecs.CODEC_RATES.get(sound, codecs.SAMPLE_RATES)
    return codecs.MP3_RATES.get(container, own) if sound == "mp3" else own


SOUNDS: Final = [
    (container, codecs.CONTAINERS[container].video[0], sound)
    for container in codecs.VIDEO_CONTAINERS
    for sound in codecs.CONTAINERS[container].audio
]
FEW: Final = {("mp4", "aac"), ("mp4", "mp3"), ("flv", "mp3"), ("mkv", "mp3"), ("webm", "Vorbis"), ("webm", "opus")}


def usual(*values: Any, ordinary: bool) -> Any:
    """One set of parameters; what is not ordinary takes long in sum."""
    words: list[str] = []
    for value in values:
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else [value]
        words += map(str, parts)
    return pytest.param(*values, marks=[] if ordinary else [pytest.mark.slow], id="-".join(words))


@pytest.mark.parametrize(
    ("container", "picture", "sound", "rate"),
    [usual(*each, rate, ordinary=(each[0], each[2]) in FEW) for each in SOUNDS for rate in rates(each[0], each[2])],
)
def test_a_sample_rate(studio: Studio, service: Service, container: str, picture: str, sound: str, rate: int) -> None:
    job = keys({"transcode.audio.samplerate": rate}, packed(container, picture, sound))
    assert answer(service, job) == ""
    made = studio.render(job)
    seen = decoded(made)
    assert len(seen.frames) == 10
    assert (seen.seconds, seen.tones) == ([between(0.38, 0.40 + 4096 / rate)], [[440, 1200]])
    if sound == "opus":  # is always decoded at 48 kHz; the head says what it was made from
        head = made.path.read_bytes().partition(b"OpusHead")[2]
        assert int.from_bytes(head[4:8], "little") == rate
    else:
        assert made.audios[0].sample_rate == rate


@pytest.mark.parametrize(
    ("container", "picture", "sound", "channels"),
    [
        usual(*each, count, ordinary=(each[0], each[2]) in FEW | {("ts", "aac"), ("hls", "aac"), ("dash", "aac")})
        for each in SOUNDS
        for count in codecs.CHANNELS[each[2]]
        if (each[0], count) != ("dash", 8)
    ],
)
def test_channels(studio: Studio, service: Service, container: str, picture: str, sound: str, channels: int) -> None:
    job = keys({"transcode.audio.channels": channels}, packed(container, picture, sound))
    if accepted(service, job, "transcode.audio.channels"):
        made = studio.render(job)
        assert sounding("channel", "channel_layout")(made) == [(channels, LAYOUTS[channels])]
        assert decoded(made).tones == [[440, 1200]]


@pytest.mark.parametrize(
    ("container", "picture", "sound", "samples"),
    [
        (container, picture, sound, samples)
        for container, picture, sound in SOUNDS
        if (container, sound) in FEW
        for samples in codecs.SAMPLE_FORMATS[sound]
    ],
)
def test_a_sample_format(
    studio: Studio, service: Service, container: str, picture: str, sound: str, samples: str
) -> None:
    job = keys({"transcode.audio.sample_format": samples}, packed(container, picture, sound))
    assert answer(service, job) == ""
    assert decoded(studio.render(job)).tones == [[440, 1200]]


@pytest.mark.parametrize(
    ("form", "audio"),
    [
        usual(
            each,
            {"bitrate": bitrate, "samplerate": rate, "channels": channels},
            ordinary=(rate, channels) in ((44100, 2), (48000, 1)) and bitrate in (8, 320, 1000),
        )
        for each in SOUNDS
        if (each[0], each[2]) in FEW
        for bitrate in (8, 32, 128, 320, 512, 1000)
        for rate in rates(each[0], each[2])
        for channels in codecs.CHANNELS[each[2]]
    ],
)
def test_a_bitrate_of_sound(
    studio: Studio, service: Service, form: tuple[str, str, str], audio: dict[str, int]
) -> None:
    """What the encoder cannot do is refused when it is submitted, or it does the nearest that it can."""
    job = keys({f"transcode.audio.{name}": value for name, value in audio.items()}, packed(*form))
    if accepted(service, job, "transcode.audio.bitrate"):
        made = studio.render(job)
        assert decoded(made).seconds == [between(0.38, 0.40 + 4096 / audio["samplerate"])]
        assert made.audios[0].channel == audio["channels"]


HOMES: Final = {"H.264": "mp4", "H.265": "mp4", "VP8": "webm", "VP9": "webm", "AV1": "mkv"}
"""A container for each codec."""

VALUES: Final = [
    (picture, name, value)
    for picture in codecs.VIDEO_CODECS
    for name, values in {
        "bitrate": (10, 50000, "auto"),
        "crf": (0.1, 0.9, 1, 51),
        "gop": (0, 1, 7, 100000),
        "fps": (0.1, 1, 2, 23.976, 29.97, 59.94, 60),
        "preset": codecs.PRESETS.get(picture, ()),
        "pixfmt": codecs.PIXEL_FORMATS.get(picture, ()),
        "profile": ("baseline", "main", "high", "auto"),
        "maxrate": (10, 50000),
        "bufsize": (1000, 128000),
        "crop": ("2:2:0:0", "2:2:126:126", "128:128:0:0", "64:64:31:33"),
        "rotate": (0, 0.5, 45, 90, 359.9),
        "interlaced": (True,),
        "width": (128, 4096),
        "height": (128, 4096),
    }.items()
    for value in values
    if picture not in codecs.NOT_FOR.get(name, ())
]


@pytest.mark.parametrize(("picture", "name", "value"), VALUES)
def test_a_value_of_the_picture(studio: Studio, service: Service, picture: str, name: str, value: Any) -> None:
    changes = {name: value}
    if name == "bufsize":
        changes["bitrate"] = 1000
    if name in ("maxrate", "bufsize") and picture == "AV1":
        changes = {name: value, "crf": 30}
    if name == "interlaced":
        changes["fps"] = 50
    job = packed(HOMES[picture], picture, None, **changes)
    if name in ("width", "height"):
        job = keys({"transcode.time_interval": {"duration": 0.04}}, job)
    if not accepted(service, job, f"transcode.video.{name}"):
        assert (picture, name) in MAY_BE_REFUSED
        return
    made = studio.render(job)
    frames = len(decoded(made).frames)
    rate = float(value if name == "fps" else 50 if name == "interlaced" else 25)
    assert (
        frames == made.video.num_frames == (1 if name in ("width", "height") else max(1, math.ceil(0.4 * rate - 0.05)))
    )
    if value in PROMISES.get(name, {}):
        assert PROMISES[name][value](made, frames)
    if name == "fps" and frames > 1:
        assert float(Fraction(made.video.avg_fps or 0)) == pytest.approx(rate, abs=0.001)
    if name == "pixfmt" and value != "auto":
        assert made.video.pix_format == value
    if name in ("width", "height"):
        assert getattr(made.video, name) == value


MAY_BE_REFUSED: Final = {("AV1", "bufsize"), ("VP8", "interlaced"), ("VP9", "interlaced")}
"""What an encoder has no word for."""

PROMISES: Final[dict[str, dict[Any, Callable[[Made, int], bool]]]] = {
    "gop": {
        1: lambda made, frames: key_frames(made) == list(range(frames)),
        7: lambda made, _: key_frames(made) == [0, 7],
        100000: lambda made, _: key_frames(made) == [0],
    },
    "profile": {
        "baseline": lambda made, _: made.video.profile in ("Baseline", "Constrained Baseline"),
        "main": lambda made, _: made.video.profile == "Main",
        "high": lambda made, _: made.video.profile == "High",
    },
    "crop": {
        "2:2:126:126": lambda made, _: size(made) == (2, 2) and colours((0, 0))(made) == ("blue",),
        "64:64:31:33": lambda made, _: size(made) == (64, 64) and colours((30, 9), (36, 9))(made) == ("red", "blue"),
    },
    "rotate": {
        0: lambda made, _: colours((1, 1), (126, 1))(made) == ("red", "blue"),
        45: lambda made, _: colours((1, 1), (64, 10), (64, 118))(made) == ("black", "red", "blue"),
        90: lambda made, _: colours((64, 30), (64, 98))(made) == ("red", "blue"),
    },
    "interlaced": {True: lambda made, frames: fields(made) == ("tt", [True] * frames)},
}
"""What a value must look like."""


@pytest.mark.parametrize("picture", ["H.264", "H.265", "AV1"])
def test_crf_is_obeyed_down_to_its_corner(studio: Studio, picture: str) -> None:
    """A lower number never means a worse picture."""
    base = keys({**source("grain"), "transcode.time_interval": {"duration": 0.2}}, BOTH_SOURCES)
    sizes = [
        kilobits(1)(studio.render(packed(HOMES[picture], picture, None, base, crf=crf))) for crf in (0.1, 2, 20, 51)
    ]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("profile", ["baseline", pytest.param("high", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("container", "picture", "sound"), [each for each in FORMATS if each[1] == "H.264"])
def test_a_format_with_and_without_reordered_frames(
    studio: Studio, container: str, picture: str, sound: str, profile: str
) -> None:
    """Encoders begin before 0; what a container makes of that depends on both."""
    low: Changes = {"transcode.audio.samplerate": 16000 if sound == "mp3" and container != "flv" else 22050}
    for changes in (NOTHING, low):
        made = studio.render(keys(changes, packed(container, picture, sound, profile=profile)))
        assert [colours_of(frame) for frame in decoded(made).frames] == [("red", "blue")] * 10


@pytest.mark.parametrize(("container", "picture", "sound"), [usual(*each, ordinary=each in SOUNDS) for each in FORMATS])
def test_sound_and_picture_stay_together(studio: Studio, container: str, picture: str, sound: str) -> None:
    """What becomes blue becomes loud at the same moment: 40 ms are the length of a frame."""
    made = studio.render(packed(container, picture, sound, keys(source("late"), BOTH_SOURCES)))
    seen, heard_at = moments(made)
    assert seen == pytest.approx(heard_at, abs=0.04)


UNBOUNDED: Final[dict[str, tuple[str, Changes]]] = {
    "the longest segment": (
        "transcode.container.clip_config.duration",
        {"transcode.container.clip_config": {"duration": 10**9}},
    ),
    "the shortest segment": (
        "transcode.container.clip_config.duration",
        {"transcode.container.clip_config": {"duration": 0.001}},
    ),
    "the longest old segment": ("transcode.video.hls_ts_time", {"transcode.video.hls_ts_time": 10**9}),
    "the longest fade": (
        "transcode.audio_mix.effect_config.start_fadein_time",
        {
            "transcode.audio_mix": {
                "audio_source": url("song.wav"),
                "effect_config": {"enable_start_fadein": True, "start_fadein_time": 10**20},
            }
        },
    ),
    "a slow rate": ("transcode.video.fps", {"transcode.video.fps": 0.05}),
    "the longest part": ("transcode.time_interval.duration", {"transcode.time_interval": {"duration": 10**20}}),
    "the last moment": ("transcode.time_interval.duration", {"transcode.time_interval": {"duration": 0.0005}}),
}
"""Numbers for which the documents have no bound on one side."""


@pytest.mark.parametrize("case", UNBOUNDED)
def test_a_number_without_bound_is_rendered_or_refused(studio: Studio, service: Service, case: str) -> None:
    node, changes = UNBOUNDED[case]
    job = keys(changes, packed("hls", "H.264", "aac"))
    if accepted(service, job, node):
        made = studio.render(job)
        assert len(decoded(made).frames) == made.video.num_frames


@pytest.mark.parametrize(("container", "duration"), [("hls", 0.44), ("hls", 0.48), ("ts", 0.04), ("ts", 0.08)])
@pytest.mark.parametrize("sound", [None, "aac"])
def test_a_short_end(studio: Studio, container: str, duration: float, sound: str | None) -> None:
    """The last segment may hold one frame, and one frame of one colour has few bytes."""
    clip = {"transcode.container.clip_config": {"duration": 0.2}} if container == "hls" else {}
    changes = {**source("long"), **clip, "transcode.time_interval": {"duration": duration}}
    made = studio.render(keys(changes, packed(container, "H.264", sound)))
    assert len(decoded(made).frames) == made.video.num_frames == round(25 * duration)


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv422p", "yuv444p"])
@pytest.mark.parametrize("height", [130, 132])
def test_an_interlaced_picture_of_any_height(studio: Studio, service: Service, height: int, pixels: str) -> None:
    """Each field of 4:2:0 needs an even number of lines; the canvas only promises that for the frame."""
    job = packed("mp4", "H.264", None, height=height, pixfmt=pixels, profile="auto", interlaced=True)
    if accepted(service, job, "transcode.video.interlaced"):
        assert fields(studio.render(job)) == ("tt", [True] * 10)


# --- the same again --------------------------------------------------------------------------------------------------

CONTROLS: Final[dict[str, Keys]] = {"quality": {}, "bitrate": {"bitrate": 300}}
"""How the encoder is told what to spend."""

FOOTAGE: Final = keys(
    {**source("sample", width=128, height=128), "transcode.time_interval": {"duration": 0.4}}, BOTH_SOURCES
)
TWICE: Final = {
    ("mp4", "H.264"),
    ("mp4", "H.265"),
    ("webm", "VP8"),
    ("webm", "VP9"),
    ("mkv", "AV1"),
    ("hls", "H.264"),
    ("dash", "H.264"),
}


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize(
    ("container", "picture", "sound"),
    [usual(*each, ordinary=each[:2] in TWICE and each[2] in ("aac", "opus")) for each in FORMATS],
)
def test_the_same_job_gives_the_same_bytes(
    studio: Studio, container: str, picture: str, sound: str, control: str
) -> None:
    job = packed(container, picture, sound, FOOTAGE, **CONTROLS[control])
    if container in codecs.SEGMENTED:
        job = keys({"transcode.container.clip_config": {"duration": 0.2}}, job)
    assert repeated(studio, job) == [[]] * 3


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("preset", ["realtime", pytest.param("good", marks=pytest.mark.slow)])
def test_no_preset_of_vp8_follows_the_clock(studio: Studio, preset: str, control: str) -> None:
    large: Changes = {
        **source("sample", width=640, height=480),
        "transcode.video": {"width": 640, "height": 480},
        "transcode.time_interval": {"duration": 0.4},
    }
    job = packed("webm", "VP8", None, keys(large), preset=preset, **CONTROLS[control])
    assert repeated(studio, job) == [[]] * 3


def repeated(studio: Studio, job: Keys) -> list[list[str]]:
    """Render a job alone, and three times at once; return which files differ each time."""
    alone = files(studio.again(job))
    with ThreadPoolExecutor(3) as executor:
        crowded = [files(made) for made in executor.map(studio.again, [job] * 3)]
    return [sorted(name for name in {*alone, *each} if alone.get(name) != each.get(name)) for each in crowded]
