"""What is to be done about what is no longer declared: records, begun jobs, objects under former keys. Pure.

A part of ``plan``, which has decided about everything that is declared by then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Final

from reconciler.action import MAKES, Action
from reconciler.api.messages import SUCCESS, TERMINAL
from reconciler.state import DesiredState, LiveJob, ObservedState, Record, Submission

FORMER: Final = "@"
"""Stands between the address of an output and the key at which it left an object behind; no address has it."""

_TAKES: Final = MAKES | {"adopt"}
"""Actions after which an object is recorded for their output."""


class Undeclared:
    """Decides about one of them at a time; ``decided`` are the actions for what is declared, by address."""

    def __init__(
        self, desired: DesiredState, observed: ObservedState, decided: Mapping[str, Action], *, prune: bool
    ) -> None:
        self._desired = desired
        self._observed = observed
        self._decided = decided
        self._prune = prune

    def left_behind(self, action: Action) -> Action | None:
        """Return what prune deletes once an output is at another key than before: its former object."""
        record = self._observed.records.get(action.address)
        if record is None or action.kind not in _TAKES or record.object == action.object:
            return None
        address = f"{action.address}{FORMER}{record.object}"
        there = self._observed.objects.get(record.object)
        kept = record.protect or record.object in self._owners or record.object in self._readers
        if kept or there is None or there.etag != record.etag or address in self._observed.records:
            return None
        reason = f"left behind when {action.address} got another key"
        return Action(address, "delete", reason, record.object, seen=there.etag, declared=False)

    def action(self, address: str) -> Action:
        """Return the action for a record, or a begun submission, whose output is no longer declared."""
        action = self._begun(address) or self._recorded(address)
        live = self._observed.jobs.get(address)
        job = live.job if live is not None and action.kind in ("forget", "delete") else action.job
        return replace(action, job=job, declared=False)

    def _begun(self, address: str) -> Action | None:
        """Decide by its job: what that makes is ours to prune only once it is recorded. None when it makes nothing."""
        begun = self._observed.pending.get(address)
        if begun is None:
            return None
        live, record = self._observed.jobs.get(address), self._observed.records.get(address)
        makes = live is not None and (live.state not in TERMINAL or live.state == SUCCESS)
        owner = self._owners.get(begun.object)
        if live is not None and makes and not (owner and self._is_taken_over(begun.object, owner)):
            return _taken_up(begun, live, record)
        if record is None:
            reason = "no longer declared; its job was begun and not recorded"
            return Action(address, "forget", reason, begun.object)
        return None

    def _recorded(self, address: str) -> Action:
        record = self._observed.records[address]
        why = "no longer declared"
        if FORMER in address:
            why = f"left behind when {address.partition(FORMER)[0]} got another key"
        if (owner := self._owners.get(record.object)) is not None:
            if not self._is_taken_over(record.object, owner):
                return Action(address, "none", f"{why}; kept until {owner} has its object", record.object)
            return Action(address, "forget", f"{why}; its object belongs to {owner}", record.object)
        there = self._observed.objects.get(record.object)
        if there is None:
            return Action(address, "forget", f"{why}, and already gone", record.object)
        if not self._prune:
            return Action(address, "none", f"{why}; kept, as prune is off", record.object)
        if there.etag != record.etag:
            reason = f"{why}, but changed outside; delete it by hand, or `state rm` it"
            return Action(address, "conflict", reason, record.object)
        if (reader := self._readers.get(record.object)) is not None:
            return Action(address, "none", f"{why}; kept, as {reader} is made of it", record.object)
        if record.protect:
            reason = f"{why}, but protected; `state rm` it, or delete the object by hand"
            return Action(address, "blocked", reason, record.object)
        return Action(address, "delete", why, record.object, seen=there.etag)

    @cached_property
    def _owners(self) -> Mapping[str, str]:
        """The declared output of each key."""
        return {output.object: address for address, output in self._desired.outputs.items()}

    @cached_property
    def _readers(self) -> Mapping[str, str]:
        """The declared output, one of them, that is made of each key."""
        return {source: address for address, output in self._desired.outputs.items() for source in output.sources}

    def _is_taken_over(self, key: str, owner: str) -> bool:
        """Tell whether an object is recorded for the output that is declared with its key, or is going to be."""
        record, decided = self._observed.records.get(owner), self._decided.get(owner)
        if record is not None and record.object == key:
            return True
        return decided is not None and decided.kind in _TAKES and decided.object == key


def _taken_up(begun: Submission, live: LiveJob, record: Record | None) -> Action:
    """Return the action that records what a job makes, as if it were declared still."""
    verb = "ended as" if live.state in TERMINAL else "is"
    reason = f"no longer declared; its job {live.job} {verb} {live.state}, and what it makes is recorded"
    return Action(
        begun.address, "wait", reason, begun.object, request=begun.request, inputs=begun.inputs, job=live.job,
        twins=live.twins, protect=record is not None and record.protect,
    )  # fmt: skip
