"""What the suite runs against: the service in this process, `reconciler serve` as a process of its own, and the cloud.

The cloud is one of them only when somebody asks for it by name; see docs/conformance.md.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import requests
from anyio.from_thread import start_blocking_portal
from qcloud_cos import CosConfig, CosS3Client
from requests.adapters import BaseAdapter, HTTPAdapter

from reconciler.api.signing import Credentials
from reconciler.service import Service
from reconciler.service.carriers import Ways
from reconciler.service.reach import everything
from tests.conformance.asgi import AsgiAdapter

BUCKET: Final = "conformance-1250000000"
REGION: Final = "ap-chongqing"
CREDENTIALS: Final = Credentials("AKIDEXAMPLEEXAMPLEEXAMPLEEXAMPLE0001", "ExampleSecretKeyExampleSecretKey")
TEMPORARY: Final = Credentials("AKIDTEMPORARYEXAMPLE", "TemporarySecretKeyExample", "TOKEN/abc.def_ghi-0123")

IN_PROCESS: Final = "in process"
SOCKET: Final = "socket"
CLOUD: Final = "cloud"

CLOUD_SWITCH: Final = "RECONCILER_CONFORMANCE_CLOUD"
CLOUD_REGION: Final = "RECONCILER_CONFORMANCE_REGION"


@dataclass(frozen=True)
class Target:
    """A service that can be called. ``origin`` is its address when it has one of its own."""

    name: str
    bucket: str
    region: str
    credentials: Credentials
    scheme: str = "http"
    origin: str | None = None
    adapter: Callable[[], BaseAdapter] = field(default=HTTPAdapter, repr=False)

    @property
    def local(self) -> bool:
        """Whether it is ours, so that what the documents leave open is known."""
        return self.scheme == "http"

    @property
    def address(self) -> str:
        """Host and port of a socket to connect to; made up where none is needed."""
        return (self.origin or "http://127.0.0.1:1").removeprefix("http://")

    @property
    def objects(self) -> str:
        """The host of the object half."""
        return f"{self.bucket}.cos.{self.region}.myqcloud.com"

    @property
    def jobs(self) -> str:
        """The host of the job half."""
        return f"{self.bucket}.ci.{self.region}.myqcloud.com"

    @contextmanager
    def session(self, adapter: BaseAdapter | None = None) -> Iterator[requests.Session]:
        """A session whose requests arrive there, whatever host they name."""
        with requests.Session() as session:
            session.trust_env = False
            session.mount(f"{self.scheme}://", adapter or self.adapter())
            if self.origin:
                session.proxies = {"http": self.origin}
            yield session

    @contextmanager
    def python(self, adapter: BaseAdapter | None = None, *, retry: int = 0, **settings: Any) -> Iterator[CosS3Client]:
        """The official Python SDK; by default through a proxy, or straight where there is no socket."""
        known: dict[str, Any] = {
            "Region": self.region,
            "SecretId": self.credentials.secret_id,
            "SecretKey": self.credentials.secret_key,
            "Token": self.credentials.token,
            "Scheme": self.scheme,
        }
        if self.origin and not {"IP", "Domain", "Endpoint"} & settings.keys():
            known["Proxies"] = {"http": self.origin}
        with requests.Session() as session:
            session.trust_env = False
            session.mount(f"{self.scheme}://", adapter or self.adapter())
            yield CosS3Client(CosConfig(**{**known, **settings}), retry=retry, session=session)


@contextmanager
def in_process(root: Path, credentials: Credentials = CREDENTIALS) -> Iterator[Target]:
    """Run the service in a thread of this process."""
    with start_blocking_portal() as portal:
        ways = Ways(reach=everything)  # callbacks to the loopback address are wanted here
        service = Service(root, bucket=BUCKET, region=REGION, concurrency=2, credentials=credentials, ways=ways)
        with portal.wrap_async_context_manager(service):
            yield Target(IN_PROCESS, BUCKET, REGION, credentials, adapter=lambda: AsgiAdapter(portal, service.app))


@contextmanager
def over_a_socket(root: Path, credentials: Credentials = CREDENTIALS) -> Iterator[Target]:
    """Run the program as anyone would."""
    command = [
        *(sys.executable, "-m", "reconciler", "serve", "--root", str(root), "--port", "0", "--parallelism", "2"),
        *("--bucket", BUCKET, "--region", REGION, "--allow-private-callbacks"),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=_environment(credentials)) as process:
        assert process.stderr is not None
        said: list[str] = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("Serving "):
                break
        assert said, "it ended without a word"
        assert said[-1].startswith("Serving "), "".join(said)
        # Whatever else it says is read, so that it never waits for a reader.
        reader = threading.Thread(target=said.extend, args=(process.stderr,))
        reader.start()
        try:
            yield Target(SOCKET, BUCKET, REGION, credentials, origin=said[-1].split(" on ")[1].split(";")[0])
        finally:
            process.terminate()
            reader.join()


def _environment(credentials: Credentials) -> dict[str, str]:
    mine = {name: text for name, text in os.environ.items() if not name.startswith(("RECONCILER_", "TENCENTCLOUD_"))}
    mine["TENCENTCLOUD_SECRET_ID"] = credentials.secret_id
    mine["TENCENTCLOUD_SECRET_KEY"] = credentials.secret_key
    return mine | ({"TENCENTCLOUD_SECURITY_TOKEN": credentials.token} if credentials.token else {})


class NotAskedForError(Exception):
    """The environment half asks for the cloud; nothing is sent anywhere."""


def cloud(environ: Mapping[str, str]) -> Target | None:
    """Return the cloud, when the environment asks for it: by the name of a bucket, its region and credentials.

    Raises NotAskedForError when something of that is missing, or several processes would work in the one bucket.
    """
    bucket = environ.get(CLOUD_SWITCH, "")
    if not bucket:
        return None
    head, _, appid = bucket.rpartition("-")
    if not head or not appid.isdecimal():
        raise NotAskedForError(f"{CLOUD_SWITCH} is the name of an empty bucket, NAME-APPID, not {bucket!r}")
    wanted = (CLOUD_REGION, "TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY")
    if missing := [name for name in wanted if not environ.get(name)]:
        raise NotAskedForError(f"{CLOUD_SWITCH} needs {', '.join(missing)} as well")
    if "PYTEST_XDIST_WORKER" in environ:
        raise NotAskedForError(f"{CLOUD_SWITCH} is for one process alone: pytest -n 0 tests/conformance")
    region, secret_id, secret_key = (environ[name] for name in wanted)
    token = environ.get("TENCENTCLOUD_SECURITY_TOKEN") or None
    return Target(CLOUD, bucket, region, Credentials(secret_id, secret_key, token), scheme="https")


def names(environ: Mapping[str, str]) -> list[str]:
    """Name the targets of this run."""
    return [IN_PROCESS, SOCKET, *([CLOUD] if environ.get(CLOUD_SWITCH) else [])]


@contextmanager
def emptied(target: Target) -> Iterator[Target]:
    """Let the suite work in a bucket of the cloud that was empty before, and is empty afterwards."""
    with target.python() as client:
        _refuse_used(client, target.bucket)
        try:
            yield target
        finally:
            _empty(client, target.bucket)


def _refuse_used(client: CosS3Client, bucket: str) -> None:
    """A bucket in which there is anything belongs to somebody."""
    if client.list_objects(bucket, MaxKeys=1).get("Contents"):
        raise NotAskedForError(f"{bucket} has objects; the suite works in an empty bucket only")
    if client.list_multipart_uploads(bucket, MaxUploads=1).get("Upload"):
        raise NotAskedForError(f"{bucket} has unfinished uploads; the suite works in an empty bucket only")
    if client.ci_get_template(bucket, PageSize=1).get("TemplateList"):
        raise NotAskedForError(f"{bucket} has templates; the suite works in an empty bucket only")


def _empty(client: CosS3Client, bucket: str) -> None:
    while uploads := client.list_multipart_uploads(bucket).get("Upload"):
        for upload in uploads:
            client.abort_multipart_upload(bucket, upload["Key"], upload["UploadId"])
    while contents := client.list_objects(bucket).get("Contents"):
        client.delete_objects(bucket, {"Object": [{"Key": found["Key"]} for found in contents], "Quiet": "true"})
    while found := client.ci_get_template(bucket, PageSize=10).get("TemplateList"):
        for template in found:
            client.ci_delete_template(bucket, template["TemplateId"])
