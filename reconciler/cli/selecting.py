"""The options that plan and apply share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def selection_options(function: F) -> F:
    """Add ``--target``, ``--exclude``, ``--replace`` and ``--prune`` to a command."""
    for option in reversed(
        (
            click.option(
                "--target", "targets", multiple=True, metavar="ADDRESS", help="Only this output and what it is made of."
            ),
            click.option("--exclude", "excluded", multiple=True, metavar="ADDRESS", help="All but this output."),
            click.option("--replace", "replaced", multiple=True, metavar="ADDRESS", help="Make this output anew."),
            click.option("--prune", is_flag=True, help="Delete objects that are no longer declared."),
        )
    ):
        function = option(function)
    return function
