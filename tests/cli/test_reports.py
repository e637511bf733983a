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
