"""Located problems: what is wrong, in which file, line and column, and what to write instead.

Values only. Finding the position of a node is the business of ``manifest``; printing it is that of ``cli.views``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

_USER_INFO: Final = re.compile(r"(?<=://)[^/@\s'\"`]+(?=@)")

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a text file; ``line`` and ``column`` count from 1."""

    source: str
    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem.

    ``summary`` is a short sentence; ``advice`` says what to do next; ``excerpt`` is the offending source line, quoted
    with a caret under ``position.column``; ``subject`` names the output it concerns, when it concerns one.
    """

    severity: Severity
    summary: str
    position: Position | None = None
    excerpt: str | None = None
    advice: str | None = None
    subject: str | None = None


def without_secrets(text: str) -> str:
    """Return a text in which no address shows the name and password that it holds; it stays as long as it was."""
    return _USER_INFO.sub(lambda found: "*" * len(found[0]), text)


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Return advice that names the nearest known words, or None when nothing is near."""
    near = difflib.get_close_matches(word, list(known), n=3, cutoff=0.6)
    if not near:
        return None
    quoted = [f"`{name}`" for name in near]
    return f"did you mean {' or '.join(quoted)}?"
