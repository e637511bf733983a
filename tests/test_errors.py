"""Every exception has its exit status, and its text is for the person at the terminal."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

from reconciler import errors
from reconciler.diagnostics import Diagnostic

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.ReconcilerError)]


def test_the_docstring_draws_the_whole_tree() -> None:
    assert errors.__doc__ is not None
    for kind in CLASSES:
        assert kind.__name__ in errors.__doc__


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_a_failure_exits_with_1_and_a_stop_with_130(kind: type[errors.ReconcilerError]) -> None:
    makers: dict[type, Callable[[], errors.ReconcilerError]] = {
        errors.ManifestError: lambda: errors.ManifestError([]),
        errors.ServiceError: lambda: errors.ServiceError(400, "InvalidArgument", "no"),
        errors.UnreachableError: lambda: errors.UnreachableError("no", sent=True),
    }
    made = makers.get(kind, lambda: kind("no"))()
    assert made.exit_code == (130 if kind is errors.Interrupted else 1)
    assert made.advice is None


def test_a_refusal_says_all_that_support_asks_for() -> None:
    error = errors.ServiceError(403, "AccessDenied", "not yours", request_id="id-1", call="GET /jobs")
    assert str(error) == "GET /jobs: 403 AccessDenied: not yours (request id id-1)"
    assert str(errors.ServiceError(503, "SlowDown", "later")) == "503 SlowDown: later"


@pytest.mark.parametrize(("count", "text"), [(1, "1 error"), (2, "2 errors")])
def test_manifest_errors_are_counted_without_warnings(count: int, text: str) -> None:
    problems = [Diagnostic("error", "x")] * count + [Diagnostic("warning", "y")]
    assert str(errors.ManifestError(problems)) == text
