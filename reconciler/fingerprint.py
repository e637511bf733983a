"""The fingerprint: what decides a picture, digested. Two outputs with the same one show the same. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

FINGERPRINT_VERSION: Final = "2"
"""Raised when what goes into a fingerprint changes. It renders nothing anew: where versions differ, what the record
holds is digested in today's way and compared again. Version 1 knew sources by their keys too, not by content alone."""


_NO_PIXELS: Final = frozenset({"user_data", "job_level", "output"})


_SOURCE_DEFAULTS: Final = {"x": 0, "y": 0}

_DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "time_interval": {"start": 0},
    "video": {
        "codec": "h.264", "remove": False, "profile": "high", "preset": "medium", "long_short_mode": False,
        "roi": "none", "interlaced": False, "rotate": 0, "bufsize": 0, "maxrate": 0,
    },
    "audio": {
        "codec": "aac", "samplerate": 44100, "remove": False, "keep_two_tracks": False, "switch_track": False,
    },
    "trans_config": {
        "adj_dar_method": "none", "is_check_reso": False, "reso_adj_method": 0, "is_check_video_bitrate": False,
        "video_bitrate_adj_method": 0, "is_check_audio_bitrate": False, "audio_bitrate_adj_method": 0,
        "is_check_video_fps": False, "video_fps_adj_method": 0, "delete_metadata": False, "is_hdr2_sdr": False,
    },
}  # fmt: skip
"""What the documents say a node means when it is left out, for mp4 and its relatives (video-synthesis.md §2.4)."""


_DEFAULT_CRF: Final = 25
"""The quality when neither it nor a bitrate is given."""


def sources_of(request: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys that a resolved request reads, each once, as they come: videos, sounds, watermark pictures."""
    operation = request["operation"][0]
    transcode = operation.get("transcode") or {}
    mixes = [transcode["audio_mix"]] if transcode.get("audio_mix") else transcode.get("audio_mix_array") or ()
    images = [mark["image"] for mark in operation.get("watermark") or () if mark.get("image")]
    found = [info["url"] for info in operation["video_synthesis"]["splice_info"]]
    found += [mix["audio_source"] for mix in mixes]
    return tuple(dict.fromkeys((*found, *(image["url"] for image in images))))


def content(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a resolved request that decides the pixels and the sound.

    Left out: user data, priority, callbacks, queue, where the result is stored, names of streams; documented defaults
    that are written out, a bitrate beside a quality; the case of codec names (the API's own samples differ in it).
    """
    operation = request["operation"][0]
    kept = {key: value for key, value in operation.items() if key not in _NO_PIXELS}
    synthesis = dict(kept.get("video_synthesis") or {})
    if synthesis.get("keep_audio_track") is False:
        del synthesis["keep_audio_track"]
    synthesis["splice_info"] = [_source(info) for info in synthesis.get("splice_info", ())]
    kept["video_synthesis"] = synthesis
    if transcode := kept.get("transcode"):
        kept["transcode"] = _effective(transcode)
    return kept


def _source(info: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in info.items() if key != "name" and _SOURCE_DEFAULTS.get(key) != value}


def _effective(transcode: Mapping[str, Any]) -> dict[str, Any]:
    """Return what encoding parameters mean: without written-out defaults, and without what does not act."""
    nodes = {name: _fold_case(node) for name, node in transcode.items()}
    if nodes.get("audio_mix"):
        nodes.pop("audio_mix_array", None)  # the one beats the others
    if nodes.get("container", {}).get("format") == "webm":
        return nodes  # its codecs have other defaults
    if "crf" in nodes.get("video", {}):
        nodes["video"].pop("bitrate", None)
    if "bitrate" not in nodes.get("video", {}) and nodes.get("video", {}).get("crf") == _DEFAULT_CRF:
        del nodes["video"]["crf"]
    kept = {name: _without_defaults(name, node) for name, node in nodes.items()}
    return {name: node for name, node in kept.items() if node or name in ("video", "audio")}


def _fold_case(node: Any) -> Any:
    if not isinstance(node, Mapping):
        return node
    return {key: value.lower() if key in ("codec", "format") else value for key, value in node.items()}


def _without_defaults(name: str, node: Any) -> Any:
    defaults = _DEFAULTS.get(name)
    if defaults is None:
        return node
    return {key: value for key, value in node.items() if key not in defaults or defaults[key] != value}


def content_digest(request: Mapping[str, Any]) -> str:
    """Digest what decides the picture and the sound, but for what the sources hold: 40 hexadecimal digits.

    A source counts as "the first one", "the second one": what it is called touches no pixel.
    """
    places = {key: index for index, key in enumerate(sources_of(request))}
    kept = content(request)
    infos = [{**info, "url": places[info["url"]]} for info in kept["video_synthesis"]["splice_info"]]
    kept["video_synthesis"] = {**kept["video_synthesis"], "splice_info": infos}
    if transcode := kept.get("transcode"):
        kept["transcode"] = {name: _placed(name, node, places) for name, node in transcode.items()}
    if marks := kept.get("watermark"):
        kept["watermark"] = [_placed_mark(mark, places) for mark in marks]
    return _digest(kept)


def _placed(name: str, node: Any, places: Mapping[str, int]) -> Any:
    if name == "audio_mix":
        return {**node, "audio_source": places[node["audio_source"]]}
    if name == "audio_mix_array":
        return [_placed("audio_mix", mix, places) for mix in node]
    return node


def _placed_mark(mark: Mapping[str, Any], places: Mapping[str, int]) -> Mapping[str, Any]:
    image = mark.get("image")
    return {**mark, "image": {**image, "url": places[image["url"]]}} if image else mark


def fingerprint(request: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """Digest what decides the result: the content of the request and the ETag of every source.

    Two equal fingerprints mean the same picture; the version in front says what went into the digest.
    """
    return fingerprint_of(content_digest(request), sources_of(request), inputs)


def fingerprint_of(digest: str, sources: Iterable[str], inputs: Mapping[str, str]) -> str:
    """Return the fingerprint of a request whose content has this digest and which reads ``sources`` in this order."""
    text = "\n".join([digest, *[inputs.get(key, "") for key in sources]])
    return f"{FINGERPRINT_VERSION}:{hashlib.sha256(text.encode()).hexdigest()[:40]}"


def is_of_today(mark: str) -> bool:
    """Tell whether a fingerprint was made by this version."""
    return mark.startswith(f"{FINGERPRINT_VERSION}:")


def earlier_fingerprints(request: Mapping[str, Any], inputs: Mapping[str, str]) -> tuple[str, ...]:
    """Return what earlier versions of this program called the same picture: their tokens are still about."""
    return (f"1:{_digest([content(request), dict(inputs)])}",)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:40]
