"""What a job may ask for that is not rendered here: each such node is refused with a reason, none is ignored.

Pure. Illegal values are the business of ``api.rules``; here is only what FFmpeg is not told to do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from reconciler.api import codecs
from reconciler.api.messages import Operation
from reconciler.api.transcode import Audio, Transcode, TransConfig, Video

_SLOWEST: Final = Decimal("0.01")
_FASTEST: Final = 60
LARGEST_SOURCE: Final = 8192
"""Largest width and height that a source is scaled to: twice the largest canvas."""

VIDEO_ENCODERS: Final[Mapping[str, str]] = MappingProxyType(
    {"H264": "libx264", "H265": "libx265", "VP8": "libvpx", "VP9": "libvpx-vp9", "AV1": "libsvtav1"}
)
"""FFmpeg's encoder of each codec of pictures."""

AUDIO_ENCODERS: Final[Mapping[str, str]] = MappingProxyType(
    {"aac": "aac", "mp3": "libmp3lame", "opus": "libopus", "vorbis": "libvorbis"}
)
"""FFmpeg's encoder of each codec of sounds."""

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A node that asks for something that is not rendered: its manifest keys, relative to Operation, and why."""

    path: Path
    message: str


def unsupported(operation: Operation, lacking: Collection[str] = ()) -> tuple[Refusal, ...]:
    """Return everything in an operation that cannot be rendered here, in the order of the API's nodes.

    ``lacking`` are the encoders that FFmpeg has not got. A node whose value asks for nothing (false, none, the
    documented default) passes, and so does the id of a template: what it asks for is known when the template is put in
    its place.
    """
    return tuple(_all(operation, lacking))


def container_format(transcode: Transcode) -> str:
    """Return the container's name as the documents spell it."""
    return codecs.canonical_format(transcode.container.format) if transcode.container else "mp4"


def video_codec(video: Video) -> str:
    """Return the codec without its point: ``H264``, ``H265``, ``VP8``, ``VP9``, ``AV1`` or what else was asked for."""
    return (video.codec or "H.264").upper().replace(".", "")


def audio_codec(audio: Audio) -> str:
    """Return the codec in lower case."""
    return (audio.codec or "aac").lower()


def samplerate(audio: Audio) -> int:
    """Return the sample rate in Hz; opus has another default than the others."""
    return audio.samplerate or (48000 if audio_codec(audio) == "opus" else 44100)


def with_defaults(operation: Operation) -> Operation:
    """Name the codecs that are left out: they depend on the container."""
    transcode = operation.transcode
    if transcode is None:
        return operation
    name = container_format(transcode)
    update: dict[str, Any] = {}
    if transcode.video and transcode.video.codec is None:
        update["video"] = transcode.video.model_copy(update={"codec": codecs.default_video_codec(name)})
    if transcode.audio and transcode.audio.codec is None:
        update["audio"] = transcode.audio.model_copy(update={"codec": codecs.default_audio_codec(name)})
    return operation.model_copy(update={"transcode": transcode.model_copy(update=update)}) if update else operation


def pixel_format(video: Video) -> str:
    """Return the pixel format of the output; ``auto`` leaves the choice to us."""
    return "yuv420p" if video.pixfmt in (None, "auto") else video.pixfmt


def cropped(video: Video) -> tuple[int, int, int, int] | None:
    """Return ``(width, height, left, top)`` of a crop, None without one. Raises ValueError when it cannot be read."""
    if video.crop is None:
        return None
    width, height, left, top = (int(part) for part in video.crop.split(":"))
    return width, height, left, top


def _all(operation: Operation, lacking: Collection[str]) -> Iterator[Refusal]:
    operation = with_defaults(operation)
    yield from _sources(operation)
    if operation.transcode_template_id is None and operation.transcode is None:
        yield Refusal(("transcode",), "the parameters of the output are missing")
    if operation.transcode_template_id is None and operation.transcode is not None:
        yield from _listed(operation.transcode, _TRANSCODE)
        yield from _segments(operation.transcode)
        yield from _video(operation.transcode, lacking)
        yield from _audio(operation.transcode, lacking)
        yield from _trans_config(operation.transcode)
    digital = operation.digital_watermark
    if digital is not None and not digital.ignore_error:
        yield Refusal(("digital_watermark",), "digital watermarks are not embedded here; ignore_error: true goes on")


