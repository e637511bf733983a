"""Who is told that a job has ended, and in which words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reconciler.api import xml
from reconciler.api.messages import Callback, JobRequest
from reconciler.api.queues import NotifyConfig
from reconciler.service.callbacks import Format, Target, body, target
from tests.service.harness import operation

URL = "http://hooks.example.com/ci"
OTHER = "https://other.example.com/"
MQ = {"mq_region": "sh", "mq_name": "ended"}
KAFKA = {"region": "ap-chongqing", "instance_id": "ckafka-1", "topic": "ended"}
ON = {"state": "On", "event": "TaskFinish"}


def of(request: dict[str, Any], queue: dict[str, Any] | None) -> Target | None:
    message = JobRequest.model_validate({"operation": [operation("a")], **request})
    return target(message, None if queue is None else NotifyConfig.model_validate(queue))


TARGETS: dict[str, tuple[dict[str, Any], dict[str, Any] | None, Target | None]] = {
    "nobody": ({}, None, None),
    "the job": ({"call_back": URL}, None, Target("url", URL)),
    "the job, in JSON": ({"call_back": URL, "call_back_format": "JSON"}, None, Target("url", URL, "JSON")),
    "the job, typed": ({"call_back": URL, "call_back_type": "URL"}, None, Target("url", URL)),
    "the queue": ({}, {**ON, "type": "Url", "url": URL}, Target("url", URL)),
    "the queue, in JSON": ({}, {**ON, "type": "Url", "url": URL, "result_format": "JSON"}, Target("url", URL, "JSON")),
    "the job before the queue": ({"call_back": OTHER}, {**ON, "type": "Url", "url": URL}, Target("url", OTHER)),
    "no is nobody": ({"call_back": "no"}, {**ON, "type": "Url", "url": URL}, None),
    "no beats a message queue": ({"call_back": "no", "call_back_type": "TDMQ", "call_back_mq_config": MQ}, None, None),
    "a queue that is off": ({}, {**ON, "state": "Off", "type": "Url", "url": URL}, None),
    "a queue that says nothing": ({}, {"type": "Url", "url": URL}, None),
    "another event": ({}, {**ON, "event": "WorkflowFinish", "type": "Url", "url": URL}, None),
    "several events": (
        {},
        {**ON, "event": "WorkflowFinish, TaskFinish", "type": "Url", "url": URL},
        Target("url", URL),
    ),
    "the event's old name": ({}, {**ON, "event": "TransCodingFinish", "type": "Url", "url": URL}, Target("url", URL)),
    "the queue's format": (
        {"call_back": OTHER},
        {**ON, "type": "Url", "url": URL, "result_format": "JSON"},
        Target("url", OTHER, "JSON"),
    ),
    "the job's format": (
        {"call_back_format": "XML"},
        {**ON, "type": "Url", "url": URL, "result_format": "JSON"},
        Target("url", URL, "XML"),
    ),
    "the format of a queue that is off": (
        {"call_back": OTHER},
        {**ON, "state": "Off", "type": "Url", "url": URL, "result_format": "JSON"},
        Target("url", OTHER, "XML"),
    ),
    "a message queue of the job": (
        {"call_back_type": "tdmq", "call_back_mq_config": MQ},
        {**ON, "type": "Url", "url": URL},
        Target("tdmq", "ended", "XML", ("sh",)),
    ),
    "a topic of the job": (
        {"call_back_type": "TDMQ", "call_back_mq_config": {**MQ, "mq_mode": "Topic"}},
        None,
        Target("tdmq", "ended", "XML", ("sh",), topic=True),
    ),
    "a message queue of the queue": ({}, {**ON, "type": "TDMQ", **MQ}, Target("tdmq", "ended", "XML", ("sh",))),
    "an address beats the queue's type": ({"call_back": URL}, {**ON, "type": "TDMQ", **MQ}, Target("url", URL)),
    "a type that only the queue has an address for": (
        {"call_back_type": "TDMQ"},
        {**ON, "type": "TDMQ", **MQ},
        Target("tdmq", "ended", "XML", ("sh",)),
    ),
    "a type that nobody has an address for": ({"call_back_type": "Url"}, {**ON, "type": "TDMQ", **MQ}, None),
    "a configuration without its type": ({"call_back_mq_config": MQ}, None, None),
    "a Kafka topic of the job": (
        {"call_back_type": "Kafka", "call_back_kafka_config": KAFKA},
        None,
        Target("kafka", "ended", "XML", ("ap-chongqing", "ckafka-1")),
    ),
    "a Kafka topic of the queue": (
        {},
        {**ON, "type": "Kafka", "kafka_config": KAFKA},
        Target("kafka", "ended", "XML", ("ap-chongqing", "ckafka-1")),
    ),
    "Kafka without a topic": ({"call_back_type": "Kafka"}, None, None),
}


@pytest.mark.parametrize(("request_", "queue", "expected"), TARGETS.values(), ids=TARGETS.keys())
def test_target(request_: dict[str, Any], queue: dict[str, Any] | None, expected: Target | None) -> None:
    found = of(request_, queue)
    assert found == expected
    if found is not None:
        assert Target.of(found.stored()) == found


@pytest.mark.parametrize(
    ("address", "server"),
    [
        ("http://Hooks.example.com/a/b", "hooks.example.com"),
        ("https://name:secret@h:8443", "h:8443"),
        ("http://[::1]:80/x", "[::1]:80"),
        ("http://[::1", "[::1"),
    ],
)
def test_the_server_is_who_is_slow_when_it_is_slow(address: str, server: str) -> None:
    assert Target("url", address).server == server
    assert Target("tdmq", "q").server == "tdmq"


DETAIL = (
    "<JobsDetail><Code>Success</Code><Message></Message><JobId>j1</JobId><State>Success</State><Progress>100</Progress>"
    "<Operation><VideoSynthesis><KeepAudioTrack>true</KeepAudioTrack><SpliceInfo><Url>a&amp;b</Url></SpliceInfo>"
    "</VideoSynthesis><Output><Object>ü</Object></Output><MediaInfo><Stream><Video><Index>0</Index></Video></Stream>"
    "</MediaInfo><MediaResult><OutputFile>{keys}<Md5Info><Md5>d</Md5></Md5Info></OutputFile></MediaResult></Operation>"
    "</JobsDetail>"
)
TOKEN = f"reconciler:2:{40 * 'b'}:{16 * '0'}"
ONE, TWO = "<ObjectName>x</ObjectName>", "<ObjectName>x</ObjectName><ObjectName>y</ObjectName>"


def test_the_body_in_xml_holds_what_a_query_answers() -> None:
    detail = DETAIL.format(keys=ONE)
    assert body(detail, "XML").decode() == f"<Response><EventName>TaskFinish</EventName>{detail}</Response>"
    said = xml.read(Callback, body(detail, "XML"), "Response")
    assert (said.event_name, said.jobs_detail[0].job_id) == ("TaskFinish", "j1")


@pytest.mark.parametrize(
    ("submitted", "told"),
    [
        (f"order 17 {TOKEN}", "<UserData>order 17</UserData>"),
        (f"a &amp; b {TOKEN}", "<UserData>a &amp; b</UserData>"),
        (f"{TOKEN} and more", f"<UserData>{TOKEN} and more</UserData>"),
        (TOKEN, ""),
        ("", "<UserData></UserData>"),
        ("order 17", "<UserData>order 17</UserData>"),
    ],
)
@pytest.mark.parametrize("form", ["XML", "JSON"])
def test_user_data_is_told_as_the_person_wrote_it(submitted: str, told: str, form: Format) -> None:
    detail = "<JobsDetail><JobId>j1</JobId><Operation>{}</Operation></JobsDetail>"
    assert body(detail.format(f"<UserData>{submitted}</UserData>"), form) == body(detail.format(told), form)
    assert (b"<UserData>" if form == "XML" else b'"UserData"') in body(detail.format("<UserData>x</UserData>"), form)


@pytest.mark.parametrize(("keys", "told"), [(ONE, "x"), (TWO, ["x", "y"])])
def test_the_body_in_json_has_strings_throughout_and_lists_of_nodes(keys: str, told: str | list[str]) -> None:
    assert json.loads(body(DETAIL.format(keys=keys), "JSON")) == {
        "EventName": "TaskFinish",
        "JobsDetail": [
            {
                "Code": "Success",
                "Message": "",
                "JobId": "j1",
                "State": "Success",
                "Progress": "100",
                "Operation": {
                    "VideoSynthesis": {"KeepAudioTrack": "true", "SpliceInfo": [{"Url": "a&b"}]},
                    "Output": {"Object": "ü"},
                    "MediaInfo": {"Stream": {"Video": [{"Index": "0"}]}},
                    "MediaResult": {"OutputFile": {"ObjectName": told, "Md5Info": [{"Md5": "d"}]}},
                },
            }
        ],
    }
