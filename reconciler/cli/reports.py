"""The report of an apply as a person, a log or a program sees it.

Progress goes to standard error; the JSON events are the result and go to standard output, one a line.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

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


MANY: Final = 300
"""From so many outputs on a line for each is too much to read; programs get theirs all the same."""

_SHARE: Final = 0.01
_APART: Final = 5.0
_SILENCE: Final = 60.0
"""A log gets a line for each share that is done, in seconds no sooner after the last and no later."""


def make_report(*, as_json: bool, quiet: bool, color: bool | None, expected: int = 0, verbose: bool = False) -> Report:
    """Return the report that fits where the output goes, and how many outputs and templates are ``expected``."""
    if as_json:
        return JsonReport()
    if quiet:
        return QuietReport()
    many = expected > MANY and not verbose
    if sys.stderr.isatty() and color is not False:
        return CountBarReport(expected) if many else BarReport()
    return MilestoneReport(expected) if many else LineReport()


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
        else:
            _print_above(self._progress, text)


class CountReport(QuietReport):
    """Counts what is done of many; failures and notes are told one by one."""

    def __init__(self, expected: int, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._expected = expected
        self._clock = clock
        self._start = clock()
        self._running: set[str] = set()
        self._settled = 0

    @override
    def begun(self, address: str, job: str) -> None:
        self._running.add(address)
        self._moved()

    @override
    def finished(self, address: str, kind: str, record: Record) -> None:
        super().finished(address, kind, record)
        self._settle(address)

    @override
    def unchanged(self, address: str, record: Record) -> None:
        super().unchanged(address, record)
        self._settle(address)

    @override
    def gone(self, address: str, kind: str) -> None:
        super().gone(address, kind)
        self._settle(address)

    @override
    def template(self, address: str, kind: str) -> None:
        super().template(address, kind)
        self._settle(address)

    @override
    def failed(self, address: str, reason: str) -> None:
        super().failed(address, reason)
        self._settle(address)

    @override
    def leaving(self, address: str, job: str) -> None:
        super().leaving(address, job)
        self._settle(address)

    @override
    def note(self, text: str) -> None:
        self._say(text)

    def _settle(self, address: str) -> None:
        self._running.discard(address)
        self._settled += 1
        self._moved()

    def _moved(self) -> None:
        """Show that the counts are others now."""

    @property
    def counts_text(self) -> str:
        """How far the run is: ``12,400 of 100,000, 64 running, 3 failed, 412 a second, 3 min 32 s to go``."""
        parts = [f"{self._settled:,} of {self._expected:,}"]
        if self._running:
            parts.append(f"{len(self._running):,} running")
        if self.failures:
            parts.append(click.style(f"{len(self.failures):,} failed", fg="red"))
        seconds = self._clock() - self._start
        if self._settled and seconds > 0:
            rate = self._settled / seconds
            parts += [_rate_text(rate), f"{seconds_text(max(self._expected - self._settled, 0) / rate)} to go"]
        return ", ".join(parts)


def _rate_text(rate: float) -> str:
    """Return outputs a second as a person reads it: a minute or an hour where a second is too short."""
    for length, unit in ((1, "second"), (60, "minute")):
        if rate * length >= 1:
            return f"{rate * length:,.0f} a {unit}"
    return f"{rate * 3600:,.0f} an hour"


class MilestoneReport(CountReport):
    """A line every so often: for logs and pipes, when a line for every output would be too many."""

    def __init__(self, expected: int, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(expected, clock)
        self._told_at = self._start
        self._told = 0

    @override
    def _moved(self) -> None:
        now = self._clock()
        quiet = now - self._told_at
        enough = self._settled - self._told >= self._expected * _SHARE
        if quiet >= _SILENCE or (quiet >= _APART and enough):
            self._told_at, self._told = now, self._settled
            self._say(f"{'working':<9} {self.counts_text}")


class CountBarReport(CountReport):
    """One bar for all outputs together, above it failures and notes: for terminals, when outputs are many."""

    def __init__(self, expected: int, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(expected, clock)
        self._progress: Progress | None = None
        self._bar: TaskID | None = None

    @override
    def _moved(self) -> None:
        if self._progress is None:
            self._progress = _count_bar()
            self._bar = self._progress.add_task("", total=self._expected, counts="")
            self._progress.start()
        assert self._bar is not None
        self._progress.update(self._bar, completed=self._settled, counts=click.unstyle(self.counts_text))

    @override
    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    @override
    def _say(self, text: str) -> None:
        if self._progress is None:
            super()._say(text)
        else:
            _print_above(self._progress, text)


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


def _count_bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        TextColumn(" "),
        BarColumn(bar_width=20),
        TextColumn("{task.percentage:>3.0f}%  {task.fields[counts]}", markup=False),
        console=Console(stderr=True, highlight=False),
        transient=True,
    )


def _print_above(progress: Progress, text: str) -> None:
    from rich.text import Text

    progress.console.print(Text.from_ansi(text), soft_wrap=True)


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
