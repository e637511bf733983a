"""Which outputs a plan is about, and how much of it: the options that plan and apply share, and what they choose."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import click

from reconciler.errors import UsageError

if TYPE_CHECKING:
    from reconciler.cli import Globals
    from reconciler.diagnostics import Diagnostic
    from reconciler.state import DesiredState, Output

_LABELS_SHOWN: Final = 8
"""So many labels that exist are named when a selector matches nothing."""

_FLAGS: Final = {
    "targets": "--target",
    "excluded": "--exclude",
    "replaced": "--replace",
    "selector": "--selector",
    "changed_since": "--changed-since",
    "limit": "--limit",
    "prune": "--prune",
}


@dataclass(frozen=True, slots=True)
class Selection:
    """What a person wants a plan to be about.

    ``targets``, ``excluded`` and ``replaced`` are addresses and globs, ``selector`` conditions on labels,
    ``changed_since`` a Git revision, ``limit`` how many outputs are made at most.
    """

    targets: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    selector: str | None = None
    changed_since: str | None = None
    limit: int | None = None
    prune: bool = False

    @property
    def given(self) -> tuple[str, ...]:
        """The flags that were given."""
        return tuple(flag for name, flag in _FLAGS.items() if getattr(self, name))

    def rules(
        self, outputs: Mapping[str, Output], recorded: Collection[str], changed: Collection[str] | None = None
    ) -> dict[str, Any]:
        """Return what the planner is told, see ``plan``. Raises UsageError when a flag chooses nothing.

        ``outputs`` are those that are declared, ``recorded`` the addresses that the lockfile has, ``changed`` those
        that differ from the revision.
        """
        named = self.targets or self.excluded or self.replaced
        addresses = sorted({*outputs, *recorded}) if named else []
        return {
            "only": self._chosen(outputs, addresses, changed),
            "excluded": matching(addresses, self.excluded, "--exclude"),
            "replace_addresses": matching(addresses, self.replaced, "--replace"),
        }

    def _chosen(
        self, outputs: Mapping[str, Output], addresses: list[str], changed: Collection[str] | None
    ) -> set[str] | None:
        """Return the addresses that the plan is limited to, for which all conditions hold; None for all."""
        chosen = matching(addresses, self.targets, "--target") if self.targets else None
        if self.selector is not None:
            labelled = _labelled(outputs, self.selector)
            chosen = labelled if chosen is None else chosen & labelled
            if not chosen:
                raise UsageError(
                    f"no output is named by --target and has labels that match --selector {self.selector}",
                    advice="an output must fulfil both; leave one of them out",
                )
        if changed is None:
            return chosen
        return set(changed) if chosen is None else chosen.intersection(changed)


def changes(
    options: Globals, desired: DesiredState, selection: Selection
) -> tuple[Collection[str] | None, tuple[Diagnostic, ...]]:
    """Return the addresses that differ from the revision, and warnings; None when none is named, or all may differ."""
    if selection.changed_since is None:
        return None, ()
    from reconciler.cli.revisions import changed_since

    return changed_since(options, desired, selection.changed_since)


def selection_options(function: Callable[..., int]) -> Callable[..., int]:
    """Add the options that choose to a command, which takes them as one ``selection``."""

    @functools.wraps(function)
    def command(*args: Any, **given: Any) -> int:
        chosen = {field.name: given.pop(field.name) for field in fields(Selection)}
        return function(*args, selection=Selection(**chosen), **given)

    for option in reversed(
        (
            click.option(
                "--target", "targets", multiple=True, metavar="ADDRESS", help="Only this output and what it is made of."
            ),
            click.option("--exclude", "excluded", multiple=True, metavar="ADDRESS", help="All but this output."),
            click.option(
                "--selector", metavar="EXPR", help="Only outputs whose labels match, such as team=x,tier!=low."
            ),
            click.option(
                "--changed-since", metavar="REV", help="Only what is declared otherwise than in this Git revision."
            ),
            click.option(
                "--limit", type=click.IntRange(min=1), metavar="N", help="Make at most N outputs, for a start."
            ),
            click.option("--replace", "replaced", multiple=True, metavar="ADDRESS", help="Make this output anew."),
            click.option("--prune", is_flag=True, help="Delete objects that are no longer declared."),
        )
    ):
        command = option(command)
    return command


def matching(addresses: Collection[str], patterns: tuple[str, ...], option: str) -> set[str]:
    """Return the addresses that a pattern names. Raises UsageError for a pattern that names none."""
    found: set[str] = set()
    for pattern in patterns:
        is_named = _glob(pattern).fullmatch
        names = {address for address in addresses if is_named(address)}
        if not names:
            from reconciler.diagnostics import did_you_mean

            advice = did_you_mean(pattern, addresses) or "`reconciler status` lists the addresses"
            raise UsageError(f"{option} {pattern} names no output", advice=advice)
        found |= names
    return found


def _glob(pattern: str) -> re.Pattern[str]:
    """Read ``*`` and ``?`` as wildcards; brackets are part of addresses, not of patterns."""
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)


def _labelled(outputs: Mapping[str, Output], expression: str) -> set[str]:
    """Return the declared outputs whose labels match. Raises UsageError when there are none."""
    from reconciler.selector import SelectorError, parse_selector

    try:
        selector = parse_selector(expression)
    except SelectorError as error:
        raise UsageError(f"--selector {expression}: {error.summary}", advice=error.advice) from None
    found = {address for address, output in outputs.items() if selector.matches(output.labels)}
    if not found:
        advice = _labels_there(label for output in outputs.values() for label in output.labels.items())
        raise UsageError(f"--selector {expression} matches no output", advice=advice)
    return found


def _labels_there(labels: Iterable[tuple[str, str]]) -> str:
    """Name some of the labels that exist."""
    there = sorted({f"{key}={value}" for key, value in labels})
    if not there:
        return "no output has labels; declare them under `labels`"
    more = f" and {len(there) - _LABELS_SHOWN} more" if len(there) > _LABELS_SHOWN else ""
    return f"there are {', '.join(there[:_LABELS_SHOWN])}{more}"
