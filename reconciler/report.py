"""Who is told what happens during apply, and what came of it.

This one only remembers; the terminal's, the log's and the JSON one are in ``cli.reports``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from reconciler.state import Record


@dataclass
class Report:
    """Keeps the outcome of a run: what was made, what failed and why, what was begun and left running."""

    done: dict[str, Record] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    templates: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def begun(self, address: str, job: str) -> None:
        """Tell that a job runs for an output, submitted now or earlier."""

    def progress(self, address: str, state: str, percent: int) -> None:
        """Tell how far the job of an output is."""

    def finished(self, address: str, kind: str, record: Record) -> None:
        """Tell that an output is in the bucket and recorded."""
        self.done[address] = record
        self.counts[kind] += 1

    def unchanged(self, address: str, record: Record) -> None:
        """Tell that an output need not be made anew after all: what it is made of came out as it was."""
        self.done[address] = record
        self.counts["none"] += 1

    def gone(self, address: str, kind: str) -> None:
        """Tell that an output's object was deleted, or its record forgotten."""
        self.done.pop(address, None)
        self.counts[kind] += 1

    def template(self, address: str, kind: str) -> None:
        """Tell that a template on the service is as it should be, or gone."""
        self.templates[address] = kind

    def failed(self, address: str, reason: str) -> None:
        """Tell that an output could not be made."""
        self.failures[address] = reason

    def leaving(self, address: str, job: str) -> None:
        """Tell that the run ends while this job goes on; the next apply picks it up."""
        self.left[address] = job

    def note(self, text: str) -> None:
        """Tell something that is no result."""
        self.notes.append(text)

    def close(self) -> None:
        """The run is over."""
