"""Plans to show: one as a large project has it, and any plan at all for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from reconciler.action import KINDS, Action, Kind, Origin, Plan
from reconciler.changes import Change
from reconciler.plan_templates import TEMPLATE_KINDS, TemplateAction

_CONFLICT = "exists, but was not made by us; set `adopt: true` to take it, or delete it"


def catalogue(number: int) -> Plan:
    """Return a plan of about so many actions of most kinds, as a course catalogue has it after a change of quality."""
    actions = [_action(place * 100 // number, f"{place:06}", place) for place in range(number)]
    actions += [
        Action("intro", "create", "object is missing (drift)", "out/intro.mp4"),
        Action("outro", "replace", "transcode.video.fps: 25 → 30", "out/outro.mp4", (Change("transcode.video.fps", 25, 30),)),
    ]  # fmt: skip
    actions.sort(key=lambda action: action.address)
    template = TemplateAction(
        "transcode_template.hd", "update", "video.fps: 25 → 30", "Transcode", "hd",
        changes=(Change("video.fps", 25, 30),),
    )  # fmt: skip
    moves = {f'talk["{place:06}"]': f'lecture["{place:06}"]' for place in range(number // 1000)}
    return Plan(tuple(actions), moves, number, (template,))


def _action(percent: int, key: str, place: int) -> Action:
    if percent < 40:
        before = 22 if place % 50 == 7 else 23
        return _changed(f'lesson["{key}"]', f"out/lesson/{key}.mp4", Change("transcode.video.crf", before, 20))
    if percent < 50:
        before = 800 + place % 9 * 100
        changes = Change("transcode.audio.bitrate", before // 10, 128), Change("transcode.video.bitrate", before, 900)
        return _changed(f'trailer["{key}"]', f"out/trailer/{key}.mp4", *changes)
    if percent < 60:
        source = f"in/talk/{key}.mov"
        change = Change(f"inputs.{source}", f"{place:032x}", f"{place + 1:032x}")
        return Action(f'lecture["{key}"]', "replace", f"{source} changed", f"out/lecture/{key}.mp4", (change,))
    if percent < 63:
        return _changed(
            f'banner["{key}"]',
            f"out/new/{key}.mp4",
            Change("output.object", f"out/old/{key}.mp4", f"out/new/{key}.mp4"),
        )
    return _plain(percent, key, place)


def _changed(address: str, key: str, *changes: Change) -> Action:
    first = changes[0]
    more = f", and {len(changes) - 1} more" if len(changes) > 1 else ""
    return Action(address, "replace", f"{first.path}: {first.before} → {first.after}{more}", key, changes)


def _plain(percent: int, key: str, place: int) -> Action:
    kinds: list[tuple[int, str, Kind, str]] = [
        (83, "summary", "create", "not made yet"),
        (86, "poster", "reuse", ""),
        (89, "poster", "blocked", f"in/poster/{key}/title page.png is missing"),
        (90, "summary", "conflict", _CONFLICT),
        (93, "clip", "wait", f"job j{place * 7919:032x} is Running"),
        (101, "clip", "delete", "no longer declared"),
    ]
    name, kind, reason = next((name, kind, reason) for end, name, kind, reason in kinds if percent < end)
    address, made = f'{name}["{key}"]', f"out/{name}/{key}.mp4"
    if kind != "reuse":
        return Action(address, kind, reason, made)
    origin = Origin(f"out/lesson/{key}.mp4", "e", address=f'lesson["{key}"]')
    return Action(address, kind, f"not made yet; {origin} has the same content", made, origin=origin)


_texts = st.one_of(
    st.sampled_from(
        ["a", "not made yet", "in/a b.mp4 is missing", 'x["1"]', "`" * 9, "|" * 40, "\\|" * 40, "\n", "a`b|c"]
    ),
    st.text(max_size=30),
    st.builds(lambda text, times: text * times, st.text(min_size=1, max_size=8), st.sampled_from([1, 40, 300])),
)
_changes = st.builds(Change, _texts, st.none() | st.integers() | _texts, st.lists(st.integers(), max_size=2) | _texts)
_several = st.lists(_changes, max_size=3).map(tuple)
_actions = st.builds(Action, _texts, st.sampled_from(KINDS), _texts, _texts, _several)
_templates = st.builds(
    TemplateAction, _texts, st.sampled_from(TEMPLATE_KINDS), _texts, st.just("Transcode"), _texts, changes=_several
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Draw a plan of up to some hundreds of actions, with texts that are long or would break what they stand in."""
    some = draw(st.lists(_actions, max_size=12))
    spread = draw(st.sampled_from([1, 1, 5, 40]))
    actions = [
        Action(f"{action.address}{place or ''}", action.kind, f"{action.reason}{'!' * (place % 7)}", action.object, action.changes)
        for action in some
        for place in range(spread)
    ]  # fmt: skip
    templates = tuple(draw(st.lists(_templates, max_size=4)))
    moves = draw(st.dictionaries(_texts, _texts, max_size=5))
    return Plan(tuple(sorted(actions, key=lambda action: action.address)), moves, templates=templates)
