"""``reconciler validate``: read and resolve everything; no service, no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.cli import session, views
from reconciler.errors import ManifestError

if TYPE_CHECKING:
    from reconciler.cli import Globals


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document: reconciler.validate/1.")
@click.pass_obj
def command(options: Globals, *, as_json: bool) -> int:
    """Read and resolve manifests, layouts and rows, and say everything that is wrong with them.

    Asks no service and needs no network.
    """
    project = session.open_project(options)
    try:
        desired = session.read_desired(project)
    except ManifestError as error:
        if not as_json:
            raise
        click.echo(views.json_text(views.validation_data(0, error.diagnostics)))
        return 1
    if as_json:
        click.echo(views.json_text(views.validation_data(len(desired.outputs), desired.warnings)))
        return 0
    if desired.warnings:
        session.say(options, views.diagnostics_text(desired.warnings))
    count, warned = len(desired.outputs), len(desired.warnings)
    tail = f", {warned} warning{'s' if warned > 1 else ''}" if warned else ""
    click.echo(f"Valid: {count} output{'s' if count != 1 else ''}{tail}.")
    return 0
