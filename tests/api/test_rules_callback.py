"""What a queue's callback must be; the callbacks of job requests stand in ``test_rules``."""

from __future__ import annotations

import pytest

from reconciler.api.queues import QueueUpdate
from reconciler.api.rules import check_queue
from tests.api.cases import Keys, changed, told

URL: Keys = {
    "state": "On",
    "event": "TaskFinish",
    "result_format": "XML",
    "type": "Url",
    "url": "http://hooks.example.com/ci",
}
MQ: Keys = {"state": "On", "event": "TaskFinish", "type": "TDMQ", "mq_region": "sh", "mq_name": "jobs"}
KAFKA: Keys = {
    "state": "On",
    "event": "TaskFinish",
    "type": "Kafka",
    "kafka_config": {"region": "r", "instance_id": "i", "topic": "t"},
}
OFF: Keys = {"state": "Off"}

QUEUES: list[tuple[dict[str, object], list[str]]] = [
    ({}, []),
    ({"name": "n" * 128}, []),
    ({"name": "n" * 129}, [f"name: {'n' * 59}… has 129 characters; `name` takes 128"]),
    ({"name": " "}, ["name: `name` is empty, which the API reads as absent [write a value, or leave it out]"]),
    ({"state": "active"}, ["state: active is unknown; `state` must be Active or Paused [write Active]"]),
    (
        {"notify_config": None},
        ["notify_config: `notify_config` is missing: the documents demand it [write NotifyConfig with State Off]"],
    ),
]
NOTIFIED: list[tuple[Keys, dict[str, object], list[str]]] = [
    (URL, {}, []),
    (MQ, {}, []),
    (MQ, {"mq_mode": "Topic"}, []),
    (KAFKA, {}, []),
    (OFF, {}, []),
    (URL, {"state": None}, []),
    (URL, {"state": "on"}, ["state: on is unknown; `state` must be On or Off [write On]"]),
    (URL, {"event": "TaskFinish,WorkflowFinish"}, []),
    (URL, {"event": "TransCodingFinish"}, []),
    (
        URL,
        {"event": "TaskFinish, Done"},
        ["event: Done is unknown; `event` must be TaskFinish, WorkflowFinish or TransCodingFinish"],
    ),
    (URL, {"event": None}, ["event: `event` is missing: `state` is On [write TaskFinish]"]),
    (
        URL,
        {"result_format": "json"},
        ["result_format: json is unknown; `result_format` must be XML or JSON [write JSON]"],
    ),
    (URL, {"type": "URL"}, []),
    (URL, {"type": "Mail"}, ["type: Mail is unknown; `type` must be Url, TDMQ or Kafka"]),
    (URL, {"type": None}, ["type: `type` is missing: `state` is On [write Url, TDMQ or Kafka]"]),
    (URL, {"url": None}, ["url: `url` is missing: `type` is Url"]),
    (URL, {"url": "ftp://x"}, ["url: ftp://x is not an address [write http://… or https://…]"]),
    (URL, {"url": "no"}, ["url: no is not an address [write http://… or https://…]"]),
    (MQ, {"mq_mode": "Fanout"}, ["mq_mode: Fanout is unknown; `mq_mode` must be Queue or Topic"]),
    (MQ, {"mq_region": "xx"}, ["mq_region: xx is unknown; `mq_region` must be sh, bj, gz, cd or hk"]),
    (MQ, {"mq_region": None}, ["mq_region: `mq_region` is missing: `type` is TDMQ"]),
    (MQ, {"mq_name": None}, ["mq_name: `mq_name` is missing: `type` is TDMQ"]),
    (KAFKA, {"kafka_config": None}, ["kafka_config: `kafka_config` is missing: `type` is Kafka"]),
    (KAFKA, {"kafka_config.topic": None}, ["kafka_config.topic: `topic` is missing: the topic needs it"]),
    (OFF, {"type": "Url"}, []),
    (OFF, {"url": "x"}, ["url: x is not an address [write http://… or https://…]"]),
]


def update(notify: Keys, **changes: object) -> QueueUpdate:
    keys: Keys = {"name": "render", "state": "Active", "notify_config": notify, **changes}
    return QueueUpdate.model_validate({key: value for key, value in keys.items() if value is not None}, extra="forbid")


@pytest.mark.parametrize(("changes", "expected"), QUEUES)
def test_queue(changes: Keys, expected: list[str]) -> None:
    assert told(check_queue(update(OFF, **changes))) == expected


@pytest.mark.parametrize(("base", "changes", "expected"), NOTIFIED)
def test_notify_config(base: Keys, changes: Keys, expected: list[str]) -> None:
    for path, value in changes.items():
        base = changed(base, path, value)
    assert told(check_queue(update(base))) == [f"notify_config.{line}" for line in expected]
