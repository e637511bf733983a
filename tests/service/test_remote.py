"""One render as another machine does it: what it reads and writes over HTTP, and how it ends when something is wrong."""

from __future__ import annotations

import asyncio
import os
import pickle
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.errors import RenderError
from reconciler.service import remote
from reconciler.service.index import NO_ATTRIBUTES
from reconciler.service.links import DeniedError, Link, ObjectApi, UnheardError
from reconciler.service.remote import AttemptFailed, Delivery, Order, Piece, fulfil, heeding
from reconciler.service.render.failure import INVALID_SOURCE, RenderFailed
from reconciler.service.rendering import Work
from reconciler.service.uploads import Upload
from tests.service.farming import Farming, encoders, farming, film, job, until
from tests.service.harness import BUCKET
from tests.service.wire import listening

KEY = "in/film.mp4"
SLOW = Work(job(KEY, preset="placebo"), "slow", threads=1)
QUICK = Work(job(KEY), "quick", threads=2)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("service")
    film(folder / "buckets" / BUCKET / KEY, 1)
    film(folder / "buckets" / BUCKET / "in/long.mp4", 20)
    return folder


def on_a_service(root: Path, test: Callable[[Farming], Awaitable[None]]) -> None:
    async def main() -> None:
        with ThreadPoolExecutor(1) as pool:
            async with farming(root, lambda level: pool) as farm:
                await test(farm)
                assert not working_folders()

    asyncio.run(main())


def order(farming: Farming, *keys: str) -> tuple[Order, Upload]:
    upload = farming.uploads.begin(BUCKET, ".reconciler-render-x.partial", NO_ATTRIBUTES)
    return farming.farm._order(dict.fromkeys(keys or (KEY,), BUCKET), upload), upload


def working_folders() -> list[Path]:
    """What renders have left of what they worked in."""
    return [*remote._tools()[1].glob("render-*")]


