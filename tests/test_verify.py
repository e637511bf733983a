"""Verifying compares every record with what is there, and asks for it by the folder and by fifty."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from typing_extensions import override

from reconciler.api.messages import FAILED, SUCCESS, TERMINAL, Job, JobOperation
from reconciler.api.templates import TemplateRequest
from reconciler.api.transcode import Transcode
from reconciler.client import Client
from reconciler.endpoints import Endpoints
from reconciler.fingerprint import FINGERPRINT_VERSION
from reconciler.lockfile import Lockfile
from reconciler.lockformat import dump
from reconciler.observe import stored_template
from reconciler.outcome import reported_md5
from reconciler.service import Service
from reconciler.state import Record, StoredObject, StoredTemplate, TemplateRecord
from reconciler.verify import Evidence, Finding, Verification, gather, verify
from reconciler.wire import wire_request
from tests.factory import operation, output, record
from tests.service.harness import BUCKET, REGION, Studio, drop

ETAG, OTHER = "e" * 32, "f" * 32


def made(name: str = "a", etag: str = ETAG, **fields: str | int | list[str]) -> Record:
    return record(output(name), {f"in/{name}.mp4": "s"}, etag, **{"size": 5, **fields})


A = made(job="j1", files=["out/a-1.ts", "out/a-2.ts"])
STORED = {"out/a.mp4": StoredObject(ETAG, 5), "out/a-1.ts": StoredObject("1", 1), "out/a-2.ts": StoredObject("2", 2)}


def ended(state: str = SUCCESS, md5: str | None = ETAG) -> Job:
    result = {"output_file": {"object_name": ["out/a.mp4"], "md5_info": [{"md5": md5}]}} if md5 else None
    return Job(job_id="j1", state=state, operation=JobOperation.model_validate({**operation(), "media_result": result}))


def test_what_is_recorded_and_there_has_no_fault() -> None:
    assert verify({"a": A}, {}, Evidence(STORED, {"j1": ended()})) == Verification()


@pytest.mark.parametrize(
    ("objects", "finding"),
    [
        pytest.param({"out/a.mp4": None}, Finding("a", "object", "out/a.mp4 is gone", "out/a.mp4"), id="gone"),
        pytest.param(
            {"out/a.mp4": StoredObject(OTHER, 7)},
            Finding("a", "etag", f"out/a.mp4 is another object: its ETag is {OTHER}, recorded is {ETAG}", ETAG, OTHER),
            id="replaced",
        ),
        pytest.param(
            {"out/a.mp4": StoredObject(ETAG, 7)},
            Finding("a", "size", "out/a.mp4 has 7 bytes, recorded are 5", 5, 7),
            id="another size",
        ),
        pytest.param(
            {"out/a-2.ts": None},
            Finding("a", "files", "out/a-2.ts is gone, of the segments of out/a.mp4", ["out/a-2.ts"]),
            id="a segment gone",
        ),
        pytest.param(
            {"out/a-1.ts": None, "out/a-2.ts": None},
            Finding(
                "a",
                "files",
                "out/a-1.ts and 1 more are gone, of the segments of out/a.mp4",
                ["out/a-1.ts", "out/a-2.ts"],
            ),
            id="segments gone",
        ),
    ],
)
def test_objects(objects: dict[str, StoredObject | None], finding: Finding) -> None:
    there = {key: stored for key, stored in {**STORED, **objects}.items() if stored is not None}
    assert verify({"a": A}, {}, Evidence(there, {})) == Verification((finding,))
    late = "; the end of its last submission is not recorded yet, apply does that"
    note = replace(finding, summary=finding.summary + late)
    assert verify({"a": A}, {}, Evidence(there, {}), pending={"a"}) == Verification((), (note,))


def test_a_size_that_was_not_recorded_is_not_compared() -> None:
    assert verify({"a": replace(A, size=None)}, {}, Evidence(STORED, {})) == Verification()


@pytest.mark.parametrize(
    ("job", "etag", "finding"),
    [
        pytest.param(ended(md5=None), ETAG, None, id="tells no digest"),
        pytest.param(ended(md5=OTHER), f"{ETAG}-2", None, id="an object uploaded in parts"),
        pytest.param(
            ended(md5=OTHER),
            ETAG,
            Finding(
                "a", "md5", f"job j1 made an object with the MD5 {OTHER}, recorded is the ETag {ETAG}", ETAG, OTHER
            ),
            id="made something else",
        ),
        pytest.param(
            ended(FAILED, md5=None),
            ETAG,
            Finding("a", "job", "job j1 is Failed, so it made nothing", SUCCESS, FAILED),
            id="failed",
        ),
    ],
)
def test_jobs(job: Job, etag: str, finding: Finding | None) -> None:
    there = {**STORED, "out/a.mp4": StoredObject(etag, 5)}
    found = verify({"a": replace(A, etag=etag)}, {}, Evidence(there, {"j1": job}))
    assert found == Verification((finding,) if finding else ())


def test_a_fingerprint_is_the_digest_of_what_is_recorded() -> None:
    wrong = f"{FINGERPRINT_VERSION}:{'0' * 40}"
    summary = f"its fingerprint is {wrong}, the digest of what it records is {A.fingerprint}"
    fault = Finding("a", "fingerprint", summary, wrong, A.fingerprint)
    assert verify({"a": replace(A, fingerprint=wrong)}, {}, Evidence(STORED, {})) == Verification((fault,))
    older = f"0:{'0' * 40}"
    note = Finding(
        "a", "fingerprint", "digested by another version of reconciler, and not compared", older, A.fingerprint
    )
    assert verify({"a": replace(A, fingerprint=older)}, {}, Evidence(STORED, {})) == Verification((), (note,))


def test_an_object_has_one_record() -> None:
    found = verify({"b": A, "a": A, "c": A}, {}, Evidence(STORED, {}))
    summary = "out/a.mp4 is recorded for a too"
    assert found.faults == tuple(Finding(name, "key", summary, "out/a.mp4", "a") for name in "bc")


KEPT = TemplateRecord("t1", "Transcode", "hd", {"video": {"fps": 25}}, {"video": {"fps": 25, "codec": "H.264"}})


@pytest.mark.parametrize(
    ("templates", "summary"),
    [
        ((StoredTemplate("t1", "Transcode", "hd", KEPT.stored),), None),
        ((StoredTemplate("t2", "Transcode", "hd", KEPT.stored),), "template t1 is gone from the service"),
        ((StoredTemplate("t1", "Transcode", "sd", KEPT.stored),), "template t1 changed outside: name: hd → sd"),
        (
            (StoredTemplate("t1", "Transcode", "hd", {"video": {"fps": 30, "codec": "H.264"}}),),
            "template t1 changed outside: video.fps: 25 → 30",
        ),
    ],
)
def test_templates(templates: tuple[StoredTemplate, ...], summary: str | None) -> None:
    found = verify({}, {"transcode_template.hd": KEPT}, Evidence({}, {}, templates))
    assert [fault.summary for fault in found.faults] == ([summary] if summary else [])
    assert {(fault.address, fault.part) for fault in found.faults} <= {("transcode_template.hd", "template")}


def test_faults_are_told_by_address() -> None:
    records = {"b": made("b"), "a": replace(A, fingerprint=f"{FINGERPRINT_VERSION}:")}
    found = verify(records, {"a.t": KEPT}, Evidence({}, {}))
    assert [fault.address for fault in found.faults] == ["a", "a", "a", "a.t", "b"]


# At the real service.


class Counting(httpx.ASGITransport):
    """A transport that remembers what is asked."""

    def __init__(self, service: Service) -> None:
        super().__init__(app=service.app)
        self.calls: list[str] = []

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(f"{request.method} /{request.url.path.split('/')[1]}")
        return await super().handle_async_request(request)


async def finished(client: Client, job: str) -> Job:
    async with asyncio.timeout(20):
        while True:
            found = (await client.jobs([job]))[job]
            if found.state in TERMINAL:
                return found
            await asyncio.sleep(0.01)


async def compose(client: Client, name: str) -> Record:
    """Have an output made, and return its record."""
    keys = made(name).request
    accepted = await client.submit(wire_request(keys, bucket=BUCKET, region=REGION))
    job = await finished(client, accepted.job_id)
    stored = await client.head_object(f"out/{name}.mp4")
    assert stored is not None
    assert reported_md5(job) == stored.etag
    return replace(made(name), job=job.job_id, etag=stored.etag, size=stored.size)


async def keep(client: Client) -> TemplateRecord:
    content = Transcode.model_validate({"container": {"format": "mp4"}, "video": {"width": 640, "height": 360}})
    made = stored_template(await client.create_template(TemplateRequest.of("hd", content)))
    return TemplateRecord(made.id, made.tag, made.name, content.plain(), made.content)


def write(folder: Path, records: dict[str, Record], templates: dict[str, TemplateRecord]) -> Lockfile:
    path = folder / "reconciler.lock"
    path.write_text(dump(records, templates))
    return Lockfile.load(path, folder / "journal")


async def faults(client: Client, lockfile: Lockfile) -> Collection[str]:
    found = verify(lockfile.records, lockfile.templates, await gather(client, lockfile))
    return [f"{fault.address}: {fault.part}" for fault in found.faults]


async def at_work(folder: Path) -> None:
    async with Service(folder, bucket=BUCKET, region=REGION, render=Studio()) as service:
        transport = Counting(service)
        async with Client(Endpoints.of(BUCKET, REGION), transport=transport) as client:
            await one_day(folder, client, transport)


async def one_day(folder: Path, client: Client, transport: Counting) -> None:
    records = {name: await compose(client, name) for name in "ab"}
    lockfile = write(folder, records, {"transcode_template.hd": await keep(client)})
    assert await faults(client, lockfile) == []

    transport.calls.clear()
    forgotten = {f"x{number}": replace(records["a"], job=f"j{number:032x}") for number in range(60)}
    await gather(client, write(folder, {**records, **forgotten}, lockfile.templates))
    assert sorted(transport.calls) == ["GET /", *["GET /jobs"] * 2, *["GET /template"] * 2]

    await client.put_object("out/a.mp4", b"mine")
    await client.delete_object("out/b.mp4")
    await client.delete_template(lockfile.templates["transcode_template.hd"].id)
    assert await faults(client, lockfile) == ["a: etag", "b: object", "transcode_template.hd: template"]


def test_what_a_service_made_is_true_until_somebody_changes_it(tmp_path: Path) -> None:
    for name in "ab":
        drop(tmp_path, f"in/{name}.mp4")
    asyncio.run(at_work(tmp_path))
