"""The report keeps the outcome, whoever it tells."""

from __future__ import annotations

from reconciler.report import Report
from tests.factory import output, record


def test_the_outcome_is_kept() -> None:
    report = Report()
    made = record(output("a"), {})
    report.begun("a", "j1")
    report.progress("a", "Running", 50)
    report.finished("a", "create", made)
    report.gone("b", "delete")
    report.failed("c", "InvalidSource: no")
    report.leaving("d", "j2")
    report.note("hello")
    report.close()
    assert report.done == {"a": made}
    assert report.counts == {"create": 1, "delete": 1}
    assert report.failures == {"c": "InvalidSource: no"}
    assert report.left == {"d": "j2"}
