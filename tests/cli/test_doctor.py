"""Every way in which a project cannot work is named by its step, with what to do; what depends on it is skipped."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio.from_thread import start_blocking_portal

from reconciler.api.signing import Credentials
from reconciler.cli import run
from reconciler.cli.checks import PROBE
from reconciler.service import Service
from reconciler.service.ffmpeg import ENCODERS
from reconciler.service.sandbox import Sandbox
from reconciler.transport import SystemClock
from tests.fakes import ERROR
from tests.service.harness import Studio
from tests.service.wire import listening

BUCKET, REGION = "clips-1250000000", "ap-chongqing"
CREDENTIALS = Credentials("AKIDEXAMPLE", "planted-secret-key")
MANIFEST = """version: 1
outputs:
  pair:
    video_synthesis:
      splice_info: [{url: in/red.mp4, width: 128, height: 128}]
    transcode: {container: {format: mp4}, video: {width: 128, height: 128}}
    output: out/pair.mp4
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose service is given by RECONCILER_SERVICE, with credentials in the environment."""
    root = tmp_path / "project"
    (root / "manifests").mkdir(parents=True)
    (root / "manifests" / "a.yaml").write_text(MANIFEST)
    (root / "reconciler.yaml").write_text(f"version: 1\nbucket: {BUCKET}\nregion: {REGION}\n")
    monkeypatch.chdir(root)
    monkeypatch.setenv("TENCENTCLOUD_SECRET_ID", CREDENTIALS.secret_id)
    monkeypatch.setenv("TENCENTCLOUD_SECRET_KEY", CREDENTIALS.secret_key)
    monkeypatch.delenv("TENCENTCLOUD_SECURITY_TOKEN", raising=False)
    return root


@asynccontextmanager
async def _serving(root: Path, credentials: Credentials | None) -> AsyncIterator[str]:
    async with Service(
        root, bucket=BUCKET, region=REGION, credentials=credentials, render=Studio()
    ) as service, listening(service.app) as (host, port):  # fmt: skip
        yield f"http://{host}:{port}"


@contextmanager
def served(root: Path, credentials: Credentials | None = CREDENTIALS) -> Iterator[str]:
    """Run the real service beside the test; give its address."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(_serving(root, credentials)) as address:
        yield address


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with served(tmp_path / "service") as address:
        monkeypatch.setenv("RECONCILER_SERVICE", address)
        yield address


Steps = Mapping[str, Mapping[str, Any]]


@pytest.fixture
def examined(capfd: pytest.CaptureFixture[str]) -> Callable[..., Steps]:
    """Run doctor; give its steps by name."""

    def examine(*words: str) -> Steps:
        status = run(["doctor", "--json", *words])
        said = capfd.readouterr()
        document = json.loads(said.out)
        steps = {step["step"]: step for step in document["steps"]}
        assert document["format"] == "reconciler.doctor/1"
        assert document["ok"] is (status == 0)
        assert status == any(step["status"] == "failed" for step in steps.values())
        assert "planted" not in said.out + said.err, "a secret shows"
        return steps

    return examine


Examined = Callable[..., Steps]


def test_everything_in_order(service: str, examined: Examined) -> None:
    steps = examined("--write")
    assert {step["status"] for step in steps.values()} == {"ok"}
    assert list(steps) == [
        "settings", "manifests", "lockfile", "guard", "credentials", "connection", "clock", "signature", "bucket",
        "list objects", "media processing", "list jobs", "list templates", "write objects",
    ]  # fmt: skip


def test_nothing_is_written_unless_told_and_nothing_is_left(tmp_path: Path, service: str, examined: Examined) -> None:
    bucket = tmp_path / "service" / "buckets" / BUCKET
    assert "write objects" not in examined()
    assert examined("--write")["write objects"]["summary"] == "an object was put and deleted"
    assert list(bucket.iterdir()) == []
    assert not Path(".reconciler").exists()


