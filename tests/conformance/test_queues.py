"""The queue and media processing of a bucket through the official Python SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from qcloud_cos import CosS3Client
from qcloud_cos.cos_exception import CosServiceError

from tests.conformance.space import Space, refusal

UNKNOWN = "p" + "0" * 32


def the_queue(client: CosS3Client, space: Space) -> dict[str, Any]:
    (queue,) = client.ci_get_media_queue(space.bucket)["QueueList"]
    return dict(queue)


def as_sent(queue: dict[str, Any], **change: Any) -> dict[str, Any]:
    """What makes a queue what it is, with a change."""
    notify = queue.get("NotifyConfig") or {"State": "Off"}
    kept = {"Name": queue["Name"], "State": queue["State"], "NotifyConfig": notify}
    return {**kept, "QueueID": queue["QueueId"], **change}


@pytest.fixture
def queue(client: CosS3Client, space: Space) -> Iterator[dict[str, Any]]:
    """The bucket's queue, which is as it was afterwards."""
    before = the_queue(client, space)
    yield before
    client.ci_update_media_queue(space.bucket, before["QueueId"], as_sent(before), ContentType="application/xml")


def test_a_bucket_has_a_queue(client: CosS3Client, space: Space) -> None:
    reply = client.ci_get_media_queue(space.bucket)
    assert reply["RequestId"]
    assert (reply["TotalCount"], reply["PageNumber"], reply["PageSize"]) == ("1", "1", "10")
    (queue,) = reply["QueueList"]
    assert (queue["QueueId"][0], len(queue["QueueId"]), queue["State"]) == ("p", 33, "Active")
    assert int(queue["MaxSize"]) >= 1
    assert int(queue["MaxConcurrent"]) >= 1
    assert {"Name", "CreateTime", "UpdateTime", "NotifyConfig"} <= queue.keys()
    assert queue["NotifyConfig"]["State"] == "Off"


def test_queues_are_found_by_id_state_and_page(client: CosS3Client, space: Space) -> None:
    queue = the_queue(client, space)
    reply = client.ci_get_media_queue(space.bucket, QueueIds=f"{queue['QueueId']},{UNKNOWN}")
    assert reply["QueueList"] == [queue]
    assert reply["NonExistPIDs"] == {"QueueID": UNKNOWN}
    assert client.ci_get_media_queue(space.bucket, State="Active")["QueueList"] == [queue]
    assert "QueueList" not in client.ci_get_media_queue(space.bucket, State="Paused")
    second = client.ci_get_media_queue(space.bucket, PageNumber="2", PageSize="1")
    assert (second["TotalCount"], second["PageNumber"], second["PageSize"]) == ("1", "2", "1")
    assert "QueueList" not in second


def test_a_queue_is_renamed_and_told_whom_to_call(client: CosS3Client, space: Space, queue: dict[str, Any]) -> None:
    notify = {
        "State": "On",
        "Event": "TaskFinish",
        "ResultFormat": "JSON",
        "Type": "Url",
        "Url": "http://example.com/ci",
    }
    reply = client.ci_update_media_queue(
        space.bucket,
        queue["QueueId"],
        as_sent(queue, Name="render", NotifyConfig=notify),
        ContentType="application/xml",
    )
    changed = reply["Queue"][0]
    assert reply["RequestId"]
    assert (changed["QueueId"], changed["Name"], changed["State"]) == (queue["QueueId"], "render", "Active")
    assert notify.items() <= changed["NotifyConfig"].items()
    assert the_queue(client, space) == changed


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"Name": "n" * 129}, "Name"),
        ({"State": "Asleep"}, "State"),
        ({"QueueID": UNKNOWN}, "QueueID"),
        ({"NotifyConfig": {"State": "On", "Event": "TaskFinish", "Type": "Url"}}, "Url"),
        ({"NotifyConfig": {"State": "On", "Type": "Url", "Url": "http://example.com"}}, "Event"),
        ({"NotifyConfig": {"State": "On", "Event": "TaskFinish", "Type": "TDMQ"}}, "Mq"),
    ],
)
def test_a_queue_that_cannot_be(
    client: CosS3Client, space: Space, queue: dict[str, Any], change: dict[str, Any], says: str
) -> None:
    with pytest.raises(CosServiceError) as refused:
        client.ci_update_media_queue(
            space.bucket, queue["QueueId"], as_sent(queue, **change), ContentType="application/xml"
        )
    assert refusal(refused) == (400, "InvalidArgument")
    if space.target.local:
        assert says in refused.value.get_error_msg()


def test_a_queue_that_is_not_there(client: CosS3Client, space: Space, queue: dict[str, Any]) -> None:
    asked = as_sent(queue, QueueID=UNKNOWN)
    with pytest.raises(CosServiceError) as refused:
        client.ci_update_media_queue(space.bucket, UNKNOWN, asked, ContentType="application/xml")
    assert refusal(refused) == (404, "NoSuchQueue")


def test_media_processing_is_on(client: CosS3Client, space: Space) -> None:
    reply = client.ci_get_media_bucket(BucketNames=space.bucket)
    assert reply["TotalCount"] == "1"
    found = reply["MediaBucketList"]
    assert (found[0] if isinstance(found, list) else found)["BucketId"] == space.bucket
    none = client.ci_get_media_bucket(BucketName="there-is-no-such-")
    assert none["TotalCount"] == "0"
    assert "MediaBucketList" not in none
