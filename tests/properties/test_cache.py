"""What is known from earlier runs changes no answer: random projects, edited at random, read with and without it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler import cache
from reconciler.cli import session
from reconciler.errors import ManifestError
from reconciler.project import load
from reconciler.resolve import memory
from reconciler.resolve.memory import Remembered
from reconciler.rows import Lines, parse_rows
from reconciler.state import DesiredState
from tests.properties.test_shortcuts import LAYOUTS, Making
from tests.resolving import BUCKET, REGION

BASE = {"video_synthesis": {"splice_info": [{"url": "in.mp4"}]}, "output": {"object": "base.mp4"}}
SOUND_SOURCES = {"layout": "side-by-side", "with": {"left": "{{ each.a }}", "right": "in/{{ each.b }}"}}
LETTERS = st.text(alphabet='ab,1 {}:"\n\r\u2028\x0c\ufeff', max_size=12)


class Folder:
    """A project on disk that is read in both ways."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.recalled = 0
        self.rows: list[Any] = []
        self.write("reconciler.yaml", f"version: 1\nservice: embedded\nbucket: {BUCKET}\nregion: {REGION}\n")
        for name, text in LAYOUTS.items():
            self.write(f"templates/{name}.yaml.j2", text)

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())

    def write_rows(self, lines: Callable[[list[str]], list[str]] = list, end: str = "\n") -> None:
        """Write the rows as JSON Lines and as CSV; ``lines`` changes the lines of both."""
        fields = ["id", "title", "a", "b", "w"]
        table = io.StringIO()
        writer = csv.DictWriter(table, fields, extrasaction="ignore", lineterminator="\n")
        writer.writerows(self.rows)
        rows = lines([json.dumps(row) for row in self.rows])
        self.write("data/rows.jsonl", "".join(f"{row}{end}" for row in rows))
        cells = [",".join(fields), *lines(table.getvalue().split("\n")[:-1])]
        self.write("data/rows.csv", "".join(f"{row}{end}" for row in cells))

    @property
    def file(self) -> Path:
        return self.root / ".reconciler/cache/desired"

    def read(self, fps: int, *, cached: bool) -> DesiredState | list[Any]:
        project = load(self.root, variables=[f"fps={fps}"], environ={})
        try:
            return session.read_desired(project, cached=cached)
        except ManifestError as error:
            return list(error.diagnostics)

    def compare(self, fps: int) -> None:
        quick, slow = self.read(fps, cached=True), self.read(fps, cached=False)
        assert quick == slow
        if isinstance(quick, DesiredState) and isinstance(slow, DesiredState):
            assert list(map(repr, quick.outputs.values())) == list(map(repr, slow.outputs.values()))
            for address, output in quick.outputs.items():
                assert output.address == address
                assert output.digest == slow.outputs[address].digest
                self.recalled += isinstance(output.recipe, Remembered)


