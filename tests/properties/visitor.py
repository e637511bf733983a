"""A caller who knows every call of the API and gets each a little wrong: random requests, all from one seed.

Starts from a valid request, then changes what a request has – method, host, path, query, headers, elements, bytes – at
no, one or some places. What the service answers is remembered, so that ids of real jobs, templates, uploads, parts and
objects come back in later requests.
"""

from __future__ import annotations

import base64
import hashlib
import random
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from lxml import etree

from reconciler.api.signing import Credentials, sign
from tests.service.harness import BUCKET, REGION
from tests.service.refusals import MARK_TEMPLATE
from tests.service.wire import CI_HOST, COS_HOST, Answer, Call

HOSTS: Final = (
    *(CI_HOST, COS_HOST, b"127.0.0.1:8787", b"localhost", b"", b"none-1.cos.ap-chongqing.myqcloud.com"),
    *(f"ci.{REGION}.myqcloud.com".encode(), f"{BUCKET}.ci.ap-beijing.myqcloud.com".encode(), b"[::1]:80", b"\xff\x00"),
)
METHODS: Final = ("GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "get", "BREW")
NASTY: Final = (
    *("", " ", "0", "-1", "1e999999999", "NaN", "9" * 25, "9" * 5000, "9223372036854775808", "٣", "0x10", "+5", " 5 "),
    *("true", "TRUE", "yes", "null", "None", "..", "../../../etc/passwd", "/", "//", ".", "a/../b", "%", "%2", "%zz"),
    *(
        "%00",
        "\0",
        "\r\nX-Evil: 1",
        "\x1b[31m",
        "é",
        "演示 (1).mp4",
        "😀",
        "\ufffe",
        "\u202e",
        "'",
        '"',
        "<",
        "&",
        "]]>",
    ),
    *("' OR 1=1 --", "${jobid}", "${ext}", "{{7*7}}", "*", "?", "#", ",", ",,,", ";", "a" * 300, "a" * 2000, "=", "&="),
    *(
        "All",
        "Success,Failed",
        "Desc",
        "2026-05-01T10:00:00+0800",
        "9999-12-31T23:59:59+0000",
        "0001-01-01T00:00:00-1400",
    ),
    *("bytes=0-", "bytes=-1", "bytes=9-1", "bytes=0-0,2-3", "Thu, 01 Jan 1970 00:00:00 GMT", "*/*", "W/*", "chunked"),
)
WORDS: Final = ("Request", "Operation", "Tag", "Url", "Video", "Part", "ETag", "Object", "Key", "NotifyConfig", "x")
PARAMETERS: Final = (
    *("tag", "queueId", "orderByTime", "nextToken", "size", "states", "startCreationTime", "endCreationTime", "cancel"),
    *("queueIds", "state", "category", "pageNumber", "pageSize", "ids", "name", "regions", "bucketNames", "bucketName"),
    *(
        "prefix",
        "marker",
        "delimiter",
        "max-keys",
        "encoding-type",
        "uploads",
        "uploadId",
        "partNumber",
        "delete",
        "acl",
    ),
    *("max-parts", "part-number-marker", "key-marker", "upload-id-marker", "max-uploads", "versionId", "sign", "q-ak"),
    *("response-content-type", "response-expires", "q-sign-algorithm", "x-cos-security-token", "location", "é", ""),
)
HEADERS: Final = (
    *(
        "authorization",
        "content-length",
        "content-md5",
        "content-type",
        "range",
        "if-match",
        "if-none-match",
        "if-range",
    ),
    *("if-modified-since", "if-unmodified-since", "x-cos-forbid-overwrite", "x-cos-meta-a", "x-cos-meta-a_b", "expect"),
    *("x-cos-storage-class", "x-cos-acl", "x-cos-copy-source", "x-cos-copy-source-range", "x-cos-metadata-directive"),
    *("x-cos-traffic-limit", "x-cos-tagging", "x-cos-security-token", "transfer-encoding", "host", "date", "expires"),
    *(
        "cache-control",
        "content-encoding",
        "x-cos-copy-source-if-match",
        "accept",
        "cookie",
        "upgrade",
        "x-cos-sdk-retry",
    ),
)
_FOUND: Final = re.compile(
    rb"<(JobId|TemplateId|UploadId|QueueId|NextToken|NextMarker|Key|ETag)>(?:&quot;|\")?([^<\"&]{1,200})"
)

_BEGUN: Final = re.compile(rb"<Key>([^<]+)</Key><UploadId>([^<]+)</UploadId></InitiateMultipartUploadResult>")
_PART: Final = re.compile(rb"\?partNumber=([0-9]{1,4})&uploadId=([0-9a-f]+)\Z")


@dataclass
class Draft:
    """A request before it is bytes; ``body`` is an element as long as only elements are changed."""

    method: str
    host: bytes
    path: str
    query: list[tuple[str, str]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    body: etree._Element | bytes | None = None


class Visitor:
    """Draws requests. The same seed and the same answers give the same requests."""

    def __init__(self, seed: int, credentials: Credentials | None = None, now: int = 0) -> None:
        self._random = random.Random(seed)
        self._credentials = credentials
        self._now = now
        self._known: defaultdict[str, list[str]] = defaultdict(list)
        self._uploads_begun: list[tuple[str, str]] = []
        self._parts_there: defaultdict[str, dict[int, str]] = defaultdict(dict)
        self._calls: tuple[Callable[[], Draft], ...] = (
            *(self._submit, self._submit, self._jobs, self._job, self._cancel, self._queues, self._update_queue),
            *(self._template, self._update_template, self._templates, self._delete_template, self._media_bucket),
            *(self._put, self._put, self._get, self._list, self._delete, self._delete_many, self._copy),
            *(self._initiate, self._part, self._complete, self._parts, self._uploads, self._abort, self._anything),
        )

    def call(self) -> Call:
        """Draw the next request."""
        draft = self._pick(self._calls)()
        for _ in range(self._pick((0, 0, 1, 1, 1, 2, 5))):
            self._pick((self._bend_query, self._bend_headers, self._bend_body, self._bend_body, self._bend_line))(draft)
        return self._written(draft)

    def learn(self, call: Call, answer: Answer) -> None:
        """Remember what later requests can refer to."""
        if answer.status != 200:
            return
        for name, value in _FOUND.findall(answer.body[:20_000]):
            self._keep(name.decode(), value.decode(errors="replace"))
        etag = (answer.header("etag") or "").strip('"')
        self._keep("ETag", etag)
        if begun := _BEGUN.search(answer.body):
            self._uploads_begun.append((begun[1].decode(), begun[2].decode()))
            del self._uploads_begun[:-5]
        if part := _PART.search(call.target):
            self._parts_there[part[2].decode()][int(part[1])] = etag

    # Drawing.

    def _pick(self, options: Any) -> Any:
        return options[self._random.randrange(len(options))]

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _keep(self, name: str, value: str) -> None:
        known = self._known[name]
        if value and value not in known:
            known.append(value)
            del known[:-20]

    def _known_or(self, name: str, other: str) -> str:
        return str(self._pick(self._known[name])) if self._known[name] and self._chance(0.8) else other

    def _nasty(self) -> str:
        if self._chance(0.15):
            return "".join(
                chr(self._random.choice((self._random.randrange(128), self._random.randrange(0xD800))))
                for _ in range(5)
            )
        if self._chance(0.2):
            return self._known_or(self._pick(("JobId", "TemplateId", "UploadId", "Key", "ETag", "NextToken")), "x")
        return str(self._pick(NASTY))

    def _key(self) -> str:
        known = self._known_or("Key", "z")
        return str(self._pick(("a", "b.mp4", "in/c", "in/d/e.txt", "演示 (1).mp4", "out/x", "in", "jobs/a", known)))

    # Valid requests.

    def _ci(self, method: str, path: str, *query: tuple[str, str], body: etree._Element | None = None) -> Draft:
        return Draft(
            method, CI_HOST, path, list(query), {"content-type": "application/xml"} if body is not None else {}, body
        )

    def _cos(self, method: str, path: str, *query: tuple[str, str], **rest: Any) -> Draft:
        return Draft(method, COS_HOST, path, list(query), **rest)

    def _submit(self) -> Draft:
        operations = [self._operation() for _ in range(self._pick((1, 1, 1, 2, 4)))]
        rest = [tree("CallBack", "no")] if self._chance(0.1) else []
        return self._ci("POST", "/jobs", body=tree("Request", tree("Tag", "VideoSynthesis"), *operations, *rest))

    def _operation(self) -> etree._Element:
        url = f"http://{COS_HOST.decode()}/{quote(self._key())}"
        sources = [
            tree("SpliceInfo", tree("Url", url), tree("X", "0"), tree("Width", "128"), tree("Height", "128"))
            for _ in range(self._pick((1, 2, 3)))
        ]
        video = tree("Video", tree("Codec", "H.264"), tree("Width", "128"), tree("Height", "128"), tree("Fps", "25"))
        encoding = [
            tree("Transcode", tree("Container", tree("Format", "mp4")), video, tree("Audio", tree("Codec", "aac")))
        ]
        if self._chance(0.3):
            encoding = [tree("TranscodeTemplateId", self._known_or("TemplateId", "t1" + "0" * 32))]
        if self._chance(0.2):
            encoding.append(tree("WatermarkTemplateId", self._known_or("TemplateId", "t1" + "0" * 32)))
        target = tree("Output", tree("Region", REGION), tree("Bucket", BUCKET), tree("Object", "out/${jobid}.${ext}"))
        return tree(
            "Operation", tree("VideoSynthesis", *sources), *encoding, target, tree("JobLevel", self._pick("012"))
        )

    def _jobs(self) -> Draft:
        query = [
            ("tag", "VideoSynthesis"),
            ("orderByTime", self._pick(("Desc", "Asc"))),
            ("states", "All"),
            ("size", "3"),
        ]
        return self._ci("GET", "/jobs", *query, ("nextToken", self._known_or("NextToken", "")))

    def _job(self) -> Draft:
        ids = (self._known_or("JobId", "j" + "0" * 32) for _ in range(self._pick((1, 1, 2, 5))))
        return self._ci("GET", "/jobs/" + ",".join(ids))

    def _cancel(self) -> Draft:
        return self._ci("PUT", "/jobs/" + self._known_or("JobId", "j" + "0" * 32), ("cancel", ""))

    def _queues(self) -> Draft:
        return self._ci(
            "GET", "/queue", ("queueIds", self._pick(("", self._known_or("QueueId", "p")))), ("state", "All")
        )

    def _update_queue(self) -> Draft:
        queue = self._known["QueueId"][-1] if self._known["QueueId"] else "p" + "0" * 32
        notify = tree("NotifyConfig", tree("State", "Off"))
        state = tree("State", self._pick(("Active", "Active", "Paused")))
        return self._ci(
            "PUT", f"/queue/{queue}", body=tree("Request", tree("Name", "q"), tree("QueueID", queue), state, notify)
        )

    def _template(self) -> Draft:
        if self._chance(0.5):
            return self._ci("POST", "/template", body=etree.fromstring(MARK_TEMPLATE))
        video = tree("Video", tree("Codec", "H.264"), tree("Width", "128"), tree("Height", "128"))
        content = (tree("Container", tree("Format", "mp4")), video)
        return self._ci(
            "POST", "/template", body=tree("Request", tree("Tag", "Transcode"), tree("Name", "t"), *content)
        )

    def _update_template(self) -> Draft:
        draft = self._template()
        draft.method, draft.path = "PUT", "/template/" + self._known_or("TemplateId", "t1" + "0" * 32)
        return draft

    def _templates(self) -> Draft:
        ids = self._pick(("", self._known_or("TemplateId", "t1")))
        return self._ci(
            "GET",
            "/template",
            ("category", "Custom"),
            ("ids", ids),
            ("name", ""),
            ("pageNumber", "1"),
            ("pageSize", "5"),
        )

    def _delete_template(self) -> Draft:
        return self._ci("DELETE", "/template/" + self._known_or("TemplateId", "t1" + "0" * 32))

    def _media_bucket(self) -> Draft:
        method = "DELETE" if self._chance(0.05) else self._pick(("GET", "POST", "POST"))
        return self._ci(method, "/mediabucket")

    def _put(self) -> Draft:
        body = self._random.randbytes(self._pick((0, 1, 100, 5000)))
        headers = {"content-type": "video/mp4", "x-cos-meta-owner": "team a/b"}
        if self._chance(0.3):
            headers["content-md5"] = base64.b64encode(hashlib.md5(body).digest()).decode()
        return self._cos("PUT", f"/{self._key()}", headers=headers, body=body)

    def _get(self) -> Draft:
        headers = {"range": "bytes=0-9"} if self._chance(0.3) else {}
        return self._cos(self._pick(("GET", "HEAD")), f"/{self._key()}", headers=headers)

    def _list(self) -> Draft:
        query = [
            ("prefix", self._pick(("", "in/", "o"))),
            ("delimiter", self._pick(("", "/"))),
            ("marker", ""),
            ("max-keys", "3"),
        ]
        return self._cos(self._pick(("GET", "GET", "HEAD")), "/", *query, ("encoding-type", "url"))

    def _delete(self) -> Draft:
        return self._cos("DELETE", f"/{self._key()}")

    def _delete_many(self) -> Draft:
        objects = [tree("Object", tree("Key", self._key())) for _ in range(self._pick((1, 2, 5)))]
        return self._cos("POST", "/", ("delete", ""), body=tree("Delete", tree("Quiet", "false"), *objects))

    def _copy(self) -> Draft:
        source = f"{COS_HOST.decode()}/{quote(self._key())}"
        return self._cos("PUT", f"/{self._key()}", headers={"x-cos-copy-source": source})

    def _initiate(self) -> Draft:
        return self._cos("POST", f"/{self._key()}", ("uploads", ""))

    def _upload(self) -> tuple[str, tuple[str, str]]:
        """Return the key and the id of an upload, mostly of one that was begun."""
        begun = self._uploads_begun if self._uploads_begun and self._chance(0.9) else [("a", "1700000000abc")]
        key, upload = self._pick(begun)
        return f"/{key}", ("uploadId", upload)

    def _part(self) -> Draft:
        body = self._random.randbytes(self._pick((0, 10, 1000)))
        path, upload = self._upload()
        return self._cos("PUT", path, ("partNumber", self._pick("123")), upload, body=body)

    def _complete(self) -> Draft:
        path, upload = self._upload()
        there = sorted(self._parts_there[upload[1]].items()) or [(1, "0" * 32)]
        named = there[-1:] if self._chance(0.7) else there
        parts = [tree("Part", tree("PartNumber", str(number)), tree("ETag", f'"{etag}"')) for number, etag in named]
        return self._cos("POST", path, upload, body=tree("CompleteMultipartUpload", *parts))

    def _parts(self) -> Draft:
        path, upload = self._upload()
        return self._cos("GET", path, upload, ("max-parts", "2"))

    def _uploads(self) -> Draft:
        return self._cos("GET", "/", ("uploads", ""), ("prefix", ""), ("max-uploads", "3"), ("encoding-type", "url"))

    def _abort(self) -> Draft:
        path, upload = self._upload()
        return self._cos("DELETE", path, upload)

    def _anything(self) -> Draft:
        query = [(self._pick(PARAMETERS), self._nasty()) for _ in range(self._pick((0, 1, 3)))]
        return Draft(self._pick(METHODS), self._pick(HOSTS), "/" + self._nasty(), query)

    # Getting it wrong.

    def _bend_line(self, draft: Draft) -> None:
        match self._random.randrange(4):
            case 0:
                draft.method = self._pick(METHODS)
            case 1:
                draft.host = self._pick(HOSTS)
            case 2:
                draft.path += self._pick(("/", "//", "/" + self._nasty(), self._nasty()))
            case 3:
                cut = self._random.randrange(len(draft.path) + 1)
                draft.path = draft.path[:cut] + self._nasty() + draft.path[cut + 1 :]

    def _bend_query(self, draft: Draft) -> None:
        if draft.query and self._chance(0.6):
            at = self._random.randrange(len(draft.query))
            name = draft.query[at][0]
            draft.query[at : at + 1] = self._pick(
                ([], [(name, self._nasty())], [(name, self._nasty())] * 2, [(name.upper(), "")])
            )
        else:
            draft.query.append((self._pick(PARAMETERS), self._nasty()))

    def _bend_headers(self, draft: Draft) -> None:
        if draft.headers and self._chance(0.2):
            del draft.headers[self._pick(list(draft.headers))]
        else:
            draft.headers[self._pick(HEADERS)] = self._nasty()

    def _bend_body(self, draft: Draft) -> None:
        if isinstance(draft.body, etree._Element) and self._chance(0.8):
            self._bend_tree(draft.body)
            return
        body = raw(draft.body)
        if not body:
            draft.body = self._pick((b"", b"x", b"<Request/>", b"{}", self._random.randbytes(20)))
            return
        start = self._random.randrange(len(body) + 1)
        end = start + self._random.randrange(30)
        new = self._pick(
            (b"", b"<", b"&", b"\0", b"\xff", b"]]>", b"<!DOCTYPE x [", b"&#x0;", self._random.randbytes(3))
        )
        draft.body = self._pick(
            (body[:start] + new + body[end:], body[:start], body * 2, body.decode("latin-1").encode("utf-16"))
        )

    def _bend_tree(self, root: etree._Element) -> None:
        element = self._pick(list(root.iter()))
        parent = element.getparent()
        match self._random.randrange(7):
            case 0 if parent is not None:
                parent.remove(element)
            case 1 if parent is not None:
                for _ in range(self._pick((1, 3, 30))):
                    parent.append(etree.fromstring(etree.tostring(element)))
            case 2:
                element.tag = self._pick(WORDS)
            case 3:
                element.append(tree(self._pick(WORDS), clean(self._nasty())))
            case 4:
                element.set("a", "b")
            case _:
                element.text = clean(self._nasty())

    # Bytes.

    def _written(self, draft: Draft) -> Call:
        body = raw(draft.body)
        path = self._escaped(draft.path)
        query = self._pick((b"&", b"&", b"&", b"&&")).join(
            quote(name).encode()
            + (b"=" + quote(value, errors="replace").encode() if value or self._chance(0.5) else b"")
            for name, value in draft.query
        )
        target = path + (b"?" + query if query else b"")
        if self._chance(0.05):
            target = b"http://" + draft.host + target
        headers = dict(draft.headers)
        if self._credentials is not None and self._chance(0.9):
            headers.setdefault("authorization", self._signature(draft))
        length = [] if self._chance(0.03) else [(b"content-length", str(len(body)).encode())]
        named = [(name.encode("latin-1", "replace"), value.encode(errors="replace")) for name, value in headers.items()]
        sent = [(b"host", draft.host), *(length if "content-length" not in headers else ()), *named]
        size = self._pick((1 << 20, 1 << 20, 1 << 20, 100, 7)) if len(body) < 3000 else 1 << 20
        chunks = tuple(body[at : at + size] for at in range(0, len(body), size))
        return Call(draft.method, target, sent, chunks, gone=self._chance(0.02))

    def _escaped(self, path: str) -> bytes:
        kept = self._pick(("/,", "/,", "/", "", "/%?"))
        return quote(path, safe=kept, errors="replace").replace("%00", self._pick(("%00", "%ff", "%c0%af"))).encode()

    def _signature(self, draft: Draft) -> str:
        assert self._credentials is not None
        query = list(dict(draft.query).items())
        headers = {"host": draft.host.decode("latin-1")}
        start = self._now - 60
        return sign(
            self._credentials,
            method=draft.method,
            path=draft.path,
            start=start,
            end=start + 10_000,
            query=query,
            headers=headers,
        )


def tree(tag: str, *content: etree._Element | str) -> etree._Element:
    """Return an element with children or a text."""
    element = etree.Element(tag)
    for part in content:
        if isinstance(part, str):
            element.text = part
        else:
            element.append(part)
    return element


def raw(body: etree._Element | bytes | None) -> bytes:
    """Return a body as bytes."""
    return etree.tostring(body) if isinstance(body, etree._Element) else body or b""


def clean(text: str) -> str:
    """Return a text without what XML cannot carry."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd]", "", text)
