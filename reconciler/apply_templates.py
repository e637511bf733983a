"""Carry out what is planned about templates: a part of ``apply``.

Creating a template has no idempotency key. One whose answer was lost is looked for by name and content; should the
process die before it is recorded, the next plan finds it in the same way and adopts it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from reconciler.api.templates import WATERMARK, TemplateRequest
from reconciler.api.transcode import Transcode
from reconciler.api.watermark import Watermark
from reconciler.client import Client
from reconciler.errors import ClientError, ServiceError, UnreachableError
from reconciler.lockfile import Lockfile
from reconciler.observe import stored_template, stored_templates
from reconciler.plan_templates import TemplateAction, differs
from reconciler.report import Report
from reconciler.state import StoredTemplate, TemplateRecord

_GOING: Final = frozenset({"delete", "forget"})
_NONE: Final[Mapping[str, StoredTemplate]] = {}


@dataclass
class TemplateKeeper:
    """Writes templates to the service and into the lockfile; remembers which could not be written.

    Once ``stop`` is set nothing more is written or deleted.
    """

    client: Client
    lockfile: Lockfile
    report: Report
    stop: asyncio.Event
    failed: set[str] = field(default_factory=set)

    async def write(self, actions: Iterable[TemplateAction]) -> None:
        """Create, update and adopt: what jobs are going to name."""
        for action in actions:
            if self.stop.is_set():
                return
            if action.kind in ("create", "update", "adopt"):
                await self._attempt(action)
            elif action.kind == "conflict":
                self._fail(action, action.reason)

    async def recheck(self, addresses: Iterable[str]) -> None:
        """Fail the templates that somebody else changed since: jobs were submitted with whatever they held."""
        wanted = [address for address in addresses if address in self.lockfile.templates]
        if not wanted:
            return
        try:
            there = {template.id: template for template in await stored_templates(self.client)}
        except ClientError as error:
            self.report.note(f"whether templates changed during the run is not known: {error.message}")
            return
        for address in wanted:
            record = self.lockfile.templates[address]
            found = there.get(record.id)
            if found is None or differs(found, record):
                self.report.failed(address, "changed on the service during this run; `apply --replace` what was made")

    async def remove(self, actions: Iterable[TemplateAction]) -> None:
        """Delete what is no longer declared, unless somebody else has changed it since the plan was made."""
        going = [action for action in actions if action.kind in _GOING]
        deletes = any(action.kind == "delete" for action in going) and not self.stop.is_set()
        try:
            there = {template.id: template for template in await stored_templates(self.client, wanted=deletes)}
        except ClientError as error:
            for action in going:
                self._fail(action, error.message)
            return
        for action in going:
            if not self.stop.is_set():
                await self._attempt(action, there)

    async def _attempt(self, action: TemplateAction, there: Mapping[str, StoredTemplate] = _NONE) -> None:
        try:
            await self._perform(action, there)
        except ClientError as error:
            self._fail(action, error.message)
        else:
            self.report.template(action.address, action.kind)

    async def _perform(self, action: TemplateAction, there: Mapping[str, StoredTemplate]) -> None:
        match action.kind:
            case "create":
                await self._record(action, await self._created(action))
            case "update":
                assert action.id is not None
                updated = await self.client.update_template(action.id, _request(action))
                await self._record(action, stored_template(updated))
            case "adopt":
                assert action.id is not None
                await self._record(action, StoredTemplate(action.id, action.tag, action.name, action.stored))
            case "delete":
                await self._delete(action.address, there)
            case _:
                await self.lockfile.forget_template(action.address)

    async def _created(self, action: TemplateAction) -> StoredTemplate:
        """Create a template once; after an answer that does not tell, look whether it is there."""
        try:
            return stored_template(await self.client.create_template(_request(action)))
        except ServiceError as error:
            if not error.uncertain:
                raise
            unknown: ClientError = error
        except UnreachableError as error:
            if not error.sent:
                raise
            unknown = error
        for there in await stored_templates(self.client):
            if (there.tag, there.name, there.content) == (action.tag, action.name, action.content):
                return there
        raise unknown

    async def _delete(self, address: str, there: Mapping[str, StoredTemplate]) -> None:
        record = self.lockfile.templates[address]
        if record.id in there and differs(there[record.id], record):
            raise ClientError(f"{record.id} has changed since the plan was made; kept")
        await self.client.delete_template(record.id)
        await self.lockfile.forget_template(address)

    async def _record(self, action: TemplateAction, there: StoredTemplate) -> None:
        before = self.lockfile.templates.get(action.address)
        adopted = action.kind == "adopt" or (action.kind == "update" and before is not None and before.adopted)
        record = TemplateRecord(there.id, action.tag, action.name, action.content, there.content, adopted)
        await self.lockfile.keep_template(action.address, record)

    def _fail(self, action: TemplateAction, reason: str) -> None:
        self.failed.add(action.address)
        self.report.failed(action.address, reason)


def _request(action: TemplateAction) -> TemplateRequest:
    if action.tag == WATERMARK:
        return TemplateRequest.of(action.name, Watermark.model_validate(action.content))
    return TemplateRequest.of(action.name, Transcode.model_validate(action.content))
