"""The client as a stranger at the real service: what it says is what the service understands, also when that is busy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from reconciler.api.error_codes import error_code
from reconciler.api.signing import Credentials
from reconciler.api.templates import TemplateRequest
from reconciler.api.transcode import Transcode
from reconciler.api.watermark import Watermark
from reconciler.apply import Pace, apply
from reconciler.client import SMALL_PAGE, Client
from reconciler.endpoints import Endpoints
from reconciler.errors import ServiceError
from reconciler.lockfile import Lockfile
from reconciler.observe import observe
from reconciler.plan import plan
from reconciler.report import Report
from reconciler.service import Service
from reconciler.service.http import Receive, Scope, Send, error_response
from reconciler.state import DesiredState
from reconciler.wire import wire_request
from tests.factory import output
from tests.fakes import StandingClock
from tests.service.harness import BUCKET, REGION, Studio, drop

CREDENTIALS = Credentials("AKIDEXAMPLE", "planted-secret-key", "planted-token")
T = TypeVar("T")


@asynccontextmanager
async def connected(root: Path, **options: Any) -> AsyncIterator[Client]:
    """The real client at the real service; both with temporary credentials."""
    async with Service(root, bucket=BUCKET, region=REGION, credentials=CREDENTIALS, render=Studio()) as service:
        transport = httpx.ASGITransport(app=service.app, raise_app_exceptions=False)
        async with Client(Endpoints.of(BUCKET, REGION), CREDENTIALS, transport=transport, **options) as client:
            yield client


def at_service(root: Path, act: Callable[[Client], Awaitable[T]]) -> T:
    async def main() -> T:
        async with connected(root) as client:
            return await act(client)

    return asyncio.run(main())


def transcode(name: str, bitrate: int = 500) -> TemplateRequest:
    content = {"container": {"format": "mp4"}, "video": {"width": 640, "height": 360, "bitrate": bitrate}}
    return TemplateRequest.of(name, Transcode.model_validate(content))


def watermark(name: str) -> TemplateRequest:
    text = {"text": "draft", "font_size": 20, "font_type": "simfang.ttf", "font_color": "0x112233", "transparency": 50}
    content = {"type": "Text", "pos": "TopLeft", "loc_mode": "Absolute", "dx": 8, "dy": 8, "text": text}
    return TemplateRequest.of(name, Watermark.model_validate(content))


def test_templates_have_a_whole_life(tmp_path: Path) -> None:
    async def act(client: Client) -> None:
        assert await client.list_templates() == []
        made = [await client.create_template(transcode(f"hd-{number}")) for number in range(SMALL_PAGE + 2)]
        mark = await client.create_template(watermark("draft"))
        assert {template.template_id for template in await client.list_templates()} == {
            *(template.template_id for template in made),
            mark.template_id,
        }
        updated = await client.update_template(made[0].template_id, transcode("hd-0", bitrate=900))
        assert isinstance(updated.content, Transcode)
        assert updated.content.video is not None
        assert updated.content.video.bitrate == 900
        for template in (*made, mark, mark):
            await client.delete_template(template.template_id)
        assert await client.list_templates() == []
        with pytest.raises(ServiceError, match="404 NoSuchTemplate"):
            await client.update_template(made[0].template_id, transcode("hd-0"))

    at_service(tmp_path, act)


def test_queues_and_media_buckets(tmp_path: Path) -> None:
    async def act(client: Client) -> None:
        (queue,) = await client.queues()
        assert queue.state == "Active"
        assert [bucket.name for bucket in await client.media_buckets()] == [BUCKET]
        assert [bucket.name for bucket in await client.media_buckets(BUCKET, "other-1250000000")] == [BUCKET]
        assert await client.media_buckets("other-1250000000") == []

    at_service(tmp_path, act)


AWKWARD = ["a b.mp4", "演/示.mp4", "a+b%20c.mp4", "a;b&c=d?e#f.mp4", "100%", "...", "in/.a", "a\\b\"c'd", "~(a)*!,@:$"]


@pytest.mark.parametrize("key", AWKWARD)
def test_objects_under_every_name(tmp_path: Path, key: str) -> None:
    async def act(client: Client) -> None:
        assert await client.head_object(key) is None
        assert await client.get_object(key) is None
        etag = await client.put_object(key, b"content")
        assert await client.get_object(key) == (b"content", etag)
        stored = await client.head_object(key)
        assert stored is not None
        assert stored.size == 7
        assert await client.list_objects() == {key: stored}
        await client.delete_object(key)
        await client.delete_object(key)
        assert await client.list_objects() == {}

    at_service(tmp_path, act)


@pytest.mark.parametrize("key", ["../a.mp4", "in/../../a.mp4", "in/..", "."])
def test_no_name_reaches_another_object(tmp_path: Path, key: str) -> None:
    drop(tmp_path, "a.mp4")

    async def act(client: Client) -> None:
        assert await client.head_object(key) is None
        assert await client.get_object(key) is None
        assert await client.copy_object(key, "b.mp4", etag="0") is None
        with pytest.raises(ServiceError, match="400 InvalidObjectName"):
            await client.put_object(key, b"content", forbid_overwrite=True)
        await client.delete_object(key)
        assert list(await client.list_objects()) == ["a.mp4"]

    at_service(tmp_path, act)


@pytest.mark.parametrize("key", AWKWARD)
def test_copies_from_and_to_every_name(tmp_path: Path, key: str) -> None:
    async def act(client: Client) -> None:
        etag = await client.put_object(key, b"content")
        copy = await client.copy_object(key, "made/copy.mp4", etag=etag)
        assert copy == await client.head_object(key)
        assert await client.get_object("made/copy.mp4") == (b"content", etag)
        await client.delete_object(key)
        assert await client.copy_object("made/copy.mp4", key, etag=etag) == copy
        assert await client.get_object(key) == (b"content", etag)

    at_service(tmp_path, act)


def test_a_copy_is_of_what_it_was_meant_to_be_or_there_is_none(tmp_path: Path) -> None:
    async def act(client: Client) -> None:
        etag = await client.put_object("a", b"first")
        await client.put_object("b", b"before")
        await client.put_object("a", b"second")
        with pytest.raises(ServiceError) as caught:
            await client.copy_object("a", "b", etag=etag)
        assert (caught.value.status, caught.value.code) == (412, "PreconditionFailed")
        assert await client.copy_object("missing", "b", etag=etag) is None
        found = await client.get_object("b")
        assert found is not None
        assert found[0] == b"before"

    at_service(tmp_path, act)


def test_what_is_stored_once_is_not_overwritten(tmp_path: Path) -> None:
    async def act(client: Client) -> None:
        etag = await client.put_object("guard", b"mine", forbid_overwrite=True)
        with pytest.raises(ServiceError) as caught:
            await client.put_object("guard", b"yours", forbid_overwrite=True)
        assert (caught.value.status, caught.value.code) == (409, "FileAlreadyExists")
        assert await client.get_object("guard") == (b"mine", etag)
        assert await client.put_object("guard", b"renewed") != etag

    at_service(tmp_path, act)


def test_of_many_who_store_at_once_one_succeeds(tmp_path: Path) -> None:
    async def act(client: Client) -> None:
        names = [f"run {number}".encode() for number in range(20)]
        outcomes = await asyncio.gather(
            *(client.put_object("guard", name, forbid_overwrite=True) for name in names), return_exceptions=True
        )
        (winner,) = (number for number, outcome in enumerate(outcomes) if isinstance(outcome, str))
        assert await client.get_object("guard") == (names[winner], outcomes[winner])
        refused = [outcome for outcome in outcomes if isinstance(outcome, ServiceError)]
        assert [error.code for error in refused] == ["FileAlreadyExists"] * 19

    at_service(tmp_path, act)


class Deaf:
    """The real service, of whose answers the first one to a PUT is lost on its way."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.puts = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.puts += scope["method"] == "PUT"
        if scope["method"] != "PUT" or self.puts > 1:
            await self.service.app(scope, receive, send)
            return

        async def lost(_: object) -> None:
            pass

        await self.service.app(scope, receive, lost)
        refusal = error_response("InternalError", error_code("InternalError").message, resource="r", request_id="id-1")
        await refusal.send(send, extra={"x-cos-request-id": "id-1"}, without_body=False)