class Weather:
    """An application in front of the service's: it answers badly as often as it is told, then lets everything through."""

    def __init__(self, app: Any, bad: int, method: str, status: int | None) -> None:
        self._app, self._bad, self._method, self._status = app, bad, method, status
        self.seen = 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["method"] != self._method or b"partNumber=10000" in scope["query_string"]:
            await self._app(scope, receive, send)
            return
        self.seen += 1
        if self.seen > self._bad:
            await self._app(scope, receive, send)
            return
        if self._status is None:
            await self._app(scope, receive, lambda message: send(damaged(message)))
            return
        await send({"type": "http.response.start", "status": self._status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


def damaged(message: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Change one byte of what is answered: of a content, or of the digest of what came."""
    if message["type"] == "http.response.start":
        headers = [(n, b'"0"' if n.lower() == b"etag" else v) for n, v in message["headers"]]
        return {**message, "headers": headers}
    body = message.get("body", b"")
    return {**message, "body": bytes([body[0] ^ 1]) + body[1:] if body else body}


def through(port: int, given: Order) -> Order:
    """Have an order go to another address."""

    def moved(link: Link) -> Link:
        return Link(str(httpx.URL(link.url).copy_with(port=port)), link.host)

    sources = {key: moved(link) for key, link in given.sources.items()}
    return replace(given, sources=sources, parts=moved(given.parts), look=moved(given.look))


# --- what is done ----------------------------------------------------------------------------------------------------


def test_a_render_reads_and_writes_by_signed_addresses_alone(root: Path) -> None:
    async def test(farming: Farming) -> None:
        given, upload = order(farming)
        delivery = await asyncio.to_thread(fulfil, QUICK, given)
        assert delivery.rendered.names == ("quick.mp4",)
        assert delivery.rendered.engine.startswith("ffmpeg ")
        (part,) = farming.uploads.parts(upload)
        assert delivery.pieces == (Piece("quick.mp4", part.md5),)
        assert await farming.caller.keys() == [KEY, "in/long.mp4"]

    on_a_service(root, test)


def test_long_files_are_cut(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PIECE", 5_000)

    async def test(farming: Farming) -> None:
        given, upload = order(farming)
        delivery = await asyncio.to_thread(fulfil, QUICK, given)
        parts = farming.uploads.parts(upload)
        assert [part.size for part in parts[:-1]] == [5_000] * (len(delivery.pieces) - 1)
        assert len(parts) > 2
        assert sum(part.size for part in parts) == delivery.rendered.media_info.format.size  # type: ignore[union-attr]

    on_a_service(root, test)


def test_a_result_of_too_many_files_fails(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PIECE", 1)

    async def test(farming: Farming) -> None:
        with pytest.raises(RenderFailed, match="too many to be sent"):
            await asyncio.to_thread(fulfil, QUICK, order(farming)[0])

    on_a_service(root, test)


def test_progress_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "BEAT_SECONDS", 0.1)

    async def test(farming: Farming) -> None:
        given, upload = order(farming)
        task = asyncio.create_task(asyncio.to_thread(fulfil, SLOW, given))
        seen = set()
        while not task.done():
            await asyncio.wait([task], timeout=0.05)
            seen.add(farming.farm._progress(upload))
        await task
        shares = sorted(share for share in seen if share is not None)
        assert shares
        assert all(0 < share < 1 for share in shares)

    on_a_service(root, test)


# --- what is wrong with the service ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [503, None])
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_what_fails_for_a_while_is_tried_again(root: Path, method: str, status: int | None) -> None:
    async def test(farming: Farming) -> None:
        given, upload = order(farming)
        weather = Weather(farming.caller.service.app, 2, method, status)
        async with listening(weather) as (_, port):  # type: ignore[arg-type]
            await asyncio.to_thread(fulfil, QUICK, through(port, given))
        assert weather.seen >= 3
        assert next(part.number for part in farming.uploads.parts(upload)) == 1

    on_a_service(root, test)


def test_a_service_out_of_reach_is_given_up(root: Path) -> None:
    async def test(farming: Farming) -> None:
        given = replace(through(9, order(farming)[0]), patience=0.5)
        with pytest.raises(AttemptFailed, match="the service is out of reach"):
            await asyncio.to_thread(fulfil, QUICK, given)

    on_a_service(root, test)


def test_a_render_ends_when_the_service_stays_out_of_reach(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "BEAT_SECONDS", 0.1)

    async def test(farming: Farming) -> None:
        given, _ = order(farming, "in/long.mp4")
        work = Work(job("in/long.mp4", preset="placebo"), "unheard", threads=1)
        async with listening(farming.caller.service.app) as (_, port):
            moved = replace(through(port, given), patience=0.5)
            task = asyncio.create_task(asyncio.to_thread(fulfil, work, moved))
            await until(lambda: encoders("unheard"))
        with pytest.raises(AttemptFailed, match="the service is out of reach"):
            await task
        assert not encoders("unheard")

    on_a_service(root, test)


# --- what is wrong with the job ----------------------------------------------------------------------------------------


def test_a_source_that_is_gone_is_the_jobs_fault(root: Path) -> None:
    async def test(farming: Farming) -> None:
        with pytest.raises(RenderFailed, match=r"in/none\.mp4: there is no object") as caught:
            await asyncio.to_thread(fulfil, Work(job("in/none.mp4"), "none", 1), order(farming, "in/none.mp4")[0])
        assert caught.value.code == INVALID_SOURCE

    on_a_service(root, test)


def test_a_source_that_is_none_is_the_jobs_fault(root: Path) -> None:
    async def test(farming: Farming) -> None:
        await farming.caller.put("in/rubbish.mp4", b"rubbish")
        with pytest.raises(RenderFailed) as caught:
            await asyncio.to_thread(fulfil, Work(job("in/rubbish.mp4"), "x", 1), order(farming, "in/rubbish.mp4")[0])
        assert caught.value.code == INVALID_SOURCE
        (farming.source("in/rubbish.mp4")).unlink()

    on_a_service(root, test)


def test_an_address_that_holds_no_more_is_not_the_jobs_fault(root: Path) -> None:
    async def test(farming: Farming) -> None:
        given, _ = order(farming)
        link = given.sources[KEY]
        forged = replace(given, sources={KEY: Link(link.url.replace("q-signature=", "q-signature=0"), link.host)})
        with pytest.raises(AttemptFailed, match="SignatureDoesNotMatch"):
            await asyncio.to_thread(fulfil, QUICK, forged)

    on_a_service(root, test)


def test_another_version_of_the_program_is_refused(root: Path) -> None:
    async def test(farming: Farming) -> None:
        with pytest.raises(AttemptFailed, match=r"the service 0\.0: install the same"):
            await asyncio.to_thread(fulfil, QUICK, replace(order(farming)[0], version="0.0"))

    on_a_service(root, test)


def test_a_machine_without_ffmpeg_is_not_the_jobs_fault(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> None:
        raise RenderError("FFmpeg is missing", advice="install it")

    monkeypatch.setattr(remote, "_tools", none)
    with pytest.raises(AttemptFailed, match="FFmpeg is missing") as caught:
        fulfil(QUICK, Order({}, Link("", ""), Link("", "")))
    assert caught.value.advice == "install it"


# --- being stopped ---------------------------------------------------------------------------------------------------


def test_it_stops_when_the_upload_is_gone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "BEAT_SECONDS", 0.1)

    async def test(farming: Farming) -> None:
        given, upload = order(farming, "in/long.mp4")
        work = Work(job("in/long.mp4", preset="placebo"), "unwanted", threads=1)
        task = asyncio.create_task(asyncio.to_thread(fulfil, work, given))
        await until(lambda: encoders("unwanted"))
        await farming.uploads.end(upload)
        with pytest.raises(AttemptFailed, match="the service wants the result no more: 404 NoSuchUpload"):
            await task
        assert not encoders("unwanted")

    on_a_service(root, test)


def test_it_stops_when_its_executor_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "BEAT_SECONDS", 0.1)
    wanted = threading.Event()
    wanted.set()

    def run(work: Work, given: Order) -> Delivery:
        with heeding(wanted.is_set):
            return fulfil(work, given)

    async def test(farming: Farming) -> None:
        given, _ = order(farming, "in/long.mp4")
        work = Work(job("in/long.mp4", preset="placebo"), "untaken", threads=1)
        task = asyncio.create_task(asyncio.to_thread(run, work, given))
        await until(lambda: encoders("untaken"))
        wanted.clear()
        with pytest.raises(AttemptFailed, match="its executor has taken the task back"):
            await task
        assert not encoders("untaken")

    on_a_service(root, test)


# --- what an address allows ------------------------------------------------------------------------------------------


def test_an_address_allows_one_thing(root: Path, tmp_path: Path) -> None:
    async def test(farming: Farming) -> None:
        given, upload = order(farming)
        api = ObjectApi(5.0)

        def denied(call: Callable[[], object]) -> str:
            with pytest.raises(DeniedError) as caught:
                call()
            return caught.value.code

        def put(link: Link) -> str:
            return api.put(link, b"x", lambda: None)

        def calls() -> None:
            source, parts = given.sources[KEY], given.parts
            assert put(remote._part(parts, 7))
            assert denied(lambda: put(Link(source.url, source.host))) == "SignatureDoesNotMatch"
            other = Link(parts.url.replace("render-x", "render-y"), parts.host)
            assert denied(lambda: put(remote._part(other, 1))) == "SignatureDoesNotMatch"
            elsewhere = Link(remote._part(parts, 1).url.replace(upload.id, "f" * len(upload.id)), parts.host)
            assert denied(lambda: put(elsewhere)) == "SignatureDoesNotMatch"
            assert denied(lambda: api.look(parts)) == "SignatureDoesNotMatch"
            unsigned = Link(source.url.partition("?")[0], source.host)
            assert denied(lambda: api.get(unsigned, tmp_path / "x", lambda: None)) == "AccessDenied"

        await asyncio.to_thread(calls)
        assert [part.number for part in farming.uploads.parts(upload)] == [7]
        api.close()

    on_a_service(root, test)


# --- what travels ----------------------------------------------------------------------------------------------------


def test_what_travels_arrives_as_it_was() -> None:
    given = Order({KEY: Link("http://h/x?q-signature=abc", "host")}, Link("http://h/p", "h"), Link("http://h/l", "h"))
    assert pickle.loads(pickle.dumps((QUICK, given))) == (QUICK, given)
    assert "abc" not in repr(given)
    failed = pickle.loads(pickle.dumps(AttemptFailed("why", advice="do")))
    assert (failed.message, failed.advice) == ("why", "do")
    with pytest.raises(UnheardError):
        ObjectApi(1.0).look(Link("http://127.0.0.1:9/", "h"))


# --- the machine -----------------------------------------------------------------------------------------------------


def test_the_folders_of_killed_processes_are_removed(tmp_path: Path) -> None:
    names = ("killed", "held", "fresh", "linked")
    killed, held, fresh, linked = (tmp_path / f"{remote._FOLDER}{name}" for name in names)
    for folder in (killed, held, fresh):
        (folder / "render-1").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    linked.symlink_to(tmp_path / "elsewhere")
    with remote._lock(held).acquire(timeout=0):
        for folder in (killed, held):
            os.utime(folder, (0, time.time() - 1000))
        mine = remote._own_folder(tmp_path)
    assert not killed.exists()
    assert (held / "render-1").is_dir()
    assert (fresh / "render-1").is_dir()
    assert linked.is_symlink()
    assert mine.is_dir()
    remote._locks.pop().release()


def test_every_process_has_one_set_of_tools() -> None:
    with ThreadPoolExecutor(4) as pool:
        found = [future.result() for future in [pool.submit(remote._tools) for _ in range(8)]]
    assert len({id(tools) for tools, _ in found}) == 1
    assert found[0][1].is_relative_to(Path(tempfile.gettempdir()).resolve())
