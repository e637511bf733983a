"""What an entry of a manifest may hold, the API's nodes and our own keys: as a table of keys and as JSON Schema.

Only names and shapes. What a value means belongs to ``resolve``, what the API demands of it to ``api.rules``.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, create_model

from reconciler.api.messages import JobRequest, Operation, Output, SpliceInfo, VideoSynthesis
from reconciler.api.node import Bool, Node, Text
from reconciler.api.transcode import Transcode
from reconciler.api.watermark import Watermark
from reconciler.diagnostics import did_you_mean

SCHEMA_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_TEMPLATE: Final = {"type": "string", "pattern": r"\{\{|\{%"}


def is_template(value: object) -> bool:
    """Tell whether a value of a manifest is a text that Jinja2 has to render."""
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def _fields(model: type[BaseModel], *leave_out: str) -> dict[str, Any]:
    return {name: (field.annotation, field) for name, field in model.model_fields.items() if name not in leave_out}


def _optional(annotation: Any, description: str) -> tuple[Any, Any]:
    return (annotation | None, Field(None, description=description))


class _Shape(Node):
    """A node that is asked for its keys and its JSON Schema; nothing is validated with it, so nothing is prepared."""

    model_config = ConfigDict(defer_build=True)


Source: Final = create_model(
    "Source",
    __base__=_Shape,
    __doc__="One source and its place on the canvas: `url`, or `output` for another output.",
    url=_optional(Text, "Key or URL of a video in the project's bucket."),
    output=_optional(Text, "Address of another output, which is then made first."),
    **_fields(SpliceInfo, "url"),
)

Composition: Final = create_model(
    "Composition",
    __base__=_Shape,
    __doc__="What is placed on the canvas; later sources are painted over earlier ones.",
    splice_info=_optional(tuple[Source, ...], "The sources, painted in this order."),
    **_fields(VideoSynthesis, "splice_info"),
)

_OWN: Final[dict[str, Any]] = {
    "video_synthesis": _optional(Composition, "What is placed on the canvas."),
    "output": _optional(Text | Output, "Key of the result; short for `{object: …}`. ${ext} and ${jobid} are replaced."),
    "layout": _optional(Text, "Name of a layout: it renders the sources."),
    "with": _optional(dict[str, Any], "Parameters of the layout."),
    "transcode_template": _optional(Text, "Name of an entry of transcode_templates."),
    "watermark_template": _optional(Text | tuple[Text, ...], "Names of entries of watermark_templates."),
    "protect": _optional(Bool, "No plan may delete or replace this output."),
    "adopt": _optional(Bool, "Take an object that already exists under the key as it is."),
    "ignore_changes": _optional(tuple[Text, ...], "Paths whose changes do not make the output anew."),
    "labels": _optional(dict[str, Text], "Texts by which outputs are selected, such as `team: x`."),
}

Defaults: Final = create_model(
    "Defaults",
    __base__=_Shape,
    __doc__="Merged under every output of this file.",
    **_OWN,
    **_fields(Operation, "video_synthesis", "output"),
    **_fields(JobRequest, "operation", "tag"),
)

Entry: Final = create_model(
    "Entry",
    __base__=Defaults,
    __doc__="One output, or with for_each or matrix one output for every row.",
    for_each=_optional(Text | tuple[Any, ...] | dict[str, Any], "A list, a map, or the name of a row file."),
    matrix=_optional(
        Text | dict[str, Text | tuple[Any, ...]], "Lists by name: a row for every combination of their values."
    ),
    exclude=_optional(Text | tuple[Text | dict[str, Any], ...], "Combinations that the matrix leaves out."),
    key=_optional(Text, "The key of a row in its address, such as `{{ each.id }}`."),
    when=_optional(Bool, "Whether the output should exist, such as `{{ each.lang == 'de' }}`."),
)

_MOVE: Final[dict[str, Any]] = {
    "from": (Text, Field(description="The old address.")),
    "to": (Text, Field(description="The new address.")),
}

Move: Final = create_model("Move", __base__=_Shape, __doc__="A renamed output.", **_MOVE)

Document: Final = create_model(
    "Manifest",
    __base__=_Shape,
    __doc__="The outputs that should exist.",
    version=(Literal[1], Field(description="Version of this format: 1.")),
    transcode_templates=_optional(dict[str, Transcode], "Encoding parameters by name."),
    watermark_templates=_optional(dict[str, Watermark], "Watermarks by name."),
    defaults=_optional(Defaults, "Merged under every output of this file."),
    outputs=_optional(dict[str, Entry], "The outputs by name."),
    moved=_optional(tuple[Move, ...], "Renamed outputs."),
)

OPERATION_KEYS: Final = frozenset(Operation.model_fields)
REQUEST_KEYS: Final = frozenset(JobRequest.model_fields) - {"operation", "tag"}


class Child(NamedTuple):
    """What a key holds: a node with keys of its own or not, one or a list or a mapping of them."""

    model: type[BaseModel] | None
    shape: Literal["one", "list", "map"]


@cache
def children(model: type[BaseModel]) -> Mapping[str, Child]:
    """Return what every key of a node holds."""
    return {name: _child(field.annotation) for name, field in model.model_fields.items()}


def _child(annotation: Any) -> Child:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        options = [_child(option) for option in arguments if option is not type(None)]
        return next((option for option in options if option.model), options[0])
    if origin is tuple:
        return Child(_child(arguments[0]).model, "list")
    if origin is dict:
        return Child(_child(arguments[1]).model, "map")
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return Child(annotation, "one")
    return Child(None, "one")


def unknown_keys(
    model: type[BaseModel], data: object, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], str | None]]:
    """Yield the path of every key below ``data`` that ``model`` does not have, with advice.

    Where the shape is another one than the node's, nothing is said: that is the typed check's business.
    """
    if not isinstance(data, Mapping):
        return
    known = children(model)
    for key, value in data.items():
        child = known.get(key)
        if child is None:
            yield (*path, key), key_advice(key, known)
        elif child.model is not None:
            for step, item in _items(child, value):
                yield from unknown_keys(child.model, item, (*path, key, *step))


def _items(child: Child, value: object) -> Iterator[tuple[tuple[str | int, ...], object]]:
    if child.shape == "one":
        yield (), value
    elif child.shape == "list" and isinstance(value, list):
        yield from (((index,), item) for index, item in enumerate(value))
    elif child.shape == "map" and isinstance(value, Mapping):
        yield from (((key,), item) for key, item in value.items())


def key_advice(key: str, known: Mapping[str, object] | Sequence[str]) -> str | None:
    """Return which known keys ``key`` may have been meant to be; the API's own spelling (SpliceInfo) counts."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).lower()
    if snake in known:
        return f"write `{snake}`"
    if advice := did_you_mean(key, known):
        return advice
    return f"known here: {', '.join(f'`{name}`' for name in known)}" if len(known) <= 12 else None


