"""Rules checked once for all rows of one shape.

Rows of an entry differ in keys and user data, hardly ever in numbers, and the rules take longer than everything else
that is done for a row. So the verdict on a request is kept for every later request that differs from it only in texts
which the rules cannot object to.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

from reconciler.api import rules
from reconciler.api.messages import JobRequest, Operation
from reconciler.api.shape import UNSENDABLE
from reconciler.api.transcode import Transcode

_FREE: Final = frozenset(("url", "object", "user_data"))
"""Nodes whose texts differ from row to row."""

_IN_OPERATION: Final = tuple(Operation.model_fields.keys() - {"video_synthesis", "transcode", "output", "user_data"})
_IN_REQUEST: Final = tuple(JobRequest.model_fields.keys() - {"operation"})


class Shapes:
    """The verdicts so far."""

    def __init__(self) -> None:
        # The transcode node stands beside its verdict so that its id cannot come to mean another one.
        self._known: dict[Hashable, tuple[tuple[rules.Violation, ...], Transcode | None]] = {}

    def check(self, request: JobRequest) -> tuple[rules.Violation, ...]:
        """Return what ``rules.check_request`` returns."""
        shape = _shape(request)
        if shape is None:
            return rules.check_request(request)
        if shape not in self._known:
            violations = rules.check_request(request)
            if any(_FREE.intersection(map(str, violation.path)) for violation in violations):
                return violations  # it quotes this row's text
            self._known[shape] = (violations, request.operation[0].transcode)
        return self._known[shape][0]


def _shape(request: JobRequest) -> Hashable | None:
    """Return everything that the rules look at, or None when a text of the row needs their eye."""
    operation = request.operation[0]
    key, data = operation.output.object, operation.user_data
    if (
        not _is_plain(key)
        or rules.is_unsafe_key(key)
        or (data is not None and not (_is_plain(data) and data.isascii() and data.isprintable()))
    ):
        return None
    places: list[Any] = []
    for info in operation.video_synthesis.splice_info:
        if not _is_plain(info.url):
            return None
        places.append((info.x, info.y, info.width, info.height, info.name))
    return (
        tuple(places),
        id(operation.transcode),
        (key[0] == "/", key.rpartition(".")[2], *[part.partition("}")[0] for part in key.split("${")[1:]]),
        operation.video_synthesis.keep_audio_track,
        tuple([getattr(operation, name) for name in _IN_OPERATION]),
        tuple([getattr(request, name) for name in _IN_REQUEST]),
    )


def _is_plain(text: str) -> bool:
    """Tell whether a text is neither empty nor long nor holds what XML cannot carry."""
    return 0 < len(text) <= 200 and not text.isspace() and UNSENDABLE.search(text) is None
