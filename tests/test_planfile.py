"""Plan files: every field comes back, a person can read them, and nothing that is not whole is believed."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import changes, state
from reconciler.changes import Change
from reconciler.errors import PlanError
from reconciler.plan import Action, Plan
from reconciler.plan_templates import TemplateAction
from reconciler.planfile import Options, SavedPlan, Target, dumps, is_plan_file, load, loads, save
from reconciler.staleness import digest_of, expectations, plain
from reconciler.state import ObservedState, StoredObject
from tests.factory import output, record

TARGET = Target("embedded", "demo-1250000000", "ap-chongqing", None, "reconciler.lock")
REQUEST = output("a").request.plain()

TEXTS = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=6)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Return any value of an annotation."""
    simple = {str: TEXTS, int: st.integers(0, 2**31), bool: st.booleans(), float: st.floats(0, 1e9), Any: DATA}
    if hint in simple:
        return simple[hint]
    if hint is type(None):
        return st.none()
    if is_dataclass(hint):
        return whole(hint)
    arguments = get_args(hint)
    if get_origin(hint) is Literal:
        return st.sampled_from(arguments)
    if get_origin(hint) is types.UnionType:
        return st.one_of(*map(values, arguments))
    if get_origin(hint) is tuple:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    assert issubclass(get_origin(hint), Mapping), f"no values for {hint}"
    return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=3)


def whole(model: Any) -> st.SearchStrategy[Any]:
    """Return any value of a dataclass, every field of it filled."""
    hints = get_type_hints(model, localns={**vars(state), **vars(changes)})
    return st.builds(model, **{part.name: values(hints[part.name]) for part in fields(model)})


def saved_of(plan: Plan, observed: ObservedState | None = None, **options: Any) -> SavedPlan:
    return SavedPlan(TARGET, plan, expectations(plan, observed or ObservedState({}, {})), Options(**options))


def sound(plan: Plan) -> Plan:
    """Give every action an address of its own and something that can be sent."""
    actions = [replace(action, address=f"a{number}", request=REQUEST) for number, action in enumerate(plan.actions)]
    templates = [replace(action, address=f"t{number}", kind="conflict") for number, action in enumerate(plan.templates)]
    return replace(plan, actions=tuple(actions), templates=tuple(templates))


@given(plan=whole(Plan).map(sound), options=whole(Options))
def test_every_field_survives(plan: Plan, options: Options) -> None:
    saved = replace(saved_of(plan), options=options)
    assert loads(dumps(saved), "p.json") == saved


@pytest.mark.parametrize("model", [Action, Plan, TemplateAction, Change])
def test_every_field_is_one_that_the_test_above_fills(model: Any) -> None:
    hints = get_type_hints(model, localns={**vars(state), **vars(changes)})
    assert all(values(hints[part.name]) is not None for part in fields(model))


@given(whole(Target))
def test_a_target_survives(target: Target) -> None:
    saved = replace(saved_of(Plan(())), project=target)
    assert loads(dumps(saved), "p.json") == saved


def a_plan(*addresses: str) -> SavedPlan:
    actions = [
        Action(name, "create", "not made yet", f"out/{name}.mp4", request=REQUEST, sources=(f"in/{name}.mp4",))
        for name in addresses
    ]
    template = TemplateAction("transcode_template.hd", "delete", "no longer declared", "Transcode", "hd", id="t1")
    observed = ObservedState(
        {f"in/{name}.mp4": StoredObject("e1", 1) for name in addresses}, {"a": record(output("a"), {})}
    )
    return saved_of(Plan(tuple(actions), {}, 3, (template,)), observed, targets=("a*",), prune=True)


