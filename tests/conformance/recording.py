"""What the official SDKs send, byte by byte: a server that writes it down, the calls, and the recordings as files.

``python -m tests.conformance.recording`` makes the recordings anew; do so when an SDK's version changes, and read what
has changed. Credentials are the published samples of reference/signature.md.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.etree import ElementTree as ET

from qcloud_cos import CosS3Client

from tests.conformance import node
from tests.conformance.targets import CREDENTIALS, Target

BUCKET: Final = "clips-1250000000"
REGION: Final = "ap-chongqing"
FOLDER: Final = Path(__file__).parent / "recorded"

JOB: Final = "j" + "0" * 31 + "1"
OTHER_JOB: Final = "j" + "0" * 31 + "2"
QUEUE: Final = "p" + "0" * 31 + "1"
TEMPLATE: Final = "t1" + "0" * 31 + "1"
UPLOAD: Final = "upload-1"
KEY: Final = "in/演示 (1).mp4"
CONTENT: Final = b"hello, synthesis"

_OBJECT: Final = f"https://{BUCKET}.cos.{REGION}.myqcloud.com/in/"

TRANSCODE: Final[dict[str, Any]] = {
    "Container": {"Format": "mp4"},
    "Video": {"Codec": "H.264", "Width": "1280", "Height": "720"},
    "Audio": {"Codec": "aac"},
}
SUBMISSION: Final[dict[str, Any]] = {
    "Tag": "VideoSynthesis",
    "Operation": {
        "VideoSynthesis": {
            "KeepAudioTrack": "true",
            "SpliceInfo": [
                {"Url": f"{_OBJECT}left.mp4", "Width": "640", "Height": "720"},
                {"Url": f"{_OBJECT}right.mp4", "X": "640", "Width": "640", "Height": "720"},
            ],
        },
        "Transcode": TRANSCODE,
        "Output": {"Region": REGION, "Bucket": BUCKET, "Object": "out/${jobid}.${ext}"},
        "UserData": "order <17> & more",
    },
}
TEMPLATE_REQUEST: Final[dict[str, Any]] = {"Tag": "Transcode", "Name": "canvas-720", **TRANSCODE}
QUEUE_REQUEST: Final[dict[str, Any]] = {
    "Name": "render",
    "QueueID": QUEUE,
    "State": "Active",
    "NotifyConfig": {
        "State": "On",
        "Event": "TaskFinish",
        "ResultFormat": "JSON",
        "Type": "Url",
        "Url": "http://hooks.example.com/ci",
    },
}
PARTS: Final[list[dict[str, Any]]] = [{"PartNumber": "1", "ETag": '"0cc175b9c0f1b6a831c399e269772661"'}]


@dataclass(frozen=True)
class Sent:
    """One request as it was sent."""

    line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def method(self) -> str:
        """The method."""
        return self.line.split(" ")[0]

    @property
    def host(self) -> str:
        """The host that the target names, or else the header."""
        return urlsplit(self.line.split(" ")[1]).netloc or self.header("host")

    @property
    def path(self) -> str:
        """The decoded path."""
        return unquote(urlsplit(self.line.split(" ")[1]).path)

    @property
    def query(self) -> dict[str, str]:
        """The decoded parameters."""
        return dict(parse_qsl(urlsplit(self.line.split(" ")[1]).query, keep_blank_values=True))

    def header(self, name: str) -> str:
        """A header; empty when it was not sent."""
        return {known.lower(): value for known, value in self.headers}.get(name, "")

    @property
    def authorization(self) -> dict[str, str]:
        """The fields of the signature."""
        return dict(part.split("=", 1) for part in self.header("authorization").split("&"))

    @property
    def signed_headers(self) -> dict[str, str]:
        """The headers that the signature covers."""
        return {name: self.header(name) for name in self.authorization["q-header-list"].split(";")}

    @property
    def signed_query(self) -> dict[str, str]:
        """The parameters that the signature covers."""
        names = self.authorization["q-url-param-list"].split(";")
        return {name: value for name, value in self.query.items() if name.lower() in names}

    @property
    def interval(self) -> tuple[int, int]:
        """From when to when the signature holds."""
        start, end = self.authorization["q-sign-time"].split(";")
        return int(start), int(end)

    @property
    def canonical_body(self) -> str:
        """The body as canonical XML; as it is when it is something else."""
        return ET.canonicalize(self.body) if self.body.startswith(b"<") else repr(self.body)

    @property
    def text(self) -> str:
        """The request as text."""
        head = "".join(f"{name}: {value}\n" for name, value in self.headers)
        return f"{self.line}\n{head}\n{self.body.decode()}"

    @classmethod
    def read(cls, path: Path) -> Sent:
        """Read a recording."""
        head, _, body = path.read_text(encoding="utf-8").partition("\n\n")
        line, *headers = head.split("\n")
        pairs = tuple((name, value) for name, _, value in (header.partition(": ") for header in headers))
        return cls(line, pairs, body.encode())

    @property
    def timeless(self) -> str:
        """The request as text without what depends on the clock, or on the language's own HTTP library."""
        text = re.sub(r"(q-sign-time|q-key-time)=[0-9;]+", r"\1=…", self.text)
        text = re.sub(r"q-signature=[0-9a-f]{40}", "q-signature=…", text)
        return re.sub(r"^(Accept-Encoding|Connection): .*\n", "", text, flags=re.MULTILINE)


