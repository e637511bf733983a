"""``apply --callback-listen``: the address, and what is wrong with others."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from reconciler.cli import run
from reconciler.cli.callback_listen import listen
from reconciler.errors import UsageError


@pytest.mark.parametrize("text", ["127.0.0.1:0", "localhost:0"])
def test_an_address_is_taken_and_the_host_kept_as_written(text: str) -> None:
    listening, host = listen(text)
    with listening:
        assert host == text.removesuffix(":0")
        assert listening.getsockname()[1] > 0


@pytest.mark.parametrize(
    "text",
    ["", "9000", ":9000", "127.0.0.1", "127.0.0.1:", "h:70000", "h:x", "[::1:9", "me@h:9", "h:9/x", "http://h:9"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not HOST:PORT") as caught:
        listen(text)
    assert caught.value.advice == "write it as 192.0.2.7:9000 or [2001:db8::7]:9000"


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "0", "[::0]"])
def test_what_stands_for_every_address_is_refused(host: str) -> None:
    with pytest.raises(UsageError, match="stands for every address of this machine; the service needs one to call"):
        listen(f"{host}:0")


def test_an_address_in_use_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UsageError, match=f"^--callback-listen {address}: .*in use"):
            listen(address)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--callback-listen", "0.0.0.0:0"], "stands for every address"),
        (["--callback-listen", "127.0.0.1:0", "--no-wait"], "--no-wait leaves before a callback can come"),
    ],
)
def test_a_mistake_ends_the_run_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    (tmp_path / "reconciler.yaml").write_text("version: 1\nbucket: demo-1250000000\nregion: ap-chongqing\n")
    assert run(["-C", str(tmp_path), "apply", "--yes", *words]) != 0
    assert said in capsys.readouterr().err
    assert not (tmp_path / ".reconciler" / "service.sqlite").exists()


def test_the_broker_of_serve_is_checked_and_its_password_not_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-C", str(tmp_path), "serve", "--bucket", "demo-1250000000", "--mq", "http://me:secret@h/"]
    assert run(words) != 0
    said = capsys.readouterr().err
    assert "--mq is not the address of an AMQP broker: it does not begin with amqp:// or amqps:// and a host" in said
    assert "secret" not in said
