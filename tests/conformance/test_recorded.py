"""Our client beside the official SDKs: the same request for the same call, down to the signature."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import pytest
import requests
from qcloud_cos import CosConfig
from qcloud_cos.cos_auth import CosS3Auth

from reconciler.api import xml
from reconciler.api.messages import JobRequest
from reconciler.api.signing import Accepted, sign, verify
from reconciler.api.templates import TemplateRequest
from reconciler.client import Client
from reconciler.endpoints import Endpoints
from reconciler.transport import SystemClock
from tests.conformance import recording
from tests.conformance.recording import (
    BUCKET,
    CONTENT,
    JOB,
    KEY,
    OTHER_JOB,
    REGION,
    TEMPLATE,
    Recorder,
    Sent,
)
from tests.conformance.targets import CREDENTIALS

RECORDED = recording.recorded()
NOW = 1_800_000_000

_JOB_REQUEST = xml.read(JobRequest, RECORDED["python/submit"].body, "Request")
_TEMPLATE_REQUEST = xml.read(TemplateRequest, RECORDED["python/create-template"].body, "Request")


async def _listed(client: Client) -> None:
    async for _ in client.list_jobs(created_after="2026-05-01T00:00:00+0800"):
        pass


OURS: dict[str, Callable[[Client], Awaitable[Any]]] = {
    "submit": lambda client: client.submit(_JOB_REQUEST),
    "query": lambda client: client.jobs([JOB, OTHER_JOB]),
    "list-jobs": _listed,
    "cancel": lambda client: client.cancel(JOB),
    "queues": lambda client: client.queues(),
    "templates": lambda client: client.list_templates(),
    "create-template": lambda client: client.create_template(_TEMPLATE_REQUEST),
    "update-template": lambda client: client.update_template(TEMPLATE, _TEMPLATE_REQUEST),
    "delete-template": lambda client: client.delete_template(TEMPLATE),
    "media-buckets": lambda client: client.media_buckets(BUCKET),
    "head-bucket": lambda client: client.head_bucket(),
    "put": lambda client: client.put_object(KEY, CONTENT),
    "head": lambda client: client.head_object(KEY),
    "delete": lambda client: client.delete_object(KEY),
    "list-objects": lambda client: client.list_objects("in/"),
}
"""The calls of our client that an SDK knows too."""

SAME = [name for name in RECORDED if name.split("/")[1] in OURS]


class _Stopped(SystemClock):
    """A clock that shows one time."""

    @staticmethod
    def wall() -> float:
        return NOW


@pytest.fixture(scope="module")
def ours() -> dict[str, Sent]:
    """What our client sends for each call; of a listing of both kinds of templates, the first request."""

    async def main(recorder: Recorder) -> dict[str, Sent]:
        endpoints = Endpoints.of(BUCKET, REGION, recorder.origin)
        found = {}
        async with Client(endpoints, CREDENTIALS, clock=_Stopped()) as client:
            for name, call in OURS.items():
                await call(client)
                found[name] = recorder.sent[0]
                recorder.sent.clear()
        return found

    with recording.recording() as recorder:
        return asyncio.run(main(recorder))


SPELT_OUT = {"/queue": "state", "/template": "tag"}
"""Parameters that one side leaves to the default: all states; of one SDK, which cannot send it, the tag of templates."""


def _says_nothing(sent: Sent, name: str) -> bool:
    """Whether a parameter means the same as none: SDKs send empty ones."""
    return not sent.query[name] or SPELT_OUT.get(sent.path) == name


def _meant(sent: Sent) -> dict[str, str]:
    return {name: value for name, value in sent.query.items() if not _says_nothing(sent, name)}


@pytest.mark.parametrize("name", SAME)
def test_our_client_says_the_same(name: str, ours: dict[str, Sent]) -> None:
    mine, theirs = ours[name.split("/")[1]], RECORDED[name]
    assert (mine.method, mine.host, mine.path) == (theirs.method, theirs.host, theirs.path)
    assert _meant(mine) == _meant(theirs)
    assert mine.canonical_body == theirs.canonical_body
    for header in ("content-type", "x-cos-security-token"):
        assert mine.header(header) == theirs.header(header)
    if mine.body:
        assert mine.header("content-length") == str(len(mine.body))


@pytest.mark.parametrize("name", SAME)
def test_our_request_has_their_signature(name: str, ours: dict[str, Sent]) -> None:
    """Signed at their moment, with the headers and parameters that they sign; only lengths of bodies may differ."""
    mine, theirs = ours[name.split("/")[1]], RECORDED[name]
    known = {**mine.signed_headers, "content-length": theirs.header("content-length")}
    headers = {header: known[header] for header in theirs.signed_headers}
    parameters = {
        parameter: value if _says_nothing(theirs, parameter) else mine.query[parameter]
        for parameter, value in theirs.signed_query.items()
    }
    start, end = theirs.interval
    signed = sign(
        CREDENTIALS, method=mine.method, path=mine.path, query=parameters, headers=headers, start=start, end=end
    )
    assert signed == theirs.header("authorization")


@pytest.mark.parametrize("name", OURS)
def test_their_signer_makes_our_signature(name: str, ours: dict[str, Sent], monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python SDK's signer, given what we sign at the time at which we signed."""
    mine = ours[name]
    known = CosConfig(Region=REGION, SecretId=CREDENTIALS.secret_id, SecretKey=CREDENTIALS.secret_key)
    start, end = mine.interval
    assert start == NOW - 60  # as early as theirs
    monkeypatch.setattr(time, "time", lambda: float(NOW))
    signer = CosS3Auth(known, mine.path, mine.signed_query, expire=end - NOW)
    request = requests.Request(mine.method, f"http://{mine.host}{quote(mine.path)}", headers=mine.signed_headers)
    assert signer(request).headers["Authorization"] == mine.header("authorization")


@pytest.mark.parametrize("name", RECORDED)
def test_our_signer_makes_the_recorded_signature(name: str) -> None:
    sent = RECORDED[name]
    start, end = sent.interval
    value = sign(
        CREDENTIALS,
        method=sent.method,
        path=sent.path,
        query=sent.signed_query,
        headers=sent.signed_headers,
        start=start,
        end=end,
    )
    assert value == sent.header("authorization")


@pytest.mark.parametrize("name", RECORDED)
def test_the_service_accepts_what_was_recorded(name: str) -> None:
    sent = RECORDED[name]
    verdict = verify(
        method=sent.method,
        path=sent.path,
        query=sent.query,
        headers=dict(sent.headers),
        find=lambda secret_id: CREDENTIALS if secret_id == CREDENTIALS.secret_id else None,
        now=sent.interval[0] + 61,
    )
    assert verdict == Accepted(CREDENTIALS.secret_id)


def test_the_python_sdk_still_sends_what_was_recorded() -> None:
    with recording.recording() as recorder:
        sent = recording.python(recorder)
    assert {f"python/{name}": request.timeless for name, request in sent.items()} == {
        name: request.timeless for name, request in RECORDED.items() if name.startswith("python/")
    }


def test_the_node_sdk_still_sends_what_was_recorded(javascript: None) -> None:
    with recording.recording() as recorder:
        sent = recording.javascript(recorder)
    assert {f"node/{name}": request.timeless for name, request in sent.items()} == {
        name: request.timeless for name, request in RECORDED.items() if name.startswith("node/")
    }


def test_the_recordings_hold_no_secrets() -> None:
    for name, sent in RECORDED.items():
        assert sent.authorization["q-ak"] == CREDENTIALS.secret_id, name
        assert CREDENTIALS.secret_key not in sent.text, name