@dataclass
class Recorder:
    """A proxy that answers by itself and keeps what it was sent."""

    origin: str
    sent: list[Sent] = field(default_factory=list)

    def last(self) -> Sent:
        """The only request since the last question."""
        (sent,) = self.sent
        self.sent.clear()
        return sent


@contextmanager
def recording() -> Iterator[Recorder]:
    """Record on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            # Names and values are decoded as Latin-1 by the base class, though SDKs send UTF-8.
            headers = tuple((name, value.encode("latin-1").decode()) for name, value in self.headers.items())
            sent = Sent(self.requestline, headers, body)
            recorder.sent.append(sent)
            reply = _reply(sent)
            self.send_response(200)
            self.send_header("x-cos-request-id", "NjYwMDAwMDBfYWJj")
            self.send_header("x-ci-request-id", "NjYwMDAwMDBfYWJj")
            self.send_header("ETag", '"0cc175b9c0f1b6a831c399e269772661"')
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            if sent.method != "HEAD":
                self.wfile.write(reply)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer  # noqa: N815 - the base class names them so

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        recorder = Recorder(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield recorder
        finally:
            server.shutdown()
            thread.join()


_TEMPLATE_XML: Final = (
    f"<Tag>Transcode</Tag><Name>canvas-720</Name><TemplateId>{TEMPLATE}</TemplateId><BucketId>{BUCKET}</BucketId>"
    "<Category>Custom</Category><CreateTime>2026-05-01T09:00:00+0800</CreateTime>"
    "<UpdateTime>2026-05-01T09:00:00+0800</UpdateTime>"
    "<TransTpl><Container><Format>mp4</Format></Container></TransTpl>"
)
_JOB_XML: Final = (
    f"<JobsDetail><Code>Success</Code><Message/><JobId>{JOB}</JobId><State>Submitted</State>"
    "<Tag>VideoSynthesis</Tag></JobsDetail>"
)
_COUNT: Final = "<RequestId>r</RequestId><TotalCount>0</TotalCount><PageNumber>1</PageNumber><PageSize>10</PageSize>"


def _reply(sent: Sent) -> bytes:
    """Answer what the SDKs need to go on."""
    what = sent.path.split("/")[1]
    if what == "template" and sent.method in ("POST", "PUT"):
        text = f"<Response><RequestId>r</RequestId><Template>{_TEMPLATE_XML}</Template></Response>"
    elif what in ("template", "queue", "mediabucket"):
        text = f"<Response>{_COUNT}</Response>"
    elif what == "jobs":
        text = "" if sent.method == "PUT" else f"<Response>{_JOB_XML}<NextToken/></Response>"
    elif sent.method == "DELETE" or (sent.method == "PUT" and not sent.header("x-cos-copy-source")):
        text = ""
    else:
        text = (
            f"<Result><Name>{BUCKET}</Name><UploadId>{UPLOAD}</UploadId><ETag>e</ETag><IsTruncated>false</IsTruncated>"
            "<Prefix/><Marker/><MaxKeys>1000</MaxKeys></Result>"
        )
        if sent.method == "GET" and sent.path == "/" and "uploads" not in sent.query:
            text = text.replace("Result>", "ListBucketResult>")
    return text.encode()


SOURCE: Final = {"Bucket": BUCKET, "Key": KEY, "Region": REGION}

PYTHON: Final[dict[str, Callable[[CosS3Client], Any]]] = {
    "submit": lambda sdk: sdk.ci_create_media_jobs(BUCKET, Jobs=SUBMISSION, ContentType="application/xml"),
    "query": lambda sdk: sdk.ci_get_media_jobs(BUCKET, f"{JOB},{OTHER_JOB}"),
    "list-jobs": lambda sdk: sdk.ci_list_media_jobs(
        BUCKET, "VideoSynthesis", StartCreationTime="2026-05-01T00:00:00+0800", Size=100
    ),
    "cancel": lambda sdk: sdk.ci_cancel_jobs(BUCKET, JOB),
    "queues": lambda sdk: sdk.ci_get_media_queue(BUCKET, PageNumber="1", PageSize="10"),
    "update-queue": lambda sdk: sdk.ci_update_media_queue(BUCKET, QUEUE, QUEUE_REQUEST, ContentType="application/xml"),
    "templates": lambda sdk: sdk.ci_get_template(BUCKET),
    "create-template": lambda sdk: sdk.ci_create_template(BUCKET, TEMPLATE_REQUEST),
    "update-template": lambda sdk: sdk.ci_update_template(BUCKET, TEMPLATE, TEMPLATE_REQUEST),
    "delete-template": lambda sdk: sdk.ci_delete_template(BUCKET, TEMPLATE),
    "media-buckets": lambda sdk: sdk.ci_get_media_bucket(BucketNames=BUCKET, PageNumber="1", PageSize="10"),
    "head-bucket": lambda sdk: sdk.head_bucket(BUCKET),
    "put": lambda sdk: sdk.put_object(BUCKET, CONTENT, KEY),
    "put-with-headers": lambda sdk: sdk.put_object(
        BUCKET,
        CONTENT,
        KEY,
        EnableMD5=True,
        ContentType="video/mp4",
        Metadata={"x-cos-forbid-overwrite": "true", "x-cos-meta-owner": "team a/b"},
    ),
    "get-range": lambda sdk: sdk.get_object(BUCKET, KEY, Range="bytes=2-4", ResponseContentType="video/mp4")[
        "Body"
    ].read(),
    "head": lambda sdk: sdk.head_object(BUCKET, KEY),
    "delete": lambda sdk: sdk.delete_object(BUCKET, KEY),
    "list-objects": lambda sdk: sdk.list_objects(BUCKET, Prefix="in/"),
    "delete-objects": lambda sdk: sdk.delete_objects(BUCKET, {"Object": [{"Key": KEY}], "Quiet": "true"}),
    "copy": lambda sdk: sdk.copy_object(BUCKET, "out/copy.mp4", SOURCE),
    "initiate-upload": lambda sdk: sdk.create_multipart_upload(BUCKET, KEY, ContentType="video/mp4"),
    "upload-part": lambda sdk: sdk.upload_part(BUCKET, KEY, CONTENT, 1, UPLOAD),
    "list-uploads": lambda sdk: sdk.list_multipart_uploads(BUCKET, Prefix=KEY),
    "list-parts": lambda sdk: sdk.list_parts(BUCKET, KEY, UPLOAD),
    "complete-upload": lambda sdk: sdk.complete_multipart_upload(BUCKET, KEY, UPLOAD, {"Part": PARTS}),
    "abort-upload": lambda sdk: sdk.abort_multipart_upload(BUCKET, KEY, UPLOAD),
}
"""The calls of the Python SDK."""


def python(recorder: Recorder) -> dict[str, Sent]:
    """Let the Python SDK make its calls."""
    target = Target("recorder", BUCKET, REGION, CREDENTIALS, origin=recorder.origin)
    found = {}
    with target.python() as sdk:
        for name, call in PYTHON.items():
            call(sdk)
            found[name] = recorder.last()
    return found


def javascript(recorder: Recorder) -> dict[str, Sent]:
    """Let the Node.js SDK make its calls."""
    known = {
        "options": node.options(CREDENTIALS, Proxy=recorder.origin),
        "bucket": BUCKET,
        "region": REGION,
        "submission": SUBMISSION,
        "template": TEMPLATE_REQUEST,
        "queueRequest": QUEUE_REQUEST,
        "ids": {"job": JOB, "other": OTHER_JOB, "queue": QUEUE, "template": TEMPLATE, "upload": UPLOAD},
        "key": KEY,
        "content": CONTENT.decode(),
        "parts": PARTS,
    }
    names: list[str] = node.run("calls.js", known)
    assert len(names) == len(recorder.sent), [sent.line for sent in recorder.sent]
    found = dict(zip(names, recorder.sent, strict=True))
    recorder.sent.clear()
    return found


def recorded() -> dict[str, Sent]:
    """Read the recordings; a name is that of the SDK and that of the call."""
    return {f"{path.parent.name}/{path.stem}": Sent.read(path) for path in sorted(FOLDER.glob("*/*.http"))}


def main() -> None:
    """Write the recordings anew."""
    with recording() as recorder:
        for sdk, sent in (("python", python(recorder)), ("node", javascript(recorder))):
            (FOLDER / sdk).mkdir(parents=True, exist_ok=True)
            for path in (FOLDER / sdk).glob("*.http"):
                path.unlink()
            for name, request in sent.items():
                (FOLDER / sdk / f"{name}.http").write_text(request.text, encoding="utf-8")


if __name__ == "__main__":
    main()
