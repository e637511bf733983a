"""What is to be done about the templates that a project keeps on the service. Pure; a part of ``plan``.

As with outputs three states are compared: what is declared, what we recorded, what is there. Drift is a difference from
what the service answered when we wrote the template, so defaults that it fills in are none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from reconciler.state import DeclaredTemplate, DesiredState, ObservedState, StoredTemplate, TemplateRecord

if TYPE_CHECKING:
    from reconciler.changes import Change

TemplateKind = Literal["create", "update", "adopt", "delete", "forget", "conflict", "none"]

TEMPLATE_KINDS: Final[tuple[TemplateKind, ...]] = (
    "create", "update", "adopt", "delete", "forget", "conflict", "none",
)  # fmt: skip
TEMPLATE_EFFECTS: Final = frozenset({"create", "update", "adopt", "delete", "forget"})
"""What apply carries out."""


@dataclass(frozen=True, slots=True)
class TemplateAction:
    """One step about a template. ``content`` is what is sent; ``id`` is the template's id where it has one."""

    address: str
    kind: TemplateKind
    reason: str
    tag: str
    name: str
    content: Mapping[str, Any] = field(default_factory=dict)
    id: str | None = None
    stored: Mapping[str, Any] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()


def plan_templates(
    desired: DesiredState, observed: ObservedState, *, prune: bool, wanted: Collection[str] | None
) -> tuple[TemplateAction, ...]:
    """Decide one action for every template that is declared or recorded.

    ``wanted`` limits it to the templates that certain outputs name, and then nothing is deleted.
    """
    found = [
        _declared(template, observed)
        for address, template in desired.templates.items()
        if wanted is None or address in wanted
    ]
    if wanted is None:
        found.extend(
            _undeclared(address, record, observed, prune=prune)
            for address, record in observed.template_records.items()
            if address not in desired.templates
        )
    return tuple(sorted(found, key=lambda action: action.address))


def _declared(template: DeclaredTemplate, observed: ObservedState) -> TemplateAction:
    record = observed.template_records.get(template.address)
    draft = TemplateAction(
        template.address, "none", "up to date", template.tag, template.name, template.content,
        id=record.id if record else None,
    )  # fmt: skip
    if record is None:
        return _first(draft, observed)
    there = _by_id(observed, record.id)
    if there is None:
        draft = replace(draft, id=None)
        missing = replace(draft, kind="create", reason="the template is missing (drift)")
        return _adopted(draft, observed) or missing  # one made in its place may not have been recorded
    drifted = differs(there, record)
    changed = _changes(record.content, template.content)
    if changed:
        from reconciler.changes import first_of

        both = "both manifest and template changed: " if drifted else ""
        return replace(draft, kind="update", reason=both + first_of(changed), changes=changed)
    if drifted:
        # What is shown is what will be put back: from what is there to what we had stored.
        return replace(
            draft, kind="update", reason="the template changed outside (drift)",
            changes=_changes(there.content, record.stored),
        )  # fmt: skip
    return draft


def _first(draft: TemplateAction, observed: ObservedState) -> TemplateAction:
    """Decide for a template that we never made, or whose making was interrupted before it was recorded."""
    if (adopted := _adopted(draft, observed)) is not None:
        return adopted
    if named := _namesakes(draft, observed):
        reason = f"{named[0].id} has this name and another content, and was not made by us; rename one of the two"
        return replace(draft, kind="conflict", reason=reason, changes=_changes(named[0].content, draft.content))
    return replace(draft, kind="create", reason="not on the service yet")


def _adopted(draft: TemplateAction, observed: ObservedState) -> TemplateAction | None:
    same = next((there for there in _namesakes(draft, observed) if there.content == draft.content), None)
    if same is None:
        return None
    reason = "is on the service already, with this content"
    return replace(draft, kind="adopt", reason=reason, id=same.id, stored=same.content)


def _namesakes(draft: TemplateAction, observed: ObservedState) -> list[StoredTemplate]:
    return [there for there in observed.templates if (there.tag, there.name) == (draft.tag, draft.name)]


def _undeclared(address: str, record: TemplateRecord, observed: ObservedState, *, prune: bool) -> TemplateAction:
    there = _by_id(observed, record.id)
    draft = TemplateAction(address, "none", "", record.tag, record.name, id=record.id)
    if there is None:
        return replace(draft, kind="forget", reason="no longer declared, and already gone")
    if not prune:
        return replace(draft, reason="no longer declared; kept, as prune is off")
    if record.adopted:
        return replace(draft, kind="forget", reason="no longer declared; it was there before us, and stays there")
    if differs(there, record):
        reason = f"no longer declared, but changed outside; delete {record.id} by hand"
        return replace(draft, kind="conflict", reason=reason)
    return replace(draft, kind="delete", reason="no longer declared")


def _by_id(observed: ObservedState, name: str) -> StoredTemplate | None:
    return next((there for there in observed.templates if there.id == name), None)


def differs(there: StoredTemplate, record: TemplateRecord) -> bool:
    """Tell whether a template is no longer what the service answered when we wrote it."""
    return (there.tag, there.name, there.content) != (record.tag, record.name, record.stored)


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    if before == after:
        return ()
    from reconciler.changes import changes

    return changes(before, after)


def in_the_way(actions: Collection[TemplateAction]) -> Iterator[tuple[str, str]]:
    """Yield the addresses that outputs cannot be made with, and why."""
    for action in actions:
        if action.kind == "conflict" and action.content:
            yield action.address, f"its template {action.name} is in conflict"
