from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from reconciler.cache import MIN_OUTPUTS, Cache, key
from reconciler.cli import session
from reconciler.errors import ManifestError
from reconciler.project import Project, load
from reconciler.resolve.memory import Remembered
from reconciler.state import DesiredState

SETTINGS = """version: 1
service: embedded
bucket: demo-1250000000
region: ap-chongqing
environments:
  prod: {bucket: prod-1250000000}
"""

MANIFEST = """version: 1
outputs:
  video:
    for_each: data/rows.csv
    key: "{{ each.id }}"
    layout: side-by-side
    with: {left: "in/{{ each.id }}.mp4", right: in/presenter.mp4}
    transcode:
      container: {format: mp4}
      video: {codec: H.264, width: 1280, height: 720, crf: "{{ each.quality }}"}
    labels: {team: "{{ each.team }}"}
    protect: "{{ each.team == 'a' }}"
    when: "{{ each.team != 'none' }}"
    output: "out/{{ each.id }}.${ext}"
"""

LAYOUT = 'layout: side-by-side\n    with: {left: "in/{{ each.id }}.mp4", right: in/presenter.mp4}'
BASE = """  base:
    video_synthesis: {splice_info: [{url: a.mp4}]}
    transcode: {container: {format: mp4}, video: {codec: H.264, width: 1280, height: 720}}
    output: base.mp4
"""
HEADER = "id,quality,team"
ROWS = [f"v{number:04},{20 + number % 3},{'ab'[number % 2]}" for number in range(MIN_OUTPUTS + 10)]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    write(tmp_path, "reconciler.yaml", SETTINGS)
    write(tmp_path, "manifests/demo.yaml", MANIFEST)
    write_rows(tmp_path, ROWS)
    return load(tmp_path, environ={})


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, newline="")


def write_rows(root: Path, rows: list[str], header: str = HEADER) -> None:
    write(root, "data/rows.csv", "\n".join([header, *rows, ""]))


def file(project: Project, name: str = "desired") -> Path:
    return project.root / ".reconciler/cache" / name


def recalled(project: Project) -> set[str]:
    """Read the project, which must come out as it does when nothing is known; return what was known of it."""
    quick, slow = session.read_desired(project), session.read_desired(project, cached=False)
    assert quick == slow
    assert list(quick.outputs) == list(slow.outputs)
    for address, output in quick.outputs.items():
        other = slow.outputs[address]
        assert (output.row, output.digest) == (other.row, other.digest)
    return {address for address, output in quick.outputs.items() if isinstance(output.recipe, Remembered)}


def refused(project: Project, *, cached: bool) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        session.read_desired(project, cached=cached)
    return [f"{problem}" for problem in caught.value.diagnostics]


def test_what_has_not_changed_is_known(project: Project) -> None:
    assert recalled(project) == set()
    desired = session.read_desired(project, cached=False)
    assert recalled(project) == set(desired.outputs)
    assert len(desired.outputs) == len(ROWS)


def test_only_what_was_edited_is_resolved(project: Project) -> None:
    recalled(project)
    written = file(project).read_bytes()
    rows = [ROWS[5], "new,23,b", "v0001,30,b", "left-out,1,none", "", *ROWS[6:]]
    write_rows(project.root, rows)
    known = recalled(project)
    assert known == {f'video["{row[:5]}"]' for row in (ROWS[5], *ROWS[6:])}
    assert file(project).read_bytes() == written  # so few are not worth writing it


def test_many_edits_are_kept(project: Project) -> None:
    recalled(project)
    write_rows(project.root, [row.replace(",20,", ",30,") for row in ROWS])
    known = recalled(project)
    assert 0 < len(known) < len(ROWS)
    assert len(recalled(project)) == len(ROWS)


