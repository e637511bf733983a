"""Does the lockfile tell the truth? Its records against bucket, jobs and templates. Reads only, mends nothing.

What the manifests want does not matter here: a record that fits what is there is true, also when plan would make the
output anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from reconciler.api.messages import SUCCESS, Job
from reconciler.client import Client
from reconciler.fingerprint import fingerprint, is_of_today
from reconciler.lockfile import Lockfile
from reconciler.observe import prefixes, stored_templates
from reconciler.outcome import reported_md5
from reconciler.plan_templates import differs
from reconciler.state import Record, StoredObject, StoredTemplate, TemplateRecord

Part = Literal["object", "etag", "size", "files", "job", "md5", "fingerprint", "key", "template"]

_PENDING: Final = "; the end of its last submission is not recorded yet, apply does that"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a record says and the world does not.

    ``recorded`` and ``found`` are the two values of that ``part`` of the record; None for what is not there.
    """

    address: str
    part: Part
    summary: str
    recorded: Any = None
    found: Any = None


@dataclass(frozen=True, slots=True)
class Verification:
    """What is wrong, in address order; and what differs for a reason that is known, and is no fault."""

    faults: tuple[Finding, ...] = ()
    notes: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What bucket and service have of what is recorded: objects by key, jobs by id, all templates."""

    objects: Mapping[str, StoredObject]
    jobs: Mapping[str, Job]
    templates: tuple[StoredTemplate, ...] = ()


async def gather(client: Client, lockfile: Lockfile) -> Evidence:
    """Ask for everything that the lockfile records: folders listed, jobs by fifty, never object by object."""
    records = lockfile.records.values()
    keys = {key for record in records for key in (record.object, *(record.files or ()))}
    objects, jobs, templates = await asyncio.gather(
        _objects(client, keys),
        client.jobs(record.job for record in records if record.job),
        stored_templates(client, wanted=bool(lockfile.templates)),
    )
    return Evidence(objects, jobs, templates)


async def _objects(client: Client, keys: Collection[str]) -> dict[str, StoredObject]:
    found: dict[str, StoredObject] = {}
    for prefix in prefixes(keys):
        page = await client.list_objects(prefix)
        found |= {key: page[key] for key in page.keys() & keys}
    return found


def verify(
    records: Mapping[str, Record],
    templates: Mapping[str, TemplateRecord],
    evidence: Evidence,
    *,
    pending: Collection[str] = (),
) -> Verification:
    """Compare every record with the evidence.

    The object of an address in ``pending`` may be that of a job whose end is not recorded yet, so it is no fault.
    """
    faults: list[Finding] = []
    notes: list[Finding] = []
    for address in sorted(records):
        record = records[address]
        found = [*_of_object(address, record, evidence.objects), *_of_files(address, record, evidence.objects)]
        if address in pending:
            notes += [replace(finding, summary=finding.summary + _PENDING) for finding in found]
        else:
            faults += found
        faults.extend(_of_job(address, record, evidence.jobs))
        if (finding := _of_fingerprint(address, record)) is not None:
            (faults if _is_comparable(record) else notes).append(finding)
    faults += [*_shared(records), *_of_templates(templates, evidence.templates)]
    return Verification(tuple(sorted(faults, key=lambda fault: fault.address)), tuple(notes))


def _of_object(address: str, record: Record, objects: Mapping[str, StoredObject]) -> Iterator[Finding]:
    key, there = record.object, objects.get(record.object)
    if there is None:
        yield Finding(address, "object", f"{key} is gone", key)
    elif there.etag != record.etag:
        summary = f"{key} is another object: its ETag is {there.etag}, recorded is {record.etag}"
        yield Finding(address, "etag", summary, record.etag, there.etag)
    elif record.size is not None and there.size != record.size:
        summary = f"{key} has {there.size} bytes, recorded are {record.size}"
        yield Finding(address, "size", summary, record.size, there.size)


def _of_files(address: str, record: Record, objects: Mapping[str, StoredObject]) -> Iterator[Finding]:
    """Tell of the segments that are gone: in one line, there may be a thousand."""
    missing = [key for key in record.files or () if key not in objects]
    if missing:
        gone = f"{missing[0]} is gone" if len(missing) == 1 else f"{missing[0]} and {len(missing) - 1} more are gone"
        yield Finding(address, "files", f"{gone}, of the segments of {record.object}", missing)


def _of_job(address: str, record: Record, jobs: Mapping[str, Job]) -> Iterator[Finding]:
    """Compare with the job; services forget jobs after a time, which is no fault."""
    job = jobs.get(record.job or "")
    if job is None:
        return
    if job.state != SUCCESS:
        yield Finding(address, "job", f"job {job.job_id} is {job.state}, so it made nothing", SUCCESS, job.state)
    made = reported_md5(job)
    # The ETag of an object that was uploaded in parts is no MD5; it has a dash.
    if made and "-" not in record.etag and made != record.etag:
        summary = f"job {job.job_id} made an object with the MD5 {made}, recorded is the ETag {record.etag}"
        yield Finding(address, "md5", summary, record.etag, made)


def _of_fingerprint(address: str, record: Record) -> Finding | None:
    digest = fingerprint(record.request, record.inputs)
    if digest == record.fingerprint:
        return None
    if not is_of_today(record.fingerprint):
        summary = "digested by another version of reconciler, and not compared"
    elif not record.inputs:
        summary = "what its sources held is not recorded, so its fingerprint was not compared"
    else:
        summary = f"its fingerprint is {record.fingerprint}, the digest of what it records is {digest}"
    return Finding(address, "fingerprint", summary, record.fingerprint, digest)


def _is_comparable(record: Record) -> bool:
    return is_of_today(record.fingerprint) and bool(record.inputs)


def _shared(records: Mapping[str, Record]) -> Iterator[Finding]:
    """Yield the records of an object that another one has too; the first one in address order is left in peace."""
    owners: dict[str, str] = {}
    for address in sorted(records):
        key = records[address].object
        owner = owners.setdefault(key, address)
        if owner != address:
            yield Finding(address, "key", f"{key} is recorded for {owner} too", key, owner)


def _of_templates(records: Mapping[str, TemplateRecord], templates: Collection[StoredTemplate]) -> Iterator[Finding]:
    by_id = {template.id: template for template in templates}
    for address, record in records.items():
        there = by_id.get(record.id)
        if there is None:
            yield Finding(address, "template", f"template {record.id} is gone from the service", record.id)
        elif differs(there, record):
            summary = f"template {record.id} changed outside: {_change(there, record)}"
            yield Finding(address, "template", summary, record.stored, there.content)


def _change(there: StoredTemplate, record: TemplateRecord) -> str:
    """Name the first field in which a template is not as it was stored."""
    from reconciler.changes import changes, first_of

    before = {"tag": record.tag, "name": record.name, **record.stored}
    return first_of(changes(before, {"tag": there.tag, "name": there.name, **there.content}))
