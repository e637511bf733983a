"""Messages about jobs that have ended, for ``CallBackType`` TDMQ and Kafka: to an AMQP 0-9-1 broker, or into a folder.

The broker stands in for TDMQ. ``MqMode`` Queue is a durable queue called ``MqName``, written to through the default
exchange; Topic is a durable exchange of type topic with that name, and the routing key is
``TaskFinish.<bucket>.<state>``. What is there already is taken as it is. A message counts as delivered when the broker
has confirmed it; one that nobody would get – no queue is bound to the topic – is returned, and tried again later.

Without a broker, and always for Kafka, a message is one file::

    <folder>/<MqRegion>/<MqName>/<JobId>.xml
    <folder>/kafka/<Region>/<InstanceId>/<Topic>/<JobId>.json

written whole or not at all. Names are percent-encoded where a file system would take them for something else.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import pika
from pika.exceptions import AMQPError, ChannelClosedByBroker, NackError, UnroutableError

from reconciler import disk
from reconciler.api.queues import TASK_FINISH
from reconciler.service.callbacks import CONTENT_TYPES, Target, UndeliveredError

# It logs a failure up to seven times, with tracebacks; whoever delivers says it once.
logging.getLogger("pika").setLevel(logging.CRITICAL)

_PORTS: Final = {"amqp": 5672, "amqps": 5671}
_SECONDS: Final = 10
"""How long the broker may take over one step, and how long it may be silent."""

_FRESH_SECONDS: Final = 15.0
"""How long a connection that does nothing is trusted; the broker gives it up after two missed heartbeats."""

_NOT_FOUND: Final = 404
_PERSISTENT: Final = 2
_AMQP_NAME: Final = 255
_FILE_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class Message:
    """One message about a job."""

    job: str
    bucket: str
    state: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Broker:
    """Where an AMQP broker is, and as whom to speak to it."""

    host: str
    port: int
    vhost: str
    user: str
    password: str
    tls: bool

    @classmethod
    def of(cls, url: str) -> Broker:
        """Read ``amqp://USER:PASSWORD@HOST:PORT/VHOST``; what is left out is the broker's default.

        Raises ValueError, which does not repeat the password.
        """
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("it does not begin with amqp:// or amqps:// and a host")
        if parts.query or parts.fragment or "/" in parts.path[1:]:
            raise ValueError("behind the host there is more than a virtual host; write / in its name as %2F")
        return cls(
            host=parts.hostname,
            port=parts.port or _PORTS[parts.scheme],
            vhost=unquote(parts.path[1:]) or "/",
            user=unquote(parts.username or "guest"),
            password=unquote(parts.password or "guest"),
            tls=parts.scheme == "amqps",
        )

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def parameters(self) -> pika.ConnectionParameters:
        """Return what a connection is made with."""
        return pika.ConnectionParameters(
            host=self.host,
            port=self.port,
            virtual_host=self.vhost,
            credentials=pika.PlainCredentials(self.user, self.password),
            ssl_options=pika.SSLOptions(ssl.create_default_context(), self.host) if self.tls else None,
            heartbeat=_SECONDS,
            socket_timeout=_SECONDS,
            stack_timeout=_SECONDS,
            blocked_connection_timeout=_SECONDS,
            client_properties={"connection_name": "reconciler callbacks"},
        )


class MessageQueue:
    """Takes messages, one at a time, on a thread of its own: neither the broker nor the disk is waited for here."""

    def __init__(self, folder: Path, broker: Broker | None) -> None:
        self._folder = folder
        self._sender = _Sender(broker) if broker else None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mq")

    async def put(self, target: Target, message: Message) -> None:
        """Hand one message over. Raises UndeliveredError."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._put, target, message)

    def _put(self, target: Target, message: Message) -> None:
        if self._sender and target.means == "tdmq":
            self._sender.send(target, message)
            return
        try:
            spool(self._folder, target, message)
        except OSError as error:
            raise UndeliveredError(f"the message cannot be stored: {error.strerror or error}") from error

    async def aclose(self) -> None:
        """Part from the broker; no message may be under way."""
        if self._sender:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._sender.close)
        self._thread.shutdown(wait=False)


