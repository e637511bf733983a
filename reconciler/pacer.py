"""How fast a client may call: one pace for everyone, slowed down by refusals and quickened by good answers.

Pure: time and chance are handed in. The waiting itself is done by ``transport``.
"""

from __future__ import annotations

from typing import Final

FIRST_PAUSE: Final = 0.5
"""Seconds between two calls after the first refusal."""

LONGEST_PAUSE: Final = 10.0
GROWTH: Final = 2.0
RECOVERY: Final = 0.7
"""What a good answer leaves of the pause."""

LONGEST_WISH: Final = 120.0
"""Seconds of a Retry-After that are obeyed; a service that wants more says so again after these."""

_NEGLIGIBLE: Final = 0.01
_NEVER: Final = float("-inf")


class Pacer:
    """Decides when the next call may begin.

    Unhindered, calls begin as they come. When the service asks for less, they begin one after the other, with a pause
    in between that doubles with every refusal and shrinks with every good answer until it is gone. All times are in
    seconds of one clock that never goes back.
    """

    def __init__(self) -> None:
        self._pause = 0.0
        self._begun_at = _NEVER
        self._slowed_at = _NEVER
        self._not_before = _NEVER
        self._refused_since: float | None = None

    @property
    def pause(self) -> float:
        """The present pause between the beginnings of two calls; 0 when nothing holds them back."""
        return self._pause

    def refusing(self, now: float) -> float:
        """Return for how long every answer has been a refusal; 0 when the last one was good."""
        return 0.0 if self._refused_since is None else now - self._refused_since

    def wait(self, now: float) -> float:
        """Return how long the next call has to wait; 0 when it may begin."""
        return max(self._not_before - now, self._begun_at + self._pause - now, 0.0)

    def begin(self, now: float) -> None:
        """A call begins; the next one may follow after the pause."""
        self._begun_at = now

    def refused(self, began: float, now: float, *, chance: float, wish: float = 0.0) -> None:
        """The call that began at ``began`` was answered with "slow down".

        ``wish`` is what its Retry-After asks for; ``chance``, between 0 and 1, keeps many clients from coming back at
        the same moment. Of calls that were under way together the first refusal counts: they all say the same.
        """
        if self._refused_since is None:
            self._refused_since = now
        if began > self._slowed_at:
            self._pause = min(self._pause * GROWTH or FIRST_PAUSE, LONGEST_PAUSE)
            self._slowed_at = now
            self._not_before = max(self._not_before, now + self._pause * (1 + chance) / 2)
        self._not_before = max(self._not_before, now + min(wish, LONGEST_WISH))

    def accepted(self, began: float) -> None:
        """The call that began at ``began`` was answered; one from before the last refusal says nothing any more."""
        if began > self._slowed_at:
            self._refused_since = None
            self._pause *= RECOVERY
            if self._pause < _NEGLIGIBLE:
                self._pause = 0.0
