"""``reconciler recover``: the lockfile again, from past jobs and the bucket."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from reconciler import disk
from reconciler.cli import session, views
from reconciler.cli.asking import confirm
from reconciler.errors import LockfileError, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from reconciler.cli import Globals
    from reconciler.client import Client
    from reconciler.lockfile import Lockfile
    from reconciler.project import Project
    from reconciler.recover import Live, Proven, Recovered
    from reconciler.state import DesiredState, ObservedState

_SHOWN: Final = 5
"""So many of a kind are named where a person is to get an idea of them."""


@click.command()
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document: reconciler.recover/1.")
@click.pass_obj
def command(options: Globals, *, yes: bool, as_json: bool) -> int:
    """Rebuild the lockfile from the service's past jobs and the bucket.

    Recorded is what a job can be shown to have made: it carries our token, and its object is there as it reported it.
    Jobs still at work are taken up too. Records that are there stay. A damaged lockfile is kept under another name.
    """
    if as_json and not yes:
        raise UsageError("--json asks no questions", advice="add --yes")
    project = session.open_project(options)
    aside = _aside(project)
    found = asyncio.run(_found(project, aside))
    if as_json:
        asyncio.run(_write(project, found, aside))
        click.echo(views.json_text(_document(found, aside)))
        return 0
    if aside is not None:
        session.say(options, f"{project.lockfile.name} is damaged and will be kept as {aside.name}.")
    for line in _lines(found):
        click.echo(line, color=options.color)
    if found.proven or found.live or aside is not None:
        confirm("Record this?", yes=yes, declined="nothing was recorded")
        asyncio.run(_write(project, found, aside))
    click.echo(_summary(found))
    return 0


# Looking.


async def _found(project: Project, aside: Path | None) -> Recovered:
    from reconciler.recover import recover
    from reconciler.resolve.references import known_key

    desired = session.read_desired(project)
    async with session.connect(project) as client:
        lockfile = await _lockfile(project, client, aside)
        observed = await _observed(client, lockfile, desired)
    return recover(desired, observed, name=lambda url: known_key(url, project.bucket, project.region))


async def _lockfile(project: Project, client: Client, aside: Path | None) -> Lockfile:
    """Return what is recorded; without a damaged lockfile that is what the journal says alone."""
    from reconciler.lockfile import Lockfile

    if aside is not None:
        return Lockfile.load(aside, project.journal)
    return await session.open_lockfile(project, client)


async def _observed(client: Client, lockfile: Lockfile, desired: DesiredState) -> ObservedState:
    """Return what is there, with past jobs as far back as they matter, and the objects that those made elsewhere."""
    from reconciler.observe import history, observe, observe_keys

    observed = await observe(client, lockfile, desired)
    lost = {output.object for address, output in desired.outputs.items() if address not in observed.records}
    past = await history(client, {key for key in lost if key in observed.objects or "${" in key})
    elsewhere = {job.key for job in past} - observed.objects.keys()
    more = await observe_keys(client, lockfile, elsewhere) if elsewhere else observed
    return replace(observed, history=past, objects={**observed.objects, **more.objects})


# A damaged lockfile.


def _aside(project: Project) -> Path | None:
    """Return where to keep a lockfile of this disk that is damaged; None when it can be read, or a person must mend it."""
