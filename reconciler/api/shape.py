"""What a message consists of: its children, their element names, and what XML can carry.

Derived from the models, so a node is described once. Needs no XML library: checking a manifest loads none.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterable
from functools import cache
from typing import Any, Final, NamedTuple, Union, get_args, get_origin

from reconciler.api.node import Node

UNSENDABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no way to write."""


class Child(NamedTuple):
    """One child of a node: its attribute, its element name, its own node if it has children, whether it is an array."""

    name: str
    tag: str
    node: type[Node] | None
    repeated: bool


@cache
def children(model: type[Node]) -> tuple[Child, ...]:
    """Return the children of a node in the order in which they are written."""
    found = []
    for name, field in model.model_fields.items():
        node, repeated = _kind(field.annotation)
        found.append(Child(name, field.serialization_alias or name, node, repeated))
    return tuple(found)


@cache
def by_tag(model: type[Node]) -> dict[str, Child]:
    """Return the children of a node by the element names under which they are read: the documents print URL and Url."""
    found = {child.tag: child for child in children(model)}
    return found | {"URL": found["Url"]} if "Url" in found else found


def tag_path(model: type[Node], loc: Iterable[int | str]) -> str:
    """Turn a path of attribute names into the API's names: ``("video", "width")`` → ``Video.Width``."""
    parts: list[str] = []
    current: type[Node] | None = model
    for step in loc:
        if isinstance(step, int):
            parts[-1] += f"[{step}]"
            continue
        child = next((c for c in children(current) if c.name == step), None) if current else None
        if child is None:
            continue  # a branch of a union, which has no element of its own
        parts.append(child.tag)
        current = child.node
    return ".".join(parts)


def _kind(annotation: Any) -> tuple[type[Node] | None, bool]:
    """Tell whether a field holds a node, and whether it is an array."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        for option in get_args(annotation):
            node, repeated = _kind(option)
            if node or repeated:
                return node, repeated
        return None, False
    if origin is tuple:
        return _kind(get_args(annotation)[0])[0], True
    if isinstance(annotation, type) and issubclass(annotation, Node):
        return annotation, False
    return None, False
