from __future__ import annotations

import tracemalloc
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.diagnostics import Position
from reconciler.errors import ManifestError
from reconciler.manifest import parse
from reconciler.resolve import resolve
from reconciler.rows import Rows, read_rows
from reconciler.state import Output
from tests.resolving import BUCKET, ENCODING, REGION, desired, layouts, outputs, problems, shown


class Row(dict[str, str]):
    """A row that can be watched."""

    __hash__ = object.__hash__  # type: ignore[assignment]


LESSONS = "id,slides,camera\n001,s1.mp4,c1.mp4\n002,s2.mp4,c2.mp4\n"

EXAMPLE = """\
version: 1

transcode_templates:              # kept on the service under this name; entries refer to the name
  hd:
    container: {format: mp4}
    video: {codec: H.264, width: 1280, height: 960, fps: "{{ vars.fps }}", bitrate: 1500}
    audio: {codec: aac, samplerate: 44100, bitrate: 128, channels: 2}

defaults:                         # merged under every output of this file
  transcode_template: hd

outputs:
  race:                           # address: race
    video_synthesis:
      keep_audio_track: false
      splice_info:
        - {url: input/car.mp4, width: 640}
        - {url: input/game.mp4, x: 640, width: 640, height: 960, name: game}
    output: output/race.${ext}    # short for {object: …}; bucket and region come from the project
    user_data: This is my data.
    job_level: 0

  lesson:                         # addresses: lesson["001"], lesson["002"], …
    for_each: data/lessons.csv    # an inline list or map, or a CSV, JSON, JSON Lines or YAML file
    key: "{{ each.id }}"
    layout: picture-in-picture    # templates/picture-in-picture.yaml.j2 instead of splice_info
    with: {main: "input/{{ each.slides }}", inset: "input/{{ each.camera }}", corner: bottom-right}
    output: "output/lessons/{{ each.id }}.${ext}"
    transcode:                    # inline parameters instead of a template
      container: {format: mp4}
      video: {codec: H.264, width: 1280, height: 720}
      audio: {codec: aac}

  digest:
    video_synthesis:
      splice_info:
        - {output: race, width: 640}                    # another output as a source: built first
        - {output: 'lesson["001"]', x: 640, width: 640}
    output: output/digest.${ext}
"""


def operation(output: Output) -> dict[str, Any]:
    found: dict[str, Any] = output.request.plain()["operation"][0]
    return found


def entry(text: str, top: str = "") -> Output:
    """Resolve the entry ``a`` from the lines below it, with one source and encoding parameters as defaults."""
    default = f"defaults:{ENCODING}  video_synthesis: {{splice_info: [{{url: in.mp4}}]}}\n  output: out.mp4\n"
    return outputs(f"{top}{default}outputs:\n  a:\n" + "".join(f"    {line}\n" for line in text.splitlines()))["a"]


def test_the_example_of_the_product() -> None:
    state = desired({"manifests/demo.yaml": EXAMPLE, "data/lessons.csv": LESSONS})
    assert list(state.outputs) == ["digest", 'lesson["001"]', 'lesson["002"]', "race"]
    race = state.outputs["race"]
    assert operation(race) == {
        "video_synthesis": {
            "keep_audio_track": False,
            "splice_info": [
                {"url": "input/car.mp4", "width": 640},
                {"url": "input/game.mp4", "x": 640, "width": 640, "height": 960, "name": "game"},
            ],
        },
        "transcode": {
            "container": {"format": "mp4"},
            "video": {"codec": "H.264", "width": 1280, "height": 960, "fps": 25, "bitrate": 1500},
            "audio": {"codec": "aac", "samplerate": 44100, "bitrate": 128, "channels": 2},
        },
        "output": {"object": "output/race.${ext}"},
        "user_data": "This is my data.",
        "job_level": 0,
    }
    assert race.object == "output/race.mp4"
    assert race.sources == ("input/car.mp4", "input/game.mp4")
    assert race.upstream == ()
    assert race.declared_at == Position("manifests/demo.yaml", 13, 3)


def test_a_row_of_the_example() -> None:
    lesson = desired({"manifests/demo.yaml": EXAMPLE, "data/lessons.csv": LESSONS}).outputs['lesson["002"]']
    assert lesson.object == "output/lessons/002.mp4"
    assert operation(lesson)["video_synthesis"] == {
        "splice_info": [
            {"url": "input/s2.mp4", "x": 0, "y": 0, "width": 1280, "height": 720},
            {"url": "input/c2.mp4", "x": 936, "y": 516, "width": 320, "height": 180},
        ]
    }
    assert operation(lesson)["transcode"]["video"] == {"codec": "H.264", "width": 1280, "height": 720}


def test_an_output_of_outputs_in_the_example() -> None:
    state = desired({"manifests/demo.yaml": EXAMPLE, "data/lessons.csv": LESSONS})
    digest = state.outputs["digest"]
    assert digest.sources == ("output/race.mp4", "output/lessons/001.mp4")
    assert digest.upstream == ("race", 'lesson["001"]')
    urls = [info["url"] for info in operation(digest)["video_synthesis"]["splice_info"]]
    assert urls == ["output/race.mp4", "output/lessons/001.mp4"]


def test_warnings_are_kept() -> None:
    state = desired({"manifests/demo.yaml": EXAMPLE, "data/lessons.csv": LESSONS})
    assert [(problem.severity, problem.subject) for problem in state.warnings] == [
        ("warning", "race"),
        ("warning", "digest"),
        ("warning", "digest"),
    ]
    assert shown(state.warnings[0]).startswith(
        "warning: `width` 640 without `height` stretches the picture: `height` stays that of the source [race]\n"
        "  --> manifests/demo.yaml:17:39\n"
    )


