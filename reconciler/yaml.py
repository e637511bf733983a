"""YAML 1.2 (core schema) to plain data, and the line and column of every node in it.

What the data means belongs to ``manifest``, ``project``, ``layout`` and ``rows``. Two parsers are used. ``yaml_rs``
reads the plain subset of YAML in which the two cannot disagree (no tags, anchors, directives, odd numbers, …). For
everything else, for every problem and for every position, ``Document`` composes libyaml's events itself: only so do
duplicate keys, tags and nesting have a place, and only so is libyaml's YAML 1.1 reading of scalars kept out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NoReturn

import yaml_rs

from reconciler.diagnostics import Diagnostic, Position, Severity
from reconciler.errors import ManifestError

if TYPE_CHECKING:
    import yaml

Path = tuple[str | int, ...]
"""Keys and indexes that lead to a node."""

MAX_DEPTH: Final = 100
"""Levels of nesting; a request has eight."""

MAX_ALIASED: Final = 100_000
"""Nodes that all aliases of a document may stand for together: a short text must not become a huge tree."""

_EXCERPT_LENGTH: Final = 200
_ABSENT: Final = object()
_HUGE: Final = 10**30

_SIGNS: Final = ("!", "&", "*", "?", "|", ">", "<", "%", "\n---", "\n...", "{:", "[:", ",:")
"""What the plain subset is without: tags, anchors, complex keys, block scalars, directives, several documents."""

_ODD: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"_[0-9._eE+-]*(?:[ ,:\n\]}]|\Z)",  # numbers of other YAML editions: 1_000 …
        r"0[bBoOxX]",  # … 0b11, 0X1F
        r"\A(?:---|\.\.\.)|\n[^\[{\n]*[\]}]",  # several documents; a flow collection over several lines
        r" :[^ ]",
        r":[,\]}]",
        r"00000000|[1-9][0-9]{30}",
    )
)
_FORBIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")

_NULL: Final = frozenset(("", "~", "null", "Null", "NULL"))
_BOOL: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INF_NAN: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")

_ADVICE: Final = (
    ("cannot start any token", "write the text in quotes; indent with spaces, not tabs"),
    ("mapping values are not allowed", "check the indentation, or write a text that contains `: ` in quotes"),
    ("expected key", "check the indentation and the brackets of the lines above"),
    ("expected ',' or", "close the bracket, or put a comma between the items"),
    ("unexpected end of stream", "close the quotation mark"),
    ("unknown escape character", "write the text in single quotes, or double the backslash"),
    ("could not find expected ':'", "write `key: value`, or put the text in quotes"),
)


class _Node:
    """A composed node: its value (scalar, list or dict of nodes), where it begins, how many nodes it stands for."""

    __slots__ = ("column", "key_marks", "line", "size", "value")

    def __init__(self, value: Any, mark: yaml.Mark) -> None:
        self.value = value
        self.line = mark.line + 1
        self.column = mark.column + 1
        self.key_marks: dict[str, tuple[int, int]] = {}
        self.size = 1


class Document:
    """One YAML text as plain data, with a position for every path in it."""

    def __init__(self, source: str, text: str, data: Any) -> None:
        self.source = source
        self.text = text
        self.data = data

    @cached_property
    def _root(self) -> _Node:
        return _Composer(self.source, self.text).compose()

    @cached_property
    def _lines(self) -> list[str]:
        return split_lines(self.text)

    def has(self, path: Sequence[str | int]) -> bool:
        """Tell whether the data has a node under ``path``."""
        return lookup(self.data, path, _ABSENT) is not _ABSENT

    def position(self, path: Sequence[str | int], *, on_key: bool = False) -> Position:
        """Return where the node under ``path`` stands (with ``on_key``, its key), or its nearest existing parent."""
        node = self._root
        place = (node.line, node.column)
        for depth, step in enumerate(path):
            if isinstance(node.value, dict) and step in node.value:
                key, node = node.key_marks[str(step)], node.value[step]
                last = depth == len(path) - 1 and not on_key
                place = (node.line, node.column) if last else key
            elif isinstance(node.value, list) and isinstance(step, int) and 0 <= step < len(node.value):
                node = node.value[step]
                place = (node.line, node.column)
            else:
                if depth and not isinstance(node.value, dict | list):
                    place = (node.line, node.column)
                break
        return Position(self.source, *place)

    def diagnostic(
        self,
        severity: Severity,
        path: Sequence[str | int],
        summary: str,
        advice: str | None = None,
        *,
        on_key: bool = False,
    ) -> Diagnostic:
        """Make a diagnostic that points at the node under ``path`` and quotes its line."""
        position = self.position(path, on_key=on_key)
        return Diagnostic(severity, summary, position, excerpt(self._lines, position), advice)


def lookup(data: Any, path: Sequence[str | int], default: Any = None) -> Any:
    """Return the value under ``path`` in plain data, or ``default``."""
    for step in path:
        if isinstance(data, dict) and step in data:
            data = data[step]
        elif isinstance(data, list) and isinstance(step, int) and 0 <= step < len(data):
            data = data[step]
        else:
            return default
    return data


def decode(data: bytes, source: str) -> str:
    """Read the bytes of a file as UTF-8, without a byte order mark.

    Raises ManifestError with the line and column of the first byte that is not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        line = before.count("\n") + 1
        text = data.split(b"\n")[line - 1].decode("utf-8", "replace")
        position = Position(source, line, len(before) - before.rfind("\n"))
        summary = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise ManifestError(
            [
                Diagnostic(
                    "error",
                    summary,
                    position,
                    excerpt([text], Position(source, 1, position.column)),
                    "save the file as UTF-8",
                )
            ]
        ) from None


