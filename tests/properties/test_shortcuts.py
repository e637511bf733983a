"""Drawing outputs after a witness changes nothing: every random project resolves the same as without shortcuts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.errors import ManifestError
from reconciler.fingerprint import content_digest, fingerprint, fingerprint_of
from reconciler.manifest import parse_all
from reconciler.resolve import alike, resolve
from reconciler.resolve.stencil import Drawn
from reconciler.rows import Rows, parse_rows
from reconciler.state import DesiredState
from tests.resolving import BUCKET, REGION, layouts

OWN = f"https://{BUCKET}.cos.{REGION}.myqcloud.com"
TRANSCODE = {"container": {"format": "mp4"}, "video": {"codec": "H.264", "width": 1280, "height": 720}}
MIXED = {**TRANSCODE, "audio": {"codec": "aac"}, "audio_mix": {"audio_source": "b.mp4"}}
SMALL = {**TRANSCODE, "video": {"width": 640, "height": 360}}
MARK: dict[str, Any] = {
    "type": "Image", "pos": "Top", "loc_mode": "Absolute", "dx": 0, "dy": 0,
    "image": {"url": "a.mp4", "mode": "Original", "transparency": 100},
}  # fmt: skip

TITLE: dict[str, Any] = {
    "type": "Text", "pos": "Top", "loc_mode": "Absolute", "dx": 0, "dy": 0,
    "text": {"text": "t", "font_size": 20, "font_type": "arial.ttf", "font_color": "0xffffff", "transparency": 100},
}  # fmt: skip
TITLES = ["t", "Lesson-1", "你", "x" * 64]

SOUND = [
    "a.mp4", "b.mp4", "c d.mp4", "你.mp4", "x" * 250, f"{OWN}/a%20b.mp4", f"{OWN}/a.mp4", 'q"uo\\te.mp4', "a/.b.mp4",
    "nbsp\u00a0", "out/1.mp4", "007", "true", "null", "{{ vars.fps }}", "\U0001f600.mp4", "e1.mp4", "mp4",
]  # fmt: skip
ODD = [
    " ", "", "/a.mp4", "../a.mp4", "https://x.com/a.mp4", "http://[", "a://b", "tab\t", "nul\0", "line\nbreak", "\ufffe",
    "a.mkv", "a.${ext}", "${jobid}.mp4", "a${x}.mp4", f"{BUCKET}.cos.{REGION}.myqcloud.com/a", "{{ vars.none }}", "{{",
    'row["1"]', "\0" + "0",
]  # fmt: skip

Strategy = st.SearchStrategy[Any]


def some(**fields: Strategy) -> Strategy:
    fixed: dict[str, Strategy] = {}
    return st.fixed_dictionaries(fixed, optional=fields)


def these(optional: Mapping[str, Strategy] | None = None, /, **fields: Strategy) -> Strategy:
    return st.fixed_dictionaries(fields, optional=dict(optional or {}))


def laid_out(layout: Strategy, parameters: Strategy) -> Strategy:
    return st.fixed_dictionaries({"layout": layout, "with": parameters})


class Making:
    """Strategies for the parts of a manifest; ``odd`` ones may be wrong in many ways."""

    def __init__(self, *, odd: bool) -> None:
        plain = st.sampled_from(SOUND[:3])
        self.names = st.one_of(plain, plain, st.sampled_from([*SOUND, *ODD] if odd else SOUND))
        self.numbers = st.sampled_from([320, 640, "640", None, *([641, -2, 1.5, True, 20000] if odd else [])])
        self.references = st.sampled_from(["base", *(['row["2"]', "e1", "row", "none"] if odd else [])])
        self.keys = st.sampled_from(["{}.mp4", "out/{}.${{ext}}", "{}/${{ext}}.mp4", "{}-${{jobid}}.mp4", "{}"])
        self.odd = odd
        self.around = {
            "user_data": self.user_data(), "watermark": self.watermarks(), "labels": self.labels(),
            "protect": st.sampled_from([True, False, *(["x"] if odd else [])]),
            "ignore_changes": st.sampled_from([["user_data"], *([["bad"]] if odd else [])]),
            "when": st.sampled_from([True, True, False, *(["no"] if odd else [])]),
            "job_level": st.sampled_from([1, 2]),
        }  # fmt: skip

    def user_data(self) -> Strategy:
        return st.sampled_from(["x", "lesson 1", "lesson 2", "{{ vars.fps }}", 7, *(ODD if self.odd else [])])

    def watermarks(self) -> Strategy:
        titles = st.sampled_from([*TITLES, *(["a b", "x" * 65, "", 7, None] if self.odd else [])])
        titled = titles.map(lambda title: {**TITLE, "text": {**TITLE["text"], "text": title}})
        return st.lists(titled | st.just(MARK), min_size=1, max_size=2)

    def labels(self) -> Strategy:
        return some(team=st.sampled_from(["x", "y", 1, *([True, []] if self.odd else [])]), tier=self.names)

    def source(self, names: Strategy) -> Strategy:
        placed = {"x": self.numbers, "width": self.numbers, "height": st.just(720)}
        usual = these({"x": st.just(640)}, url=names, width=st.just(640), height=st.just(720))
        other = these(output=self.references, width=st.just(640), height=st.just(720))
        wrong = some(url=names, output=names, name=names)
        return st.one_of(usual, usual, these(placed, url=names), other, *([wrong] if self.odd else []))

    def composed(self, names: Strategy) -> Strategy:
        """What an entry without a key is made of: sources by hand or by a layout."""
        by_hand = these(video_synthesis=these(splice_info=st.lists(self.source(names), min_size=1, max_size=2)))
        one = names | these({"name": st.just("n")}, url=names) | these(output=self.references)
        pair = st.sampled_from(["side-by-side", "own", *(["looks", "none"] if self.odd else [])])
        two = laid_out(pair, these(left=one, right=one))
        looking = laid_out(st.just("looks"), these(left=names))
        listed = st.lists(one, min_size=1, max_size=3)
        many = laid_out(st.just("grid"), these({"gap": st.sampled_from([0, 8])}, sources=listed))
        return st.one_of(by_hand, by_hand, two, many, looking)

    @st.composite
    @staticmethod
    def literal(draw: st.DrawFn, self: Making, index: int) -> dict[str, Any]:
        base = draw(self.composed(self.names))
        around = draw(some(**self.around))
        key = draw(self.keys).format(index) if not self.odd or draw(st.booleans()) else draw(self.names)
        return {**base, **around, "output": key if draw(st.booleans()) else {"object": key}}

    @st.composite
    @staticmethod
    def rowed(draw: st.DrawFn, self: Making) -> dict[str, Any]:
        wrong = ["{{ each.none }}", "{{ each.w }}", "in/{{ each.b }}"] if self.odd else []
        texts = st.sampled_from(["{{ each.a }}", "{{ each.b }}", "a.mp4", *wrong])
        base = draw(self.composed(texts))
        around = draw(
            some(
                user_data=st.sampled_from(["{{ each.id }}", "row {{ each.id }}", *wrong]),
                labels=st.sampled_from([{"team": "{{ each.b }}"}, "{{ each.labels }}", {"x": "1"}]),
                when=st.sampled_from(["{{ each.w != 320 }}", *wrong]),
                protect=st.just("{{ each.w == 640 }}"),
                job_level=st.just("{{ 1 if each.w else 2 }}"),
                watermark=st.just([MARK, {**TITLE, "text": {**TITLE["text"], "text": "{{ each.title }}"}}]),
            )
        )
        key = (
            "out/{{ each.id }}.${ext}" if not self.odd else draw(st.sampled_from(["out/{{ each.id }}", "{{ each.a }}"]))
        )
        return {**base, **around, "for_each": "data/rows.jsonl", "key": "{{ each.id }}", "output": key}

    def rows(self) -> Strategy:
        labels = some(t=self.names)
        titles = st.sampled_from([*TITLES, *ODD] if self.odd else TITLES)
        fields = these(
            title=titles, a=self.names, b=self.names, w=self.numbers, labels=labels | self.names if self.odd else labels
        )
        numbered = st.lists(fields, max_size=8).map(lambda rows: [{"id": n, **row} for n, row in enumerate(rows, 1)])
        return numbered.map(lambda rows: [*rows, *rows[:1]]) | numbered if self.odd else numbered

    def defaults(self) -> Strategy:
        transcode = st.sampled_from([TRANSCODE, TRANSCODE, MIXED, SMALL])
        return these({"labels": st.just({"d": "1"}), "user_data": st.just("d")}, transcode=transcode)


LAYOUTS = {
    "own": "- {{ left | place(0, 0, 640, 720) }}\n{% if right is defined %}\n- {{ right | place(0, 0, 640, 720) }}\n{% endif %}\n",
    "looks": "- {{ left | place(0, 0, 640 if left == 'a.mp4' else 320, 720) }}\n",
}


def resolved(files: dict[str, str]) -> DesiredState | list[Any]:
    def rows_of(name: str) -> Rows:
        return parse_rows(files[name], name)

    try:
        manifests = parse_all((text, name) for name, text in files.items() if name.startswith("manifests/"))
        return resolve(
            manifests, layouts=layouts(LAYOUTS), rows=rows_of, variables={"fps": 25}, bucket=BUCKET, region=REGION
        )
    except ManifestError as error:
        return list(error.diagnostics)


def without_shortcuts(files: dict[str, str]) -> DesiredState | list[Any]:
    """Resolve without learning anything from any output."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alike, "MAX_STENCILS", 0)
        return resolved(files)


