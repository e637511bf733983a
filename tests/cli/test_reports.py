"""Progress for people, for logs and for programs."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import click
import pytest
from rich.console import Console

from reconciler.cli import reports
from reconciler.report import Report
from tests.factory import output, record

MADE = replace(record(output("a"), {}), size=2048, duration=1.5, job="j1")


def play(report: Report) -> None:
    report.begun("a", "j1")
    report.progress("a", "Submitted", 0)
    report.progress("a", "Running", 40)
    report.progress("a", "Running", 40)
    report.finished("a", "create", MADE)
    report.finished("e", "reuse", replace(MADE, object="out/e.mp4"))
    report.unchanged("f", MADE)
    report.begun("b", "j2")
    report.failed("b", "InvalidSource: not a video")
    report.begun("c", "j3")
    report.leaving("c", "j3")
    report.gone("d", "delete")
    report.template("transcode_template.hd", "update")
    report.note("looking for a job")
    report.close()


def test_for_logs_each_finished_output_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    report = reports.LineReport()
    play(report)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "created   a → out/a.mp4 (1.5 s of video, 2.0 KiB, in 0.0 s)",
        "copied    e → out/e.mp4 (1.5 s of video, 2.0 KiB)",
        "unchanged f: what it is made of came out the same",
        "failed    b: InvalidSource: not a video",
        "left      c: the next apply picks up its job j3",
        "deleted   d",
        "updated   transcode_template.hd",
        "looking for a job",
    ]
    assert reports.outcome_line(report) == (
        "Apply: 1 created, 0 replaced, 1 deleted, 1 copied, 1 unchanged, 1 left running, 1 failed.\nTemplates: 1 updated."
    )


def test_quiet_says_only_what_went_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    play(reports.QuietReport())
    assert capsys.readouterr().err == "failed    b: InvalidSource: not a video\n"


def test_for_programs_each_event_is_one_line_and_the_first_names_the_format(capsys: pytest.CaptureFixture[str]) -> None:
    play(reports.JsonReport())
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[0] == {"type": "version", "format": "reconciler.apply/1"}
    kinds = (
        "version begun progress progress finished finished unchanged begun failed begun left gone template note summary"
    )
    assert [event["type"] for event in events] == kinds.split()
    finished = events[4]
    assert (finished["address"], finished["action"], finished["object"]) == ("a", "create", "out/a.mp4")
    assert "request" not in finished
    assert events[6] == {"type": "unchanged", "address": "f", "object": "out/a.mp4"}
    assert events[-1] == {
        "type": "summary",
        "done": {"create": 1, "reuse": 1, "none": 1, "delete": 1},
        "failed": 1,
        "left": 1,
        "templates": {"update": 1},
    }


def test_for_terminals_bars_stand_below_the_finished_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    real = Console

    def console(**_: object) -> Console:
        return real(file=screen, force_terminal=True, width=100)

    monkeypatch.setattr("rich.console.Console", console)
    report = reports.BarReport()
    report.begun("z", "j0")
    report.progress("z", "Running", 40)
    assert report._progress is not None
    assert [(bar.description, bar.completed, bar.fields["state"]) for bar in report._progress.tasks] == [
        ("z", 40, "rendering")
    ]
    play(report)
    said = click.unstyle(screen.getvalue())
    assert "created   a → out/a.mp4" in said
    assert "failed    b: InvalidSource" in said
    assert said.index("waiting") < said.index("created   a")


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def work_off(report: Report, clock: Clock, number: int, seconds: float) -> None:
    """Make so many outputs, one after the other in equal times; every tenth fails."""
    for place in range(number):
        report.begun(f"a{place}", f"j{place}")
        clock.now += seconds
        if place % 10 == 9:
            report.failed(f"a{place}", "no")
        else:
            report.finished(f"a{place}", "create", MADE)


def test_of_many_a_log_tells_every_failure_and_now_and_then_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    report = reports.MilestoneReport(2000, clock)
    report.note("looking for a job")
    work_off(report, clock, 1000, 0.25)
    said = capsys.readouterr().err.splitlines()
    told = [line for line in said if line.startswith("working")]
    assert said[0] == "looking for a job"
    assert len([line for line in said if line.startswith("failed    a")]) == 100
    assert len(said) == 1 + 100 + len(told)
    assert told[0] == "working   20 of 2,000, 2 failed, 4 a second, 8 min 15 s to go"
    assert told[-1] == "working   1,000 of 2,000, 100 failed, 4 a second, 4 min 10 s to go"
    assert len(told) == 50


@pytest.mark.parametrize(
    ("number", "seconds", "lines"),
    [
        (2000, 0.001, 0),  # over before a log would be looked at
        (2000, 0.125, 50),  # five seconds apart, though 1 % takes half of that
        (200, 30.0, 100),  # a minute apart, though 1 % of 100,000 takes hours
    ],
)
def test_milestones_are_neither_many_nor_far_apart(
    number: int, seconds: float, lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    work_off(reports.MilestoneReport(2000 if lines < 100 else 100_000, clock), clock, number, seconds)
    said = capsys.readouterr().err.splitlines()
    assert len([line for line in said if line.startswith("working")]) == lines


def test_what_counts_as_done(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    report = reports.CountReport(9, clock)
    play(report)
    assert click.unstyle(report.counts_text) == "7 of 9, 1 failed"
    report.begun("z", "j9")
    clock.now += 3600 * 7
    assert click.unstyle(report.counts_text) == "7 of 9, 1 running, 1 failed, 1 an hour, 2 h 00 min to go"
    assert capsys.readouterr().err.splitlines() == ["failed    b: InvalidSource: not a video", "looking for a job"]


def test_for_terminals_one_bar_counts_the_many(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    real = Console
    monkeypatch.setattr("rich.console.Console", lambda **_: real(file=screen, force_terminal=True, width=100))
    clock = Clock()
    report = reports.CountBarReport(1000, clock)
    work_off(report, clock, 400, 0.5)
    assert report._progress is not None
    (bar,) = report._progress.tasks
    assert (bar.completed, bar.total) == (400, 1000)
    assert bar.fields["counts"] == "400 of 1,000, 40 failed, 2 a second, 5 min 00 s to go"
    report.close()
    said = click.unstyle(screen.getvalue())
    assert said.count("failed    a") == 40
    assert "created" not in said


@pytest.mark.parametrize(
    ("as_json", "quiet", "kind"),
    [(True, True, reports.JsonReport), (False, True, reports.QuietReport), (False, False, reports.LineReport)],
)
def test_the_report_fits_where_the_output_goes(as_json: bool, quiet: bool, kind: type[Report]) -> None:
    assert type(reports.make_report(as_json=as_json, quiet=quiet, color=None)) is kind


def test_on_a_terminal_there_are_bars_unless_colours_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert type(reports.make_report(as_json=False, quiet=False, color=None)) is reports.BarReport
    assert type(reports.make_report(as_json=False, quiet=False, color=False)) is reports.LineReport


@pytest.mark.parametrize(
    ("screen", "expected", "verbose", "kind"),
    [
        (False, reports.MANY, False, reports.LineReport),
        (False, reports.MANY + 1, False, reports.MilestoneReport),
        (False, reports.MANY + 1, True, reports.LineReport),
        (True, reports.MANY, False, reports.BarReport),
        (True, reports.MANY + 1, False, reports.CountBarReport),
        (True, reports.MANY + 1, True, reports.BarReport),
    ],
)
def test_of_many_outputs_not_each_gets_a_line(
    screen: bool, expected: int, verbose: bool, kind: type[Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: screen)
    made = reports.make_report(as_json=False, quiet=False, color=None, expected=expected, verbose=verbose)
    assert type(made) is kind
    told = reports.make_report(as_json=True, quiet=False, color=None, expected=expected, verbose=verbose)
    assert type(told) is reports.JsonReport
