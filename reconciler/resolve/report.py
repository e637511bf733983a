"""Says what is wrong with one output: finds the node that a path of the request means, in whichever file it stands.

What is wrong is decided elsewhere; that many rows share a problem is the business of ``problems``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from reconciler.api.rules import Violation
from reconciler.api.transcode import Transcode
from reconciler.api.watermark import Watermark
from reconciler.diagnostics import Diagnostic, Severity
from reconciler.errors import ManifestError
from reconciler.resolve.declaration import Declaration
from reconciler.resolve.problems import Problems, constant, type_problems
from reconciler.resolve.templates import Template
from reconciler.yaml import Path

SPLICE_INFO: Final[Path] = ("video_synthesis", "splice_info")
_IN_OPERATION: Final[Path] = ("operation", 0)


class Stop(Exception):  # noqa: N818 - no error of the program: the output has been reported and is left out
    """An output cannot be built further; why has been reported."""


@dataclass
class Report:
    """The problems of one output; ``failed`` once there is an error among them."""

    problems: Problems
    declaration: Declaration
    address: str
    transcode: Template[Transcode] | None = None
    watermarks: Sequence[Template[Watermark]] = ()
    layout: str | None = None
    failed: bool = field(default=False, init=False)

    def stop_if_failed(self) -> None:
        """Leave the output out when there has been an error."""
        if self.failed:
            raise Stop

    def error(self, path: Path, summary: str, advice: str | None = None) -> None:
        """Report an error at a node of the entry."""
        self._row("error", path, summary, advice)

    def types(self, model: type[BaseModel], error: ValidationError, prefix: Path = ()) -> None:
        """Report values of a wrong type below ``prefix``."""
        self.failed = True
        for problem in type_problems(model, error.errors(include_url=False)):
            path = (*prefix, *_in_operation(problem.path))
            written = path[:2] != SPLICE_INFO or self.layout is None
            if problem.unknown and written and self.declaration.has(path):
                continue  # the manifest has reported it
            self._row("error", path, problem.summary, problem.advice, on_key=problem.unknown)

    def rules(self, violations: Iterable[Violation], prefix: Path = ()) -> None:
        """Report broken rules below ``prefix``, without those that the check of a template has reported."""
        for violation in violations:
            path = (*prefix, *_in_operation(violation.path))
            self.failed = self.failed or violation.severity == "error"
            template, inner = self._template(path)
            if template is None or (inner, violation.message) not in template.reported:
                self._row(violation.severity, path, violation.message, violation.advice)

    def located(self, error: ManifestError) -> None:
        """Report problems that have a place of their own, such as those of a layout."""
        self.failed = True
        for problem in error.diagnostics:
            place = (problem.position, problem.severity)
            self.problems.row(place, self.address, problem.summary, constant(problem))

    def _row(self, severity: Severity, path: Path, summary: str, advice: str | None, *, on_key: bool = False) -> None:
        self.failed = self.failed or severity == "error"
        declaration = self.declaration
        self.problems.row(
            (declaration.manifest.source, severity, declaration.place(path), path),
            self.address,
            summary,
            lambda: self._diagnostic(severity, path, summary, advice, on_key=on_key),
        )

    def _diagnostic(
        self, severity: Severity, path: Path, summary: str, advice: str | None, *, on_key: bool
    ) -> Diagnostic:
        template, inner = self._template(path)
        if template is not None:
            at = (*template.path, *inner)
            return template.manifest.diagnostic(severity, at, summary, advice, on_key=on_key)
        if self.layout is not None and path[:2] == SPLICE_INFO:
            told = f"{summary} (`{_written(path[1:])}` of the layout `{self.layout}`)"
            return self.declaration.diagnostic(severity, ("layout",), told, advice)
        return self.declaration.diagnostic(severity, path, summary, advice, on_key=on_key)

    def _template(self, path: Path) -> tuple[Template[Any] | None, Path]:
        """Return the template that a node comes from, if any, and the node's path in it."""
        if path[:1] == ("transcode",):
            return self.transcode, path[1:]
        if path[:1] == ("watermark",) and len(path) > 1 and isinstance(path[1], int) and path[1] < len(self.watermarks):
            return self.watermarks[path[1]], path[2:]
        return None, path


def _in_operation(path: Path) -> Path:
    return path[2:] if path[:2] == _IN_OPERATION else path


def _written(path: Path) -> str:
    """Write a path as people do: ``splice_info[1].width``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
