from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock

from reconciler.errors import GuardError, ReconcilerError, RenderError
from reconciler.service import Service
from reconciler.service.database import SCHEMA_VERSION
from tests.service.harness import BUCKET, CI, COS, REGION, Studio, drop, error, jobs, operation, running

LIST = f"{CI}/jobs?tag=VideoSynthesis"
OLD_SCHEMA = Path(__file__).with_name("schema_1.sql")


def everything(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))


def test_leaving_stops_what_runs_and_the_next_one_goes_on(tmp_path: Path) -> None:
    drop(tmp_path, "a")

    async def main() -> None:
        held = Studio(held=True)
        async with running(tmp_path, render=held, concurrency=1) as caller:
            made = await caller.submit(operation("a", to="x"), operation("a", to="y"))
            await caller.until(made[0].job_id, "Running")
        assert held.stopped == 1
        assert everything(tmp_path / "buckets") == [BUCKET, f"{BUCKET}/a"]
        async with running(tmp_path, work=False) as caller:
            assert [(await caller.job(job.job_id)).state for job in made] == ["Submitted", "Submitted"]
        async with running(tmp_path) as caller:
            ended = [await caller.until(job.job_id) for job in made]
            assert [job.state for job in ended] == ["Success", "Success"]
            assert await caller.keys() == ["a", "x", "y"]

    asyncio.run(main())


def test_leaving_at_once_gives_back_jobs_that_have_not_even_begun(tmp_path: Path) -> None:
    drop(tmp_path, "a")

    async def main() -> None:
        async with running(tmp_path) as caller:
            made = await caller.submit(*[operation("a")] * 3)
        async with running(tmp_path, work=False) as caller:
            states = {(await caller.job(job.job_id)).state for job in made}
            assert states <= {"Submitted", "Success"}

    asyncio.run(main())


