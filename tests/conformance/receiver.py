"""Where callbacks arrive: a small HTTP server on the loopback address that keeps what it is told."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

PATIENCE: Final = 30.0


@dataclass(frozen=True)
class Call:
    """One callback."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """An address, and what has arrived there."""

    address: str
    arrived: queue.Queue[Call] = field(default_factory=queue.Queue)

    def url(self, path: str) -> str:
        """The address to give to the service."""
        return f"{self.address}{path}"

    def next(self) -> Call:
        """Wait for the next callback."""
        return self.arrived.get(timeout=PATIENCE)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Receive on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
            receiver.arrived.put(Call(self.path, headers, body))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
