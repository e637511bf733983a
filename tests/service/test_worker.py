from __future__ import annotations

import asyncio
import errno
import sqlite3
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from reconciler.api.messages import Operation
from reconciler.errors import RenderError
from reconciler.service import database, prober, worker
from reconciler.service.ffmpeg import locate
from reconciler.service.queue import Made, Queue
from reconciler.service.refused import RefusedError
from reconciler.service.render import RenderFailed
from reconciler.service.rendering import Rendered, Work
from reconciler.service.worker import source_key
from tests.service.harness import BUCKET, COS, REGION, Failing, Studio, drop, operation, running
from tests.service.processes import none_left

HTTPS = COS.replace("http://", "https://")


def objects(root: Path) -> list[str]:
    bucket = root / "buckets" / BUCKET
    return sorted(path.relative_to(bucket).as_posix() for path in bucket.rglob("*") if path.is_file())


def different(source: str, number: int, **rest: Any) -> Operation:
    """A job like others whose result is another one."""
    asked = operation(source, **rest).plain()
    asked["transcode"]["video"]["gop"] = 10 + number
    return Operation.model_validate(asked)


def test_the_result_appears_under_its_key_with_its_type(tmp_path: Path) -> None:
    drop(tmp_path, "in/a b.mp4")

    async def main() -> None:
        async with running(tmp_path) as caller:
            (job,) = await caller.submit(operation("in/a%20b.mp4", to="out/x.${ext}", user_data="film"))
            done = await caller.until(job.job_id)
            assert done.state == "Success"
            reply = await caller.http.get(f"{COS}/out/x.mp4")
            assert reply.text == "film: ['a b.mp4']"
            assert reply.headers["content-type"] == "video/mp4"
            assert done.operation is not None
            assert done.operation.media_result is not None
            file = done.operation.media_result.output_file
            assert file is not None
            assert file.md5_info is not None
            assert f'"{file.md5_info[0].md5}"' == reply.headers["etag"]

    asyncio.run(main())
    assert objects(tmp_path) == ["in/a b.mp4", "out/x.mp4"]


def test_nothing_is_under_the_key_while_the_job_runs(tmp_path: Path) -> None:
    drop(tmp_path, "a")

    async def main() -> None:
        studio = Studio(held=True)
        async with running(tmp_path, render=studio) as caller:
            (job,) = await caller.submit(operation("a", to="out/x.mp4"))
            await caller.until(job.job_id, "Running")
            assert await caller.keys() == ["a"]
            (folder,) = (tmp_path / "buckets" / BUCKET / "out").iterdir()
            assert folder.is_dir(), "the temporary files lie in the folder of their target"
            studio.let()
            await caller.until(job.job_id)
            assert await caller.keys() == ["a", "out/x.mp4"]

    asyncio.run(main())
    assert objects(tmp_path) == ["a", "out/x.mp4"]
    assert [path.name for path in (tmp_path / "buckets" / BUCKET / "out").iterdir()] == ["x.mp4"]


def test_as_many_jobs_run_at_once_as_are_allowed(tmp_path: Path) -> None:
    drop(tmp_path, "a")

    async def main() -> None:
        studio = Studio(held=True)
        async with running(tmp_path, render=studio, concurrency=3) as caller:
            made = await caller.submit(*(different("a", number) for number in range(7)))
            await asyncio.gather(*(caller.until(job.job_id, "Running") for job in made[:3]))
            assert (await caller.job(made[3].job_id)).state == "Submitted"
            studio.let()
            ended = await asyncio.gather(*(caller.until(job.job_id) for job in made))
            assert {job.state for job in ended} == {"Success"}
            assert studio.most == 3

    asyncio.run(main())


def test_identical_jobs_at_the_same_time_are_one_render(tmp_path: Path) -> None:
    drop(tmp_path, "a")

    async def main() -> None:
        studio = Studio(held=True)
        async with running(tmp_path, render=studio, concurrency=3) as caller:
            keys = ["x.mp4", "deep/y.mp4", "x.mp4"]
            made = await caller.submit(*(operation("a", to=key, user_data=str(n)) for n, key in enumerate(keys)))
            await asyncio.gather(*(caller.until(job.job_id, "Running") for job in made))
            studio.let()
            ended = await asyncio.gather(*(caller.until(job.job_id) for job in made))
            assert {job.state for job in ended} == {"Success"}
            assert len(studio.begun) == 1
            (again,) = await caller.submit(operation("a", to="z.mp4"))
            assert (await caller.until(again.job_id)).state == "Success"
            assert len(studio.begun) == 2

    asyncio.run(main())
    assert objects(tmp_path) == ["a", "deep/y.mp4", "x.mp4", "z.mp4"]


