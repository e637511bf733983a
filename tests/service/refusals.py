"""Every wrong request that the API's documents describe, as data: what is sent, and with which words it is refused.

``{running}``, ``{cancelled}``, ``{queue}``, ``{canvas}``, ``{bare}``, ``{mark}`` and ``{upload}`` in a target or a body
are the ids of what ``test_errors`` has made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from tests.service.harness import BUCKET, REGION
from tests.service.wire import CI_HOST, COS_HOST

CI: Final = CI_HOST.decode()
COS: Final = COS_HOST.decode()
NO_JOB: Final = "j" + "0" * 32
NO_QUEUE: Final = "p" + "0" * 32
NO_TEMPLATE: Final = "t1" + "0" * 32
EMPTY_MD5: Final = "1B2M2Y8AsgTpgAmY7PhCfg=="


class Wrong(NamedTuple):
    """A request, its status and code, and words that its message must have."""

    method: str
    url: str
    status: int
    code: str
    words: tuple[str, ...] = ()
    body: str | bytes | None = None
    headers: Mapping[str, str] = {}


SOURCE: Final = f"<SpliceInfo><Url>http://{COS}/in/a.mp4</Url><Width>128</Width><Height>128</Height></SpliceInfo>"
VIDEO: Final = "<Video><Codec>H.264</Codec><Width>128</Width><Height>128</Height></Video>"
FORMAT: Final = "<Container><Format>mp4</Format></Container>"
TRANSCODE: Final = f"<Transcode>{FORMAT}{VIDEO}</Transcode>"
OUTPUT: Final = f"<Output><Region>{REGION}</Region><Bucket>{BUCKET}</Bucket><Object>out/x.mp4</Object></Output>"
TDMQ: Final = "<CallBackType>TDMQ</CallBackType>"
OPERATION: Final = (
    f"<Operation><VideoSynthesis>{SOURCE}</VideoSynthesis>{TRANSCODE}{OUTPUT}<JobLevel>0</JobLevel></Operation>"
)
JOB: Final = f"<Request><Tag>VideoSynthesis</Tag>{OPERATION}</Request>"
MARK: Final = (
    "<Watermark><Type>Text</Type><Pos>TopLeft</Pos><LocMode>Absolute</LocMode><Dx>1</Dx><Dy>1</Dy><Text><Text>a</Text>"
    "<FontSize>20</FontSize><FontType>simfang.ttf</FontType><FontColor>0xFFFFFF</FontColor>"
    "<Transparency>100</Transparency></Text></Watermark>"
)
TEMPLATE: Final = f"<Request><Tag>Transcode</Tag><Name>a</Name>{FORMAT}{VIDEO}</Request>"
MARK_TEMPLATE: Final = f"<Request><Tag>Watermark</Tag><Name>a</Name>{MARK}</Request>"
QUEUE: Final = (
    "<Request><Name>a</Name><QueueID>{queue}</QueueID><State>Active</State>"
    "<NotifyConfig><State>Off</State></NotifyConfig></Request>"
)
ON: Final = (
    "<State>On</State><Event>TaskFinish</Event><ResultFormat>XML</ResultFormat><Type>Url</Type><Url>http://a/b</Url>"
)
NOTIFIED: Final = QUEUE.replace("<State>Off</State>", ON)
DELETE: Final = "<Delete><Object><Key>a</Key></Object></Delete>"
COMPLETE: Final = (
    f'<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"{"0" * 32}"</ETag></Part>'
    "</CompleteMultipartUpload>"
)


def bent(valid: str, *changes: tuple[str, str]) -> str:
    """Return a valid body with parts of it replaced; each must be there exactly once."""
    for old, new in changes:
        assert valid.count(old) == 1, (valid.count(old), old)
        valid = valid.replace(old, new)
    return valid


def _job(*changes: tuple[str, str]) -> str:
    return bent(JOB, *changes)


def _bad_job(old: str, new: str, *words: str, code: str = "InvalidArgument", status: int = 400) -> Wrong:
    return Wrong("POST", f"{CI}/jobs", status, code, words, _job((old, new)))


def _bad_list(query: str, *words: str) -> Wrong:
    return Wrong("GET", f"{CI}/jobs?{query}", 400, "InvalidArgument", words)


def _bad_template(valid: str, old: str, new: str, *words: str) -> Wrong:
    return Wrong("POST", f"{CI}/template", 400, "InvalidArgument", words, bent(valid, (old, new)))


def _bad_queue(valid: str, old: str, new: str, *words: str) -> Wrong:
    return Wrong("PUT", f"{CI}/queue/{{queue}}", 400, "InvalidArgument", words, bent(valid, (old, new)))


NO_XML: Final[tuple[tuple[str | bytes, str, str], ...]] = (
    (b"", "MissingRequestBodyError", "the request has no body"),
    (b"{}", "MalformedXML", "not well-formed XML"),
    (b"<Request>", "MalformedXML", "not well-formed XML"),
    (b"<Request>\xff</Request>", "MalformedXML", "not well-formed XML"),
    (b"<Request>\0</Request>", "MalformedXML", "not well-formed XML"),
    (b"<Other/>", "MalformedXML", "the root element is `Other`, expected `"),
    (b"<request/>", "MalformedXML", "the root element is `request`"),
    (b"<Request xmlns='urn:x'/>", "MalformedXML", "the root element is `{urn:x}Request`"),
    (b"<!DOCTYPE Request><Request/>", "MalformedXML", "a document type is not allowed"),
    (b'<!DOCTYPE R [<!ENTITY x SYSTEM "file:///etc/passwd">]><Request>&x;</Request>', "MalformedXML", ""),
    (b"<Request>" + b"<a>" * 300 + b"</a>" * 300 + b"</Request>", "MalformedXML", "depth"),
    (b"<Request>" + b"<a/>" * 110_000 + b"</Request>", "MalformedXML", "more than 100000 tags"),
    (b"<Request>Hello</Request>", "InvalidArgument", "Request: there is text beside its elements"),
)
"""Bodies that no call takes."""

JOBS: Final = (
    _bad_job("<Tag>VideoSynthesis</Tag>", "<Tag>Concat</Tag>", "Request.Tag", "Concat", "VideoSynthesis"),
    _bad_job("<Tag>VideoSynthesis</Tag>", "", "Request.Tag", "is missing"),
    _bad_job("<Tag>VideoSynthesis</Tag>", "<Tag/>", "Request.Tag", "is missing"),
    _bad_job("<Tag>VideoSynthesis</Tag>", "<Tag>VideoSynthesis</Tag>" * 2, "Request.Tag: 2 are there"),
    _bad_job(OPERATION, "", "Request.Operation", "is missing"),
    _bad_job(OPERATION, "<Operation/>", "Request.Operation", "is missing"),
    _bad_job(f"<VideoSynthesis>{SOURCE}</VideoSynthesis>", "", "Operation[0].VideoSynthesis", "is missing"),
    _bad_job(SOURCE, "", "Operation[0].VideoSynthesis", "is missing"),
    _bad_job(SOURCE, "<KeepAudioTrack>true</KeepAudioTrack>", "VideoSynthesis.SpliceInfo", "is missing"),
    _bad_job(f"{SOURCE}", "<KeepAudioTrack>yes</KeepAudioTrack>" + SOURCE, "KeepAudioTrack", "true or false"),
    _bad_job(f"<Url>http://{COS}/in/a.mp4</Url>", "", "SpliceInfo[0].Url", "is missing"),
    _bad_job(f"<Url>http://{COS}/in/a.mp4</Url>", "<Url>a</Url><URL>b</URL>", "SpliceInfo[0].Url: 2 are there"),
    _bad_job(SOURCE, SOURCE + "<SpliceInfo><X>1</X></SpliceInfo>", "SpliceInfo[1].Url", "is missing"),
    _bad_job(SOURCE, SOURCE.replace("<Width>128</Width>", "<X>left</X>"), "SpliceInfo[0].X", "left", "whole number"),
    _bad_job(SOURCE, SOURCE.replace("<Width>128</Width>", "<Y>0.5</Y>"), "SpliceInfo[0].Y", "0.5", "whole number"),
    _bad_job(SOURCE, SOURCE.replace("<Width>128<", "<Width>0<"), "SpliceInfo[0].Width", "0"),
    _bad_job(SOURCE, SOURCE.replace("<Height>128<", "<Height>-2<"), "SpliceInfo[0].Height", "-2"),
    _bad_job(SOURCE, SOURCE.replace("<Width>128</Width>", "<Name>a b</Name>"), "SpliceInfo[0].Name", "a b"),
    _bad_job(SOURCE, SOURCE * 1001, "VideoSynthesis.SpliceInfo: 1001 are there, at most 1000"),
    _bad_job(TRANSCODE, "", "Operation.Transcode", "TranscodeTemplateId"),
    _bad_job(VIDEO, "", "Operation.Transcode.Video"),
    _bad_job("<Format>mp4</Format>", "<Format>gif</Format>", "Operation.Transcode.Container.Format", "gif"),
    _bad_job("<Format>mp4</Format>", "<Format>mp3</Format>", "Operation.Transcode.Container.Format", "mp3"),
    _bad_job("<Format>mp4</Format>", "<ClipConfig/>", "Operation", "Transcode"),
    _bad_job(VIDEO, VIDEO.replace("<Width>128</Width>", ""), "Operation.Transcode.Video.Width"),
    _bad_job(VIDEO, VIDEO.replace("<Height>128</Height>", ""), "Operation.Transcode.Video.Height"),
    _bad_job(VIDEO, VIDEO.replace("<Width>128<", "<Width>127<"), "Operation.Transcode.Video.Width", "127", "even"),
    _bad_job(VIDEO, VIDEO.replace("<Width>128<", "<Width>126<"), "Operation.Transcode.Video.Width", "126", "128"),
    _bad_job(VIDEO, VIDEO.replace("<Height>128<", "<Height>4098<"), "Operation.Transcode.Video.Height", "4096"),
    _bad_job(VIDEO, VIDEO.replace("H.264", "H.266"), "Operation.Transcode.Video.Codec", "H.266"),
    _bad_job(VIDEO, VIDEO.replace("H.264", "VP9"), "Operation.Transcode.Video.Codec", "VP9", "mp4"),
    *(
        _bad_job(VIDEO, VIDEO.replace("</Video>", f"<{node}>{value}</{node}></Video>"), f"Transcode.Video.{node}", word)
        for node, value, word in (
            *(("Fps", "0", "60"), ("Fps", "61", "60"), ("Fps", "fast", "is not a number"), ("Crf", "52", "51")),
            *(("Profile", "extended", "extended"), ("Bitrate", "9", "10"), ("Bitrate", "fast", "auto")),
            *(("Gop", "100001", "100000"), ("Preset", "slowest", "slowest"), ("Bufsize", "999", "1000")),
            *(("Maxrate", "50001", "50000"), ("Pixfmt", "rgb24", "rgb24"), ("Rotate", "360", "360")),
            *(("Roi", "much", "much"), ("Crop", "1:2:3", "1:2:3"), ("Remove", "yes", "true or false")),
            *(("Interlaced", "1", "true or false"), ("LongShortMode", "no", "true or false")),
        )
    ),
    *(
        _bad_job(VIDEO, f"{VIDEO}<Audio><{node}>{value}</{node}></Audio>", f"Transcode.Audio.{node}", word)
        for node, value, word in (
            *(("Codec", "ac3", "ac3"), ("Codec", "opus", "mp4"), ("Samplerate", "1", "1"), ("Bitrate", "7", "8")),
            *(("Channels", "3", "3"), ("Remove", "?", "true or false"), ("SampleFormat", "s64", "s64")),
        )
    ),
    _bad_job(VIDEO, f"{VIDEO}<TimeInterval><Start>-1</Start></TimeInterval>", "Transcode.TimeInterval.Start", "-1"),
    _bad_job(VIDEO, f"{VIDEO}<AudioMix><MixMode>Once</MixMode></AudioMix>", "AudioMix.AudioSource", "is missing"),
    _bad_job(
        VIDEO,
        VIDEO + "<AudioMixArray><AudioSource>a</AudioSource></AudioMixArray>" * 3,
        "Operation.Transcode.AudioMixArray",
        "2",
    ),
    _bad_job(VIDEO, f"{VIDEO}<TransConfig><AdjDarMethod>fit</AdjDarMethod></TransConfig>", "AdjDarMethod", "fit"),
    _bad_job(OUTPUT, "", "Operation[0].Output", "is missing"),
    _bad_job(f"<Region>{REGION}</Region>", "", "Operation.Output.Region"),
    _bad_job(f"<Region>{REGION}</Region>", "<Region>ap-beijing</Region>", "Operation.Output.Region", "ap-beijing"),
    _bad_job(f"<Bucket>{BUCKET}</Bucket>", "", "Operation.Output.Bucket"),
    _bad_job(f"<Bucket>{BUCKET}</Bucket>", "<Bucket>none-1</Bucket>", "Operation.Output.Bucket", "none-1"),
    _bad_job("<Object>out/x.mp4</Object>", "", "Operation[0].Output.Object", "is missing"),
    _bad_job("out/x.mp4", "/x.mp4", "Operation.Output.Object", "/x.mp4"),
    _bad_job("out/x.mp4", "../x.mp4", "Operation.Output.Object", "../x.mp4"),
    _bad_job("out/x.mp4", "out//x.mp4", "Operation.Output.Object", "empty segment", code="InvalidObjectName"),
    _bad_job("out/x.mp4", "a" * 851, "Operation.Output.Object", "850"),
    _bad_job("out/x.mp4", "a" * 256, "Operation.Output.Object", "255", code="KeyTooLong"),
    _bad_job("<JobLevel>0<", "<JobLevel>3<", "Operation.JobLevel", "3"),
    _bad_job("<JobLevel>0<", "<JobLevel>high<", "Operation[0].JobLevel", "high", "whole number"),
    _bad_job("<JobLevel>0</JobLevel>", f"<UserData>{'a' * 1025}</UserData>", "Operation.UserData", "1024"),
    _bad_job("<JobLevel>0</JobLevel>", "<UserData>演示</UserData>", "Operation.UserData", "ASCII"),
    _bad_job("<JobLevel>0</JobLevel>", MARK * 4, "Operation.Watermark", "3"),
    _bad_job("<JobLevel>0</JobLevel>", MARK.replace("TopLeft", "Above"), "Operation.Watermark[0].Pos", "Above"),
    _bad_job("<JobLevel>0</JobLevel>", MARK.replace(">20<", ">200<"), "Operation.Watermark[0].Text.FontSize", "200"),
    _bad_job(
        "<JobLevel>0</JobLevel>",
        "<WatermarkTemplateId>{mark}</WatermarkTemplateId>" * 4,
        "Operation.WatermarkTemplateId",
        "3",
    ),
    _bad_job(
        "<JobLevel>0</JobLevel>",
        f"<WatermarkTemplateId>{NO_TEMPLATE}</WatermarkTemplateId>",
        "Operation.WatermarkTemplateId[0]",
        NO_TEMPLATE,
        code="NoSuchTemplate",
        status=404,
    ),
    _bad_job(
        "<JobLevel>0</JobLevel>",
        "<WatermarkTemplateId>{canvas}</WatermarkTemplateId>",
        "Operation.WatermarkTemplateId[0]",
        "Watermark",
    ),
    _bad_job(
        TRANSCODE,
        f"<TranscodeTemplateId>{NO_TEMPLATE}</TranscodeTemplateId>",
        "Operation.TranscodeTemplateId",
        NO_TEMPLATE,
        code="NoSuchTemplate",
        status=404,
    ),
    _bad_job(
        TRANSCODE,
        "<TranscodeTemplateId>{mark}</TranscodeTemplateId>",
        "Operation.TranscodeTemplateId",
        "tag Watermark",
    ),
    _bad_job(
        TRANSCODE,
        "<TranscodeTemplateId>{bare}</TranscodeTemplateId>",
        "Operation.TranscodeTemplateId",
        "Video.Width or Video.Height",
        "mandatory for VideoSynthesis",
    ),
    _bad_job(
        "<JobLevel>0</JobLevel>",
        "<DigitalWatermark><Message>a b</Message><Type>Text</Type><Version>V1</Version>"
        "<IgnoreError>true</IgnoreError></DigitalWatermark>",
        "Operation.DigitalWatermark.Message",
        "a b",
    ),
    _bad_job(OPERATION, OPERATION + OPERATION.replace("H.264", "H.266"), "Operation[1].Transcode.Video.Codec", "H.266"),
    _bad_job(
        OPERATION,
        OPERATION + OPERATION.replace(BUCKET + "<", "none-1<"),
        "Operation[1].Output.Bucket",
        "none-1",
    ),
    *(
        _bad_job("</Request>", f"{nodes}</Request>", *words)
        for nodes, *words in (
            ("<CallBackFormat>YAML</CallBackFormat>", "Request.CallBackFormat", "YAML"),
            ("<CallBackType>Post</CallBackType>", "Request.CallBackType", "Post"),
            ("<CallBack>somewhere</CallBack>", "Request.CallBack", "somewhere"),
            ("<CallBack>ftp://a/b</CallBack>", "Request.CallBack", "ftp://a/b"),
            (TDMQ, "Request.CallBackMqConfig"),
            (
                f"{TDMQ}<CallBackMqConfig><MqName>a</MqName></CallBackMqConfig>",
                "Request.CallBackMqConfig.MqRegion",
            ),
            (
                f"{TDMQ}<CallBackMqConfig><MqRegion>us</MqRegion><MqName>a</MqName></CallBackMqConfig>",
                "Request.CallBackMqConfig.MqRegion",
                "us",
            ),
            (
                f"{TDMQ}<CallBackMqConfig><MqRegion>sh</MqRegion></CallBackMqConfig>",
                "Request.CallBackMqConfig.MqName",
            ),
            ("<CallBackType>Kafka</CallBackType>", "Request.CallBackKafkaConfig"),
        )
    ),
    _bad_job(
        "</Request>",
        f"<QueueId>{NO_QUEUE}</QueueId></Request>",
        "Request.QueueId",
        NO_QUEUE,
        code="NoSuchQueue",
        status=404,
    ),
    _bad_list("", "tag", "is missing"),
    _bad_list("tag=", "tag", "is missing"),
    *(
        _bad_list(f"tag=VideoSynthesis&{query}", *words)
        for query, *words in (
            ("size=0", "size", "0", "100"),
            ("size=101", "size", "101", "100"),
            ("size=-1", "size", "-1"),
            ("size=ten", "size", "ten"),
            ("size=%D9%A3", "size", "٣"),
            ("size=99999999999999999999", "size", "99999999999999999999"),
            ("states=Done", "states", "Done", "Success"),
            ("states=Success,success", "states", "success"),
            ("orderByTime=Up", "orderByTime", "Up", "Desc"),
            ("nextToken=abc", "nextToken", "abc"),
            ("nextToken=9223372036854775808", "nextToken", "9223372036854775808"),
            ("startCreationTime=yesterday", "startCreationTime", "yesterday", "2026-05-01T10:00:00+0800"),
            ("endCreationTime=2026-05-01", "endCreationTime", "2026-05-01"),
        )
    ),
    Wrong("PUT", f"{CI}/jobs/{NO_JOB}?cancel", 404, "NoSuchJob", (NO_JOB,)),
    Wrong("PUT", f"{CI}/jobs/nonsense?cancel=", 404, "NoSuchJob", ("nonsense",)),
    Wrong("PUT", f"{CI}/jobs/{{running}}?cancel", 409, "InvalidJobState", ("{running}", "Running")),
    Wrong("PUT", f"{CI}/jobs/{{cancelled}}?cancel", 409, "InvalidJobState", ("{cancelled}", "Cancel")),
    Wrong("PUT", f"{CI}/jobs/{{running}}", 405, "MethodNotAllowed", ("cancel",)),
    Wrong("PUT", f"{CI}/jobs", 405, "MethodNotAllowed", ("PUT", "/jobs")),
    Wrong("DELETE", f"{CI}/jobs", 405, "MethodNotAllowed", ("DELETE", "/jobs")),
    Wrong("DELETE", f"{CI}/jobs/{{running}}", 405, "MethodNotAllowed", ("DELETE",)),
    Wrong("POST", f"{CI}/jobs/{{running}}", 405, "MethodNotAllowed", ("POST",)),
    Wrong("PATCH", f"{CI}/jobs", 405, "MethodNotAllowed", ("PATCH",)),
    Wrong("OPTIONS", f"{CI}/jobs", 405, "MethodNotAllowed", ("OPTIONS",)),
    Wrong("POST", f"{CI}/jobs", 400, "XMLSizeLimit", ("1048576",), headers={"Content-Length": "1048577"}),
    Wrong("GET", f"{CI}/", 400, "InvalidURI", ("/",)),
    Wrong("GET", f"{CI}/nothing", 400, "InvalidURI", ("/nothing",)),
    Wrong("GET", f"{CI}/JOBS?tag=VideoSynthesis", 400, "InvalidURI", ("/JOBS",)),
    Wrong("GET", f"{CI}/%ff", 400, "InvalidURI", ("UTF-8",)),
    Wrong("GET", f"{CI}/jobs/,", 400, "InvalidURI", ("/jobs/,", "no job")),
    Wrong("PUT", f"no-appid.cos.{REGION}.myqcloud.com/a", 404, "NoSuchBucket", ("no-appid",)),
    Wrong("GET", f"none-1.ci.{REGION}.myqcloud.com/jobs?tag=a", 404, "NoSuchBucket", ("none-1",)),
    Wrong("GET", f"{BUCKET}.ci.ap-beijing.myqcloud.com/jobs?tag=a", 404, "NoSuchBucket", ("ap-beijing", REGION)),
)

QUEUES: Final = (
    _bad_queue(QUEUE, "<Name>a</Name>", "", "Request.Name", "is missing"),
    _bad_queue(QUEUE, "<Name>a</Name>", f"<Name>{'a' * 129}</Name>", "Request.Name", "128"),
    _bad_queue(QUEUE, "<State>Active</State>", "", "Request.State", "is missing"),
    _bad_queue(QUEUE, "<State>Active</State>", "<State>Stopped</State>", "Request.State", "Stopped", "Paused"),
    _bad_queue(QUEUE, "<QueueID>{queue}</QueueID>", f"<QueueID>{NO_QUEUE}</QueueID>", "Request.QueueID", NO_QUEUE),
    _bad_queue(QUEUE, "<NotifyConfig><State>Off</State></NotifyConfig>", "", "Request.NotifyConfig"),
    _bad_queue(QUEUE, "<State>Off</State>", "<State>Maybe</State>", "Request.NotifyConfig.State", "Maybe"),
    _bad_queue(NOTIFIED, "<Event>TaskFinish</Event>", "", "Request.NotifyConfig.Event"),
    _bad_queue(NOTIFIED, "<Event>TaskFinish</Event>", "<Event>Start</Event>", "Request.NotifyConfig.Event", "Start"),
    _bad_queue(NOTIFIED, "<Type>Url</Type>", "", "Request.NotifyConfig.Type"),
    _bad_queue(NOTIFIED, "<Type>Url</Type>", "<Type>Mail</Type>", "Request.NotifyConfig.Type", "Mail"),
    _bad_queue(NOTIFIED, "<Url>http://a/b</Url>", "", "Request.NotifyConfig.Url"),
    _bad_queue(NOTIFIED, "<Url>http://a/b</Url>", "<Url>a</Url>", "Request.NotifyConfig.Url", "a is not an address"),
    _bad_queue(NOTIFIED, ">XML<", ">YAML<", "Request.NotifyConfig.ResultFormat", "YAML"),
    _bad_queue(NOTIFIED, "<Type>Url<", "<Type>TDMQ<", "Request.NotifyConfig.MqRegion", "Request.NotifyConfig.MqName"),
    _bad_queue(NOTIFIED, "<Type>Url</Type>", "<MqMode>All</MqMode><Type>Url</Type>", "NotifyConfig.MqMode", "All"),
    Wrong("PUT", f"{CI}/queue/{NO_QUEUE}", 404, "NoSuchQueue", (NO_QUEUE,), bent(QUEUE, ("{queue}", NO_QUEUE))),
    Wrong("PUT", f"{CI}/queue", 405, "MethodNotAllowed", ("PUT", "/queue"), QUEUE),
    Wrong("POST", f"{CI}/queue", 405, "MethodNotAllowed", ("POST",), QUEUE),
    Wrong("DELETE", f"{CI}/queue/{{queue}}", 405, "MethodNotAllowed", ("DELETE",)),
    Wrong("GET", f"{CI}/queue/{{queue}}", 405, "MethodNotAllowed", ("GET",)),
    *(
        Wrong("GET", f"{CI}/queue?{query}", 400, "InvalidArgument", words)
        for query, words in (
            ("state=On", ("state", "On", "Active")),
            ("category=All", ("category", "All", "CateAll")),
            ("pageNumber=0", ("pageNumber", "0")),
            ("pageNumber=x", ("pageNumber", "x")),
            ("pageSize=0", ("pageSize", "0", "100")),
            ("pageSize=101", ("pageSize", "101", "100")),
        )
    ),
)

TEMPLATES: Final = (
    _bad_template(TEMPLATE, "<Tag>Transcode</Tag>", "", "Request.Tag", "is missing"),
    _bad_template(TEMPLATE, ">Transcode<", ">VideoSynthesis<", "Request.Tag", "VideoSynthesis"),
    _bad_template(TEMPLATE, ">Transcode<", ">Animation<", "Request.Tag", "Animation"),
    _bad_template(TEMPLATE, "<Name>a</Name>", "", "Request.Name", "is missing"),
    _bad_template(TEMPLATE, "<Name>a</Name>", "<Name>a b</Name>", "Request.Name", "a b"),
    _bad_template(TEMPLATE, "<Name>a</Name>", f"<Name>{'a' * 65}</Name>", "Request.Name", "64"),
    _bad_template(TEMPLATE, FORMAT, "", "Request.Container"),
    _bad_template(TEMPLATE, "<Format>mp4</Format>", "<Format>gif</Format>", "Request.Container.Format", "gif"),
    _bad_template(TEMPLATE, "<Width>128<", "<Width>129<", "Request.Video.Width", "129", "even"),
    _bad_template(TEMPLATE, VIDEO, f"{VIDEO}{MARK}", "Request.Watermark"),
    _bad_template(MARK_TEMPLATE, MARK, "", "Request.Watermark"),
    _bad_template(MARK_TEMPLATE, MARK, MARK * 2, "Request.Watermark: 2 are there, only one"),
    _bad_template(MARK_TEMPLATE, "<Type>Text<", "<Type>Sound<", "Request.Watermark.Type", "Sound"),
    _bad_template(MARK_TEMPLATE, MARK, FORMAT + MARK, "Request.Container"),
    Wrong("PUT", f"{CI}/template/{NO_TEMPLATE}", 404, "NoSuchTemplate", (NO_TEMPLATE,), TEMPLATE),
    Wrong("PUT", f"{CI}/template/{{mark}}", 400, "InvalidArgument", ("Request.Tag", "Watermark"), TEMPLATE),
    Wrong("DELETE", f"{CI}/template/{NO_TEMPLATE}", 404, "NoSuchTemplate", (NO_TEMPLATE,)),
    Wrong("DELETE", f"{CI}/template", 405, "MethodNotAllowed", ("DELETE",)),
    Wrong("POST", f"{CI}/template/{{mark}}", 405, "MethodNotAllowed", ("POST",), TEMPLATE),
    *(
        Wrong("GET", f"{CI}/template?{query}", 400, "InvalidArgument", words)
        for query, words in (
            ("category=Mine", ("category", "Mine", "Custom")),
            ("pageNumber=-1", ("pageNumber", "-1")),
            ("pageSize=1000", ("pageSize", "1000", "100")),
        )
    ),
    Wrong("PUT", f"{CI}/mediabucket", 405, "MethodNotAllowed", ("PUT",)),
    Wrong("GET", f"{CI}/mediabucket/a", 400, "InvalidURI", ("/mediabucket/a",)),
    Wrong("GET", f"{CI}/mediabucket?pageNumber=0", 400, "InvalidArgument", ("pageNumber", "0")),
)

_PUT: Final = f"{COS}/new"
OBJECTS: Final = (
    Wrong("GET", f"{COS}/none", 404, "NoSuchKey", ("none",)),
    Wrong("HEAD", f"{COS}/none", 404, ""),
    Wrong("GET", f"none-1.cos.{REGION}.myqcloud.com/a", 404, "NoSuchBucket", ("none-1",)),
    Wrong("HEAD", f"none-1.cos.{REGION}.myqcloud.com/", 404, ""),
    Wrong("GET", f"{COS}/in/a.mp4?versionId=1", 404, "NoSuchVersion", ("versionId",)),
    Wrong("GET", f"{COS}/in/a.mp4", 416, "InvalidRange", ("7 bytes",), headers={"Range": "bytes=7-"}),
    Wrong("GET", f"{COS}/in/a.mp4", 412, "PreconditionFailed", ("If-Match",), headers={"If-Match": '"0"'}),
    Wrong(
        "GET",
        f"{COS}/in/a.mp4",
        412,
        "PreconditionFailed",
        ("If-Unmodified-Since",),
        headers={"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
    ),
    Wrong("GET", f"{COS}/in/a.mp4?response-expires=a%0d%0ab", 400, "InvalidArgument", ("response-",)),
    Wrong("GET", f"{COS}/in/a.mp4?x-cos-traffic-limit=1", 400, "InvalidArgument", ("x-cos-traffic-limit",)),
    Wrong("GET", f"{COS}/in/a.mp4?acl", 501, "NotImplemented", ("acl",)),
    Wrong("PUT", f"{COS}/?cors", 501, "NotImplemented", ("cors",), "<a/>"),
    Wrong("PATCH", f"{COS}/in/a.mp4", 405, "MethodNotAllowed", ("PATCH",)),
    *(
        Wrong("GET", f"{COS}/?{query}", 400, "InvalidArgument", words)
        for query, words in (
            ("max-keys=0", ("max-keys", "1000")),
            ("max-keys=-1", ("max-keys", "-1")),
            ("max-keys=many", ("max-keys", "many")),
            ("encoding-type=gzip", ("encoding-type", "gzip")),
            ("uploads&max-uploads=0", ("max-uploads",)),
            ("uploads&encoding-type=gzip", ("encoding-type",)),
        )
    ),
    Wrong("PUT", f"{COS}/a//b", 400, "InvalidObjectName", ("segment",), "x"),
    Wrong("PUT", f"{COS}/a/../b", 400, "InvalidObjectName", ("segment",), "x"),
    Wrong("PUT", f"{COS}/a%2F..%2Fb", 400, "InvalidObjectName", ("segment",), "x"),
    Wrong("PUT", f"{COS}/a%00b", 400, "InvalidObjectName", ("XML",), "x"),
    Wrong("PUT", f"{COS}/.reconciler-x.partial", 400, "InvalidObjectName", ("own",), "x"),
    Wrong("PUT", f"{COS}/{'a' * 851}", 400, "KeyTooLong", ("850",), "x"),
    Wrong("PUT", f"{COS}/{'a' * 256}", 400, "KeyTooLong", ("255",), "x"),
    Wrong("PUT", f"{COS}/in/a.mp4/b", 409, "PathConflict", ("in/a.mp4/b",), "x"),
    Wrong("PUT", f"{COS}/in", 409, "PathConflict", ("in",), "x"),
    *(
        Wrong("PUT", _PUT, status, code, (name.lower(), *words), "hello", {name: value})
        for name, value, status, code, *words in (
            ("Content-MD5", EMPTY_MD5, 400, "BadDigest"),
            ("Content-MD5", "abc", 400, "InvalidDigest"),
            ("x-cos-storage-class", "FROZEN", 400, "NotSupportedStorageClass", "FROZEN", "STANDARD"),
            ("x-cos-acl", "mine", 400, "InvalidArgument", "mine", "private"),
            ("x-cos-traffic-limit", "1", 400, "InvalidArgument", "819200"),
            ("x-cos-tagging", "a", 400, "InvalidTag"),
            ("x-cos-tagging", "&".join(f"k{n}=v" for n in range(11)), 400, "InvalidTag", "10"),
            ("x-cos-forbid-overwrite", "maybe", 400, "InvalidArgument", "maybe"),
            ("x-cos-meta-a", "a" * 2049, 400, "InvalidArgument", "2048"),
            ("x-cos-meta-a_b", "a", 400, "InvalidArgument", "letters"),
            ("x-cos-server-side-encryption", "AES256", 400, "SSEHeaderNotAllowed"),
            ("x-cos-copy-source", "nonsense", 400, "InvalidCopySource"),
            ("x-cos-copy-source", f"{COS}/none", 404, "NoSuchCopySource", "none"),
            ("x-cos-copy-source", f"none-1.cos.{REGION}.myqcloud.com/a", 404, "NoSuchCopySource", "none-1"),
        )
    ),
    Wrong("PUT", _PUT, 400, "EntityTooLarge", ("5368709120",), headers={"Content-Length": "5368709121"}),
    Wrong("PUT", _PUT, 400, "IncompleteBody", ("2 of 5",), "xx", {"Content-Length": "5"}),
    Wrong("PUT", f"{COS}/in/a.mp4", 409, "FileAlreadyExists", ("in/a.mp4",), "x", {"x-cos-forbid-overwrite": "true"}),
    Wrong("PUT", f"{COS}/in/a.mp4", 400, "InvalidRequest", ("itself",), "", {"x-cos-copy-source": f"{COS}/in/a.mp4"}),
    Wrong(
        "PUT",
        _PUT,
        400,
        "InvalidArgument",
        ("x-cos-metadata-directive", "Merge"),
        "",
        {"x-cos-copy-source": f"{COS}/in/a.mp4", "x-cos-metadata-directive": "Merge"},
    ),
    Wrong(
        "PUT",
        _PUT,
        412,
        "PreconditionFailed",
        ("If-Match",),
        "",
        {"x-cos-copy-source": f"{COS}/in/a.mp4", "x-cos-copy-source-If-Match": '"0"'},
    ),
    Wrong("POST", f"{COS}/?delete", 400, "InvalidArgument", ("Delete.Object", "is missing"), "<Delete/>"),
    Wrong(
        "POST",
        f"{COS}/?delete",
        400,
        "InvalidArgument",
        ("Delete.Object", "is missing"),
        bent(DELETE, ("<Key>a</Key>", "")),
    ),
    Wrong(
        "POST",
        f"{COS}/?delete",
        400,
        "InvalidArgument",
        ("Delete.Object", "1001", "1000"),
        f"<Delete>{'<Object><Key>a</Key></Object>' * 1001}</Delete>",
    ),
    Wrong("POST", f"{COS}/?delete", 400, "BadDigest", ("Content-MD5",), DELETE, {"Content-MD5": EMPTY_MD5}),
    Wrong("POST", f"{COS}/?delete", 400, "XMLSizeLimit", (), headers={"Content-Length": "99999999"}),
    Wrong("POST", f"{COS}/a%2F?uploads", 400, "InvalidObjectName", ("segment",)),
    Wrong("PUT", f"{COS}/up?partNumber=1&uploadId=none", 404, "NoSuchUpload", ("none",), "x"),
    Wrong("PUT", f"{COS}/other?partNumber=1&uploadId={{upload}}", 404, "NoSuchUpload", ("{upload}",), "x"),
    Wrong("PUT", f"{COS}/up?partNumber=1", 400, "InvalidArgument", ("partNumber", "uploadId"), "x"),
    Wrong("PUT", f"{COS}/up?partNumber=0&uploadId={{upload}}", 400, "InvalidArgument", ("partNumber", "10000"), "x"),
    Wrong("PUT", f"{COS}/up?partNumber=10001&uploadId={{upload}}", 400, "InvalidArgument", ("partNumber",), "x"),
    Wrong("PUT", f"{COS}/up?partNumber=x&uploadId={{upload}}", 400, "InvalidArgument", ("partNumber", "x"), "x"),
    Wrong("PUT", f"{COS}/up?uploadId={{upload}}", 400, "InvalidArgument", ("partNumber",), "x"),
    Wrong(
        "PUT",
        f"{COS}/up?partNumber=2&uploadId={{upload}}",
        400,
        "BadDigest",
        ("Content-MD5",),
        "x",
        {"Content-MD5": EMPTY_MD5},
    ),
    Wrong("GET", f"{COS}/up?uploadId=none", 404, "NoSuchUpload", ("none",)),
    Wrong("GET", f"{COS}/up?uploadId=", 400, "ListPartUploadIdIsEmpty", ("uploadId",)),
    Wrong("GET", f"{COS}/up?uploadId={{upload}}&max-parts=0", 400, "InvalidArgument", ("max-parts",)),
    Wrong("GET", f"{COS}/up?uploadId={{upload}}&part-number-marker=x", 400, "InvalidArgument", ("part-number-marker",)),
    Wrong("DELETE", f"{COS}/up?uploadId=none", 404, "NoSuchUpload", ("none",)),
    Wrong("POST", f"{COS}/up?uploadId=none", 404, "NoSuchUpload", ("none",), COMPLETE),
    Wrong("POST", f"{COS}/up?uploadId={{upload}}", 400, "InvalidPart", ("part 1",), COMPLETE),
    Wrong("POST", f"{COS}/up?uploadId={{upload}}", 400, "InvalidPart", ("part 7",), bent(COMPLETE, (">1<", ">7<"))),
    Wrong(
        "POST",
        f"{COS}/up?uploadId={{upload}}",
        400,
        "InvalidPartOrder",
        ("ascending",),
        bent(COMPLETE, ("<Part>", '<Part><PartNumber>2</PartNumber><ETag>"0"</ETag></Part><Part>')),
    ),
    Wrong("POST", f"{COS}/up?uploadId={{upload}}", 400, "InvalidArgument", ("Part",), "<CompleteMultipartUpload/>"),
    Wrong("POST", f"{COS}/up", 501, "NotImplemented", ("POST",), "x"),
)

ALL: Final = (*JOBS, *QUEUES, *TEMPLATES, *OBJECTS)
