"""``reconciler recover``: the lockfile again, from past jobs and the bucket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from reconciler import disk
from reconciler.cli import session, views
from reconciler.cli.asking import confirm
from reconciler.errors import LockfileError, UsageError

if TYPE_CHECKING:
    from reconciler.cli import Globals
    from reconciler.client import Client
    from reconciler.lockfile import Lockfile
    from reconciler.project import Project
    from reconciler.recover import Live, Proven, Recovered
    from reconciler.state import DesiredState, ObservedState

_SHOWN: Final = 5
"""So many keys are named where a person is to get an idea of them."""


@click.command()
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document: reconciler.recover/1.")
@click.pass_obj
def command(options: Globals, *, yes: bool, as_json: bool) -> int:
    """Rebuild the lockfile from the service's past jobs and the bucket.

    Recorded is what a job can be shown to have made: the job carries our token, and its object is there as it was
    reported. Jobs that are still at work are taken up too. Records that are there stay. A lockfile that is damaged is
    kept under another name.
    """
    if as_json and not yes:
        raise UsageError("--json asks no questions", advice="add --yes")
    project = session.open_project(options)
    desired = session.read_desired(project)
    aside = _set_aside(options, project, yes=yes)
    found = asyncio.run(_found(project, desired))
    if not as_json:
        for line in _lines(found):
            click.echo(line, color=options.color)
    if found.proven or found.live or found.templates:
        confirm("Record this?", yes=yes, declined="nothing was recorded")
        asyncio.run(_write(project, found))
    click.echo(views.json_text(_document(found, aside)) if as_json else _summary(found))
    return 0


# A damaged lockfile.


def _set_aside(options: Globals, project: Project, *, yes: bool) -> Path | None:
    """Give a lockfile that cannot be read another name, and return that; None when it can be read."""
    try:
        asyncio.run(session.open_lockfile(project))
    except LockfileError as error:
        if project.lockfile_key is not None:
            raise LockfileError(error.message, advice=_shared_advice(project.lockfile_key)) from error
        if not _is_damaged(project.lockfile):
            raise
        session.say(options, error.message)
    else:
        return None
    aside = _free_name(project.lockfile)
    confirm(f"Keep it as {aside.name}, and begin anew?", yes=yes, declined="nothing was changed")
    with session.guarded(project, "recover"):
        if _is_damaged(project.lockfile):
            project.lockfile.rename(aside)
    session.say(options, f"The damaged lockfile is kept as {aside.name}.")
    return aside


def _is_damaged(path: Path) -> bool:
    """Tell whether nobody can read a lockfile: not a newer program, and not a person who settles a merge conflict."""
    from reconciler.lockformat import CONFLICT, VERSION, parse

    raw = disk.content(path)
    if raw is None:
        return False
    try:
        parse(raw.decode(), path.name)
    except UnicodeDecodeError:
        return True
    except LockfileError:
        text = raw.decode()
        return CONFLICT not in text and not _is_newer(text, VERSION)
    return False


def _is_newer(text: str, version: int) -> bool:
    try:
        found = json.loads(text)["version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    return isinstance(found, int) and found > version


def _free_name(path: Path) -> Path:
    """Return a name for a damaged lockfile that no file has: an earlier one is kept too."""
    names = chain([f"{path.name}.damaged"], (f"{path.name}.damaged.{number}" for number in count(2)))
    return next(path.with_name(name) for name in names if not path.with_name(name).exists())


def _shared_advice(key: str) -> str:
    return (
        f"keep a copy of {key}, delete it and everything below {key}.journal/, then run `reconciler recover` again; "
        "nobody may be at work meanwhile"
    )


# Looking.


async def _found(project: Project, desired: DesiredState) -> Recovered:
    from reconciler.recover import recover
    from reconciler.resolve.references import known_key

    async with session.connect(project) as client:
        lockfile = await session.open_lockfile(project, client)
        observed = await _observed(client, lockfile, desired)
    return recover(desired, observed, name=lambda url: known_key(url, project.bucket, project.region))


async def _observed(client: Client, lockfile: Lockfile, desired: DesiredState) -> ObservedState:
    """Return what is there, past jobs as far back as they matter, and the objects that those made elsewhere."""
    from reconciler.observe import history, observe, observe_keys

    observed = await observe(client, lockfile, desired)
    lost = {output.object for address, output in desired.outputs.items() if address not in observed.records}
    past = await history(client, {key for key in lost if key in observed.objects or "${" in key})
    elsewhere = {job.key for job in past} - observed.objects.keys()
    more = await observe_keys(client, lockfile, elsewhere) if elsewhere else observed
    return replace(observed, history=past, objects={**observed.objects, **more.objects})


async def _write(project: Project, found: Recovered) -> None:
    """Record what was found, but for what another run has recorded meanwhile."""
    async with session.editing_lockfile(project, "recover") as lockfile:
        records = {name: proven.record for name, proven in found.proven.items() if name not in lockfile.records}
        await asyncio.gather(*(lockfile.amend(address, record) for address, record in records.items()))
        kept = {name: record for name, record in found.templates.items() if name not in lockfile.templates}
        await asyncio.gather(*(lockfile.keep_template(address, record) for address, record in kept.items()))
        begun = [live.submission for name, live in found.live.items() if name not in lockfile.pending]
        await asyncio.gather(*map(lockfile.intend, begun))
        await asyncio.gather(*(lockfile.submitted(one.address, one.job) for one in begun if one.job))


# Telling.


def _lines(found: Recovered) -> Iterator[str]:
    """Yield what a person reads before it is recorded: what is proven and how, then what is not."""
    rows = [(address, proven.job.job, proven.record.object, _proof(proven)) for address, proven in found.proven.items()]
    rows += [
        (address, live.submission.job or "", live.submission.object, _state(live))
        for address, live in found.live.items()
    ]
    rows += [(address, "-", one.id, "named by jobs of ours") for address, one in found.templates.items()]
    if rows:
        yield views.table(("ADDRESS", "JOB", "OBJECT", "PROVEN"), rows)
    for address, key in found.unproven.items():
        yield f"{address}: {key} is there, but no job can be shown to have made it; `adopt` takes it as it is"
    for jobs in found.twins.values():
        yield f"{' and '.join(jobs)} were made for one submission"
    if found.strangers:
        yield f"Made by us and not declared here, so left: {_some(found.strangers)}"


def _proof(proven: Proven) -> str:
    return "object and content" if proven.current else "object; the content is not what is declared now"


def _state(live: Live) -> str:
    return f"is {live.state}" if live.current else f"is {live.state}, for an earlier version"


def _some(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return f"{', '.join(keys[:_SHOWN])}{more}"


def _summary(found: Recovered) -> str:
    """Return the line that counts; its beginning is stable, scripts look for it."""
    kinds = ((found.live, "running job"), (found.templates, "template"))
    parts = [_count(len(found.proven), "output"), *(_count(len(kind), noun) for kind, noun in kinds if kind)]
    text = f"Recovered {', '.join(parts[:-1])}{' and ' if parts[1:] else ''}{parts[-1]}"
    if number := len(found.unproven):
        text += f"; {_count(number, 'output')} {'has' if number == 1 else 'have'} no job that can be proven"
    if found.strangers:
        text += f"; {_count(len(found.strangers), 'object')} of jobs that are not declared here"
    return f"{text}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


def _document(found: Recovered, aside: Path | None) -> dict[str, Any]:
    return {
        "format": "reconciler.recover/1",
        "outputs": [
            {"address": address, "job": one.job.job, "object": one.record.object, "current": one.current}
            for address, one in found.proven.items()
        ],
        "running": [
            {"address": address, "job": one.submission.job, "object": one.submission.object, "current": one.current}
            for address, one in found.live.items()
        ],
        "templates": [{"address": address, "id": one.id} for address, one in found.templates.items()],
        "unproven": [{"address": address, "object": key} for address, key in found.unproven.items()],
        "undeclared": list(found.strangers),
        "twins": [list(jobs) for jobs in found.twins.values()],
        "set_aside": aside.name if aside else None,
    }