def test_no_manifest_and_no_output() -> None:
    assert desired({}).outputs == {}
    assert outputs("") == {}


# Defaults


def test_defaults_are_merged_deeply() -> None:
    output = entry("transcode: {video: {fps: 30}, audio: {codec: aac}}\nuser_data: x")
    assert operation(output)["transcode"] == {
        "container": {"format": "mp4"},
        "video": {"codec": "H.264", "width": 1280, "height": 720, "fps": 30},
        "audio": {"codec": "aac"},
    }


@pytest.mark.parametrize(
    ("text", "absent"),
    [
        ("transcode_template: hd", "transcode_template_id"),
        ("transcode_template_id: t1", "transcode"),
        ("transcode: {video: {codec: null}}", "watermark"),
    ],
)
def test_an_entry_s_choice_replaces_that_of_the_defaults(text: str, absent: str) -> None:
    top = "transcode_templates:\n  hd: {container: {format: mkv}, video: {width: 640, height: 360}}\n"
    found = operation(entry(text, top))
    assert absent not in found
    if text == "transcode_template: hd":
        assert found["transcode"]["container"] == {"format": "mkv"}


def test_a_null_takes_a_default_away() -> None:
    assert "codec" not in operation(entry("transcode: {video: {codec: null}}"))["transcode"]["video"]
    assert operation(entry("user_data: null")).get("user_data") is None


def test_a_layout_replaces_the_default_sources_and_sources_the_default_layout() -> None:
    placed = entry("layout: side-by-side\nwith: {left: a.mp4, right: b.mp4}")
    assert placed.sources == ("a.mp4", "b.mp4")
    manifest = (
        f"defaults:{ENCODING}  layout: side-by-side\n  with: {{left: a.mp4}}\n"
        "outputs:\n  a: {with: {right: b.mp4}, output: 1.mp4}\n"
        "  b: {video_synthesis: {splice_info: [{url: c.mp4}]}, output: 2.mp4}\n"
    )
    found = outputs(manifest)
    assert found["a"].sources == ("a.mp4", "b.mp4")
    assert found["b"].sources == ("c.mp4",)


def test_problems_point_into_the_defaults_or_the_entry() -> None:
    manifest = (
        "defaults:\n  transcode: {container: {format: mp4}, video: {width: 641, height: 720}}\n"
        "outputs:\n  a: {video_synthesis: {splice_info: [{url: a}]}, output: a.mp4}\n"
        "  b: {video_synthesis: {splice_info: [{url: a}]}, output: b.mp4, transcode: {video: {height: 721}}}\n"
    )
    found = problems(manifest)
    assert [(p.position.line, p.position.column, p.subject) for p in found if p.position] == [
        (3, 56, "a, b"),
        (6, 94, "b"),
    ]


# Rows


@pytest.mark.parametrize(
    ("for_each", "key", "addresses"),
    [
        ("[x, y]", None, ['a["x"]', 'a["y"]']),
        ("[1, 2.5, true]", None, ['a["1"]', 'a["2.5"]', 'a["true"]']),
        ("{x: {id: 1}, y: {id: 2}}", None, ['a["x"]', 'a["y"]']),
        ("{x: {id: 1}, y: {id: 2}}", "{{ each.value.id }}", ['a["1"]', 'a["2"]']),
        ("[{id: 1}, {id: 2}]", "{{ each.id }}", ['a["1"]', 'a["2"]']),
        ("[{id: 1}, {id: 2}]", "k{{ each.id + 1 }}", ['a["k2"]', 'a["k3"]']),
        ('"{{ vars.names }}"', None, ['a["p"]', 'a["q"]']),
        ("""['say "x"', 你]""", None, ['a["say \\"x\\""]', 'a["你"]']),
        ("data/rows.csv", "{{ each.id }}", ['a["001"]', 'a["002"]']),
        ("data/rows.json", None, ['a["m"]', 'a["n"]']),
        ("data/rows.jsonl", "{{ each.id }}", ['a["1"]', 'a["2"]']),
        ("data/rows.yaml", None, ['a["12:30:45"]', 'a["no"]']),
    ],
)
def test_rows_and_their_addresses(for_each: str, key: str | None, addresses: list[str]) -> None:
    files = {
        "manifests/demo.yaml": f"version: 1\ndefaults:{ENCODING}outputs:\n  a:\n    for_each: {for_each}\n"
        + (f'    key: "{key}"\n' if key else "")
        + "    video_synthesis: {splice_info: [{url: in.mp4}]}\n    output: 'out/${jobid}.mp4'\n",
        "data/rows.csv": "id\n001\n002\n",
        "data/rows.json": '{"m": 1, "n": 2}',
        "data/rows.jsonl": '{"id": 1}\n{"id": 2}\n',
        "data/rows.yaml": "- 12:30:45\n- no\n",
    }
    assert sorted(desired(files, names=["p", "q"]).outputs) == sorted(addresses)


@pytest.mark.parametrize(
    ("for_each", "text", "expected"),
    [
        ("[x]", "{{ each.value }}/{{ each.key }}", "x/x"),
        ("{x: {id: 1}}", "{{ each.key }}/{{ each.value.id }}", "x/1"),
        ("[{id: 7, items: 3}]", "{{ each.items }}-{{ each['id'] }}", "3-7"),
    ],
)
def test_what_each_is(for_each: str, text: str, expected: str) -> None:
    key = 'key: "{{ each.id }}"\n    ' if "[{" in for_each else ""
    manifest = (
        f"defaults:{ENCODING}outputs:\n  a:\n    for_each: {for_each}\n    {key}"
        f'video_synthesis: {{splice_info: [{{url: "{text}"}}]}}\n    output: a.mp4\n'
    )
    (output,) = outputs(manifest).values()
    assert output.sources == (expected,)


