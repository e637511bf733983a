"""What the documents demand of encoding parameters: ``Transcode`` and everything below it.

Source: reference/video-synthesis.md §2.4, §2.5 and §6. The tables are in ``codecs``; what concerns the sources and the
canvas together is in ``rules_placement``.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from reconciler.api import codecs
from reconciler.api.transcode import (
    AigcMetadata,
    Audio,
    AudioMix,
    Container,
    EffectConfig,
    TimeInterval,
    Transcode,
    TransConfig,
    Video,
)
from reconciler.api.violations import (
    Range,
    Violation,
    at_most,
    blank,
    error,
    listed,
    number_of,
    one_of,
    required,
    show,
    under,
    warning,
    within,
)

CANVAS: Final = Range(128, 4096, "px")
AUDIO_MIXES: Final = 2

_VIDEO_RANGES: Final = MappingProxyType(
    {
        "width": CANVAS,
        "height": CANVAS,
        "fps": Range(0, 60, above=True),
        "bitrate": Range(10, 50000, "kbps, or auto"),
        "crf": Range(0, 51, above=True),
        "gop": Range(0, 100000, "frames"),
        "rotate": Range(0, 360, "degrees", below=True),
        "hls_ts_time": Range(0, unit="seconds", above=True),
    }
)
_BUFFERS: Final = MappingProxyType({"bufsize": Range(1000, 128000, "Kb"), "maxrate": Range(10, 50000, "kbps")})
_AUDIO_BITRATE: Final = Range(8, 1000, "kbps")
_SECONDS: Final = Range(0, unit="seconds")
_SOME_SECONDS: Final = Range(0, unit="seconds", above=True)
_PROFILES: Final = ("baseline", "main", "high", "auto")
_ROI: Final = ("none", "low", "medium", "high")
_CROP: Final = re.compile(r"(\d{1,6}):(\d{1,6}):(\d{1,6}):(\d{1,6})", re.ASCII)
_METHODS: Final = ("reso_adj_method", "video_bitrate_adj_method", "audio_bitrate_adj_method", "video_fps_adj_method")
_FADES: Final = (
    ("enable_start_fadein", "start_fadein_time"),
    ("enable_end_fadeout", "end_fadeout_time"),
    ("enable_bgm_fade", "bgm_fade_time"),
)


def transcode_rules(node: Transcode, *, composition: bool) -> Iterator[Violation]:
    """Check encoding parameters; with ``composition`` also that they hold a canvas, as VideoSynthesis demands."""
    yield from _streams(node, composition=composition)
    container = codecs.canonical_format(node.container.format) if node.container else ""
    video_codec = _video_codec(node.video, container)
    if node.container:
        yield from under(_container(node.container, composition=composition), "container")
    if node.time_interval:
        yield from under(_time_interval(node.time_interval), "time_interval")
    if node.video:
        yield from under(_video(node.video, container, video_codec), "video")
    if node.audio:
        yield from under(_audio(node.audio, container, video_codec), "audio")
    if node.trans_config:
        yield from under(_trans_config(node.trans_config, container), "trans_config")
    yield from _audio_mixes(node)


def _streams(node: Transcode, *, composition: bool) -> Iterator[Violation]:
    yield from required(node, "container", "there is no default format", "write container: {format: mp4}")
    if composition:
        yield from required(node, "video", "its width and height are the canvas")
        if node.video:
            yield from under(_canvas(node.video), "video")
    elif node.video is None and node.audio is None:
        yield error(("video",), "`video` and `audio` are both missing: nothing would be kept")


def _canvas(video: Video) -> Iterator[Violation]:
    for key in ("width", "height"):
        yield from required(video, key, "a composition needs the size of its canvas", f"write {key}: 720, say")
    if video.remove:
        yield error(("remove",), "true drops the composed picture", "leave it out")


# Container.


def _container(node: Container, *, composition: bool) -> Iterator[Violation]:
    allowed = codecs.VIDEO_CONTAINERS if composition else tuple(codecs.CONTAINERS)
    name = codecs.canonical_format(node.format)
    if composition and name in codecs.CONTAINERS and name not in allowed:
        yield error(("format",), f"{node.format} holds sound only; `format` must be {listed(allowed)}", "write mp4")
    else:
        yield from one_of("format", name, allowed)
    if node.clip_config:
        yield from under(within(node.clip_config, "duration", _SOME_SECONDS), "clip_config")
        if name in codecs.CONTAINERS and name not in codecs.SEGMENTED:
            message = f"`clip_config` has no effect in {node.format}: only hls and dash have segments"
            yield warning(("clip_config",), message, "leave it out")


def _time_interval(node: TimeInterval) -> Iterator[Violation]:
    for key in ("start", "duration"):
        yield from within(node, key, _SECONDS)
        yield from milliseconds(key, getattr(node, key))
    if node.duration == 0:
        yield warning(("duration",), "0 keeps nothing of the video", "leave it out to keep everything")


def milliseconds(key: str, value: Decimal | None) -> Iterator[Violation]:
    """Warn about a time that is finer than the API's milliseconds."""
    if value is not None and value != round(value, 3):
        yield warning((key,), f"{show(value)} is finer than a millisecond; `{key}` is rounded", None)


