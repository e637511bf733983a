"""``reconciler apply``: show the plan, ask, carry it out; or carry out one that was saved and reviewed."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, Self

import click

from reconciler.cli import plan_views, session, views
from reconciler.cli.reports import make_report, outcome_line
from reconciler.cli.selecting import Selection, changes, selection_options
from reconciler.errors import Interrupted, PlanError, UsageError
from reconciler.plan import excess

if TYPE_CHECKING:
    from reconciler.apply import Pace
    from reconciler.cli import Globals
    from reconciler.client import Client
    from reconciler.diagnostics import Diagnostic
    from reconciler.inflight import Bell
    from reconciler.lockfile import Lockfile
    from reconciler.plan import Plan
    from reconciler.planfile import SavedPlan
    from reconciler.project import Project
    from reconciler.report import Report
    from reconciler.state import DesiredState

_MOVED_SHOWN: Final = 20
"""So many things that moved are named when a saved plan is refused."""


@click.command()
@click.argument("planfile", required=False, type=click.Path(path_type=Path))
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--parallelism", type=click.IntRange(min=1), metavar="N", help="Jobs in flight at once.")
@click.option("--no-wait", is_flag=True, help="Submit and leave; the next apply records the results.")
@click.option(
    "--callback-listen", metavar="HOST:PORT", help="Wait for the service's callbacks there; poll as a safety net."
)
@click.option("--fail-fast", is_flag=True, help="Begin nothing more after the first failure.")
@click.option(
    "--guard-timeout", type=click.FloatRange(min=0), default=0, metavar="SECONDS",
    help="How long to wait for another run that holds the guard of a shared lockfile.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Carry out a plan that changes more than policy.max_changes.")
@selection_options
@click.option("--json", "as_json", is_flag=True, help="One JSON event a line: reconciler.apply/1.")
@click.pass_obj
def command(  # noqa: PLR0913 - one parameter for each option
    options: Globals,
    planfile: Path | None,
    *,
    yes: bool,
    parallelism: int | None,
    no_wait: bool,
    callback_listen: str | None,
    fail_fast: bool,
    force: bool,
    guard_timeout: float,
    selection: Selection,
    as_json: bool,
) -> int:
    """Show the plan, ask, and make what is missing: only that, and each of it once.

    With a PLANFILE of `plan --out` that plan is carried out and no other: nobody is asked, as it was reviewed, and
    nothing at all is done when what it was made from has changed.

    Interrupted once, it submits nothing more and leaves a clean record; interrupted twice, it ends at once. Either way
    the next apply goes on from there, as it does after a crash.
    """
    if as_json and not yes and planfile is None:
        raise UsageError("--json asks no questions", advice="add --yes")
    if callback_listen is not None and no_wait:
        raise UsageError("--no-wait leaves before a callback can come", advice="leave --callback-listen out")
    if planfile is not None:
        _check_alone(options, selection)
    project = session.open_project(options)
    pace = session.pace(project, parallelism=parallelism, wait=not no_wait, fail_fast=fail_fast)
    source = _Declared(options, project, selection) if planfile is None else _Saved(project, planfile)
    act = _Apply(options, project, source, guard_timeout, force, yes or planfile is not None, as_json)
    with session.guarded(project, "apply"):
        return asyncio.run(act.run(pace, callback_listen))


def _check_alone(options: Globals, selection: Selection) -> None:
    """Refuse beside a saved plan what was decided when it was made."""
    for option in (*selection.given, *(["--var"] if options.variables else [])):
        raise UsageError(
            f"{option} cannot be given with a plan file: its plan is made already",
            advice=f"give {option} to `reconciler plan --out FILE`",
        )


class _Source(Protocol):
    """Where the plan comes from."""

    def read(self) -> Sequence[Diagnostic]:
        """Read what there is to read before the service is asked; return the warnings about it."""
        ...

    async def plan(self, client: Client, lockfile: Lockfile) -> Plan:
        """Return the plan, as the world is now."""
        ...

    def refused(self, plan: Plan, /) -> Sequence[Diagnostic]:
        """Return warnings of what the service will refuse."""
        ...


class _Declared:
    """A plan that is made now, from the manifests."""

    def __init__(self, options: Globals, project: Project, selection: Selection) -> None:
        self._options = options
        self._project = project
        self._selection = selection
        self._desired: DesiredState | None = None
        self._changed: Collection[str] | None = None

    def read(self) -> Sequence[Diagnostic]:
        self._desired = session.read_desired(self._project)
        self._changed, warnings = changes(self._options, self._desired, self._selection)
        return (*self._desired.warnings, *warnings)

    async def plan(self, client: Client, lockfile: Lockfile) -> Plan:
        assert self._desired is not None, "the manifests are read first"
        plan, _ = await session.make_plan(
            self._project, client, lockfile, self._desired, selection=self._selection, changed=self._changed
        )
        return plan

    def refused(self, plan: Plan, /) -> Sequence[Diagnostic]:
        assert self._desired is not None, "the manifests are read first"
        return session.not_rendered_here(self._project, self._desired, plan)


class _Saved:
    """A plan that was made, and reviewed, before; no manifest is read."""

    def __init__(self, project: Project, path: Path) -> None:
        self._project = project
        self._path = path
        self._saved: SavedPlan | None = None

    def read(self) -> Sequence[Diagnostic]:
        from reconciler.planfile import Target, load

        self._saved = load(self._path)
        if differences := "; ".join(self._saved.project.differences(Target.of(self._project))):
            raise PlanError(
                f"{self._path} was made for another project: {differences}",
                advice="choose that one with -C and --env, or plan again",
            )
        return ()

    async def plan(self, client: Client, lockfile: Lockfile) -> Plan:
        from reconciler.observe import observe_keys
        from reconciler.staleness import carried_out, stale

        assert self._saved is not None, "the file is read first"
        plan, expected = self._saved.plan, self._saved.expected
        observed = await observe_keys(client, lockfile, expected.keys, templates=bool(expected.templates))
        if moved := stale(plan, expected, observed):
            done = carried_out(plan, expected, observed)
            what = "was carried out already" if done else "is stale: what it was made from has changed"
            lines = [f"{self._path} {what}", *moved[:_MOVED_SHOWN]]
            if len(moved) > _MOVED_SHOWN:
                lines.append(f"and {len(moved) - _MOVED_SHOWN} more")
            raise PlanError("\n  ".join(lines), advice="nothing was done; plan again")
        # How large its changes are is measured by what is recorded, not by what a file says.
        return replace(plan, recorded=len(lockfile.records))

    def refused(self, _plan: Plan, /) -> Sequence[Diagnostic]:
        return ()


@dataclass(frozen=True)
class _Apply:
    """One apply from the terminal: plan, show, ask, carry out, sum up."""

    _options: Globals
    _project: Project
    _source: _Source
    _patience: float
    _force: bool
    _yes: bool
    _as_json: bool

    async def run(self, pace: Pace, callback_listen: str | None) -> int:
        async with session.listening(callback_listen) as bell:
            return await self._run(pace, bell)

    async def _run(self, pace: Pace, bell: Bell) -> int:
        self._warn(self._source.read())
        async with (
            session.connect(
                self._project, "render", parallelism=pace.parallelism, bell=bell, hear=self._hear
            ) as client,
            session.changing_lockfile(self._project, client, "apply", patience=self._patience) as lockfile,
        ):
            self._tell_of_earlier_run(lockfile)
            plan = await self._source.plan(client, lockfile)
            self._show(plan)
            self._warn(self._source.refused(plan))
            self._check(plan)
            if plan.effective:
                self._ask()
            return await self._carry_out(plan, client, lockfile, pace, bell)

    def _hear(self, text: str) -> None:
        session.say(self._options, text)

    def _warn(self, diagnostics: Sequence[Diagnostic]) -> None:
        if diagnostics:
            session.say(self._options, views.diagnostics_text(diagnostics))

    def _tell_of_earlier_run(self, lockfile: Lockfile) -> None:
        if lockfile.pending or lockfile.note:
            count = len(lockfile.pending)
            found = f" ({lockfile.note})" if lockfile.note else ""
            text = f"Taking up {count} submission{'s' if count != 1 else ''} of an earlier run{found}."
            session.say(self._options, text)

    def _show(self, plan: Plan) -> None:
        if not self._as_json:
            width = plan_views.terminal_width()
            text = plan_views.plan_text(plan, verbose=self._options.verbose, width=width)
            click.echo(text, color=self._options.color)

    def _check(self, plan: Plan) -> None:
        reason = excess(plan, self._project.policy.max_changes)
        if reason and not self._force:
            raise PlanError(reason, advice="look at the plan, then apply with --force, or raise policy.max_changes")

    def _ask(self) -> None:
        if self._yes:
            return
        if sys.stdin is None or not sys.stdin.isatty():
            raise UsageError("there is nobody to ask", advice="add --yes")
        if not click.confirm("\nApply this plan?", err=True):
            raise Interrupted("nothing was applied", exit_code=1)

    async def _carry_out(self, plan: Plan, client: Client, lockfile: Lockfile, pace: Pace, bell: Bell) -> int:
        from reconciler.apply import apply
        from reconciler.wire import wire_request

        bucket, region = self._project.bucket, self._project.region
        report = make_report(
            as_json=self._as_json,
            quiet=self._options.quiet,
            color=self._options.color,
            expected=len(plan.pending) + len(plan.pending_templates),
            verbose=self._options.verbose,
        )
        with _Signals() as signals:
            try:
                await apply(
                    plan,
                    client,
                    lockfile,
                    report,
                    wire=lambda request: wire_request(request, bucket=bucket, region=region),
                    clock=_SystemClock(),
                    pace=pace,
                    stop=signals.stop,
                    bell=bell,
                )
            except Interrupted as error:
                error.exit_code = signals.exit_code
                raise
            finally:
                report.close()
                self._sum_up(plan, report)
        return 0

    def _sum_up(self, plan: Plan, report: Report) -> None:
        if not self._as_json and not plan.empty:
            click.echo(outcome_line(report), color=self._options.color)


class _SystemClock:
    """The real time, and real chance."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Pause."""
        await asyncio.sleep(seconds)

    def nonce(self) -> str:
        """Return sixteen random hexadecimal digits."""
        return secrets.token_hex(8)


class _Signals:
    """The first SIGINT or SIGTERM asks the run to stop, the second ends the process at once."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.exit_code = 130

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._received, number)
        return self

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(number)

    def _received(self, number: int) -> None:
        self.exit_code = 128 + number
        if self.stop.is_set():
            with suppress(OSError):
                os.write(2, b"\x1b[?25h\n" if os.isatty(2) else b"\n")
            os._exit(self.exit_code)
        self.stop.set()
        click.echo("\nStopping: nothing more is submitted. Once more ends at once.", err=True)
