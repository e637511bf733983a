"""The files that an operation names: sources, sounds that are mixed in, pictures of watermarks. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.api.messages import Operation
from reconciler.service.render import sound


def urls_of(operation: Operation) -> tuple[str, ...]:
    """Return what a resolved operation reads, each once: what has no effect is not read."""
    return tuple(dict.fromkeys(_urls(operation)))


def _urls(operation: Operation) -> Iterator[str]:
    yield from (source.url for source in operation.video_synthesis.splice_info)
    yield from (mix.audio_source for mix in sound.listed(operation))
    yield from (mark.image.url for mark in operation.watermark or () if mark.type == "Image" and mark.image)
