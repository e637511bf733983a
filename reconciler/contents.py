"""What is in the bucket already, by what it shows: so that nothing is rendered twice. Pure; a part of ``plan``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from typing import Final

from reconciler.action import Origin
from reconciler.api.messages import SUCCESS, TERMINAL
from reconciler.fingerprint import fingerprint, is_of_today
from reconciler.state import ObservedState, PastJob, StoredObject

LARGEST_COPY: Final = 5 * 1024**3
"""Bytes that one request copies; reference/cos-objects.md §7."""

_OLDER: Final = "older"

_PLAYLISTS: Final = (".m3u8", ".mpd")
"""What lists other objects by name, and so is not the same at another key."""


class Contents:
    """The recorded outputs and the past jobs of a bucket, by fingerprint and by digest. Read when first asked."""

    def __init__(self, observed: ObservedState) -> None:
        self._observed = observed
        self._copies: dict[str, tuple[Origin, ...]] = {}

    def same(self, is_marked: Callable[[str], bool], mark: str, *, but: str) -> Origin | None:
        """Return an object with this fingerprint that can be copied; not that under the key ``but`` itself."""
        if mark not in self._copies:
            # Two, so that one is left when the other is the asker's own; the same is asked for every output like it.
            self._copies[mark] = tuple(islice(self._copyable(mark, is_marked), 2))
        return next((origin for origin in self._copies[mark] if origin.object != but), None)

    def held(self, there: StoredObject, is_marked: Callable[[str], bool]) -> Origin | None:
        """Return what an object is a copy of, when its digest is that of a record or a past job with this fingerprint.

        So a copy that a run made, and died before it could record it, is known again.
        """
        if "-" in there.etag:
            return None
        for address in self._by_etag.get(there.etag, ()):
            glance = self._observed.glances[address]
            if is_marked(glance.fingerprint):
                return Origin(glance.object, glance.etag, address=address)
        for past in self._past_by_digest.get(there.etag, ()):
            if is_marked(past.fingerprint):
                return Origin(past.key, past.md5, job=past.job)
        return None

    def maker(self, there: StoredObject) -> str | None:
        """Return which output or which job holds or made the same, when a run of ours wrote an object, in words."""
        origin = self.held(there, lambda _: True)
        return None if origin is None else origin.address or f"job {origin.job}"

    def job_at(self, keys: Iterable[str], is_marked: Callable[[str], bool]) -> PastJob | None:
        """Return the newest past job that was to make one of these keys with this content.

        Its object is there untouched; one that has not ended yet counts too. ``keys`` are the same one, as it is and as
        it was asked for: with ``${ext}`` or ``${jobid}``.
        """
        written = False
        for past in (past for key in keys for past in self._past_by_key.get(key, ())):
            if is_marked(past.fingerprint) and (past.state not in TERMINAL or self._is_there(past, newest=not written)):
                return past
            written = written or past.state == SUCCESS
        return None

    def _is_there(self, past: PastJob, *, newest: bool) -> bool:
        """Tell whether the object of a past job is there, by its digest.

        One that was stored in parts has none: then its size tells, and that no later job wrote the key.
        """
        there = self._observed.objects.get(past.key)
        if there is None or past.state != SUCCESS:
            return False
        if "-" in there.etag:
            return newest and there.size == past.size
        return there.etag == past.md5

    def _copyable(self, mark: str, is_marked: Callable[[str], bool]) -> Iterator[Origin]:
        """Yield what has a fingerprint and can be copied: recorded outputs in address order, then past jobs."""
        objects = self._observed.objects
        for address in sorted(self._by_mark.get(mark, ())):
            glance = self._observed.glances[address]
            there = objects.get(glance.object)
            if _can_be_copied(glance.object, there, glance.files) and there is not None and there.etag == glance.etag:
                yield Origin(glance.object, glance.etag, address=address)
        for past in (*self._past_by_mark.get(mark, ()), *self._past_by_mark.get(_OLDER, ())):
            there = objects.get(past.key)
            whole = _can_be_copied(past.key, there, past.files) and there is not None and there.etag == past.md5
            if whole and past.state == SUCCESS and is_marked(past.fingerprint):
                yield Origin(past.key, past.md5, job=past.job)

    @cached_property
    def _by_mark(self) -> Mapping[str, list[str]]:
        """The recorded addresses of each fingerprint; those of earlier versions are digested in today's way."""
        found: dict[str, list[str]] = {}
        for address, glance in self._observed.glances.items():
            mark = glance.fingerprint
            if not is_of_today(mark):
                record = self._observed.records[address]
                mark = fingerprint(record.request, record.inputs)
            found.setdefault(mark, []).append(address)
        return found

    @cached_property
    def _by_etag(self) -> Mapping[str, list[str]]:
        found: dict[str, list[str]] = {}
        for address, glance in self._observed.glances.items():
            found.setdefault(glance.etag, []).append(address)
        return found

    @cached_property
    def _past_by_mark(self) -> Mapping[str, list[PastJob]]:
        """The past jobs of each fingerprint; those of earlier versions all stand under one name."""
        return self._grouped(lambda past: (past.fingerprint if is_of_today(past.fingerprint) else _OLDER,))

    @cached_property
    def _past_by_digest(self) -> Mapping[str, list[PastJob]]:
        return self._grouped(lambda past: (past.md5,) if past.md5 else ())

    @cached_property
    def _past_by_key(self) -> Mapping[str, list[PastJob]]:
        return self._grouped(lambda past: {past.declared, past.key})

    def _grouped(self, names: Callable[[PastJob], Iterable[str]]) -> dict[str, list[PastJob]]:
        found: dict[str, list[PastJob]] = {}
        for past in self._observed.history:
            for name in names(past):
                found.setdefault(name, []).append(past)
        return found


def _can_be_copied(key: str, there: StoredObject | None, files: object) -> bool:
    """Tell whether a copy can be proven to be one: what was stored in parts gets another ETag."""
    whole = there is not None and "-" not in there.etag and there.size <= LARGEST_COPY
    return whole and not files and not key.endswith(_PLAYLISTS)