def test_a_person_can_read_it_and_a_difference_is_a_line() -> None:
    lines = dumps(a_plan("a", "b", "c")).splitlines()
    target = json.dumps(plain(TARGET))
    assert lines[:6] == [
        '{"format": "reconciler.plan-file/1",',
        f'"project": {target},',
        '"options": {"targets": ["a*"], "prune": true},',
        '"summary": {"create": 3},',
        '"plan": {',
        '"actions": [',
    ]
    assert [line[:16] for line in lines[6:9]] == [f'{{"address": "{name}",' for name in "abc"]
    assert '"c": {"objects": {"in/c.mp4": "e1", "out/c.mp4": null}}' in lines
    other = dumps(a_plan("a", "x", "c")).splitlines()
    beginnings = [line[:5] for line, theirs in zip(lines, other, strict=True) if line != theirs]
    assert beginnings == ['{"add', '"b": ', '"dige']


def test_writing_what_was_read_gives_the_same_bytes() -> None:
    text = dumps(a_plan("a", "b"))
    assert dumps(loads(text, "p.json")) == text


# What is not believed.


def test_a_file_that_was_cut_off_at_any_byte_is_no_plan() -> None:
    data = dumps(a_plan("a")).encode()
    for length in range(len(data) - 1):  # the last byte is a line end
        with pytest.raises(PlanError, match=r"p\.json is (no plan file|damaged: .)"):
            loads(data[:length].decode(), "p.json")


def resealed(text: str, change: Callable[[dict[str, Any]], object]) -> str:
    """Change what a plan file holds, with a digest that fits again."""
    document = json.loads(text)
    change(document)
    document.pop("digest", None)
    return json.dumps({**document, "digest": digest_of(document)}, ensure_ascii=False)


def test_a_change_by_hand_is_found() -> None:
    text = dumps(a_plan("a")).replace('"out/a.mp4"', '"out/b.mp4"', 1)
    with pytest.raises(PlanError, match=r"p\.json was changed after it was written") as refused:
        loads(text, "p.json")
    assert refused.value.advice == "make a new one: reconciler plan --out FILE"
    assert loads(json.dumps(json.loads(dumps(a_plan("a"))), indent=2), "p.json") == a_plan("a")


def action_of(document: dict[str, Any]) -> dict[str, Any]:
    action: dict[str, Any] = document["plan"]["actions"][0]
    return action


def template_of(document: dict[str, Any]) -> dict[str, Any]:
    template: dict[str, Any] = document["plan"]["templates"][0]
    return template


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d.pop("plan"), "plan: Field required"),
        (lambda d: d.update(plan=[]), "plan: Input should be an object"),
        (lambda d: d.update(more=1), "more: Unexpected keyword argument"),
        (lambda d: action_of(d).update(more=1), "plan.actions.0.more: Unexpected keyword argument"),
        (lambda d: action_of(d).update(kind="explode"), "plan.actions.0.kind: Input should be 'create'"),
        (lambda d: action_of(d).update(address=1), "plan.actions.0.address: Input should be a valid string"),
        (lambda d: action_of(d).update(protect="yes"), "plan.actions.0.protect: Input should be a valid boolean"),
        (lambda d: action_of(d).update(request={}), "a: operation: "),
        (lambda d: action_of(d).update(request={"operation": [{}]}), "a: operation.0.video_synthesis: "),
        (lambda d: action_of(d).update(request={"operation": 2 * REQUEST["operation"]}), "a: its request holds 2 operations"),
        (lambda d: action_of(d).update(reason="\x1b]0;title\x07"), "it holds control characters"),
        (lambda d: action_of(d)["request"].update({"\x9b": 1}), "it holds control characters"),
        (lambda d: action_of(d).update(object="out/b.mp4"), "what it expects is not what it is about"),
        (lambda d: d["plan"]["actions"].append(action_of(d)), "a is there 2 times"),
        (lambda d: d["plan"].update(moves={"x": "y"}), "what it expects is not what it is about"),
        (lambda d: d.update(expected={}), "what it expects is not what it is about"),
        (lambda d: d["expected"].pop("templates"), "what it expects of templates is not what it is about"),
        (lambda d: template_of(d).update(kind="create"), "transcode_template.hd: create with the id t1"),
        (lambda d: template_of(d).update(kind="update", id=None), "transcode_template.hd: update with the id None"),
        (
            lambda d: template_of(d).update(kind="update", content={"video": {"width": "wide"}}),
            "transcode_template.hd: video.width: ",
        ),
        (lambda d: d["project"].update(bucket=None), "project.bucket: Input should be a valid string"),
    ],
)  # fmt: skip
def test_a_plan_that_no_planner_made_is_refused(change: Callable[[dict[str, Any]], object], reason: str) -> None:
    with pytest.raises(PlanError) as refused:
        loads(resealed(dumps(a_plan("a")), change), "p.json")
    assert refused.value.message.startswith(f"p.json is damaged: {reason}")


