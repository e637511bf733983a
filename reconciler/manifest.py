"""Text to Manifest: what a person wrote, entry by entry, with a position for every node of it.

Pure. Shapes and names are checked here; templates, rows, layouts and references are followed in ``resolve``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from reconciler import schema
from reconciler.diagnostics import Diagnostic, Position, Severity
from reconciler.errors import ManifestError
from reconciler.yaml import Document, Path, decode, load

VERSION: Final = 1
NAME: Final = re.compile(r"[A-Za-z0-9_-]+")

_SECTIONS: Final = ("transcode_templates", "watermark_templates", "defaults", "outputs")


@dataclass(frozen=True)
class Manifest:
    """One manifest file: raw entries as they were written, defaults not yet merged, templates not yet rendered.

    ``moved`` has the old and the new address of each move, with its index in the list. ``problems`` has what is wrong
    with names and shapes. It does not stop the reading: ``resolve`` reports it together with all that it finds itself.
    """

    document: Document
    transcode_templates: Mapping[str, Mapping[str, Any]]
    watermark_templates: Mapping[str, Mapping[str, Any]]
    defaults: Mapping[str, Any]
    outputs: Mapping[str, Mapping[str, Any]]
    moved: Sequence[tuple[int, tuple[str, str]]]
    problems: tuple[Diagnostic, ...] = ()

    @property
    def source(self) -> str:
        """The name of the file, as people know it."""
        return self.document.source

    def position(self, path: Path, *, on_key: bool = False) -> Position:
        """Return where the node under ``path`` stands, or its nearest existing parent."""
        return self.document.position(path, on_key=on_key)

    def diagnostic(
        self, severity: Severity, path: Path, summary: str, advice: str | None = None, *, on_key: bool = False
    ) -> Diagnostic:
        """Make a diagnostic that points at the node under ``path`` and quotes its line."""
        return self.document.diagnostic(severity, path, summary, advice, on_key=on_key)

    def declared_at(self, name: str) -> Position:
        """Return where an entry of ``outputs`` begins."""
        line = self._entry_lines.get(name)
        return line or self.position(("outputs", name), on_key=True)

    @cached_property
    def _entry_lines(self) -> Mapping[str, Position]:
        """Where the entries begin, found without composing the document: every output wants to know it.

        Only for the block style in which manifests are written, and only if exactly the entries are found.
        """
        section = re.search(r"(?m)^outputs:[ ]*(?:#.*)?$", self.document.text)
        indent = section and re.compile(r"\n(?:[ ]*(?:#.*)?\n)*([ ]+)[^ #]").match(self.document.text, section.end())
        if not section or not indent:
            return {}
        found: list[tuple[str, Position]] = []
        line = self.document.text.count("\n", 0, section.end()) + 1
        entry = re.compile(indent[1] + r"""(["']?)([A-Za-z0-9_-]+)\1[ ]*:(?:[ ]|$)""")
        for offset, text in enumerate(self.document.text[section.end() :].split("\n")[1:], 1):
            if text and text[0] not in " #":
                break
            if match := entry.match(text):
                found.append((match[2], Position(self.source, line + offset, len(indent[1]) + 1)))
        return dict(found) if [name for name, _ in found] == list(self.outputs) else {}


def parse(text: str, source: str) -> Manifest:
    """Read one manifest; ``source`` is the name of its file, as people know it.

    Raises ManifestError when the text is not YAML, is not a manifest, or is one of a newer version.
    """
    document = load(text, source)
    _check_top(document)
    problems = list(_problems(document))
    sections = {name: _mappings(document.data.get(name)) for name in _SECTIONS if name != "defaults"}
    defaults = document.data.get("defaults")
    return Manifest(
        document,
        **sections,
        defaults=defaults if isinstance(defaults, dict) else {},
        moved=[
            (index, (move["from"], move["to"]))
            for index, move in enumerate(_list(document.data.get("moved")))
            if not any(_move_problems(move))
        ],
        problems=tuple(problems),
    )


def parse_all(texts: Iterable[tuple[str | bytes, str]]) -> list[Manifest]:
    """Read several manifests, given as (text or bytes, source). Raises one ManifestError for all unreadable ones."""
    manifests: list[Manifest] = []
    problems: list[Diagnostic] = []
    for text, source in texts:
        try:
            manifests.append(parse(decode(text, source) if isinstance(text, bytes) else text, source))
        except ManifestError as error:
            problems.extend(error.diagnostics)
    if problems:
        raise ManifestError(problems)
    return manifests


def _mappings(section: object) -> dict[str, Mapping[str, Any]]:
    if not isinstance(section, dict):
        return {}
    return {name: value for name, value in section.items() if isinstance(value, dict) and NAME.fullmatch(name)}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _check_top(document: Document) -> None:
    data = document.data
    if not isinstance(data, dict):
        what = "the manifest is empty" if data is None else "a manifest is a mapping of keys"
        raise ManifestError([document.diagnostic("error", (), what, "begin with `version: 1` and `outputs:`")])
    version = data.get("version")
    if "version" not in data:
        raise ManifestError(
            [document.diagnostic("error", (), "`version` is missing", "write `version: 1` as the first line")]
        )
    if isinstance(version, int) and not isinstance(version, bool) and version > VERSION:
        summary = f"this manifest is of version {version}, and this program knows only version {VERSION}"
        raise ManifestError([document.diagnostic("error", ("version",), summary, "install a newer reconciler")])
    if version != VERSION or isinstance(version, bool):
        summary = f"`version` must be {VERSION}"
        raise ManifestError([document.diagnostic("error", ("version",), summary, f"write `version: {VERSION}`")])


def _problems(document: Document) -> Iterator[Diagnostic]:
    data = document.data
    for path, advice in schema.unknown_keys(schema.Document, data):
        yield document.diagnostic("error", path, f"unknown key `{path[-1]}`", advice, on_key=True)
    for section in _SECTIONS:
        value = data.get(section)
        if value is not None and not isinstance(value, dict):
            yield document.diagnostic("error", (section,), f"`{section}` must be a mapping", None)
        elif section != "defaults" and value:
            yield from _section_problems(document, section, value)
    yield from _moved_problems(document, data.get("moved"))


def _section_problems(document: Document, section: str, entries: Mapping[str, Any]) -> Iterator[Diagnostic]:
    for name, value in entries.items():
        if not NAME.fullmatch(name):
            advice = "use letters, digits, - and _"
            yield document.diagnostic("error", (section, name), f"`{name}` cannot be a name", advice, on_key=True)
        if not isinstance(value, dict):
            summary = f"`{name}` must be a mapping" if value is not None else f"`{name}` is empty"
            yield document.diagnostic("error", (section, name), summary, None, on_key=True)


def _moved_problems(document: Document, moved: object) -> Iterator[Diagnostic]:
    if moved is not None and not isinstance(moved, list):
        yield document.diagnostic("error", ("moved",), "`moved` must be a list", "write `- {from: old, to: new}`")
    for index, move in enumerate(_list(moved)):
        for summary in _move_problems(move):
            yield document.diagnostic("error", ("moved", index), summary, "write `{from: old, to: new}`")


def _move_problems(move: object) -> Iterator[str]:
    if not isinstance(move, dict):
        yield "a move is a mapping of `from` and `to`"
        return
    for key in ("from", "to"):
        if not isinstance(move.get(key), str):
            yield f"`{key}` must be an address"