def _sources(operation: Operation) -> Iterator[Refusal]:
    for number, source in enumerate(operation.video_synthesis.splice_info):
        for side in ("width", "height"):
            value = getattr(source, side)
            if value is not None and not 1 <= value <= LARGEST_SOURCE:
                path = ("video_synthesis", "splice_info", number, side)
                yield Refusal(path, f"a source is scaled to 1 to {LARGEST_SOURCE} pixels, not to {value}")


_Check = tuple[Path, Callable[[Any], bool], str]
"""A path below a node, whether its value asks for something, and what is said then."""

_ASKED: Final[Callable[[Any], bool]] = bool


def _given(_: object) -> bool:
    return True


def _other_than(*names: str) -> Callable[[Any], bool]:
    return lambda value: str(value).lower() not in names


_NO_SHAPE: Final = "the output has the shape of its canvas, so there is nothing to"
_TRANSCODE: Final[tuple[_Check, ...]] = (
    (("video", "remove"), _ASKED, "an output without a picture is not rendered here"),
    (("video", "long_short_mode"), _ASKED, "on a canvas of a fixed size there is no longer side to adapt to"),
    (("video", "roi"), _other_than("none"), "regions of interest are not encoded here"),
    (("video", "scan_mode"), _given, "this node is not documented, so it is not acted on here"),
    (("video", "std_ext_info"), _given, "this node is not documented, so it is not acted on here"),
    (
        ("trans_config", "adj_dar_method"),
        _other_than("none", "scale", "rescale"),
        f"{_NO_SHAPE} crop or pad; write none",
    ),
    (("trans_config", "is_check_reso"), _ASKED, "a canvas is larger than its sources, so it is not compared with them"),
    (("trans_config", "transcode_index"), _given, "every source shows its own best stream here; leave it out"),
    (("trans_config", "hls_encrypt", "is_hls_encrypt"), _ASKED, "segments are not encrypted here"),
    (("trans_config", "dash_encrypt", "is_encrypt"), _ASKED, "segments are not encrypted here"),
)


def _listed(transcode: Transcode, checks: tuple[_Check, ...]) -> Iterator[Refusal]:
    for path, asks, message in checks:
        value: Any = transcode
        for name in path:
            value = getattr(value, str(name), None)
        if value is not None and asks(value):
            yield Refusal(("transcode", *path), message)


def _segments(transcode: Transcode) -> Iterator[Refusal]:
    """Refuse a segment length where there are no segments."""
    if container_format(transcode) in codecs.SEGMENTED:
        return
    if transcode.container is not None and transcode.container.clip_config is not None:
        yield Refusal(("transcode", "container", "clip_config"), "only hls and dash have segments; leave it out")
    if transcode.video is not None and transcode.video.hls_ts_time is not None:
        yield Refusal(("transcode", "video", "hls_ts_time"), "only hls and dash have segments; leave it out")


_X26X: Final = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
_PRESETS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"H264": _X26X, "H265": _X26X, "VP8": ("good", "realtime"), "VP9": (), "AV1": ("4", "5", "medium", "universal")}
)
_PIXEL_FORMATS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "H264": ("yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuvj422p", "yuvj444p"),
        "H265": ("yuv420p", "yuv420p10le"),
        "VP8": ("yuv420p",),
        "VP9": ("yuv420p",),
        "AV1": ("yuv420p",),
    }
)
_COLORS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "color_range": ("tv", "limited", "mpeg", "pc", "full", "jpeg"),
        "color_space": ("bt709", "bt470bg", "smpte170m", "bt2020nc"),
        "color_trc": ("bt709", "smpte170m", "iec61966-2-1", "bt2020-10", "bt2020-12"),
        "color_primaries": ("bt709", "bt470bg", "smpte170m", "bt2020"),
    }
)
"""What ``color_param`` may say, in FFmpeg's words; the documents have none."""


