"""What belongs to a fingerprint, and what does not."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.api.messages import JobRequest
from reconciler.fingerprint import content, fingerprint
from reconciler.state import request_keys
from tests.factory import operation, output


def request(change: Any = None) -> dict[str, Any]:
    body: dict[str, Any] = {"operation": [operation("in/a.mp4", "in/b.mp4", codec="H.264", fps=25)]}
    if change:
        change(body, body["operation"][0])
    return JobRequest.model_validate(body).plain()


INPUTS = {"in/a.mp4": "ea", "in/b.mp4": "eb"}
NO_PIXELS = {
    "user data": lambda body, op: op.update(user_data="hello"),
    "priority": lambda body, op: op.update(job_level=2),
    "callback": lambda body, op: body.update(call_back="http://example.com/", call_back_format="JSON"),
    "queue": lambda body, op: body.update(queue_id="p1"),
    "key of the result": lambda body, op: op["output"].update(object="out/z.mp4"),
    "stream name": lambda body, op: op["video_synthesis"]["splice_info"][0].update(name="left"),
    "written-out default x": lambda body, op: op["video_synthesis"]["splice_info"][0].update(x=0, y=0),
    "written-out default sound": lambda body, op: op["video_synthesis"].update(keep_audio_track=False),
    "spelling of a codec": lambda body, op: op["transcode"]["video"].update(codec="h.264"),
    "a decimal point": lambda body, op: op["transcode"]["video"].update(fps="25.0"),
}
PIXELS = {
    "x": lambda body, op: op["video_synthesis"]["splice_info"][0].update(x=2),
    "order": lambda body, op: op["video_synthesis"]["splice_info"].reverse(),
    "sound": lambda body, op: op["video_synthesis"].update(keep_audio_track=True),
    "codec": lambda body, op: op["transcode"]["video"].update(codec="H.265"),
    "frame rate": lambda body, op: op["transcode"]["video"].update(fps=30),
    "cut": lambda body, op: op["transcode"].update(time_interval={"start": 1}),
    "watermark": lambda body, op: op.update(watermark=[{"type": "Text", "text": {"text": "a"}}]),
    "template": lambda body, op: op.update(transcode_template_id="t1"),
}


@pytest.mark.parametrize("change", NO_PIXELS.values(), ids=NO_PIXELS.keys())
def test_what_does_not_touch_the_pixels_keeps_the_fingerprint(change: Any) -> None:
    assert fingerprint(request(change), INPUTS) == fingerprint(request(), INPUTS)


@pytest.mark.parametrize("change", PIXELS.values(), ids=PIXELS.keys())
def test_what_touches_the_pixels_changes_the_fingerprint(change: Any) -> None:
    assert fingerprint(request(change), INPUTS) != fingerprint(request(), INPUTS)


def test_an_input_changes_the_fingerprint() -> None:
    assert fingerprint(request(), {**INPUTS, "in/a.mp4": "other"}) != fingerprint(request(), INPUTS)


def test_the_fingerprint_of_today_is_the_fingerprint_of_tomorrow() -> None:
    """Changing this value makes every plan compare every record part by part: raise FINGERPRINT_VERSION and say why."""
    assert fingerprint(request(), INPUTS) == "2:375a0c074657de643edf570d8bc986fdce333c1f"


@given(st.permutations(sorted(INPUTS.items())))
def test_order_of_keys_is_no_change(items: list[tuple[str, str]]) -> None:
    assert fingerprint(dict(reversed(request().items())), dict(items)) == fingerprint(request(), INPUTS)


def test_content_leaves_its_argument_alone() -> None:
    before = request(PIXELS["cut"])
    kept = copy.deepcopy(before)
    content(before)
    assert before == kept


def test_a_request_survives_being_recorded() -> None:
    made = output("a", "in/a.mp4", video={"fps": 29.97})
    assert JobRequest.model_validate(request_keys(made)) == made.request


MEANS_THE_SAME = {
    "the default codec": lambda body, op: op["transcode"]["video"].pop("codec"),
    "switches that are off": lambda body, op: op["transcode"]["video"].update(
        remove=False, roi="none", interlaced=False
    ),
    "the default profile": lambda body, op: op["transcode"]["video"].update(profile="high", preset="medium"),
    "the default quality": lambda body, op: op["transcode"]["video"].update(crf=25),
    "the default cut": lambda body, op: op["transcode"].update(time_interval={"start": 0}),
    "switches of the stage": lambda body, op: op["transcode"].update(trans_config={"adj_dar_method": "none"}),
}


@pytest.mark.parametrize("change", MEANS_THE_SAME.values(), ids=MEANS_THE_SAME.keys())
def test_a_default_that_is_written_out_keeps_the_fingerprint(change: Any) -> None:
    assert fingerprint(request(change), INPUTS) == fingerprint(request(), INPUTS)


def test_a_bitrate_beside_a_quality_does_not_act() -> None:
    def encoded(**video: Any) -> str:
        return fingerprint(request(lambda body, op: op["transcode"]["video"].update(video)), INPUTS)

    assert encoded(crf=20, bitrate=900) == encoded(crf=20)
    assert encoded(crf=25, bitrate=900) == encoded()
    assert encoded(bitrate=900) != encoded()
    assert encoded(crf=20) != encoded()


def test_removing_the_sound_node_changes_the_fingerprint() -> None:
    with_sound = request(lambda body, op: op["transcode"].update(audio={"codec": "aac"}))
    assert fingerprint(with_sound, INPUTS) != fingerprint(request(), INPUTS)
