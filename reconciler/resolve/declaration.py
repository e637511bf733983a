"""One entry of a manifest with the defaults of its file merged under it, and where each node of it stands.

Nothing is rendered here and no row is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from reconciler.diagnostics import Diagnostic, Severity
from reconciler.manifest import Manifest
from reconciler.yaml import Path, lookup

_CHOICES: Final = (
    ("transcode_template", "transcode", "transcode_template_id"),
    ("watermark_template", "watermark", "watermark_template_id"),
)
"""Ways to say the same thing. The first excludes the others; an entry's choice replaces that of the defaults."""

_ABSENT: Final = object()


@dataclass(frozen=True)
class Declaration:
    """An entry as it counts: ``data`` under manifest keys, ``output`` always a mapping."""

    manifest: Manifest
    name: str
    data: Mapping[str, Any]

    @property
    def rowed(self) -> bool:
        """Whether the entry stands for an output of every row."""
        return self.data.get("for_each") is not None or self.data.get("matrix") is not None

    def place(self, path: Path) -> Path:
        """Return where a node of the entry stands in its file: in the entry, or in the defaults."""
        entry, defaults = self.manifest.outputs[self.name], self.manifest.defaults
        if lookup(entry, path, _ABSENT) is not _ABSENT or not path:
            return ("outputs", self.name, *path)
        deepest = next(n for n in range(len(path), -1, -1) if lookup(entry, path[:n], _ABSENT) is not _ABSENT)
        inherited = next(n for n in range(len(path), -1, -1) if lookup(defaults, path[:n], _ABSENT) is not _ABSENT)
        if inherited > deepest and isinstance(lookup(entry, path[:deepest]), dict):
            return ("defaults", *path[:inherited])
        return ("outputs", self.name, *path[: deepest + 1])

    def has(self, path: Path) -> bool:
        """Tell whether a person wrote the node under ``path``, in the entry or in the defaults."""
        return self.manifest.document.has(self.place(path)) and lookup(self.data, path, _ABSENT) is not _ABSENT

    def diagnostic(
        self, severity: Severity, path: Path, summary: str, advice: str | None = None, *, on_key: bool = False
    ) -> Diagnostic:
        """Make a diagnostic that points at a node of the entry, or at its nearest existing parent."""
        at = self.place(path)
        return self.manifest.diagnostic(severity, at, summary, advice, on_key=on_key or len(at) == 2)


def declare(manifest: Manifest, name: str, report: Callable[[Diagnostic], None]) -> Declaration:
    """Merge the defaults under an entry and report what excludes each other in it."""
    entry, defaults = manifest.outputs[name], manifest.defaults
    declaration = Declaration(manifest, name, merge_defaults(defaults, entry))
    for path, summary, advice in _contradictions(entry, declaration.data):
        report(declaration.diagnostic("error", path, summary, advice, on_key=True))
    return declaration


def check_defaults(manifest: Manifest) -> Iterator[Diagnostic]:
    """Yield what excludes each other in the defaults themselves."""
    for path, summary, advice in _contradictions(manifest.defaults, {"layout": "", "for_each": ""}):
        yield manifest.diagnostic("error", ("defaults", *path), summary, advice, on_key=True)


def merge_defaults(defaults: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """Merge deeply: mappings key by key, everything else replaced; a null in the entry takes a default away."""
    base = _normal(defaults)
    given = _normal(entry)
    for choice in _CHOICES:
        if any(given.get(key) is not None for key in choice):
            for key in choice:
                if key not in given:
                    base.pop(key, None)
    if _placed_by_hand(given):
        base.pop("layout", None)
        base.pop("with", None)
    elif given.get("layout") is not None and _placed_by_hand(base):
        base["video_synthesis"] = {k: v for k, v in base["video_synthesis"].items() if k != "splice_info"}
    return merge(base, given)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``over`` merged over ``base``; nodes are shared, not copied."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if value is None:
            merged.pop(key, None)
        elif isinstance(below, dict) and isinstance(value, dict):
            merged[key] = merge(below, value)
        else:
            merged[key] = value
    return merged


def _normal(entry: Mapping[str, Any]) -> dict[str, Any]:
    normal = dict(entry)
    output = normal.get("output")
    if output is not None and not isinstance(output, dict):
        normal["output"] = {"object": output}
    return normal


def _placed_by_hand(entry: Mapping[str, Any]) -> bool:
    return lookup(dict(entry), ("video_synthesis", "splice_info")) is not None


def _contradictions(entry: Mapping[str, Any], whole: Mapping[str, Any]) -> Iterator[tuple[Path, str, str]]:
    for template, *others in _CHOICES:
        for other in others:
            if entry.get(template) is not None and entry.get(other) is not None:
                yield (other,), f"`{other}` and `{template}` exclude each other", "leave one of the two out"
    if entry.get("layout") is not None and _placed_by_hand(entry):
        advice = "leave one of the two out"
        yield ("video_synthesis", "splice_info"), "`splice_info` and `layout` exclude each other", advice
    if entry.get("with") is not None and whole.get("layout") is None:
        yield ("with",), "`with` has no effect without `layout`", "name a layout"
    yield from _rows_contradictions(entry, whole)


def _rows_contradictions(entry: Mapping[str, Any], whole: Mapping[str, Any]) -> Iterator[tuple[Path, str, str]]:
    if entry.get("matrix") is not None and entry.get("for_each") is not None:
        yield ("matrix",), "`matrix` and `for_each` exclude each other", "leave one of the two out"
    if entry.get("exclude") is not None and whole.get("matrix") is None:
        advice = "give the combinations with `matrix`, or leave it out"
        yield ("exclude",), "`exclude` has no effect without `matrix`", advice
    if entry.get("key") is not None and whole.get("for_each") is None and whole.get("matrix") is None:
        advice = "give the rows with `for_each` or `matrix`, or leave it out"
        yield ("key",), "`key` has no effect without `for_each` or `matrix`", advice