def compare(manifest: dict[str, Any], given_rows: list[Any]) -> DesiredState | None:
    base = {"video_synthesis": {"splice_info": [{"url": "in.mp4"}]}, "output": {"object": "base.mp4"}}
    whole = {**manifest, "outputs": {"base": base, **manifest["outputs"]}}
    files = {
        "manifests/demo.yaml": json.dumps(whole, ensure_ascii=False),
        "data/rows.jsonl": "".join(f"{json.dumps(row)}\n" for row in given_rows),
    }
    quick, slow = resolved(files), without_shortcuts(files)
    if not isinstance(slow, DesiredState):
        assert quick == slow
        return None
    assert isinstance(quick, DesiredState)
    assert quick == slow
    for address, output in quick.outputs.items():
        other = slow.outputs[address]
        assert (output.row, output.digest) == (other.row, other.digest)
        assert output.request == other.request
        assert output.digest == content_digest(output.request.plain())
        inputs = {key: f"etag of {key}" for key in output.sources}
        assert fingerprint_of(output.digest, output.sources, inputs) == fingerprint(output.request.plain(), inputs)
    return slow


making = st.sampled_from([Making(odd=False), Making(odd=False), Making(odd=True)])


def random_project(parts: Making, data: st.DataObject) -> None:
    outputs = {f"e{n}": data.draw(Making.literal(parts, n)) for n in range(data.draw(st.integers(0, 4)))}
    outputs |= {f"row{n or ''}": data.draw(Making.rowed(parts)) for n in range(data.draw(st.integers(0, 1)))}
    compare({"version": 1, "defaults": data.draw(parts.defaults()), "outputs": outputs}, data.draw(parts.rows()))


