"""A RabbitMQ broker of our own: on free ports, in a temporary folder, gone afterwards."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import pika
from pika.exceptions import AMQPError

from tests.peers import missing_peer

_SERVER: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Where Debian has it. The program of the same name on the path changes to another user first."""

_SECONDS: Final = 90


def _free_port() -> int:
    """Return a port below those that the system gives to whoever asks for any: the broker takes it seconds later."""
    while True:
        port = random.randrange(10_000, 32_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


class Rabbit:
    """A broker whose messages survive ``stop`` and ``start``."""

    def __init__(self, folder: Path) -> None:
        if not _SERVER.exists():
            missing_peer("rabbitmq-server")
        self.folder = folder
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._environ = {
            **os.environ,
            "HOME": str(folder),
            "RABBITMQ_NODENAME": "reconciler-test@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(_free_port()),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "ERL_EPMD_PORT": str(_free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1",
        }

    def url(self, user: str = "guest", password: str = "guest") -> str:
        return f"amqp://{user}:{password}@127.0.0.1:{self.port}/"

    def connect(self) -> pika.BlockingConnection:
        return pika.BlockingConnection(pika.URLParameters(self.url()))

    def start(self) -> None:
        """Start it and wait until it answers."""
        log = (self.folder / "out").open("ab")
        self._process = subprocess.Popen(
            [str(_SERVER)], env=self._environ, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
        )
        log.close()
        end = time.monotonic() + _SECONDS
        while True:
            try:
                self.connect().close()
            except AMQPError:
                said = (self.folder / "out").read_text(errors="replace")[-2000:]
                assert self._process.poll() is None, said
                assert time.monotonic() < end, said
                time.sleep(0.1)
            else:
                return

    def stop(self) -> None:
        """Stop it in order, with everything that it started."""
        process, self._process = self._process, None
        pid = self.folder / "pid"
        if process is not None and process.poll() is None and pid.exists():
            os.kill(int(pid.read_text()), signal.SIGTERM)
            process.wait(_SECONDS)
        elif process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # it did not get that far
            process.wait(_SECONDS)

    def remove(self) -> None:
        """Stop it and the name server that Erlang started for it."""
        self.stop()
        epmd = shutil.which("epmd")
        if epmd:
            subprocess.run([epmd, "-kill"], env=self._environ, capture_output=True, check=False)