def test_a_failure_is_that_of_every_identical_job(tmp_path: Path) -> None:
    drop(tmp_path, "a")

    async def main() -> None:
        failing = Failing(RenderFailed("InvalidSource", "a is broken"))
        async with running(tmp_path, render=failing, concurrency=2) as caller:
            made = await caller.submit(operation("a", to="x"), operation("a", to="y"))
            ended = await asyncio.gather(*(caller.until(job.job_id) for job in made))
            assert {(job.state, job.code) for job in ended} == {("Failed", "InvalidSource")}

    asyncio.run(main())
    assert objects(tmp_path) == ["a"]


async def until_begun(studio: Studio, count: int) -> None:
    """Wait for renders to have begun."""
    for _ in range(1000):
        if len(studio.begun) == count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(studio.begun)


@pytest.mark.parametrize("bad", ["folder", "a/below"])
def test_a_job_whose_twin_cannot_be_written_succeeds(tmp_path: Path, bad: str) -> None:
    """A key that cannot be written, or beside which nothing can be made, is the trouble of one job alone."""
    drop(tmp_path, "a")
    drop(tmp_path, "folder/b")

    async def main() -> None:
        studio = Studio(held=True)
        async with running(tmp_path, render=studio, concurrency=2) as caller:
            made = await caller.submit(*(operation("a", to=key) for key in (bad, "x", bad)))
            await until_begun(studio, 1)
            studio.let()
            ended = await asyncio.gather(*(caller.until(job.job_id) for job in made))
            assert [job.state for job in ended] == ["Failed", "Success", "Failed"]
            assert (ended[0].code, ended[2].code) == ("PathConflict", "PathConflict")

    asyncio.run(main())
    assert objects(tmp_path) == ["a", "folder/b", "x"]


# --- results of several files ----------------------------------------------------------------------------------------


class Segmenting(Studio):
    """A renderer that makes three segments, which hold how the picture is coded, and a playlist that names them."""

    @override
    async def __call__(
        self, work: Work, sources: Mapping[str, Path], folder: Path, on_progress: Callable[[float], None]
    ) -> Rendered:
        done = await super().__call__(work, sources, folder, on_progress)
        transcode = work.operation.transcode
        assert transcode is not None
        assert transcode.video is not None
        names = [f"{work.name}-{number:05}.ts" for number in range(3)]
        for name in names:
            (folder / name).write_text(f"{transcode.video.gop} {name[16:]}")
        (folder / f"{work.name}.m3u8").write_text("\n".join(["#EXTM3U", *names]))
        return replace(done, names=(*names, f"{work.name}.m3u8"))


def in_segments(source: str, number: int, *, to: str) -> Operation:
    """A job whose result has segments."""
    asked = different(source, number, to=to).plain()
    asked["transcode"]["container"]["format"] = "hls"
    return Operation.model_validate(asked)


def named_in(root: Path, key: str) -> list[str]:
    """The segments that a playlist names."""
    text = (root / "buckets" / BUCKET / key).read_text()
    above = key.rpartition("/")[0]
    return [f"{above}/{name}".removeprefix("/") for name in text.splitlines() if name.endswith(".ts")]


def test_identical_jobs_with_segments_are_one_render_and_have_names_of_their_own(tmp_path: Path) -> None:
    drop(tmp_path, "a")
    keys = ["x.m3u8", "y.m3u8", "deep/x.m3u8"]

    async def main() -> None:
        studio = Segmenting(held=True)
        async with running(tmp_path, render=studio, concurrency=3) as caller:
            made = await caller.submit(*(in_segments("a", 1, to=key) for key in keys))
            await asyncio.gather(*(caller.until(job.job_id, "Running") for job in made))
            studio.let()
            ended = await asyncio.gather(*(caller.until(job.job_id) for job in made))
            assert {job.state for job in ended} == {"Success"}
            assert len(studio.begun) == 1
            for job, key in zip(ended, keys, strict=True):
                assert job.operation is not None
                assert job.operation.media_result is not None
                assert job.operation.media_result.output_file is not None
                told = [each.object_name for each in job.operation.media_result.output_file.md5_info or ()]
                assert told == [key, *named_in(tmp_path, key)]

    asyncio.run(main())
    segments = [name for key in keys for name in named_in(tmp_path, key)]
    assert len({name.rpartition("/")[2] for name in segments}) == 9
    assert objects(tmp_path) == sorted(["a", *keys, *segments])


