"""What the documents demand of callbacks: those that a job request names, and a queue's ``NotifyConfig``.

Source: reference/video-synthesis.md §2.1 and §2.9, jobs-queues-templates.md §4 and §13. Where a callback may be sent to
is decided when it is sent, because only the address that a name has then counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from reconciler.api.messages import CallBackKafkaConfig, JobRequest
from reconciler.api.queues import OFF, ON, TASK_FINISH, NotifyConfig
from reconciler.api.violations import Violation, blank, error, listed, one_of, required, show, under, warning

_TYPES: Final = ("Url", "TDMQ", "Kafka")
_FORMATS: Final = ("XML", "JSON")
_MQ_REGIONS: Final = ("sh", "bj", "gz", "cd", "hk")
_MQ_MODES: Final = ("Queue", "Topic")
_EVENTS: Final = (TASK_FINISH, "WorkflowFinish", "TransCodingFinish")
"""The last one is an old name of the first."""


def call_back_rules(request: JobRequest) -> Iterator[Violation]:
    """Check the callback of a job request."""
    yield from one_of("call_back_format", request.call_back_format, _FORMATS)
    if request.call_back != "no":
        yield from _address("call_back", request.call_back, ", or no for no callback at all")
    kind = _kind(request.call_back_type)
    yield from _known_kind("call_back_type", request.call_back_type)
    yield from _message_queue(request, kind)
    yield from _kafka(request, kind)


def notify_rules(config: NotifyConfig) -> Iterator[Violation]:
    """Check a queue's callback; what one that is switched off leaves out is not missed."""
    yield from one_of("state", config.state, (ON, OFF))
    yield from _events(config.event)
    yield from one_of("result_format", config.result_format, _FORMATS)
    yield from _known_kind("type", config.type)
    yield from _address("url", config.url)
    yield from one_of("mq_mode", config.mq_mode, _MQ_MODES)
    yield from one_of("mq_region", config.mq_region, _MQ_REGIONS)
    if config.state == ON:
        yield from required(config, "event", "`state` is On", f"write {TASK_FINISH}")
        yield from required(config, "type", "`state` is On", f"write {listed(_TYPES)}")
        yield from _target(config, _kind(config.type))


def _target(config: NotifyConfig, kind: str) -> Iterator[Violation]:
    if kind == "url":
        yield from required(config, "url", "`type` is Url")
    elif kind == "tdmq":
        yield from required(config, "mq_region", "`type` is TDMQ")
        yield from required(config, "mq_name", "`type` is TDMQ")
    elif kind == "kafka" and config.kafka_config is None:
        yield from required(config, "kafka_config", "`type` is Kafka")
    elif kind == "kafka" and config.kafka_config is not None:
        yield from under(_topic(config.kafka_config), "kafka_config")


def _events(text: str | None) -> Iterator[Violation]:
    for name in (text or "").split(","):
        yield from one_of("event", name.strip(), _EVENTS)


def _kind(name: str | None) -> str:
    """Return the type of a callback in lower case: pages and SDKs spell it URL and Url."""
    return (name or "").strip().lower()


def _known_kind(key: str, name: str | None) -> Iterator[Violation]:
    if _kind(name) not in {known.lower() for known in _TYPES}:
        yield from one_of(key, name, _TYPES)


def _address(key: str, address: str | None, otherwise: str = "") -> Iterator[Violation]:
    if address is None or blank(address) or re.fullmatch(r"https?://[^\s/?#]+\S*", address):
        return
    yield error((key,), f"{show(address)} is not an address", f"write http://… or https://…{otherwise}")


def _message_queue(request: JobRequest, kind: str) -> Iterator[Violation]:
    config = request.call_back_mq_config
    if config is None:
        if kind == "tdmq":
            yield from required(request, "call_back_mq_config", "`call_back_type` is TDMQ")
        return
    if kind != "tdmq":
        message = "`call_back_mq_config` has no effect: `call_back_type` is not TDMQ"
        yield warning(("call_back_mq_config",), message, "write call_back_type: TDMQ")
    yield from under(required(config, "mq_region", "it says where the queue is"), "call_back_mq_config")
    yield from under(one_of("mq_region", config.mq_region, _MQ_REGIONS), "call_back_mq_config")
    yield from under(one_of("mq_mode", config.mq_mode, _MQ_MODES), "call_back_mq_config")
    yield from under(required(config, "mq_name", "it names the queue or topic"), "call_back_mq_config")


def _kafka(request: JobRequest, kind: str) -> Iterator[Violation]:
    config = request.call_back_kafka_config
    if kind == "kafka" and config is None:
        yield from required(request, "call_back_kafka_config", "`call_back_type` is Kafka")
    elif kind == "kafka" and config is not None:
        yield from under(_topic(config), "call_back_kafka_config")
    elif config is not None:
        message = "`call_back_kafka_config` has no effect: `call_back_type` is not Kafka"
        yield warning(("call_back_kafka_config",), message, "write call_back_type: Kafka")


def _topic(config: CallBackKafkaConfig) -> Iterator[Violation]:
    for key in ("region", "instance_id", "topic"):
        yield from required(config, key, "the topic needs it")