def test_an_object_whose_answer_was_lost_is_in_its_own_way(tmp_path: Path) -> None:
    async def main() -> Deaf:
        async with Service(tmp_path, bucket=BUCKET, region=REGION, render=Studio()) as service:
            deaf = Deaf(service)
            transport = httpx.ASGITransport(app=deaf, raise_app_exceptions=False)
            async with Client(Endpoints.of(BUCKET, REGION), transport=transport, clock=StandingClock()) as client:
                with pytest.raises(ServiceError, match="409 FileAlreadyExists"):
                    await client.put_object("guard", b"mine", forbid_overwrite=True)
                found = await client.get_object("guard")
                assert found is not None
                assert found[0] == b"mine"
            return deaf

    assert asyncio.run(main()).puts == 2


def test_a_bucket_that_is_not_there_has_no_object_missing(tmp_path: Path) -> None:
    async def main() -> None:
        async with Service(tmp_path, bucket=BUCKET, region=REGION, render=Studio()) as service:
            transport = httpx.ASGITransport(app=service.app, raise_app_exceptions=False)
            async with Client(Endpoints.of("other-1250000000", REGION), transport=transport) as client:
                with pytest.raises(ServiceError, match="404 NoSuchBucket"):
                    await client.get_object("state/reconciler.lock")
                with pytest.raises(ServiceError, match="404 NoSuch"):
                    await client.put_object("a", b"x", forbid_overwrite=True)

    asyncio.run(main())


