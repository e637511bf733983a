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
from typing import Any, Final, NoReturn

import yaml_rs

from reconciler.diagnostics import Diagnostic, Position, Severity, without_secrets
from reconciler.errors import ManifestError

Path = tuple[str | int, ...]
"""Keys and indexes that lead to a node."""

MAX_DEPTH: Final = 100
"""Levels of nesting; a request has eight."""

MAX_ALIASED: Final = 100_000
"""Nodes that all aliases of a document may stand for together: a short text must not become a huge tree."""

_EXCERPT_LENGTH: Final = 2000
_DEEP: Final = " " * 200
_ABSENT: Final = object()
_HUGE: Final = 10**30
_SURROGATES: Final = range(0xD800, 0xE000)

_SIGNS: Final = ("!", "&", "*", "?", "|", ">", "<", "\n---", "\n...", "{:", "[:", ",:")
"""What the plain subset is without: tags, anchors, complex keys, block scalars, directives, several documents."""

_ODD: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"_[0-9._eE+-]*(?:[ ,:\n\]}]|\Z)",  # numbers of other YAML editions: 1_000 …
        r"0[bBoOxX]",  # … 0b11, 0X1F
        r"\n *[\]}]|\n[^ \n#-][^\n]*[\]}]",  # a flow collection over several lines, perhaps under-indented
        r"- [ ]*- [ ]*- [ ]*- ",  # with _DEEP: what nests so deep that yaml_rs would end the process
        r"(?:\A|\n|[:,\[{-]) *%",  # a directive, or a scalar that begins like one
        r" :[^ ]",
        r":[,\]}]",
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


_Mark = tuple[int, int]
"""Line and column, counted from 1."""


class _Node:
    """A composed node: its value (scalar, list or dict of nodes), where it begins, how many nodes it stands for."""

    __slots__ = ("key_marks", "mark", "size", "value")

    def __init__(self, value: Any, mark: _Mark) -> None:
        self.value = value
        self.mark = mark
        self.key_marks: dict[str, _Mark] = {}
        self.size = 1


class Document:
    """One YAML text as plain data, with a position for every path in it."""

    def __init__(self, source: str, text: str, data: Any) -> None:
        self.source = source
        self.text = text
        self.data = data

    @classmethod
    def composed(cls, source: str, text: str) -> Document:
        """Read the data from the composed nodes. Raises ManifestError."""
        document = cls(source, text, None)
        document.data = _plain_data(document._root)
        return document

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
        place = node.mark
        for depth, step in enumerate(path):
            if isinstance(node.value, dict) and step in node.value:
                key, node = node.key_marks[str(step)], node.value[step]
                last = depth == len(path) - 1 and not on_key
                place = node.mark if last else key
            elif isinstance(node.value, list) and isinstance(step, int) and 0 <= step < len(node.value):
                node = node.value[step]
                place = node.mark
            else:
                if depth and not isinstance(node.value, dict | list):
                    place = node.mark
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
        inside = step in data if isinstance(data, dict) else isinstance(data, list) and step in range(len(data))
        if not inside:
            return default
        data = data[step]
    return data


