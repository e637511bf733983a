"""Selecting at the terminal: by address, by label, a few at first, and without asking anybody."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.cli.selecting import Selection
from reconciler.errors import UsageError
from tests.cli.program import environment
from tests.cli.terminal import Terminal
from tests.factory import output

ADDRESSES = ["duel", 'lesson["1"]', 'lesson["2"]', "wall"]
OUTPUTS = {
    address: output(address, labels={"team": "green", "tier": str(number)}) for number, address in enumerate(ADDRESSES)
}
LABELLED = """version: 1
defaults:
  transcode:
    container: {format: mp4}
    video: {codec: H.264, width: 128, height: 128, preset: veryfast, fps: 25}
outputs:
  first:
    labels: {team: sport, tier: low}
    video_synthesis: {splice_info: [{url: in/red.mp4, width: 128, height: 128}]}
    output: out/first.mp4
  second:
    labels: {team: school}
    video_synthesis: {splice_info: [{output: first, width: 128, height: 128}]}
    output: out/second.mp4
  third:
    labels: {team: sport}
    video_synthesis: {splice_info: [{url: in/blue.mp4, width: 128, height: 128}]}
    output: out/third.mp4
"""


def chosen(terminal: Terminal, *flags: str) -> list[str]:
    """Return what a plan with these flags is about."""
    assert terminal("plan", "--json", "--all", *flags) == 0, terminal.err
    return [action["address"] for action in json.loads(terminal.out)["actions"]]


@pytest.fixture
def labelled(terminal: Terminal) -> Terminal:
    (terminal.folder / "manifests" / "a.yaml").write_text(LABELLED)
    return terminal


# By address.


@pytest.mark.parametrize(
    ("targets", "excluded", "only"),
    [
        ((), (), None),
        (("duel",), (), {"duel"}),
        (('lesson["1"]',), (), {'lesson["1"]'}),
        (("lesson*",), (), {'lesson["1"]', 'lesson["2"]'}),
        (("lesson[*]", "wall"), ('lesson["?"]',), {'lesson["1"]', 'lesson["2"]', "wall"}),
        ((), ("lesson*",), None),
        (("*",), (), {*ADDRESSES, "gone"}),
        (("gone*",), (), {"gone"}),
    ],
)
def test_targets_and_exclusions(targets: tuple[str, ...], excluded: tuple[str, ...], only: set[str] | None) -> None:
    rules = Selection(targets, excluded).rules(OUTPUTS, ["duel", "gone"])
    assert rules["only"] == only
    assert rules["excluded"] == ({'lesson["1"]', 'lesson["2"]'} if excluded else set())


@pytest.mark.parametrize(
    ("patterns", "advice"),
    [(("dual",), "did you mean `duel`?"), (("nothing*",), "`reconciler status` lists the addresses")],
)
def test_a_pattern_that_names_nothing_is_a_mistake(patterns: tuple[str, ...], advice: str) -> None:
    with pytest.raises(UsageError, match=r"--replace .* names no output") as caught:
        Selection(replaced=patterns).rules(OUTPUTS, [])
    assert caught.value.advice == advice


# By label.


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        (("--selector", "team=sport,tier!=low"), ["third"]),
        (("--selector", "team in (sport,music)"), ["first", "third"]),
        (("--selector", "team=school"), ["first", "second"]),  # with what it is made of
        (("--selector", "!tier", "--target", "third"), ["third"]),
        (("--selector", "tier"), ["first"]),
        (("--selector", "team=sport", "--exclude", "first"), ["third"]),
    ],
)
def test_a_selector_limits_the_plan_to_labels(labelled: Terminal, flags: tuple[str, ...], found: list[str]) -> None:
    assert chosen(labelled, *flags) == found


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ("--selector", "team=sports"),
            "error: --selector team=sports matches no output\n  → there are team=school, team=sport, tier=low\n",
        ),
        (
            ("--selector", "team=sport", "--target", "second"),
            """error: no output is named by --target and has labels that match --selector team=sport
  → an output must fulfil both; leave one of them out
