"""``reconciler state``: the lockfile, to look at and to change by hand."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli import session, views
from reconciler.errors import UsageError

if TYPE_CHECKING:
    from reconciler.cli import Globals
    from reconciler.lockfile import Lockfile
    from reconciler.project import Project
    from reconciler.state import Record, TemplateRecord


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Look at the lockfile, or change it by hand. Objects and jobs are not touched."""


@command.command("list")
@click.argument("patterns", nargs=-1, metavar="[ADDRESS]...")
@click.option("--json", "as_json", is_flag=True, help="One JSON document: reconciler.state/1.")
@click.pass_obj
def list_records(options: Globals, patterns: tuple[str, ...], *, as_json: bool) -> None:
    """List the recorded addresses; ADDRESS may be a glob."""
    lockfile = session.open_lockfile(session.open_project(options))
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
    lockfile = session.open_lockfile(session.open_project(options))
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
    with _writing(session.open_project(options), "state mv") as lockfile:
        _only(lockfile, old)
        if new in lockfile.records:
            raise UsageError(f"{new} has a record already", advice=f"`reconciler state rm` it first, or keep {old}")
        lockfile.move(old, new)
    click.echo(f"{old} is now {new}")


@command.command("rm")
@click.argument("patterns", nargs=-1, required=True, metavar="ADDRESS...")
@click.pass_obj
def remove_records(options: Globals, patterns: tuple[str, ...]) -> None:
    """Forget records. Their objects stay; plan then finds objects that were not made by us."""
    with _writing(session.open_project(options), "state rm") as lockfile:
        for address in sorted(_matching(lockfile, patterns)):
            if address in lockfile.templates:
                lockfile.forget_template(address)
            else:
                lockfile.forget(address)
            click.echo(f"forgot {address}")


@contextmanager
def _writing(project: Project, what: str) -> Iterator[Lockfile]:
    with session.guarded(project, what):
        lockfile = session.open_lockfile(project)
        lockfile.begin()
        try:
            yield lockfile
            lockfile.checkpoint()
        finally:
            lockfile.close()


def _matching(lockfile: Lockfile, patterns: tuple[str, ...]) -> set[str]:
    return session.matching(sorted(_recorded(lockfile)), patterns, "state")


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