# Video.


def _video_codec(video: Video | None, container: str) -> str | None:
    """Return the codec that acts, spelled as in the documents, or None when it cannot be told."""
    if video is None:
        return None
    if blank(video.codec):
        return codecs.default_video_codec(container)
    name = codecs.canonical_codec(video.codec or "")
    return name if name in codecs.VIDEO_CODECS else None


def _video(node: Video, container: str, codec: str | None) -> Iterator[Violation]:
    yield from _codec(node.codec, codecs.VIDEO_CODECS)
    yield from _fits(codec, container, "video")
    for key, allowed in _VIDEO_RANGES.items():
        yield from within(node, key, allowed)
    for key in ("width", "height"):
        yield from _even(key, getattr(node, key))
    for key, allowed in _BUFFERS.items():
        if getattr(node, key) != 0:  # samples of the vendor send 0 for "not set"
            yield from within(node, key, allowed)
    yield from one_of("roi", node.roi, _ROI)
    if codec:
        yield from _codec_parameters(node, codec)
    yield from _crop_and_interlace(node)
    yield from _rate_control(node)
    if node.hls_ts_time is not None:
        yield warning(
            ("hls_ts_time",), "`hls_ts_time` is superseded", "write container: {clip_config: {duration: …}} instead"
        )


def _even(key: str, value: int | None) -> Iterator[Violation]:
    if value is not None and value % 2:
        yield error((key,), f"{value} is odd; `{key}` must be even", f"write {value - 1} or {value + 1}")


def _codec(name: str | None, known: tuple[str, ...]) -> Iterator[Violation]:
    if name is not None and codecs.canonical_codec(name) not in known:
        yield from one_of("codec", name, known)


def _fits(codec: str | None, container: str, kind: str) -> Iterator[Violation]:
    """Check a codec against its container; an unknown codec or container has its own error."""
    packing = codecs.CONTAINERS.get(container)
    if codec is None or packing is None:
        return
    allowed: tuple[str, ...] = getattr(packing, kind)
    if codec in allowed or not allowed:
        return
    others = [name for name, other in codecs.CONTAINERS.items() if codec in getattr(other, kind)]
    message = f"{codec} does not fit {container}; `codec` must be {listed(allowed)}"
    yield error(("codec",), message, f"or choose the container {listed(others)}")


def _codec_parameters(node: Video, codec: str) -> Iterator[Violation]:
    refused = [key for key, unfit in codecs.NOT_FOR.items() if codec in unfit and _acts(getattr(node, key))]
    for key in refused:
        yield error((key,), f"{show(getattr(node, key))}: {codec} does not take `{key}`", "leave it out")
    choices = {
        "profile": _PROFILES,
        "preset": codecs.PRESETS.get(codec, ()),
        "pixfmt": codecs.PIXEL_FORMATS.get(codec, ()),
    }
    for key, allowed in choices.items():
        if key not in refused and allowed:
            yield from one_of(key, getattr(node, key), allowed)
    if node.pixfmt == "auto" and not blank(node.profile) and node.profile != "auto":
        yield warning(("profile",), f"{node.profile} is changed to auto because `pixfmt` is auto", "write auto")


def _acts(value: object) -> bool:
    """Tell whether a value switches something on: the defaults that mean "off" are harmless with every codec."""
    return value not in (None, False, 0, "", "none")


def _crop_and_interlace(node: Video) -> Iterator[Violation]:
    if node.crop is not None and not blank(node.crop):
        yield from _crop(node.crop, node)
    for key in ("crop", "interlaced"):
        if not _acts(getattr(node, key)):
            continue
        if node.bitrate == "auto":
            yield error((key,), f"`{key}` does not go together with `bitrate` auto", f"leave {key} out")
        if _acts(node.roi):
            yield error((key,), f"`{key}` does not go together with `roi` {show(node.roi)}", f"leave {key} out")


def _crop(crop: str, node: Video) -> Iterator[Violation]:
    match = _CROP.fullmatch(crop)
    if match is None:
        yield error(("crop",), f"{show(crop)} is not width:height:left:top", "write 1280:720:0:0, say")
        return
    width, height, left, top = map(int, match.groups())
    if not (width and height):
        yield error(("crop",), f"{crop} is empty; width and height must be above 0")
    elif left + width > (node.width or CANVAS.high or 0) or top + height > (node.height or CANVAS.high or 0):
        yield warning(("crop",), f"{crop} reaches beyond the canvas of {node.width or '?'}×{node.height or '?'}")


def _rate_control(node: Video) -> Iterator[Violation]:
    if node.crf is not None and node.bitrate is not None:
        yield warning(("bitrate",), f"{node.bitrate} is ignored because `crf` is set", "leave one of the two out")


# Audio.


