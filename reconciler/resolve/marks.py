"""What an entry says about itself that no request holds: protect, adopt, ignore_changes, labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from reconciler import schema
from reconciler.api.messages import Operation
from reconciler.api.node import Bool, Node, Text
from reconciler.resolve.problems import show
from reconciler.resolve.report import Report
from reconciler.resolve.templates import validated
from reconciler.resolve.values import Value
from reconciler.selector import LABEL_KEY


class Marks(Node):
    """The marks of one output, their types checked; ``labels`` are checked by hand, to be named one by one."""

    protect: Bool | None = None
    adopt: Bool | None = None
    ignore_changes: tuple[Text, ...] | None = None
    labels: dict[str, Any] | None = None


class MarkReader:
    """Reads the marks of an entry's outputs; once, when they are the same for every row."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._keys = [key for key in Marks.model_fields if key in values]
        self._vary = any(values[key].build is not None for key in self._keys)
        self._fixed: Marks | None = None

    def read(self, values: Mapping[str, Any], report: Report) -> Marks:
        """Return the marks of one output, and report what is wrong with them."""
        if self._fixed is not None:
            return self._fixed
        try:
            marks = validated(Marks, {key: values[key] for key in self._keys})
        except ValidationError as error:
            report.types(Marks, error)
            return Marks()
        for index, path in enumerate(marks.ignore_changes or ()):
            if (problem := _unknown_path(path)) is not None:
                report.error(("ignore_changes", index), *problem)
        marks = marks.model_copy(update={"labels": _labels(marks.labels or {}, report)})
        if not self._vary and not report.failed:
            self._fixed = marks
        return marks


def _labels(labels: Mapping[str, Any], report: Report) -> dict[str, str]:
    found = {}
    for key, value in labels.items():
        if value is None:
            continue  # a null takes a label away, as it does everywhere
        if not LABEL_KEY.fullmatch(key):
            advice = "use letters, digits, _ . / and -"
            report.error(("labels", key), f"`{key}` cannot be the key of a label", advice)
        elif isinstance(value, bool) or not isinstance(value, str | int | float):
            report.error(("labels", key), f"the label `{key}` must be a text, not {show(value)}", "write it in quotes")
        else:
            found[key] = str(value)
    return found


def _unknown_path(path: str) -> tuple[str, str | None] | None:
    """Return what is wrong with a path of ``ignore_changes`` such as ``video_synthesis.splice_info[1].x``.

    Beside the nodes of an entry there are ``object``, ``inputs`` and ``inputs.KEY``: what changes outside.
    """
    if path in ("object", "inputs") or path.startswith("inputs."):
        return None
    known: Mapping[str, schema.Child] = {
        name: child for name, child in schema.children(Operation).items() if name != "output"
    }
    for part in path.split("."):
        name = part.partition("[")[0]
        if name not in known:
            return f"`{path}` names no node: there is no `{name}`", schema.key_advice(name, known)
        model = known[name].model
        known = schema.children(model) if model else {}
    return None
