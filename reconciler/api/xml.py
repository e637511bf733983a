"""Messages to XML and back, by the rules that the API's documents and SDKs share.

* All leaf values are text. A container array is its element repeated, without a wrapper.
* Order of different elements carries no meaning; order within an array does.
* An empty element is an absent one (the vendor's samples send ``<Crf></Crf>``), and so is one that holds nothing else.
* Element names are matched exactly, except that ``URL`` is read as ``Url`` (the documents print both).

XML from outside is read without a document type, entities or network, and at most 256 levels deep. A character that
XML cannot carry is written as U+FFFD: a reply that quotes a tool's own words must not fail for one of them, and what a
person writes was checked before (``rules``).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final, TypeVar

from lxml import etree
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from reconciler.api.node import Node
from reconciler.api.shape import UNSENDABLE, Child, children, tag_path

M = TypeVar("M", bound=Node)

_PLAIN: Final = {
    "missing": "is missing",
    "int_parsing": "{0} is not a whole number",
    "int_from_float": "{0} is not a whole number",
    "int_parsing_size": "{0} is too large",
    "decimal_parsing": "{0} is not a number",
    "finite_number": "{0} is not a number",
}
_QUOTED: Final = 40


class XmlError(ValueError):
    """The bytes are not the XML that was expected; ``line`` counts from 1, 0 when unknown."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


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

    Raises XmlError for anything that is not well-formed, has a document type, or has another root.
    """
    try:
        element = etree.fromstring(body, _parser())
    except etree.XMLSyntaxError as error:
        raise XmlError(f"not well-formed XML: {error.msg}", error.lineno or 0) from None
    except ValueError as error:
        raise XmlError(f"not well-formed XML: {error}") from None
    if element.getroottree().docinfo.internalDTD is not None:
        raise XmlError("a document type is not allowed", 1)
    if element.tag != root:
        raise XmlError(f"the root element is `{element.tag}`, expected `{root}`", _source_line(element))
    return element


def read(model: type[M], body: bytes, root: str) -> M:
    """Read one message. Raises XmlError when the bytes, or a value in them, do not fit ``model``."""
    element = parse(body, root)
    try:
        return model.model_validate(_read_children(model, element))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = tag_path(model, first["loc"])
        raise XmlError(f"{root}.{path}: {_plain(first)}", _line(element, path)) from None


def write(message: Node, root: str) -> bytes:
    """Write one message under the root element ``root``, without declaration and without white space."""
    element = etree.Element(root)
    _write_children(element, message)
    return etree.tostring(element, encoding="utf-8", xml_declaration=False)


def pretty(message: Node, root: str) -> str:
    """Write one message indented, for people."""
    element = etree.Element(root)
    _write_children(element, message)
    etree.indent(element)
    return etree.tostring(element, encoding="unicode") + "\n"


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
    by_tag: dict[str, list[etree._Element]] = {}
    for child in element:
        by_tag.setdefault("Url" if child.tag == "URL" else child.tag, []).append(child)
    values: dict[str, Any] = {}
    for field in children(model):
        found = [_read_value(field, child) for child in by_tag.get(field.tag, ())]
        present = [value for value in found if value is not None]
        if present:
            values[field.name] = present if field.repeated else present[0]
    return values


def _read_value(field: Child, element: etree._Element) -> Any:
    if field.node is None:
        text = element.text or ""
        return text if text.strip() else None
    return _read_children(field.node, element) or None


def _write_children(parent: etree._Element, message: Node) -> None:
    for field in children(type(message)):
        value = getattr(message, field.name)
        if value is None:
            continue
        for item in value if field.repeated else (value,):
            child = etree.SubElement(parent, field.tag)
            if isinstance(item, Node):
                _write_children(child, item)
            else:
                child.text = _text(item)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    return UNSENDABLE.sub("\ufffd", str(value))
