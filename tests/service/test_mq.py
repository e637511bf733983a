"""Messages about jobs that have ended: into a folder, or to a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.service.callbacks import Target, UndeliveredError
from reconciler.service.mq import Broker, Message, MessageQueue, spool
from tests.service.rabbit import Rabbit

QUEUE = Target("tdmq", "ended", "JSON", ("sh",))
TOPIC = Target("tdmq", "news", "XML", ("sh",), topic=True)
KAFKA = Target("kafka", "ended", "XML", ("ap-chongqing", "ckafka-1"))


def message(job: str, state: str = "Success") -> Message:
    return Message(job, "demo-1250000000", state, f"body of {job}".encode())


def put(folder: Path, broker: Broker | None, target: Target, *messages: Message) -> None:
    async def main() -> None:
        queue = MessageQueue(folder, broker)
        try:
            for each in messages:
                await queue.put(target, each)
        finally:
            await queue.aclose()

    asyncio.run(main())


# The address of a broker.


def test_what_an_address_leaves_out_is_the_brokers_default() -> None:
    broker = Broker.of("amqp://mq.example.com")
    assert broker == Broker("mq.example.com", 5672, "/", "guest", "guest", tls=False)
    assert broker.parameters().ssl_options is None


def test_what_an_address_names() -> None:
    broker = Broker.of("amqps://me:p%40ss@[::1]:7000/a%2Fb")
    assert broker == Broker("::1", 7000, "a/b", "me", "p@ss", tls=True)
    assert str(broker) == "::1:7000"
    parameters = broker.parameters()
    assert (parameters.virtual_host, parameters.credentials.password) == ("a/b", "p@ss")
    assert parameters.ssl_options.server_hostname == "::1"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mq.example.com", "it does not begin with amqp:// or amqps:// and a host"),
        ("http://mq.example.com", "it does not begin with amqp:// or amqps:// and a host"),
        ("amqp:///vhost", "it does not begin with amqp:// or amqps:// and a host"),
        ("amqp://h/a/b", "behind the host there is more than a virtual host; write / in its name as %2F"),
        ("amqp://h/a?heartbeat=0", "behind the host there is more than a virtual host; write / in its name as %2F"),
        ("amqp://me:secret@h:70000", "Port out of range 0-65535"),
        ("amqp://me:secret@h:x", "Port could not be cast to integer value as 'x'"),
    ],
)
def test_an_address_that_is_none_is_refused(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason.replace('?', '.')}$"):
        Broker.of(url)


# Without a broker.


def test_without_a_broker_a_message_is_a_file(tmp_path: Path) -> None:
    put(tmp_path / "mq", None, QUEUE, message("j1"), message("j2"), message("j1"))
    put(tmp_path / "mq", None, KAFKA, message("j1"))
    files = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {
        "mq/sh/ended/j1.json": "body of j1",
        "mq/sh/ended/j2.json": "body of j2",
        "mq/kafka/ap-chongqing/ckafka-1/ended/j1.xml": "body of j1",
    }


def test_a_message_that_cannot_be_stored_is_not_delivered(tmp_path: Path) -> None:
    (tmp_path / "mq").write_text("in the way")
    with pytest.raises(UndeliveredError, match=r"^the message cannot be stored: Not a directory$") as caught:
        put(tmp_path / "mq", None, QUEUE, message("j1"))
    assert not caught.value.final


NAMES = st.one_of(st.sampled_from(["", ".", "..", "../../x", "/etc", ".hidden", "a/b", "ü" * 100]), st.text())


@given(st.lists(NAMES, min_size=2, max_size=2, unique=True), st.sampled_from(["tdmq", "kafka"]))
def test_a_name_is_one_folder_of_its_own_below_the_folder(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], means: Any
) -> None:
    folder = tmp_path_factory.mktemp("mq")
    paths = [spool(folder, Target(means, name, "XML", (name,)), message("j1")) for name in names]
    assert paths[0] != paths[1]
    for path in paths:
        assert path.resolve().is_relative_to(folder.resolve())
        assert len(path.relative_to(folder).parts) == (3 if means == "tdmq" else 4)
        assert not any(part.startswith(".") for part in path.relative_to(folder).parts)


# With a broker.


def test_a_broker_that_is_not_there_is_tried_again_later(tmp_path: Path) -> None:
    with pytest.raises(UndeliveredError, match=r"^the broker at 127\.0\.0\.1:1: .*Connection refused") as caught:
        put(tmp_path / "mq", Broker.of("amqp://127.0.0.1:1"), QUEUE, message("j1"))
    assert not caught.value.final
    assert not (tmp_path / "mq").exists()


def test_a_name_that_amqp_cannot_carry_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(UndeliveredError, match="longer than the 255 bytes that AMQP takes") as caught:
        put(tmp_path, Broker.of("amqp://127.0.0.1:1"), Target("tdmq", "ü" * 128), message("j1"))
    assert caught.value.final


def test_what_is_for_kafka_is_a_file_even_then(tmp_path: Path) -> None:
    put(tmp_path, Broker.of("amqp://127.0.0.1:1"), KAFKA, message("j1"))
    assert len(list(tmp_path.rglob("j1.xml"))) == 1


@pytest.fixture
def rabbit(tmp_path: Path) -> Iterator[Rabbit]:
    broker = Rabbit(tmp_path)
    try:
        broker.start()
        yield broker
    finally:
        broker.remove()


def test_a_real_broker_takes_every_message_once_and_keeps_it(tmp_path: Path, rabbit: Rabbit) -> None:
    """One broker for the whole story: starting it takes seconds."""
    folder, broker = tmp_path / "mq", Broker.of(rabbit.url())
    put(folder, broker, QUEUE, message("j1"), message("j2"))
    put(folder, broker, QUEUE, message("j3"))
    nobody_is_bound_to_a_new_topic(folder, broker)
    bind(rabbit, "news", "TaskFinish.demo-1250000000.*")
    put(folder, broker, TOPIC, message("j5", "Failed"))
    a_queue_of_another_kind_is_taken_as_it_is(folder, broker, rabbit)
    a_wrong_password_is_told(folder, rabbit)
    asyncio.run(a_broker_that_goes_away_is_found_again(folder, broker, rabbit))
    assert not folder.exists(), "nothing was spooled"
    assert [each.message_id for each, _ in taken(rabbit, "ended")] == ["j1", "j2", "j3", "j6", "j7"]
    ((properties, body),) = taken(rabbit, "reader")
    assert body == b"body of j5"
    assert properties.routing_key == "TaskFinish.demo-1250000000.Failed"
    assert (properties.content_type, properties.type, properties.delivery_mode) == ("application/xml", "TaskFinish", 2)


def nobody_is_bound_to_a_new_topic(folder: Path, broker: Broker) -> None:
    with pytest.raises(UndeliveredError, match=r"^no queue is bound to the topic `news`$") as caught:
        put(folder, broker, TOPIC, message("j4"))
    assert not caught.value.final


def bind(rabbit: Rabbit, topic: str, key: str) -> None:
    connection = rabbit.connect()
    channel = connection.channel()
    channel.queue_declare("reader", durable=True)
    channel.queue_bind("reader", topic, key)
    connection.close()


def a_queue_of_another_kind_is_taken_as_it_is(folder: Path, broker: Broker, rabbit: Rabbit) -> None:
    connection = rabbit.connect()
    connection.channel().queue_declare("transient", durable=False, arguments={"x-max-length": 5})
    put(folder, broker, Target("tdmq", "transient", "XML", ("sh",)), message("j9"))
    connection.close()
    assert [body for _, body in taken(rabbit, "transient")] == [b"body of j9"]


def a_wrong_password_is_told(folder: Path, rabbit: Rabbit) -> None:
    with pytest.raises(UndeliveredError, match="ACCESS_REFUSED") as caught:
        put(folder, Broker.of(rabbit.url(password="wrong")), QUEUE, message("j8"))
    assert not caught.value.final
    assert "wrong" not in caught.value.reason


async def a_broker_that_goes_away_is_found_again(folder: Path, broker: Broker, rabbit: Rabbit) -> None:
    queue = MessageQueue(folder, broker)
    await queue.put(QUEUE, message("j6"))
    rabbit.stop()
    with pytest.raises(UndeliveredError, match="the broker at"):
        await queue.put(QUEUE, message("j7"))
    rabbit.start()
    await queue.put(QUEUE, message("j7"))
    await queue.aclose()


def taken(rabbit: Rabbit, queue: str) -> list[tuple[Any, bytes]]:
    """Take everything out of a queue: the properties, with the routing key, and the body of each message."""
    connection = rabbit.connect()
    channel = connection.channel()
    found = []
    while True:
        method, properties, body = channel.basic_get(queue, auto_ack=True)
        if method is None:
            break
        properties.routing_key = method.routing_key
        found.append((properties, body))
    connection.close()
    return found
