"""``reconciler show``: one output, its request as it would be sent, its record, its job; or a saved plan."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli import session, views
from reconciler.errors import UsageError

if TYPE_CHECKING:
    from reconciler.api.messages import JobRequest
    from reconciler.cli import Globals
    from reconciler.lockfile import Lockfile


@click.command()
@click.argument("address", metavar="ADDRESS|PLANFILE")
@click.option(
    "--format", "form", type=click.Choice(["text", "yaml", "json", "xml"]), default="text", show_default=True,
    help="What to print.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.pass_obj
def command(options: Globals, address: str, form: str, *, as_json: bool) -> int:
    """Show one output, or a plan that `plan --out` saved.

    yaml and xml are the request alone: as a manifest entry, and as the API takes it; json is one document
    (reconciler.show/1) with the record and the last failure too. A plan is shown as `plan` shows it, as text or json.
    Asks no service.
    """
    from reconciler.planfile import is_plan_file

    form = "json" if as_json else form
    if is_plan_file(Path(address)):
        _show_plan(options, Path(address), form)
    else:
        _show_output(options, address, form)
    return 0


def _show_plan(options: Globals, path: Path, form: str) -> None:
    from reconciler.cli import plan_documents, plan_views
    from reconciler.planfile import load

    plan = load(path).plan
    if form == "json":
        for piece in plan_documents.plan_json(plan):
            click.echo(piece, nl=False)
    elif form == "text":
        text = plan_views.plan_text(plan, verbose=options.verbose, width=plan_views.terminal_width())
        click.echo(text, color=options.color)
    else:
        raise UsageError(f"a plan cannot be shown as {form}", advice="leave --format out, or use --format json")


def _show_output(options: Globals, address: str, form: str) -> None:
    from reconciler.api import xml
    from reconciler.plan import effective_request
    from reconciler.wire import wire_request

    project = session.open_project(options)
    desired = session.read_desired(project)
    output = desired.outputs.get(address)
    if output is None:
        from reconciler.diagnostics import did_you_mean

        advice = did_you_mean(address, desired.outputs) or "`reconciler status` lists the addresses"
        raise UsageError(f"there is no output {address}", advice=advice)
    lockfile = asyncio.run(session.open_lockfile(project))
    planned = effective_request(output, lockfile.records.get(address))
    request = wire_request(planned, bucket=project.bucket, region=project.region)
    if form == "json":
        click.echo(views.json_text(_document(address, request, lockfile)))
    elif form == "xml":
        click.echo(xml.pretty(request, "Request"), nl=False)
    elif form == "yaml":
        click.echo(views.yaml_text(_entry(request)), nl=False)
    else:
        click.echo(_text(address, request, lockfile), nl=False, color=options.color)


def _entry(request: JobRequest) -> dict[str, Any]:
    """Return the request under manifest keys, flat as an entry is: the nodes of the operation beside the request's."""
    plain = request.plain()
    operation = plain.pop("operation")[0]
    del plain["tag"]
    return {**operation, **plain}


def _document(address: str, request: JobRequest, lockfile: Lockfile) -> dict[str, Any]:
    from dataclasses import asdict

    record, failure = lockfile.records.get(address), lockfile.failures.get(address)
    begun = lockfile.pending.get(address)
    return {
        "format": "reconciler.show/1",
        "address": address,
        "request": request.plain(),
        "record": asdict(record) if record else None,
        "pending": asdict(begun) if begun else None,
        "failure": asdict(failure) if failure else None,
    }


def _text(address: str, request: JobRequest, lockfile: Lockfile) -> str:
    document = _document(address, request, lockfile)
    parts = [click.style(address, bold=True), "", views.indented(views.yaml_text(_entry(request)))]
    for title, hidden in (("record", ("request",)), ("pending", ("request",)), ("failure", ())):
        if document[title]:
            shown = {key: value for key, value in document[title].items() if key not in hidden and value is not None}
            parts += [click.style(title, bold=True), "", views.indented(views.yaml_text(shown))]
    if not document["record"]:
        parts += ["not made yet", ""]
    return "\n".join(parts)
