"""Templates through the official Python SDK: created, found, replaced, used by jobs, deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from qcloud_cos import CosS3Client
from qcloud_cos.cos_exception import CosServiceError

from tests.conformance.space import Space, refusal, transcode

UNKNOWN = "t1" + "0" * 32


def canvas(space: Space, name: str = "canvas", **video: str) -> dict[str, Any]:
    return {"Tag": "Transcode", "Name": f"{space.name}-{name}", **transcode(**video), "Audio": {"Codec": "aac"}}


def stamp(space: Space, name: str = "stamp", text: str = "hello") -> dict[str, Any]:
    return {
        "Tag": "Watermark",
        "Name": f"{space.name}-{name}",
        "Watermark": {
            "Type": "Text",
            "Pos": "TopRight",
            "LocMode": "Absolute",
            "Dx": "8",
            "Dy": "8",
            "Text": {
                "Text": text,
                "FontSize": "20",
                "FontType": "simfang.ttf",
                "FontColor": "0xffffff",
                "Transparency": "60",
            },
        },
    }


def found(client: CosS3Client, space: Space, **asked: Any) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = client.ci_get_template(space.bucket, **asked).get("TemplateList", [])
    return listed


def test_a_transcode_template_lives(client: CosS3Client, space: Space) -> None:
    made = client.ci_create_template(space.bucket, canvas(space))
    assert made["RequestId"]
    template = made["Template"]
    assert template["TemplateId"].startswith("t1")
    assert len(template["TemplateId"]) == 34
    assert (template["Tag"], template["Name"]) == ("Transcode", f"{space.name}-canvas")
    assert (template["BucketId"], template["Category"]) == (space.bucket, "Custom")
    assert template["CreateTime"] == template["UpdateTime"]
    assert template["TransTpl"]["Container"] == {"Format": "mp4"}
    assert {"Codec": "H.264", "Width": "256", "Height": "128"}.items() <= template["TransTpl"]["Video"].items()
    assert template["TransTpl"]["Audio"]["Codec"] == "aac"

    (listed,) = found(client, space, Ids=template["TemplateId"])
    assert listed == template

    changed = client.ci_update_template(space.bucket, template["TemplateId"], canvas(space, "wide", Width="512"))
    after = changed["Template"]
    assert (after["TemplateId"], after["Name"]) == (template["TemplateId"], f"{space.name}-wide")
    assert after["CreateTime"] == template["CreateTime"]
    assert after["TransTpl"]["Video"]["Width"] == "512"
    assert found(client, space, Ids=template["TemplateId"]) == [after]

    gone = client.ci_delete_template(space.bucket, template["TemplateId"])
    assert gone["TemplateId"] == template["TemplateId"]
    assert gone["RequestId"]
    reply = client.ci_get_template(space.bucket, Ids=template["TemplateId"])
    assert "TemplateList" not in reply
    assert reply["NonExistTIDs"] == {"TemplateId": template["TemplateId"]}


def test_a_watermark_template_lives(client: CosS3Client, space: Space) -> None:
    template = client.ci_create_template(space.bucket, stamp(space))["Template"]
    assert template["Tag"] == "Watermark"
    assert (template["Watermark"]["Type"], template["Watermark"]["Text"]["Text"]) == ("Text", "hello")
    after = client.ci_update_template(space.bucket, template["TemplateId"], stamp(space, text="世界"))["Template"]
    assert after["Watermark"]["Text"]["Text"] == "世界"
    assert found(client, space, Ids=template["TemplateId"]) == [after]
    client.ci_delete_template(space.bucket, template["TemplateId"])


def test_templates_are_listed_by_name_category_and_page(client: CosS3Client, space: Space) -> None:
    made = {client.ci_create_template(space.bucket, canvas(space, f"n{n}"))["Template"]["TemplateId"] for n in range(3)}
    other = client.ci_create_template(space.bucket, stamp(space, "other"))["Template"]["TemplateId"]

    reply = client.ci_get_template(space.bucket, Name=f"{space.name}-n")
    assert {template["TemplateId"] for template in reply["TemplateList"]} == made
    assert (reply["TotalCount"], reply["PageNumber"], reply["PageSize"]) == ("3", "1", "10")
    both = found(client, space, Name=space.name)
    assert {template["TemplateId"] for template in both} == {*made, other}

    pages = [found(client, space, Name=space.name, PageNumber=number, PageSize=3) for number in (1, 2, 3)]
    assert [len(page) for page in pages] == [3, 1, 0]
    assert [template for page in pages for template in page] == both
    assert found(client, space, Category="Official", Name=space.name) == []

    reply = client.ci_get_template(space.bucket, Ids=f"{other},{UNKNOWN}")
    assert [template["TemplateId"] for template in reply["TemplateList"]] == [other]
    assert reply["NonExistTIDs"] == {"TemplateId": UNKNOWN}
    for template in (*made, other):
        client.ci_delete_template(space.bucket, template)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"Name": None}, "Name"),
        ({"Name": "no/slash"}, "Name"),
        ({"Name": "n" * 65}, "Name"),
        ({"Tag": "VideoSynthesis"}, "Tag"),
        ({"Container": None}, "Container"),
        ({"Container": {"Format": "exe"}}, "Container.Format"),
        ({"Video": {"Width": "127", "Height": "128"}}, "Video.Width"),
    ],
)
def test_a_template_that_cannot_be(client: CosS3Client, space: Space, change: dict[str, Any], says: str) -> None:
    asked = {name: node for name, node in {**canvas(space), **change}.items() if node is not None}
    with pytest.raises(CosServiceError) as refused:
        client.ci_create_template(space.bucket, asked)
    assert refusal(refused) == (400, "InvalidArgument")
    if space.target.local:
        assert says in refused.value.get_error_msg()


def test_templates_that_are_not_there(client: CosS3Client, space: Space) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: client.ci_update_template(space.bucket, UNKNOWN, canvas(space)),
        lambda: client.ci_delete_template(space.bucket, UNKNOWN),
    ]
    for call in calls:
        with pytest.raises(CosServiceError) as refused:
            call()
        assert refusal(refused) == (404, "NoSuchTemplate")


def test_what_a_template_is_for_never_changes(client: CosS3Client, space: Space) -> None:
    template = client.ci_create_template(space.bucket, canvas(space))["Template"]["TemplateId"]
    with pytest.raises(CosServiceError) as refused:
        client.ci_update_template(space.bucket, template, stamp(space))
    assert refusal(refused) == (400, "InvalidArgument")
    client.ci_delete_template(space.bucket, template)


def test_a_job_takes_a_template_with_a_canvas_only(client: CosS3Client, space: Space) -> None:
    bare = {
        "Tag": "Transcode",
        "Name": f"{space.name}-bare",
        "Container": {"Format": "mp4"},
        "Video": {"Codec": "H.264"},
    }
    template = client.ci_create_template(space.bucket, bare)["Template"]["TemplateId"]
    for wrong in (template, UNKNOWN):
        with pytest.raises(CosServiceError) as refused:
            space.submit(client, space.operation("a.mp4", Transcode=None, TranscodeTemplateId=wrong))
        status, code = refusal(refused)
        assert (status, code) in ((400, "InvalidArgument"), (404, "NoSuchTemplate"))
        if space.target.local:
            assert "TranscodeTemplateId" in refused.value.get_error_msg()
    client.ci_delete_template(space.bucket, template)