""",
        ),
        (
            ("--selector", "team=="),
            "error: --selector team== matches no output\n  → there are team=school, team=sport, tier=low\n",
        ),
        (
            ("--selector", "te am"),
            """error: --selector te am: `te am` is no condition on a label
  → write team=x, team!=x, team in (a,b), team notin (a), team or !team, joined by commas
""",
        ),
        (
            ("--limit", "0"),
            "error: Invalid value for '--limit': 0 is not in the range x>=1.\n  → try `reconciler plan --help`\n",
        ),
    ],
)
def test_what_chooses_nothing_or_cannot_be_read_is_a_mistake(
    labelled: Terminal, flags: tuple[str, ...], said: str
) -> None:
    assert labelled("plan", *flags) == 1
    assert labelled.err == said


def test_without_labels_a_selector_says_where_they_are_declared(terminal: Terminal) -> None:
    assert terminal("apply", "--yes", "--selector", "team=x") == 1
    assert terminal.err == (
        "error: --selector team=x matches no output\n  → no output has labels; declare them under `labels`\n"
    )


def test_many_labels_are_named_by_some() -> None:
    outputs = {name: output(name, labels={"id": name}) for name in "abcdefghij"}
    with pytest.raises(UsageError) as caught:
        Selection(selector="id=z").rules(outputs, [])
    assert caught.value.advice == f"there are {', '.join(f'id={name}' for name in 'abcdefgh')} and 2 more"


def test_what_is_no_longer_declared_has_no_labels(applied: Terminal) -> None:
    (applied.folder / "manifests" / "a.yaml").write_text(LABELLED)
    assert chosen(applied) == ["first", "pair", "second", "single", "third"]
    assert chosen(applied, "--selector", "!tier", "--target", "*") == ["first", "second", "third"]


# A few at first.


def test_a_limited_apply_makes_so_many_and_the_next_goes_on(labelled: Terminal) -> None:
    assert labelled("apply", "--yes", "--quiet", "--limit", "1", "--target", "second", "--target", "third") == 0
    assert labelled.out.splitlines()[-3:] == [
        "Plan: 1 to create, 0 to replace, 0 to delete.",
        "2 more actions are left for later, as --limit is 1.",
        "Apply: 1 created, 0 replaced, 0 deleted.",
    ]
    assert list(labelled.records()) == ["first"]
    assert labelled("plan", "--limit", "1", "--json") == 0
    document = json.loads(labelled.out)
    assert (document["left"], [action["address"] for action in document["actions"]]) == (1, ["second"])
    assert labelled("plan", "--limit", "2", "--json") == 0
    assert json.loads(labelled.out)["left"] == 0


def test_a_limit_leaves_deletes_and_max_changes_counts_what_remains(applied: Terminal) -> None:
    settings = applied.folder / "reconciler.yaml"
    settings.write_text(f"{settings.read_text()}policy: {{max_changes: 1}}\n")
    applied.declare(width=128)
    assert applied("apply", "--yes") == 1
    assert "the plan replaces or deletes 2 of 2 outputs; policy.max_changes is 1" in applied.err
    assert applied("apply", "--yes", "--quiet", "--limit", "1") == 0
    assert "1 more action is left for later, as --limit is 1.\n" in applied.out
    (applied.folder / "manifests" / "a.yaml").write_text(LABELLED.replace("first", "pair"))
    assert applied("plan", "--prune", "--limit", "3", "--detailed-exitcode") == 2
    assert "- delete" not in applied.out
    assert applied.out.endswith("as --limit is 3.\n")


def test_a_limited_plan_is_saved_as_it_is(labelled: Terminal) -> None:
    file = str(labelled.folder / "plan.json")
    assert labelled("plan", "--limit", "1", "--selector", "team=sport", "--out", file) == 0
    saved = json.loads(Path(file).read_text())
    assert saved["options"] == {"selector": "team=sport", "limit": 1}
    assert saved["plan"]["left"] == 1
    assert labelled("show", file) == 0
    assert labelled.out.endswith("1 more action is left for later, as --limit is 1.\n")
    assert labelled("apply", file, "--quiet") == 0
    assert list(labelled.records()) == ["first"]


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--selector", "team=x"), "--selector"),
        (("--limit", "3"), "--limit"),
        (("--changed-since", "HEAD"), "--changed-since"),
        (("--prune",), "--prune"),
        (("--target", "first"), "--target"),
    ],
)
def test_what_selects_is_refused_beside_a_saved_plan(terminal: Terminal, flags: tuple[str, ...], named: str) -> None:
    assert terminal("apply", "plan.json", *flags) == 1
    assert terminal.err == (
        f"error: {named} cannot be given with a plan file: its plan is made already\n"
        f"  → give {named} to `reconciler plan --out FILE`\n"
    )


# Without asking anybody.


def test_an_unrefreshed_plan_trusts_the_lockfile(applied: Terminal) -> None:
    shutil.rmtree(applied.bucket)
    assert applied("plan", "--no-refresh") == 0
    assert applied.out == (
        "No changes. 2 outputs are up to date.\n"
        "This plan was not refreshed: it trusts the lockfile, and no service was asked.\n"
    )
    applied.declare(width=128)
    assert applied("plan", "--no-refresh", "--json") == 0
    document = json.loads(applied.out)
    assert document["refreshed"] is False
    assert [(action["address"], action["action"], action["reason"]) for action in document["actions"]] == [
        ("pair", "replace", "transcode.video.width: 256 → 128"),
        ("single", "replace", "pair is made anew"),
    ]
    assert not applied.bucket.exists()


def test_an_unrefreshed_plan_of_nothing_recorded_creates_all(terminal: Terminal) -> None:
    shutil.rmtree(terminal.bucket)
    assert terminal("plan", "--no-refresh") == 0
    assert "Plan: 2 to create, 0 to replace, 0 to delete.\n" in terminal.out
    assert terminal.err == ""


def test_an_unrefreshed_plan_shows_what_was_begun(terminal: Terminal) -> None:
    assert terminal("apply", "--yes", "--quiet", "--no-wait", "--target", "pair") == 0
    assert terminal("plan", "--no-refresh", "--target", "pair", "--json") == 0
    (action,) = json.loads(terminal.out)["actions"]
    assert (action["action"], action["reason"]) == ("wait", "its job was begun")
    assert action["job"].startswith("j")


def test_an_unrefreshed_plan_reads_a_shared_lockfile_where_it_is(terminal: Terminal) -> None:
    terminal.share()
    assert terminal("apply", "--yes", "--quiet") == 0
    shutil.rmtree(terminal.bucket / "out")
    assert terminal("plan", "--no-refresh") == 0
    assert terminal.out.startswith("No changes. 2 outputs are up to date.\n")


def test_an_unrefreshed_plan_loads_nothing_that_speaks_http(applied: Terminal) -> None:
    program = (
        "import sys; from reconciler.cli import run; status = run(sys.argv[1:]);"
        "print(sorted({'httpx', 'reconciler.service', 'reconciler.client'} & sys.modules.keys())); sys.exit(status)"
    )
    words = [sys.executable, "-c", program, "-C", str(applied.folder), "plan", "--no-refresh"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_unrefreshed_plan_is_not_saved(terminal: Terminal) -> None:
    file = terminal.folder / "plan.json"
    assert terminal("plan", "--no-refresh", "--out", str(file)) == 1
    assert terminal.err == (
        "error: --out and --no-refresh exclude each other: a plan that is to be carried out looks at the bucket\n"
        "  → leave --no-refresh out\n"
    )
    assert not file.exists()


def test_apply_always_asks(terminal: Terminal) -> None:
    assert terminal("apply", "--yes", "--no-refresh") == 1
    assert terminal.err == "error: No such option '--no-refresh'.\n  → try `reconciler apply --help`\n"
