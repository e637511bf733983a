"""The cloud is a target only when it is asked for by the name of an empty bucket, whole and by one process alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from qcloud_cos import CosS3Client

from reconciler.api.signing import Credentials
from tests.conformance import targets
from tests.conformance.space import Space
from tests.conformance.targets import CLOUD_REGION, CLOUD_SWITCH, NotAskedForError, Target
from tests.conformance.test_templates import canvas

WHOLE = {
    CLOUD_SWITCH: "scratch-1250000000",
    CLOUD_REGION: "ap-beijing",
    "TENCENTCLOUD_SECRET_ID": "AKIDEXAMPLE",
    "TENCENTCLOUD_SECRET_KEY": "SecretExample",
}


def test_credentials_alone_ask_for_nothing() -> None:
    environ = {name: text for name, text in WHOLE.items() if name != CLOUD_SWITCH}
    assert targets.cloud(environ) is None
    assert targets.names(environ) == ["in process", "socket"]


def test_the_cloud_is_asked_for_by_a_bucket() -> None:
    target = targets.cloud(WHOLE)
    assert target == Target(
        "cloud",
        "scratch-1250000000",
        "ap-beijing",
        Credentials("AKIDEXAMPLE", "SecretExample"),
        scheme="https",
    )
    assert not target.local
    assert targets.names(WHOLE) == ["in process", "socket", "cloud"]
    token = targets.cloud({**WHOLE, "TENCENTCLOUD_SECURITY_TOKEN": "TOKEN"})
    assert token is not None
    assert token.credentials.token == "TOKEN"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({CLOUD_SWITCH: "1"}, "is the name of an empty bucket, NAME-APPID, not '1'"),
        ({CLOUD_SWITCH: "yes"}, "is the name of an empty bucket"),
        ({CLOUD_REGION: ""}, f"needs {CLOUD_REGION} as well"),
        ({"TENCENTCLOUD_SECRET_ID": "", "TENCENTCLOUD_SECRET_KEY": ""}, "SECRET_ID, TENCENTCLOUD_SECRET_KEY as well"),
        ({"PYTEST_XDIST_WORKER": "gw0"}, "is for one process alone"),
    ],
)
def test_it_is_not_asked_for_by_half(change: dict[str, str], says: str) -> None:
    with pytest.raises(NotAskedForError, match=says):
        targets.cloud({**WHOLE, **change})


def test_pytest_stops_before_the_first_case() -> None:
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", str(Path(__file__).parent)]
    environ = {**os.environ, CLOUD_SWITCH: "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "is the name of an empty bucket" in done.stderr
    assert "passed" not in done.stdout


def _leave(client: CosS3Client, space: Space, what: str) -> None:
    if what == "an object":
        client.put_object(space.bucket, b"content", space.key("a"))
    elif what == "an upload":
        client.create_multipart_upload(space.bucket, space.key("a"))
    else:
        client.ci_create_template(space.bucket, canvas(space))


KINDS = ["an object", "an upload", "a template"]


@pytest.mark.parametrize("what", KINDS)
def test_a_bucket_that_is_used_is_refused(tmp_path: Path, what: str) -> None:
    with targets.in_process(tmp_path) as target, target.python() as client:
        _leave(client, Space(target), what)
        with pytest.raises(NotAskedForError, match="works in an empty bucket only"), targets.emptied(target):
            pytest.fail("it was let in")
        assert _left(client, target) == 1


def test_a_bucket_is_left_empty(tmp_path: Path) -> None:
    with targets.in_process(tmp_path) as target, target.python() as client:
        with targets.emptied(target):
            for what in KINDS:
                _leave(client, Space(target), what)
            assert _left(client, target) == 3
        assert _left(client, target) == 0


def _left(client: CosS3Client, target: Target) -> int:
    uploads = client.list_multipart_uploads(target.bucket).get("Upload", [])
    objects = client.list_objects(target.bucket).get("Contents", [])
    return len(uploads) + len(objects) + len(client.ci_get_template(target.bucket).get("TemplateList", []))
