"""How the parts of the service refuse a call; turning it into an answer is the business of ``app``."""

from __future__ import annotations


class RefusedError(Exception):
    """A call that gets an error document: ``code`` as the API spells it, ``message`` for a person."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
