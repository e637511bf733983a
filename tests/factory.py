"""Small values for tests: requests, outputs, records, in the shape that the real stages make them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.api.messages import JobRequest
from reconciler.fingerprint import fingerprint
from reconciler.state import Output, Record, request_keys


def operation(*sources: str, key: str = "out/a.mp4", **video: Any) -> dict[str, Any]:
    return {
        "video_synthesis": {"splice_info": [{"url": source} for source in sources or ("in/a.mp4",)]},
        "transcode": {"container": {"format": "mp4"}, "video": {"width": 640, "height": 360, **video}},
        "output": {"object": key},
    }


def request(*sources: str, key: str = "out/a.mp4", **video: Any) -> JobRequest:
    return JobRequest.model_validate({"operation": [operation(*sources, key=key, **video)]})


def output(
    address: str = "a",
    *sources: str,
    key: str | None = None,
    upstream: tuple[str, ...] = (),
    video: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Output:
    """Return an output that is made of ``sources`` (default one, ``in/<address>.mp4``)."""
    names = sources or (f"in/{address}.mp4",)
    key = key or f"out/{address}.mp4"
    return Output(
        address=address,
        request=request(*names, key=key, **(video or {})),
        object=key,
        sources=tuple(dict.fromkeys(names)),
        upstream=upstream,
        **fields,
    )


def record(of: Output, inputs: Mapping[str, str], etag: str = "made", **fields: Any) -> Record:
    """Return the record of an output that was made from inputs with these ETags."""
    keys = request_keys(of)
    return Record(
        object=fields.pop("object", of.object),
        fingerprint=fingerprint(keys, inputs),
        request=keys,
        inputs=dict(inputs),
        etag=etag,
        **fields,
    )
