"""What a job may ask for that is not rendered here: each such node is refused with a reason, none is ignored.

Pure. Illegal values are the business of ``api.rules``; here is only what FFmpeg is not told to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from reconciler.api.messages import Operation
from reconciler.api.transcode import Audio, Transcode, Video

LARGEST_SOURCE: Final = 8192
"""Largest width and height that a source is scaled to: twice the largest canvas."""

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A node that asks for something that is not rendered: its manifest keys, relative to Operation, and why."""

    path: Path
    message: str


def unsupported(operation: Operation) -> tuple[Refusal, ...]:
    """Return everything in an operation that cannot be rendered here, in the order of the API's nodes.

    A node whose value asks for nothing (false, none, the documented default) passes, and so does the id of a template:
    what it asks for is known when the template is put in its place.
    """
    return tuple(_all(operation))


def video_codec(video: Video) -> str:
    """Return the codec as FFmpeg's encoders are told apart: ``H264``, ``H265`` or what else was asked for."""
    return (video.codec or "H.264").upper().replace(".", "")


def audio_codec(audio: Audio) -> str:
    """Return the codec in lower case."""
    return (audio.codec or "aac").lower()


def pixel_format(video: Video) -> str:
    """Return the pixel format of the output; ``auto`` leaves the choice to us."""
    return "yuv420p" if video.pixfmt in (None, "auto") else video.pixfmt


def cropped(video: Video) -> tuple[int, int, int, int] | None:
    """Return ``(width, height, left, top)`` of a crop, None without one. Raises ValueError when it cannot be read."""
    if video.crop is None:
        return None
    width, height, left, top = (int(part) for part in video.crop.split(":"))
    return width, height, left, top


def _all(operation: Operation) -> Iterator[Refusal]:
    yield from _sources(operation)
    if operation.transcode_template_id is None and operation.transcode is None:
        yield Refusal(("transcode",), "the parameters of the output are missing")
    if operation.transcode_template_id is None and operation.transcode is not None:
        yield from _listed(operation.transcode, _TRANSCODE)
        yield from _video(operation.transcode.video)
        yield from _audio(operation.transcode.audio)
        yield from _mixes(operation.transcode)
    for number, _ in enumerate(() if operation.watermark_template_id else operation.watermark or ()):
        yield Refusal(("watermark", number), "watermarks are not rendered here")
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


_TRANSCODE: Final[tuple[_Check, ...]] = (
    (("container", "format"), _other_than("mp4"), "only mp4 is written here"),
    (("container", "clip_config"), _given, "segments belong to hls and dash, which are not written here"),
    (("video", "remove"), _ASKED, "an output without a picture is not rendered here"),
    (("video", "long_short_mode"), _ASKED, "on a canvas of a fixed size there is no longer side to adapt to"),
    (("video", "roi"), _other_than("none"), "regions of interest are not encoded here"),
    (("video", "interlaced"), _ASKED, "interlaced video is not encoded here"),
    (("video", "hls_ts_time"), _given, "segments belong to hls and dash, which are not written here"),
    (("video", "scan_mode"), _given, "this node is not documented, so it is not acted on here"),
    (("video", "color_param"), _given, "the output is always BT.709; this node is not acted on here"),
    (("video", "std_ext_info"), _given, "this node is not documented, so it is not acted on here"),
    (("audio", "keep_two_tracks"), _ASKED, "two sound tracks are not written here"),
    (("audio", "switch_track"), _ASKED, "sound tracks are not swapped here"),
    # The output has the shape of the canvas, so whatever adj_dar_method says never has to act.
    (("trans_config", "adj_dar_method"), _other_than("none", "scale", "rescale", "crop", "pad"), "is no method"),
    # What a check of several sources compares with is not documented. The methods act only together with a check.
    (("trans_config", "is_check_reso"), _ASKED, "the resolution is not compared with that of the sources here"),
    (("trans_config", "is_check_video_bitrate"), _ASKED, "the bitrate is not compared with that of the sources here"),
    (("trans_config", "is_check_audio_bitrate"), _ASKED, "the bitrate is not compared with that of the sources here"),
    (("trans_config", "is_check_video_fps"), _ASKED, "the frame rate is not compared with that of the sources here"),
    (("trans_config", "is_hdr2_sdr"), _ASKED, "HDR is not converted here"),
    (("trans_config", "transcode_index"), _given, "streams are chosen by themselves here"),
    (("trans_config", "hls_encrypt"), lambda node: node.is_hls_encrypt, "segments are not encrypted here"),
    (("trans_config", "dash_encrypt"), lambda node: node.is_encrypt, "segments are not encrypted here"),
    (("trans_config", "aigc_metadata"), _given, "labels of generated content are not written here"),
)


