"""Templates on the wire, reference/jobs-queues-templates.md §6 to §9."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reconciler.api import xml
from reconciler.api.node import Node
from reconciler.api.templates import (
    NonExistTIDs,
    Template,
    TemplateDeleted,
    TemplateReply,
    TemplateRequest,
    TemplatesReply,
)
from reconciler.api.transcode import Transcode
from reconciler.api.watermark import Watermark

ID = "t13cb8f6f3a3bb4a52a3a8c2d0a1b2c3d4"
TIME = "2026-05-01T09:00:00+0800"
CONTENT = (
    "<Container><Format>mp4</Format></Container><Video><Codec>H.264</Codec></Video>"
    "<TimeInterval><Start>1</Start></TimeInterval><Audio><Codec>aac</Codec></Audio>"
    "<TransConfig><AdjDarMethod>none</AdjDarMethod></TransConfig><AudioMix><AudioSource>a</AudioSource></AudioMix>"
    "<AudioMixArray><AudioSource>b</AudioSource></AudioMixArray><AudioMixArray><AudioSource>c</AudioSource></AudioMixArray>"
)
CONTENT_KEYS: dict[str, Any] = {
    "container": {"format": "mp4"},
    "video": {"codec": "H.264"},
    "time_interval": {"start": 1},
    "audio": {"codec": "aac"},
    "trans_config": {"adj_dar_method": "none"},
    "audio_mix": {"audio_source": "a"},
    "audio_mix_array": [{"audio_source": "b"}, {"audio_source": "c"}],
}
SMALL = f"<Tag>Watermark</Tag><Name>n</Name><TemplateId>{ID}</TemplateId><Watermark><Type>Text</Type></Watermark>"
SMALL_KEYS: dict[str, Any] = {"tag": "Watermark", "name": "n", "template_id": ID, "watermark": {"type": "Text"}}

CASES: dict[type[Node], tuple[str, dict[str, Any]]] = {
    TemplateRequest: (
        f"<Tag>Transcode</Tag><Name>canvas-720</Name>{CONTENT}<Watermark><Type>Text</Type></Watermark>",
        {"tag": "Transcode", "name": "canvas-720", **CONTENT_KEYS, "watermark": {"type": "Text"}},
    ),
    Template: (
        (
            f"<Tag>Transcode</Tag><Name>n</Name><TemplateId>{ID}</TemplateId><BucketId>b-1</BucketId>"
            f"<Category>Custom</Category><CreateTime>{TIME}</CreateTime><UpdateTime>{TIME}</UpdateTime>"
            "<TransTpl><Container><Format>mp4</Format></Container></TransTpl><Watermark><Type>Text</Type></Watermark>"
            f"{CONTENT}"
        ),
        {
            "tag": "Transcode",
            "name": "n",
            "template_id": ID,
            "bucket_id": "b-1",
            "category": "Custom",
            "create_time": TIME,
            "update_time": TIME,
            "trans_tpl": {"container": {"format": "mp4"}},
            "watermark": {"type": "Text"},
            **CONTENT_KEYS,
        },
    ),
    TemplateReply: (
        f"<RequestId>r</RequestId><Template>{SMALL}</Template>",
        {"request_id": "r", "template": SMALL_KEYS},
    ),
    NonExistTIDs: ("<TemplateId>t1</TemplateId><TemplateId>t2</TemplateId>", {"template_id": ["t1", "t2"]}),
    TemplatesReply: (
        (
            "<RequestId>r</RequestId><TotalCount>2</TotalCount><PageNumber>1</PageNumber><PageSize>10</PageSize>"
            f"<TemplateList>{SMALL}</TemplateList><TemplateList>{SMALL}</TemplateList>"
            "<NonExistTIDs><TemplateId>t1</TemplateId></NonExistTIDs>"
        ),
        {
            "request_id": "r",
            "total_count": 2,
            "page_number": 1,
            "page_size": 10,
            "template_list": [SMALL_KEYS, SMALL_KEYS],
            "non_exist_tids": {"template_id": ["t1"]},
        },
    ),
    TemplateDeleted: (
        f"<RequestId>r</RequestId><TemplateId>{ID}</TemplateId>",
        {"request_id": "r", "template_id": ID},
    ),
}


@pytest.mark.parametrize("model", CASES, ids=lambda model: model.__name__)
def test_node(model: type[Node], check_node: Callable[..., None]) -> None:
    check_node(model, *CASES[model])


TRANSCODE = Transcode.model_validate(CONTENT_KEYS)
WATERMARK = Watermark.model_validate({"type": "Text", "text": {"text": "demo"}})


def test_a_template_request_holds_what_it_was_made_of() -> None:
    kept = TemplateRequest.of("canvas-720", TRANSCODE)
    assert (kept.tag, kept.name, kept.transcode, kept.watermark) == ("Transcode", "canvas-720", TRANSCODE, None)
    marked = TemplateRequest.of("logo", WATERMARK)
    assert (marked.tag, marked.name, marked.watermark, marked.transcode) == (
        "Watermark",
        "logo",
        WATERMARK,
        Transcode(),
    )


@pytest.mark.parametrize(
    ("below", "content"),
    [
        (f"<TransTpl>{CONTENT}</TransTpl>", TRANSCODE),
        (CONTENT, TRANSCODE),
        ("<Watermark><Type>Text</Type><Text><Text>demo</Text></Text></Watermark>", WATERMARK),
        ("", None),
    ],
)
def test_the_content_of_a_template_is_read_from_either_place(below: str, content: Transcode | Watermark | None) -> None:
    body = f"<Template><Tag>x</Tag><Name>n</Name><TemplateId>{ID}</TemplateId>{below}</Template>"
    assert xml.read(Template, body.encode(), "Template").content == content