class Editing:
    """Edits of a project; each is a method that draws what it needs."""

    def __init__(self, folder: Folder, parts: Making, data: st.DataObject) -> None:
        self.folder = folder
        self.parts = parts
        self.data = data
        self.fps = 25
        self.manifest()
        self.new_rows()

    def manifest(self) -> None:
        draw, parts = self.data.draw, self.parts
        outputs: dict[str, Any] = {"base": BASE}
        if draw(st.integers(0, 3)) == 0:
            outputs["e1"] = draw(Making.literal(parts, 1))
        for number in range(draw(st.integers(1, 2))):
            entry = draw(Making.rowed(parts))
            if draw(st.integers(0, 3)):  # else it is mostly one that is warned of, and nothing is kept
                entry = {name: value for name, value in entry.items() if name != "video_synthesis"} | SOUND_SOURCES
            entry["for_each"] = draw(st.sampled_from(["data/rows.jsonl", "data/rows.jsonl", "data/rows.csv"]))
            if draw(st.integers(0, 2)) < 2:  # else two entries have the same keys
                entry["output"] = f"{number}/{entry['output']}"
            outputs[f"row{number or ''}"] = entry
        if draw(st.integers(0, 3)) == 0:
            outputs["many"] = {**BASE, "matrix": {"x": [1, 2]}, "output": "many/{{ each.x }}.mp4"}
        whole = {"version": 1, "defaults": draw(parts.defaults()), "outputs": outputs}
        self.folder.write("manifests/demo.yaml", json.dumps(whole, ensure_ascii=False, indent=1))

    def new_rows(self) -> None:
        self.folder.rows = self.data.draw(self.parts.rows())
        if len(self.folder.rows) < 3:
            self.folder.rows = [{"id": n, "title": "t", "a": "a", "b": "b", "w": n, "labels": {}} for n in range(5)]
        self.folder.write_rows()

    def change(self) -> None:
        """Put a row of the same project in the place of another, or change one field."""
        rows = self.folder.rows
        if rows:
            index = self.data.draw(st.integers(0, len(rows) - 1))
            row = {**rows[index], "a": self.data.draw(self.parts.names), "w": self.data.draw(self.parts.numbers)}
            rows[index] = row
        self.folder.write_rows()

    def add(self) -> None:
        rows = self.folder.rows
        row = {"id": 90 + len(rows), "title": "t", "a": "new.mp4", "b": self.data.draw(self.parts.names), "w": 640}
        rows.insert(self.data.draw(st.integers(0, len(rows))), {**row, "labels": {}})
        self.folder.write_rows()

    def remove(self) -> None:
        del self.folder.rows[: self.data.draw(st.integers(1, 2))]
        self.folder.write_rows()

    def reorder(self) -> None:
        self.folder.rows = self.data.draw(st.permutations(self.folder.rows))
        self.folder.write_rows()

    def repeat(self) -> None:
        self.folder.rows += self.folder.rows[:1]
        self.folder.write_rows()

    def spell(self) -> None:
        """Write the same rows in another way, or something that is none."""
        odd = st.sampled_from(["", " ", "7", '"x"', "{", "[]", "a,b", '"a', "x,t,a.mp4,b.mp4,640", "\ufeff"])
        more = self.data.draw(st.lists(odd, max_size=2))
        end = self.data.draw(st.sampled_from(["\n", "\r\n", "\r", "\n\n"]))
        self.folder.write_rows(lambda lines: [*more, *lines] if more[:1] == [""] else [*lines, *more], end)

    def layout(self) -> None:
        gap = self.data.draw(st.integers(0, 3))
        self.folder.write("templates/own.yaml.j2", LAYOUTS["own"].replace("place(0", f"place({gap}", 1))

    def variable(self) -> None:
        self.fps = self.data.draw(st.sampled_from([25, 30]))

    def spoil(self) -> None:
        """Damage the file of what is known."""
        if self.folder.file.exists():
            whole = self.folder.file.read_bytes()
            at = self.data.draw(st.integers(0, len(whole) - 1))
            flipped = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
            self.folder.file.write_bytes(self.data.draw(st.sampled_from([b"", whole[:at], flipped, whole + b"x"])))

    def nothing(self) -> None:
        """Change nothing."""


ROWS = (
    Editing.new_rows, Editing.change, Editing.change, Editing.add, Editing.remove, Editing.reorder, Editing.repeat,
    Editing.spell, Editing.nothing,
)  # fmt: skip
EDITS = (*ROWS, *ROWS, Editing.manifest, Editing.layout, Editing.variable, Editing.spoil)


def random_edits(parts: Making, data: st.DataObject) -> int:
    """Read a project in both ways after every edit; return how many outputs were not resolved again."""
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "MIN_OUTPUTS", 1)
        patch.setattr(memory, "MIN_KNOWN", data.draw(st.sampled_from([0, 0.5])))
        patch.setattr(memory, "MAX_NEW", data.draw(st.sampled_from([0, 1])))
        folder = Folder(Path(name))
        editing = Editing(folder, parts, data)
        folder.compare(editing.fps)
        for edit in data.draw(st.lists(st.sampled_from(EDITS), min_size=1, max_size=4)):
            edit(editing)
            folder.compare(editing.fps)
        return folder.recalled


making = st.sampled_from([Making(odd=False), Making(odd=False), Making(odd=False), Making(odd=True)])


@settings(max_examples=25, deadline=None)
@given(making, st.data())
def test_what_is_known_changes_nothing(parts: Making, data: st.DataObject) -> None:
    random_edits(parts, data)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(making, st.data())
def test_a_thousand_projects(parts: Making, data: st.DataObject) -> None:
    random_edits(parts, data)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["r.csv", "r.jsonl"]), st.lists(LETTERS | st.sampled_from(["a,b\n", '{"a":1}\n']), max_size=4))
def test_a_line_for_itself_is_read_as_among_the_others(source: str, texts: list[str]) -> None:
    text = "".join(texts)
    lines = Lines.of(text.encode(), source)
    try:
        walked = dict(parse_rows(text, source).walk())
    except ManifestError:
        return
    if lines is not None and all(isinstance(row, dict) for row in walked.values()):
        numbers = range(lines.first, lines.first + len(lines.body))
        assert {number: row for number in numbers if (row := lines.row(number)) is not None} == walked