MATRIX = """
  a:
    matrix: {lang: [de, en], size: [1, 2.5], ok: [true]}
    EXTRA
    video_synthesis: {splice_info: [{url: in.mp4}]}
    output: "{{ each.lang }}/{{ each.size + 1 }}.mp4"
"""


@pytest.mark.parametrize(
    ("extra", "objects"),
    [
        (
            "",
            {
                'a["de-1-true"]': "de/2.mp4",
                'a["de-2.5-true"]': "de/3.5.mp4",
                'a["en-1-true"]': "en/2.mp4",
                'a["en-2.5-true"]': "en/3.5.mp4",
            },
        ),
        ("exclude: [{lang: en}, {lang: de, size: 1.0}]", {'a["de-2.5-true"]': "de/3.5.mp4"}),
        (
            'exclude: "{{ vars.exclude }}"\n    key: "{{ each.lang }}/{{ each.size }}"',
            {'a["de/2.5"]': "de/3.5.mp4", 'a["en/2.5"]': "en/3.5.mp4"},
        ),
        ("""when: "{{ each.lang == 'de' and each.size < 2 }}\"""", {'a["de-1-true"]': "de/2.mp4"}),
        ("exclude: [{ok: true}]", {}),
    ],
)
def test_a_matrix(extra: str, objects: dict[str, str]) -> None:
    manifest = f"version: 1\ndefaults:{ENCODING}outputs:{MATRIX.replace('EXTRA', extra)}"
    state = desired({"manifests/demo.yaml": manifest}, exclude=[{"size": 1}])
    assert {address: output.object for address, output in state.outputs.items()} == objects


def test_the_lists_of_a_matrix_may_come_from_variables_and_hold_mappings() -> None:
    manifest = (
        f"version: 1\ndefaults:{ENCODING}outputs:\n  a:\n    matrix: {{size: '{{{{ vars.sizes }}}}'}}\n"
        "    key: '{{ each.size.name }}'\n    video_synthesis: {splice_info: [{url: in.mp4}]}\n"
        "    output: '{{ each.size.name }}.mp4'\n"
    )
    state = desired({"manifests/demo.yaml": manifest}, sizes=[{"name": "hd"}, {"name": "sd"}])
    assert list(state.outputs) == ['a["hd"]', 'a["sd"]']


def test_true_is_not_one_in_a_matrix() -> None:
    matrix = "{x: [1, true]}"
    manifest = f"defaults:{ENCODING}outputs:\n  a: {{matrix: {matrix}, exclude: [{{x: true}}], video_synthesis: {{splice_info: [{{url: in.mp4}}]}}, output: '{{{{ each.x }}}}.mp4'}}\n"
    assert list(outputs(manifest)) == ['a["1"]']


def test_when_decides_before_the_key_is_looked_at() -> None:
    manifest = (
        f"defaults:{ENCODING}outputs:\n  a:\n    for_each: data/rows.csv\n    key: '{{{{ each.id }}}}'\n"
        "    when: \"{{ each.ready == 'yes' }}\"\n    video_synthesis: {splice_info: [{url: in.mp4}]}\n"
        "    output: '{{ each.n }}.mp4'\n"
    )
    found = outputs(manifest, data_rows_csv="id,n,ready\nx,1,no\n,2,no\nx,3,yes\nx,4,no\n")
    assert {address: (output.object, output.row) for address, output in found.items()} == {'a["x"]': ("3.mp4", 4)}


@pytest.mark.parametrize(("when", "there"), [("true", True), ("false", False), ('"{{ vars.fps > 24 }}"', True)])
def test_when_of_an_entry_without_rows(when: str, there: bool) -> None:
    manifest = f"defaults:{ENCODING}outputs:\n  a: {{when: {when}, video_synthesis: {{splice_info: [{{url: in.mp4}}]}}, output: a.mp4}}\n"
    assert ("a" in outputs(manifest)) is there


def test_a_move_to_a_broken_output_is_not_broken_itself() -> None:
    found = problems(
        f"defaults:{ENCODING}outputs:\n  a: {{video_synthesis: {{splice_info: [{{url: ''}}]}}, output: a.mp4}}\n"
        "  b: {for_each: data/none.csv}\nmoved: [{from: old, to: a}, {from: older, to: b}]\n"
    )
    assert [problem.summary for problem in found] == [
        "the key of the source is empty",
        "there is no file `data/none.csv`",
    ]


def test_a_move_to_what_when_leaves_out_is_refused() -> None:
    (problem,) = problems(
        f"defaults:{ENCODING}outputs:\n  a: {{when: false, video_synthesis: {{splice_info: [{{url: in.mp4}}]}}, output: a.mp4}}\n"
        "moved: [{from: old, to: a}]\n"
    )
    assert problem.summary == "there is no output `a`"


