"""``reconciler status``: the state of every output."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from reconciler.cli import session, views
from reconciler.cli.selecting import Selection, matching
from reconciler.plan import Action, Plan

if TYPE_CHECKING:
    from reconciler.cli import Globals
    from reconciler.lockfile import Lockfile
    from reconciler.project import Project

_STATES = {
    "none": "done",
    "create": "missing",
    "replace": "changed",
    "reuse": "to copy",
    "adopt": "to adopt",
    "wait": "running",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One output as status shows it; ``size`` in bytes, ``age`` in seconds since it was finished."""

    address: str
    state: str
    job: str | None
    progress: int | None
    object: str
    size: int | None
    age: float | None
    detail: str | None


@click.command()
@click.argument("patterns", nargs=-1, metavar="[ADDRESS]...")
@click.option("--json", "as_json", is_flag=True, help="One JSON document: reconciler.status/1.")
@click.pass_obj
def command(options: Globals, patterns: tuple[str, ...], *, as_json: bool) -> int:
    """Show each output: address, state, job, progress, object, size, age.

    ADDRESS limits it to some outputs; it may be a glob.
    """
    project = session.open_project(options)
    lines = asyncio.run(_lines(project, patterns))
    if as_json:
        click.echo(views.json_text({"format": "reconciler.status/1", "outputs": [asdict(line) for line in lines]}))
    elif lines:
        head = ("ADDRESS", "STATE", "JOB", "OBJECT", "SIZE", "AGE")
        click.echo(views.table(head, [_cells(line) for line in lines]), color=options.color)
        for line in lines:
            if line.detail:
                click.echo(f"  {line.address}: {line.detail}", color=options.color)
    return 0


def _cells(line: Line) -> tuple[str, ...]:
    job = line.job or "-"
    if line.progress is not None:
        job = f"{job} {line.progress}%"
    return (
        line.address, line.state, job, line.object, views.size_text(line.size), views.seconds_text(line.age),
    )  # fmt: skip


async def _lines(project: Project, patterns: tuple[str, ...]) -> list[Line]:
    desired = session.read_desired(project)
    async with session.connect(project) as client:
        lockfile = await session.open_lockfile(project, client)
        plan, _ = await session.make_plan(project, client, lockfile, desired, selection=Selection())
        begun = [submission.job for submission in lockfile.pending.values() if submission.job]
        progress = {name: job.progress for name, job in (await client.jobs(begun)).items()}
    return [_line(action, lockfile, progress) for action in _chosen(plan, patterns)]


def _chosen(plan: Plan, patterns: tuple[str, ...]) -> list[Action]:
    if not patterns:
        return list(plan.everything)
    wanted = matching([action.address for action in plan.everything], patterns, "status")
    return [action for action in plan.everything if action.address in wanted]


def _line(action: Action, lockfile: Lockfile, progress: dict[str, int | None]) -> Line:
    record = lockfile.records.get(action.address)
    failure = lockfile.failures.get(action.address)
    state = _STATES.get(action.kind, action.kind) if action.declared else "undeclared"
    detail = action.reason if action.kind in ("blocked", "conflict") else None
    if failure and action.kind in ("create", "replace", "blocked"):
        state, detail = "failed", f"{failure.code}: {failure.message}"
    finished = datetime.fromisoformat(record.finished) if record and record.finished else None
    return Line(
        address=action.address,
        state=state,
        job=action.job or (failure.job if state == "failed" and failure else record.job if record else None),
        progress=progress.get(action.job) if action.job else None,
        object=action.object,
        size=record.size if record else None,
        age=(datetime.now(UTC) - finished).total_seconds() if finished else None,
        detail=detail,
    )