def manifest_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a manifest, for editors."""
    return json_schema(Document, "A reconciler manifest", templates=True)


def json_schema(model: type[BaseModel], title: str, *, templates: bool) -> dict[str, Any]:
    """Return the JSON Schema of a model: no other keys; with ``templates`` a Jinja2 text in place of any value."""
    schema = model.model_json_schema(by_alias=False, mode="validation")
    described: dict[str, Any] = _tighten(schema, templates=templates)
    return {"$schema": SCHEMA_DIALECT, **described, "title": title}


def _tighten(schema: Any, *, templates: bool) -> Any:
    if isinstance(schema, list):
        return [_tighten(item, templates=templates) for item in schema]
    if not isinstance(schema, dict):
        return schema
    node = {
        key: _tighten(value, templates=templates) for key, value in schema.items() if key not in ("title", "default")
    }
    if "properties" in node:
        node["properties"] = {key: _tighten(value, templates=templates) for key, value in schema["properties"].items()}
        node["additionalProperties"] = False
    if "anyOf" in node:
        node["anyOf"] = [choice for option in node["anyOf"] for choice in _choices(option, templates=templates)]
    return node


def _choices(option: dict[str, Any], *, templates: bool) -> list[dict[str, Any]]:
    if templates and option.get("type") in ("integer", "number", "boolean"):
        return [option, dict(_TEMPLATE)]
    return [option]