def _video(transcode: Transcode, lacking: Collection[str]) -> Iterator[Refusal]:
    video = transcode.video
    if video is None:
        yield Refusal(("transcode", "video"), "the size of the canvas is missing")
        return
    codec = video_codec(video)
    if codec not in VIDEO_ENCODERS:
        yield Refusal(("transcode", "video", "codec"), f"{video.codec} is not encoded here")
        return
    if VIDEO_ENCODERS[codec] in lacking:
        message = f"this machine's FFmpeg has no {VIDEO_ENCODERS[codec]}, so it cannot encode {video.codec}"
        yield Refusal(("transcode", "video", "codec"), message)
    found = (*_size(video), *_encoding(video, codec), *_peaks(video, codec), *_crop(video))
    for name, message in found:
        yield Refusal(("transcode", "video", name), message)
    yield from _color(video)


def _size(video: Video) -> Iterator[tuple[str, str]]:
    for name in ("width", "height"):
        value = getattr(video, name)
        if value is None or not 128 <= value <= 4096 or value % 2:
            yield name, "the canvas has an even size of 128 to 4096 pixels"
    if video.fps is not None and not _SLOWEST <= video.fps <= _FASTEST:
        yield "fps", f"a frame rate is {_SLOWEST} to {_FASTEST} here"


def _encoding(video: Video, codec: str) -> Iterator[tuple[str, str]]:
    pixels = pixel_format(video)
    if pixels not in _PIXEL_FORMATS[codec]:
        yield "pixfmt", f"{codec} is encoded here as {', '.join(_PIXEL_FORMATS[codec])}"
    presets = _PRESETS[codec]
    if video.preset is not None and video.preset not in presets:
        yield "preset", f"is none of {', '.join(presets)}" if presets else f"{codec} does not take a preset"
    if video.profile not in (None, "auto"):
        if codec != "H264" or video.profile not in ("baseline", "main", "high"):
            yield "profile", "baseline, main and high are profiles of H.264; other codecs take auto"
        elif "420" not in pixels and video.pixfmt != "auto":
            yield "profile", f"{video.profile} cannot hold {pixels}; write auto"
    if video.interlaced and (codec != "H264" or video.profile == "baseline"):
        yield "interlaced", "only H.264 in its profiles main and high is encoded interlaced"
    elif video.interlaced and "420" in pixels and (height := _result_height(video)) % 4:
        yield "interlaced", f"the result is {height} pixels high; the fields of {pixels} need a multiple of 4"


def _result_height(video: Video) -> int:
    """Return the height of the result: that of the crop or the canvas, turned."""
    try:
        crop = cropped(video)
    except ValueError:  # said elsewhere
        crop = None
    width, height = crop[:2] if crop else (video.width or 0, video.height or 0)
    return width if video.rotate in (90, 270) else height


def _peaks(video: Video, codec: str) -> Iterator[tuple[str, str]]:
    """Refuse a buffer or a peak that the encoder cannot obey."""
    has_bitrate = isinstance(video.bitrate, int) and video.crf is None
    for name in ("bufsize", "maxrate"):
        if getattr(video, name) and (
            codec in ("VP8", "VP9") or (codec == "AV1" and (has_bitrate or name == "bufsize"))
        ):
            why = "takes a peak only together with crf, and no buffer" if codec == "AV1" else "takes neither"
            yield name, f"{codec} {why}; leave it out"
            return
    if video.bufsize and not (video.maxrate or has_bitrate):
        yield "bufsize", "a buffer acts only together with maxrate or bitrate"


def _color(video: Video) -> Iterator[Refusal]:
    color, pixels = video.color_param, pixel_format(video)
    if color is None:
        return
    for name, known in _COLORS.items():
        value = getattr(color, name)
        if value is not None and value not in known:
            yield Refusal(("transcode", "video", "color_param", name), f"is none of {', '.join(known)}")
    if video_codec(video) == "VP8" and color.color_space not in (None, "bt470bg", "smpte170m"):
        message = "VP8 knows only BT.601; write bt470bg, or leave it out"
        yield Refusal(("transcode", "video", "color_param", "color_space"), message)
    if pixels.startswith("yuvj") and color.color_range in ("tv", "limited", "mpeg"):
        message = f"{pixels} has the full range; write pc"
        yield Refusal(("transcode", "video", "color_param", "color_range"), message)


def _crop(video: Video) -> Iterator[tuple[str, str]]:
    try:
        crop = cropped(video)
    except ValueError:
        yield "crop", "is not width:height:left:top"
        return
    if crop is None or video.width is None or video.height is None:
        return
    width, height, left, top = crop
    if min(left, top) < 0 or left + width > video.width or top + height > video.height:
        yield "crop", f"reaches over the canvas of {video.width}×{video.height}"
    if min(width, height) <= 0 or width % 2 or height % 2:
        yield "crop", "the width and height that are kept must be even and above 0"


