"""Keys become URLs of the bucket wherever the API reads an object."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.api.messages import JobRequest
from reconciler.wire import object_url, wire_request

HOST = "https://clips-1250000000.cos.ap-chongqing.myqcloud.com/"


def sent(operation: dict[str, Any]) -> dict[str, Any]:
    body = {
        "operation": [
            {"video_synthesis": {"splice_info": [{"url": "in/a.mp4"}]}, "output": {"object": "o"}, **operation}
        ]
    }
    plain = JobRequest.model_validate(body).plain()
    sent: dict[str, Any] = wire_request(plain, bucket="clips-1250000000", region="ap-chongqing").plain()["operation"][0]
    return sent


@pytest.mark.parametrize(
    ("key", "url"),
    [
        ("in/a.mp4", "in/a.mp4"),
        ("in/演示 (1).mp4", "in/%E6%BC%94%E7%A4%BA%20%281%29.mp4"),
        ("a+b%41?#.mp4", "a%2Bb%2541%3F%23.mp4"),
    ],
)
def test_a_key_as_a_url(key: str, url: str) -> None:
    assert object_url(key, "clips-1250000000", "ap-chongqing") == HOST + url


def test_every_object_the_api_reads_is_sent_as_a_url() -> None:
    operation = sent(
        {
            "transcode": {
                "audio_mix": {"audio_source": "m.mp3"},
                "audio_mix_array": [{"audio_source": "n.mp3"}, {"audio_source": "o.mp3"}],
            },
            "watermark": [
                {"type": "Image", "image": {"url": "logo.png"}},
                {"type": "Text", "text": {"text": "hi"}},
            ],
        }
    )
    assert operation["video_synthesis"]["splice_info"][0]["url"] == HOST + "in/a.mp4"
    assert operation["transcode"]["audio_mix"]["audio_source"] == HOST + "m.mp3"
    assert [mix["audio_source"] for mix in operation["transcode"]["audio_mix_array"]] == [
        HOST + "n.mp3",
        HOST + "o.mp3",
    ]
    assert operation["watermark"][0]["image"]["url"] == HOST + "logo.png"
    assert operation["watermark"][1] == {"type": "Text", "text": {"text": "hi"}}


def test_the_output_names_bucket_and_region() -> None:
    assert sent({})["output"] == {"region": "ap-chongqing", "bucket": "clips-1250000000", "object": "o"}
