"""``reconciler state``: the lockfile, to look at and to change by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli import session, views
from reconciler.cli.selecting import matching
from reconciler.errors import UsageError

if TYPE_CHECKING:
    from reconciler.cli import Globals
    from reconciler.lockfile import Lockfile
    from reconciler.project import Project
    from reconciler.state import Record, TemplateRecord
    from reconciler.verify import Finding, Verification


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Look at the lockfile, or change it by hand. Objects and jobs are not touched."""


@command.command("list")
@click.argument("patterns", nargs=-1, metavar="[ADDRESS]...")
@click.option("--json", "as_json", is_flag=True, help="One JSON document: reconciler.state/1.")
@click.pass_obj
def list_records(options: Globals, patterns: tuple[str, ...], *, as_json: bool) -> None:
    """List the recorded addresses; ADDRESS may be a glob."""
    lockfile = asyncio.run(session.open_lockfile(session.open_project(options)))
    addresses = sorted(_matching(lockfile, patterns) if patterns else _recorded(lockfile))
    if as_json:
        click.echo(views.json_text(_document(lockfile, addresses)))
        return
    for address in addresses:
        click.echo(address)


@command.command("show")
@click.argument("address")
@click.option("--json", "as_json", is_flag=True, help="One JSON document: reconciler.state/1.")
@click.pass_obj
def show_record(options: Globals, address: str, *, as_json: bool) -> None:
    """Show one record."""
    lockfile = asyncio.run(session.open_lockfile(session.open_project(options)))
    if address not in lockfile.templates:
        _only(lockfile, address)
    if as_json:
        click.echo(views.json_text(_document(lockfile, [address])))
    else:
        click.echo(views.yaml_text(asdict(_recorded(lockfile)[address])), nl=False)


@command.command("mv")
@click.argument("old")
@click.argument("new")
@click.pass_obj
def move_record(options: Globals, old: str, new: str) -> None:
    """Give the record OLD the address NEW: for an entry that was renamed."""
    asyncio.run(_move(session.open_project(options), old, new))
    click.echo(f"{old} is now {new}")


async def _move(project: Project, old: str, new: str) -> None:
    async with session.editing_lockfile(project, "state mv") as lockfile:
        _only(lockfile, old)
        if new in lockfile.records:
            raise UsageError(f"{new} has a record already", advice=f"`reconciler state rm` it first, or keep {old}")
        await lockfile.move(old, new)


@command.command("rm")
@click.argument("patterns", nargs=-1, required=True, metavar="ADDRESS...")
@click.pass_obj
def remove_records(options: Globals, patterns: tuple[str, ...]) -> None:
    """Forget records. Their objects stay; plan then finds objects that were not made by us."""
    asyncio.run(_forget(session.open_project(options), patterns))


async def _forget(project: Project, patterns: tuple[str, ...]) -> None:
    async with session.editing_lockfile(project, "state rm") as lockfile:
        for address in sorted(_matching(lockfile, patterns)):
            if address in lockfile.templates:
                await lockfile.forget_template(address)
            else:
                await lockfile.forget(address)
            click.echo(f"forgot {address}")


@command.command("verify")
@click.option("--json", "as_json", is_flag=True, help="One JSON document: reconciler.verify/1.")
@click.pass_obj
def verify_records(options: Globals, *, as_json: bool) -> int:
    """Check every record against service and bucket; changes nothing, ends with 1 when one is not true.

    Compared are objects, segments, jobs, templates and fingerprints, not the manifests: those are for plan.
    """
    count, verification = asyncio.run(_verification(session.open_project(options)))
    if as_json:
        click.echo(views.json_text({"format": "reconciler.verify/1", "records": count, **asdict(verification)}))
    else:
        for fault in verification.faults:
            click.echo(f"{fault.address}: {fault.summary}", color=options.color)
        for note in _note_lines(verification.notes):
            session.say(options, note)
        click.echo(f"{_count(len(verification.faults) or 'No', 'fault')} in {_count(count, 'record')}.")
    return 1 if verification.faults else 0


async def _verification(project: Project) -> tuple[int, Verification]:
    """Return how many records there are, and what is to be said of them."""
    from reconciler.verify import gather, verify

    async with session.connect(project) as client:
        lockfile = await session.open_lockfile(project, client)
        evidence = await gather(client, lockfile)
    verification = verify(lockfile.records, lockfile.templates, evidence, pending=lockfile.pending)
    return len(_recorded(lockfile)), verification


def _note_lines(notes: Collection[Finding]) -> Iterator[str]:
    """Yield each note once, with whom it is about: after an upgrade it may be every record."""
    about: dict[str, list[str]] = {}
    for note in notes:
        about.setdefault(note.summary, []).append(note.address)
    for summary, addresses in about.items():
        more = f" and {len(addresses) - 3} more" if len(addresses) > 3 else ""
        yield f"note: {', '.join(addresses[:3])}{more}: {summary}"


def _count(number: int | str, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


def _matching(lockfile: Lockfile, patterns: tuple[str, ...]) -> set[str]:
    return matching(sorted(_recorded(lockfile)), patterns, "state")


def _recorded(lockfile: Lockfile) -> Mapping[str, Record | TemplateRecord]:
    """Return the records of outputs and of templates on the service; an output's address has no dot."""
    return {**lockfile.records, **lockfile.templates}


def _document(lockfile: Lockfile, addresses: Collection[str]) -> dict[str, Any]:
    return {
        "format": "reconciler.state/1",
        "outputs": {address: asdict(record) for address, record in lockfile.records.items() if address in addresses},
        "templates": {address: asdict(kept) for address, kept in lockfile.templates.items() if address in addresses},
    }


def _only(lockfile: Lockfile, address: str) -> str:
    if address not in lockfile.records:
        from reconciler.diagnostics import did_you_mean

        advice = did_you_mean(address, lockfile.records) or "`reconciler state list` lists the recorded addresses"
        raise UsageError(f"{address} has no record", advice=advice)
    return address
