"""Messages to XML and back, by the rules that the API's documents and SDKs share.

* All leaf values are text. A container array is its element repeated, without a wrapper.
* Order of different elements carries no meaning; order within an array does.
* An empty element is an absent one (the vendor's samples send ``<Crf></Crf>``), and so is one that holds nothing else.
* Element names are matched exactly, except that ``URL`` is read as ``Url`` (the documents print both).

XML from outside is read without a document type, entities or network, at most 256 levels and ``MAX_TAGS`` tags of it.
A reply is read leniently: of an element that is there twice and is no array, the first counts. In a request that is an
error, because something that a caller wrote would be ignored (``read_request``).

A character that XML cannot carry is written as U+FFFD: a reply that quotes a tool's own words must not fail for one of
them, and what a person writes was checked before (``rules``).
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final, TypeVar

from lxml import etree
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from reconciler.api.node import Node
from reconciler.api.shape import UNSENDABLE, Child, by_tag, children, tag_path

M = TypeVar("M", bound=Node)

_PLAIN: Final = {
    "missing": "is missing",
    "int_parsing": "{0} is not a whole number",
    "int_from_float": "{0} is not a whole number",
    "int_parsing_size": "{0} is too large",
    "decimal_parsing": "{0} is not a number",
    "finite_number": "{0} is not a number",
}
_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}
_SPECIAL: Final = re.compile(f"[{''.join(_ESCAPES)}]|{UNSENDABLE.pattern}")
_QUOTED: Final = 40
_MESSAGE: Final = 200

MAX_TAGS: Final = 100_000
"""Tags of a document, start and end; the largest that there is, of an upload in 10,000 parts, has 60,002."""

MOST: Final = 1000
"""Elements of one array in a request, where the documents set no limit of their own."""


class XmlError(ValueError):
    """The bytes are not the XML that was expected; ``line`` counts from 1, 0 when unknown."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


class ContentError(XmlError):
    """The bytes are the XML that was expected, but a value in it, or a missing one, does not fit."""


def _parser() -> etree.XMLParser:
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )


def parse(body: bytes, root: str) -> etree._Element:
    """Parse ``body`` and return its root element, which must be called ``root``.

    Raises XmlError for anything that is not well-formed, has a document type, has another root, or is too much.
    """
    if body.count(b"<") > MAX_TAGS:  # counted before anything is built; every encoding that is read has this byte
        raise XmlError(f"more than {MAX_TAGS} tags are not read")
    try:
        element = etree.fromstring(body, _parser())
    except etree.XMLSyntaxError as error:
        raise XmlError(f"not well-formed XML: {_shortened(error.msg)}", error.lineno or 0) from None
    except ValueError as error:
        raise XmlError(f"not well-formed XML: {error}") from None
    if element.getroottree().docinfo.internalDTD is not None:
        raise XmlError("a document type is not allowed", 1)
    if element.tag != root:
        raise XmlError(f"the root element is `{_shortened(element.tag)}`, expected `{root}`", _source_line(element))
    return element


def read(model: type[M], body: bytes, root: str) -> M:
    """Read one message. Raises XmlError when the bytes, or a value in them (ContentError), do not fit ``model``."""
    return _validated(model, parse(body, root))


def read_request(model: type[M], body: bytes, root: str, *, most: int = MOST) -> M:
    """Read one message as a service does: as ``read``, and nothing that is written may be without effect.

    Raises ContentError also for an element that is there twice and is no array, for one that holds text and elements,
    and for more than ``most`` elements of an array.
    """
    element = parse(body, root)
    _check_effect(model, element, root, most)
    return _validated(model, element)


def write(message: Node, root: str) -> bytes:
    """Write one message under the root element ``root``, without declaration and without white space."""
    return _element(root, message).encode()


def escaped(text: str) -> str:
    """Write a text as the content of an element, as ``write`` does; for documents that are put together as text."""
    return _SPECIAL.sub(lambda match: _ESCAPES.get(match[0], "\ufffd"), text)


def pretty(message: Node, root: str) -> str:
    """Write one message indented, for people."""
    element = parse(write(message, root), root)
    etree.indent(element)
    return etree.tostring(element, encoding="unicode") + "\n"