def test_a_project_of_few_outputs_needs_no_file(project: Project) -> None:
    write_rows(project.root, ROWS[: MIN_OUTPUTS - 1])
    assert recalled(project) == set()
    assert not file(project).exists()


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("manifests/demo.yaml", "height: 720", "height: 360"),
        ("manifests/demo.yaml", "  video:\n    for_each", "  video:\n\n    for_each"),
        ("templates/own.yaml.j2", "", "- {{ left | place(0, 0, 640, 720) }}"),
        ("data/rows.csv", HEADER, "id,team,quality"),
    ],
)
def test_all_else_makes_every_row_new(project: Project, name: str, before: str, after: str) -> None:
    if not before:
        write(project.root, name, before)
    recalled(project)
    path = project.root / name
    text = path.read_text() if before else ""
    write(project.root, name, text.replace(before, after, 1))
    if name == "data/rows.csv":
        assert refused(project, cached=True) == refused(project, cached=False)
    else:
        assert recalled(project) == set()


def test_variables_and_place_make_every_row_new(project: Project) -> None:
    recalled(project)
    for other in (replace(project, vars={"x": 1}), replace(project, bucket="other-1250000000")):
        assert recalled(other) == set()
        assert len(recalled(other)) == len(ROWS)


def test_environments_do_not_share(project: Project) -> None:
    recalled(project)
    prod = load(project.root, environment="prod", environ={})
    assert recalled(prod) == set()
    assert len(recalled(prod)) == len(recalled(project)) == len(ROWS)
    assert {path.name for path in file(project).parent.iterdir()} == {"desired", "desired.prod"}


@pytest.mark.parametrize("damage", ["gone", "empty", "torn", "flipped", "longer", "garbage", "folder"])
def test_a_file_that_is_not_whole_counts_as_none(project: Project, damage: str) -> None:
    recalled(project)
    path = file(project)
    whole = path.read_bytes()
    middle = len(whole) // 2
    damaged = {
        "empty": b"",
        "torn": whole[:middle],
        "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "longer": whole + b"\0",
        "garbage": b"\xc1" * 1000,
    }
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage in damaged:
        path.write_bytes(damaged[damage])
    assert recalled(project) == set()
    assert recalled(project) == (set() if damage == "folder" else set(session.read_desired(project).outputs))
    assert [other.name for other in path.parent.iterdir()] == ["desired"]


def test_where_nothing_can_be_written_nothing_is_kept(project: Project) -> None:
    write(project.root, ".reconciler", "a file in the place of the folder")
    assert recalled(project) == set()
    assert recalled(project) == set()


@pytest.mark.parametrize(
    ("after", "warned"),
    [
        ('layout: side-by-side\n    with: {left: "{{ each.id }}", right: {output: base}}', False),
        ('video_synthesis: {splice_info: [{url: "{{ each.id }}", height: 720}]}', True),
    ],
    ids=["references", "warnings"],
)
def test_what_is_out_of_the_ordinary_is_not_kept(project: Project, after: str, *, warned: bool) -> None:
    write(project.root, "manifests/demo.yaml", MANIFEST.replace(LAYOUT, after) + BASE)
    assert recalled(project) == set()
    assert bool(session.read_desired(project).warnings) == warned
    assert not file(project).exists()


def test_what_is_warned_of_elsewhere_keeps_no_row_from_being_known(project: Project) -> None:
    warned = MANIFEST + BASE.replace("{url: a.mp4}", "{url: a.mp4, height: 720}")
    write(project.root, "manifests/demo.yaml", warned)
    recalled(project)
    write_rows(project.root, [*ROWS, "new,23,b"])
    assert len(recalled(project)) == len(ROWS)
    assert session.read_desired(project).warnings


def test_rows_that_are_no_lines_are_not_kept(project: Project) -> None:
    write(project.root, "manifests/demo.yaml", MANIFEST.replace("rows.csv", "rows.yaml"))
    write(
        project.root, "data/rows.yaml", json.dumps([{"id": f"v{n}", "quality": 20, "team": "b"} for n in range(1100)])
    )
    assert recalled(project) == set()
    assert not file(project).exists()