def test_nothing_of_the_service_is_left_but_its_database(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as caller:
            await caller.put("a")

    asyncio.run(main())
    left = [name for name in everything(tmp_path) if not name.endswith("worker.guard")]
    assert left == [".reconciler", ".reconciler/service.sqlite", "buckets", f"buckets/{BUCKET}", f"buckets/{BUCKET}/a"]


def test_the_application_is_there_only_inside(tmp_path: Path) -> None:
    service = Service(tmp_path, bucket=BUCKET, region=REGION)
    with pytest.raises(AssertionError, match="enter the service first"):
        _ = service.app


# One owner at a time.


def test_a_second_owner_is_told_who_the_first_is(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path):
            with pytest.raises(
                GuardError, match=rf"another process renders in .*: process {os.getpid()} on "
            ) as caught:
                async with running(tmp_path):
                    pass
            assert "`plan` and `status` work beside it" in (caught.value.advice or "")
            (tmp_path / ".reconciler" / "worker.json").write_text("{")
            with pytest.raises(GuardError, match="it has not said who it is"):
                async with running(tmp_path):
                    pass
        async with running(tmp_path) as caller:
            assert (await caller.http.get(LIST)).status_code == 200

    asyncio.run(main())


def test_a_temporary_folder_that_cannot_be_removed_keeps_nobody_from_starting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = ".reconciler-0.partial"
    stuck = drop(tmp_path, f"in/{name}/film").parent

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("reconciler.service.bucket.shutil.rmtree", refused)
    noted = "SELECT path FROM partial"

    async def main() -> list[tuple[str]]:
        async with running(tmp_path) as caller:
            assert (await caller.put("in/a")).status_code == 200
        with closing(sqlite3.connect(tmp_path / ".reconciler" / "service.sqlite")) as database:
            database.execute("INSERT OR IGNORE INTO partial VALUES (?, ?)", (BUCKET, f"in/{name}"))
            database.commit()
            async with running(tmp_path) as caller:
                assert await caller.keys() == ["in/a"]
            return database.execute(noted).fetchall()

    assert asyncio.run(main()) == [(f"in/{name}",)]
    assert "a temporary file stays until the service is started again" in caplog.text
    (stuck / "film").unlink()
    stuck.rmdir()
    stuck.touch()
    with closing(sqlite3.connect(tmp_path / ".reconciler" / "service.sqlite")) as database:
        asyncio.run(_started_once(tmp_path))
        assert database.execute(noted).fetchall() == []
    assert not stuck.exists()


async def _started_once(root: Path) -> None:
    async with running(root):
        pass


def test_looking_does_not_upgrade_the_database_that_another_process_works_with(tmp_path: Path) -> None:
    folder = tmp_path / ".reconciler"
    folder.mkdir()
    old = sqlite3.connect(folder / "service.sqlite")
    old.executescript(f"{OLD_SCHEMA.read_text()} PRAGMA user_version = 1;")

    def version() -> int:
        return int(old.execute("PRAGMA user_version").fetchone()[0])

    async def look() -> None:
        async with running(tmp_path, work=False) as caller:
            assert (await caller.http.get(f"{CI}/jobs?tag=VideoSynthesis")).status_code == 200

    with FileLock(folder / "worker.guard"):
        with pytest.raises(GuardError, match="with an older version of this program") as caught:
            asyncio.run(look())
        assert "start it again" in (caught.value.advice or "")
        assert version() == 1
    asyncio.run(look())
    assert version() == SCHEMA_VERSION
    assert not (folder / "worker.json").exists()
    old.close()


@pytest.mark.parametrize("damage", ["newer", "garbage"])
def test_a_database_that_cannot_be_used_is_refused_and_the_guard_given_back(tmp_path: Path, damage: str) -> None:
    path = tmp_path / ".reconciler" / "service.sqlite"
    path.parent.mkdir()
    if damage == "newer":
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version = 99")
        connection.close()
    else:
        path.write_bytes(b"garbage" * 500)

    async def main() -> None:
        for work in (True, False, True):
            with pytest.raises(ReconcilerError, match=r"newer version|cannot be used"):
                async with running(tmp_path, work=work):
                    pass
        path.unlink()
        async with running(tmp_path):
            pass

    asyncio.run(main())


def test_without_ffmpeg_nothing_is_begun(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(RenderError, match=r"RECONCILER_FFMPEG names /none, which is not a program"):
            async with running(tmp_path, render=None, environ={"RECONCILER_FFMPEG": "/none"}):
                pass
        async with running(tmp_path, render=None, work=False, environ={"RECONCILER_FFMPEG": "/none"}):
            pass

    asyncio.run(main())
    assert everything(tmp_path) == []


# Beside an owner, or before there was one.


def test_reading_where_nothing_is_makes_nothing(tmp_path: Path) -> None:
    root = tmp_path / "project"

    async def main() -> None:
        async with running(root, work=False) as caller:
            assert await caller.keys() == []
            assert jobs(await caller.http.get(LIST)) == ()
            assert (await caller.http.get(f"{COS}/a")).status_code == 404
            for reply in (
                await caller.put("a"),
                await caller.http.delete(f"{COS}/a"),
                await caller.http.post(f"{CI}/jobs", content=b"<Request/>"),
            ):
                assert reply.status_code in (400, 403)
            refused = await caller.put("a")
            assert error(refused).message == "this service only reads: it does not own its folder"

    asyncio.run(main())
    assert not root.exists()


def test_reading_dropped_files_makes_nothing_and_reads_them_once(tmp_path: Path) -> None:
    path = drop(tmp_path, "in/a")

    async def main() -> None:
        async with running(tmp_path, work=False) as caller:
            first = await caller.http.head(f"{COS}/in/a")
            path.touch(exist_ok=True)
            assert (await caller.http.head(f"{COS}/in/a")).headers["etag"] == first.headers["etag"]
            assert await caller.keys() == ["in/a"]

    asyncio.run(main())
    assert everything(tmp_path) == ["buckets", f"buckets/{BUCKET}", f"buckets/{BUCKET}/in", f"buckets/{BUCKET}/in/a"]


def test_a_submission_where_nothing_is_gets_the_reason(tmp_path: Path) -> None:
    drop(tmp_path, "a")

    async def main() -> None:
        async with running(tmp_path, work=False) as caller:
            with pytest.raises(AssertionError, match="nothing has been made in its folder yet"):
                await caller.submit(operation("a"))

    asyncio.run(main())


def test_beside_an_owner_jobs_are_seen_and_cancelled_and_objects_are_only_read(tmp_path: Path) -> None:
    drop(tmp_path, "a")

    async def main() -> None:
        async with (
            running(tmp_path, render=Studio(held=True), concurrency=1) as owner,
            running(tmp_path, work=False) as other,
        ):
            first, second = await owner.submit(operation("a"), operation("a"))
            await owner.until(first.job_id, "Running")
            assert [job.state for job in jobs(await other.http.get(LIST))] == ["Submitted", "Running"]
            assert (await other.http.put(f"{CI}/jobs/{second.job_id}?cancel")).status_code == 200
            assert (await owner.job(second.job_id)).state == "Cancel"
            assert (await other.http.get(f"{COS}/a")).content == b"dropped"
            refused = await other.http.delete(f"{COS}/a")
            assert (refused.status_code, error(refused).code) == (403, "AccessDenied")

    asyncio.run(main())


# Killed.

VICTIM = """
import asyncio, pathlib, sys
from tests.service.harness import Studio, operation, running

async def main() -> None:
    async with running(pathlib.Path(sys.argv[1]), render=Studio(held=True), concurrency=1) as caller:
        made = await caller.submit(operation("a", to="out/x"), operation("a", to="out/y"))
        await caller.until(made[0].job_id, "Running")
        print(*[job.job_id for job in made], flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def test_what_was_accepted_survives_sigkill_and_is_made_by_the_next_owner(tmp_path: Path) -> None:
    drop(tmp_path, "a")
    victim = subprocess.Popen(
        [sys.executable, "-c", VICTIM, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert victim.stdout is not None
    ids = victim.stdout.readline().split()
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    partials = [path.name for path in (tmp_path / "buckets").rglob(".reconciler-*")]
    assert partials == [f".reconciler-{ids[0]}.partial"]

    async def main() -> None:
        async with running(tmp_path) as caller:
            ended = [await caller.until(job) for job in ids]
            assert [job.state for job in ended] == ["Success", "Success"]
            assert len(jobs(await caller.http.get(LIST))) == 2
            assert await caller.keys() == ["a", "out/x", "out/y"]

    asyncio.run(main())
    assert list((tmp_path / "buckets").rglob(".reconciler-*")) == []


def test_when_the_worker_dies_nobody_waits_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise sqlite3.ProgrammingError("a mistake of ours")

    drop(tmp_path, "a")
    monkeypatch.setattr("reconciler.service.queue.Queue.succeed", broken)

    async def main() -> None:
        async with running(tmp_path) as caller:
            await caller.submit(operation("a"))
            reply = await caller.http.get(LIST)
            for _ in range(1000):
                if reply.status_code != 200:
                    break
                await asyncio.sleep(0.01)
                reply = await caller.http.get(LIST)
            assert error(reply).code == "InternalError"
            assert "the worker died" in error(reply).message

    asyncio.run(main())


def test_listing_objects_loads_nothing_that_renders_delivers_or_takes_jobs(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "import httpx\n"
        "from reconciler.client import Client\n"
        "from reconciler.endpoints import Endpoints\n"
        "from reconciler.service import Service\n"
        "async def main():\n"
        "    async with Service(Path(sys.argv[1]), bucket='b-1', region='r', work=False) as service:\n"
        "        transport = httpx.ASGITransport(app=service.app)\n"
        "        async with Client(Endpoints.of('b-1', 'r'), transport=transport) as client:\n"
        "            assert list(await client.list_objects()) == ['a']\n"
        "asyncio.run(main())\n"
        "heavy = {'av', 'filelock', 'pika', 'PIL', 'imageio_ffmpeg', 'uvicorn'}\n"
        "heavy |= {f'reconciler.service.{name}' for name in ('admission', 'deliveries', 'farm', 'render', 'worker')}\n"
        "sys.exit(', '.join(sorted(heavy & sys.modules.keys())) or 0)"
    )
    path = tmp_path / "buckets" / "b-1" / "a"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"a")
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
