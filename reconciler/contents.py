"""What is in the bucket already, by what it shows: so that nothing is rendered twice. Pure; a part of ``plan``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from reconciler.action import Origin
from reconciler.api.messages import SUCCESS, TERMINAL
from reconciler.fingerprint import FINGERPRINT_VERSION, fingerprint
from reconciler.state import Glanced, ObservedState, PastJob, StoredObject

LARGEST_COPY: Final = 5 * 1024**3
"""Bytes that one request copies; reference/cos-objects.md §7."""

_PLAYLISTS: Final = (".m3u8", ".mpd")
"""What lists other objects by name, and so is not the same at another key."""


class Contents:
    """The recorded outputs and the past jobs of a bucket, by fingerprint. Read when first asked."""

    def __init__(self, observed: ObservedState) -> None:
        self._observed = observed
        self._records: Mapping[str, Origin] | None = None
        self._jobs: Mapping[str, list[PastJob]] | None = None

    def same(self, is_marked: Callable[[str], bool], mark: str, *, but: str) -> Origin | None:
        """Return an object with this fingerprint that can be copied; not that under the key ``but`` itself."""
        if self._records is None:
            # The last address first, so that of equal ones the first is found.
            origins = (self._origin(*item) for item in sorted(self._observed.glances.items(), reverse=True))
            self._records = {mark: origin for mark, origin in origins if mark}
        found = self._records.get(mark)
        if found is not None and found.object != but:
            return found
        for past in self._observed.history:
            there = self._observed.objects.get(past.key)
            if (
                past.state == SUCCESS
                and past.key != but
                and is_marked(past.fingerprint)
                and _can_be_copied(past.key, there, past.files)
                and there is not None
                and there.etag == past.md5
            ):
                return Origin(past.key, there.etag, job=past.job)
        return None

    def held(self, there: StoredObject, is_marked: Callable[[str], bool]) -> Origin | None:
        """Return what an object is a copy of, when its digest is that of a record or a past job with this fingerprint.

        So a copy that a run made, and died before it could record it, is known again.
        """
        if "-" in there.etag:
            return None
        for address, glance in self._observed.glances.items():
            if glance.etag == there.etag and is_marked(glance.fingerprint):
                return Origin(glance.object, glance.etag, address=address)
        for past in self._observed.history:
            if past.md5 == there.etag and is_marked(past.fingerprint):
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
        if self._jobs is None:
            jobs: dict[str, list[PastJob]] = {}
            for past in self._observed.history:
                for name in {past.declared, past.key}:
                    jobs.setdefault(name, []).append(past)
            self._jobs = jobs
        written = False
        for past in (past for key in keys for past in self._jobs.get(key, ())):
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

    def _origin(self, address: str, record: Glanced) -> tuple[str | None, Origin]:
        there = self._observed.objects.get(record.object)
        origin = Origin(record.object, record.etag, address=address)
        if there is None or there.etag != record.etag or not _can_be_copied(record.object, there, record.files):
            return None, origin
        if record.fingerprint.startswith(f"{FINGERPRINT_VERSION}:"):
            return record.fingerprint, origin
        whole = self._observed.records[address]
        return fingerprint(whole.request, whole.inputs), origin


def _can_be_copied(key: str, there: StoredObject | None, files: object) -> bool:
    """Tell whether a copy can be proven to be one: what was stored in parts gets another ETag."""
    whole = there is not None and "-" not in there.etag and there.size <= LARGEST_COPY
    return whole and not files and not key.endswith(_PLAYLISTS)
