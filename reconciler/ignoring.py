"""``ignore_changes``: what a person wants left as it is. Pure; a part of ``plan``.

A path names a node of the entry, ``inputs`` what the sources hold (``inputs.KEY`` that of one source), ``object`` what
became of the object outside.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from reconciler.state import Output, Record, request_keys

OBJECT: Final = "object"
INPUTS: Final = "inputs"


def ignores_object(output: Output) -> bool:
    """Tell whether an object that was changed or deleted outside is left so."""
    return OBJECT in output.ignore_changes


def ignored_inputs(output: Output, inputs: Mapping[str, str], record: Record) -> dict[str, str]:
    """Return the ETags of sources as they are compared: the recorded ones where a change of a source is ignored."""
    ignored = [
        key
        for key in record.inputs
        if key in output.sources and (INPUTS in output.ignore_changes or f"{INPUTS}.{key}" in output.ignore_changes)
    ]
    return {**inputs, **{key: record.inputs[key] for key in ignored}} if ignored else dict(inputs)


def effective_request(output: Output, record: Record | None) -> dict[str, Any]:
    """Return the request of an output as it is planned and sent: with the recorded values at its ignored paths."""
    request = request_keys(output)
    if record is None:
        return request
    operation = request["operation"][0]
    for path in output.ignore_changes:
        if path == OBJECT or path.partition(".")[0] == INPUTS:
            continue
        operation = _graft(operation, record.request["operation"][0], path_steps(path))
    return {**request, "operation": [operation]}


def path_steps(path: str) -> list[str | int]:
    """Split the path of a field: ``splice_info[1].x`` → ``["splice_info", 1, "x"]``."""
    return [int(index) if index else name for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path)]


def _graft(target: Any, source: Any, steps: list[str | int]) -> Any:
    """Return ``target`` with the value that ``source`` has under ``steps``, or without it when it has none."""
    head, *rest = steps
    if isinstance(target, list) and isinstance(head, int) and head < len(target):
        before = source[head] if isinstance(source, list) and head < len(source) else None
        item = _graft(target[head], before, rest) if rest else before
        return [*target[:head], *([item] if item is not None else []), *target[head + 1 :]]
    if not isinstance(target, Mapping) or isinstance(head, int):
        return target
    before = source.get(head) if isinstance(source, Mapping) else None
    if rest:
        return {**target, head: _graft(target[head], before, rest)} if head in target else target
    without = {key: value for key, value in target.items() if key != head}
    return without if before is None else {**without, head: before}
