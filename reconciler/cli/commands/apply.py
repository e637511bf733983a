"""``reconciler apply``: show the plan, ask, carry it out."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

import click

from reconciler.cli import session, views
from reconciler.cli.reports import make_report, outcome_line
from reconciler.cli.selecting import selection_options
from reconciler.errors import Interrupted, PlanError, UsageError
from reconciler.plan import excess

if TYPE_CHECKING:
    from reconciler.apply import Pace
    from reconciler.cli import Globals
    from reconciler.client import Client
    from reconciler.inflight import Bell
    from reconciler.lockfile import Lockfile
    from reconciler.plan import Plan
    from reconciler.project import Project
    from reconciler.report import Report


@click.command()
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--parallelism", type=click.IntRange(min=1), metavar="N", help="Jobs in flight at once.")
@click.option("--no-wait", is_flag=True, help="Submit and leave; the next apply records the results.")
@click.option(
    "--callback-listen", metavar="HOST:PORT", help="Wait for the service's callbacks there; poll as a safety net."
)
@click.option("--fail-fast", is_flag=True, help="Begin nothing more after the first failure.")
@click.option("--force", is_flag=True, help="Carry out a plan that changes more than policy.max_changes.")
@selection_options
@click.option("--json", "as_json", is_flag=True, help="One JSON event a line: reconciler.apply/1.")
@click.pass_obj
def command(  # noqa: PLR0913 - one parameter for each option
    options: Globals,
    *,
    yes: bool,
    parallelism: int | None,
    no_wait: bool,
    callback_listen: str | None,
    fail_fast: bool,
    force: bool,
    targets: tuple[str, ...],
    excluded: tuple[str, ...],
    replaced: tuple[str, ...],
    prune: bool,
    as_json: bool,
) -> int:
    """Show the plan, ask, and make what is missing: only that, and each of it once.

    Interrupted once, it submits nothing more and leaves a clean record; interrupted twice, it ends at once. Either way
    the next apply goes on from there, as it does after a crash.
    """
    if as_json and not yes:
        raise UsageError("--json asks no questions", advice="add --yes")
    if callback_listen is not None and no_wait:
        raise UsageError("--no-wait leaves before a callback can come", advice="leave --callback-listen out")
    project = session.open_project(options)
    selection = session.Selection(targets, excluded, replaced)
    pace = session.pace(project, parallelism=parallelism, wait=not no_wait, fail_fast=fail_fast)
    act = _Apply(options, project, selection, prune=prune, force=force, yes=yes, as_json=as_json)
    with session.guarded(project, "apply"):
        return asyncio.run(act.run(pace, callback_listen))


class _Apply:
    """One apply from the terminal: plan, show, ask, carry out, sum up."""

    def __init__(  # noqa: PLR0913 - the options that matter to it
        self,
        options: Globals,
        project: Project,
        selection: session.Selection,
        *,
        prune: bool,
        force: bool,
        yes: bool,
        as_json: bool,
    ) -> None:
        self._options = options
        self._project = project
        self._selection = selection
        self._prune = prune
        self._force = force
        self._yes = yes
        self._as_json = as_json

    async def run(self, pace: Pace, callback_listen: str | None) -> int:
        async with session.listening(callback_listen) as bell:
            return await self._run(pace, bell)

    async def _run(self, pace: Pace, bell: Bell) -> int:
        desired = session.read_desired(self._project)
        if desired.warnings:
            session.say(self._options, views.diagnostics_text(desired.warnings))
        lockfile = session.open_lockfile(self._project)
        self._tell_of_earlier_run(lockfile)
        async with session.connect(self._project, work=True, parallelism=pace.parallelism, bell=bell) as client:
            plan = await session.make_plan(
                self._project, client, lockfile, desired, selection=self._selection, prune=self._prune
            )
            self._show(plan)
            if refused := session.not_rendered_here(self._project, desired, plan):
                session.say(self._options, views.diagnostics_text(refused))
            self._check(plan)
            if plan.effective:
                self._ask()
            return await self._carry_out(plan, client, lockfile, pace, bell)

    def _tell_of_earlier_run(self, lockfile: Lockfile) -> None:
        if lockfile.pending or lockfile.torn:
            count = len(lockfile.pending)
            torn = ", and cut off a torn line" if lockfile.torn else ""
            text = f"Taking up {count} submission{'s' if count != 1 else ''} of an earlier run{torn}."
            session.say(self._options, text)

    def _show(self, plan: Plan) -> None:
        if not self._as_json:
            click.echo(views.plan_text(plan), color=self._options.color)

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
        report = make_report(as_json=self._as_json, quiet=self._options.quiet, color=self._options.color)
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