def _listed(transcode: Transcode, checks: tuple[_Check, ...]) -> Iterator[Refusal]:
    for path, asks, message in checks:
        value: Any = transcode
        for name in path:
            value = getattr(value, str(name), None)
        if value is not None and asks(value):
            yield Refusal(("transcode", *path), message)


_PRESETS: Final = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
_PIXEL_FORMATS: Final = {
    "H264": ("yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuvj422p", "yuvj444p"),
    "H265": ("yuv420p", "yuv420p10le"),
}
_SAMPLE_FORMATS: Final = {"aac": ("fltp",), "mp3": ("fltp", "s16p", "s32p")}
_CHANNELS: Final = {"aac": (1, 2, 4, 5, 6, 8), "mp3": (1, 2)}


def _video(video: Video | None) -> Iterator[Refusal]:
    if video is None:
        yield Refusal(("transcode", "video"), "the size of the canvas is missing")
        return
    codec = video_codec(video)
    if codec not in _PIXEL_FORMATS:
        yield Refusal(("transcode", "video", "codec"), "only H.264 and H.265 are encoded here")
        return
    for name, message in (*_size(video), *_encoding(video, codec), *_crop(video)):
        yield Refusal(("transcode", "video", name), message)


def _size(video: Video) -> Iterator[tuple[str, str]]:
    for name in ("width", "height"):
        value = getattr(video, name)
        if value is None or not 128 <= value <= 4096 or value % 2:
            yield name, "the canvas has an even size of 128 to 4096 pixels"
    if video.fps is not None and not 0 < video.fps <= 60:
        yield "fps", "a frame rate is above 0 and at most 60"


def _encoding(video: Video, codec: str) -> Iterator[tuple[str, str]]:
    pixels = pixel_format(video)
    if pixels not in _PIXEL_FORMATS[codec]:
        yield "pixfmt", f"{codec} is encoded here as {', '.join(_PIXEL_FORMATS[codec])}"
    if video.preset is not None and video.preset not in _PRESETS:
        yield "preset", f"is none of {', '.join(_PRESETS)}"
    if video.profile not in (None, "auto"):
        if codec != "H264" or video.profile not in ("baseline", "main", "high"):
            yield "profile", "baseline, main and high are profiles of H.264; H.265 takes auto"
        elif "420" not in pixels and video.pixfmt != "auto":
            yield "profile", f"{video.profile} cannot hold {pixels}; write auto"
    if video.bufsize and not (video.maxrate or (isinstance(video.bitrate, int) and video.crf is None)):
        yield "bufsize", "a buffer acts only together with maxrate or bitrate"


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


def _audio(audio: Audio | None) -> Iterator[Refusal]:
    if audio is None or audio.remove:
        return
    codec = audio_codec(audio)
    if codec not in _SAMPLE_FORMATS:
        yield Refusal(("transcode", "audio", "codec"), "only aac and mp3 are encoded here")
        return
    if audio.sample_format is not None and audio.sample_format not in _SAMPLE_FORMATS[codec]:
        message = f"{codec} is encoded here from {', '.join(_SAMPLE_FORMATS[codec])}"
        yield Refusal(("transcode", "audio", "sample_format"), message)
    if audio.channels is not None and audio.channels not in _CHANNELS[codec]:
        counts = ", ".join(str(count) for count in _CHANNELS[codec])
        yield Refusal(("transcode", "audio", "channels"), f"{codec} is encoded here with {counts} channels")


def _mixes(transcode: Transcode) -> Iterator[Refusal]:
    """Refuse mixed sounds, but only where the documents let them act: beside an audio that is not removed."""
    if transcode.audio is None or transcode.audio.remove:
        return
    if transcode.audio_mix is not None:
        yield Refusal(("transcode", "audio_mix"), "other sounds are not mixed in here")
    if transcode.audio_mix_array:
        yield Refusal(("transcode", "audio_mix_array"), "other sounds are not mixed in here")
