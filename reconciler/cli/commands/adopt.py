"""``reconciler adopt``: take the object that is there for the wanted one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from reconciler.cli import session, views
from reconciler.cli.asking import confirm
from reconciler.cli.selecting import matching
from reconciler.errors import PlanError, UsageError

if TYPE_CHECKING:
    from reconciler.cli import Globals
    from reconciler.project import Project
    from reconciler.state import Record


@dataclass(frozen=True, slots=True)
class _Choice:
    """What can be adopted and what cannot, by address; ``before`` are the records as they were."""

    records: Mapping[str, Record]
    refused: Mapping[str, str]
    before: Mapping[str, Record | None]


@click.command()
@click.argument("patterns", nargs=-1, required=True, metavar="ADDRESS...")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def command(options: Globals, patterns: tuple[str, ...], *, yes: bool) -> int:
    """Record the object that is there as the wanted one, whoever made it.

    ADDRESS may be a glob. What the object shows is not looked at. For an output with a record this accepts drift: an
    object that was changed outside, or one that no longer fits the manifest, is left as it is.
    """
    project = session.open_project(options)
    choice = asyncio.run(_choose(project, patterns))
    for address, reason in choice.refused.items():
        if address in patterns or not choice.records:
            raise UsageError(f"{address} cannot be adopted: {reason}", advice="nothing was recorded")
        session.say(options, f"{address} is left: {reason}")
    rows = [(address, record.object, views.size_text(record.size)) for address, record in choice.records.items()]
    click.echo(views.table(("ADDRESS", "OBJECT", "SIZE"), rows), color=options.color)
    count = f"{len(rows)} output{'s' if len(rows) > 1 else ''}"
    confirm(f"Record {'these objects' if len(rows) > 1 else 'this object'}?", yes=yes, declined="nothing was recorded")
    asyncio.run(_record(project, choice))
    click.echo(f"Adopted {count}.")
    return 0


async def _choose(project: Project, patterns: tuple[str, ...]) -> _Choice:
    from reconciler.observe import observe
    from reconciler.recover import adopt

    desired = session.read_desired(project)
    wanted = matching(sorted(desired.outputs), patterns, "adopt")
    async with session.connect(project) as client:
        lockfile = await session.open_lockfile(project, client)
        observed = await observe(client, lockfile, desired)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    found = {address: adopt(desired.outputs[address], observed, now=now) for address in sorted(wanted)}
    return _Choice(
        {address: record for address, record in found.items() if not isinstance(record, str)},
        {address: reason for address, reason in found.items() if isinstance(reason, str)},
        {address: observed.records.get(address) for address in found},
    )


async def _record(project: Project, choice: _Choice) -> None:
    """Write the records, unless another run has been at one of these outputs meanwhile."""
    async with session.editing_lockfile(project, "adopt") as lockfile:
        for address in choice.records:
            if lockfile.records.get(address) != choice.before[address]:
                raise PlanError(
                    f"{address} was recorded meanwhile; nothing was adopted", advice="look, and run it again"
                )
        await asyncio.gather(*(lockfile.done(address, record) for address, record in choice.records.items()))