def _audio(node: Audio, container: str, video_codec: str | None) -> Iterator[Violation]:
    yield from _codec(node.codec, codecs.AUDIO_CODECS)
    yield from within(node, "bitrate", _AUDIO_BITRATE)
    codec = _audio_codec(node, container)
    yield from _fits(codec, container, "audio")
    if codec is None:
        yield from number_of("samplerate", node.samplerate, codecs.SAMPLE_RATES, "any codec")
    else:
        yield from _sound_parameters(node, codec, container)
    if video_codec == "H.265":
        for key in ("keep_two_tracks", "switch_track", "sample_format"):
            if _acts(getattr(node, key)):
                yield warning((key,), f"{show(getattr(node, key))}: `{key}` has no effect with H.265", "leave it out")


def _audio_codec(audio: Audio, container: str) -> str | None:
    if blank(audio.codec):
        return codecs.default_audio_codec(container)
    name = codecs.canonical_codec(audio.codec or "")
    return name if name in codecs.AUDIO_CODECS else None


def _sound_parameters(node: Audio, codec: str, container: str) -> Iterator[Violation]:
    rates = codecs.CODEC_RATES.get(codec, codecs.SAMPLE_RATES)
    what = codec
    if codec == "mp3" and container in codecs.MP3_RATES:
        rates, what = codecs.MP3_RATES[container], f"mp3 in {container}"
    yield from number_of("samplerate", node.samplerate, rates, what)
    channels = codecs.CHANNELS[codec]
    if container == "dash" and 8 in channels:
        channels, codec_in = tuple(number for number in channels if number != 8), f"{codec} in dash"
    else:
        codec_in = codec
    yield from number_of("channels", node.channels, channels, codec_in)
    yield from one_of("sample_format", node.sample_format, codecs.SAMPLE_FORMATS[codec])


# Switches of the transcoding stage.


def _trans_config(node: TransConfig, container: str) -> Iterator[Violation]:
    yield from _aspect(node.adj_dar_method)
    for key in _METHODS:
        yield from number_of(key, getattr(node, key), (0, 1), "this switch")
    yield from within(node, "transcode_index", Range(0))
    if node.hls_encrypt and node.hls_encrypt.is_hls_encrypt:
        yield from under(_encrypts("is_hls_encrypt", "hls", container), "hls_encrypt")
    if node.dash_encrypt and node.dash_encrypt.is_encrypt:
        yield from under(_encrypts("is_encrypt", "dash", container), "dash_encrypt")
    if node.aigc_metadata:
        yield from under(_aigc(node.aigc_metadata), "aigc_metadata")


def _aspect(method: str | None) -> Iterator[Violation]:
    if method == "rescale":
        yield warning(("adj_dar_method",), "rescale is an old name", "write scale")
    else:
        yield from one_of("adj_dar_method", method, ("scale", "crop", "pad", "none"))


def _encrypts(key: str, needed: str, container: str) -> Iterator[Violation]:
    if container in codecs.CONTAINERS and container != needed:
        yield warning((key,), f"true has no effect in {container}: only {needed} is encrypted", "leave it out")


def _aigc(node: AigcMetadata) -> Iterator[Violation]:
    yield from required(node, "produce_id", "the documents demand it", "write the number of the content")
    for key in ("reserved_code1", "reserved_code2"):
        text: str | None = getattr(node, key)
        if text is not None and not blank(text) and not _is_base64(text):
            yield error((key,), f"{show(text)} is not Base64")


def _is_base64(text: str) -> bool:
    try:
        binascii.a2b_base64(text.encode(), strict_mode=True)
    except binascii.Error:
        return False
    return True


# Sounds that are mixed in.


def _audio_mixes(node: Transcode) -> Iterator[Violation]:
    yield from at_most("audio_mix_array", node.audio_mix_array, AUDIO_MIXES)
    if node.audio_mix:
        yield from under(_audio_mix(node.audio_mix), "audio_mix")
    for index, mix in enumerate(node.audio_mix_array or ()):
        yield from under(_audio_mix(mix), "audio_mix_array", index)
    if node.audio_mix and node.audio_mix_array:
        yield warning(("audio_mix_array",), "`audio_mix_array` is ignored because `audio_mix` is given", "keep one")
    if node.audio is not None and not node.audio.remove:
        return
    reason = "`audio` is missing" if node.audio is None else "`audio.remove` is true"
    advice = "write audio: {codec: aac}" if node.audio is None else "leave remove out"
    for key in ("audio_mix", "audio_mix_array"):
        if getattr(node, key):
            yield warning((key,), f"`{key}` is not heard because {reason}", advice)


def _audio_mix(node: AudioMix) -> Iterator[Violation]:
    yield from one_of("mix_mode", node.mix_mode, ("Repeat", "Once"))
    if node.effect_config:
        yield from under(_fades(node.effect_config), "effect_config")


def _fades(node: EffectConfig) -> Iterator[Violation]:
    for switch, time in _FADES:
        on, seconds = getattr(node, switch), getattr(node, time)
        if seconds is not None and (on or seconds != 0):  # samples of the vendor send 0 with a fade that is off
            yield from within(node, time, _SOME_SECONDS)
        if on and seconds is None:
            yield error((time,), f"`{time}` is missing: `{switch}` is true", f"write {time}: 2, say")
        if seconds and not on:
            yield warning((time,), f"{show(seconds)} has no effect: `{switch}` is not true", f"write {switch}: true")
