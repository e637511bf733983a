"""``reconciler plan``: what is missing, and why."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli import plan_documents, plan_views, session, views
from reconciler.cli.selecting import Selection, changes, selection_options
from reconciler.errors import UsageError
from reconciler.plan import excess

if TYPE_CHECKING:
    from reconciler.cli import Globals
    from reconciler.plan import Plan
    from reconciler.project import Project
    from reconciler.state import ObservedState


@click.command()
@selection_options
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Save the plan, for `apply FILE`.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document: reconciler.plan/1.")
@click.option("--markdown", is_flag=True, help="Markdown, for a pull-request comment.")
@click.option("--no-refresh", is_flag=True, help="Trust the lockfile and ask no service.")
@click.option("--all", "everything", is_flag=True, help="Also show outputs that are up to date.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 when changes are pending.")
@click.pass_obj
def command(  # noqa: PLR0913 - one parameter for each option
    options: Globals,
    *,
    selection: Selection,
    out: Path | None,
    as_json: bool,
    markdown: bool,
    no_refresh: bool,
    everything: bool,
    detailed_exitcode: bool,
) -> int:
    """Compare what is declared with the bucket and the lockfile, and show what apply would do.

    ADDRESS is an output such as race or 'lesson["001"]', or a glob such as 'lesson*'. Changes nothing.
    """
    if as_json and markdown:
        raise UsageError("--json and --markdown exclude each other")
    if out is not None:
        _check_saved(out, refreshed=not no_refresh)
    project = session.open_project(options)
    plan, observed = session.run(_plan(options, project, selection, refresh=not no_refresh))
    if as_json:
        for piece in plan_documents.plan_json(plan, everything=everything):
            click.echo(piece, nl=False)
    elif markdown:
        click.echo(plan_documents.plan_markdown(plan), nl=False)
    else:
        width = plan_views.terminal_width()
        text = plan_views.plan_text(plan, everything=everything, verbose=options.verbose, width=width)
        click.echo(text, color=options.color)
    if reason := excess(plan, project.policy.max_changes):
        session.say(options, f"{reason}: apply will need --force")
    if out is not None:
        from reconciler.planfile import Options, SavedPlan, Target, save
        from reconciler.staleness import expectations

        asked = Options(**asdict(replace(selection, prune=selection.prune or project.policy.prune)))
        save(out, SavedPlan(Target.of(project), plan, expectations(plan, observed), asked))
        session.say(options, f"Saved to {out}; `reconciler apply {out}` carries it out.")
    return 2 if detailed_exitcode and not plan.empty else 0


async def _plan(
    options: Globals, project: Project, selection: Selection, *, refresh: bool
) -> tuple[Plan, ObservedState]:
    """Return the plan, and what the world looked like when it was made."""
    desired = session.read_desired(project)
    changed, warnings = changes(options, desired, selection)
    if warnings := (*desired.warnings, *warnings):
        session.say(options, views.diagnostics_text(warnings))
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(session.connect(project)) if refresh else None
        lockfile = await session.open_lockfile(project, client, inputs=not refresh)
        plan, observed = await session.make_plan(
            project, client, lockfile, desired, selection=selection, changed=changed
        )
    if refresh and (refused := session.not_rendered_here(project, desired, plan)):
        session.say(options, views.diagnostics_text(refused))
    return plan, observed


def _check_saved(out: Path, *, refreshed: bool) -> None:
    """Keep a slip of the hand from replacing a manifest or the lockfile, and save only what can be carried out."""
    from reconciler.planfile import is_plan_file

    if not refreshed:
        raise UsageError(
            "--out and --no-refresh exclude each other: a plan that is to be carried out looks at the bucket",
            advice="leave --no-refresh out",
        )
    if out.exists() and not (is_plan_file(out) or (out.is_file() and out.stat().st_size == 0)):
        raise UsageError(f"{out} is there already and is no plan file", advice="choose another file for --out")