def test_labels_are_merged_and_may_differ_from_row_to_row() -> None:
    manifest = (
        f"defaults:{ENCODING}  labels: {{team: x, tier: low}}\n  video_synthesis: {{splice_info: [{{url: in.mp4}}]}}\n"
        "outputs:\n  a: {labels: {tier: null, year: 2026}, output: a.mp4}\n  b: {output: b.mp4}\n"
        "  c:\n    for_each: {x: p, y: q, z: q, z2: q, z3: q}\n    labels: {tier: '{{ each.value }}'}\n    output: '{{ each.key }}.mp4'\n"
    )
    found = outputs(manifest)
    assert {address: output.labels for address, output in found.items()} == {
        "a": {"team": "x", "year": "2026"},
        "b": {"team": "x", "tier": "low"},
        'c["x"]': {"team": "x", "tier": "p"},
        'c["y"]': {"team": "x", "tier": "q"},
        'c["z"]': {"team": "x", "tier": "q"},
        'c["z2"]': {"team": "x", "tier": "q"},
        'c["z3"]': {"team": "x", "tier": "q"},
    }
    assert found['c["z2"]'].labels is found['c["z3"]'].labels


def test_labels_are_no_part_of_the_request() -> None:
    assert entry("labels: {team: x}").request == entry("user_data: null").request
    assert entry("labels: {team: x}").digest == entry("user_data: null").digest


def test_a_file_is_read_row_by_row() -> None:
    """Rows are asked for one after the other, and those before are gone by then."""
    alive: weakref.WeakSet[Row] = weakref.WeakSet()
    most = 0

    def walk() -> Iterator[tuple[int, Row]]:
        nonlocal most
        for number in range(1, 1001):
            row = Row(id=str(number))
            alive.add(row)
            most = max(most, len(alive))
            yield number, row

    text = f"version: 1\ndefaults:{ENCODING}outputs:\n  a:\n    for_each: data/rows.csv\n    key: '{{{{ each.id }}}}'\n    video_synthesis: {{splice_info: [{{url: in.mp4}}]}}\n    output: '{{{{ each.id }}}}.mp4'\n"
    state = resolve(
        [parse(text, "demo.yaml")],
        layouts=layouts(),
        rows=lambda name: Rows(name, walk, str),
        variables={},
        bucket=BUCKET,
        region=REGION,
    )
    assert len(state.outputs) == 1000
    assert most <= 4  # the first two show what the others are like


def test_no_rows_are_a_warning() -> None:
    files = {
        "manifests/demo.yaml": f"version: 1\ndefaults:{ENCODING}outputs:\n  a:\n    for_each: data/rows.csv\n    key: '{{{{ each.id }}}}'\n",
        "data/rows.csv": "id\n",
    }
    state = desired(files)
    assert state.outputs == {}
    assert [problem.summary for problem in state.warnings] == ["`a` has no rows, so it declares no output"]


@pytest.mark.parametrize(
    ("for_each", "key", "summary"),
    [
        ("[a, {b: 1}]", None, "the rows of `a` are not all of one kind"),
        ("[[1]]", None, "the rows of `a` are not all of one kind"),
        ("[null]", None, "the rows of `a` are not all of one kind"),
        ("3", None, "`for_each` must be a list, a mapping or the name of a row file"),
        ('"{{ each.x }}"', None, "`for_each` gives the rows and cannot use `each`"),
        ('"{{ vars.x }}"', None, "`vars.x` is not defined"),
        ("/etc/passwd.csv", None, "`/etc/passwd.csv` leads out of the project"),
        ('"C:rows.csv"', None, "`C:rows.csv` leads out of the project"),
        ("[a]", "same", "`key` is the same for every row"),
        (
            "[a]",
            "{{ each.value",
            "not a valid Jinja2 text: unexpected end of template, expected 'end of print statement'",
        ),
        ("[a]", "{{ each }}", "the key of a row must be a text"),
        ("['']", None, "the key of a row is empty"),
    ],
)
def test_rows_that_are_refused(for_each: str, key: str | None, summary: str) -> None:
    manifest = f"defaults:{ENCODING}outputs:\n  a:\n    for_each: {for_each}\n"
    manifest += f'    key: "{key}"\n' if key else ""
    manifest += "    video_synthesis: {splice_info: [{url: in.mp4}]}\n    output: a.mp4\n"
    assert [problem.summary for problem in problems(manifest)] == [summary]


def test_a_file_that_cannot_be_read() -> None:
    def refuse(name: str) -> Any:
        raise PermissionError(13, "Permission denied", name)

    text = "version: 1\noutputs:\n  a: {for_each: data/rows.csv}\n"
    with pytest.raises(ManifestError) as caught:
        resolve([parse(text, "demo.yaml")], layouts=layouts(), rows=refuse, variables={}, bucket=BUCKET, region=REGION)
    assert caught.value.diagnostics[0].summary == "`data/rows.csv` cannot be read: Permission denied"


def test_keys_that_come_often_are_counted() -> None:
    manifest = (
        f"defaults:{ENCODING}outputs:\n  a:\n    matrix: {{x: [1, 2, 3], y: [1, 2, 3]}}\n    key: '{{{{ each.x }}}}'\n"
        "    video_synthesis: {splice_info: [{url: in}]}\n    output: '{{ each.x }}{{ each.y }}.mp4'\n"
    )
    found = problems(manifest)
    assert [problem.summary for problem in found] == [
        "the key `1` comes twice: the combination x=1, y=1 and the combination x=1, y=2",
        "the key `1` comes twice: the combination x=1, y=1 and the combination x=1, y=3",
        "the key `2` comes twice: the combination x=2, y=1 and the combination x=2, y=2",
    ]
    assert found[-1].subject == "and 3 more rows"


def test_a_file_that_cannot_be_opened_is_named_as_the_manifest_names_it(tmp_path: Path) -> None:
    def reader(name: str) -> Rows:
        return read_rows(lambda: (tmp_path / name).open("rb"), f"elsewhere/{name}")

    text = "version: 1\noutputs:\n  a: {for_each: rows.csv, key: '{{ each.id }}'}\n"
    with pytest.raises(ManifestError) as caught:
        resolve([parse(text, "demo.yaml")], layouts=layouts(), rows=reader, variables={}, bucket=BUCKET, region=REGION)
    assert [problem.summary for problem in caught.value.diagnostics] == ["there is no file `rows.csv`"]


