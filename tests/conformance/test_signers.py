"""Our signer beside those of the official SDKs, over any request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from subprocess import Popen
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from qcloud_cos import CosConfig, CosS3Client
from qcloud_cos.cos_auth import CosS3Auth

from reconciler.api.signing import Accepted, presign, sign, verify
from tests.conformance import node
from tests.conformance.targets import BUCKET, CREDENTIALS, REGION, TEMPORARY

HOST = f"{BUCKET}.cos.{REGION}.myqcloud.com"
CONFIG = CosConfig(Region=REGION, SecretId=CREDENTIALS.secret_id, SecretKey=CREDENTIALS.secret_key, Scheme="http")

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
methods = st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD"])
paths = text.map(lambda key: "/" + key.lstrip("/"))
parameters = st.dictionaries(
    st.one_of(
        st.from_regex(r"[a-z][A-Za-z-]{0,12}", fullmatch=True),
        st.sampled_from(["prefix", "max-keys", "nextToken", "uploadId", "uploads"]),
    ),
    text,
    max_size=5,
).filter(lambda known: len({name.lower() for name in known}) == len(known))
headers = st.dictionaries(
    st.one_of(
        st.sampled_from(["Content-Type", "content-length", "Content-MD5", "Range", "If-Match", "Expires", "Origin"]),
        st.from_regex(r"x-c(os|i)-[A-Za-z-]{1,12}", fullmatch=True),
    ),
    st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"]), max_size=20),
    max_size=5,
).filter(lambda known: len({name.lower() for name in known}) == len(known))


@given(method=methods, path=paths, query=parameters, known=headers)
@settings(deadline=None)
def test_we_sign_as_the_python_sdk(method: str, path: str, query: dict[str, str], known: dict[str, str]) -> None:
    request = requests.Request(method, f"http://{HOST}/", headers=dict(known))
    theirs = CosS3Auth(CONFIG, path, query, 600)(request).headers["Authorization"]
    start, end = map(int, theirs.split("q-sign-time=")[1].split("&")[0].split(";"))
    mine = sign(
        CREDENTIALS, method=method, path=path, query=query, headers={**known, "host": HOST}, start=start, end=end
    )
    assert mine == theirs
    assert end - start == 660


@given(path=paths.filter(lambda path: path != "/"), query=parameters)
@settings(deadline=None)
def test_we_presign_as_the_python_sdk(path: str, query: dict[str, str]) -> None:
    url = CosS3Client(CONFIG).get_presigned_url(BUCKET, path[1:] or "a", "GET", Params=query)
    theirs = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    start, end = map(int, dict(theirs)["q-sign-time"].split(";"))
    mine = presign(CREDENTIALS, method="GET", path=path, query=query, headers={"host": HOST}, start=start, end=end)
    assert parse_qsl(mine, keep_blank_values=True) == theirs
    verdict = verify(
        method="GET",
        path=unquote(urlsplit(url).path),
        query=dict(theirs),
        headers={"host": HOST},
        find=lambda _: CREDENTIALS,
        now=start + 60,
    )
    assert verdict == Accepted(CREDENTIALS.secret_id)


class Signer:
    """The signer of the Node.js SDK, which goes on answering."""

    def __init__(self, process: Popen[str]) -> None:
        self._process = process

    def __call__(self, **asked: Any) -> str:
        """Sign one request."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert isinstance(answer, str)
        return answer


@pytest.fixture(scope="module")
def signer(javascript: None) -> Iterator[Signer]:
    with node.start("sign.js") as process:
        yield Signer(process)
        assert process.stdin is not None
        process.stdin.close()


@given(method=methods, path=paths, query=parameters, known=headers)
@settings(deadline=None)
def test_we_sign_as_the_node_sdk(
    signer: Signer, method: str, path: str, query: dict[str, str], known: dict[str, str]
) -> None:
    signed = {name: value for name, value in {**known, "Host": HOST}.items() if value}
    theirs = signer(
        SecretId=TEMPORARY.secret_id,
        SecretKey=TEMPORARY.secret_key,
        Method=method,
        Pathname=path,
        Query=query,
        Headers=signed,
        KeyTime="1700000000;1700003660",
    )
    mine = sign(
        TEMPORARY, method=method, path=path, query=query, headers=signed, start=1_700_000_000, end=1_700_003_660
    )
    assert mine == theirs
