"""``reconciler schema``: JSON Schema for editors."""

from __future__ import annotations

import click

from reconciler.cli import views


@click.command()
@click.argument("what", type=click.Choice(["manifest", "settings"]), default="manifest")
def command(what: str) -> int:
    """Print the JSON Schema of manifests, or of reconciler.yaml, for editors and other tools.

    With the YAML language server, a first line such as  # yaml-language-server: $schema=manifest.schema.json
    gives completion and descriptions of every node.
    """
    if what == "settings":
        from reconciler.project import settings_schema

        click.echo(views.json_text(settings_schema()))
    else:
        from reconciler.schema import manifest_schema

        click.echo(views.json_text(manifest_schema()))
    return 0
