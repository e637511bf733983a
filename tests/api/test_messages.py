"""Requests and replies: every node of reference/video-synthesis.md §2 and §3, and the samples without loss."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from reconciler.api import account, media, messages, objects, queues, templates, transcode, watermark, xml
from reconciler.api.messages import (
    Accepted,
    AcceptedReply,
    Callback,
    CallBackKafkaConfig,
    CallBackMqConfig,
    Job,
    JobInput,
    JobOperation,
    JobRequest,
    JobsReply,
    Operation,
    Output,
    SpliceInfo,
    VideoSynthesis,
)
from reconciler.api.node import Node

OPERATION = (
    "<VideoSynthesis><SpliceInfo><Url>a.mp4</Url></SpliceInfo></VideoSynthesis>"
    "<TranscodeTemplateId>t1</TranscodeTemplateId><Transcode><Container><Format>mp4</Format></Container></Transcode>"
    "<WatermarkTemplateId>t2</WatermarkTemplateId><WatermarkTemplateId>t3</WatermarkTemplateId>"
    "<Watermark><Type>Text</Type></Watermark><Watermark><Type>Image</Type></Watermark>"
    "<DigitalWatermark><Message>m</Message></DigitalWatermark><Output><Object>out.mp4</Object></Output>"
    "<UserData>order-17</UserData><JobLevel>1</JobLevel>"
)
OPERATION_KEYS: dict[str, Any] = {
    "video_synthesis": {"splice_info": [{"url": "a.mp4"}]},
    "transcode_template_id": "t1",
    "transcode": {"container": {"format": "mp4"}},
    "watermark_template_id": ["t2", "t3"],
    "watermark": [{"type": "Text"}, {"type": "Image"}],
    "digital_watermark": {"message": "m"},
    "output": {"object": "out.mp4"},
    "user_data": "order-17",
    "job_level": 1,
}
SMALL = "<VideoSynthesis><SpliceInfo><Url>a</Url></SpliceInfo></VideoSynthesis><Output><Object>b</Object></Output>"
SMALL_KEYS: dict[str, Any] = {"video_synthesis": {"splice_info": [{"url": "a"}]}, "output": {"object": "b"}}

CASES: dict[type[Node], tuple[str, dict[str, Any]]] = {
    SpliceInfo: (
        "<Url>in/a.mp4</Url><X>700</X><Y>-10</Y><Width>640</Width><Height>960</Height><Name>游戏-1</Name>",
        {"url": "in/a.mp4", "x": 700, "y": -10, "width": 640, "height": 960, "name": "游戏-1"},
    ),
    VideoSynthesis: (
        (
            "<KeepAudioTrack>false</KeepAudioTrack><SpliceInfo><Url>a</Url></SpliceInfo>"
            "<SpliceInfo><Url>b</Url></SpliceInfo>"
        ),
        {"keep_audio_track": False, "splice_info": [{"url": "a"}, {"url": "b"}]},
    ),
    Output: (
        "<Region>ap-chongqing</Region><Bucket>clips-1250000000</Bucket><Object>out/${jobid}.${ext}</Object>",
        {"region": "ap-chongqing", "bucket": "clips-1250000000", "object": "out/${jobid}.${ext}"},
    ),
    CallBackMqConfig: (
        "<MqRegion>sh</MqRegion><MqMode>Topic</MqMode><MqName>jobs</MqName>",
        {"mq_region": "sh", "mq_mode": "Topic", "mq_name": "jobs"},
    ),
    CallBackKafkaConfig: (
        "<Region>ap-beijing</Region><InstanceId>ckafka-1</InstanceId><Topic>jobs</Topic>",
        {"region": "ap-beijing", "instance_id": "ckafka-1", "topic": "jobs"},
    ),
    Operation: (OPERATION, OPERATION_KEYS),
    JobOperation: (
        OPERATION
        + "<MediaInfo><Format><Size>1</Size></Format></MediaInfo>"
        + "<MediaResult><OutputFile><Bucket>b-1</Bucket></OutputFile></MediaResult>",
        {
            **OPERATION_KEYS,
            "media_info": {"format": {"size": 1}},
            "media_result": {"output_file": {"bucket": "b-1"}},
        },
    ),
    JobRequest: (
        (
            f"<Tag>VideoSynthesis</Tag><Operation>{SMALL}</Operation><Operation>{SMALL}</Operation>"
            "<QueueId>p1</QueueId><QueueType>SpeedTranscoding</QueueType><CallBackFormat>JSON</CallBackFormat>"
            "<CallBackType>TDMQ</CallBackType><CallBack>http://hooks.example.com/ci</CallBack>"
            "<CallBackMqConfig><MqRegion>sh</MqRegion></CallBackMqConfig>"
            "<CallBackKafkaConfig><Topic>jobs</Topic></CallBackKafkaConfig>"
        ),
        {
            "tag": "VideoSynthesis",
            "operation": [SMALL_KEYS, SMALL_KEYS],
            "queue_id": "p1",
            "queue_type": "SpeedTranscoding",
            "call_back_format": "JSON",
            "call_back_type": "TDMQ",
            "call_back": "http://hooks.example.com/ci",
            "call_back_mq_config": {"mq_region": "sh"},
            "call_back_kafka_config": {"topic": "jobs"},
        },
    ),
    JobInput: (
        "<Region>ap-chongqing</Region><Bucket>b-1</Bucket><BucketId>b-1</BucketId><Object>in/a.mp4</Object>",
        {"region": "ap-chongqing", "bucket": "b-1", "bucket_id": "b-1", "object": "in/a.mp4"},
    ),
    Job: (
        (
            "<Code>NoSuchKey</Code><Message>in/a.mp4 is missing</Message><JobId>j1</JobId><State>Failed</State>"
            "<Progress>30</Progress><CreationTime>2026-05-01T10:00:00+0800</CreationTime>"
            "<StartTime>2026-05-01T10:00:02+0800</StartTime><EndTime>-</EndTime><QueueId>p1</QueueId>"
            f"<Tag>VideoSynthesis</Tag><Input><Object>a</Object></Input><Operation>{SMALL}</Operation>"
            "<Engine>ffmpeg 9, 2 threads</Engine>"
        ),
        {
            "code": "NoSuchKey",
            "message": "in/a.mp4 is missing",
            "job_id": "j1",
            "state": "Failed",
            "progress": 30,
            "creation_time": "2026-05-01T10:00:00+0800",
            "start_time": "2026-05-01T10:00:02+0800",
            "end_time": "-",
            "queue_id": "p1",
            "tag": "VideoSynthesis",
            "input": {"object": "a"},
            "operation": SMALL_KEYS,
            "engine": "ffmpeg 9, 2 threads",
        },
    ),
    JobsReply: (
        (
            "<JobsDetail><JobId>j1</JobId><State>Running</State></JobsDetail>"
            "<JobsDetail><JobId>j2</JobId><State>Success</State></JobsDetail>"
            "<NonExistJobIds>j3</NonExistJobIds><NonExistJobIds>j4</NonExistJobIds><NextToken>2</NextToken>"
        ),
        {
            "jobs_detail": [{"job_id": "j1", "state": "Running"}, {"job_id": "j2", "state": "Success"}],
            "non_exist_job_ids": ["j3", "j4"],
            "next_token": "2",
        },
    ),
    Accepted: ("<JobId>j1</JobId>", {"job_id": "j1"}),
    AcceptedReply: (
        "<JobsDetail><JobId>j1</JobId></JobsDetail>",
        {"jobs_detail": [{"job_id": "j1"}]},
    ),
    Callback: (
        "<EventName>TaskFinish</EventName><JobsDetail><JobId>j1</JobId><State>Failed</State></JobsDetail>",
        {"event_name": "TaskFinish", "jobs_detail": [{"job_id": "j1", "state": "Failed"}]},
    ),
}

REQUEST = """
<Request>
  <Tag>VideoSynthesis</Tag>
  <Operation>
    <VideoSynthesis>
      <KeepAudioTrack>true</KeepAudioTrack>
      <SpliceInfo><Url>https://clips-1250000000.cos.ap-chongqing.myqcloud.com/in/left.mp4</Url><Width>640</Width><Height>720</Height></SpliceInfo>
      <SpliceInfo><Url>https://clips-1250000000.cos.ap-chongqing.myqcloud.com/in/right.mp4</Url><X>640</X><Width>640</Width><Height>720</Height><Name>right-1</Name></SpliceInfo>
    </VideoSynthesis>
    <Transcode>
      <Container><Format>mp4</Format></Container>
      <Video><Codec>H.264</Codec><Width>1280</Width><Height>720</Height><Fps>25</Fps></Video>
      <Audio><Codec>aac</Codec></Audio>
    </Transcode>
    <Watermark>
      <Type>Text</Type><Pos>TopRight</Pos><LocMode>Absolute</LocMode><Dx>16</Dx><Dy>16</Dy>
      <Text><Text>demo</Text><FontSize>25</FontSize><FontType>arial.ttf</FontType><FontColor>0xffffff</FontColor><Transparency>80</Transparency></Text>
    </Watermark>
    <Output><Region>ap-chongqing</Region><Bucket>clips-1250000000</Bucket><Object>out/${jobid}.${ext}</Object></Output>
    <UserData>order-17</UserData>
    <JobLevel>1</JobLevel>
  </Operation>
  <CallBack>http://hooks.example.com/ci</CallBack>
  <CallBackFormat>JSON</CallBackFormat>