def random_copies(parts: Making, data: st.DataObject) -> None:
    """Compare many entries of one frame: here the shortcuts are taken most."""
    entry = json.dumps(data.draw(Making.literal(parts, 1000)))
    outputs = {}
    for index in range(1, data.draw(st.integers(5, 10))):
        changed = entry.replace("1000", str(index))
        for text in SOUND[:3]:
            changed = changed.replace(json.dumps(text), json.dumps(data.draw(parts.names)))
        for title in TITLES[:2]:
            changed = changed.replace(
                json.dumps(title), json.dumps(data.draw(st.sampled_from([*TITLES, *(ODD if parts.odd else [])])))
            )
        outputs[f"e{index}"] = json.loads(changed)
    compare({"version": 1, "defaults": data.draw(parts.defaults()), "outputs": outputs}, [])


@settings(max_examples=60, deadline=None)
@given(making, st.data())
def test_shortcuts_change_nothing(parts: Making, data: st.DataObject) -> None:
    random_project(parts, data)


@settings(max_examples=60, deadline=None)
@given(making, st.data())
def test_copies_of_one_entry_with_other_texts(parts: Making, data: st.DataObject) -> None:
    random_copies(parts, data)


@pytest.mark.slow
@settings(max_examples=3000, deadline=None)
@given(making, st.data(), st.sampled_from([random_project, random_copies]))
def test_thousands_of_projects(
    parts: Making, data: st.DataObject, check: Callable[[Making, st.DataObject], None]
) -> None:
    check(parts, data)


def test_the_shortcuts_are_taken() -> None:
    entry = {"video_synthesis": {"splice_info": [{"url": "a.mp4"}]}, "transcode": TRANSCODE, "layout": None}
    literal = {f"e{index}": {**entry, "output": f"{index}.mp4"} for index in range(4)}
    laid_out_rows = {
        "layout": "grid", "with": {"sources": ["{{ each.a }}", "b.mp4"]}, "transcode": TRANSCODE,
        "for_each": "data/rows.jsonl", "key": "{{ each.id }}", "output": "out/{{ each.id }}.${ext}",
    }  # fmt: skip
    manifest = {"version": 1, "outputs": {**literal, "row": laid_out_rows}}
    files = {
        "manifests/demo.yaml": json.dumps(manifest),
        "data/rows.jsonl": "".join(f'{{"id": {number}, "a": "x{number}"}}\n' for number in (1, 2, 3)),
    }
    state = resolved(files)
    assert isinstance(state, DesiredState)
    drawn = {address for address, output in state.outputs.items() if isinstance(output.recipe, Drawn)}
    assert drawn == {"e3", 'row["3"]'}
