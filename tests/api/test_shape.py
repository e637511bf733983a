"""What a message consists of is derived from its model."""

from __future__ import annotations

import pytest

from reconciler.api.messages import Job, JobsReply, Operation
from reconciler.api.shape import UNSENDABLE, Child, children, tag_path
from reconciler.api.transcode import Transcode


def test_children_of_a_node() -> None:
    assert children(JobsReply) == (
        Child("jobs_detail", "JobsDetail", Job, True),
        Child("non_exist_job_ids", "NonExistJobIds", None, True),
        Child("next_token", "NextToken", None, False),
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("video", "width"), "Video.Width"),
        (("audio_mix_array", 1, "effect_config", "bgm_fade_time"), "AudioMixArray[1].EffectConfig.BgmFadeTime"),
        (("trans_config", "aigc_metadata", "produce_id"), "TransConfig.AIGCMetadata.ProduceID"),
        (("video", "bitrate", "function-before"), "Video.Bitrate"),
        ((), ""),
    ],
)
def test_tag_path(path: tuple[str | int, ...], expected: str) -> None:
    assert tag_path(Transcode, path) == expected


def test_tag_path_goes_through_arrays() -> None:
    assert tag_path(Operation, ("watermark", 2, "text", "text")) == "Watermark[2].Text.Text"


def test_unsendable_is_what_the_standard_says() -> None:
    allowed = {0x9, 0xA, 0xD, 0x20, 0xD7FF, 0xE000, 0xFFFD, 0x10000, 0x10FFFF}
    refused = {0x0, 0x8, 0xB, 0xC, 0xE, 0x1F, 0xD800, 0xDFFF, 0xFFFE, 0xFFFF}
    assert {point for point in allowed | refused if UNSENDABLE.search(chr(point))} == refused