@pytest.mark.parametrize("numbers", [(1, 1), (1, 2), (1, 2, 3, 4)], ids=["the same", "two", "four"])
def test_results_for_one_key_at_once_leave_one_set_of_segments(tmp_path: Path, numbers: tuple[int, ...]) -> None:
    drop(tmp_path, "a")

    async def main() -> None:
        studio = Segmenting(held=True)
        async with running(tmp_path, render=studio, concurrency=4) as caller:
            made = await caller.submit(*(in_segments("a", number, to="out/film.m3u8") for number in numbers))
            await asyncio.gather(*(caller.until(job.job_id, "Running") for job in made))
            await until_begun(studio, len(set(numbers)))
            studio.let()
            ended = await asyncio.gather(*(caller.until(job.job_id) for job in made))
            assert {job.state for job in ended} == {"Success"}

    asyncio.run(main())
    segments = named_in(tmp_path, "out/film.m3u8")
    assert objects(tmp_path) == sorted(["a", "out/film.m3u8", *segments])
    folder = tmp_path / "buckets" / BUCKET
    assert len({(folder / name).read_text().split()[0] for name in segments}) == 1


def test_a_film_in_the_place_of_segments_leaves_none(tmp_path: Path) -> None:
    drop(tmp_path, "a")

    async def main() -> None:
        async with running(tmp_path, render=Segmenting()) as caller:
            (job,) = await caller.submit(in_segments("a", 1, to="film"))
            assert (await caller.until(job.job_id)).state == "Success"
        assert len(objects(tmp_path)) == 5
        async with running(tmp_path) as caller:
            (job,) = await caller.submit(operation("a", to="film"))
            assert (await caller.until(job.job_id)).state == "Success"

    asyncio.run(main())
    assert objects(tmp_path) == ["a", "film"]


def test_a_change_of_the_source_makes_another_render(tmp_path: Path) -> None:
    drop(tmp_path, "a")

    async def main() -> None:
        studio = Studio(held=True)
        async with running(tmp_path, render=studio, concurrency=2) as caller:
            (first,) = await caller.submit(operation("a", to="x"))
            await caller.until(first.job_id, "Running")
            await until_begun(studio, 1)
            drop(tmp_path, "a", b"another film")
            (second,) = await caller.submit(operation("a", to="y"))
            await until_begun(studio, 2)
            studio.let()
            for job in (first, second):
                assert (await caller.until(job.job_id)).state == "Success"

    asyncio.run(main())


def test_important_jobs_come_first(tmp_path: Path) -> None:
    drop(tmp_path, "a")

    async def main() -> None:
        studio = Studio()
        async with running(tmp_path, render=studio, concurrency=1) as caller:
            made = await caller.submit(
                *(operation("a", user_data=str(level), job_level=level) for level in (0, 1, 2, 0))
            )
            await asyncio.gather(*(caller.until(job.job_id) for job in made))
            assert studio.begun == ["2", "1", "0", "0"]

    asyncio.run(main())


def test_two_jobs_may_have_one_key_and_the_later_one_stays(tmp_path: Path) -> None:
    drop(tmp_path, "a")

    async def main() -> None:
        async with running(tmp_path, concurrency=1) as caller:
            made = await caller.submit(*(operation("a", to="x", user_data=name) for name in ("first", "second")))
            ended = [await caller.until(job.job_id) for job in made]
            assert [job.state for job in ended] == ["Success", "Success"]
            assert (await caller.http.get(f"{COS}/x")).text.startswith("second")

    asyncio.run(main())