# Texts


def test_numbers_stay_numbers_and_texts_texts() -> None:
    found = operation(
        entry('job_level: "{{ 1 + 1 }}"\nuser_data: "{{ vars.fps }}"\ncall_back: "http://{{ vars.fps }}/"')
    )
    assert (found["job_level"], found["user_data"]) == (2, "25")


def test_a_mapping_may_come_from_a_variable() -> None:
    manifest = (
        'outputs:\n  a: {transcode: "{{ vars.t }}", video_synthesis: {splice_info: [{url: a}]}, output: "a.${ext}"}\n'
    )
    transcode = {"container": {"format": "hls"}, "video": {"width": 640, "height": 360}}
    state = desired({"manifests/demo.yaml": f"version: 1\n{manifest}"}, t=transcode)
    assert state.outputs["a"].object == "a.m3u8"


# Sources


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("input/a.mp4", "input/a.mp4"),
        (f"https://{BUCKET}.cos.{REGION}.myqcloud.com/input/a.mp4", "input/a.mp4"),
        (f"http://{BUCKET}.cos.{REGION}.myqcloud.com:80/a%20b/%E4%BD%A0%3F.mp4", "a b/你?.mp4"),
        ("a b/100%25.mp4", "a b/100%25.mp4"),
    ],
)
def test_sources_are_keys(url: str, key: str) -> None:
    assert entry(f'video_synthesis: {{splice_info: [{{url: "{url}"}}]}}').sources == (key,)


@pytest.mark.parametrize(
    ("url", "summary"),
    [
        ("", "the key of the source is empty"),
        ("/a.mp4", "`/a.mp4` starts with a slash; a key does not"),
        ("https://[x/a.mp4", "`https://[x/a.mp4` is not a URL"),
        (
            f"ftp://{BUCKET}.cos.{REGION}.myqcloud.com/a",
            f"`ftp://{BUCKET}.cos.{REGION}.myqcloud.com/a` is not in the project's bucket",
        ),
        (f"https://{BUCKET}.cos.{REGION}.myqcloud.com/", "the key of the source is empty"),
        (
            f"https://{BUCKET}.cos.{REGION}.myqcloud.com/%FF",
            f"`https://{BUCKET}.cos.{REGION}.myqcloud.com/%FF` is not UTF-8 when decoded",
        ),
        (f"{BUCKET}.cos.{REGION}.myqcloud.com/a", f"`{BUCKET}.cos.{REGION}.myqcloud.com/a` is half a URL"),
        ("x" * 851, "the key is longer than 850 bytes"),
    ],
)
def test_sources_that_are_refused(url: str, summary: str) -> None:
    found = problems(
        f"defaults:{ENCODING}outputs:\n  a: {{video_synthesis: {{splice_info: [{{url: '{url}'}}]}}, output: a.mp4}}\n"
    )
    assert [problem.summary for problem in found] == [summary]


def test_sounds_and_pictures_are_sources_and_keys() -> None:
    own = f"https://{BUCKET}.cos.{REGION}.myqcloud.com"
    output = entry(
        f"transcode: {{audio: {{codec: aac}}, audio_mix: {{audio_source: '{own}/bgm.mp3'}}}}\n"
        "watermark:\n"
        f"  - {{type: Image, pos: Top, loc_mode: Absolute, dx: 0, dy: 0, image: {{url: '{own}/logo.png', mode: Original, transparency: 100}}}}\n"
        "  - {type: Text, pos: Top, loc_mode: Absolute, dx: 0, dy: 0, text: {text: x, font_size: 20, font_type: arial.ttf, font_color: '0xffffff', transparency: 100}}"
    )
    assert output.sources == ("in.mp4", "bgm.mp3", "logo.png")
    found = operation(output)
    assert found["transcode"]["audio_mix"]["audio_source"] == "bgm.mp3"
    assert found["watermark"][0]["image"]["url"] == "logo.png"


def test_two_sounds_are_sources_unless_one_beats_them() -> None:
    mixes = "audio: {codec: aac}, audio_mix_array: [{audio_source: a.mp3}, {audio_source: b.mp3}]"
    assert entry(f"transcode: {{{mixes}}}").sources == ("in.mp4", "a.mp3", "b.mp3")
    assert entry(f"transcode: {{{mixes}, audio_mix: {{audio_source: c.mp3}}}}").sources == ("in.mp4", "c.mp3")


def test_a_foreign_sound_is_refused_where_it_stands() -> None:
    text = f"defaults:{ENCODING}outputs:\n  a:\n    video_synthesis: {{splice_info: [{{url: a}}]}}\n    output: a.mp4\n    transcode:\n      audio: {{codec: aac}}\n      audio_mix: {{audio_source: 'https://x.com/a.mp3'}}\n"
    (problem,) = problems(text)
    assert problem.summary == "`https://x.com/a.mp3` is not in the project's bucket"
    assert problem.position == Position("manifests/demo.yaml", 12, 33)


# References


def pair(first: str, second: str) -> str:
    return (
        f"defaults:{ENCODING}outputs:\n"
        f"  a: {{video_synthesis: {{splice_info: [{first}]}}, output: a.mp4}}\n"
        f"  b: {{video_synthesis: {{splice_info: [{second}]}}, output: b.mp4}}\n"
    )


