"""The files that an operation names: sources, sounds that are mixed in, pictures of watermarks. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from reconciler.api.messages import Operation
from reconciler.wire import with_picture, with_sounds


def urls_of(operation: Operation) -> tuple[str, ...]:
    """Return what a resolved operation reads, each once: what has no effect is not read.

    ``audio_mix`` beats ``audio_mix_array``; neither is heard without an audio, or with one that is removed.
    """
    return tuple(dict.fromkeys(_urls(operation)))


def _urls(operation: Operation) -> Iterator[str]:
    for source in operation.video_synthesis.splice_info:
        yield source.url
    transcode = operation.transcode
    if transcode is not None and transcode.audio is not None and not transcode.audio.remove:
        mixes = (transcode.audio_mix,) if transcode.audio_mix else transcode.audio_mix_array or ()
        yield from (mix.audio_source for mix in mixes)
    for mark in operation.watermark or ():
        if mark.type == "Image" and mark.image is not None:
            yield mark.image.url


def renamed(operation: Operation, name: Callable[[str], str]) -> Operation:
    """Return the operation with every file called what ``name`` makes of what it is called now."""
    synthesis = operation.video_synthesis
    placed = tuple(source.model_copy(update={"url": name(source.url)}) for source in synthesis.splice_info)
    update: dict[str, Any] = {"video_synthesis": synthesis.model_copy(update={"splice_info": placed})}
    if operation.transcode:
        update["transcode"] = with_sounds(operation.transcode, name)
    if operation.watermark:
        update["watermark"] = tuple(with_picture(mark, name) for mark in operation.watermark)
    return operation.model_copy(update=update)
