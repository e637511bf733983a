"""The VideoSynthesis job on the wire: request, reply, states.

Source: reference/video-synthesis.md §2 and §3. ``Operation`` is what a manifest entry writes, node for node.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field

from reconciler.api.media import MediaInfo, MediaResult
from reconciler.api.node import Bool, Integer, Node, Text
from reconciler.api.transcode import Transcode
from reconciler.api.watermark import DigitalWatermark, Watermark

TAG: Final = "VideoSynthesis"

SUBMITTED: Final = "Submitted"
RUNNING: Final = "Running"
SUCCESS: Final = "Success"
FAILED: Final = "Failed"
PAUSE: Final = "Pause"
CANCEL: Final = "Cancel"
STATES: Final = (SUBMITTED, RUNNING, SUCCESS, FAILED, PAUSE, CANCEL)
TERMINAL: Final = frozenset({SUCCESS, FAILED, CANCEL})


class SpliceInfo(Node):
    """One source and its place on the canvas."""

    url: Text = Field(description="Key or URL of a video in the project's bucket.")
    x: Integer | None = Field(None, description="Left edge on the canvas in pixels; default 0.")
    y: Integer | None = Field(None, description="Upper edge on the canvas in pixels; default 0.")
    width: Integer | None = Field(None, description="Width on the canvas in pixels; default the source's.")
    height: Integer | None = Field(None, description="Height on the canvas in pixels; default the source's.")
    name: Text | None = Field(None, description="Stream name: at most 64 of Chinese, letters, digits, _ - *.")


class VideoSynthesis(Node):
    """What is placed on the canvas; later sources are painted over earlier ones."""

    keep_audio_track: Bool | None = Field(None, description="Keep the sound of the sources; default false.")
    splice_info: tuple[SpliceInfo, ...] = Field(description="The sources, painted in this order.")


class Output(Node):
    """Where the result is stored."""

    region: Text | None = Field(None, description="Region of the bucket; the project's when left out.")
    bucket: Text | None = Field(None, description="Bucket, NAME-APPID; the project's when left out.")
    object: Text = Field(description="Key of the result; ${ext} and ${jobid} are replaced.")


class CallBackMqConfig(Node):
    """The message queue for call_back_type TDMQ."""

    mq_region: Text | None = Field(None, description="sh, bj, gz, cd or hk.")
    mq_mode: Text | None = Field(None, description="Queue (default) or Topic.")
    mq_name: Text | None = Field(None, description="Queue or topic name.")


class CallBackKafkaConfig(Node):
    """The topic for call_back_type Kafka; known from SDKs only."""

    region: Text | None = Field(None, description="Region.")
    instance_id: Text | None = Field(None, description="Instance.")
    topic: Text | None = Field(None, description="Topic.")


class Operation(Node):
    """One job: what to compose, how to encode it, where to put it."""

    video_synthesis: VideoSynthesis = Field(description="What is placed on the canvas.")
    transcode_template_id: Text | None = Field(None, description="Id of a transcode template; beats transcode.")
    transcode: Transcode | None = Field(None, description="Inline encoding parameters.")
    watermark_template_id: tuple[Text, ...] | None = Field(
        None, description="Ids of at most three watermark templates; they beat watermark."
    )
    watermark: tuple[Watermark, ...] | None = Field(None, description="At most three watermarks.")
    digital_watermark: DigitalWatermark | None = Field(None, description="An invisible watermark.")
    output: Output = Field(description="Where the result is stored.")
    user_data: Text | None = Field(None, description="Passed through: at most 1024 printable ASCII characters.")
    job_level: Integer | None = Field(None, description="Priority: 0 (default), 1 or 2; larger is earlier.")


class JobOperation(Operation):
    """An operation as a reply echoes it; the results are absent until the job is complete."""

    media_info: MediaInfo | None = Field(None, description="Media information of the output file.")
    media_result: MediaResult | None = Field(None, description="Basic information of the output file.")


class JobRequest(Node):
    """The body of ``POST /jobs``; root element ``Request``."""

    tag: Text = Field(TAG, description="Constant VideoSynthesis.")
    operation: tuple[Operation, ...] = Field(description="One job each.")
    queue_id: Text | None = Field(None, description="Queue; the bucket's default queue when left out.")
    queue_type: Text | None = Field(None, description="Kind of queue; not used by VideoSynthesis.")
    call_back_format: Text | None = Field(None, description="XML (default) or JSON.")
    call_back_type: Text | None = Field(None, description="Url (default), TDMQ or Kafka.")
    call_back: Text | None = Field(None, description="Callback address; `no` for none at all.")
    call_back_mq_config: CallBackMqConfig | None = Field(None, description="Queue for call_back_type TDMQ.")
    call_back_kafka_config: CallBackKafkaConfig | None = Field(None, description="Topic for call_back_type Kafka.")


class JobInput(Node):
    """The input as the documents list it for every job; replies about VideoSynthesis leave it out."""

    region: Text | None = Field(None, description="Region of the bucket.")
    bucket: Text | None = Field(None, description="Bucket, NAME-APPID.")
    bucket_id: Text | None = Field(None, description="The same, as the samples of other jobs call it.")
    object: Text | None = Field(None, description="Key.")


class Job(Node):
    """One job as every reply describes it (``JobsDetail``)."""

    code: Text | None = Field(None, description="Error code of a failed job; Success otherwise.")
    message: Text | None = Field(None, description="Error text of a failed job; notes about a finished one.")
    job_id: Text = Field(description="j and 32 hexadecimal digits.")
    state: Text = Field(description="Submitted, Running, Success, Failed, Pause or Cancel.")
    progress: Integer | None = Field(None, description="Percent, 0 to 100.")
    creation_time: Text | None = Field(None, description="YYYY-MM-DDTHH:MM:SS+0800.")
    start_time: Text | None = Field(None, description="The same; - before the start.")
    end_time: Text | None = Field(None, description="The same; - before the end.")
    queue_id: Text | None = Field(None, description="Queue of the job.")
    tag: Text | None = Field(None, description="VideoSynthesis.")
    input: JobInput | None = Field(None, description="Not in replies about VideoSynthesis.")
    operation: JobOperation | None = Field(None, description="Echo of the request, with the results.")
    engine: Text | None = Field(None, description="Which FFmpeg made the result; the embedded service only.")


class JobsReply(Node):
    """The reply to ``POST /jobs``, ``GET /jobs/<ids>`` and ``GET /jobs``; root element ``Response``."""

    jobs_detail: tuple[Job, ...] | None = Field(None, description="The jobs.")
    non_exist_job_ids: tuple[Text, ...] | None = Field(None, description="Ids asked for that do not exist.")
    next_token: Text | None = Field(None, description="Context of the next page; absent at the end.")


class Accepted(Node):
    """What is needed of a job that was just submitted."""

    job_id: Text = Field(description="j and 32 hexadecimal digits.")


class AcceptedReply(Node):
    """The reply to ``POST /jobs``, read for nothing but its job."""

    jobs_detail: tuple[Accepted, ...] | None = Field(None, description="The jobs.")


class Callback(Node):
    """What is sent to whoever wants to know that a job has ended; root element ``Response``.

    Source: reference/jobs-queues-templates.md §13.
    """

    event_name: Text = Field("TaskFinish", description="TaskFinish.")
    jobs_detail: tuple[Job, ...] = Field((), description="The job, as a query describes it.")
