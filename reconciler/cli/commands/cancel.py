"""``reconciler cancel``: stop jobs of ours that have not started."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from reconciler.api.messages import CANCEL, RUNNING, TERMINAL
from reconciler.cli import session
from reconciler.cli.selecting import matching
from reconciler.errors import GuardError, ServiceError, UsageError

if TYPE_CHECKING:
    from reconciler.cli import Globals
    from reconciler.client import Client
    from reconciler.lockfile import Lockfile
    from reconciler.project import Project
    from reconciler.state import LiveJob, Submission

_CONFLICT = 409


@click.command()
@click.argument("patterns", nargs=-1, metavar="[ADDRESS]...")
@click.option("--all", "everything", is_flag=True, help="Every job that was begun.")
@click.pass_obj
def command(options: Globals, patterns: tuple[str, ...], *, everything: bool) -> int:
    """Cancel jobs that were submitted and have not started; ends with 1 when one could not be cancelled.

    ADDRESS may be a glob. An apply that is at work follows its jobs: end it first, then cancel what it has left.
    """
    if everything == bool(patterns):
        raise UsageError("name the outputs whose jobs to cancel, or give --all")
    try:
        cancelled, left = asyncio.run(_cancel(session.open_project(options), patterns))
    except GuardError as error:
        advice = "interrupt that run first: it leaves its jobs, and they can be cancelled then"
        raise GuardError(error.message, advice=advice) from error
    for line in cancelled:
        click.echo(line, color=options.color)
    for line in left:
        click.echo(line, err=True, color=options.color)
    if not cancelled and not left:
        click.echo("Nothing to cancel: no job is under way.")
        return 0
    kept = f"; {len(left)} could not be cancelled" if left else ""
    click.echo(f"Cancelled {len(cancelled)} job{'s' if len(cancelled) != 1 else ''}{kept}.")
    return 1 if left else 0


async def _cancel(project: Project, patterns: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Cancel what was chosen, and return what is to be said of each: cancelled, and left."""
    from reconciler.observe import find_jobs

    with session.guarded(project, "cancel"):
        async with (
            session.connect(project, "write" if project.lockfile_key else "look") as client,
            session.changing_lockfile(project, client, "cancel") as lockfile,
        ):
            chosen = _chosen(lockfile.pending, patterns)
            found = await find_jobs(client, chosen)
            await lockfile.begin()
            try:
                lines = [
                    await _settle(client, lockfile, begun, found.get(address)) for address, begun in chosen.items()
                ]
                await lockfile.checkpoint()
            finally:
                lockfile.close()
    return [line for done, line in lines if done], [line for done, line in lines if not done]


def _chosen(pending: Mapping[str, Submission], patterns: tuple[str, ...]) -> dict[str, Submission]:
    """Return the submissions that the patterns name, all without any."""
    if not patterns:
        return dict(sorted(pending.items()))
    names: set[str] = set()
    for pattern in patterns:
        try:
            names |= matching(sorted(pending), (pattern,), "cancel")
        except UsageError as error:
            raise UsageError(
                f"{pattern} has no job to cancel: nothing of it is under way", advice=error.advice
            ) from None
    return {address: pending[address] for address in sorted(names)}


async def _settle(client: Client, lockfile: Lockfile, begun: Submission, live: LiveJob | None) -> tuple[bool, str]:
    """Cancel the job of one submission; return whether it is cancelled, and what is to be said."""
    address = begun.address
    if live is None:
        job = f"job {begun.job} is not known to the service" if begun.job else "no job of it is found yet"
        return False, f"{address}: {job}; the next apply settles that"
    if live.state == RUNNING:
        return False, f"{address}: job {live.job} has started and can no longer be cancelled"
    if live.state in TERMINAL and live.state != CANCEL:
        return False, f"{address}: job {live.job} has ended as {live.state}; the next apply records that"
    for job in (*live.twins, *([live.job] if live.state != CANCEL else [])):
        try:
            await client.cancel(job)
        except ServiceError as error:
            if error.status != _CONFLICT:
                raise
            return False, f"{address}: job {job} has started or ended meanwhile, and was not cancelled"
    await lockfile.dropped(address)
    return True, f"{address}: job {live.job} cancelled"
