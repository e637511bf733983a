"""Where a server may listen, with and without signatures."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli.listening import listen
from reconciler.errors import UsageError


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "127.0.0.2", "localhost"])
@pytest.mark.parametrize("signed", [False, True])
def test_a_loopback_address_is_taken(host: str, *, signed: bool) -> None:
    with listen(host, 0, signed=signed) as listener:
        assert listener.getsockname()[0] in ("127.0.0.1", "127.0.0.2", "::1")


@pytest.mark.parametrize("host", ["0.0.0.0", "0", "::", "::ffff:0.0.0.0", "192.0.2.1", "fe80::1", "2001:db8::1"])
def test_another_address_is_refused_unless_signatures_are_checked(host: str) -> None:
    with pytest.raises(UsageError, match="would be open to everyone") as caught:
        listen(host, 0, signed=False)
    assert host in str(caught.value)


def test_with_signatures_any_address_is_taken() -> None:
    with listen("0.0.0.0", 0, signed=True) as listener:
        assert listener.getsockname()[0] == "0.0.0.0"


@pytest.mark.parametrize(
    "addresses", [["192.0.2.7"], ["127.0.0.1", "192.0.2.7"], ["::1", "192.0.2.7"], ["127.0.0.1", "::"]]
)
def test_every_address_of_a_name_counts(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(UsageError, match="would be open to everyone") as caught:
        listen("localhost", 0, signed=False)
    assert addresses[-1] in str(caught.value)


def test_what_was_checked_is_what_is_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is looked up once: it cannot have another address by the time it is bound."""
    real = socket.getaddrinfo
    asked: list[str] = []

    def resolve(host: str, *rest: Any, **more: Any) -> Any:
        asked.append(host)
        return real("127.0.0.1", *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with listen("somewhere.example", 0, signed=False) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
    assert asked == ["somewhere.example"]


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("", "there is no address to listen on"),
        ("nowhere.invalid", "cannot listen on nowhere.invalid:1"),
        ("a" * 300, "cannot listen on aaa"),
        ("192.0.2.1", "cannot listen on 192.0.2.1:1: "),
    ],
)
def test_an_address_that_cannot_be_had(host: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        listen(host, 1, signed=True)
    assert str(caught.value).startswith(reason)


def test_an_address_that_is_taken() -> None:
    with listen("127.0.0.1", 0, signed=False) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{port}: "):
            listen("127.0.0.1", port, signed=False)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "NO signature is checked"),
        ({"TENCENTCLOUD_SECRET_ID": "AKIDEXAMPLE", "TENCENTCLOUD_SECRET_KEY": "SecretExample"}, "are checked"),
    ],
)
def test_serve_says_loudly_that_it_checks_nothing(tmp_path: Path, variables: dict[str, str], words: str) -> None:
    program = "import sys\nfrom reconciler.cli import run\nrun(sys.argv[1:])"
    command = [sys.executable, "-c", program, "serve", "--bucket", "demo-1250000000", "--port", "0"]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2]), **variables}
    with subprocess.Popen(
        [*command, "--root", str(tmp_path)], stderr=subprocess.PIPE, text=True, env=environment
    ) as server:
        assert server.stderr is not None
        lines: list[str] = []
        for line in server.stderr:
            lines.append(line)
            if line.startswith("Serving "):
                break
        server.terminate()
    assert words in lines[-1]
    assert [line.startswith("warning: there are no credentials") for line in lines[:-1]] == [True] * (not variables)
