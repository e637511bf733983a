"""Which outputs are alike: those of an entry with rows, and entries that read the same but for their texts.

What alike outputs share, and what is looked at in each, is in ``stencil``; ``request`` builds the first of them, and
every one that is out of the ordinary.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple, NoReturn

from reconciler.api.messages import JobRequest
from reconciler.diagnostics import Position
from reconciler.errors import ManifestError
from reconciler.expression import ExpressionError, Names
from reconciler.manifest import Manifest
from reconciler.resolve.declaration import Declaration, merge_defaults
from reconciler.resolve.instances import ROW_KEYS, Instance
from reconciler.resolve.references import known_key
from reconciler.resolve.request import Bench, Builder
from reconciler.resolve.stencil import Draft, Kind, Leaf, Stencil, ordinary, split, variant
from reconciler.resolve.values import Compiler, Failures
from reconciler.schema import is_template
from reconciler.selector import LABEL_KEY

MAX_STENCILS: Final = 1000
"""Stencils of one entry. Where rows differ in so much more than names, each is built for itself."""

MAX_SEEN: Final = 100_000
"""Keys of one entry that are remembered without a stencil."""

MAX_FRAMES: Final = 10_000
"""Frames of one manifest that are remembered."""


class Origin(NamedTuple):
    """Where an output comes from: the entry, where that begins, and what builds its outputs in full."""

    declaration: Callable[[], Declaration]
    declared_at: Position
    builder: Callable[[], Builder]


class Alike:
    """Outputs of one frame: draws those that it can, and has the others built."""

    def __init__(self, bench: Bench, frame: Mapping[str, Any], leaves: Sequence[Leaf]) -> None:
        failures: Failures = []
        compiler = bench.compiler
        self._bench = bench
        self._labels = compiler.value(frame.get("labels"), ("labels",), failures)
        self._frame = {
            key: compiler.value(value, (key,), failures)
            for key, value in frame.items()
            if key not in ROW_KEYS and key != "labels"
        }
        self._bound = [value for value in self._frame.values() if value.build is not None]
        self._kinds: tuple[Kind, ...] = tuple(leaf.kind for leaf in leaves)
        self._object = self._kinds.index("object") if "object" in self._kinds else -1
        self._usable = not failures
        self._stencils: dict[Hashable, Stencil] = {}
        self._seen: set[int] = set()
        self._shared: dict[Hashable, Mapping[str, str]] = {}

    def draft(self, values: Sequence[Any], instance: Instance, origin: Origin) -> Draft | None:
        """Return the output whose leaves have these values, or None when it is wrong, which has been reported."""
        names = instance.names
        texts = self._texts(values) if self._usable else None
        key = self._key(texts, names) if texts is not None else None
        if texts is None or key is None:
            return origin.builder().build(instance)
        stencil = self._stencils.get(key)
        labels = None if stencil is None or self._labels.build is None else self._row_labels(names)
        if stencil is not None and (labels is not None or self._labels.build is None):
            if stencil.warnings:
                replace(stencil.report, declaration=origin.declaration(), address=instance.address).rules(
                    stencil.warnings
                )
            output = stencil.output(instance.address, texts, origin.declared_at, instance.row, labels)
            return Draft(output, stencil.references(texts), stencil.report)
        draft = origin.builder().build(instance)
        if draft is not None and stencil is None:
            self._learn(key, draft, texts, names)
        return draft

    def _texts(self, values: Sequence[Any]) -> tuple[str, ...] | None:
        """Return the texts of the leaves, sources named by their keys; None when one is not ordinary."""
        if all(map(ordinary, self._kinds, values)):
            return tuple(values)
        bucket, region = self._bench.bucket, self._bench.region
        keys = tuple(
            known_key(value, bucket, region) if kind == "url" and type(value) is str else value
            for kind, value in zip(self._kinds, values, strict=True)
        )
        return keys if all(map(ordinary, self._kinds, keys)) else None

    def _key(self, texts: tuple[str, ...], names: Names) -> Hashable:
        """Return what decides which stencil fits, or None when that cannot be told."""
        shape = variant(texts[self._object]) if self._object >= 0 else ""
        if not self._bound:
            return shape
        failures: Failures = []
        values = [value.get(names, failures) for value in self._bound]
        return None if failures or not all(map(_is_plain, values)) else (shape, repr(values))

    def _row_labels(self, names: Names) -> Mapping[str, str] | None:
        """Return the labels of a row, one mapping for all that have the same; None when they need a closer look."""
        failures: Failures = []
        labels = self._labels.get(names, failures)
        if failures or type(labels) is not dict:
            return None
        read = tuple(labels.items())
        if read not in self._shared:
            if not all(type(value) is str and LABEL_KEY.fullmatch(key) for key, value in read):
                return None
            self._shared[read] = labels
        return self._shared[read]

    def _learn(self, key: Hashable, draft: Draft, texts: tuple[str, ...], names: Names) -> None:
        """Make a stencil of the second output of a key: one that stays the only one is not worth it."""
        if len(self._stencils) >= MAX_STENCILS:
            return
        if hash(key) not in self._seen:
            if len(self._seen) < MAX_SEEN:
                self._seen.add(hash(key))
            return
        frame = {key: value.get(names, []) for key, value in self._frame.items()}
        items = self._marked_items(draft, frame, names)
        stencil = Stencil.learn(draft, self._kinds, texts, frame, items) if items is not None else None
        if stencil is not None:
            self._stencils[key] = stencil

    def _marked_items(self, draft: Draft, frame: Mapping[str, Any], names: Names) -> Sequence[Any] | None:
        """Return the sources of the witness with marks in the place of the leaves."""
        if frame.get("layout") is None:
            items: Sequence[Any] = frame["video_synthesis"]["splice_info"]
            return items
        layout = self._bench.layouts.get(frame["layout"])
        if layout.sees_rows:
            return None
        transcode = draft.output.request.operation[0].transcode
        assert transcode is not None  # without a canvas the layout could not have been rendered
        assert transcode.video is not None
        canvas = {"width": transcode.video.width, "height": transcode.video.height}
        given = frame.get("with") or {}
        try:
            return layout.expand({"each": {}, **names, **given, "canvas": canvas}, draft.output.address)
        except ManifestError:
            return None


class Rebuilt(NamedTuple):
    """A row out of the ordinary: built once, to be checked, and again when somebody asks. A request takes 8 KiB."""

    builder: Builder
    instance: Instance
    content: str

    def request(self) -> JobRequest:
        """Build the job request again."""
        return self.builder.again(self.instance)

    def digest(self) -> str:
        """Return the digest of the request's content."""
        return self.content