class _Sender:
    """A connection to the broker that is kept while messages follow each other."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._connection: Any = None  # pika has no types
        self._used_at = 0.0

    def send(self, target: Target, message: Message) -> None:
        """Publish one message and wait until the broker has taken it. Raises UndeliveredError."""
        if len(target.name.encode()) > _AMQP_NAME:
            raise UndeliveredError(f"MqName is longer than the {_AMQP_NAME} bytes that AMQP takes", final=True)
        try:
            self._publish(target, message)
        except UnroutableError:
            raise UndeliveredError(f"no queue is bound to the topic `{target.name}`") from None
        except (AMQPError, OSError) as error:
            self.close()
            reason = "it refused the message" if isinstance(error, NackError) else _said(error)
            raise UndeliveredError(f"the broker at {self._broker}: {reason}") from None
        self._used_at = time.monotonic()

    def close(self) -> None:
        """Close the connection, however it is."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.is_open:
            try:
                connection.close()
            except (AMQPError, OSError):
                return  # it is gone, which is what was wanted

    def _publish(self, target: Target, message: Message) -> None:
        channel = self._channel(target)
        channel.confirm_delivery()
        channel.basic_publish(
            exchange=target.name if target.topic else "",
            routing_key=f"{TASK_FINISH}.{message.bucket}.{message.state}" if target.topic else target.name,
            body=message.body,
            properties=pika.BasicProperties(
                content_type=CONTENT_TYPES[target.format],
                delivery_mode=_PERSISTENT,
                message_id=message.job,
                type=TASK_FINISH,
                app_id="reconciler",
            ),
            mandatory=True,
        )
        channel.close()

    def _channel(self, target: Target) -> Any:
        """Return a channel on which the queue or topic is known to exist; it is made when there is none."""
        channel = self._connected().channel()
        try:
            _declare(channel, target, passive=True)
        except ChannelClosedByBroker as error:
            if error.reply_code != _NOT_FOUND:
                raise
            channel = self._connected().channel()
            _declare(channel, target, passive=False)
        return channel

    def _connected(self) -> Any:
        stale = time.monotonic() - self._used_at > _FRESH_SECONDS
        if self._connection is not None and (stale or not self._connection.is_open):
            self.close()
        if self._connection is None:
            self._connection = pika.BlockingConnection(self._broker.parameters())
            self._used_at = time.monotonic()
        return self._connection


def _declare(channel: Any, target: Target, *, passive: bool) -> None:
    if target.topic:
        channel.exchange_declare(target.name, exchange_type="topic", durable=True, passive=passive)
    else:
        channel.queue_declare(target.name, durable=True, passive=passive)


def _said(error: Exception) -> str:
    """Return what went wrong in one line; pika wraps what the system said."""
    inner: Any = error
    while isinstance(cause := getattr(inner, "exception", None) or next(iter(inner.args), None), BaseException):
        inner = cause
    return str(inner) or type(inner).__name__


# Without a broker.


def spool(folder: Path, target: Target, message: Message) -> Path:
    """Write one message into the folder; the same message again replaces the file."""
    places = target.place if target.means == "tdmq" else (target.means, *target.place)
    place = folder.joinpath(*map(_file_name, (*places, target.name)))
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"{message.job}.{target.format.lower()}"
    disk.replace(path, message.body.decode())
    return path


def _file_name(name: str) -> str:
    """Return a name as one file name, never a hidden one, and never one that leads elsewhere."""
    safe = quote(name, safe=" ").replace(".", "%2E", 1) if name.startswith(".") else quote(name, safe=" ")
    if len(safe) <= _FILE_NAME:
        return safe or "%"
    return f"{safe[:100]}%{hashlib.sha256(name.encode()).hexdigest()[:32]}"