def test_a_url_that_is_another_output_s_object_is_upstream_too() -> None:
    found = outputs(pair("{url: in.mp4}", "{url: a.mp4}"))
    assert found["b"].upstream == ("a",)
    assert found["a"].upstream == ()


@pytest.mark.parametrize(
    ("first", "second", "circle"),
    [
        ("{output: b}", "{output: a}", "a → b → a"),
        ("{output: a}", "{url: in.mp4}", "a → a"),
        ("{url: in.mp4}", "{url: b.mp4}", "b → b"),
    ],
)
def test_circles(first: str, second: str, circle: str) -> None:
    (problem,) = problems(pair(first, second))
    assert problem.summary == f"outputs are made of each other: {circle}"


def test_all_circles_are_named() -> None:
    lines = "".join(
        f"  {name}: {{video_synthesis: {{splice_info: [{{output: {other}}}]}}, output: {name}.mp4}}\n"
        for name, other in (("a", "b"), ("b", "a"), ("c", "d"), ("d", "c"), ("e", "a"))
    )
    found = problems(f"defaults:{ENCODING}outputs:\n{lines}")
    assert [problem.summary.partition(": ")[2] for problem in found] == ["a → b → a", "c → d → c"]


def test_references_work_through_layouts_and_rows() -> None:
    manifest = (
        f"defaults:{ENCODING}outputs:\n"
        '  part: {for_each: [x, y], video_synthesis: {splice_info: [{url: in.mp4}]}, output: "{{ each.value }}.mp4"}\n'
        "  all:\n    layout: side-by-side\n    output: all.mp4\n"
        """    with: {left: {output: 'part["x"]'}, right: {output: 'part["y"]'}}\n"""
    )
    assert outputs(manifest)["all"].upstream == ('part["x"]', 'part["y"]')


def test_what_refers_to_a_broken_output_is_not_broken_itself() -> None:
    found = problems(pair("{url: ''}", "{output: a}"))
    assert [problem.subject for problem in found] == ["a"]


# Templates


TEMPLATES = """\
transcode_templates:
  hd: {container: {format: mp4}, video: {width: 1280, height: 720}}
  small: {container: {format: mkv}, video: {width: 640, height: 360}}
watermark_templates:
  one: {type: Text, pos: Top, loc_mode: Absolute, dx: 0, dy: 0, text: {text: "{{ vars.fps }}", font_size: 20, font_type: arial.ttf, font_color: '0xffffff', transparency: 100}}
"""


def test_templates_are_put_in() -> None:
    manifest = (
        f"{TEMPLATES}outputs:\n  a:\n    for_each: {{x: hd, y: small}}\n    transcode_template: '{{{{ each.value }}}}'\n"
        "    watermark_template: one\n    video_synthesis: {splice_info: [{url: in.mp4}]}\n    output: '{{ each.key }}.${ext}'\n"
    )
    found = outputs(manifest)
    assert [output.object for output in found.values()] == ["x.mp4", "y.mkv"]
    assert operation(found['a["y"]'])["watermark"][0]["text"]["text"] == "25"
    assert found['a["x"]'].request.operation[0].transcode is not None


def test_templates_are_shared_by_the_manifests_of_a_project() -> None:
    files = {
        "manifests/a.yaml": "version: 1\noutputs:\n  a: {transcode_template: hd, video_synthesis: {splice_info: [{url: in}]}, output: a.mp4}\n",
        "manifests/b.yaml": f"version: 1\n{TEMPLATES}",
    }
    assert list(desired(files).outputs) == ["a"]


@pytest.mark.parametrize(
    ("template", "summary"),
    [
        (
            "{container: {format: mp4}, video: {width: '{{ each.w }}', height: 720}}",
            "a template is shared by all outputs and cannot use `each`",
        ),
        ("{container: {format: mp4}, video: {width: 64O, height: 720}}", "`width` must be a whole number, not `64O`"),
        ("{container: {format: mp4}, video: {width: 641, height: 720}}", "641 is odd; `width` must be even"),
        ("{container: {format: mp4}, vidoe: {}}", "unknown key `vidoe`"),
    ],
)
def test_a_broken_template_is_reported_once_and_where_it_stands(template: str, summary: str) -> None:
    manifest = f"transcode_templates:\n  hd: {template}\noutputs:\n"
    for name in "ab":
        manifest += f"  {name}: {{transcode_template: hd, video_synthesis: {{splice_info: [{{url: in}}]}}, output: {name}.mp4}}\n"
    found = problems(manifest)
    assert [problem.summary for problem in found] == [summary]
    assert found[0].position is not None
    assert found[0].position.line == 3


def test_a_template_of_one_name_twice() -> None:
    files = {"manifests/a.yaml": f"version: 1\n{TEMPLATES}", "manifests/b.yaml": f"version: 1\n{TEMPLATES}"}
    with pytest.raises(ManifestError) as caught:
        desired(files)
    assert [problem.summary for problem in caught.value.diagnostics] == [
        "the template `hd` is already declared in manifests/a.yaml, line 3",
        "the template `small` is already declared in manifests/a.yaml, line 4",
        "the template `one` is already declared in manifests/a.yaml, line 6",
    ]


# What surrounds


def test_marks() -> None:
    marked = entry("protect: true\nadopt: true\nignore_changes: [user_data, 'video_synthesis.splice_info[1].x']")
    assert (marked.protect, marked.adopt) == (True, True)
    assert marked.ignore_changes == ("user_data", "video_synthesis.splice_info[1].x")
    plain = entry("user_data: x")
    assert (plain.protect, plain.adopt, plain.ignore_changes) == (False, False, ())