class RowsAlike:
    """The outputs of an entry with rows: what depends on the row alone is a leaf."""

    def __init__(self, bench: Bench, declaration: Declaration) -> None:
        passed = passed_on(bench, declaration.data.get("layout"))
        frame, leaves = split(declaration.data, passed, lambda kind, text: kind == "output" or is_template(text))
        self._builder = builder = Builder(bench, declaration)
        self._alike = Alike(bench, frame, leaves)
        self._leaves = _evaluators(bench.compiler, leaves)
        self._origin = Origin(lambda: declaration, builder.declared_at, lambda: builder)

    def draft(self, instance: Instance) -> Draft | None:
        """Return the output of one row, or None when it is wrong, which has been reported."""
        try:
            values = [evaluate(instance.names) for evaluate in self._leaves]
        except Exception:  # noqa: BLE001 - the texts are programs of the manifest's author: they may raise anything
            draft = self._builder.build(instance)
        else:
            draft = self._alike.draft(values, instance, self._origin)
        if draft is None or draft.output.recipe is not None or draft.references:
            return draft
        rebuilt = Rebuilt(self._builder, instance, draft.output.digest)
        return draft._replace(output=draft.output.by(rebuilt))


class EntriesAlike:
    """The entries of a manifest that have no rows: those that read the same but for their texts are alike."""

    def __init__(self, bench: Bench, manifest: Manifest) -> None:
        self._bench = bench
        self._manifest = manifest
        self._frames: dict[str, Alike | None] = {}

    def draft(self, name: str, declaration: Callable[[], Declaration]) -> Draft | None:
        """Return the output of an entry, or None when it is wrong, which has been reported."""
        entry, defaults = self._manifest.outputs[name], self._manifest.defaults
        frame, leaves = split(entry, passed_on(self._bench, entry.get("layout") or defaults.get("layout")), _every)
        instance = Instance(name, self._bench.compiler.fixed)
        reads = repr(frame)
        values = self._values(leaves)
        if values is None or reads not in self._frames:
            if values is not None and len(self._frames) < MAX_FRAMES:
                self._frames[reads] = None
            return Builder(self._bench, declaration()).build(instance)
        alike = self._frames[reads]
        if alike is None:  # the second of its kind: now it is worth while
            alike = self._frames[reads] = Alike(self._bench, merge_defaults(defaults, frame), leaves)
        origin = Origin(declaration, self._manifest.declared_at(name), lambda: Builder(self._bench, declaration()))
        return alike.draft(values, instance, origin)

    def _values(self, leaves: Sequence[Leaf]) -> list[Any] | None:
        failures: Failures = []
        compiler = self._bench.compiler
        values = [
            compiler.value(leaf.text, (), failures).constant if is_template(leaf.text) else leaf.text for leaf in leaves
        ]
        return None if failures else values


def passed_on(bench: Bench, layout: object) -> Mapping[str, bool]:
    """Return the parameters that a layout does not look at; none when it is not known yet which layout it is."""
    if not isinstance(layout, str) or is_template(layout):
        return {}
    try:
        return bench.layouts.get(layout).passed_on
    except (ExpressionError, ManifestError):
        return {}  # reported when an output is built


def _evaluators(compiler: Compiler, leaves: Iterable[Leaf]) -> list[Callable[[Any], Any]]:
    """Return what evaluates each leaf; one that is wrong raises, and is reported when an output is built."""

    def refuse(_: Names) -> NoReturn:
        raise ExpressionError("the text is wrong for every row")

    found: list[Callable[[Any], Any]] = []
    for leaf in leaves:
        try:
            found.append(compiler.evaluator(leaf.text))
        except ExpressionError:
            found.append(refuse)
    return found


def _every(_kind: Kind, _text: str) -> bool:
    return True


def _is_plain(value: Any) -> bool:
    """Tell whether the text of a value says all about it."""
    if type(value) is dict:
        return all(type(key) is str and _is_plain(item) for key, item in value.items())
    if type(value) is list:
        return all(map(_is_plain, value))
    return value is None or type(value) in (str, int, float, bool)
