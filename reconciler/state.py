"""The values that planning compares: desired, recorded and observed state, and the fingerprint that ties them.

No I/O, no clock. ``resolve`` makes the desired state, ``lockfile`` the recorded one, ``observe`` the observed one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from reconciler.api.messages import JobRequest
from reconciler.diagnostics import Diagnostic, Position

FINGERPRINT_VERSION: Final = "1"
"""Raised when what goes into a fingerprint changes; a record with another version is compared part by part."""

USER_DATA_MARK: Final = "reconciler:"
"""How the token that travels in a job's UserData begins; the fingerprint and a nonce follow."""

OWN_USER_DATA: Final = 1024 - len(" " + USER_DATA_MARK + "1:" + 40 * "f" + ":" + 16 * "0")
"""How long a person's own user data may be: the API's limit, less the token that is sent behind it."""

_NO_PIXELS: Final = frozenset({"user_data", "job_level", "output"})
_SOURCE_DEFAULTS: Final = {"x": 0, "y": 0}


@dataclass(frozen=True, slots=True)
class Output:
    """One declared video: what it is called, what it is made of, under which key it is stored.

    ``request`` holds one operation; its urls are object keys and its output names neither bucket nor region, so that
    the same declaration reads the same in every environment. ``sources`` are the keys it reads (videos, sounds,
    watermark pictures), ``upstream`` the addresses of those sources that are outputs themselves.
    """

    address: str
    request: JobRequest
    object: str
    sources: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()
    protect: bool = False
    adopt: bool = False
    ignore_changes: tuple[str, ...] = ()
    declared_at: Position | None = None


@dataclass(frozen=True, slots=True)
class DesiredState:
    """Every declared output by address, in address order; ``moved`` maps old addresses to new ones."""

    outputs: Mapping[str, Output]
    moved: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """What we last made for an address, as the lockfile keeps it.

    ``request`` is the whole resolved request under manifest keys, ``inputs`` the ETag of every source at that time;
    together they name what changed. ``size`` is in bytes, ``duration`` in seconds, times are ISO 8601 in UTC.
    """

    object: str
    fingerprint: str
    request: Mapping[str, Any]
    inputs: Mapping[str, str]
    etag: str
    job: str | None = None
    size: int | None = None
    duration: float | None = None
    created: str | None = None
    finished: str | None = None
    protect: bool = False


@dataclass(frozen=True, slots=True)
class Submission:
    """An effect that was begun and whose end is not recorded.

    Without ``job`` it is in doubt: the job may or may not exist. ``token`` travels in the job's UserData and finds it.
    """

    address: str
    token: str
    fingerprint: str
    object: str
    request: Mapping[str, Any]
    inputs: Mapping[str, str]
    time: str
    job: str | None = None


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that the bucket holds; ``size`` in bytes, ``etag`` without quotes."""

    etag: str
    size: int


@dataclass(frozen=True, slots=True)
class LiveJob:
    """A job of ours that the service has accepted and not finished, or finished without us having recorded it."""

    job: str
    state: str
    progress: int = 0
    token: str = ""


@dataclass(frozen=True, slots=True)
class ObservedState:
    """What bucket, jobs and lockfile say now.

    ``objects`` has every object under the keys that matter; ``pending`` the submissions without a recorded end, by
    address; ``jobs`` what the service says of those, by address.
    """

    objects: Mapping[str, StoredObject]
    records: Mapping[str, Record]
    pending: Mapping[str, Submission] = field(default_factory=dict)
    jobs: Mapping[str, LiveJob] = field(default_factory=dict)


def sources_of(request: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys that a resolved request reads, each once, sorted: videos, sounds, watermark pictures."""
    operation = request["operation"][0]
    transcode = operation.get("transcode") or {}
    mixes = [mix for mix in (transcode.get("audio_mix"), *(transcode.get("audio_mix_array") or ())) if mix]
    images = [mark["image"] for mark in operation.get("watermark") or () if mark.get("image")]
    found = {info["url"] for info in operation["video_synthesis"]["splice_info"]}
    return tuple(sorted(found | {mix["audio_source"] for mix in mixes} | {image["url"] for image in images}))


def content(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a resolved request that decides the pixels and the sound.

    Left out: user data, priority, callbacks, queue, where the result is stored, names of streams; documented defaults
    that are written out; the spelling of codec names (the API's own samples differ in case).
    """
    operation = request["operation"][0]
    kept = {key: value for key, value in operation.items() if key not in _NO_PIXELS}
    synthesis = dict(kept.get("video_synthesis") or {})
    if synthesis.get("keep_audio_track") is False:
        del synthesis["keep_audio_track"]
    synthesis["splice_info"] = [_source(info) for info in synthesis.get("splice_info", ())]
    kept["video_synthesis"] = synthesis
    if transcode := kept.get("transcode"):
        kept["transcode"] = {name: _fold_codec(node) for name, node in transcode.items()}
    return kept


def _source(info: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in info.items() if key != "name" and _SOURCE_DEFAULTS.get(key) != value}


def _fold_codec(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: value.lower() if key in ("codec", "format") else value for key, value in node.items()}
    return node


def fingerprint(request: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """Digest what decides the result: the content of the request and the ETag of every source.

    Two equal fingerprints mean the same picture; the version in front says what went into the digest.
    """
    text = json.dumps([content(request), dict(inputs)], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"{FINGERPRINT_VERSION}:{hashlib.sha256(text.encode()).hexdigest()[:40]}"


def request_keys(output: Output) -> dict[str, Any]:
    """Return an output's request as plain data under manifest keys, as the lockfile keeps it."""
    return output.request.plain()
