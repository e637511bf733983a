"""The composition root: credentials, what ships with the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.cli import session
from reconciler.errors import UsageError


@pytest.mark.parametrize(
    ("environment", "missing"),
    [
        ({"TENCENTCLOUD_SECRET_ID": "a"}, "TENCENTCLOUD_SECRET_KEY"),
        ({"TENCENTCLOUD_SECRET_KEY": "b"}, "TENCENTCLOUD_SECRET_ID"),
        ({}, "TENCENTCLOUD_SECRET_ID"),
    ],
)
def test_half_of_the_credentials_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], missing: str
) -> None:
    for name in ("TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY", "TENCENTCLOUD_SECURITY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, text in environment.items():
        monkeypatch.setenv(name, text)
    with pytest.raises(UsageError, match=f"{missing} is not set"):
        session.credentials(required=True)


def test_credentials_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENCENTCLOUD_SECRET_ID", "id")
    monkeypatch.setenv("TENCENTCLOUD_SECRET_KEY", "key")
    monkeypatch.setenv("TENCENTCLOUD_SECURITY_TOKEN", "token")
    found = session.credentials()
    assert found is not None
    assert (found.secret_id, found.secret_key, found.token) == ("id", "key", "token")
    monkeypatch.delenv("TENCENTCLOUD_SECRET_ID")
    monkeypatch.delenv("TENCENTCLOUD_SECRET_KEY")
    assert session.credentials() is None


@pytest.mark.parametrize(("name", "within"), [("templates", ""), ("manifests", "starter"), ("samples", "")])
def test_what_ships_is_found(name: str, within: str) -> None:
    assert any(Path(session.shipped(name, within)).iterdir())


def test_a_result_is_not_written_out_on_its_way() -> None:
    """That of a plan of 100,000 outputs takes seconds to write, and reads every record of the lockfile."""

    class Large:
        def __repr__(self) -> str:
            raise AssertionError("somebody writes it out")

    async def work() -> Large:
        return Large()

    assert isinstance(session.run(work()), Large)


def test_what_fails_on_the_way_is_told() -> None:
    async def work() -> None:
        raise UsageError("it cannot be")

    with pytest.raises(UsageError, match="it cannot be"):
        session.run(work())
