"""The report of an apply as a person, a log or a program sees it.

Progress goes to standard error; the JSON events are the result and go to standard output, one a line.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from typing_extensions import override

from reconciler.cli.views import seconds_text, size_text
from reconciler.report import Report
from reconciler.state import Record

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_DONE = {"create": "created", "replace": "replaced", "wait": "finished", "adopt": "adopted", "reuse": "copied"}
_TEMPLATE = {"create": "created", "update": "updated", "adopt": "adopted", "delete": "deleted", "forget": "forgotten"}
_GONE = {"delete": "deleted", "forget": "forgotten"}


def make_report(*, as_json: bool, quiet: bool, color: bool | None) -> Report:
    """Return the report that fits where the output goes."""
    if as_json:
        return JsonReport()
    if quiet:
        return QuietReport()
    if sys.stderr.isatty() and color is not False:
        return BarReport()
    return LineReport()


class QuietReport(Report):
    """Says only what went wrong."""

    @override
    def failed(self, address: str, reason: str) -> None:
        super().failed(address, reason)
        verb = click.style("failed   ", fg="red", bold=True)
        self._say(f"{verb} {address}: {reason}")

    def _say(self, text: str) -> None:
        click.echo(text, err=True)


class LineReport(QuietReport):
    """One line for every finished output: for logs and pipes."""

    def __init__(self) -> None:
        super().__init__()
        self._since: dict[str, float] = {}

    @override
    def begun(self, address: str, job: str) -> None:
        self._since[address] = time.monotonic()

    @override
    def finished(self, address: str, kind: str, record: Record) -> None:
        super().finished(address, kind, record)
        verb = click.style(f"{_DONE.get(kind, kind):<9}", fg="green", bold=True)
        facts = [size_text(record.size)]
        if record.duration is not None:
            facts.insert(0, f"{seconds_text(record.duration)} of video")
        if address in self._since:
            facts.append(f"in {seconds_text(time.monotonic() - self._since[address])}")
        self._say(f"{verb} {address} → {record.object} ({', '.join(facts)})")

    @override
    def unchanged(self, address: str, record: Record) -> None:
        super().unchanged(address, record)
        self._say(f"unchanged {address}: what it is made of came out the same")

    @override
    def gone(self, address: str, kind: str) -> None:
        super().gone(address, kind)
        self._say(f"{_GONE[kind]:<9} {address}")

    @override
    def template(self, address: str, kind: str) -> None:
        super().template(address, kind)
        verb = click.style(f"{_TEMPLATE[kind]:<9}", fg="green", bold=True)
        self._say(f"{verb} {address}")

    @override
    def leaving(self, address: str, job: str) -> None:
        super().leaving(address, job)
        self._say(f"left      {address}: the next apply picks up its job {job}")

    @override
    def note(self, text: str) -> None:
        self._say(text)


class BarReport(LineReport):
    """Bars for the jobs in flight, above them a line for every finished output: for terminals."""

    def __init__(self) -> None:
        super().__init__()
        self._progress: Progress | None = None
        self._bars: dict[str, TaskID] = {}

    @override
    def begun(self, address: str, job: str) -> None:
        super().begun(address, job)
        if self._progress is None:
            self._progress = _bars()
            self._progress.start()
        if address not in self._bars:
            self._bars[address] = self._progress.add_task(address, total=100, state="waiting")

    @override
    def progress(self, address: str, state: str, percent: int) -> None:
        if self._progress is not None and address in self._bars:
            shown = "rendering" if state == "Running" else state.lower()
            self._progress.update(self._bars[address], completed=percent, state=shown)

    @override
    def finished(self, address: str, kind: str, record: Record) -> None:
        self._drop(address)
        super().finished(address, kind, record)

    @override
    def failed(self, address: str, reason: str) -> None:
        self._drop(address)
        super().failed(address, reason)

    @override
    def leaving(self, address: str, job: str) -> None:
        self._drop(address)
        super().leaving(address, job)

    @override
    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _drop(self, address: str) -> None:
        bar = self._bars.pop(address, None)
        if self._progress is not None and bar is not None:
            self._progress.remove_task(bar)

    @override
    def _say(self, text: str) -> None:
        if self._progress is None:
            super()._say(text)
            return
        from rich.text import Text

        self._progress.console.print(Text.from_ansi(text), soft_wrap=True)


class JsonReport(Report):
    """One JSON event a line; the first names the format."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, tuple[str, int]] = {}
        self._tell("version", format="reconciler.apply/1")

    @override
    def begun(self, address: str, job: str) -> None:
        self._tell("begun", address=address, job=job)

    @override
    def progress(self, address: str, state: str, percent: int) -> None:
        if self._last.get(address) != (state, percent):
            self._last[address] = (state, percent)
            self._tell("progress", address=address, state=state, percent=percent)

    @override
    def finished(self, address: str, kind: str, record: Record) -> None:
        super().finished(address, kind, record)
        fields = {key: value for key, value in asdict(record).items() if key not in ("request", "inputs")}
        self._tell("finished", address=address, action=kind, **fields)

    @override
    def unchanged(self, address: str, record: Record) -> None:
        super().unchanged(address, record)
        self._tell("unchanged", address=address, object=record.object)

    @override
    def gone(self, address: str, kind: str) -> None:
        super().gone(address, kind)
        self._tell("gone", address=address, action=kind)

    @override
    def template(self, address: str, kind: str) -> None:
        super().template(address, kind)
        self._tell("template", address=address, action=kind)

    @override
    def failed(self, address: str, reason: str) -> None:
        super().failed(address, reason)
        self._tell("failed", address=address, reason=reason)

    @override
    def leaving(self, address: str, job: str) -> None:
        super().leaving(address, job)
        self._tell("left", address=address, job=job)

    @override
    def note(self, text: str) -> None:
        self._tell("note", text=text)

    @override
    def close(self) -> None:
        self._tell(
            "summary",
            done=dict(self.counts),
            failed=len(self.failures),
            left=len(self.left),
            templates=dict(Counter(self.templates.values())),
        )

    def _tell(self, kind: str, **fields: Any) -> None:
        click.echo(json.dumps({"type": kind, **fields}, ensure_ascii=False))


def _bars() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("  {task.description}", markup=False),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f}% {task.fields[state]}", markup=False),
        TimeElapsedColumn(),
        console=Console(stderr=True, highlight=False),
        transient=True,
    )


def outcome_line(report: Report) -> str:
    """Return the line that counts what an apply did; its beginning is stable, scripts look for it."""
    counts = report.counts
    created = counts["create"] + counts["wait"]
    parts = [f"{created} created", f"{counts['replace']} replaced", f"{counts['delete']} deleted"]
    others = (("reuse", "copied"), ("adopt", "adopted"), ("forget", "forgotten"), ("none", "unchanged"))
    for kind, verb in others:
        if counts[kind]:
            parts.append(f"{counts[kind]} {verb}")
    if report.left:
        parts.append(f"{len(report.left)} left running")
    if report.failures:
        parts.append(f"{len(report.failures)} failed")
    kinds = Counter(report.templates.values())
    written = [f"{kinds[kind]} {verb}" for kind, verb in _TEMPLATE.items() if kinds[kind]]
    return "\n".join([f"Apply: {', '.join(parts)}.", *([f"Templates: {', '.join(written)}."] if written else [])])
