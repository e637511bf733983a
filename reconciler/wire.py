"""A resolved request as it is sent: object keys become URLs of the bucket, the output names bucket and region.

The reverse, URL → key, happens where manifests are resolved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

from reconciler.api.messages import JobRequest, Operation
from reconciler.api.templates import WATERMARK
from reconciler.api.transcode import AudioMix, Transcode
from reconciler.api.watermark import Watermark
from reconciler.state import TemplateRecord


def object_url(key: str, bucket: str, region: str) -> str:
    """Return the URL of an object; reference/cos-objects.md §1."""
    return f"https://{bucket}.cos.{region}.myqcloud.com/{quote(key, safe='/-_.~')}"


def wire_request(request: Mapping[str, Any], *, bucket: str, region: str) -> JobRequest:
    """Return the request that ``POST /jobs`` takes for a resolved one under manifest keys."""
    parsed = JobRequest.model_validate(request)
    operations = tuple(_operation(operation, bucket, region) for operation in parsed.operation)
    return parsed.model_copy(update={"operation": operations})


def with_templates(request: JobRequest, templates: Iterable[TemplateRecord]) -> JobRequest:
    """Return a request that names templates in the place of what they hold.

    A part of the request that is not what its template holds – an ignored change kept an earlier value – is left in.
    """
    operation = request.operation[0]
    update: dict[str, Any] = {}
    marks = []
    for template in templates:
        if template.tag == WATERMARK:
            marks.append(template)
        elif operation.transcode is not None and operation.transcode.plain() == template.content:
            update |= {"transcode_template_id": template.id, "transcode": None}
    held = [mark.plain() for mark in operation.watermark or ()]
    if marks and held == [template.content for template in marks]:
        update |= {"watermark_template_id": tuple(template.id for template in marks), "watermark": None}
    if not update:
        return request
    return request.model_copy(update={"operation": (operation.model_copy(update=update),)})


def _operation(operation: Operation, bucket: str, region: str) -> Operation:
    output = operation.output.model_copy(update={"bucket": bucket, "region": region})
    named = renamed(operation, lambda key: object_url(key, bucket, region))
    return named.model_copy(update={"output": output})


def renamed(operation: Operation, name: Callable[[str], str]) -> Operation:
    """Return an operation whose sources, sounds and pictures are called what ``name`` makes of what they are now."""
    synthesis = operation.video_synthesis
    placed = tuple(info.model_copy(update={"url": name(info.url)}) for info in synthesis.splice_info)
    update: dict[str, Any] = {"video_synthesis": synthesis.model_copy(update={"splice_info": placed})}
    if operation.transcode:
        update["transcode"] = with_sounds(operation.transcode, name)
    if operation.watermark:
        update["watermark"] = tuple(with_picture(mark, name) for mark in operation.watermark)
    return operation.model_copy(update=update)


def with_sounds(transcode: Transcode, name: Callable[[str], str]) -> Transcode:
    """Return encoding parameters whose sounds are called what ``name`` makes of what they are called now."""

    def mixed(mix: AudioMix) -> AudioMix:
        return mix.model_copy(update={"audio_source": name(mix.audio_source)})

    update: dict[str, Any] = {}
    if transcode.audio_mix:
        update["audio_mix"] = mixed(transcode.audio_mix)
    if transcode.audio_mix_array:
        update["audio_mix_array"] = tuple(mixed(mix) for mix in transcode.audio_mix_array)
    return transcode.model_copy(update=update) if update else transcode


def with_picture(mark: Watermark, name: Callable[[str], str]) -> Watermark:
    """Return a watermark whose picture is called what ``name`` makes of what it is called now."""
    if mark.image is None:
        return mark
    return mark.model_copy(update={"image": mark.image.model_copy(update={"url": name(mark.image.url)})})