def load(text: str, source: str) -> Document:
    """Read one YAML document.

    Line ends may be CR LF. Raises ManifestError, located, for anything that is not one valid document of strings,
    numbers, booleans, nulls, lists and mappings with string keys.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if _is_plain(text):
        try:
            data = yaml_rs.loads(text, parse_datetime=False)
        except ValueError:
            pass  # the composer finds the place, and has the last word
        else:
            if _is_ours(data):
                return Document(source, text, data)
    document = Document(source, text, None)
    document.data = _plain_data(document._root)
    return document


def split_lines(text: str) -> list[str]:
    """Split a text into lines as libyaml counts them."""
    return re.split(r"\r\n|\r|\n", text)


def excerpt(lines: Sequence[str], position: Position) -> str | None:
    """Return the line at ``position`` for quoting, or None when it is absent, empty or too long to show."""
    if not 0 < position.line <= len(lines) or position.column > _EXCERPT_LENGTH:
        return None
    line = lines[position.line - 1].rstrip()[:_EXCERPT_LENGTH]
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line.replace("\t", "→"))
    return shown or None


def _is_plain(text: str) -> bool:
    """Tell whether both parsers certainly read ``text`` alike. Cheap: this is done for every rendered layout."""
    if not text.replace("\n", " ").isprintable() or any(sign in text for sign in _SIGNS):
        return False
    return not any(pattern.search(text) for pattern in _ODD)


def _is_ours(data: Any) -> bool:
    """Tell whether all keys are strings and no number is longer than any that means something."""
    if isinstance(data, dict):
        return all(type(key) is str and _is_ours(value) for key, value in data.items())
    if isinstance(data, list):
        return all(map(_is_ours, data))
    return not isinstance(data, int) or -_HUGE < data < _HUGE


def _plain_data(node: _Node) -> Any:
    if isinstance(node.value, dict):
        return {key: _plain_data(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [_plain_data(child) for child in node.value]
    return node.value


class _Composer:
    """Builds the tree of nodes from libyaml's events, without recursion, and refuses what is not in the subset."""

    def __init__(self, source: str, text: str) -> None:
        self.source = source
        self.text = text
        self.anchors: dict[str, _Node | None] = {}
        self.open: list[tuple[_Node, str | None]] = []
        self.keys: list[tuple[str, yaml.Mark] | None] = []
        self.aliased = 0
        self.root: _Node | None = None

    def compose(self) -> _Node:
        """Return the root; an empty document is a null at the beginning."""
        import yaml  # noqa: PLC0415 - 39 ms, and needed only when there is something to point at

        if found := _FORBIDDEN.search(self.text):
            self._forbidden(found)
        documents = 0
        for event in self._events():
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.fail(event.start_mark, "a second document begins here", "write one document in each file")
            elif isinstance(event, yaml.NodeEvent):
                self._begin(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._end()
        return self.root or _Node(None, yaml.Mark(self.source, 0, 0, 0, None, 0))

    def fail(self, mark: yaml.Mark, summary: str, advice: str | None = None) -> NoReturn:
        """Raise the one problem that ends the reading."""
        position = Position(self.source, mark.line + 1, mark.column + 1)
        quoted = excerpt(split_lines(self.text), position)
        raise ManifestError([Diagnostic("error", summary, position, quoted, advice)])

    def _forbidden(self, found: re.Match[str]) -> NoReturn:
        lines = split_lines(self.text[: found.start()])
        position = Position(self.source, len(lines), len(lines[-1]) + 1)
        code = ord(found.group())
        summary = f"the character U+{code:04X} is not allowed"
        advice = (
            "remove it"
            if code > 0xFFFF or code in range(0xD800, 0xE000)
            else f'remove it, or write "\\u{code:04X}" in double quotes'
        )
        raise ManifestError([Diagnostic("error", summary, position, excerpt(split_lines(self.text), position), advice)])

    def _events(self) -> Iterator[yaml.Event]:
        import yaml  # noqa: PLC0415 - as above

        loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
        try:
            yield from yaml.parse(self.text, Loader=loader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            if mark is None or (error.context_mark and mark.line >= self.text.rstrip().count("\n") + 1):
                mark = error.context_mark or mark
            problem = str(error.problem or error.context or "not YAML")
            advice = next((text for sign, text in _ADVICE if sign in problem), None)
            assert mark is not None
            self.fail(mark, f"not valid YAML: {problem}", self._tab(mark) or advice)

    def _tab(self, mark: yaml.Mark) -> str | None:
        line = split_lines(self.text)[mark.line : mark.line + 1]
        indent = re.match(r"\s*", line[0]) if line else None
        return "indent with spaces: YAML does not allow tabs" if indent and "\t" in indent.group() else None

    def _begin(self, event: Any) -> None:
        import yaml  # noqa: PLC0415 - as above

        if isinstance(event, yaml.AliasEvent):
            self._place(self._alias(event), event.start_mark)
            return
        if event.tag is not None:
            self.fail(
                event.start_mark,
                f"the tag `{event.tag}` is not allowed",
                "write a string in quotes, anything else plain",
            )
        if isinstance(event, yaml.ScalarEvent):
            plain = event.style is None or event.style == ""
            if self._expects_key():
                self._key(event, plain=plain)
                return
            node = _Node(self._scalar(event) if plain else event.value, event.start_mark)
            if event.anchor:
                self.anchors[event.anchor] = node
            self._place(node, event.start_mark)
            return
        if self._expects_key():
            self.fail(event.start_mark, "a key must be a string", 'write a template in quotes: "{{ … }}"')
        self._open(event, _Node({} if isinstance(event, yaml.MappingStartEvent) else [], event.start_mark))

    def _open(self, event: Any, node: _Node) -> None:
        if len(self.open) >= MAX_DEPTH:
            self.fail(event.start_mark, f"nested more than {MAX_DEPTH} levels deep")
        if event.anchor:
            self.anchors[event.anchor] = None  # known, but not complete: it must not contain itself
        self.open.append((node, event.anchor))
        self.keys.append(None)

    def _end(self) -> None:
        node, anchor = self.open.pop()
        self.keys.pop()
        children = node.value.values() if isinstance(node.value, dict) else node.value
        node.size += sum(child.size for child in children)
        if anchor:
            self.anchors[anchor] = node
        self._place(node, None)

    def _place(self, node: _Node, mark: yaml.Mark | None) -> None:
        """Put a complete node into the collection that is open."""
        if not self.open:
            self.root = node
            return
        parent = self.open[-1][0]
        if isinstance(parent.value, list):
            parent.value.append(node)
            return
        key = self.keys[-1]
        if key is None:
            assert mark is not None
            self.fail(mark, "a key must be a string", "write the key itself instead of an alias")
        parent.value[key[0]] = node
        self.keys[-1] = None

    def _expects_key(self) -> bool:
        return bool(self.open) and isinstance(self.open[-1][0].value, dict) and self.keys[-1] is None

    def _key(self, event: Any, *, plain: bool) -> None:
        mark, key = event.start_mark, event.value
        if plain and key == "<<":
            self.fail(
                mark, "merge keys (`<<`) are not part of YAML 1.2", "write the keys out, or put them under `defaults`"
            )
        if plain and not isinstance(self._scalar(event), str):
            self.fail(mark, f"the key `{key}` is not a string", f'write it in quotes: "{key}"')
        parent = self.open[-1][0]
        if key in parent.value:
            line = parent.key_marks[key][0]
            self.fail(mark, f"the key `{key}` is already there, in line {line}", "remove one of the two")
        parent.key_marks[key] = (mark.line + 1, mark.column + 1)
        self.keys[-1] = (key, mark)

    def _alias(self, event: Any) -> _Node:
        if event.anchor not in self.anchors:
            self.fail(
                event.start_mark, f"the anchor `&{event.anchor}` does not exist", "name an anchor that stands above"
            )
        node = self.anchors[event.anchor]
        if node is None:
            self.fail(event.start_mark, f"`&{event.anchor}` contains itself")
        self.aliased += node.size
        if self.aliased > MAX_ALIASED:
            self.fail(event.start_mark, f"the aliases stand for more than {MAX_ALIASED:,} nodes")
        return node

    def _scalar(self, event: Any) -> Any:
        """Read a plain scalar by the core schema of YAML 1.2 (§10.3.2)."""
        text: str = event.value
        if text in _NULL:
            return None
        if text in _BOOL:
            return _BOOL[text]
        if _INT.fullmatch(text):
            number = int(text, {"0o": 8, "0x": 16}.get(text[:2], 10)) if len(text) < 100 else _HUGE
            if not -_HUGE < number < _HUGE:
                self.fail(event.start_mark, "the number is too long", "write a text in quotes")
            return number
        if _FLOAT.fullmatch(text):
            return float(text)
        if _INF_NAN.fullmatch(text):
            return float(text.replace(".", ""))
        return text
