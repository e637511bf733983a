"""``--changed-since``: which outputs are declared otherwise than in a revision of the Git repository.

What the project declared then is resolved from its files of that time, and compared output by output: a manifest may be
rearranged as a whole, and nothing of it counts as changed. Nothing in the repository is touched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from reconciler.cli import session
from reconciler.diagnostics import Diagnostic
from reconciler.errors import ManifestError, ProjectError, UsageError
from reconciler.project import FILE
from reconciler.rows import SUFFIXES

if TYPE_CHECKING:
    from reconciler.cli import Globals
    from reconciler.state import DesiredState, Output

_DECLARING: Final = (
    FILE,
    "manifests",
    "templates",
    *(f":(icase)*{suffix}" for suffix in SUFFIXES),
    ":(exclude)buckets",
)
"""Where a project declares something: settings, manifests, layouts, and rows, which may be anywhere."""

_COMPARED: Final = ("object", "protect", "adopt", "ignore_changes", "request")


def changed_since(
    options: Globals, desired: DesiredState, revision: str
) -> tuple[frozenset[str] | None, tuple[Diagnostic, ...]]:
    """Return the addresses of what differs from a revision, and of what is made of it; and warnings.

    An output that was declared then and is no longer differs, too. None, for all there is, when what the project
    declared then cannot be told. Raises UsageError when Git does not know the revision, or there is no Git.
    """
    try:
        then = _outputs_at(options, revision)
    except (ProjectError, ManifestError) as error:
        summary = f"what the project declared in {revision} cannot be told: {_first_of(error)}"
        advice = "everything counts as changed since then; name a later revision to see less"
        return None, (Diagnostic("warning", summary, advice=advice),)
    now = desired.outputs
    differing = {address for address, output in now.items() if _differs(output, then.get(address))}
    return frozenset(_with_downstream(now, differing) | (then.keys() - now.keys())), ()


def _differs(output: Output, then: Output | None) -> bool:
    return then is None or any(getattr(output, name) != getattr(then, name) for name in _COMPARED)


def _with_downstream(outputs: Mapping[str, Output], chosen: Collection[str]) -> set[str]:
    """Return the chosen outputs and all that are made of them, at any depth."""
    readers: dict[str, list[str]] = {}
    for address, output in outputs.items():
        for name in output.upstream:
            readers.setdefault(name, []).append(address)
    found: set[str] = set()
    waiting = list(chosen)
    while waiting:
        address = waiting.pop()
        if address not in found:
            found.add(address)
            waiting.extend(readers.get(address, ()))
    return found


def _outputs_at(options: Globals, revision: str) -> Mapping[str, Output]:
    """Return what the project declared in a revision, with the environment and the variables of now."""
    with TemporaryDirectory(prefix="reconciler-") as name:
        folder = _files_at(options.directory, revision, Path(name))
        if not (folder / FILE).is_file():
            raise ProjectError(f"there was no {FILE} in this folder")
        then = replace(options, directory=folder)
        try:
            return session.read_desired(session.open_project(then), cached=False).outputs
        except ProjectError as error:
            raise ProjectError(error.message.replace(f"{folder}{os.sep}", "").replace(str(folder), ".")) from None


def _first_of(error: ProjectError | ManifestError) -> str:
    """Return what was wrong then; of several problems the first."""
    if isinstance(error, ProjectError):
        return error.message
    problems = [problem for problem in error.diagnostics if problem.severity == "error"]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{problems[0].summary}{more}"


# Git.


def _files_at(root: Path, revision: str, into: Path) -> Path:
    """Write the files of a revision that declare something, as a checkout would, and return the project's folder.

    An index of our own names them, so that neither the person's index nor the files that are there are touched.
    """
    git = _Git(root, revision, into / "index")
    prefix = git(
        "rev-parse", "--show-toplevel", "--show-prefix", advice="run it in a clone of the project"
    ).splitlines()
    fetch = "name a commit, a branch or a tag that is there, such as HEAD~1; `git fetch` brings what a clone lacks"
    commit = git("rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}", advice=fetch).decode().strip()
    git("read-tree", "--no-sparse-checkout", commit)
    names = git("ls-files", "-z", "--", *_DECLARING)
    files = into / "files"
    git("checkout-index", "-z", "--stdin", f"--prefix={files}/", feed=names)
    return files / os.fsdecode(prefix[1] if len(prefix) > 1 else b"")


class _Git:
    """Git in the project's folder, with an index of its own."""

    def __init__(self, root: Path, revision: str, index: Path) -> None:
        program = shutil.which("git")
        if program is None:
            raise UsageError("--changed-since needs git, and there is none", advice="install git, or leave it out")
        self._command = (program, "-C", str(root))
        self._revision = revision
        self._environment = {**os.environ, "GIT_INDEX_FILE": str(index)}

    def __call__(self, *words: str, feed: bytes = b"", advice: str | None = None) -> bytes:
        """Run one command and return what it says. Raises UsageError with Git's own words when it fails."""
        done = subprocess.run(
            [*self._command, *words], input=feed, capture_output=True, check=False, env=self._environment
        )
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip() or f"git {words[0]} ended with {done.returncode}"
            raise UsageError(f"--changed-since {self._revision}: {said}", advice=advice)
        return done.stdout
