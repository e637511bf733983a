"""How fast a client may call: one pace for everyone, slowed down by refusals and quickened by good answers.

Also how many calls, and how many submissions to one queue, may begin in a second. Pure: time and chance are handed in.
The waiting itself is done by ``transport`` and ``apply``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FIRST_PAUSE: Final = 0.5
"""Seconds between two calls after the first refusal."""

LONGEST_PAUSE: Final = 10.0
GROWTH: Final = 2.0
RECOVERY: Final = 0.7
"""What a good answer leaves of the pause."""

LONGEST_WISH: Final = 120.0
"""Seconds of a Retry-After that are obeyed; a service that wants more says so again after these."""

LONG_WISH: Final = 5.0
"""Seconds of a Retry-After from which on people should know why nothing happens."""

QUIET: Final = 10.0
"""Seconds in which people are told of one slow-down at most."""

_NEGLIGIBLE: Final = 0.01
_INSTANT: Final = 1e-6
"""Seconds that are not waited for: what is left of a wait after it is no more than rounding."""

_NEVER: Final = float("-inf")


class TokenBucket:
    """At most ``rate`` beginnings a second, of which one second's worth, at least one, may come at once.

    In any ``t`` seconds no more begin than this burst and ``rate`` times ``t``. All times are in seconds of one clock
    that never goes back.
    """

    def __init__(self, rate: float) -> None:
        self._interval = 1.0 / rate
        self._slack = max(rate - 1.0, 0.0) * self._interval
        self._full_at = _NEVER

    def wait(self, now: float) -> float:
        """Return how long the next beginning has to wait; 0 when it may be now."""
        wait = self._full_at - self._slack - now
        return wait if wait > _INSTANT else 0.0

    def take(self, now: float) -> None:
        """Something begins, now or after the wait that it was told."""
        self._full_at = max(self._full_at, now) + self._interval


class Spacing:
    """Spaces the submissions to each queue; ``rates`` are submissions a second by queue, others come as they like."""

    def __init__(self, rates: Mapping[str, float | None]) -> None:
        self._buckets = {queue: TokenBucket(rate) for queue, rate in rates.items() if rate is not None}

    def delay(self, queue: str, now: float) -> float:
        """Return how long to wait before a submission to a queue, which takes its turn by asking.

        Who asks later is told to wait longer. A turn that is not used is lost, and delays the others by no more.
        """
        bucket = self._buckets.get(queue)
        if bucket is None:
            return 0.0
        wait = bucket.wait(now)
        bucket.take(now)
        return wait


class Pacer:
    """Decides when the next call may begin.

    Unhindered, calls begin as they come, up to ``rate`` a second when there is one. When the service asks for less,
    they begin one after the other, with a pause in between that doubles with every refusal and shrinks with every good
    answer until it is gone. All times are in seconds of one clock that never goes back.
    """

    def __init__(self, rate: float | None = None) -> None:
        self._bucket = None if rate is None else TokenBucket(rate)
        self._pause = 0.0
        self._begun_at = _NEVER
        self._slowed_at = _NEVER
        self._not_before = _NEVER
        self._refused_since: float | None = None
        self._told_at = _NEVER

    @property
    def pause(self) -> float:
        """The present pause between the beginnings of two calls; 0 when nothing holds them back."""
        return self._pause

    def refusing(self, now: float) -> float:
        """Return for how long every answer has been a refusal; 0 when the last one was good."""
        return 0.0 if self._refused_since is None else now - self._refused_since

    def wait(self, now: float) -> float:
        """Return how long the next call has to wait; 0 when it may begin."""
        own = 0.0 if self._bucket is None else self._bucket.wait(now)
        return max(self._not_before - now, self._begun_at + self._pause - now, own, 0.0)

    def begin(self, now: float) -> None:
        """A call begins; the next one may follow after the pause."""
        self._begun_at = now
        if self._bucket is not None:
            self._bucket.take(now)

    def refused(self, began: float, now: float, *, chance: float, wish: float = 0.0) -> bool:
        """The call that began at ``began`` was answered with "slow down"; return whether people should be told.

        ``wish`` is what its Retry-After asks for; ``chance``, between 0 and 1, keeps many clients from coming back at
        the same moment. Of calls that were under way together the first refusal counts: they all say the same. It is
        news when it is the first one after a good answer, or wishes for long, and nothing was told a moment ago.
        """
        is_news = (self._refused_since is None or wish >= LONG_WISH) and now - self._told_at >= QUIET
        if is_news:
            self._told_at = now
        if self._refused_since is None:
            self._refused_since = now
        if began > self._slowed_at:
            self._pause = min(self._pause * GROWTH or FIRST_PAUSE, LONGEST_PAUSE)
            self._slowed_at = now
            self._not_before = max(self._not_before, now + self._pause * (1 + chance) / 2)
        self._not_before = max(self._not_before, now + min(wish, LONGEST_WISH))
        return is_news

    def accepted(self, began: float) -> None:
        """The call that began at ``began`` was answered; one from before the last refusal says nothing any more."""
        if began > self._slowed_at:
            self._refused_since = None
            self._pause *= RECOVERY
            if self._pause < _NEGLIGIBLE:
                self._pause = 0.0
