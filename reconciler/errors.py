"""Every exception that reaches the person at the terminal, and what each one means for the exit status.

    ReconcilerError
    ├── UsageError              the command line asks for something that does not exist or fit
    ├── ProjectError            reconciler.yaml is missing, broken or contradicts itself
    ├── ManifestError           one or more located problems in manifests, layouts or rows
    ├── LockfileError           the lockfile or journal cannot be read, or must not be written
    │   └── GuardError          another run holds the guard
    ├── PlanError               the plan cannot be carried out as it stands (unsafe, stale)
    ├── ClientError             a call to the service did not give a usable answer
    │   ├── ServiceError        the service refused: status, code, message, request id
    │   ├── UnreachableError    no answer: refused, reset, timed out; the effect is unknown
    │   └── MalformedReplyError an answer that is not what the API promises
    ├── ApplyError              some outputs could not be made; the others were
    ├── RenderError             FFmpeg is missing, or could not be started at all
    └── Interrupted             the person, or the system, asked the run to stop

Exceptions that never leave a stage (a refused call, a failed render, XML that does not fit) stand where they are
raised. Only ``cli`` catches these, once, at the top. A message says what is wrong, where, and what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.diagnostics import Diagnostic


class ReconcilerError(Exception):
    """A failure that was foreseen; its text is meant for the person at the terminal."""

    exit_code = 1

    def __init__(self, message: str, *, advice: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice


class UsageError(ReconcilerError):
    """The command line asks for something that does not exist or does not fit."""


class ProjectError(ReconcilerError):
    """The project's settings are missing, unreadable or contradictory."""


class ManifestError(ReconcilerError):
    """Manifests, layouts or rows have errors; all of them are in ``diagnostics``, in reading order."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        count = sum(d.severity == "error" for d in self.diagnostics)
        super().__init__(f"{count} error{'s' if count != 1 else ''}")


class LockfileError(ReconcilerError):
    """The lockfile or its journal cannot be read, or must not be overwritten."""


class GuardError(LockfileError):
    """Another run holds the guard on this project or on this service's folder."""


class PlanError(ReconcilerError):
    """The plan cannot be carried out as it stands: it changes too much, or the world has moved on."""


class ClientError(ReconcilerError):
    """A call to the service did not give a usable answer.

    ``request_id`` is what the vendor's support asks for; empty when no answer carried one.
    """

    def __init__(self, message: str, *, request_id: str = "", advice: str | None = None) -> None:
        tail = f" (request id {request_id})" if request_id else ""
        super().__init__(f"{message}{tail}", advice=advice)
        self.request_id = request_id


class ServiceError(ClientError):
    """The service refused a call: ``status`` is the HTTP status, ``code`` the API's error code."""

    def __init__(
        self, status: int, code: str, message: str, *, request_id: str = "", call: str = "", advice: str | None = None
    ) -> None:
        where = f"{call}: " if call else ""
        super().__init__(f"{where}{status} {code}: {message}", request_id=request_id, advice=advice)
        self.status = status
        self.code = code
        self.detail = message

    @property
    def slowed(self) -> bool:
        """Tell whether the service asks everybody to come back later."""
        return self.status in (429, 503) or self.code == "SlowDown"

    @property
    def uncertain(self) -> bool:
        """Tell whether the call may have taken effect all the same; 408 is also what a proxy says of a slow answer."""
        return self.status >= 500 or self.status == 408 or self.slowed


class UnreachableError(ClientError):
    """No answer came back. When ``sent``, whether the call took effect is unknown; otherwise it had none."""

    def __init__(self, message: str, *, sent: bool, request_id: str = "", advice: str | None = None) -> None:
        super().__init__(message, request_id=request_id, advice=advice)
        self.sent = sent


class MalformedReplyError(ClientError):
    """The service answered with something that is not what the API promises."""


class ApplyError(ReconcilerError):
    """Some outputs could not be made; everything else was carried out and recorded."""


class RenderError(ReconcilerError):
    """FFmpeg is missing or could not be started at all."""


class Interrupted(ReconcilerError):  # noqa: N818 - it is a request, not a mistake
    """The run was asked to stop; what was begun is recorded and the next run goes on from there."""

    def __init__(self, message: str, *, exit_code: int = 130) -> None:
        super().__init__(message)
        self.exit_code = exit_code
