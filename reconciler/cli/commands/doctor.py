"""``reconciler doctor``: whether everything is in order, step by step."""

from __future__ import annotations

import asyncio
import shutil
import sys
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

from reconciler.cli import views

if TYPE_CHECKING:
    from reconciler.cli import Globals
    from reconciler.cli.checks import Finding

_COLORS: Final = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "bright_black"}
_WIDTHS: Final = (7, 16)
_INDENT: Final = " " * (sum(_WIDTHS) + 4)


@click.command()
@click.option("--write", is_flag=True, help="Also put a small object into the bucket, and delete it again.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document: reconciler.doctor/1.")
@click.pass_obj
def command(options: Globals, *, write: bool, as_json: bool) -> int:
    """Check settings, credentials, clock, bucket, media processing and permissions, one after the other.

    What depends on a step that failed is skipped. Nothing is changed, unless --write is given. The exit status is 1
    when a step failed.
    """
    findings = asyncio.run(_examine(options, write=write, tell=not as_json))
    failed = sum(finding.status == "failed" for finding in findings)
    if as_json:
        steps = [asdict(finding) for finding in findings]
        click.echo(views.json_text({"format": "reconciler.doctor/1", "ok": not failed, "steps": steps}))
    else:
        click.echo(f"\n{_summed_up(findings, failed)}", color=options.color)
    return 1 if failed else 0


async def _examine(options: Globals, *, write: bool, tell: bool) -> list[Finding]:
    from reconciler.cli.checks import examine

    findings = []
    async for finding in examine(options, write=write):
        findings.append(finding)
        if tell and not (options.quiet and finding.status == "ok"):
            click.echo(_text(finding), color=options.color)
    return findings


def _text(finding: Finding) -> str:
    head = click.style(f"{finding.status:<{_WIDTHS[0]}}", fg=_COLORS[finding.status], bold=finding.status == "failed")
    summary = click.style(_wrapped(finding.summary, _INDENT), dim=finding.status == "skipped")
    line = f"{head}  {finding.step:<{_WIDTHS[1]}}  {summary}"
    if not finding.advice:
        return line
    return f"{line}\n{_INDENT}{click.style('→', fg='cyan')} {_wrapped(finding.advice, f'{_INDENT}  ')}"


def _wrapped(text: str, indent: str) -> str:
    """Break a text at the width of the terminal, when there is one."""
    if not sys.stdout.isatty():
        return text
    width = max(shutil.get_terminal_size().columns - len(indent), 20)
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return f"\n{indent}".join(lines)


def _summed_up(findings: list[Finding], failed: int) -> str:
    warnings = sum(finding.status == "warning" for finding in findings)
    if failed:
        return click.style(f"{failed} of {len(findings)} steps failed.", fg="red", bold=True)
    if warnings:
        return f"It works, with {warnings} warning{'' if warnings == 1 else 's'}."
    return "Everything is in order."
