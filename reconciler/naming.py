"""Name what changed since an output was made: the fields, the inputs, what it is made of. Pure; a part of ``plan``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.action import Action
from reconciler.fingerprint import content
from reconciler.state import Record

if TYPE_CHECKING:
    from reconciler.changes import Change


def changed(draft: Action, record: Record) -> Action:
    """Name what changed: the fields, the inputs, or what it is made of."""
    from reconciler.changes import Change, changes

    fields = changes(content(record.request), content(draft.request))
    if record.object != draft.object:
        fields = (Change("output.object", record.object, draft.object), *fields)
    inputs = tuple(
        Change(f"inputs.{key}", record.inputs.get(key), etag)
        for key, etag in sorted(draft.inputs.items())
        if key in record.inputs and record.inputs[key] != etag
    )
    upstream = tuple(Change(f"inputs.{key}", record.inputs.get(key), None) for _, key in sorted(draft.upstream.items()))
    reason = _why(fields, inputs, draft.upstream) if fields or record.inputs else "what its sources held is not known"
    return replace(draft, kind="replace", reason=reason, changes=(*fields, *inputs, *upstream))


def _why(fields: tuple[Change, ...], inputs: tuple[Change, ...], upstream: Mapping[str, str]) -> str:
    if fields:
        from reconciler.changes import first_of

        return first_of(fields)
    if inputs:
        names = [change.path.removeprefix("inputs.") for change in inputs]
        return f"{names[0]} changed" if len(names) == 1 else f"{names[0]} and {len(names) - 1} more inputs changed"
    if upstream:
        return (
            f"{', '.join(sorted(upstream))} is made anew" if len(upstream) == 1 else "what it is made of is made anew"
        )
    return "changed"