def test_marks_may_differ_from_row_to_row() -> None:
    manifest = f"defaults:{ENCODING}outputs:\n  a:\n    for_each: {{x: true, y: false}}\n    protect: '{{{{ each.value }}}}'\n    video_synthesis: {{splice_info: [{{url: in}}]}}\n    output: '{{{{ each.key }}}}.mp4'\n"
    assert [output.protect for output in outputs(manifest).values()] == [True, False]


def test_callbacks_and_queues_stand_beside_the_operation() -> None:
    request = entry("queue_id: p123\ncall_back: http://x/\ncall_back_format: JSON\nwatermark_template_id: [t1]").request
    assert (request.queue_id, request.call_back, request.call_back_format) == ("p123", "http://x/", "JSON")
    assert request.operation[0].watermark_template_id == ("t1",)


def test_bucket_and_region_are_the_project_s() -> None:
    output = entry(f"output: {{object: a.mp4, bucket: {BUCKET}, region: {REGION}}}")
    assert operation(output)["output"] == {"object": "a.mp4"}


@pytest.mark.parametrize(
    ("container", "key", "expected"),
    [
        ("mp4", "a.${ext}", "a.mp4"),
        ("hls", "a.${ext}", "a.m3u8"),
        ("dash", "a/${ext}.${ext}", "a/mpd.mpd"),
        ("mkv", "a-${jobid}.${ext}", "a-${jobid}.mkv"),
    ],
)
def test_the_suffix_of_the_object(container: str, key: str, expected: str) -> None:
    video = "{codec: H.264, width: 640, height: 360}"
    manifest = f"outputs:\n  a: {{transcode: {{container: {{format: {container}}}, video: {video}}}, video_synthesis: {{splice_info: [{{url: in}}]}}, output: '{key}'}}\n"
    assert outputs(manifest)["a"].object == expected


def test_the_suffix_is_not_known_with_a_template_on_the_service() -> None:
    (problem,) = problems(
        "outputs:\n  a: {transcode_template_id: t1, video_synthesis: {splice_info: [{url: in}]}, output: 'a.${ext}'}\n"
    )
    assert problem.summary == "${ext} is not known: a template on the service decides it"
    found = outputs(
        "outputs:\n  a: {transcode_template_id: t1, video_synthesis: {splice_info: [{url: in}]}, output: a.mp4}\n"
    )
    assert found["a"].object == "a.mp4"


# Moves


def moving(moves: str) -> str:
    return (
        f"defaults:{ENCODING}outputs:\n"
        "  a: {video_synthesis: {splice_info: [{url: in}]}, output: a.mp4}\n"
        '  rows: {for_each: [x, y], video_synthesis: {splice_info: [{url: in}]}, output: "{{ each.value }}.mp4"}\n'
        f"moved: {moves}\n"
    )


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ("[{from: old, to: a}]", {"old": "a"}),
        ("""[{from: 'old["1"]', to: 'rows["x"]'}]""", {'old["1"]': 'rows["x"]'}),
        ("[{from: old, to: rows}]", {'old["x"]': 'rows["x"]', 'old["y"]': 'rows["y"]'}),
    ],
)
def test_moves(moves: str, expected: dict[str, str]) -> None:
    assert desired({"manifests/demo.yaml": f"version: 1\n{moving(moves)}"}).moved == expected


@pytest.mark.parametrize(
    ("moves", "summary"),
    [
        ("[{from: old, to: b}]", "there is no output `b`"),
        ("[{from: a, to: a}]", "`a` is still declared"),
        ("[{from: rows, to: a}]", "`rows` is still declared"),
        ("""[{from: old, to: a}, {from: old, to: 'rows["x"]'}]""", "`old` is moved twice"),
        ("[{from: old, to: a}, {from: older, to: a}]", "`old` is already moved to `a`"),
    ],
)
def test_moves_that_are_refused(moves: str, summary: str) -> None:
    assert [problem.summary for problem in problems(moving(moves))] == [summary]


# Rules are checked for every row although most verdicts are shared


def test_a_row_that_breaks_a_rule_is_found_among_those_that_do_not() -> None:
    rows = "id,w,d\n" + "".join(f"{n},640,x\n" for n in range(50)) + "odd,0,x\nstrange,640,ü\n"
    manifest = (
        f"defaults:{ENCODING}outputs:\n  a:\n    for_each: data/rows.csv\n    key: '{{{{ each.id }}}}'\n"
        "    video_synthesis: {splice_info: [{url: 'in/{{ each.id }}', width: '{{ each.w }}', height: 720}]}\n"
        "    output: '{{ each.id }}.mp4'\n    user_data: '{{ each.d }}'\n"
    )
    found = problems(manifest, data_rows_csv=rows)
    assert [(problem.subject, problem.position and problem.position.line) for problem in found] == [
        ('a["odd"]', 10),
        ('a["strange"]', 12),
    ]


def test_a_key_with_another_wildcard_is_found_among_those_without() -> None:
    manifest = (
        f"version: 1\ndefaults:{ENCODING}outputs:\n  a:\n    for_each: {{x: ext, y: jobid, z: etx}}\n"
        "    video_synthesis: {splice_info: [{url: in}]}\n"
        """    output: "out/{{ each.key }}.{{ '${' ~ each.value ~ '}' }}"\n"""
    )
    state = desired({"manifests/demo.yaml": manifest})
    assert [output.object for output in state.outputs.values()] == ["out/x.mp4", "out/y.${jobid}", "out/z.${etx}"]
    assert [problem.subject for problem in state.warnings] == ['a["z"]']


