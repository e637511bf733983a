"""``reconciler init``: a project that works at once."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from reconciler.cli import session
from reconciler.cli.commands import lock
from reconciler.errors import ProjectError, RenderError

if TYPE_CHECKING:
    from reconciler.cli import Globals

CLIPS: Final = {
    "fractal.mp4": ("mandelbrot=size=640x360:rate=30", "sine=frequency=440:duration=5"),
    "clock.mp4": ("testsrc2=size=640x360:rate=25", "sine=frequency=660:duration=5"),
}
"""The sample clips that are made here: picture and sound, as FFmpeg's own test sources."""

_IGNORED: Final = (
    "# What reconciler makes. reconciler.lock is committed: it records what was made.\n.reconciler/\nbuckets/\n"
)
_SAMPLE: Final = "big-buck-bunny.mp4"


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), required=False, metavar="[DIR]")
@click.pass_obj
def command(options: Globals, folder: Path | None) -> int:
    """Write a project that works into DIR: settings, a manifest, layouts, small sample clips.

    Files that are there already are kept as they are; a .gitattributes gets the lines of the lockfiles added. In a Git
    work tree the clone's configuration gets the merge driver of lockfiles.
    """
    root = options.directory / folder if folder else options.directory
    try:
        written = list(_write(root))
    except OSError as error:
        raise ProjectError(f"cannot write {error.filename or root}: {error.strerror}") from error
    for path in written:
        session.say(options, f"  wrote {path.relative_to(root)}")
    if lock.in_work_tree(root):
        if lock.configure(root, keep=True):
            session.say(options, f"  {lock.CONFIGURED}")
    elif written:
        session.say(options, "  In a Git clone, run `reconciler lock install`: then Git merges lockfiles.")
    place = "" if root.resolve() == Path.cwd() else f" -C {root}"
    what = f"A project is ready in {root}." if written else f"Nothing to do: {root} has everything already."
    click.echo(f"{what} Next: reconciler{place} plan")
    return 0


def _write(root: Path) -> Iterator[Path]:
    """Write what is missing, and yield each file that was written."""
    yield from _copy(session.shipped("reconciler.yaml", "starter"), root / "reconciler.yaml")
    for name in ("manifests", "data"):
        yield from _copy_folder(session.shipped(name, "starter"), root / name)
    yield from _copy_folder(session.shipped("templates"), root / "templates")
    yield from _ignore(root / ".gitignore")
    if lock.write_attributes(root / ".gitattributes"):
        yield root / ".gitattributes"
    clips = root / "buckets" / "demo-1250000000" / "input"
    yield from _copy(session.shipped("samples") / _SAMPLE, clips / "bunny.mp4")
    for name, (picture, sound) in CLIPS.items():
        if not (clips / name).exists():
            _make_clip(clips / name, picture, sound)
            yield clips / name


def _copy_folder(source: Path, target: Path) -> Iterator[Path]:
    for path in sorted(source.rglob("*")):
        if path.is_file():
            yield from _copy(path, target / path.relative_to(source))


def _copy(source: Path, target: Path) -> Iterator[Path]:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.partial")
        shutil.copyfile(source, partial)
        partial.replace(target)
        yield target


def _ignore(path: Path) -> Iterator[Path]:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_IGNORED, encoding="utf-8")
        yield path


def _make_clip(target: Path, picture: str, sound: str) -> None:
    from reconciler.service.ffmpeg import locate

    partial = target.with_name(f".{target.name}.partial")
    command = [
        str(locate(os.environ).path), "-v", "error", "-nostdin", "-y",
        "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound,
        "-c:v", "libx264", "-preset", "veryfast", "-crf", "30", "-pix_fmt", "yuv420p", "-threads", "2",
        "-c:a", "aac", "-b:a", "64k", "-ac", "2", "-t", "5",
        "-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact", "-f", "mp4", f"file:{partial}",
    ]  # fmt: skip
    advice = "RECONCILER_FFMPEG names the FFmpeg to use; unset it for the one that comes with the package"
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError as error:
        raise RenderError(f"FFmpeg does not start: {error.strerror}: {command[0]}", advice=advice) from error
    if done.returncode != 0:
        partial.unlink(missing_ok=True)
        words = done.stderr.strip()[-300:] or f"it ended with status {done.returncode}"
        raise RenderError(f"FFmpeg could not make {target.name}: {words}", advice=advice)
    partial.replace(target)