</Request>
"""
ECHO = REQUEST.partition("<Operation>")[2].partition("</Operation>")[0]
SUBMITTED = f"""
<Response>
  <JobsDetail>
    <Code>Success</Code><Message/>
    <JobId>j3f0c2d9e6a1b11f1a0b252540012ab34</JobId>
    <State>Submitted</State><Progress>0</Progress>
    <CreationTime>2026-05-01T10:00:00+0800</CreationTime><StartTime>-</StartTime><EndTime>-</EndTime>
    <QueueId>p2242ab62c7c94486915508540933a2c6</QueueId>
    <Tag>VideoSynthesis</Tag>
    <Operation>{ECHO}</Operation>
  </JobsDetail>
</Response>
"""
RUNNING = f"""
<Response>
  <JobsDetail>
    <Code>Success</Code><Message/>
    <JobId>j3f0c2d9e6a1b11f1a0b252540012ab34</JobId>
    <State>Running</State><Progress>30</Progress>
    <CreationTime>2026-05-01T10:00:00+0800</CreationTime>
    <StartTime>2026-05-01T10:00:02+0800</StartTime>
    <EndTime>-</EndTime>
    <QueueId>p2242ab62c7c94486915508540933a2c6</QueueId>
    <Tag>VideoSynthesis</Tag>
    <Operation>{ECHO}</Operation>
  </JobsDetail>
  <NonExistJobIds>j00000000000011f1a0b2000000000000</NonExistJobIds>
