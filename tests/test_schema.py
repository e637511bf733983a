from __future__ import annotations

from typing import Any

import pytest

from reconciler import project, schema
from reconciler.api.messages import JobRequest, Operation


def test_an_entry_holds_every_node_of_the_api() -> None:
    api = {*Operation.model_fields, *JobRequest.model_fields} - {"operation", "tag"}
    assert api <= schema.Entry.model_fields.keys()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"version": 1, "outputs": {"a": {"output": {"object": "x"}}}}, []),
        ({"output": {}}, [(("output",), "did you mean `outputs`?")]),
        ({"outputs": {"a": {"with": {"anything": 1}, "for_each": {"any": 1}}}}, []),
        ({"defaults": {"for_each": []}}, [(("defaults", "for_each"), None)]),
        (
            {"outputs": {"a": {"transcode": {"video": {"Width": 1}, "audio_mix_array": [{"x": 1}]}}}},
            [
                (("outputs", "a", "transcode", "video", "Width"), "write `width`"),
                (
                    ("outputs", "a", "transcode", "audio_mix_array", 0, "x"),
                    "known here: `audio_source`, `mix_mode`, `replace`, `effect_config`",
                ),
            ],
        ),
        (
            {"transcode_templates": {"hd": {"vidoe": {}}}},
            [(("transcode_templates", "hd", "vidoe"), "did you mean `video`?")],
        ),
        (
            {"watermark_templates": {"w": {"image": {"ulr": 1}}}},
            [(("watermark_templates", "w", "image", "ulr"), "did you mean `url`?")],
        ),
        ({"outputs": {"a": {"transcode": "{{ vars.t }}", "video_synthesis": [1]}}}, []),
        ({"outputs": [1]}, []),
        ({"moved": [{"form": "a", "to": "b"}]}, [(("moved", 0, "form"), "did you mean `from`?")]),
    ],
)
def test_unknown_keys(data: dict[str, Any], expected: list[Any]) -> None:
    assert list(schema.unknown_keys(schema.Document, data)) == expected


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(references(value) for value in node.values()))
    return set().union(*map(references, node)) if isinstance(node, list) else set()


@pytest.mark.parametrize(
    "document", [schema.manifest_schema(), project.settings_schema()], ids=["manifest", "settings"]
)
def test_schemas_are_closed_described_and_whole(document: dict[str, Any]) -> None:
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for node in (document, *document["$defs"].values()):
        assert node["additionalProperties"] is False
        assert all("description" in value for value in node["properties"].values())
    assert {reference.removeprefix("#/$defs/") for reference in references(document)} <= document["$defs"].keys()
    assert document["required"] == ["version"]
    assert document["properties"]["version"]["const"] == 1


def test_a_template_may_stand_for_a_number_and_a_switch_in_a_manifest() -> None:
    definitions = schema.manifest_schema()["$defs"]
    for node, key in (("Source", "x"), ("Composition", "keep_audio_track"), ("Video", "fps")):
        choices = definitions[node]["properties"][key]["anyOf"]
        assert {"type": "string", "pattern": r"\{\{|\{%"} in choices
    assert {"type": "string", "pattern": r"\{\{|\{%"} not in project.settings_schema()["properties"]["parallelism"][
        "anyOf"
    ]
