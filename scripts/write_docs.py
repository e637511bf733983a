#!/usr/bin/env python3
"""Write the parts of the documents that the program itself knows: help texts, nodes, settings, layouts.

The text between ``<!-- generated: NAME -->`` and ``<!-- end -->`` in docs/*.md and README.md is replaced. With
``--check`` nothing is written, and the exit status is 1 when a document would change.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import click
import jinja2
from pydantic import BaseModel

from reconciler import layout, schema
from reconciler.cli import cli
from reconciler.project import ENVIRONMENT_VARIABLE
from reconciler.settings import FileSettings

ROOT: Final = Path(__file__).resolve().parent.parent
WIDTH: Final = 100
"""Columns of the help texts."""

CANVAS: Final = {"width": 1280, "height": 720}
SKETCH: Final = (48, 14)
"""Columns and lines of the picture of a layout."""

SAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "side-by-side": {"left": "left", "right": "right"},
    "stacked": {"top": "top", "bottom": "bottom"},
    "grid": {"sources": ["1", "2", "3", "4", "5"]},
    "picture-in-picture": {"main": "main", "inset": "inset"},
    "presenter": {"main": "main", "others": ["1", "2", "3"]},
}
"""What each layout is drawn with: the parameters that it cannot do without."""

_MARKED: Final = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_WORDS: Final[Mapping[object, str]] = {
    str: "text",
    int: "whole number",
    Decimal: "number",
    float: "number",
    bool: "true or false",
    Any: "anything",
}


# Tables.


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def kind(annotation: Any) -> str:
    """Say in words what a node holds."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _WORDS:
        return _WORDS[annotation]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    if origin is tuple:
        return f"list of {kind(arguments[0])}"
    if origin is dict:
        return "mapping"
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if hasattr(annotation, "__metadata__"):
        return kind(annotation.__origin__)
    return " or ".join(dict.fromkeys(kind(option) for option in arguments if option is not type(None)))


# The manifest.


def manifest_nodes() -> str:
    """Return one table for every mapping of a manifest, the API's nodes included."""
    top = f"#### The file\n\n{_nodes(schema.Document)}"
    parts = [f"#### {title}\n\n{_nodes(model)}" for title, model in _sections()]
    return "\n\n".join([top, *parts, f"#### Each item of `moved`\n\n{_nodes(schema.Move)}"])


def _nodes(model: type[BaseModel]) -> str:
    rows = [
        [f"`{name}`", f"{kind(field.annotation)}{', required' if field.is_required() else ''}", field.description or ""]
        for name, field in model.model_fields.items()
    ]
    return table(["Node", "Value", "Meaning"], rows)


