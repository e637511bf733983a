"""From the operation that was asked for to the one that is rendered: templates are put in the place of their ids.

This happens once, when a job is submitted; what becomes of a template later does not change the job. The reply goes on
showing the operation that was asked for.

Source: reference/video-synthesis.md §2.2.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from reconciler.api import rules, xml
from reconciler.api.messages import JobRequest, Operation
from reconciler.api.shape import tag_path
from reconciler.api.templates import TRANSCODE, WATERMARK, TemplateRequest
from reconciler.service import lettering
from reconciler.service.queue import StoredJob
from reconciler.service.refused import RefusedError
from reconciler.service.render.unsupported import Refusal, unsupported
from reconciler.service.template_store import StoredTemplate

Kept = Mapping[str, StoredTemplate]
"""The templates of a bucket by their ids."""


def template_ids(operation: Operation) -> list[str]:
    """Return the ids that an operation names."""
    transcode = operation.transcode_template_id
    return [*([transcode] if transcode else []), *(operation.watermark_template_id or ())]


def resolve(operation: Operation, where: str, kept: Kept) -> Operation:
    """Put the templates in the place of their ids; they beat what stands inline.

    ``where`` is the operation's path in the request, for messages. Raises RefusedError for an id that is unknown or of
    another tag, and for a transcode template that has no canvas.
    """
    changes: dict[str, Any] = {}
    if operation.transcode_template_id:
        place = f"{where}.TranscodeTemplateId"
        template = _template(operation.transcode_template_id, TRANSCODE, place, kept)
        _check_canvas(template, operation.transcode_template_id, place)
        changes |= {"transcode_template_id": None, "transcode": template.transcode}
    if operation.watermark_template_id:
        templates = [
            _template(name, WATERMARK, f"{where}.WatermarkTemplateId[{index}]", kept)
            for index, name in enumerate(operation.watermark_template_id)
        ]
        changes |= {"watermark_template_id": None, "watermark": tuple(each.watermark for each in templates)}
    return operation.model_copy(update=changes) if changes else operation


def problems(asked: Operation, resolved: Operation, where: str, lacking: Collection[str] = ()) -> Iterator[str]:
    """Yield what stands against rendering an operation: the documents' rules, then what is not rendered here.

    Rules are checked only where templates were put in; those of the request itself are the caller's business.
    """
    if resolved is not asked:
        broken = [found for found in rules.check_operation(resolved) if found.severity == "error"]
        for found in broken:
            yield f"{_origin(asked, where, found.path)}{rules.wire_message(found, Operation)}"
        if broken:
            return
    for refusal in (*unsupported(resolved, lacking), *_undrawable(resolved)):
        yield f"{_origin(asked, where, refusal.path)}{tag_path(Operation, refusal.path)}: {refusal.message}"


def _undrawable(operation: Operation) -> Iterator[Refusal]:
    """Yield the texts that hold a character which no font here has."""
    for number, mark in enumerate(operation.watermark or ()):
        if mark.type == "Text" and mark.text is not None and (letters := lettering.lacking(mark.text)):
            yield Refusal(("watermark", number, "text", "text"), f"no font here can draw {' '.join(letters)}")


def object_key(operation: Operation, job: str) -> str:
    """Return the key under which the result of a resolved operation is stored."""
    container = operation.transcode.container if operation.transcode else None
    return rules.expand_object(
        operation.output.object, ext=rules.extension(container.format if container else "mp4"), job_id=job
    )


def stored_request(job: StoredJob) -> JobRequest:
    """Return the request of a stored job as it is rendered; it has one operation."""
    return xml.read(JobRequest, (job.resolved or job.request).encode(), "Request")


def _template(name: str, tag: str, place: str, kept: Kept) -> TemplateRequest:
    template = kept.get(name)
    if template is None:
        raise RefusedError("NoSuchTemplate", f"{place}: there is no template `{name}`")
    if template.tag != tag:
        text = f"the template `{name}` has the tag {template.tag}; one with the tag {tag} belongs here"
        raise RefusedError("InvalidArgument", f"{place}: {text}")
    return template.content


def _check_canvas(template: TemplateRequest, name: str, place: str) -> None:
    video = template.video
    if video is None or video.width is None or video.height is None:
        text = (
            f"the template `{name}` lacks Video.Width or Video.Height; both are mandatory for VideoSynthesis, "
            "although they are optional in an ordinary transcode template"
        )
        raise RefusedError("InvalidArgument", f"{place}: {text}")


def _origin(asked: Operation, where: str, path: tuple[str | int, ...]) -> str:
    """Name the node of the request that a node of the resolved operation comes from, to stand before its own path."""
    if path[:1] == ("transcode",) and asked.transcode_template_id:
        return f"{where}.TranscodeTemplateId: in `{asked.transcode_template_id}`, "
    if path[:1] == ("watermark",) and asked.watermark_template_id and isinstance(path[1], int):
        index = path[1]
        return f"{where}.WatermarkTemplateId[{index}]: in `{asked.watermark_template_id[index]}`, "
    return f"{where}."