def test_the_embedded_service_needs_no_credentials_and_no_network(
    examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY"):
        monkeypatch.delenv(name)
    Path("buckets", BUCKET).mkdir(parents=True)
    steps = examined("--write")
    assert {step["status"] for name, step in steps.items() if name != "sandbox"} == {"ok"}
    assert steps.keys().isdisjoint({"credentials", "clock", "signature", "write objects"})
    assert "ffmpeg" in steps


def failure(steps: Steps, name: str) -> tuple[str, str]:
    """The one step that failed; everything before it passed."""
    assert [step for step, found in steps.items() if found["status"] == "failed"] == [name]
    return steps[name]["summary"], steps[name]["advice"] or ""


def skipped(steps: Steps) -> dict[str, str]:
    return {name: step["summary"] for name, step in steps.items() if step["status"] == "skipped"}


# Here.


@pytest.mark.parametrize(
    ("text", "summary", "advice"),
    [
        (None, "there is no reconciler.yaml in .", "reconciler init"),
        ("version: 1\n", "reconciler.yaml:1: `bucket` is missing", "reconciler validate"),
        (
            "version: 1\nbukket: a\nregionn: b\n",
            "reconciler.yaml:2: unknown key `bukket` (2 errors in all)",
            "validate",
        ),
    ],
)
def test_settings_that_cannot_be_read(text: str | None, summary: str, advice: str, examined: Examined) -> None:
    Path("reconciler.yaml").unlink()
    if text is not None:
        Path("reconciler.yaml").write_text(text)
    steps = examined()
    found = failure(steps, "settings")
    assert (found[0], advice in found[1]) == (summary, True)
    assert set(skipped(steps)) == set(steps) - {"settings"}
    assert skipped(steps)["manifests"] == "needs settings"


def test_manifests_that_cannot_be_read_do_not_keep_the_service_from_being_looked_at(
    service: str, examined: Examined
) -> None:
    Path("manifests/a.yaml").write_text("version: 1\noutputs: {a: {}}\n")
    steps = examined()
    assert failure(steps, "manifests")[0].startswith("manifests/a.yaml:2: ")
    assert not skipped(steps)


def test_warnings_of_manifests_are_a_warning(service: str, examined: Examined) -> None:
    Path("manifests/a.yaml").write_text(MANIFEST.replace("  pair:\n", "  pair:\n    for_each: []\n"))
    found = examined()["manifests"]
    assert (found["status"], found["summary"]) == ("warning", "0 outputs declared, with 1 warning")


def test_a_damaged_lockfile(service: str, examined: Examined) -> None:
    Path("reconciler.lock").write_text("{")
    assert "damaged" in failure(examined(), "lockfile")[0]


def test_a_run_that_did_not_end(service: str, examined: Examined) -> None:
    Path(".reconciler").mkdir()
    intent = {
        "op": "intent", "address": "pair", "token": "t", "fingerprint": "f", "object": "out/pair.mp4", "request": {},
        "inputs": {}, "time": "2026-05-01T10:00:00+00:00",
    }  # fmt: skip
    Path(".reconciler/journal").write_text(json.dumps(intent) + "\n")
    found = examined()["lockfile"]
    assert (found["status"], found["summary"]) == (
        "warning",
        "0 outputs recorded, 1 submission of an earlier run not settled",
    )


def test_another_run_at_work(service: str, examined: Examined) -> None:
    from reconciler.guard import guard

    with guard(Path(".reconciler"), "apply"):
        found = examined()["guard"]
    assert found["status"] == "warning"
    assert found["summary"].startswith("another run is at work on this project (apply, process ")


def test_ffmpeg_is_missing(examined: Examined, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONCILER_FFMPEG", "/nowhere/ffmpeg")
    assert "names /nowhere/ffmpeg" in examined()["ffmpeg"]["summary"]


def test_ffmpeg_that_cannot_do_what_is_needed(
    tmp_path: Path, examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho 'ffmpeg version 7.1'\necho ' V....D libx264 H.264'\necho ' A....D aac AAC'\n")
    program.chmod(0o755)
    monkeypatch.setenv("RECONCILER_FFMPEG", str(program))
    found = examined()["ffmpeg"]
    lacking = ", ".join(name for name in ENCODERS if name not in ("libx264", "aac"))
    assert (found["status"], found["summary"]) == ("failed", f"7.1 ({program}) has no encoder {lacking}")


def test_the_sandbox_that_works_is_named(examined: Examined, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECONCILER_SANDBOX", raising=False)
    chosen = Sandbox.detect(os.environ)
    found = examined()["sandbox"]
    assert found["status"] == ("warning" if chosen.kind == "none" else "ok")
    assert found["summary"] == (f"{chosen.kind} ({chosen.reason})" if chosen.reason else chosen.kind)


def test_no_sandbox_is_a_warning(examined: Examined, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONCILER_SANDBOX", "none")
    found = examined()["sandbox"]
    assert (found["status"], found["summary"]) == ("warning", "none (RECONCILER_SANDBOX says so)")
    assert found["advice"] == "install bubblewrap on Linux; until then render only files that you trust"


def test_a_sandbox_that_does_not_exist(examined: Examined, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONCILER_SANDBOX", "docker")
    found = examined()["sandbox"]
    assert (found["status"], found["summary"]) == ("failed", "RECONCILER_SANDBOX is docker, which is no sandbox")
    assert found["advice"] == "set RECONCILER_SANDBOX to auto, bubblewrap, landlock or none"


def test_the_sandbox_of_another_machine_is_not_ours(service: str, examined: Examined) -> None:
    assert "sandbox" not in examined()


# Credentials.


@pytest.mark.parametrize(
    ("values", "summary"),
    [
        ({"TENCENTCLOUD_SECRET_ID": ""}, "TENCENTCLOUD_SECRET_ID is not set, so requests cannot be signed"),
        ({"TENCENTCLOUD_SECRET_KEY": ""}, "TENCENTCLOUD_SECRET_KEY is not set, so requests cannot be signed"),
        ({"TENCENTCLOUD_SECRET_KEY": "planted\n"}, "TENCENTCLOUD_SECRET_KEY holds a space, a line end or another odd"),
        (
            {"TENCENTCLOUD_SECURITY_TOKEN": "plänted"},
            "TENCENTCLOUD_SECURITY_TOKEN holds a space, a line end or another",
        ),
    ],
)
def test_credentials_that_cannot_be_used(
    service: str, values: dict[str, str], summary: str, examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    steps = examined()
    assert failure(steps, "credentials")[0].startswith(summary)
    assert set(skipped(steps).values()) == {
        "needs credentials", "needs connection", "needs signature", "needs bucket", "needs media processing",
    }  # fmt: skip


def test_a_service_that_asks_for_no_signature(
    tmp_path: Path, examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY"):
        monkeypatch.delenv(name)
    with served(tmp_path / "service", credentials=None) as address:
        monkeypatch.setenv("RECONCILER_SERVICE", address)
        steps = examined()
    assert steps["credentials"]["summary"] == "none; requests are not signed"
    assert steps["signature"]["summary"] == "not asked for"


@pytest.mark.parametrize(
    ("name", "value", "code", "advice"),
    [
        ("TENCENTCLOUD_SECRET_ID", "AKIDOTHER", "InvalidAccessKeyId", "TENCENTCLOUD_SECRET_ID"),
        ("TENCENTCLOUD_SECRET_KEY", "planted-wrong", "SignatureDoesNotMatch", "TENCENTCLOUD_SECRET_KEY"),
    ],
)
def test_credentials_that_are_wrong(
    service: str, *, name: str, value: str, code: str, advice: str, examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    steps = examined()
    summary, advised = failure(steps, "signature")
    assert re.search(rf"403 {code}: .* \(request id .+\)$", summary)
    assert advice in advised
    assert steps["connection"]["status"] == "ok"
    assert skipped(steps)["bucket"] == "needs signature"


def test_no_credentials_where_they_are_asked_for(
    service: str, examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY"):
        monkeypatch.delenv(name)
    assert "not signed" in failure(examined(), "signature")[0]


# The network and the clock.


@pytest.mark.parametrize(
    ("seconds", "status", "summary"),
    [
        (5, "ok", "as the service's"),
        (300, "warning", r"^(300|299|301) s ahead of the service's$"),
        (-300, "warning", r"^(300|299|301) s behind the service's$"),
        (86400, "warning", r"^864\d\d s ahead of the service's, which refuses such signatures$"),
    ],
)
def test_a_clock_that_is_off_is_told_and_worked_around(
    seconds: int, status: str, summary: str, service: str, examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SystemClock, "wall", staticmethod(lambda: time.time() + seconds))
    steps = examined()
    assert steps["clock"]["status"] == status
    assert re.search(summary, steps["clock"]["summary"])
    assert steps["signature"]["status"] == "ok"


def test_nothing_listens(tmp_path: Path, examined: Examined, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(tmp_path / "service") as address:
        monkeypatch.setenv("RECONCILER_SERVICE", address)
    steps = examined()
    assert failure(steps, "connection")[0] == f"HEAD /: cannot reach {address}: nothing listens there"
    assert skipped(steps)["clock"] == "needs connection"


def test_a_name_that_does_not_exist(examined: Examined, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONCILER_SERVICE", "http://service.invalid")
    monkeypatch.setenv("NO_PROXY", "*")
    summary, advice = failure(examined(), "connection")
    assert summary == "HEAD /: cannot reach http://service.invalid: the name is not known"
    assert "endpoints" in advice


def test_tls_where_there_is_none(service: str, examined: Examined, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONCILER_SERVICE", service.replace("http:", "https:"))
    summary, advice = failure(examined(), "connection")
    assert "it does not speak TLS" in summary
    assert "http://" in advice


# Somebody else answers.

Answers = Callable[[str, str], tuple[int, dict[str, str], str]]


@asynccontextmanager
async def _answering(answers: Answers) -> AsyncIterator[str]:
    """Run an HTTP server that answers by method and path; one call a connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        if length := re.search(r"content-length: (\d+)", head, re.IGNORECASE):
            await reader.readexactly(int(length[1]))
        method, target, _ = head.split(" ", 2)
        status, headers, body = answers(method, target)
        lines = {"Connection": "close", "Content-Length": str(len(body)), **headers}
        said = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"HTTP/1.1 {status} x\r\n{said}\r\n{'' if method == 'HEAD' else body}".encode())
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@contextmanager
def answering(answers: Answers) -> Iterator[str]:
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(_answering(answers)) as address:
        yield address


@pytest.mark.parametrize(
    ("status", "headers", "body", "summary", "advice"),
    [
        (200, {}, "<html>Welcome</html>", "has no request id, so it is not the service's", "proxy"),
        (404, {}, "<html>nginx</html>", "this is not the API that answers", "`service` and `endpoints`"),
        (302, {"Location": "https://login.example/"}, "", "it points to https://login.example/", "`endpoints`"),
        (503, {"x-cos-request-id": "id-9"}, "", "503 Unknown: Service Unavailable (request id id-9)", ""),
    ],
)
def test_somebody_else_answers(
    *,
    status: int,
    headers: dict[str, str],
    body: str,
    summary: str,
    advice: str,
    examined: Examined,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with answering(lambda *_: (status, headers, body)) as address:
        monkeypatch.setenv("RECONCILER_SERVICE", address)
        found = failure(examined(), "connection")
    assert summary in found[0]
    assert advice in found[1]


# The bucket, media processing, permissions.


@pytest.mark.parametrize(
    ("name", "value", "summary"),
    [
        ("RECONCILER_BUCKET", "other-1250000000", "there is no bucket `other-1250000000` here"),
        ("RECONCILER_REGION", "ap-guangzhou", "the buckets here are in `ap-chongqing`, not in `ap-guangzhou`"),
    ],
)
def test_a_bucket_that_is_not_there(
    name: str, value: str, summary: str, service: str, examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    steps = examined()
    found = failure(steps, "bucket")
    assert summary in found[0]
    assert "`bucket` and `region`" in found[1]
    assert steps["signature"]["status"] == "ok"
    assert skipped(steps)["media processing"] == "needs bucket"


def jobs_call(address: str, method: str, path: str, body: str = "") -> httpx.Response:
    reply = httpx.request(
        method, f"{address}{path}", headers={"Host": f"{BUCKET}.ci.{REGION}.myqcloud.com"}, content=body
    )
    assert reply.status_code == 200, reply.text
    return reply


@pytest.fixture
def open_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with served(tmp_path / "service", credentials=None) as address:
        monkeypatch.setenv("RECONCILER_SERVICE", address)
        yield address


def test_media_processing_switched_off(open_service: str, examined: Examined) -> None:
    jobs_call(open_service, "DELETE", "/mediabucket")
    steps = examined()
    summary, advice = failure(steps, "media processing")
    assert summary.startswith(f"it is switched off for {BUCKET}: ")
    assert "switch it on" in advice
    assert skipped(steps) == {"list jobs": "needs media processing", "list templates": "needs media processing"}


def test_a_queue_that_is_paused(open_service: str, examined: Examined) -> None:
    found = re.search(r"<QueueId>(\w+)</QueueId>", jobs_call(open_service, "GET", "/queue").text)
    assert found is not None
    body = f"<Request><Name>render</Name><QueueID>{found[1]}</QueueID><State>Paused</State><NotifyConfig><State>Off</State></NotifyConfig></Request>"
    jobs_call(open_service, "PUT", f"/queue/{found[1]}", body)
    step = examined()["media processing"]
    assert (step["status"], step["summary"]) == ("warning", f"queue {found[1]} is paused")


JOBS_REPLY = "<Response><JobsDetail><JobId>j1</JobId><State>Running</State></JobsDetail></Response>"
GOOD: Mapping[tuple[str, str], str] = {
    ("GET", "/"): "<ListBucketResult><IsTruncated>true</IsTruncated><NextMarker>z</NextMarker></ListBucketResult>",
    ("GET", "/queue"): "<Response/>",
    ("GET", "/jobs"): JOBS_REPLY,
    ("GET", "/template"): "<Response/>",
}


def refusing(method: str, path: str, status: int, code: str) -> Answers:
    """A service at which one call is refused."""

    def answers(asked: str, target: str) -> tuple[int, dict[str, str], str]:
        headers = {"x-cos-request-id": "id-1", "ETag": '"abc"'}
        where = target.partition("?")[0]
        if asked == method and where.startswith(path) and (path != "/" or where == "/"):
            return status, headers, ERROR.format(code, "no")
        return (204 if asked == "DELETE" else 200), headers, GOOD.get((asked, where), "")

    return answers


@pytest.mark.parametrize(
    ("method", "path", "step", "advice"),
    [
        ("GET", "/", "list objects", "allow cos:GetBucket to these credentials"),
        ("GET", "/queue", "media processing", "allow ci:DescribeMediaQueues to these credentials"),
        ("GET", "/jobs", "list jobs", "allow ci:DescribeMediaJobs to these credentials"),
        ("GET", "/template", "list templates", "allow ci:DescribeMediaTemplates to these credentials"),
        ("PUT", f"/{PROBE}", "write objects", "allow cos:PutObject to these credentials"),
        ("DELETE", f"/{PROBE}", "write objects", "allow cos:DeleteObject to these credentials"),
    ],
)
def test_a_permission_that_is_missing(
    method: str, path: str, step: str, advice: str, examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(refusing(method, path, 403, "AccessDenied")) as address:
        monkeypatch.setenv("RECONCILER_SERVICE", address)
        steps = examined("--write")
    summary, advised = failure(steps, step)
    assert "403 AccessDenied: no (request id id-7)" in summary
    assert advised == advice
    assert (PROBE in summary.partition("(")[2]) is (method == "DELETE")


@pytest.mark.parametrize(
    ("method", "path", "step"),
    [
        ("GET", "/", "bucket"),
        ("GET", "/queue", "media processing"),
        ("GET", "/jobs", "list jobs"),
        ("GET", "/template", "list templates"),
        ("PUT", f"/{PROBE}", "write objects"),
    ],
)
def test_a_service_that_fails(
    method: str, path: str, step: str, examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(refusing(method, path, 500, "InternalError")) as address:
        monkeypatch.setenv("RECONCILER_SERVICE", address)
        assert "500 InternalError: no" in failure(examined("--write"), step)[0]


def test_an_expired_token(examined: Examined, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENCENTCLOUD_SECURITY_TOKEN", "planted-token")
    with answering(refusing("GET", "/", 400, "ExpiredToken")) as address:
        monkeypatch.setenv("RECONCILER_SERVICE", address)
        steps = examined()
    assert steps["credentials"]["summary"] == "temporary ones of AKIDEXAMPLE"
    assert "TENCENTCLOUD_SECURITY_TOKEN" in failure(steps, "signature")[1]


# For people.


def test_a_person_reads_one_line_a_step(
    service: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECONCILER_BUCKET", "other-1250000000")
    assert run(["doctor"]) == 1
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "ok       settings          other-1250000000 in ap-chongqing, service " + service
    assert "failed   bucket            GET /: 404 NoSuchBucket: there is no bucket `other-1250000000` here" in lines[8]
    assert lines[9] == " " * 27 + "→ check `bucket` and `region` in reconciler.yaml"
    assert lines[10] == "skipped  list objects      needs bucket"
    assert lines[-2:] == ["", "1 of 13 steps failed."]


@pytest.mark.parametrize(("seconds", "said"), [(0, "Everything is in order."), (300, "It works, with 1 warning.")])
def test_quiet_it_says_what_is_not_in_order(
    seconds: int, said: str, service: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SystemClock, "wall", staticmethod(lambda: time.time() + seconds))
    assert run(["-q", "doctor"]) == 0
    out = capfd.readouterr().out
    assert out.splitlines()[-1] == said
    assert "ok " not in out