class BothClocks(StandingClock):
    """The clock of the transport and of apply at once."""

    def __init__(self) -> None:
        super().__init__()
        self.nonces = 0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.wall(), UTC)

    def nonce(self) -> str:
        self.nonces += 1
        return f"{self.nonces:016x}"


class Busy:
    """The real service, before which somebody says "slow down" to everything between two moments."""

    def __init__(self, service: Service, clock: BothClocks, begins: float, ends: float) -> None:
        self.service = service
        self.clock = clock
        self.begins = begins
        self.ends = ends
        self.refused: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.begins <= self.clock.ticks() < self.ends:
            await self.service.app(scope, receive, send)
            return
        self.refused.append(scope["method"])
        refusal = error_response("SlowDown", error_code("SlowDown").message, resource="r", request_id="id-1")
        await refusal.send(send, extra={"x-ci-request-id": "id-1"}, without_body=scope["method"] == "HEAD")


@pytest.mark.parametrize(("begins", "ends"), [(0.0, 60.0), (0.03, 60.0), (0.2, 20.0)])
def test_an_apply_outlives_a_service_that_is_overloaded(tmp_path: Path, begins: float, ends: float) -> None:
    """Nothing fails, nothing is made twice, and the service is left alone meanwhile."""
    outputs = 40
    desired = DesiredState({f"o{n}": output(f"o{n}", "in/a.mp4", video={"preset": "veryfast"}) for n in range(outputs)})
    drop(tmp_path, "in/a.mp4")
    clock, report = BothClocks(), Report()

    async def main() -> tuple[Busy, int]:
        async with Service(tmp_path, bucket=BUCKET, region=REGION, render=Studio()) as service:
            busy = Busy(service, clock, begins, ends)
            transport = httpx.ASGITransport(app=busy, raise_app_exceptions=False)
            async with Client(Endpoints.of(BUCKET, REGION), transport=transport, clock=clock) as client:
                lockfile = Lockfile.load(tmp_path / "reconciler.lock", tmp_path / "journal")
                await apply(
                    plan(desired, await observe(client, lockfile, desired)),
                    client,
                    lockfile,
                    report,
                    wire=lambda request: wire_request(request, bucket=BUCKET, region=REGION),
                    clock=clock,
                    pace=Pace(parallelism=8, poll=0.2, visibility=1.0),
                    stop=asyncio.Event(),
                )
                return busy, len([job async for job in client.list_jobs()])

    busy, jobs = asyncio.run(main())
    assert (report.counts, report.failures) == ({"create": outputs}, {})
    assert jobs == outputs
    assert busy.refused
    assert len(busy.refused) < 40
