"""What a plan was decided from, and whether the world is still like that. Pure.

A saved plan is carried out only when everything that it was decided from is unchanged: objects by ETag, records and
templates by digest, submissions by job or token.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import Any, Final

from reconciler.plan import EFFECTIVE, MAKES, RENDERS, Action, Plan
from reconciler.plan_templates import TEMPLATE_EFFECTS, TemplateAction, differs
from reconciler.state import ObservedState, Record, StoredTemplate

_GOING: Final = frozenset({"delete", "forget"})
_WRITES: Final = MAKES - {"wait"}
"""Actions that put another object under their key."""


@dataclass(frozen=True, slots=True)
class Before:
    """What the decision about an output was made from.

    ``objects`` has the ETag of the object under its key and of each of its sources, None where there was none;
    ``record`` is a digest of its record; ``pending`` the job of its submission, or its token while that is in doubt.
    """

    objects: Mapping[str, str | None] = field(default_factory=dict)
    record: str | None = None
    pending: str | None = None


@dataclass(frozen=True, slots=True)
class TemplateBefore:
    """What the decision about a template was made from: digests of what the service kept, by id, and of our record."""

    stored: Mapping[str, str] = field(default_factory=dict)
    record: str | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """What the world must still look like, by address, for a plan to be carried out."""

    outputs: Mapping[str, Before] = field(default_factory=dict)
    templates: Mapping[str, TemplateBefore] = field(default_factory=dict)

    @property
    def keys(self) -> frozenset[str]:
        """The keys of the objects to look at."""
        return frozenset(key for before in self.outputs.values() for key in before.objects)


# What the world looked like.


def expectations(plan: Plan, observed: ObservedState) -> Expected:
    """Return what the actions of a plan were decided from, as far as it may change their outcome."""
    former = {new: old for old, new in plan.moves.items()}
    outputs = {
        address: _before(former.get(address, address), keys, observed) for address, keys in watched(plan).items()
    }
    templates = {address: _template_before(action, observed) for address, action in watched_templates(plan).items()}
    return Expected(outputs, templates)


def watched(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Return the addresses that a plan is about, each with the keys that it was decided by.

    A source that the same plan makes is left out: it is going to change.
    """
    renamed: dict[str, tuple[str, ...]] = dict.fromkeys((*plan.moves.values(), *plan.upgrades), ())
    return renamed | {
        action.address: _keys_of(action)
        for action in plan.actions
        if action.kind != "none" or action.address in plan.moves.values()
    }


def _keys_of(action: Action) -> tuple[str, ...]:
    """Return the keys of its object, of what that is made of, and of what it is copied from."""
    origin = {action.origin.object} if action.origin else set()
    return tuple(sorted({action.object, *action.sources, *origin} - set(action.upstream.values())))


def watched_templates(plan: Plan) -> dict[str, TemplateAction]:
    """Return the templates to do something about, and those that are going to be rendered with."""
    named = {name for action in plan.actions if action.kind in RENDERS for name in action.templates}
    return {action.address: action for action in plan.templates if action.kind != "none" or action.address in named}


def _before(address: str, keys: tuple[str, ...], observed: ObservedState) -> Before:
    objects = {key: observed.objects[key].etag if key in observed.objects else None for key in keys}
    record, begun = observed.records.get(address), observed.pending.get(address)
    return Before(objects, digest_of(plain(record)) if record else None, (begun.job or begun.token) if begun else None)


def _template_before(action: TemplateAction, observed: ObservedState) -> TemplateBefore:
    record = observed.template_records.get(action.address)
    stored = {there.id: digest_of(plain(there)) for there in observed.templates if _is_about(action, there)}
    return TemplateBefore(stored, digest_of(plain(record)) if record else None)


def _is_about(action: TemplateAction, there: StoredTemplate) -> bool:
    """Tell whether a template of the service matters to an action: that of its id, and before it has one, namesakes."""
    return there.id == action.id or (action.id is None and (there.tag, there.name) == (action.tag, action.name))


# What it looks like now.


def stale(plan: Plan, expected: Expected, observed: ObservedState) -> tuple[str, ...]:
    """Name everything that the plan relies on and that is no longer so; nothing when it can be carried out."""
    now = expectations(plan, observed)
    former = {new: old for old, new in plan.moves.items()}
    found: list[str] = []
    for address, kept in expected.templates.items():
        found.extend(f"{address}: {text}" for text in _template_moved(kept, now.templates[address]))
    for address, was in expected.outputs.items():
        if address in former and address in observed.records:
            found.append(f"{address}: is recorded under this address already")
        else:
            old = former.get(address, address)
            found.extend(f"{address}: {text}" for text in _moved(old, was, now.outputs[address], observed))
    return tuple(found) or tuple(_foreign(plan, observed))


