"""Queues and media buckets on the wire: what holds a bucket's jobs, and whether a bucket processes media at all.

Source: reference/jobs-queues-templates.md §4, §5 and §10 to §12.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field

from reconciler.api.messages import CallBackKafkaConfig
from reconciler.api.node import Integer, Node, Text

ACTIVE: Final = "Active"
PAUSED: Final = "Paused"
QUEUE_STATES: Final = (ACTIVE, PAUSED)
QUEUE_NAME_LENGTH: Final = 128
ON: Final = "On"
OFF: Final = "Off"
TASK_FINISH: Final = "TaskFinish"


class NotifyConfig(Node):
    """Who is told when a job of the queue ends and the job itself names nobody."""

    state: Text | None = Field(None, description="On or Off (default).")
    event: Text | None = Field(None, description="TaskFinish, WorkflowFinish, or both with a comma; needed when On.")
    result_format: Text | None = Field(None, description="XML (default) or JSON.")
    type: Text | None = Field(None, description="Url, TDMQ or Kafka; needed when On.")
    url: Text | None = Field(None, description="Callback address, for type Url.")
    mq_mode: Text | None = Field(None, description="Queue (default) or Topic, for type TDMQ.")
    mq_region: Text | None = Field(None, description="sh, bj, gz, cd or hk, for type TDMQ.")
    mq_name: Text | None = Field(None, description="Queue or topic name, for type TDMQ.")
    kafka_config: CallBackKafkaConfig | None = Field(None, description="Topic, for type Kafka.")


class QueueUpdate(Node):
    """The body of ``PUT /queue/<id>``; root element ``Request``."""

    name: Text = Field(description="At most 128 characters.")
    queue_id: Text | None = Field(None, serialization_alias="QueueID", description="As in the address.")
    state: Text = Field(description="Active or Paused.")
    notify_config: NotifyConfig | None = Field(None, description="The queue's callback; required by the documents.")


class QueueInfo(Node):
    """One queue as every reply describes it."""

    queue_id: Text = Field(description="p and 32 hexadecimal digits.")
    name: Text = Field(description="Name.")
    state: Text = Field(description="Active, or Paused: jobs that wait stay put, running ones go on.")
    max_size: Integer = Field(description="How many jobs may wait.")
    max_concurrent: Integer = Field(description="How many jobs run at once.")
    category: Text | None = Field(None, description="Transcoding.")
    create_time: Text | None = Field(None, description="YYYY-MM-DDTHH:MM:SS+0800.")
    update_time: Text | None = Field(None, description="The same.")
    notify_config: NotifyConfig | None = Field(None, description="The queue's callback.")


class NonExistPIDs(Node):
    """Queue ids asked for that do not exist."""

    queue_id: tuple[Text, ...] | None = Field(None, serialization_alias="QueueID", description="The ids.")


class QueuesReply(Node):
    """The reply to ``GET /queue``; root element ``Response``. Pages are counted only when no ids were given."""

    request_id: Text | None = Field(None, description="Request id.")
    total_count: Integer | None = Field(None, description="Queues in all.")
    page_number: Integer | None = Field(None, description="From 1.")
    page_size: Integer | None = Field(None, description="Queues a page.")
    queue_list: tuple[QueueInfo, ...] | None = Field(None, description="The queues.")
    non_exist_pids: NonExistPIDs | None = Field(None, serialization_alias="NonExistPIDs", description="Unknown ids.")


class QueueReply(Node):
    """The reply to ``PUT /queue/<id>``; root element ``Response``."""

    request_id: Text | None = Field(None, description="Request id.")
    queue: QueueInfo = Field(description="The queue as it is now.")


class MediaBucket(Node):
    """A bucket that processes media."""

    name: Text = Field(description="NAME-APPID.")
    bucket_id: Text = Field(description="The same.")
    region: Text = Field(description="Region.")
    create_time: Text = Field(description="When processing was switched on.")


class MediaBucketsReply(Node):
    """The reply to ``GET /mediabucket``; root element ``Response``."""

    request_id: Text | None = Field(None, description="Request id.")
    total_count: Integer | None = Field(None, description="Buckets in all.")
    page_number: Integer | None = Field(None, description="From 1.")
    page_size: Integer | None = Field(None, description="Buckets a page.")
    media_bucket_list: tuple[MediaBucket, ...] | None = Field(None, description="The buckets.")


class MediaBucketReply(Node):
    """The reply to ``POST /mediabucket``; root element ``Response``."""

    request_id: Text | None = Field(None, description="Request id.")
    media_bucket: MediaBucket = Field(description="The bucket.")


class MediaBucketClosed(Node):
    """The reply to ``DELETE /mediabucket``; root element ``Response``."""

    request_id: Text | None = Field(None, description="Request id.")
    bucket_name: Text = Field(description="NAME-APPID.")
