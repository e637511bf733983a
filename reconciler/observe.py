"""client + lockfile → ObservedState, or the lockfile alone. Reads only: it may run beside another apply.

The bucket is listed by folder, a thousand keys a request, and never asked object by object. The list of jobs is asked
for only when a submission is in doubt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from reconciler.api.messages import PAUSE, RUNNING, SUBMITTED, SUCCESS, Job
from reconciler.api.templates import Template
from reconciler.api.user_data import fingerprint_in, split_user_data
from reconciler.lockfile import Lockfile
from reconciler.outcome import key_made, reported_md5, told
from reconciler.state import (
    DesiredState,
    Glanced,
    LiveJob,
    ObservedState,
    PastJob,
    StoredObject,
    StoredTemplate,
    Submission,
)

if TYPE_CHECKING:
    from reconciler.client import Client

CLOCK_SKEW: Final = timedelta(minutes=15)
"""How far our clock and the service's may be apart: the limit within which the service takes signatures."""

_MOST_PREFIXES: Final = 50
"""From this many folders on the whole bucket is listed at once."""


_JOBS_LOOKED_THROUGH: Final = 2000
"""How far back the history is read when it is only about saving a render, not about an object that is there."""


async def observe(client: Client, lockfile: Lockfile, desired: DesiredState) -> ObservedState:
    """Ask the service for everything that planning ``desired`` needs to know."""
    keys = _keys_that_matter(desired, lockfile)
    return await observe_keys(client, lockfile, keys, templates=bool(desired.templates or lockfile.templates))


def _keys_that_matter(desired: DesiredState, lockfile: Lockfile) -> Iterator[str]:
    """Yield the keys of what is declared, of what it is made of and of what is recorded; some more than once."""
    for address, output in desired.outputs.items():
        yield output.object
        yield from output.sources
        if output.ignore_changes and address in lockfile.records:
            yield from lockfile.records[address].inputs  # an ignored change may keep a source of before
    for glance in lockfile.glances.values():
        yield glance.object


async def observe_keys(
    client: Client, lockfile: Lockfile, keys: Iterable[str], *, templates: bool = False
) -> ObservedState:
    """Ask the service for these objects, for begun submissions, and for its templates when they matter."""
    objects, jobs, stored = await asyncio.gather(
        _objects(client, keys), find_jobs(client, lockfile.pending), stored_templates(client, wanted=templates)
    )
    return ObservedState(
        objects=objects,
        records=lockfile.records,
        pending=dict(lockfile.pending),
        jobs=jobs,
        templates=stored,
        template_records=lockfile.templates,
        failures=lockfile.failures,
        glimpsed=lockfile.glances,
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

    A submission whose answer was recorded is asked for by id, one in doubt is looked for by its token. One that was
    sent more than once may have several jobs: the one that got furthest counts, the others are its twins.
    """
    known = {begun.job: address for address, begun in pending.items() if begun.job}
    found = {known[job.job_id]: [job] for job in (await client.jobs(known)).values() if job.job_id in known}
    doubtful = {begun.token: address for address, begun in pending.items() if not begun.job or begun.sends > 1}
    if doubtful:
        since = min(begun.time for begun in pending.values() if begun.token in doubtful)
        async for job in client.list_jobs(created_after=_earlier(since)):
            address = doubtful.get(token_of(job))
            if address is not None and job.job_id not in (other.job_id for other in found.get(address, ())):
                found.setdefault(address, []).append(job)
    return {address: _furthest(jobs) for address, jobs in found.items()}


async def history(client: Client, keys: Collection[str]) -> tuple[PastJob, ...]:
    """Return past jobs of ours, newest first: as many as may save a render, and all until each of ``keys`` was met.

    ``keys`` are those of objects that are there and that nobody has recorded.
    """
    found: list[PastJob] = []
    number, left = 0, set(keys)
    async for job in client.list_jobs():
        number += 1
        past = past_job(job)
        if past is not None:
            found.append(past)
            if past.state == SUCCESS:
                left.discard(past.key)
        if number >= _JOBS_LOOKED_THROUGH and not left:
            break
    return tuple(found)


def past_job(job: Job) -> PastJob | None:
    """Return what a job of ours tells of its result; None for somebody else's."""
    token = token_of(job)
    if not token or job.operation is None or job.operation.output is None:
        return None
    declared = job.operation.output.object
    key = key_made(job, declared)
    return PastJob(
        job=job.job_id,
        state=job.state,
        token=token,
        fingerprint=fingerprint_in(token),
        declared=declared,
        key=key,
        md5=reported_md5(job),
        operation=job.operation,
        **told(job, key),
    )


def token_of(job: Job) -> str:
    """Return the token that a job of ours carries at the end of its UserData, or an empty string."""
    return split_user_data((job.operation.user_data if job.operation else None) or "")[1]


_FURTHEST: Final = (SUCCESS, RUNNING, SUBMITTED, PAUSE)


def _furthest(jobs: Sequence[Job]) -> LiveJob:
    """Return the job that got furthest, the oldest of several, with the others as its twins."""
    rank = {state: place for place, state in enumerate(_FURTHEST)}
    first, *others = sorted(jobs, key=lambda job: (rank.get(job.state, len(rank)), job.creation_time or "", job.job_id))
    return LiveJob(
        first.job_id, first.state, first.progress or 0, token_of(first), tuple(other.job_id for other in others)
    )


def _earlier(time: str) -> str:
    moment = datetime.fromisoformat(time) - CLOCK_SKEW
    return moment.strftime("%Y-%m-%dT%H:%M:%S%z")


# Nobody is asked.


def as_recorded(lockfile: Lockfile) -> ObservedState:
    """Take everything to be as the lockfile has it."""
    return ObservedState(
        objects=_AsRecorded(lockfile.glances.values()),
        records=lockfile.records,
        pending=dict(lockfile.pending),
        templates=tuple(
            StoredTemplate(record.id, record.tag, record.name, record.stored) for record in lockfile.templates.values()
        ),
        template_records=lockfile.templates,
        failures=lockfile.failures,
        glimpsed=lockfile.glances,
        refreshed=False,
    )


class _AsRecorded(Mapping[str, StoredObject]):
    """The recorded objects by key, and the sources of which all records say the same; put together when asked for."""

    def __init__(self, glances: Iterable[Glanced]) -> None:
        self._glances = glances
        self._found: dict[str, StoredObject] | None = None

    def _all(self) -> dict[str, StoredObject]:
        if self._found is None:
            told: dict[str, set[str]] = {}
            for glance in self._glances:
                for key, etag in (glance.inputs or {}).items():
                    told.setdefault(key, set()).add(etag)
            sources = {key: StoredObject(next(iter(etags)), 0) for key, etags in told.items() if len(etags) == 1}
            made = {glance.object: StoredObject(glance.etag, glance.size or 0) for glance in self._glances}
            self._found = sources | made
        return self._found

    @override
    def __getitem__(self, key: str) -> StoredObject:
        return self._all()[key]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    @override
    def __len__(self) -> int:
        return len(self._all())
