"""``reconciler unlock``: remove the guard of a run that has died."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from reconciler.cli import session, views
from reconciler.cli.asking import confirm
from reconciler.errors import GuardError

if TYPE_CHECKING:
    from reconciler.cli import Globals
    from reconciler.guard import Holder, SharedGuard
    from reconciler.project import Project


@click.command()
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def command(options: Globals, *, yes: bool) -> int:
    """Show who holds the guard of a lockfile in the bucket, and remove it.

    Only for a run that has died: one that still lives loses the guard and stops before its next effect. The guard of
    this machine needs no removing, as the kernel takes it away together with its process.
    """
    project = session.open_project(options)
    _check_this_machine(project)
    if project.lockfile_key is None:
        click.echo("Nobody holds the guard.")
        return 0
    return asyncio.run(_unlock(options, project, yes=yes))


def _check_this_machine(project: Project) -> None:
    """Raise GuardError when a process of this machine is at work on the project."""
    if not (project.state_dir / "guard").exists():
        return
    try:
        with session.guarded(project, "unlock"):
            pass
    except GuardError as error:
        raise GuardError(error.message, advice="end that process; the guard goes with it") from error


async def _unlock(options: Globals, project: Project, *, yes: bool) -> int:
    from reconciler.guard import SharedGuard

    assert project.lockfile_key is not None, "the guard of this machine is not removed by hand"
    async with session.connect(project, "write") as client:
        guard = SharedGuard(client, project.lockfile_key, "", project.guard_lease, time.monotonic)
        holder = await _holder(guard)
        if holder is None:
            click.echo("Nobody holds the guard.")
            return 0
        now = datetime.now(UTC) + timedelta(seconds=client.skew or 0.0)
        click.echo(holder if isinstance(holder, str) else _described(holder, now), color=options.color)
        confirm("Remove this guard?", yes=yes, declined="nothing was removed")
        if _run(await _holder(guard)) != _run(holder):
            raise GuardError("the guard has changed hands meanwhile; nothing was removed", advice="look again")
        await guard.remove()
    click.echo("Removed the guard.")
    return 0


async def _holder(guard: SharedGuard) -> Holder | str | None:
    """Return who holds the guard; of one that this program did not write, what is wrong with it."""
    try:
        return await guard.holder()
    except GuardError as error:
        return error.message


def _run(holder: Holder | str | None) -> str | None:
    """Return what stays the same while one run renews its lease."""
    return holder if isinstance(holder, str) or holder is None else holder.run


def _described(holder: Holder, now: datetime) -> str:
    """Return who holds the guard, and whether that run still shows signs of life."""
    left = (holder.ends - now).total_seconds()
    lease = (
        f"ends in {views.seconds_text(left)} unless it is renewed: that run may be alive"
        if left > 0
        else f"ended {views.seconds_text(-left)} ago: that run has died, or cannot reach the bucket"
    )
    return f"The guard is held: {holder}.\nIts lease {lease}."
