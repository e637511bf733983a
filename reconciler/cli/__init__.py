"""The command line: the group, its global options, and the one place where errors are caught.

Commands live one module each in ``cli.commands`` and are imported when they are called: ``reconciler --help`` loads
neither httpx nor jinja2. Wiring of the parts is in ``cli.session``, text and JSON in ``cli.views``.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import click
from typing_extensions import override

from reconciler import __version__
from reconciler.errors import ManifestError, ReconcilerError, UsageError

COMMANDS: Final = {
    "init": "Write a project that works, with sample clips.",
    "validate": "Read and resolve everything; no service, no network.",
    "plan": "Show what is missing, and why.",
    "apply": "Make what is missing, and record it.",
    "status": "Show the state of every output.",
    "show": "Show one output: its request, its record, its job.",
    "state": "Look at the lockfile, verify it, or change it by hand.",
    "adopt": "Take the object that is there as the wanted one.",
    "recover": "Rebuild the lockfile from past jobs and the bucket.",
    "cancel": "Cancel jobs that have not started.",
    "unlock": "Remove the guard of a run that died.",
    "lock": "Let Git merge lockfiles output by output.",
    "doctor": "Check settings, credentials, bucket and permissions, step by step.",
    "schema": "Print the JSON Schema of manifests or settings.",
    "serve": "Serve the embedded implementation of the API on a socket.",
}
"""Every command and its one-line help, in the order in which a person meets them."""


@dataclass(frozen=True, slots=True)
class Globals:
    """The global options, handed to every command."""

    directory: Path
    environment: str | None
    variables: tuple[str, ...]
    color: bool | None
    quiet: bool
    verbose: bool


class _Lazy(click.Group):
    """A group whose commands are imported when they are called."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"reconciler.cli.commands.{cmd_name}")
        command: click.Command = module.command
        _take_globals(command)
        return command

    @override
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from reconciler.diagnostics import did_you_mean

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            advice = did_you_mean(args[0], COMMANDS) or "`reconciler --help` lists the commands"
            raise UsageError(f"there is no command `{args[0]}`", advice=advice)
        return super().resolve_command(ctx, args)

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _take_globals(command: click.Command) -> None:
    """Let a command take the global options behind its name too, where people write them."""
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            _take_globals(inner)
    known = {option for param in command.params for option in param.opts}
    for given in cli.params:
        if isinstance(given, click.Option) and given.name in _GLOBALS and not known.intersection(given.opts):
            flag = {"is_flag": True} if given.is_flag else {"type": given.type, "multiple": given.multiple}
            option = click.Option(
                [*given.opts, given.name], hidden=True, expose_value=False, callback=_override, **flag
            )
            command.params.append(option)


def _override(ctx: click.Context, option: click.Parameter, value: object) -> None:
    if ctx.get_parameter_source(option.name or "") is not click.core.ParameterSource.COMMANDLINE:
        return
    name, change = _GLOBALS[option.name or ""]
    ctx.obj = replace(ctx.obj, **{name: change(ctx.obj, value)})
    if name == "color":
        ctx.color = False


_GLOBALS: Final[dict[str, tuple[str, Callable[[Globals, Any], Any]]]] = {
    "directory": ("directory", lambda before, value: before.directory / value),
    "environment": ("environment", lambda _, value: value),
    "variables": ("variables", lambda before, value: (*before.variables, *value)),
    "no_color": ("color", lambda *_: False),
    "quiet": ("quiet", lambda *_: True),
    "verbose": ("verbose", lambda *_: True),
}


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-C", "directory", type=click.Path(path_type=Path), default=".", metavar="DIR", help="Project folder.")
@click.option("--env", "environment", metavar="NAME", help="Environment of reconciler.yaml to overlay.")
@click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="Set a variable; may be repeated.")
@click.option("--no-color", is_flag=True, help="Plain text; NO_COLOR does the same.")
@click.option("-q", "--quiet", is_flag=True, help="Results and errors only.")
@click.option("-v", "--verbose", is_flag=True, help="Say more; with an unforeseen error, its traceback.")
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def cli(  # noqa: PLR0913 - one parameter for each global option
    ctx: click.Context,
    directory: Path,
    environment: str | None,
    variables: tuple[str, ...],
    *,
    no_color: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Plan and apply for composed videos.

    Declare in manifests which videos should exist; plan says what is missing and why; apply makes only that.
    """
    color = False if no_color or os.environ.get("NO_COLOR") else None
    ctx.color = color
    ctx.obj = Globals(directory, environment, variables, color, quiet, verbose)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status: 0 done, 1 failed, 2 changes pending, 130 or 143 stopped."""
    verbose = any(word == "--verbose" or (word[:1] == "-" != word[1:2] and "v" in word) for word in arguments)
    color = False if os.environ.get("NO_COLOR") or "--no-color" in arguments else None
    try:
        status = cli.main(args=list(arguments), prog_name="reconciler", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except ManifestError as error:
        from reconciler.cli import views

        _say(views.diagnostics_text(error.diagnostics), color=color)
        _say(click.style(f"{error.message}.", bold=True), color=color)
        return error.exit_code
    except ReconcilerError as error:
        _say_error(error.message, error.advice, color=color)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        _say(error.format_message(), color=color)
        return 1
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        advice = f"try `{context.command_path} --help`" if context else None
        _say_error(error.format_message(), advice, color=color)
        return 1
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted", color=color)
        return 130
    except BrokenPipeError:
        # Whoever read us has gone, as in `reconciler plan | head`; keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        _say_error(f"{error.filename or 'reading or writing'}: {error.strerror or error}", None, color=color)
        return 1
    except Exception as error:
        if verbose:
            raise
        _say_error(
            f"unforeseen: {type(error).__name__}: {error}",
            "this is a mistake in reconciler; run again with --verbose for the traceback",
            color=color,
        )
        return 1


def _say(text: str, *, color: bool | None) -> None:
    click.echo(text, err=True, color=color)


def _say_error(message: str, advice: str | None, *, color: bool | None) -> None:
    _say(f"{click.style('error:', fg='red', bold=True)} {message}", color=color)
    if advice:
        _say(f"  {click.style('→', fg='cyan')} {advice}", color=color)
