"""Rules of operations and requests: what a person wrote and what that person is told."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.api import rules, shape, xml
from reconciler.api.messages import JobRequest, Operation
from reconciler.api.rules import (
    check_object,
    check_received,
    check_request,
    expand_object,
    wire_message,
)
from tests.api.cases import (
    DIGITAL,
    EMPTY,
    GOOD,
    TEXT_MARK,
    Keys,
    changed,
    check,
    told,
)


def test_a_good_operation_has_nothing_to_say() -> None:
    assert check({}) == ()


# Operation: what must be there, precedence, limits.

OPERATION_ERRORS: list[tuple[dict[str, object], list[str]]] = [
    (
        {"transcode": None},
        [
            (
                "transcode: `transcode` is missing: encoding parameters come from it or from `transcode_template_id` "
                "[write transcode: {container: …, video: …}]"
            )
        ],
    ),
    (
        {"transcode.container": None},
        ["transcode.container: `container` is missing: there is no default format [write container: {format: mp4}]"],
    ),
    ({"transcode.video": None}, ["transcode.video: `video` is missing: its width and height are the canvas"]),
    (
        {"transcode.video.width": None},
        [
            "transcode.video.width: `width` is missing: a composition needs the size of its canvas [write width: 720, say]"
        ],
    ),
    (
        {"transcode.video.height": None},
        [
            (
                "transcode.video.height: `height` is missing: a composition needs the size of its canvas "
                "[write height: 720, say]"
            )
        ],
    ),
    (
        {"transcode.video.remove": True},
        ["transcode.video.remove: true drops the composed picture [leave it out]"],
    ),
    (
        {"video_synthesis.splice_info": []},
        ["video_synthesis.splice_info: `splice_info` is empty: there is nothing to compose [write a url at least]"],
    ),
    (
        {"watermark_template_id": ["t1", "t2", "t3", "t4", "t5"]},
        [
            "watermark_template_id.3: 5 are too many; `watermark_template_id` takes 3",
            "watermark_template_id.4: 5 are too many; `watermark_template_id` takes 3",
        ],
    ),
    ({"watermark": [TEXT_MARK] * 4}, ["watermark.3: 4 are too many; `watermark` takes 3"]),
    ({"job_level": 3}, ["job_level: 3 is out of range; `job_level` must be 0 to 2"]),
    ({"job_level": -1}, ["job_level: -1 is out of range; `job_level` must be 0 to 2"]),
    ({"user_data": "x" * 1025}, ["user_data: 1025 characters are too many; `user_data` takes 1024"]),
    (
        {"user_data": "order 演示"},
        [
            (
                "user_data: '演' at position 7 is not printable ASCII; `user_data` takes only that "
                "[write A-Z, a-z, digits and signs, no line break]"
            )
        ],
    ),
    (
        {"user_data": "a\nb"},
        [
            (
                "user_data: '\\n' at position 2 is not printable ASCII; `user_data` takes only that "
                "[write A-Z, a-z, digits and signs, no line break]"
            )
        ],
    ),
    (
        {"output.object": "/out.mp4"},
        ["output.object: /out.mp4 starts with /; a key does not [write out.mp4]"],
    ),
    ({"output.object": "é" * 426}, [f"output.object: {'é' * 59}… has 852 bytes; a key takes 850"]),
]


@pytest.mark.parametrize(("changes", "expected"), OPERATION_ERRORS)
def test_operation_errors(changes: dict[str, object], expected: list[str]) -> None:
    assert told(check(changes)) == expected
    assert {v.severity for v in check(changes)} == {"error"}


@pytest.mark.parametrize(
    "changes",
    [
        {"transcode": None, "transcode_template_id": "t1"},
        {"job_level": 0},
        {"job_level": 2},
        {"user_data": "x" * 1024},
        {"user_data": " ~"},
        {"watermark": [TEXT_MARK] * 3},
        {"watermark_template_id": ["t1", "t2", "t3"]},
        {"output.object": "é" * 425},
        {"digital_watermark": DIGITAL},
        {"video_synthesis.keep_audio_track": False},
        {"video_synthesis.keep_audio_track": False, "transcode.audio": None},
    ],
)
def test_operations_that_are_fine(changes: dict[str, object]) -> None:
    assert told(check(changes)) == []


# What is allowed and surely not meant.

WARNINGS: list[tuple[dict[str, object], list[str]]] = [
    (
        {"transcode_template_id": "t1"},
        ["transcode: `transcode` is ignored because `transcode_template_id` is given [leave one of the two out]"],
    ),
    (
        {"watermark_template_id": ["t1"], "watermark": [TEXT_MARK]},
        ["watermark: `watermark` is ignored because `watermark_template_id` is given [leave one of the two out]"],
    ),
    (
        {"transcode.audio_mix": {"audio_source": "m.mp3"}, "transcode.audio_mix_array": [{"audio_source": "n.mp3"}]},
        ["transcode.audio_mix_array: `audio_mix_array` is ignored because `audio_mix` is given [keep one]"],
    ),
    (
        {"transcode.audio.remove": True, "transcode.audio_mix": {"audio_source": "m.mp3"}},
        [
            "transcode.audio_mix: `audio_mix` is not heard because `audio.remove` is true [leave remove out]",
            (
                "video_synthesis.keep_audio_track: true has no effect: `transcode.audio.remove` is true, so the output has "
                "no sound [leave remove out]"
            ),
        ],
    ),
    (
        {
            "video_synthesis.keep_audio_track": None,
            "transcode.audio": None,
            "transcode.audio_mix_array": [{"audio_source": "m.mp3"}],
        },
        [
            (
                "transcode.audio_mix_array: `audio_mix_array` is not heard because `audio` is missing "
                "[write audio: {codec: aac}]"
            )
        ],
    ),
    (
        {"transcode.audio": None},
        [
            (
                "video_synthesis.keep_audio_track: true has no effect: without `transcode.audio` the output has no sound "
                "[write transcode: {audio: {codec: aac}}]"
            )
        ],
    ),
    (
        {"transcode.video.bitrate": 1500, "transcode.video.crf": 23},
        ["transcode.video.bitrate: 1500 is ignored because `crf` is set [leave one of the two out]"],
    ),
    (
        {"transcode.container.clip_config": {"duration": 5}},
        [
            (
                "transcode.container.clip_config: `clip_config` has no effect in mp4: only hls and dash have segments "
                "[leave it out]"
            )
        ],
    ),
    (
        {"transcode.time_interval": {"start": 1.2345}},
        ["transcode.time_interval.start: 1.2345 is finer than a millisecond; `start` is rounded"],
    ),
    (
        {"transcode.time_interval": {"duration": 0}},
        ["transcode.time_interval.duration: 0 keeps nothing of the video [leave it out to keep everything]"],
    ),
    (
        {"transcode.video.profile": "main", "transcode.video.pixfmt": "auto"},
        ["transcode.video.profile: main is changed to auto because `pixfmt` is auto [write auto]"],
    ),
    (
        {"transcode.video.crop": "1280:800:0:0"},
        ["transcode.video.crop: 1280:800:0:0 reaches beyond the canvas of 1280×720"],
    ),
    (
        {"transcode.video.hls_ts_time": 5},
        [
            (
                "transcode.video.hls_ts_time: `hls_ts_time` is superseded "
                "[write container: {clip_config: {duration: …}} instead]"
            )
        ],
    ),
    (
        {"transcode.video.codec": "H.265", "transcode.audio.keep_two_tracks": True},
        [
            "transcode.audio.keep_two_tracks: true: `keep_two_tracks` has no effect with H.265 [leave it out]",
        ],
    ),
    (
        {"transcode.trans_config": {"adj_dar_method": "rescale"}},
        ["transcode.trans_config.adj_dar_method: rescale is an old name [write scale]"],
    ),
    (
        {"transcode.trans_config": {"hls_encrypt": {"is_hls_encrypt": True}}},
        [
            (
                "transcode.trans_config.hls_encrypt.is_hls_encrypt: true has no effect in mp4: only hls is encrypted "
                "[leave it out]"
            )
        ],
    ),
    (
        {"transcode.trans_config": {"dash_encrypt": {"is_encrypt": True}}},
        [
            (
                "transcode.trans_config.dash_encrypt.is_encrypt: true has no effect in mp4: only dash is encrypted "
                "[leave it out]"
            )
        ],
    ),
    (
        {"output.object": "out/a.mkv"},
        ["output.object: out/a.mkv ends in .mkv, but the container is mp4 [write ${ext} as the suffix]"],
    ),
    (
        {"output.object": "${name}.${ext}"},
        ["output.object: ${name} is not replaced; only ${ext} and ${jobid} are"],
    ),
    (
        {"user_data": " "},
        ["user_data: `user_data` is empty, which the API reads as absent [write a value, or leave it out]"],
    ),
    (
        {"digital_watermark": {**DIGITAL, "state": "Success"}},
        ["digital_watermark.state: `state` belongs to replies only [leave it out]"],
    ),
]


@pytest.mark.parametrize(("changes", "expected"), WARNINGS)
def test_warnings(changes: dict[str, object], expected: list[str]) -> None:
    assert told(check(changes)) == expected
    assert {v.severity for v in check(changes)} == {"warning"}


def test_an_ignored_node_is_not_checked() -> None:
    assert told(check({"transcode_template_id": "t1", "transcode.video.width": 1281}), "error") == []
    assert told(check({"watermark_template_id": ["t1"], "watermark": [{"type": "?"}]}), "error") == []


# Empty nodes and texts.


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"transcode": {}}, [f"transcode: `transcode` {EMPTY}"]),
        ({"transcode.video": {}}, [f"transcode.video: `video` {EMPTY}"]),
        ({"transcode.audio": {}}, [f"transcode.audio: `audio` {EMPTY}"]),
        (
            {"transcode.audio_mix": {"audio_source": "m", "effect_config": {}}},
            [f"transcode.audio_mix.effect_config: `effect_config` {EMPTY}"],
        ),
        (
            {"watermark_template_id": ["t1", ""]},
            [
                (
                    "watermark_template_id.1: `watermark_template_id` is empty, which the API reads as absent "
                    "[write a value, or leave it out]"
                )
            ],
        ),
        (
            {"output.object": "out/\x07.mp4"},
            ["output.object: `object` holds the character U+0007, which XML cannot carry [leave it out]"],
        ),
        (
            {"output.object": ""},
            ["output.object: `object` is empty, which the API reads as absent [write a value, or leave it out]"],
        ),
    ],
)
def test_empty_is_absent_and_therefore_an_error(changes: dict[str, object], expected: list[str]) -> None:
    assert told(check(changes), "error") == expected


# The request around the operations.

MQ: Keys = {"mq_region": "sh", "mq_mode": "Topic", "mq_name": "jobs"}
KAFKA: Keys = {"region": "ap-beijing", "instance_id": "k-1", "topic": "jobs"}
REQUESTS: list[tuple[Keys, list[str]]] = [
    ({"tag": "Transcode"}, ["tag: Transcode is unknown; `tag` must be VideoSynthesis"]),
    ({"operation": []}, ["operation: `operation` is missing: there is nothing to do"]),
    (
        {"call_back_format": "json"},
        ["call_back_format: json is unknown; `call_back_format` must be XML or JSON [write JSON]"],
    ),
    ({"call_back_type": "URL", "call_back_format": "XML"}, []),
    (
        {"call_back_type": "Mail"},
        ["call_back_type: Mail is unknown; `call_back_type` must be Url, TDMQ or Kafka"],
    ),
    ({"call_back": "no"}, []),
    ({"call_back": "https://hooks.example.com:8443/ci?a=b"}, []),
    (
        {"call_back": "hooks.example.com"},
        ["call_back: hooks.example.com is not an address [write http://… or https://…, or no for no callback at all]"],
    ),
    (
        {"call_back_type": "tdmq"},
        ["call_back_mq_config: `call_back_mq_config` is missing: `call_back_type` is TDMQ"],
    ),
    ({"call_back_type": "TDMQ", "call_back_mq_config": MQ}, []),
    (
        {"call_back_mq_config": MQ},
        [
            (
                "call_back_mq_config: `call_back_mq_config` has no effect: `call_back_type` is not TDMQ "
                "[write call_back_type: TDMQ]"
            )
        ],
    ),
    (
        {"call_back_type": "TDMQ", "call_back_mq_config": {"mq_region": "xx", "mq_mode": "topic"}},
        [
            "call_back_mq_config.mq_region: xx is unknown; `mq_region` must be sh, bj, gz, cd or hk",
            "call_back_mq_config.mq_mode: topic is unknown; `mq_mode` must be Queue or Topic [write Topic]",
            "call_back_mq_config.mq_name: `mq_name` is missing: it names the queue or topic",
        ],
    ),
    (
        {"call_back_type": "TDMQ", "call_back_mq_config": {"mq_name": "jobs"}},
        ["call_back_mq_config.mq_region: `mq_region` is missing: it says where the queue is"],
    ),
    ({"call_back_type": "Kafka", "call_back_kafka_config": KAFKA}, []),
    (
        {"call_back_type": "Kafka"},
        ["call_back_kafka_config: `call_back_kafka_config` is missing: `call_back_type` is Kafka"],
    ),
    (
        {"call_back_type": "Kafka", "call_back_kafka_config": {"region": "ap-beijing", "topic": "jobs"}},
        ["call_back_kafka_config.instance_id: `instance_id` is missing: the topic needs it"],
    ),
    (
        {"call_back_kafka_config": KAFKA},
        [
            (
                "call_back_kafka_config: `call_back_kafka_config` has no effect: `call_back_type` is not Kafka "
                "[write call_back_type: Kafka]"
            )
        ],
    ),
    (
        {"operation": [GOOD, changed(GOOD, "transcode.video.width", 1281)]},
        ["operation.1.transcode.video.width: 1281 is odd; `width` must be even [write 1280 or 1282]"],
    ),
    (
        {"call_back_mq_config": {}},
        [f"call_back_mq_config: `call_back_mq_config` {EMPTY}"],
    ),
]


@pytest.mark.parametrize(("changes", "expected"), REQUESTS)
def test_request(changes: Keys, expected: list[str]) -> None:
    request = JobRequest.model_validate({"operation": [GOOD], **changes}, extra="forbid")
    assert told(check_request(request)) == expected


def test_a_received_request_says_where_the_result_goes() -> None:
    request = JobRequest.model_validate({"operation": [GOOD]})
    assert told(check_received(request)) == [
        "operation.0.output.region: `region` is missing: it says where the result is stored",
        "operation.0.output.bucket: `bucket` is missing: it says where the result is stored",
    ]
    place = changed(changed(GOOD, "output.region", "ap-chongqing"), "output.bucket", "b-1")
    assert check_received(JobRequest.model_validate({"operation": [place]})) == ()


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (
            "transcode.video.width",
            1281,
            "Request.Operation[0].Transcode.Video.Width: 1281 is odd; Width must be even",
        ),
        (
            "transcode",
            None,
            (
                "Request.Operation[0].Transcode: Transcode is missing: encoding parameters come from it or from "
                "TranscodeTemplateId"
            ),
        ),
        (
            "video_synthesis.splice_info.1.name",
            "a b",
            (
                "Request.Operation[0].VideoSynthesis.SpliceInfo[1].Name: a b holds ' '; Name takes Chinese, English "
                "letters, digits, _ - *"
            ),
        ),
    ],
)
def test_the_service_speaks_the_apis_words(path: str, value: object, expected: str) -> None:
    request = JobRequest.model_validate({"operation": [changed(GOOD, path, value)]})
    assert [wire_message(v, JobRequest, "Request") for v in check_request(request)] == [expected]


# The key of a result.


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("out/${jobid}.${ext}", "out/j1.m3u8"),
        ("${ext}/${ext}", "m3u8/m3u8"),
        ("${name}.mp4", "${name}.mp4"),
        ("$ext {ext} ${}", "$ext {ext} ${}"),
    ],
)
def test_expand_object(pattern: str, expected: str) -> None:
    assert expand_object(pattern, ext="m3u8", job_id="j1") == expected
    assert expand_object(pattern) == pattern


def test_expand_object_with_half_of_the_values() -> None:
    assert expand_object("${jobid}.${ext}", ext="mp4") == "${jobid}.mp4"
    assert expand_object("${jobid}.${ext}", job_id="j1") == "j1.${ext}"


def test_check_object_without_a_container() -> None:
    assert check_object("out/a.mkv") == ()
    assert told(check_object("")) == [": the key is empty"]
    assert told(check_object("//")) == [": // starts with /; a key does not [write a name]"]


@pytest.mark.parametrize(("container", "key"), [("hls", "a.m3u8"), ("dash", "a.mpd"), ("mp4", "a"), ("mp4", "a.MP4")])
def test_a_suffix_that_fits(container: str, key: str) -> None:
    assert check_object(key, container) == ()


@given(
    width=st.integers(-10, 5000),
    fps=st.decimals(-5, 100, places=2),
    level=st.integers(-5, 5),
    name=st.text(max_size=70),
    crop=st.text("0123456789:", max_size=12),
)
def test_whatever_is_checked_every_violation_points_at_a_node(
    width: int, fps: Decimal, level: int, name: str, crop: str
) -> None:
    video = {"width": width, "height": 720, "fps": fps, "crop": crop}
    keys = {
        **changed(GOOD, "transcode.video", video),
        "video_synthesis": {"splice_info": [{"url": "a", "name": name, "width": width}]},
        "job_level": level,
    }
    operation = Operation.model_validate(keys)
    for violation in rules.check_operation(operation):
        assert violation.path
        assert violation.message
        tags = shape.tag_path(Operation, violation.path)
        assert tags.replace("[", ".").replace("]", "").count(".") == len(violation.path) - 1


@pytest.mark.parametrize(("changes", "expected"), [case for case in REQUESTS if "operation" not in case[0]])
def test_what_was_received_obeys_the_same_rules_but_for_what_xml_cannot_hold(
    changes: Keys, expected: list[str]
) -> None:
    place = changed(changed(GOOD, "output.region", "ap-chongqing"), "output.bucket", "b-1")
    sent = xml.write(JobRequest.model_validate({"operation": [place], **changes}, extra="forbid"), "Request")
    found = told(check_received(xml.read(JobRequest, sent, "Request")))
    assert found == [line for line in expected if "reads as absent" not in line]