def test_progress_is_told_and_never_complete_before_the_object_is_there(tmp_path: Path) -> None:
    drop(tmp_path, "a")

    async def main() -> None:
        studio = Studio(held=True)
        studio.progress = [0.301, 0.1, 1.0]
        async with running(tmp_path, render=studio) as caller:
            (job,) = await caller.submit(operation("a"))
            seen = set()
            while 99 not in seen:
                seen.add((await caller.job(job.job_id)).progress)
                await asyncio.sleep(0.02)
            assert seen == {0, 30, 99}
            studio.let()
            assert (await caller.until(job.job_id)).progress == 100

    asyncio.run(main())


def test_a_database_that_is_locked_for_a_moment_costs_a_progress_report_and_no_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    drop(tmp_path, "a")
    troubles = iter([sqlite3.OperationalError("database or disk is full")] * 2)
    original = Queue.succeed

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    def soon(queue: Queue, job: str, made: Made) -> None:
        if trouble := next(troubles, None):
            raise trouble
        original(queue, job, made)

    monkeypatch.setattr(Queue, "progress", full)
    monkeypatch.setattr(Queue, "succeed", soon)
    monkeypatch.setattr(database, "RETRY_SECONDS", 0.01)

    async def main() -> None:
        studio = Studio()
        studio.progress = [0.5]
        async with running(tmp_path, render=studio) as caller:
            (job,) = await caller.submit(operation("a"))
            assert (await caller.until(job.job_id)).state == "Success"

    asyncio.run(main())
    assert "is not written down" in caplog.text
    assert caplog.text.count("the end of a job is not written down yet: database or disk is full") == 2


FAILURES: dict[str, tuple[Exception, str, str]] = {
    "ffmpeg": (
        RenderFailed("InvalidSource", "in/a.mp4: moov atom not found"),
        "InvalidSource",
        "in/a.mp4: moov atom not found",
    ),
    "full disk": (
        OSError(errno.ENOSPC, "No space left on device"),
        "InsufficientStorage",
        "the result could not be stored: No space left on device",
    ),
    "full disk of the database": (
        sqlite3.OperationalError("database or disk is full"),
        "InternalError",
        "the result could not be noted down: database or disk is full",
    ),
    "no ffmpeg": (
        RenderError("FFmpeg does not run", advice="install it"),
        "InternalError",
        "FFmpeg does not run; install it",
    ),
    "a bug": (ZeroDivisionError("division by zero"), "InternalError", "ZeroDivisionError: division by zero"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_job_that_cannot_be_made_fails_with_the_reason_and_leaves_nothing(tmp_path: Path, case: str) -> None:
    raised, code, message = FAILURES[case]
    drop(tmp_path, "a")
    drop(tmp_path, "out/kept.mp4", b"as it was")

    async def main() -> None:
        async with running(tmp_path, render=Failing(raised)) as caller:
            made = await caller.submit(operation("a", to="out/kept.mp4"), operation("a", to="new/x.mp4"))
            for job in made:
                failed = await caller.until(job.job_id)
                assert (failed.state, failed.code, failed.message) == ("Failed", code, message)
                assert failed.end_time != "-"
                assert failed.operation is not None
                assert failed.operation.media_result is None

    asyncio.run(main())
    assert objects(tmp_path) == ["a", "out/kept.mp4"]
    assert (tmp_path / "buckets" / BUCKET / "out" / "kept.mp4").read_bytes() == b"as it was"
    assert not (tmp_path / "buckets" / BUCKET / "new").exists()


@pytest.mark.parametrize(
    ("source", "to", "code", "message"),
    [
        ("none.mp4", "x", "NoSuchKey", "there is no object `none.mp4`"),
        (
            f"https://other-1.cos.{REGION}.myqcloud.com/a",
            "x",
            "AccessDenied",
            f"is not in the job's bucket, `{BUCKET}`",
        ),
        ("a", "a/below", "PathConflict", "one key cannot be a folder of another"),
        ("a", "folder", "PathConflict", "one key cannot be a folder of another"),
    ],
)
def test_a_job_fails_where_its_files_do_not_fit(tmp_path: Path, source: str, to: str, code: str, message: str) -> None:
    drop(tmp_path, "a")
    drop(tmp_path, "folder/b")

    async def main() -> None:
        async with running(tmp_path) as caller:
            (job,) = await caller.submit(operation(source, to=to))
            failed = await caller.until(job.job_id)
            assert (failed.state, failed.code) == ("Failed", code)
            assert message in (failed.message or "")

    asyncio.run(main())
    assert objects(tmp_path) == ["a", "folder/b"]


@pytest.mark.parametrize(
    ("url", "key"),
    [
        (f"{HTTPS}/in/a.mp4", "in/a.mp4"),
        (f"{COS}:8787/in%2Fa%20b.mp4?q-sign-algorithm=sha1", "in/a b.mp4"),
        (f"https://{BUCKET}.cos.{REGION}.tencentcos.cn/a+b", "a+b"),
    ],
)
def test_the_url_of_a_source_means_a_key(url: str, key: str) -> None:
    assert source_key(url, BUCKET, REGION) == key


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("in/a.mp4", "InvalidArgument"),
        (f"ftp://{BUCKET}.cos.{REGION}.myqcloud.com/a", "InvalidArgument"),
        (f"{HTTPS}/", "InvalidArgument"),
        (f"{HTTPS}/%ff", "InvalidArgument"),
        ("http://[::1/a", "InvalidArgument"),
        (f"https://{BUCKET}.cos.ap-beijing.myqcloud.com/a", "AccessDenied"),
        (f"https://{BUCKET}.ci.{REGION}.myqcloud.com/a", "AccessDenied"),
        (f"https://me:secret@evil.example/{BUCKET}/a", "AccessDenied"),
        ("http://127.0.0.1:8787/a", "AccessDenied"),
        ("file:///etc/passwd", "InvalidArgument"),
    ],
)
def test_other_urls_are_no_sources(url: str, code: str) -> None:
    with pytest.raises(RefusedError) as caught:
        source_key(url, BUCKET, REGION)
    assert caught.value.code == code


