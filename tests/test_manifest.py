from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.errors import ManifestError
from reconciler.manifest import parse, parse_all
from tests.resolving import desired, refusal, shown
from tests.test_resolve import EXAMPLE, LESSONS

MANIFEST = """\
version: 1
transcode_templates:
  hd: {container: {format: mp4}}
watermark_templates:
  logo: {type: Image}
defaults: {transcode_template: hd}
outputs:
  # the first

  race:
    output: race.mp4
  "lesson":   # quoted
    output: lesson.mp4
    user_data: |
      digest:
  digest: {output: digest.mp4}
moved:
  - {from: old, to: race}
"""


def test_sections() -> None:
    manifest = parse(MANIFEST, "demo.yaml")
    assert manifest.source == "demo.yaml"
    assert list(manifest.outputs) == ["race", "lesson", "digest"]
    assert manifest.defaults == {"transcode_template": "hd"}
    assert manifest.transcode_templates == {"hd": {"container": {"format": "mp4"}}}
    assert manifest.watermark_templates == {"logo": {"type": "Image"}}
    assert manifest.moved == [(0, ("old", "race"))]
    assert manifest.problems == ()


def test_an_empty_section_is_no_section() -> None:
    manifest = parse("version: 1\noutputs:\nmoved:\ndefaults:\n", "demo.yaml")
    assert (manifest.outputs, manifest.moved, manifest.defaults, manifest.problems) == ({}, [], {}, ())


@pytest.mark.parametrize("name", ["race", "lesson", "digest"])
def test_where_an_entry_begins(name: str) -> None:
    manifest = parse(MANIFEST, "demo.yaml")
    assert manifest.declared_at(name) == manifest.position(("outputs", name), on_key=True)


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\noutputs: {race: {output: a}, lesson: {output: b}}\n",
        "version: 1\noutputs:\n  race: {output: a}\n  lesson:\n    user_data: 'x\n  other: y'\n",
        "outputs:\n    race:\n        output: a\n    lesson: {}\nversion: 1\n",
    ],
)
def test_where_an_entry_begins_in_other_styles(text: str) -> None:
    manifest = parse(text, "demo.yaml")
    for name in ("race", "lesson"):
        assert manifest.declared_at(name) == manifest.position(("outputs", name), on_key=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the manifest is empty"),
        ("- a\n", "a manifest is a mapping of keys"),
        ("outputs: {}\n", "`version` is missing"),
        ("version: 2\n", "this manifest is of version 2, and this program knows only version 1"),
        ("version: 0\n", "`version` must be 1"),
        ("version: true\n", "`version` must be 1"),
        ("version: '1'\n", "`version` must be 1"),
        ("a: [", "not valid YAML: did not find expected node content"),
    ],
)
def test_what_is_no_manifest(text: str, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        parse(text, "demo.yaml")
    assert caught.value.diagnostics[0].summary == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "outpts: {}\n",
            "error: unknown key `outpts`\n  --> demo.yaml:2:1\n   | outpts: {}\n   | ^\n   = did you mean `outputs`?",
        ),
        ("outputs: [a]\n", "error: `outputs` must be a mapping\n  --> demo.yaml:2:10"),
        ("defaults: a\n", "error: `defaults` must be a mapping\n  --> demo.yaml:2:11"),
        ("outputs: {a b: {}}\n", "error: `a b` cannot be a name\n  --> demo.yaml:2:11"),
        ("outputs: {a: }\n", "error: `a` is empty\n  --> demo.yaml:2:11"),
        ("transcode_templates: {a: b}\n", "error: `a` must be a mapping\n  --> demo.yaml:2:23"),
        ("moved: {from: a, to: b}\n", "error: `moved` must be a list\n  --> demo.yaml:2:8"),
        ("moved: [{from: a}]\n", "error: `to` must be an address\n  --> demo.yaml:2:9"),
        ("moved: [a]\n", "error: a move is a mapping of `from` and `to`\n  --> demo.yaml:2:9"),
        ("defaults: {for_each: [1]}\n", "error: unknown key `for_each`\n  --> demo.yaml:2:12"),
    ],
)
def test_problems_of_names_and_shapes(text: str, message: str) -> None:
    (problem,) = parse(f"version: 1\n{text}", "demo.yaml").problems
    assert shown(problem).startswith(message)


def test_all_files_that_cannot_be_read_are_reported() -> None:
    with pytest.raises(ManifestError) as caught:
        parse_all([("a: [", "a.yaml"), (b"version: 1\n", "b.yaml"), (b"\xff", "c.yaml"), ("", "d.yaml")])
    assert [problem.position.source for problem in caught.value.diagnostics if problem.position] == [
        "a.yaml",
        "c.yaml",
        "d.yaml",
    ]


@given(st.text(max_size=100))
def test_any_text_is_a_manifest_or_a_located_problem(text: str) -> None:
    refusal(lambda: parse(text, "demo.yaml"))


def mutated(seed: int) -> str:
    """Return the example with a few letters, lines or words moved, doubled or lost."""
    rnd = random.Random(seed)
    text = EXAMPLE
    pieces = [
        "\t",
        "{{",
        "}}",
        "'",
        '"',
        ": ",
        "- ",
        "[",
        "{",
        "null",
        "1e9",
        "-1",
        "é",
        "\n",
        "&a ",
        "*a",
        "!!str ",
        "{% if %}",
        "${ext}",
    ]
    for _ in range(rnd.randint(1, 4)):
        at, until = sorted((rnd.randrange(len(text) + 1), rnd.randrange(len(text) + 1)))
        until = min(until, at + 30)
        action = rnd.random()
        if action < 0.4:
            text = text[:at] + rnd.choice(pieces) + text[at:]
        elif action < 0.7:
            text = text[:at] + text[until:]
        else:
            text = text[:until] + text[at:until] + text[until:]
    return text


@given(st.integers(0, 2**32))
@settings(max_examples=250, deadline=None)
def test_any_mutation_of_a_manifest_resolves_or_is_a_located_problem(seed: int) -> None:
    refusal(lambda: desired({"manifests/demo.yaml": mutated(seed), "data/lessons.csv": LESSONS}))
