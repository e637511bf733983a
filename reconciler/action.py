"""A plan as a value: what is done to which output, and why. It prints, is saved to a file, and applies from one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from reconciler.plan_templates import TEMPLATE_EFFECTS, TemplateAction

if TYPE_CHECKING:
    from reconciler.changes import Change

Kind = Literal["create", "replace", "reuse", "adopt", "wait", "delete", "forget", "conflict", "blocked", "none"]

KINDS: Final[tuple[Kind, ...]] = (
    "create", "replace", "reuse", "adopt", "wait", "delete", "forget", "conflict", "blocked", "none",
)  # fmt: skip
EFFECTIVE: Final = frozenset({"create", "replace", "reuse", "adopt", "wait", "delete", "forget"})
"""Actions that apply carries out; the others only say why nothing can or need be done."""

RENDERS: Final = frozenset({"create", "replace"})
MAKES: Final = RENDERS | {"wait", "reuse"}
"""Actions after which the object is another one than when the plan was made."""

UP_TO_DATE: Final = "up to date"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the object of an output comes from without a render.

    ``object`` and ``etag`` are the object's that has the same content; ``address`` says which output it was made for,
    ``job`` which job made it, ``token`` what that job carries.
    """

    object: str
    etag: str | None = None
    address: str | None = None
    job: str | None = None
    token: str | None = None

    def __str__(self) -> str:
        return f"{self.object} ({self.address or f'job {self.job}'})"


@dataclass(frozen=True, slots=True)
class Action:
    """One step of a plan.

    ``request`` and ``inputs`` (source → ETag) are what the output will be made of; an input that is itself still to be
    made is left out of ``inputs`` and named in ``upstream``; ``made_of`` are all outputs among them. ``templates`` are
    the declared templates that it names. ``job`` is a job of ours to wait for first. ``seen`` is the ETag of the object
    under the key when the plan was made. ``protect`` goes into the record, so that it outlives the entry. ``forced``
    says that it is made anew whatever comes out. ``origin`` is what is copied or adopted, ``twins`` are jobs that were
    made for the same submission.
    """

    address: str
    kind: Kind
    reason: str
    object: str
    changes: tuple[Change, ...] = ()
    request: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    upstream: Mapping[str, str] = field(default_factory=dict)
    made_of: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    job: str | None = None
    seen: str | None = None
    protect: bool = False
    forced: bool = False
    origin: Origin | None = None
    twins: tuple[str, ...] = ()
    declared: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """The actions in address order, the templates' before them, and the records that get a new address (old → new).

    ``settled`` are the outputs that are up to date, which most are: address → key. What "none" is said of among the
    actions has a reason of its own.

    ``upgrades`` are the fingerprints, by address, of records that an earlier version of this program digested: they
    are shown to be the same, and nothing is rendered for them.

    ``left`` is how many effective actions were left out, because no more than ``limit`` outputs are to be made.
    ``refreshed`` is False when the lockfile was trusted and nobody was asked: such a plan is only to be looked at.
    """

    actions: tuple[Action, ...]
    moves: Mapping[str, str] = field(default_factory=dict)
    recorded: int = 0
    templates: tuple[TemplateAction, ...] = ()
    upgrades: Mapping[str, str] = field(default_factory=dict)
    settled: Mapping[str, str] = field(default_factory=dict)
    left: int = 0
    limit: int | None = None
    refreshed: bool = True

    @property
    def everything(self) -> tuple[Action, ...]:
        """Every output with its action, also those that are up to date, in address order."""
        settled = (Action(address, "none", UP_TO_DATE, key) for address, key in self.settled.items())
        return tuple(sorted((*self.actions, *settled), key=lambda action: action.address))

    @property
    def summary(self) -> dict[Kind, int]:
        """Count the actions of each kind; kinds that do not occur are 0."""
        counts = dict.fromkeys(KINDS, 0)
        for action in self.actions:
            counts[action.kind] += 1
        counts["none"] += len(self.settled)
        return counts

    @property
    def pending(self) -> tuple[Action, ...]:
        """The actions that say anything but "nothing to do"."""
        return tuple(action for action in self.actions if action.kind != "none")

    @property
    def pending_templates(self) -> tuple[TemplateAction, ...]:
        """The same of the templates."""
        return tuple(action for action in self.templates if action.kind != "none")

    @property
    def effective(self) -> bool:
        """Whether apply has anything to carry out that a person should be asked about."""
        kinds = {action.kind for action in self.actions} & EFFECTIVE
        return bool(kinds or {action.kind for action in self.templates} & TEMPLATE_EFFECTS)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do, and nothing in the way."""
        return not (self.pending or self.pending_templates or self.moves or self.left)
