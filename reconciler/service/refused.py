"""How the parts of the service refuse a call; turning it into an answer is the business of ``app``."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.api import rules
from reconciler.api.node import Node


class RefusedError(Exception):
    """A call that gets an error document: ``code`` as the API spells it, ``message`` for a person."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def refuse_broken(found: Iterable[rules.Violation], model: type[Node]) -> None:
    """Raise RefusedError InvalidArgument when a request breaks rules: all of them, by the names of its nodes.

    ``model`` is the class of the request; warnings pass.
    """
    texts = [rules.wire_message(violation, model, "Request") for violation in found if violation.severity == "error"]
    if texts:
        raise RefusedError("InvalidArgument", "; ".join(texts))