@given(st.data())
def test_any_other_value_anywhere_is_read_or_refused(data: st.DataObject) -> None:
    document = json.loads(dumps(a_plan("a", "b")))
    node: Any = document
    while isinstance(node, dict | list) and node:
        names = list(node) if isinstance(node, dict) else list(range(len(node)))
        name = data.draw(st.sampled_from(names))
        if data.draw(st.booleans()) or not isinstance(node[name], dict | list):
            node[name] = data.draw(DATA)
            break
        node = node[name]
    text = resealed(json.dumps(document), lambda _: None)
    with suppress(PlanError):  # any other error would be one that nobody foresaw
        assert loads(text, "p.json").plan.summary["none"] <= 2


@given(
    st.binary() | st.text().map(str.encode) | st.binary().map(lambda tail: b'{"format": "reconciler.plan-file/' + tail)
)
def test_any_bytes_are_refused_in_words(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(data)
    with pytest.raises(PlanError):
        load(path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"format": "reconciler.plan-file/1"', "is damaged: Expecting ',' delimiter"),
        ('{"format": "reconciler.plan-file/x"}', "is damaged: invalid literal"),
        ('{"format": "reconciler.plan-file/1", "a": ' + "[" * 100_000, "is damaged: "),
        ('{"format": "reconciler.plan-file/1", "a": "\\ud800"}', "is damaged: 'utf-8' codec can't encode"),
        ('{"format": "reconciler.plan-file/2"}', "has version 2, this reconciler reads 1"),
        ('{"format": "reconciler.plan/1"}', "is no plan file"),
        ("version: 1\n", "is no plan file"),
        ("", "is no plan file"),
    ],
)
def test_what_is_wrong_with_it_is_said(text: str, reason: str) -> None:
    with pytest.raises(PlanError) as refused:
        loads(text, "p.json")
    assert refused.value.message.startswith(f"p.json {reason}")
    assert refused.value.advice


# On disk.


def test_a_file_is_written_whole_over_an_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    for addresses in (("a", "b"), ("a",)):
        save(path, a_plan(*addresses))
        assert load(path) == a_plan(*addresses)
        assert list(tmp_path.iterdir()) == [path]
        assert is_plan_file(path)


def test_a_disk_that_refuses_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"cannot write .*p\.json: No such file or directory"):
        save(tmp_path / "none" / "p.json", a_plan("a"))
    with pytest.raises(PlanError, match=r"cannot read .*: Is a directory"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"format": "reconciler.plan-file/1"', True),
        (b' {\n  "format":"reconciler.plan-file/99', True),
        (b'{"format": "reconciler.plan/1"}', False),
        (b"\xff\xfe", False),
        (b"", False),
    ],
)
def test_a_plan_file_is_known_by_its_beginning(tmp_path: Path, data: bytes, expected: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    assert is_plan_file(path) is expected


@pytest.mark.parametrize("name", ["none", ".", "a\0b"])
def test_what_is_no_file_is_no_plan_file(tmp_path: Path, name: str) -> None:
    assert not is_plan_file(tmp_path / name)


def test_another_project_is_named_with_both_values() -> None:
    assert list(TARGET.differences(TARGET)) == []
    other = replace(TARGET, service="cloud", environment="prod")
    assert list(TARGET.differences(other)) == [
        "service embedded instead of cloud",
        "environment none instead of prod",
    ]