def _sections() -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield every mapping below an entry, each once, titled with all the places where it stands."""
    found: dict[type[BaseModel], list[str]] = {}
    _collect(schema.Entry, "", found)
    for model, paths in found.items():
        yield (" and ".join(f"`{path}`" for path in paths) if paths != [""] else "An entry of `outputs`"), model


def _collect(model: type[BaseModel], path: str, found: dict[type[BaseModel], list[str]]) -> None:
    found.setdefault(model, []).append(path)
    for name, child in schema.children(model).items():
        if child.model is not None:
            step = f"{name}[]" if child.shape == "list" else name
            _collect(child.model, f"{path}.{step}".lstrip("."), found)


# Settings.


def settings() -> str:
    """Return the table of all settings, with the environment variable of each."""
    return table(["Setting", "Environment variable", "Value", "Meaning"], list(_settings(FileSettings, "")))


def _settings(model: type[BaseModel], prefix: str) -> Iterator[list[str]]:
    for name, child in schema.children(model).items():
        field, path = model.model_fields[name], f"{prefix}{name}"
        if child.model is not None and child.shape == "one":
            yield from _settings(child.model, f"{path}.")
            continue
        variable = f"`{ENVIRONMENT_VARIABLE}{path.replace('.', '_').upper()}`"
        if path in ("version", "environments"):
            variable = "–"
        elif path == "vars":
            path, variable = "vars.NAME", f"`{ENVIRONMENT_VARIABLE}VARS_NAME`"
        required = ", required" if field.is_required() else ""
        yield [f"`{path}`", variable, f"{kind(field.annotation)}{required}", field.description or ""]


# Commands.


def commands() -> str:
    """Return the help text of every command."""
    return "\n\n".join(f"## {name}\n\n```text\n{text}\n```" for name, text in _helps(cli, "reconciler", None))


def _helps(command: click.Command, name: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    context = click.Context(
        command,
        info_name=name,
        parent=parent,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        help_option_names=["-h", "--help"],
    )
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None  # it is one of the commands that are listed
            yield from _helps(found, inner, context)


# Layouts.


def built_in_layout(name: str) -> str:
    """Return what a layout says about itself, a picture of it and its rectangles."""
    environment = layout.environment(jinja2.FileSystemLoader(str(ROOT / "templates")))
    found = layout.Layouts(environment).get(name)
    items = found.expand({"canvas": CANVAS, "vars": {}, **SAMPLES[name]}, "docs")
    about = found.text.partition("{#")[2].partition("#}")[0]
    rows = [[f"`{item['url']}`", *(str(item[key]) for key in ("x", "y", "width", "height"))] for item in items]
    drawn = sketch(items)
    rectangles = table(["Source", "x", "y", "width", "height"], rows)
    return f"```text\n{inspect.cleandoc(about)}\n```\n\n```text\n{drawn}\n```\n\n{rectangles}"


def sketch(items: Sequence[Mapping[str, Any]]) -> str:
    """Draw the sources of a layout, later ones over earlier ones."""
    across, down = SKETCH
    cells = [[" "] * across for _ in range(down)]
    for item in items:
        left, right = (_scaled(item["x"] + side, CANVAS["width"], across) for side in (0, item["width"]))
        top, bottom = (_scaled(item["y"] + side, CANVAS["height"], down) for side in (0, item["height"]))
        _draw(cells, (left, top, right - 1, bottom - 1), item["url"])
    return "\n".join("".join(line).rstrip() for line in cells)


def _scaled(pixels: int, whole: int, cells: int) -> int:
    return round(pixels * cells / whole)


def _draw(cells: list[list[str]], box: tuple[int, int, int, int], name: str) -> None:
    left, top, right, bottom = box
    for y in range(top, bottom + 1):
        edge = y in (top, bottom)
        cells[y][left : right + 1] = [
            "+" if edge else "|",
            *("-" if edge else " ") * (right - left - 1),
            "+" if edge else "|",
        ]
    cells[top + 1][left + 2 : left + 2 + len(name)] = name


# Documents.

GENERATED: Final[Mapping[str, Callable[[], str]]] = {
    "commands": commands,
    "manifest-nodes": manifest_nodes,
    "settings": settings,
    **{f"layout-{name}": partial(built_in_layout, name) for name in SAMPLES},
}


def written(text: str) -> str:
    """Return a document with its generated parts written anew. Raises KeyError for a part that nobody writes."""
    return _MARKED.sub(lambda found: f"{found[1]}\n{GENERATED[found['name']]()}\n\n{found[3]}", text)


def main(arguments: Sequence[str]) -> int:
    """Write the documents, or with ``--check`` name those that would change."""
    check = "--check" in arguments
    stale = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if _update(path, check=check)]
    for path in stale:
        sys.stdout.write(f"{'stale' if check else 'wrote'} {path.relative_to(ROOT)}\n")
    return 1 if stale and check else 0


def _update(path: Path, *, check: bool) -> bool:
    """Write a document anew, unless ``check``. Tell whether it changes."""
    before = path.read_text(encoding="utf-8")
    after = written(before)
    if after != before and not check:
        path.write_text(after, encoding="utf-8")
    return after != before


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