def _moved(address: str, was: Before, now: Before, observed: ObservedState) -> Iterator[str]:
    record = observed.records.get(address)
    explained = None
    if now.record != was.record:
        yield _new_record(record, anew=was.record is not None)
        explained = record.object if record and now.objects.get(record.object) == record.etag else None
    elif now.pending != was.pending:
        begun = observed.pending.get(address)
        job = f" (job {begun.job})" if begun and begun.job else ""
        yield f"was submitted meanwhile{job}" if begun else "its submission was settled meanwhile"
    for key, before in was.objects.items():
        after = now.objects[key]
        if after != before and key != explained:
            yield _changed(key, before, after)


def _new_record(record: Record | None, *, anew: bool) -> str:
    if record is None:
        return "its record is gone"
    job = f" (job {record.job})" if record.job else ""
    if anew:
        return f"its record has changed{job}"
    return f"was made meanwhile{job}" if job else "was recorded meanwhile"


def _changed(key: str, before: str | None, after: str | None) -> str:
    if before is None:
        return f"{key} did not exist, exists now"
    return f"{key} is gone" if after is None else f'{key} was "{before}", is now "{after}"'


def _template_moved(was: TemplateBefore, now: TemplateBefore) -> Iterator[str]:
    if now.record != was.record:
        yield "was recorded meanwhile" if now.record else "its record is gone"
        return
    for name in sorted(was.stored.keys() | now.stored.keys()):
        if name not in now.stored:
            yield f"{name} is gone"
        elif name not in was.stored:
            yield f"{name}, of the same name, exists now"
        elif now.stored[name] != was.stored[name]:
            yield f"{name} was changed meanwhile"


def _foreign(plan: Plan, observed: ObservedState) -> Iterator[str]:
    """Yield what a plan for this lockfile could not hold: it would touch what is not ours."""
    made = {action.address for action in plan.actions if action.kind in EFFECTIVE - _GOING}
    former = {new: old for old, new in plan.moves.items()}
    ours = {glance.object: glance.etag for glance in observed.glances.values()}
    for action in plan.actions:
        begun = observed.pending.get(former.get(action.address, action.address))
        if action.kind == "delete" and ours.get(action.object) != action.seen:
            yield f"{action.address}: {action.object} is not ours to delete"
        if action.kind in _WRITES and action.object in observed.objects and action.object not in ours and not begun:
            yield f"{action.address}: {action.object} is not ours to replace"
        if action.kind == "wait" and begun is None and action.origin is None:
            yield f"{action.address}: nothing of it is under way"
        if action.kind in _WRITES and not action.upstream.keys() <= made:
            yield f"{action.address}: what it is made of is not made"
    for template in plan.templates:
        if template.kind in ("update", "delete") and template.address not in observed.template_records:
            yield f"{template.address}: is not ours"


def carried_out(plan: Plan, expected: Expected, observed: ObservedState) -> bool:
    """Tell whether everything that a plan says has come about, so that it is stale because it was applied."""
    now = expectations(plan, observed)
    actions = [action for action in plan.actions if action.kind in EFFECTIVE]
    templates = [action for action in plan.templates if action.kind in TEMPLATE_EFFECTS]
    return (
        bool(actions or templates or plan.moves)
        and not plan.moves.keys() & observed.records.keys()
        and all(_is_kept(action, observed) for action in templates)
        and all(
            _is_done(action, observed) and now.outputs[action.address] != expected.outputs[action.address]
            for action in actions
        )
    )


def _is_done(action: Action, observed: ObservedState) -> bool:
    record = observed.records.get(action.address)
    if action.kind in _GOING:
        return record is None and action.address not in observed.pending
    return record is not None and record.request == action.request and action.inputs.items() <= record.inputs.items()


def _is_kept(action: TemplateAction, observed: ObservedState) -> bool:
    record = observed.template_records.get(action.address)
    if action.kind in _GOING:
        return record is None
    there = {template.id: template for template in observed.templates}
    return (
        record is not None
        and record.content == action.content
        and record.id in there
        and not differs(there[record.id], record)
    )


# Values as data.


def plain(value: Any) -> Any:
    """Return a dataclass as plain data, without the fields that have their default value."""
    if is_dataclass(value):
        present = ((part, getattr(value, part.name)) for part in fields(value))
        return {part.name: plain(held) for part, held in present if held != _default(part)}
    if isinstance(value, Mapping):
        return {key: plain(held) for key, held in value.items()}
    return [plain(held) for held in value] if isinstance(value, tuple | list) else value


def _default(part: Field[Any]) -> Any:
    return part.default if part.default_factory is MISSING else part.default_factory()


def digest_of(data: Any) -> str:
    """Digest plain data. Raises ValueError for texts that cannot be encoded."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:40]
