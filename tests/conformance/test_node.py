"""The official Node.js SDK, over a socket: a whole life, every way in, and its signatures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conformance import node, targets
from tests.conformance.receiver import Receiver
from tests.conformance.space import Space
from tests.conformance.targets import TEMPORARY, Target
from tests.conformance.test_templates import canvas, stamp
from tests.service.media import Films

pytestmark = pytest.mark.usefixtures("javascript")

MIB = 1 << 20


def _options(target: Target, folder: Path, **rest: Any) -> dict[str, Any]:
    """Through the proxy where there is one; what the SDK remembers of uploads stays in a folder of the test."""
    way = {"Proxy": target.origin} if target.origin else {}
    return node.options(target.credentials, Protocol=f"{target.scheme}:", ConfCwd=str(folder), **{**way, **rest})


def test_a_whole_life(reachable: Target, films: Films, receiver: Receiver, tmp_path: Path) -> None:
    space = Space(reachable)
    large = tmp_path / "large.bin"
    large.write_bytes(b"a" * MIB + b"b" * MIB + b"c" * 10)
    seen = node.run(
        "life.js",
        {
            "options": _options(reachable, tmp_path),
            "bucket": space.bucket,
            "region": reachable.region,
            "jobsOrigin": f"{reachable.scheme}://{reachable.jobs}",
            "prefix": space.key(""),
            "name": space.name,
            "pause": 50 if reachable.local else 2000,
            "files": {"red": str(films.film("red")), "blue": str(films.film("blue")), "large": str(large)},
            "operation": space.operation("red.mp4", "blue.mp4", UserData="order <17>"),
            "template": canvas(space),
            "watermark": stamp(space),
            "callback": {"CallBack": receiver.url("/ci"), "CallBackFormat": "JSON"} if reachable.local else {},
        },
    )
    _check_uploads(seen, large.read_bytes(), films)
    _check_templates(seen)
    _check_jobs(seen, space)
    _check_results(seen, space)
    if reachable.local:
        assert seen["accepted"]["JobId"].encode() in receiver.next().body


def _check_uploads(seen: dict[str, Any], large: bytes, films: Films) -> None:
    assert seen["put"]["ETag"] == f'"{hashlib.md5(films.film("red").read_bytes()).hexdigest()}"'
    assert (seen["source"]["content-type"], seen["source"]["x-cos-meta-owner"]) == ("video/mp4", "team a/b")
    assert "cache-control" not in seen["source"]  # it was sent without a value
    assert seen["file"]["ETag"] == f'"{hashlib.md5(films.film("blue").read_bytes()).hexdigest()}"'
    assert seen["resumed"]["UploadId"] == seen["begun"]
    assert seen["resumed"]["ETag"].endswith('-3"')
    assert seen["unfinished"] == []
    assert seen["large"] == {"md5": hashlib.md5(large).hexdigest(), "length": len(large)}


def _check_templates(seen: dict[str, Any]) -> None:
    assert seen["template"]["TransTpl"]["Video"]["Width"] == "256"
    assert seen["widened"]["TransTpl"]["Video"]["Width"] == "384"
    assert seen["templates"] == [seen["template"]["TemplateId"]]


def _check_jobs(seen: dict[str, Any], space: Space) -> None:
    assert (seen["accepted"]["State"], seen["accepted"]["EndTime"]) == ("Submitted", "-")
    ended = seen["ended"]
    assert (ended["State"], ended["Code"], ended["Progress"]) == ("Success", "Success", "100"), ended
    assert ended["Operation"]["MediaResult"]["OutputFile"]["ObjectName"] == space.key("inline.mp4")
    assert seen["templated"]["State"] == "Success", seen["templated"]
    assert seen["templated"]["Operation"]["MediaInfo"]["Stream"]["Video"]["Width"] == "384"
    assert seen["several"] == seen["pair"]
    assert seen["missing"] == "j" + "0" * 32
    made = {ended["JobId"], seen["templated"]["JobId"], *seen["pair"]}
    assert made <= set(seen["listed"])
    assert len(set(seen["listed"])) == len(seen["listed"])
    assert (seen["paused"], seen["waiting"], seen["cancelled"]) == ("Paused", "Pause", 200)
    assert (seen["resumedQueue"], seen["other"]) == ("Active", "Cancel")
    assert seen["twice"]["status"] == 409 or not space.target.local
    assert (seen["refused"]["status"], seen["refused"]["code"]) == (400, "InvalidArgument")
    assert all(seen["refused"]["document"].values())


def _check_results(seen: dict[str, Any], space: Space) -> None:
    assert seen["head"]["content-type"] == "video/mp4"
    length = int(seen["head"]["content-length"])
    assert seen["part"] == {"body": "ftyp", "status": 206, "range": f"bytes 4-7/{length}"}
    with space.target.session() as stranger:
        reply = stranger.get(seen["url"])
    assert seen["copy"]["ETag"] == seen["head"]["etag"]
    assert seen["unchanged"]["data"]["statusCode"] == 304 if "data" in seen["unchanged"] else True
    assert (seen["forbidden"]["status"], seen["forbidden"]["code"]) == (409, "FileAlreadyExists")
    names = ["blue", "copy", "inline", "one", "red", "templated", "two"]
    assert seen["keys"] == sorted([f"{name}.mp4" for name in names] + ["large.bin"])
    assert seen["folders"] == [space.key("")]
    assert (seen["deleted"], seen["left"]) == (8, 0)
    assert (seen["gone"]["status"], seen["gone"]["code"]) == (404, "NoSuchKey")
    assert reply.status_code == 404  # by now it is deleted; it was let in
    assert "NoSuchKey" in reply.text


# Ways in.

WAYS: dict[str, Callable[[str, Target], dict[str, Any]]] = {
    "proxy": lambda address, _: {"Proxy": f"http://{address}"},
    "proxy and names": lambda address, target: {
        "Proxy": f"http://{address}",
        "Domain": "{Bucket}.cos.{Region}.myqcloud.com",
        "ServiceDomain": f"cos.{target.region}.myqcloud.com",
    },
    "newer names": lambda address, _: {"Proxy": f"http://{address}", "Domain": "{Bucket}.cos.{Region}.tencentcos.cn"},
    "ip": lambda address, _: {"Ip": address},
    "domain": lambda address, _: {"Domain": address},
}


def _seen(target: Target, space: Space, folder: Path, **rest: Any) -> dict[str, Any]:
    """Let every kind of call be made."""
    known = {
        "bucket": space.bucket,
        "region": target.region,
        "key": space.key("演 a+b (1).txt"),
        "submission": space.request(space.operation("none.mp4")),
        "parameters": {"response-content-type": "video/mp4"},
        **({"jobsOrigin": f"http://{target.address}"} if "Domain" in rest and "Proxy" not in rest else {}),
    }
    options = node.options(target.credentials, **{"ConfCwd": str(folder), **rest})
    seen: dict[str, Any] = node.run("ways.js", {**known, "options": options})
    return seen


def _fetch(target: Target, url: str, *, proxied: bool, **rest: Any) -> requests.Response:
    if proxied:
        with target.session() as session:
            return session.get(url, **rest)
    host, _, path = url.removeprefix("http://").partition("/")
    with requests.Session() as session:
        session.trust_env = False
        return session.get(f"{target.origin}/{path}", headers={"Host": host}, **rest)


def _assert_all_let_in(seen: dict[str, Any], space: Space) -> None:
    key = space.key("演 a+b (1).txt")
    assert seen["put"]["data"]["ETag"] == f'"{hashlib.md5(b"content").hexdigest()}"', seen["put"]
    assert (seen["get"], seen["list"]) == ({"data": "content"}, {"data": [key]})
    assert (seen["queue"], seen["jobs"]) == ({"data": "1"}, {"data": ""})
    assert seen["submit"] == {"data": "Success"}
    assert (seen["cancel"]["status"], seen["cancel"]["code"]) == (404, "NoSuchJob")
    assert seen["template"]["data"]["Response"]["NonExistTIDs"] == {"TemplateId": "t1" + "0" * 32}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_in(served: Target, way: str, tmp_path: Path) -> None:
    space, options = Space(served), WAYS[way](served.address, served)
    seen = _seen(served, space, tmp_path, **options)
    _assert_all_let_in(seen, space)
    if way != "domain":  # which tells nothing of calls that belong to no bucket
        assert seen["buckets"] == {"data": [space.bucket]}
    reply = _fetch(served, seen["url"], proxied="Proxy" in options)
    assert (reply.content, reply.headers["Content-Type"]) == (b"content", "video/mp4"), reply.text
    tampered = _fetch(served, seen["url"].replace("video", "audio"), proxied="Proxy" in options)
    assert (tampered.status_code, "<Code>SignatureDoesNotMatch</Code>" in tampered.text) == (403, True)


# Signatures.


def test_hosts_need_not_be_signed(served: Target, tmp_path: Path) -> None:
    space = Space(served)
    _assert_all_let_in(_seen(served, space, tmp_path, Proxy=served.origin, ForceSignHost=False), space)


def test_a_token_goes_with_temporary_credentials(tmp_path: Path) -> None:
    with targets.over_a_socket(tmp_path / "root", TEMPORARY) as target:
        space = Space(target)
        seen = _seen(target, space, tmp_path, Proxy=target.origin)
        _assert_all_let_in(seen, space)
        assert _fetch(target, seen["url"], proxied=True).content == b"content"
        without = _seen(target, space, tmp_path, Proxy=target.origin, SecurityToken="")
        for call in ("put", "queue", "submit"):
            assert (without[call]["status"], without[call]["code"]) == (403, "AccessDenied"), call


@pytest.mark.parametrize(
    ("known", "code"),
    [({"SecretId": "AKIDSTRANGER"}, "InvalidAccessKeyId"), ({"SecretKey": "WrongKey"}, "SignatureDoesNotMatch")],
)
def test_strangers(served: Target, tmp_path: Path, known: dict[str, str], code: str) -> None:
    seen = _seen(served, Space(served), tmp_path, Proxy=served.origin, **known)
    for call in ("put", "get", "list", "queue", "jobs", "submit", "cancel", "template"):
        assert (seen[call]["status"], seen[call]["code"]) == (403, code), call
        assert all(seen[call]["document"].values())


@pytest.mark.parametrize(
    ("hours", "code"), [(2, "RequestTimeTooSkewed"), (-2, "AccessDenied")], ids=["ahead", "behind"]
)
def test_a_clock_that_is_wrong(served: Target, tmp_path: Path, hours: int, code: str) -> None:
    """The SDK tells its clock to us and, unless that is switched off, sets it by ours and tries again."""
    wrong = {"Proxy": served.origin, "SystemClockOffset": hours * 3_600_000}
    seen = _seen(served, Space(served), tmp_path, **wrong, CorrectClockSkew=False)
    for call in ("put", "queue"):
        assert (seen[call]["status"], seen[call]["code"]) == (403, code), call
    assert f"<Code>{code}</Code>" in _fetch(served, seen["url"], proxied=True).text
    space = Space(served)
    _assert_all_let_in(_seen(served, space, tmp_path, **wrong), space)