</Response>
"""
FINISHED = f"""
<Response>
  <JobsDetail>
    <Code>Success</Code><Message/>
    <JobId>j3f0c2d9e6a1b11f1a0b252540012ab34</JobId>
    <State>Success</State><Progress>100</Progress>
    <CreationTime>2026-05-01T10:00:00+0800</CreationTime>
    <StartTime>2026-05-01T10:00:02+0800</StartTime>
    <EndTime>2026-05-01T10:00:20+0800</EndTime>
    <QueueId>p2242ab62c7c94486915508540933a2c6</QueueId>
    <Tag>VideoSynthesis</Tag>
    <Operation>{ECHO}
      <MediaInfo>
        <Format>
          <Bitrate>834.736000</Bitrate><Duration>13.654000</Duration>
          <FormatLongName>QuickTime / MOV</FormatLongName><FormatName>mov,mp4,m4a,3gp,3g2,mj2</FormatName>
          <NumProgram>0</NumProgram><NumStream>2</NumStream><Size>1424696</Size><StartTime>0.000000</StartTime>
        </Format>
        <Stream>
          <Audio><Index>1</Index><CodecName>aac</CodecName><Duration>13.654000</Duration></Audio><Subtitle/>
          <Video><Index>0</Index><CodecName>h264</CodecName><Fps>25.000000</Fps><Rotation>0.000000</Rotation></Video>
        </Stream>
      </MediaInfo>
      <MediaResult>
        <OutputFile>
          <Bucket>clips-1250000000</Bucket>
          <Md5Info><Md5>852883012a6ba726e6ed8d9b984edfdf</Md5><ObjectName>out/x.mp4</ObjectName></Md5Info>
          <ObjectName>out/x.mp4</ObjectName><ObjectPrefix/><Region>ap-chongqing</Region>
        </OutputFile>
      </MediaResult>
    </Operation>
  </JobsDetail>