def test_quoted_cells_are_read_as_ever(project: Project) -> None:
    recalled(project)
    write_rows(project.root, ['"vx",23,b', *ROWS])
    assert recalled(project) == set()


@pytest.mark.parametrize(
    "more",
    [["v0001,23,b"], [ROWS[1]], ["x,23"], ["x,bad,b"], [",23,b"], [ROWS[1], "x,bad,b", "y,bad,a"]],
    ids=["key", "row", "ragged", "value", "no-key", "several"],
)
def test_what_is_wrong_is_said_in_the_same_words(project: Project, more: list[str]) -> None:
    recalled(project)
    write_rows(project.root, [*ROWS[:7], *more, *ROWS[7:]])
    assert refused(project, cached=True) == refused(project, cached=False)


def test_outputs_that_become_sources_of_others_are_found(project: Project) -> None:
    write(project.root, "manifests/demo.yaml", MANIFEST.replace("right: in/presenter.mp4", 'right: "{{ each.team }}"'))
    recalled(project)
    write_rows(project.root, [*ROWS, "new,23,out/v0001.mp4"])
    assert len(recalled(project)) == len(ROWS)
    assert session.read_desired(project).outputs['video["new"]'].upstream == ('video["v0001"]',)


def test_json_lines_are_known_too(project: Project) -> None:
    write(project.root, "manifests/demo.yaml", MANIFEST.replace("rows.csv", "rows.jsonl"))
    rows = [json.dumps(dict(zip(HEADER.split(","), row.split(","), strict=True))) for row in ROWS]
    write(project.root, "data/rows.jsonl", "\n".join(rows))
    recalled(project)
    write(project.root, "data/rows.jsonl", "\n".join([*rows[1:], "", '{"id": "x", "quality": 23, "team": "b"}']))
    assert len(recalled(project)) == len(rows) - 1


def test_writers_at_the_same_time_leave_a_whole_file(project: Project) -> None:
    desired = session.read_desired(project)

    def again(_: int) -> DesiredState:
        decide = partial(key, "k", files=[], folders=[])
        cache = Cache(file(project, "shared"), decide)
        memory = cache.memory()
        assert not memory.known or set(memory.known) == {"video"}
        memory.learn("video", b"", list(desired.outputs.values()))
        memory.stale = True
        cache.keep(memory)
        return desired

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(again, range(20)))
    assert set(Cache(file(project, "shared"), partial(key, "k", files=[], folders=[])).memory().known) == {"video"}
    assert {path.name for path in file(project).parent.iterdir()} == {"desired", "shared"}


def test_a_layout_that_changes_meanwhile_keeps_nothing(project: Project, tmp_path: Path) -> None:
    keys = iter([b"a", b"b"])
    cache = Cache(tmp_path / "desired", lambda: next(keys))
    memory = cache.memory()
    memory.learn("video", b"", list(session.read_desired(project).outputs.values()))
    memory.stale = True
    cache.keep(memory)
    assert not (tmp_path / "desired").exists()


def test_a_key_tells_apart_all_that_it_is_made_of(tmp_path: Path) -> None:
    folder = tmp_path / "templates"
    write(folder, "a", "x")
    keys = [key("p", files=[("m", b"1")], folders=[folder])]
    keys.append(key("q", files=[("m", b"1")], folders=[folder]))
    keys.append(key("p", files=[("m", b"2")], folders=[folder]))
    keys.append(key("p", files=[("m1", b"")], folders=[folder]))
    keys.append(key("p", files=[("m", b"1")], folders=[folder, folder]))
    write(folder, "a", "y")
    keys.append(key("p", files=[("m", b"1")], folders=[folder]))
    (folder / "a").rename(folder / "b")
    keys.append(key("p", files=[("m", b"1")], folders=[folder]))
    assert None not in keys
    assert len(set(keys)) == len(keys)
    (folder / "link").symlink_to(tmp_path)
    assert key("p", files=[("m", b"1")], folders=[folder]) is None