def _validated(model: type[M], element: etree._Element) -> M:
    try:
        return model.model_validate(_read_children(model, element))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = tag_path(model, first["loc"])
        raise ContentError(f"{element.tag}.{path}: {_plain(first)}", _line(element, path)) from None


def _check_effect(model: type[Node], element: etree._Element, where: str, most: int) -> None:
    """Refuse what reading would drop without a word: of a known element, not of one that nobody knows."""
    if _has_text(element):
        raise ContentError(f"{where}: there is text beside its elements", _source_line(element))
    fields = by_tag(model)
    counts: dict[str, int] = {}
    for child in element:
        field = fields.get(child.tag)
        if field is None:
            continue
        index = counts.get(field.tag, 0)
        counts[field.tag] = index + 1
        if index >= (most if field.repeated else 1):
            raise _too_many(model, field, element, where, most)
        if field.node is not None:
            _check_effect(field.node, child, _below(where, field, index), most)
        elif len(child) and _has_text(child):
            raise ContentError(f"{_below(where, field, index)}: there are elements in its text", _source_line(child))


def _too_many(model: type[Node], field: Child, element: etree._Element, where: str, most: int) -> ContentError:
    found = [child for child in element if by_tag(model).get(child.tag) is field]
    allowed = f"at most {most} are" if field.repeated else "only one is"
    return ContentError(f"{where}.{field.tag}: {len(found)} are there, {allowed} taken", _source_line(found[1]))


def _below(where: str, field: Child, index: int) -> str:
    return f"{where}.{field.tag}[{index}]" if field.repeated else f"{where}.{field.tag}"


def _has_text(element: etree._Element) -> bool:
    return bool(element.text and element.text.strip()) or any(child.tail and child.tail.strip() for child in element)


def _shortened(text: str) -> str:
    return text if len(text) <= _MESSAGE else f"{text[:_MESSAGE]}…"


def _plain(error: ErrorDetails) -> str:
    value = str(error["input"])
    shown = value if len(value) <= _QUOTED else f"{value[:_QUOTED]}…"
    if error["loc"] and str(error["loc"][-1]).startswith("function-before"):  # a branch of `Integer | Literal["auto"]`
        return f"{shown} is neither a whole number nor auto"
    known = _PLAIN.get(error["type"])
    if known:
        return known.format(shown)
    return f"{shown}: {error['msg'].removeprefix('Value error, ')}"


def _line(root: etree._Element, path: str) -> int:
    element = root
    for part in path.split("."):
        tag, _, index = part.partition("[")
        matches = element.findall(tag)
        position = int(index.rstrip("]")) if index else 0
        if position >= len(matches):
            break
        element = matches[position]
    return _source_line(element)


def _source_line(element: etree._Element) -> int:
    line: Any = element.sourceline  # lxml-stubs gives this property no type
    return line or 0


def _read_children(model: type[Node], element: etree._Element) -> dict[str, Any]:
    fields = by_tag(model)
    values: dict[str, Any] = {}
    for child in element:
        field = fields.get(child.tag)
        if field is None or (value := _read_value(field, child)) is None:
            continue
        if field.repeated:
            values.setdefault(field.name, []).append(value)
        else:
            values.setdefault(field.name, value)
    return values


def _read_value(field: Child, element: etree._Element) -> Any:
    if field.node is None:
        text = element.text or ""
        return text if text.strip() else None
    return _read_children(field.node, element) or None


def _children(message: Node) -> str:
    """Write the children of a node; one that has none at all is an empty element."""
    values = vars(message)
    parts: list[str] = []
    for field in children(type(message)):
        value = values[field.name]
        if value is None:
            continue
        if field.repeated:
            parts += [_element(field.tag, item) for item in value]
        else:
            parts.append(_element(field.tag, value))
    return "".join(parts)


def _element(tag: str, value: object) -> str:
    if isinstance(value, Node):
        content = _children(value)
        return f"<{tag}>{content}</{tag}>" if content else f"<{tag}/>"
    return f"<{tag}>{escaped(value if isinstance(value, str) else _text(value))}</{tag}>"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(value)