def test_jobs_that_another_process_submits_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.05)
    drop(tmp_path, "a")

    async def main() -> None:
        async with running(tmp_path) as owner, running(tmp_path, work=False) as other:
            (job,) = await other.submit(operation("a"))
            assert (await owner.until(job.job_id)).state == "Success"
            assert (await other.job(job.job_id)).state == "Success"

    asyncio.run(main())


def test_a_real_film_is_rendered(tmp_path: Path) -> None:
    film = tmp_path / "buckets" / BUCKET / "in" / "a.mp4"
    film.parent.mkdir(parents=True)
    program = locate({})
    source = ["-f", "lavfi", "-i", "testsrc2=s=128x128:r=10:d=0.5"]
    subprocess.run([program.path, "-v", "error", *source, "-preset", "ultrafast", str(film)], check=True)
    (film.parent / "broken.mp4").write_bytes(b"not a film")

    async def main() -> None:
        async with running(tmp_path, render=None) as caller:
            good, bad = await caller.submit(operation("in/a.mp4"), operation("in/broken.mp4"))
            done = await caller.until(good.job_id)
            assert done.state == "Success", done.message
            assert done.operation is not None
            assert done.operation.media_info is not None
            assert done.operation.media_info.stream is not None
            (video,) = done.operation.media_info.stream.video or ()
            assert (video.width, video.height, video.num_frames) == (128, 128, 5)
            failed = await caller.until(bad.job_id)
            assert (failed.state, failed.code) == ("Failed", "InvalidSource")
            assert "in/broken.mp4" in (failed.message or "")
            assert await caller.keys() == ["in/a.mp4", "in/broken.mp4", f"out/{good.job_id}.mp4"]

    asyncio.run(main())


def test_a_service_whose_source_is_still_looked_at_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe of a slow source has minutes; the service does not wait for it, and the job goes on with the next."""
    asked = tmp_path / "asked"
    slow = ["/bin/sh", "-c", 'echo ready; read -r q; : >"$0"; sleep 600', str(asked)]
    monkeypatch.setattr(prober, "_command", lambda *_: slow)
    drop(tmp_path, "a")

    async def main() -> None:
        stopping = asyncio.timeout(None)
        async with stopping, running(tmp_path, render=None) as caller:
            (job,) = await caller.submit(operation("a"))
            while not asked.exists():
                assert (await caller.job(job.job_id)).state in ("Submitted", "Running")
                await asyncio.sleep(0.01)
            stopping.reschedule(asyncio.get_running_loop().time() + 20)
        async with running(tmp_path, work=False) as caller:
            assert (await caller.job(job.job_id)).state == "Submitted"

    asyncio.run(main())
    assert none_left(str(asked))
