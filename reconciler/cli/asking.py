"""The question before something is changed."""

from __future__ import annotations

import sys

import click

from reconciler.errors import Interrupted, UsageError


def confirm(question: str, *, yes: bool, declined: str) -> None:
    """Ask, unless the person said ``yes`` beforehand.

    Raises UsageError when nobody is there to be asked, Interrupted, which says what was ``declined``, after a no.
    """
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError("there is nobody to ask", advice="add --yes")
    if not click.confirm(f"\n{question}", err=True):
        raise Interrupted(declined, exit_code=1)
