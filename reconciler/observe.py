"""client + lockfile → ObservedState. Reads only: it may run beside another apply.

The bucket is listed by folder, a thousand keys a request, and never asked object by object. The list of jobs is asked
for only when a submission is in doubt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from reconciler.api.messages import Job
from reconciler.api.templates import Template
from reconciler.client import Client
from reconciler.lockfile import Lockfile
from reconciler.state import (
    USER_DATA_MARK,
    DesiredState,
    LiveJob,
    ObservedState,
    StoredObject,
    StoredTemplate,
    Submission,
)

CLOCK_SKEW: Final = timedelta(minutes=15)
"""How far our clock and the service's may be apart: the limit within which the service takes signatures."""

_MOST_PREFIXES: Final = 50
"""From this many folders on the whole bucket is listed at once."""


async def observe(client: Client, lockfile: Lockfile, desired: DesiredState) -> ObservedState:
    """Ask the service for everything that planning ``desired`` needs to know."""
    keys = {key for output in desired.outputs.values() for key in (output.object, *output.sources)}
    keys |= {record.object for record in lockfile.records.values()}
    for address, output in desired.outputs.items():
        if output.ignore_changes and address in lockfile.records:
            keys.update(lockfile.records[address].inputs)  # an ignored change may keep a source of before
    wanted = bool(desired.templates or lockfile.templates)
    objects, jobs, templates = await asyncio.gather(
        _objects(client, keys), find_jobs(client, lockfile.pending), stored_templates(client, wanted=wanted)
    )
    return ObservedState(
        objects=objects,
        records=lockfile.records,
        pending=dict(lockfile.pending),
        jobs=jobs,
        templates=templates,
        template_records=lockfile.templates,
    )


async def stored_templates(client: Client, *, wanted: bool = True) -> tuple[StoredTemplate, ...]:
    """Return every template that the service has; it is not asked when nobody wants to know."""
    return tuple(map(stored_template, await client.list_templates())) if wanted else ()


def stored_template(template: Template) -> StoredTemplate:
    """Return what planning compares of a template."""
    content = template.content
    return StoredTemplate(template.template_id, template.tag, template.name, content.plain() if content else {})


async def _objects(client: Client, keys: Iterable[str]) -> dict[str, StoredObject]:
    found: dict[str, StoredObject] = {}
    for prefix in prefixes(keys):
        found |= await client.list_objects(prefix)
    return found


def prefixes(keys: Iterable[str]) -> list[str]:
    """Return the prefixes whose listings together hold every one of ``keys``: their topmost folders.

    A key outside any folder is its own prefix.
    """
    found = sorted({f"{head}/" if slash else head for head, slash, _ in (key.partition("/") for key in keys)})
    return [""] if len(found) > _MOST_PREFIXES else found


async def find_jobs(client: Client, pending: Mapping[str, Submission]) -> dict[str, LiveJob]:
    """Return what the service knows of begun submissions, by address.

    A submission whose answer was recorded is asked for by id, one in doubt is looked for by its token.
    """
    known = {begun.job: address for address, begun in pending.items() if begun.job}
    found = {known[job.job_id]: _live(job) for job in (await client.jobs(known)).values() if job.job_id in known}
    doubtful = {begun.token: address for address, begun in pending.items() if not begun.job}
    if doubtful:
        since = min(begun.time for begun in pending.values() if not begun.job)
        async for job in client.list_jobs(created_after=_earlier(since)):
            address = doubtful.get(token_of(job))
            if address is not None:
                found[address] = _live(job)
    return found


def token_of(job: Job) -> str:
    """Return the token that a job of ours carries at the end of its UserData, or an empty string."""
    text = (job.operation.user_data if job.operation else None) or ""
    last = text.rpartition(" ")[2]
    return last if last.startswith(USER_DATA_MARK) else ""


def _live(job: Job) -> LiveJob:
    return LiveJob(job.job_id, job.state, job.progress or 0, token_of(job))


def _earlier(time: str) -> str:
    moment = datetime.fromisoformat(time) - CLOCK_SKEW
    return moment.strftime("%Y-%m-%dT%H:%M:%S%z")
