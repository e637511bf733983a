"""``reconciler lock``: lockfiles and Git – the merge driver, and what makes Git call it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from reconciler.cli import session
from reconciler.errors import LockfileError, ProjectError, UsageError

if TYPE_CHECKING:
    from reconciler.cli import Globals
    from reconciler.lockmerge import Merged

ATTRIBUTES: Final = ("reconciler.lock", "reconciler.*.lock")
"""The names of lockfiles: that without an environment, those of environments."""

CONFIGURED: Final = "Git now merges lockfiles with `reconciler lock merge` in this clone."

_DRIVER: Final = {
    "merge.reconciler.driver": "reconciler lock merge %O %A %B --path %P",
    "merge.reconciler.name": "reconciler: merges lockfiles output by output",
}
"""What the clone's configuration is to say, in this order: Git gives up on a driver that has a name and no command."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Let Git merge lockfiles output by output."""


# The driver.


@command.command("merge")
@click.argument("base", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("ours", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("theirs", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--path", "name", metavar="PATH", help="The lockfile's name in the repository, for messages.")
def merge_files(base: Path, ours: Path, theirs: Path, *, name: str | None) -> None:
    """Merge THEIRS into OURS, which both came from BASE: Git's merge driver (%O %A %B --path %P).

    Ends with 1 when the two changed the same output differently; OURS then holds both lines of it between marks.
    """
    from reconciler import disk
    from reconciler.lockmerge import merge

    shown = name or str(ours)
    try:
        merged = merge(base.read_bytes(), ours.read_bytes(), theirs.read_bytes())
    except LockfileError as error:
        raise LockfileError(f"{shown} is not merged: {error.message}", advice=error.advice) from error
    disk.replace(ours, merged.text)
    _tell(merged, shown)


def _tell(merged: Merged, name: str) -> None:
    """Name every conflict. Raises LockfileError when there is one."""
    for conflict in merged.conflicts:
        mark = click.style("conflict", fg="red", bold=True)
        click.echo(f"{mark}  {', '.join(conflict.addresses)}: {conflict.reason}", err=True)
    if count := len(merged.conflicts):
        raise LockfileError(
            f"{name} has {count} conflict{'s' if count > 1 else ''}",
            advice="keep one side of each between its marks, `git add` the file, then see `reconciler state verify`"
            " and `reconciler plan`",
        )


# What makes Git call it.


@command.command("install")
@click.pass_obj
def install(options: Globals) -> None:
    """Make Git merge lockfiles with reconciler in this clone: .gitattributes, and the clone's own configuration.

    A clone does not bring its configuration along, so every clone that merges needs this once, those of CI too.
    Running it again changes nothing.
    """
    root = options.directory
    if shutil.which("git") is None:
        raise UsageError("git is not there", advice="install it, or put it on PATH")
    if not in_work_tree(root):
        raise UsageError(
            f"{root} is not in a Git work tree", advice="run this inside the clone, or name its folder with -C"
        )
    if write_attributes(root / ".gitattributes"):
        session.say(options, "  wrote .gitattributes; commit it")
    click.echo(CONFIGURED if configure(root) else "Nothing to do: Git merges lockfiles with reconciler.")


def write_attributes(path: Path) -> bool:
    """Add to a .gitattributes what it does not say of lockfiles yet, and tell whether there was anything."""
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        said = {words[0] for words in map(str.split, text.splitlines()) if any("merge" in word for word in words[1:])}
        missing = [f"{name} merge=reconciler\n" for name in ATTRIBUTES if name not in said]
        if missing:
            with path.open("a", encoding="utf-8") as stream:
                stream.write("\n" * (text != "" and not text.endswith("\n")) + "".join(missing))
    except UnicodeDecodeError as error:
        raise ProjectError(f"cannot read {path}: {error}", advice="write it in UTF-8") from error
    except OSError as error:
        raise ProjectError(f"cannot write {path}: {error.strerror}") from error
    return bool(missing)


def in_work_tree(root: Path) -> bool:
    """Tell whether a folder is in a Git work tree; without git nothing is."""
    return shutil.which("git") is not None and _git(root, "rev-parse", "--is-inside-work-tree").stdout == "true\n"


def configure(root: Path, *, keep: bool = False) -> bool:
    """Name the merge driver in the configuration of the clone, and tell whether that changed anything.

    With ``keep`` a driver that is named there already stays as it is. Raises ProjectError when git refuses.
    """
    wanted = {name: text for name, text in _DRIVER.items() if _configured(root, name) != text}
    if not wanted or (keep and _configured(root, "merge.reconciler.driver")):
        return False
    for name, text in wanted.items():
        done = _git(root, "config", "--local", name, text)
        if done.returncode:
            raise ProjectError(f"git cannot set {name}: {done.stderr.strip()}")
    return True


def _configured(root: Path, name: str) -> str:
    return _git(root, "config", "--get", name).stdout.removesuffix("\n")


def _git(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("git") or "git"
    return subprocess.run([program, "-C", str(root), *words], capture_output=True, text=True, check=False)
