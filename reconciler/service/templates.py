"""Template calls: create, replace, list, delete. Rows are in ``template_store``, their use in ``resolution``.

Source: reference/jobs-queues-templates.md §6 to §9.
"""

from __future__ import annotations

from typing import Any, Final

from reconciler.api import rules
from reconciler.api.templates import (
    CUSTOM,
    OFFICIAL,
    TRANSCODE,
    WATERMARK,
    NonExistTIDs,
    Template,
    TemplateDeleted,
    TemplateReply,
    TemplateRequest,
    TemplatesReply,
)
from reconciler.service import parameters
from reconciler.service.bucket import Bucket
from reconciler.service.http import Request, Response, read_message, xml_response
from reconciler.service.jobs_detail import wire_time
from reconciler.service.refused import RefusedError, refuse_broken
from reconciler.service.template_store import StoredTemplate, TemplateStore, Wanted

_NOTHING: Final = Wanted(ids=())


class TemplateCalls:
    """The calls about templates for every bucket."""

    def __init__(self, templates: TemplateStore) -> None:
        self._templates = templates

    async def __call__(self, request: Request, bucket: Bucket) -> Response:
        """Answer one template call."""
        name = request.path.removeprefix("/template").removeprefix("/")
        match request.method, bool(name):
            case "POST", False:
                return await self._create(request, bucket)
            case "GET", False:
                return self._list(request, bucket)
            case "PUT", True:
                return await self._replace(request, name, bucket)
            case "DELETE", True:
                return self._delete(request, name, bucket)
        raise RefusedError("MethodNotAllowed", f"{request.method} {request.path} is not a call of this API")

    async def _create(self, request: Request, bucket: Bucket) -> Response:
        content = _checked(read_message(TemplateRequest, await request.xml_body(), "Request"))
        return _reply(request, self._templates.create(bucket.name, content))

    async def _replace(self, request: Request, name: str, bucket: Bucket) -> Response:
        content = read_message(TemplateRequest, await request.xml_body(), "Request")
        known = self._templates.find(bucket.name, [name]).get(name)
        if known is None:
            raise _unknown(name)
        if _checked(content).tag != known.tag:
            text = f"`{name}` is a template with the tag {known.tag} and cannot become one with the tag {content.tag}"
            raise RefusedError("InvalidArgument", f"Request.Tag: {text}")
        replaced = self._templates.replace(bucket.name, name, content)
        if replaced is None:
            raise _unknown(name)  # another process has deleted it just now
        return _reply(request, replaced)

    def _delete(self, request: Request, name: str, bucket: Bucket) -> Response:
        if not self._templates.delete(bucket.name, name):
            raise _unknown(name)
        return xml_response(TemplateDeleted(request_id=request.id, template_id=name), "Response")

    def _list(self, request: Request, bucket: Bucket) -> Response:
        page = parameters.page(request)
        ids = parameters.names(request, "ids")
        found, total = self._templates.page(bucket.name, _wanted(request, ids), skipped=page.skipped, limit=page.size)
        known = self._templates.find(bucket.name, ids) if ids else {}
        missing = tuple(name for name in ids or () if name not in known)
        reply = TemplatesReply(
            request_id=request.id,
            total_count=total,
            page_number=page.number,
            page_size=page.size,
            template_list=tuple(_told(template) for template in found) or None,
            non_exist_tids=NonExistTIDs(template_id=missing) if missing else None,
        )
        return xml_response(reply, "Response")


def _wanted(request: Request, ids: tuple[str, ...] | None) -> Wanted:
    """Read what is asked for; of the templates that the cloud itself offers there are none here."""
    if parameters.choice(request, "category", (CUSTOM, OFFICIAL), CUSTOM) == OFFICIAL:
        return _NOTHING
    return Wanted(tag=request.parameter("tag"), prefix=request.parameter("name") or "", ids=ids)


def _checked(content: TemplateRequest) -> TemplateRequest:
    refuse_broken(rules.check_template(content), TemplateRequest)
    return content


def _unknown(name: str) -> RefusedError:
    return RefusedError("NoSuchTemplate", f"the bucket has no template `{name}`")


def _reply(request: Request, template: StoredTemplate) -> Response:
    return xml_response(TemplateReply(request_id=request.id, template=_told(template)), "Response")


def _told(template: StoredTemplate) -> Template:
    content: dict[str, Any] = {}
    if template.tag == TRANSCODE:
        content["trans_tpl"] = template.content.transcode
    elif template.tag == WATERMARK:
        content["watermark"] = template.content.watermark
    return Template(
        tag=template.tag,
        name=template.name,
        template_id=template.id,
        bucket_id=template.bucket,
        category=CUSTOM,
        create_time=wire_time(template.created_at),
        update_time=wire_time(template.updated_at),
        **content,
    )
