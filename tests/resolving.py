"""Manifests as texts to desired states, as the command line does it, without a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import jinja2

from reconciler.diagnostics import Diagnostic
from reconciler.errors import ManifestError
from reconciler.expression import Environment
from reconciler.layout import environment
from reconciler.manifest import parse_all
from reconciler.resolve import resolve
from reconciler.rows import Rows, parse_rows
from reconciler.state import DesiredState, Output

BUCKET = "demo-1250000000"
REGION = "ap-chongqing"
TEMPLATES = Path(__file__).parent.parent / "templates"

ENCODING = """
  transcode:
    container: {format: mp4}
    video: {codec: H.264, width: 1280, height: 720}
"""


def layouts(own: Mapping[str, str] | None = None) -> Environment:
    """Return the built-in layouts with those of a project before them."""
    named = {f"{name}.yaml.j2": text for name, text in (own or {}).items()}
    return environment(jinja2.ChoiceLoader([jinja2.DictLoader(named), jinja2.FileSystemLoader(TEMPLATES)]))


def desired(files: Mapping[str, str], own: Mapping[str, str] | None = None, **variables: object) -> DesiredState:
    """Resolve a project given as its files; those under ``manifests/`` are its manifests."""

    def rows(name: str) -> Rows:
        if name not in files:
            raise FileNotFoundError(2, "No such file or directory", name)
        return parse_rows(files[name], name)

    manifests = parse_all((text, name) for name, text in files.items() if name.startswith("manifests/"))
    return resolve(
        manifests, layouts=layouts(own), rows=rows, variables=variables or {"fps": 25}, bucket=BUCKET, region=REGION
    )


def outputs(manifest: str, own: Mapping[str, str] | None = None, **files: str) -> Mapping[str, Output]:
    """Resolve one manifest, ``version`` added; ``data_rows_csv`` stands for the file ``data/rows.csv``."""
    named = {name.replace("_", "/", 1).replace("_", "."): text for name, text in files.items()}
    return desired({"manifests/demo.yaml": f"version: 1\n{manifest}", **named}, own).outputs


def problems(manifest: str, own: Mapping[str, str] | None = None, **files: str) -> tuple[Diagnostic, ...]:
    """Resolve one manifest that must be wrong and return why."""
    try:
        outputs(manifest, own, **files)
    except ManifestError as error:
        return error.diagnostics
    raise AssertionError("the manifest resolved")


def refusal(call: Callable[[], object]) -> tuple[Diagnostic, ...]:
    """Return what is wrong, or nothing when the call succeeds; every problem must have a place."""
    found: tuple[Diagnostic, ...] | None = None
    try:
        call()
    except ManifestError as error:
        found = error.diagnostics
    assert found is None or (found and all(problem.position and problem.summary for problem in found))
    return found or ()


def shown(diagnostic: Diagnostic) -> str:
    """Write a diagnostic as compiler messages are written, for comparing with what is expected."""
    position = diagnostic.position
    assert position is not None
    about = f" [{diagnostic.subject}]" if diagnostic.subject else ""
    lines = [
        f"{diagnostic.severity}: {diagnostic.summary}{about}",
        f"  --> {position.source}:{position.line}:{position.column}",
    ]
    if diagnostic.excerpt:
        lines += [f"   | {diagnostic.excerpt}", f"   | {' ' * (position.column - 1)}^"]
    if diagnostic.advice:
        lines.append(f"   = {diagnostic.advice}")
    return "\n".join(lines)