def decode(data: bytes, source: str, *, first_line: int = 1) -> str:
    """Read the bytes of a file, or of the part of it that begins in a line, as UTF-8 without a byte order mark.

    Raises ManifestError with the line and column of the first byte that is not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        line = before.count("\n") + 1
        text = data.split(b"\n")[line - 1].decode("utf-8", "replace")
        position = Position(source, first_line + line - 1, len(before) - before.rfind("\n"))
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
    return Document.composed(source, text)


def split_lines(text: str) -> list[str]:
    """Split a text into lines as libyaml counts them."""
    return re.split(r"\r\n|\r|\n", text)


def excerpt(lines: Sequence[str], position: Position) -> str | None:
    """Return the line at ``position`` for quoting, or None when it is absent, empty or too long to show."""
    if not 0 < position.line <= len(lines) or position.column > _EXCERPT_LENGTH:
        return None
    line = lines[position.line - 1].rstrip()[:_EXCERPT_LENGTH]
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line.replace("\t", "→"))
    return without_secrets(shown) or None


def _is_plain(text: str) -> bool:
    """Tell whether both parsers certainly read ``text`` alike. Cheap: this is done for every rendered layout."""
    if (
        _DEEP in text
        or text.startswith(("---", "..."))
        or not text.replace("\n", " ").isprintable()
        or any(sign in text for sign in _SIGNS)
    ):
        return False
    return not any(pattern.search(text) for pattern in _ODD)


def _is_ours(data: Any, depth: int = MAX_DEPTH) -> bool:
    """Tell whether all keys are strings, no number is longer than any that means something, and nothing too deep."""
    if isinstance(data, dict):
        return depth > 0 and all(type(key) is str and _is_ours(value, depth - 1) for key, value in data.items())
    if isinstance(data, list):
        return depth > 0 and all(_is_ours(item, depth - 1) for item in data)
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
        import yaml  # here, because it takes longer than reading a manifest that has no problem

        self._lib: Any = yaml
        self._source = source
        self._lines = split_lines(text)
        self._text = text
        self._anchors: dict[str, _Node | None] = {}
        self._open: list[tuple[_Node, str | None]] = []
        self._keys: list[str | None] = []
        self._aliased = 0
        self._root = _Node(None, (1, 1))

    def compose(self) -> _Node:
        """Return the root; an empty document is a null at the beginning."""
        if found := _FORBIDDEN.search(self._text):
            self._forbidden(found)
        documents = 0
        for event in self._events():
            if isinstance(event, self._lib.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._fail(_mark(event), "a second document begins here", "write one document in each file")
            elif isinstance(event, self._lib.CollectionEndEvent):
                self._end()
            elif isinstance(event, self._lib.NodeEvent):
                self._begin(event)
        return self._root

    def _fail(self, mark: _Mark, summary: str, advice: str | None = None) -> NoReturn:
        """Raise the one problem that ends the reading."""
        position = Position(self._source, *mark)
        raise ManifestError([Diagnostic("error", summary, position, excerpt(self._lines, position), advice)])

    def _forbidden(self, found: re.Match[str]) -> NoReturn:
        before = split_lines(self._text[: found.start()])
        code = ord(found.group())
        advice = "remove it" if code in _SURROGATES else f'remove it, or write "\\u{code:04X}" in double quotes'
        self._fail((len(before), len(before[-1]) + 1), f"the character U+{code:04X} is not allowed", advice)

    def _events(self) -> Iterator[Any]:
        try:
            yield from self._lib.parse(self._text, Loader=getattr(self._lib, "CBaseLoader", self._lib.BaseLoader))
        except self._lib.MarkedYAMLError as error:
            problem = str(error.problem or error.context or "it cannot be read")
            advice = next((text for sign, text in _ADVICE if sign in problem), None)
            mark = self._within(error)
            indent = self._lines[mark[0] - 1].partition(self._lines[mark[0] - 1].strip() or "\n")[0]
            if "\t" in indent:
                advice = "indent with spaces: YAML does not allow tabs"
            self._fail(mark, f"not valid YAML: {problem}", advice)

    def _within(self, error: Any) -> _Mark:
        """Return where a problem is; one at the end of the text is where something unfinished began."""
        last = len(split_lines(self._text.rstrip())) - 1
        for mark in (error.problem_mark, error.context_mark):
            if mark is not None and mark.line <= last:
                return mark.line + 1, mark.column + 1
        return last + 1, len(self._lines[last]) + 1

    def _begin(self, event: Any) -> None:
        mark = _mark(event)
        if isinstance(event, self._lib.AliasEvent):
            if self._expects_key():
                self._fail(mark, "a key must be a string", "write the key itself instead of an alias")
            self._put(self._alias(event.anchor, mark))
        elif event.tag is not None:
            advice = "write a text in quotes, anything else as it is"
            self._fail(mark, f"the tag `{event.tag}` is not allowed", advice)
        elif isinstance(event, self._lib.ScalarEvent):
            self._scalar_event(event, mark)
        elif self._expects_key():
            self._fail(mark, "a key must be a string", 'write a template in quotes: "{{ … }}"')
        else:
            self._start(_Node({} if isinstance(event, self._lib.MappingStartEvent) else [], mark), event.anchor)

    def _start(self, node: _Node, anchor: str | None) -> None:
        if len(self._open) >= MAX_DEPTH:
            self._fail(node.mark, f"nested more than {MAX_DEPTH} levels deep")
        if anchor:
            self._anchors[anchor] = None  # known, but not complete: it must not contain itself
        self._open.append((node, anchor))
        self._keys.append(None)

    def _end(self) -> None:
        node, anchor = self._open.pop()
        self._keys.pop()
        children = node.value.values() if isinstance(node.value, dict) else node.value
        node.size += sum(child.size for child in children)
        if anchor:
            self._anchors[anchor] = node
        self._put(node)

    def _put(self, node: _Node) -> None:
        """Put a complete node into the collection that is open."""
        if not self._open:
            self._root = node
            return
        parent, key = self._open[-1][0].value, self._keys[-1]
        if isinstance(parent, list):
            parent.append(node)
        else:
            parent[key] = node
            self._keys[-1] = None

    def _expects_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1][0].value, dict) and self._keys[-1] is None

    def _scalar_event(self, event: Any, mark: _Mark) -> None:
        value = event.value if event.style else self._scalar(event.value, mark)
        if self._expects_key():
            self._key(event.value, value, mark, plain=not event.style)
            return
        node = _Node(value, mark)
        if event.anchor:
            self._anchors[event.anchor] = node
        self._put(node)

    def _key(self, key: str, value: Any, mark: _Mark, *, plain: bool) -> None:
        if plain and key == "<<":
            advice = "write the keys out, or put them under `defaults`"
            self._fail(mark, "merge keys (`<<`) are not part of YAML 1.2", advice)
        if not isinstance(value, str):
            self._fail(mark, f"the key `{key}` is not a text", f'write it in quotes: "{key}"')
        parent = self._open[-1][0]
        if key in parent.value:
            line = parent.key_marks[key][0]
            self._fail(mark, f"the key `{key}` is already there, in line {line}", "remove one of the two")
        parent.key_marks[key] = mark
        self._keys[-1] = key

    def _alias(self, anchor: Any, mark: _Mark) -> _Node:
        if anchor not in self._anchors:
            self._fail(mark, f"the anchor `&{anchor}` does not exist", "name an anchor that stands above")
        node = self._anchors[anchor]
        if node is None:
            self._fail(mark, f"`&{anchor}` contains itself")
        self._aliased += node.size
        if self._aliased > MAX_ALIASED:
            self._fail(mark, f"the aliases stand for more than {MAX_ALIASED:,} nodes")
        return node

    def _scalar(self, text: str, mark: _Mark) -> Any:
        """Read a plain scalar by the core schema of YAML 1.2 (§10.3.2)."""
        if text in _NULL:
            return None
        if text in _BOOL:
            return _BOOL[text]
        if _INT.fullmatch(text):
            number = int(text, {"0o": 8, "0x": 16}.get(text[:2], 10)) if len(text) < 100 else _HUGE
            if not -_HUGE < number < _HUGE:
                self._fail(mark, "the number is too long", "write a text in quotes")
            return number
        if _FLOAT.fullmatch(text):
            return float(text)
        if _INF_NAN.fullmatch(text):
            return float(text.replace(".", ""))
        return text


def _mark(event: Any) -> _Mark:
    return event.start_mark.line + 1, event.start_mark.column + 1