_SAMPLE_FORMATS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"aac": ("fltp",), "mp3": ("fltp", "s16p", "s32p"), "opus": ("s16",), "vorbis": ("fltp",)}
)
_CHANNELS: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {"aac": (1, 2, 4, 5, 6, 8), "mp3": (1, 2), "opus": (1, 2), "vorbis": (2,)}
)


def _audio(transcode: Transcode, lacking: Collection[str]) -> Iterator[Refusal]:
    audio = transcode.audio
    if audio is None or audio.remove:
        return
    codec = audio_codec(audio)
    if codec not in AUDIO_ENCODERS:
        yield Refusal(("transcode", "audio", "codec"), f"{audio.codec} is not encoded beside a picture here")
        return
    if AUDIO_ENCODERS[codec] in lacking:
        message = f"this machine's FFmpeg has no {AUDIO_ENCODERS[codec]}, so it cannot encode {audio.codec}"
        yield Refusal(("transcode", "audio", "codec"), message)
    for name, message in (*_samples(audio, codec, mpegts=_is_mpegts(transcode)), *_audio_bitrate(audio, codec)):
        yield Refusal(("transcode", "audio", name), message)


def _is_mpegts(transcode: Transcode) -> bool:
    """Tell whether the sound is packed as MPEG-TS has it."""
    h264 = transcode.video is not None and video_codec(transcode.video) == "H264"
    return container_format(transcode) == "ts" or (container_format(transcode) == "hls" and h264)


def _samples(audio: Audio, codec: str, *, mpegts: bool) -> Iterator[tuple[str, str]]:
    if audio.sample_format is not None and audio.sample_format not in _SAMPLE_FORMATS[codec]:
        yield "sample_format", f"{codec} is encoded here from {', '.join(_SAMPLE_FORMATS[codec])}"
    if audio.channels is not None and audio.channels not in _CHANNELS[codec]:
        counts = ", ".join(str(count) for count in _CHANNELS[codec])
        yield "channels", f"{codec} is encoded here with {counts} channels"
    elif audio.channels == 8 and mpegts:
        yield "channels", "MPEG-TS does not hold 8 channels; write 6"


_VORBIS: Final[Mapping[int, tuple[int, int]]] = MappingProxyType(
    {
        8000: (12, 84),
        11025: (16, 100),
        12000: (16, 100),
        16000: (24, 200),
        22050: (30, 180),
        24000: (30, 180),
        32000: (36, 380),
        44100: (45, 500),
        48000: (45, 500),
    }
)
"""Bitrates in kbps that libvorbis takes for two channels, by sample rate; each was tried."""


def _audio_bitrate(audio: Audio, codec: str) -> Iterator[tuple[str, str]]:
    """Refuse a bitrate that the encoder does not take, or would not keep to."""
    rate, channels = samplerate(audio), audio.channels or 2
    if audio.bitrate is None:
        return
    if codec == "vorbis" and rate not in _VORBIS:
        yield "bitrate", f"Vorbis takes none at {rate} Hz; leave it out"
        return
    low, high = {
        "aac": (1, 6 * rate * channels // 1000),  # 6144 bits for each channel in 1024 samples
        "mp3": (8, 320 if rate >= 32000 else 160 if rate >= 16000 else 64),
        "opus": (6, 256 * channels),
        "vorbis": _VORBIS.get(rate, (0, 0)),
    }[codec]
    if not low <= audio.bitrate <= high:
        plural = "s" if channels > 1 else ""
        yield "bitrate", f"{codec} takes {low} to {high} kbps at {rate} Hz with {channels} channel{plural}"


_LABELLED: Final = ("mp4", "mov", "mkv", "webm", "flv")


def _trans_config(transcode: Transcode) -> Iterator[Refusal]:
    config = transcode.trans_config or TransConfig()
    if config.aigc_metadata is not None and container_format(transcode) not in _LABELLED:
        message = f"a label is written into {', '.join(_LABELLED)}; {container_format(transcode)} cannot hold one"
        yield Refusal(("transcode", "trans_config", "aigc_metadata"), message)
