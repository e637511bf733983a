"""How a job ends that cannot be rendered."""

from __future__ import annotations

from typing import Final

from reconciler.errors import ReconcilerError

INVALID_ARGUMENT: Final = "InvalidArgument"
INVALID_SOURCE: Final = "InvalidSource"
TIMEOUT: Final = "Timeout"
MEMORY: Final = "MemoryLimitExceeded"
DISK: Final = "InsufficientStorage"
INTERNAL: Final = "InternalError"


class RenderFailed(ReconcilerError):  # noqa: N818 - it is the outcome of a job, told to the client as its Failed state
    """A job that cannot be rendered, or was not.

    ``code`` is the job's error code, one of this module's. The documents list none; see docs/assumptions.md.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[RenderFailed], tuple[str, str]]:
        """Travel back from another process: exceptions are made anew there from what made them."""
        return type(self), (self.code, self.message)