def test_layouts_of_the_project_name_the_node_they_made() -> None:
    manifest = f"defaults:{ENCODING}outputs:\n  a:\n    layout: own\n    output: a.mp4\n"
    found = problems(manifest, own={"own": "- {url: a, widht: 3, height: b}\n"})
    assert [problem.summary for problem in found] == [
        "`height` must be a whole number, not `b` (`splice_info[0].height` of the layout `own`)",
        "unknown key `widht` (`splice_info[0].widht` of the layout `own`)",
    ]
    assert {problem.position for problem in found} == {Position("manifests/demo.yaml", 8, 13)}


# Outputs that are alike are drawn after the first of them


def many(entry: str, top: str = "") -> str:
    """Return a manifest of four entries, in which § is the number of each."""
    lines = "".join(f"  e{number}: {entry.replace('§', str(number))}\n" for number in range(4))
    return f"{top}defaults:{ENCODING}outputs:\n{lines}"


def test_the_request_of_a_drawn_output_is_made_when_it_is_asked_for() -> None:
    found = outputs(many("{video_synthesis: {splice_info: [{url: in/§.mp4}]}, user_data: d§, output: 'out/§.${ext}'}"))
    drawn = found["e3"]
    assert drawn.recipe is not None
    assert operation(drawn) == {
        "video_synthesis": {"splice_info": [{"url": "in/3.mp4"}]},
        "transcode": operation(found["e0"])["transcode"],
        "output": {"object": "out/3.${ext}"},
        "user_data": "d3",
    }
    assert (drawn.object, drawn.sources) == ("out/3.mp4", ("in/3.mp4",))
    assert drawn == replace(found["e0"], address="e3", object="out/3.mp4", sources=("in/3.mp4",), request=drawn.request, declared_at=drawn.declared_at)  # fmt: skip
    assert "in/3.mp4" in repr(drawn)
    assert replace(drawn, protect=True).request == drawn.request


@pytest.mark.parametrize(
    ("extra", "count", "limit"),
    [("", 5000, 1000), ("    transcode: {video: {bitrate: '{{ 999 + each.id | int }}'}}\n", 300, 2500)],
)
def test_an_output_takes_little_memory(extra: str, count: int, limit: int) -> None:
    rows = "id,a,b\n" + "".join(f"{number:06d},s{number}.mp4,c{number}.mp4\n" for number in range(count))
    manifest = (
        f"defaults:{ENCODING}outputs:\n  a:\n    for_each: data/rows.csv\n    key: '{{{{ each.id }}}}'\n"
        "    layout: side-by-side\n    with: {left: 'in/{{ each.a }}', right: 'in/{{ each.b }}'}\n"
        f"    output: 'output/{{{{ each.id }}}}.${{ext}}'\n    user_data: 'row {{{{ each.id }}}}'\n{extra}"
    )
    outputs(manifest, data_rows_csv="id,a,b\n1,x,y\n")  # what is loaded and compiled once does not count
    tracemalloc.start()
    try:
        found = outputs(manifest, data_rows_csv=rows)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == count
    assert size / count < limit


def test_the_text_of_a_watermark_may_differ() -> None:
    mark = "{type: Text, pos: Top, loc_mode: Absolute, dx: 0, dy: 0, text: {text: t§, font_size: 20, font_type: arial.ttf, font_color: '0xffffff', transparency: 100}}"
    found = outputs(
        many(f"{{watermark: [{mark}], video_synthesis: {{splice_info: [{{url: in.mp4}}]}}, output: §.mp4}}")
    )
    assert found["e3"].recipe is not None
    assert operation(found["e3"])["watermark"][0]["text"]["text"] == "t3"
    assert len({output.digest for output in found.values()}) == 4


def test_warnings_that_drawn_outputs_share_name_all_of_them() -> None:
    manifest = many("{video_synthesis: {splice_info: [{url: in/§.mp4, width: 640}]}, output: 'out/§.${ext}'}")
    state = desired({"manifests/demo.yaml": f"version: 1\n{manifest}"})
    assert [(problem.subject, problem.position and problem.position.line) for problem in state.warnings] == [
        ("e0", 7),
        ("e1", 8),
        ("e2", 9),
        ("e3", 10),
    ]
    assert state.outputs["e3"].recipe is not None


def test_drawn_outputs_may_be_made_of_others() -> None:
    found = outputs(
        many("{video_synthesis: {splice_info: [{output: base§}]}, output: 'out/§.${ext}'}").replace(
            "  e0:",
            "  base0: &base {video_synthesis: {splice_info: [{url: in.mp4}]}, output: b0.mp4}\n  e0:",
        )
        + "".join(
            f"  base{number}: {{video_synthesis: {{splice_info: [{{url: in.mp4}}]}}, output: b{number}.mp4}}\n"
            for number in (1, 2, 3)
        )
    )
    drawn = found["e3"]
    assert drawn.recipe is not None
    assert (drawn.upstream, drawn.sources) == (("base3",), ("b3.mp4",))
    assert operation(drawn)["video_synthesis"]["splice_info"] == [{"url": "b3.mp4"}]


def test_a_foreign_url_among_ordinary_ones_is_found() -> None:
    rows = "id,u\n1,a.mp4\n2,b.mp4\n3,https://x.com/c.mp4\n4,d.mp4\n"
    manifest = (
        f"defaults:{ENCODING}outputs:\n  a:\n    for_each: data/rows.csv\n    key: '{{{{ each.id }}}}'\n"
        "    layout: grid\n    with: {sources: ['{{ each.u }}', z.mp4]}\n    output: '{{ each.id }}.mp4'\n"
    )
    found = problems(manifest, data_rows_csv=rows)
    assert [problem.subject for problem in found] == ['a["3"]']
    assert "is not in the project's bucket" in found[0].summary