</Response>
"""
SAMPLES: dict[str, tuple[type[Node], str, str]] = {
    "request": (JobRequest, "Request", REQUEST),
    "submitted": (JobsReply, "Response", SUBMITTED),
    "running": (JobsReply, "Response", RUNNING),
    "finished": (JobsReply, "Response", FINISHED),
}

Content = str | list[tuple[str, "Content"]]


def content(element: etree._Element) -> Content:
    """Return what an element says by the API's rules: order counts within a name only, an empty element is absent."""
    if not len(element):
        return (element.text or "").strip()
    found = [(child.tag, content(child)) for child in element]
    return sorted(((tag, value) for tag, value in found if value), key=lambda item: item[0])


@pytest.mark.parametrize("model", CASES, ids=lambda model: model.__name__)
def test_node(model: type[Node], check_node: Callable[..., None]) -> None:
    check_node(model, *CASES[model])


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_round_trips_without_loss(name: str) -> None:
    model, root, text = SAMPLES[name]
    message = xml.read(model, text.encode(), root)
    written = xml.write(message, root)
    assert content(etree.fromstring(written)) == content(etree.fromstring(text))
    assert xml.read(model, written, root) == message
    assert xml.read(model, xml.pretty(message, root).encode(), root) == message


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_round_trips_through_manifest_keys(name: str) -> None:
    model, root, text = SAMPLES[name]
    message = xml.read(model, text.encode(), root)
    assert model.model_validate(message.plain(), extra="forbid") == message


def test_the_finished_reply_in_values() -> None:
    reply = xml.read(JobsReply, FINISHED.encode(), "Response")
    assert reply.jobs_detail is not None
    job = reply.jobs_detail[0]
    assert (job.state, job.progress, job.code, job.message) == ("Success", 100, "Success", None)
    assert job.operation is not None
    assert job.operation.media_info is not None
    assert job.operation.media_info.format is not None
    assert str(job.operation.media_info.format.duration) == "13.654000"
    assert job.operation.media_result is not None
    assert job.operation.media_result.output_file is not None
    assert job.operation.media_result.output_file.object_name == ("out/x.mp4",)


def test_a_request_has_the_tag_by_itself() -> None:
    request = JobRequest.model_validate({"operation": [SMALL_KEYS]})
    assert b"<Tag>VideoSynthesis</Tag>" in xml.write(request, "Request")


def test_states() -> None:
    assert messages.STATES == ("Submitted", "Running", "Success", "Failed", "Pause", "Cancel")
    assert frozenset({"Success", "Failed", "Cancel"}) == messages.TERMINAL


def test_every_node_class_of_the_package_is_in_a_table() -> None:
    modules = (account, messages, transcode, watermark, media, objects, queues, templates)
    classes = {
        name
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Node) and value.__module__ == module.__name__
    }
    tables = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert {name for name in classes if f"    {name}: (" not in tables} == set()
    assert len(classes) > 40
