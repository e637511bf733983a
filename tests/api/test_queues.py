"""Queues and media buckets on the wire, reference/jobs-queues-templates.md §4, §5 and §10 to §12."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reconciler.api import xml
from reconciler.api.node import Node
from reconciler.api.queues import (
    MediaBucket,
    MediaBucketClosed,
    MediaBucketReply,
    MediaBucketsReply,
    NonExistPIDs,
    NotifyConfig,
    QueueInfo,
    QueueReply,
    QueuesReply,
    QueueUpdate,
)

ID = "p2242ab62c7c94486915508540933a2c6"
TIME = "2020-08-05T11:35:24+0800"
INFO = (
    f"<QueueId>{ID}</QueueId><Name>queue-1</Name><State>Active</State><MaxSize>10000</MaxSize>"
    f"<MaxConcurrent>10</MaxConcurrent><Category>Transcoding</Category><CreateTime>{TIME}</CreateTime>"
    f"<UpdateTime>{TIME}</UpdateTime><NotifyConfig><State>Off</State></NotifyConfig>"
)
INFO_KEYS: dict[str, Any] = {
    "queue_id": ID,
    "name": "queue-1",
    "state": "Active",
    "max_size": 10000,
    "max_concurrent": 10,
    "category": "Transcoding",
    "create_time": TIME,
    "update_time": TIME,
    "notify_config": {"state": "Off"},
}
BUCKET = f"<Name>b-1</Name><BucketId>b-1</BucketId><Region>r</Region><CreateTime>{TIME}</CreateTime>"
BUCKET_KEYS = {"name": "b-1", "bucket_id": "b-1", "region": "r", "create_time": TIME}
PAGE = "<RequestId>r</RequestId><TotalCount>1</TotalCount><PageNumber>1</PageNumber><PageSize>10</PageSize>"
PAGE_KEYS: dict[str, Any] = {"request_id": "r", "total_count": 1, "page_number": 1, "page_size": 10}

CASES: dict[type[Node], tuple[str, dict[str, Any]]] = {
    NotifyConfig: (
        (
            "<State>On</State><Event>TaskFinish</Event><ResultFormat>JSON</ResultFormat><Type>Url</Type>"
            "<Url>http://hooks.example.com/ci</Url><MqMode>Topic</MqMode><MqRegion>sh</MqRegion><MqName>jobs</MqName>"
            "<KafkaConfig><Topic>jobs</Topic></KafkaConfig>"
        ),
        {
            "state": "On",
            "event": "TaskFinish",
            "result_format": "JSON",
            "type": "Url",
            "url": "http://hooks.example.com/ci",
            "mq_mode": "Topic",
            "mq_region": "sh",
            "mq_name": "jobs",
            "kafka_config": {"topic": "jobs"},
        },
    ),
    QueueUpdate: (
        (
            f"<Name>render</Name><QueueID>{ID}</QueueID><State>Paused</State>"
            "<NotifyConfig><State>Off</State></NotifyConfig>"
        ),
        {"name": "render", "queue_id": ID, "state": "Paused", "notify_config": {"state": "Off"}},
    ),
    QueueInfo: (INFO, INFO_KEYS),
    NonExistPIDs: ("<QueueID>p1</QueueID><QueueID>p2</QueueID>", {"queue_id": ["p1", "p2"]}),
    QueuesReply: (
        (
            f"{PAGE}<QueueList>{INFO}</QueueList><QueueList>{INFO}</QueueList>"
            "<NonExistPIDs><QueueID>p1</QueueID></NonExistPIDs>"
        ),
        {**PAGE_KEYS, "queue_list": [INFO_KEYS, INFO_KEYS], "non_exist_pids": {"queue_id": ["p1"]}},
    ),
    QueueReply: (f"<RequestId>r</RequestId><Queue>{INFO}</Queue>", {"request_id": "r", "queue": INFO_KEYS}),
    MediaBucket: (BUCKET, BUCKET_KEYS),
    MediaBucketsReply: (
        f"{PAGE}<MediaBucketList>{BUCKET}</MediaBucketList><MediaBucketList>{BUCKET}</MediaBucketList>",
        {**PAGE_KEYS, "media_bucket_list": [BUCKET_KEYS, BUCKET_KEYS]},
    ),
    MediaBucketReply: (
        f"<RequestId>r</RequestId><MediaBucket>{BUCKET}</MediaBucket>",
        {"request_id": "r", "media_bucket": BUCKET_KEYS},
    ),
    MediaBucketClosed: (
        "<RequestId>r</RequestId><BucketName>b-1</BucketName>",
        {"request_id": "r", "bucket_name": "b-1"},
    ),
}


@pytest.mark.parametrize("model", CASES, ids=lambda model: model.__name__)
def test_node(model: type[Node], check_node: Callable[..., None]) -> None:
    check_node(model, *CASES[model])


def test_an_update_in_the_shape_of_the_documents() -> None:
    body = (
        f"<Request><Name>render</Name><QueueID>{ID}</QueueID><State>Active</State><NotifyConfig><State>On</State>"
        "<Event>TaskFinish</Event><ResultFormat>JSON</ResultFormat><Type>Url</Type>"
        "<Url>http://hooks.example.com/ci</Url></NotifyConfig></Request>"
    )
    update = xml.read(QueueUpdate, body.encode(), "Request")
    assert update.queue_id == ID
    assert xml.write(update, "Request").decode() == body
