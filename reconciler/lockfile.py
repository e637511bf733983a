"""Recorded state: the lockfile, and the journal beside it.

The lockfile is one JSON document, sorted, one line per output, replaced whole::

    {"version": 2, "outputs": {
    "race": {"object": "output/race.mp4", "fingerprint": "2:…", …},
    …
    }, "templates": {
    "transcode_template.hd": {"id": "t1…", "content": …, …}
    }}

``templates`` is there when the project keeps templates on the service.

The journal is append-only, one JSON object a line. Each line is in its store before the effect that follows it, so a
crash loses nothing that happened (architecture, "How apply survives a crash")::

    {"op": "intent", "address": …, "token": …, "fingerprint": …, "object": …, "request": …, "inputs": …, "time": …}
    {"op": "submitted", "address": …, "job": …}
    {"op": "done", "address": …, "record": …}
    {"op": "failed", "address": …, "job": …, "code": …, "message": …, "time": …}
    {"op": "dropped", "address": …}                        the intent turned out to have had no effect
    {"op": "forget", "address": …}
    {"op": "move", "address": …, "to": …, "record": …}
    {"op": "record", "address": …, "record": …}            the record without an effect: its protection changed
    {"op": "template", "address": …, "record": …}          the service keeps a template so
    {"op": "forget_template", "address": …}

Replaying a line twice gives the same state, so a crash between writing a new lockfile and emptying the journal is
harmless. A checkpoint folds the journal into a new lockfile and keeps in the journal only what is still pending, and
the last failures. Where both are kept – on this disk, in the bucket – is the business of ``stores``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from reconciler.errors import LockfileError
from reconciler.lockformat import VERSION, document, fields, is_whole, line, record_lines
from reconciler.records import Records, read
from reconciler.state import Failure, Glanced, Record, Submission, TemplateRecord
from reconciler.stores import LocalStore, Snapshot, Store

_CHANGES: Final = frozenset({"done", "forget", "move", "record", "template", "forget_template"})
"""The entries of a journal after which the lockfile is another one."""


class Lockfile:
    """The recorded state of one project and environment, in memory and in its store.

    Reading needs no guard. Every change goes through one of the methods below ``begin``, which put it into the
    journal before they return; they raise LockfileError when the store refuses. What is changed at the same time is
    written together: one sync covers many. With ``inputs`` its glances tell what the sources held, too.
    """

    def __init__(self, store: Store, snapshot: Snapshot, *, inputs: bool = False) -> None:
        self.store = store
        self.note = snapshot.note
        self._records = Records()
        self.templates: dict[str, TemplateRecord] = {}
        self.pending: dict[str, Submission] = {}
        self.failures: dict[str, Failure] = {}
        self._waiting: list[Mapping[str, Any]] = []
        self._flushing: asyncio.Future[None] | None = None
        self._writing = asyncio.Lock()
        self._broken: LockfileError | None = None
        self._changed = snapshot.rebuilt
        if snapshot.source is not None:
            self._records, self.templates, version = read(snapshot.source, store.name, inputs=inputs)
            self._changed = snapshot.rebuilt or version != VERSION
        for entry in snapshot.entries:
            self._replay_foreign(entry)

    @property
    def records(self) -> MutableMapping[str, Record]:
        """What was last made, by address; each record is read when somebody asks for it."""
        return self._records

    @property
    def glances(self) -> Mapping[str, Glanced]:
        """What planning compares of each record, by address."""
        return self._records.glances

    @classmethod
    def load(cls, path: Path, journal: Path, *, inputs: bool = False) -> Lockfile:
        """Read a lockfile on this disk and replay the journal over it, writing nothing.

        Raises LockfileError when the lockfile is damaged or newer than this program.
        """
        store = LocalStore(path, journal, is_whole=is_whole)
        return cls(store, store.load(), inputs=inputs)

    # Writing. The caller holds the guard.

    async def begin(self) -> None:
        """Fold what an earlier run left in the journal, and open the journal for appending."""
        await self.store.begin()
        await self.checkpoint()

    async def intend(self, submission: Submission) -> None:
        """Put on disk that a job is about to be submitted; after this returns a crash leaves it in doubt, not lost."""
        await self._append({"op": "intent", **_without_job(submission)})

    async def submitted(self, address: str, job: str) -> None:
        """Record the job that the service answered with."""
        await self._append({"op": "submitted", "address": address, "job": job})

    async def done(self, address: str, record: Record) -> None:
        """Record a finished output."""
        await self._append({"op": "done", "address": address, "record": fields(record)})

    async def failed(self, failure: Failure) -> None:
        """Record a failed attempt. When it is that of the pending job, nothing is pending for the output any more."""
        await self._append({"op": "failed", **fields(failure)})

    async def dropped(self, address: str) -> None:
        """Record that an intent had no effect: the service refused it, or its job was superseded."""
        await self._append({"op": "dropped", "address": address})

    async def forget(self, address: str) -> None:
        """Drop the record of an output."""
        await self._append({"op": "forget", "address": address})

    async def move(self, address: str, to: str) -> None:
        """Give what is recorded, begun or failed for an output a new address."""
        record = self.records.get(address)
        await self._append({"op": "move", "address": address, "to": to, "record": fields(record) if record else None})

    async def amend(self, address: str, record: Record) -> None:
        """Change what is kept beside a result, not the result; what is begun or failed stays."""
        await self._append({"op": "record", "address": address, "record": fields(record)})

    async def keep_template(self, address: str, record: TemplateRecord) -> None:
        """Record a template as the service has it now."""
        await self._append({"op": "template", "address": address, "record": fields(record)})

    async def forget_template(self, address: str) -> None:
        """Drop the record of a template."""
        await self._append({"op": "forget_template", "address": address})

    async def checkpoint(self) -> None:
        """Write the lockfile whole and shorten the journal to what is still pending.

        The lockfile is left alone when its bytes would not change, so an apply with nothing to do touches nothing.
        """
        while self._flushing is not None:
            await self._flushing
        async with self._writing:
            text = document(self._records.lines(), record_lines(self.templates)) if self._changed else None
            pending = "".join(line(entry) for entry in self._unfinished())
            await self.store.fold(text, pending, empty=not (self.records or self.templates))
            self._changed = False

    def close(self) -> None:
        """Close the journal; what was appended stays."""
        self.store.close()

    async def _append(self, entry: Mapping[str, Any]) -> None:
        """Put an entry into the journal, together with all that others put there at this moment."""
        if self._broken is not None:
            raise self._broken
        self._waiting.append(entry)
        if self._flushing is None:
            self._flushing = asyncio.ensure_future(self._flush())
            self._flushing.add_done_callback(_heard)
        await asyncio.shield(self._flushing)  # whoever stops waiting does not stop the others' writing

    async def _flush(self) -> None:
        await asyncio.sleep(0)  # for company
        async with self._writing:
            entries, self._waiting, self._flushing = self._waiting, [], None
            if self._broken is not None:
                raise self._broken
            try:
                await self.store.append("".join(map(line, entries)))
            except LockfileError as error:  # what would follow a torn line would be lost with it
                self._broken = error
                raise
            for entry in entries:
                self._replay(entry)

    def _accept(self, address: str, job: str) -> None:
        if address in self.pending:
            self.pending[address] = _with_job(self.pending[address], job)

    def _fail(self, failure: Failure) -> None:
        """Keep a failure; a submission that it is not about – one in doubt, or one made since – stays pending."""
        self.failures[failure.address] = failure
        begun = self.pending.get(failure.address)
        if begun is not None and begun.job is not None and begun.job == failure.job:
            del self.pending[failure.address]

    def _keep_template(self, address: str, record: Mapping[str, Any] | None) -> None:
        self.templates.pop(address, None)
        if record is not None:
            self.templates[address] = TemplateRecord(**record)

    def _rename(self, address: str, to: str, record: Mapping[str, Any] | None) -> None:
        self.records.pop(address, None)
        if record is not None:
            self.records[to] = Record(**record)
        if begun := self.pending.pop(address, None):
            self.pending[to] = begun
        for name, begun in self.pending.items():
            if name == to or address in begun.made_of:
                self.pending[name] = begun.renamed(name, {address: to})
        if failure := self.failures.pop(address, None):
            self.failures[to] = replace(failure, address=to)

    def _unfinished(self) -> Iterator[Mapping[str, Any]]:
        """Yield what the next run has to know; the failures first, because they are older than what is pending."""
        for failure in self.failures.values():
            yield {"op": "failed", **fields(failure)}
        for submission in self.pending.values():
            yield {"op": "intent", **_without_job(submission)}
            if submission.job:
                yield {"op": "submitted", "address": submission.address, "job": submission.job}

    def _replay_foreign(self, entry: Mapping[str, Any]) -> None:
        """Replay a line that was read; another version may have written it."""
        try:
            self._replay(entry)
        except (TypeError, KeyError, AttributeError) as error:
            raise LockfileError(
                f"{self.store.journal} has an entry that this reconciler does not know: {error}",
                advice="it was written by another version: use that one, or upgrade",
            ) from error

    def _replay(self, entry: Mapping[str, Any]) -> None:
        self._changed = self._changed or entry["op"] in _CHANGES
        given = {key: value for key, value in entry.items() if key != "op"}
        address = given["address"]
        match entry["op"]:
            case "intent":
                self.pending[address] = Submission(**given)
            case "submitted":
                self._accept(address, given["job"])
            case "done":
                self.records[address] = Record(**given["record"])
                self.pending.pop(address, None)
                self.failures.pop(address, None)
            case "failed":
                self._fail(Failure(**{**given, "earlier": tuple(given.get("earlier", ()))}))
            case "dropped":
                self.pending.pop(address, None)
            case "forget":
                self.records.pop(address, None)
                self.failures.pop(address, None)
            case "move":
                self._rename(address, given["to"], given["record"])
            case "record":
                self.records[address] = Record(**given["record"])
            case "template" | "forget_template":
                self._keep_template(address, given.get("record"))
            case other:
                raise LockfileError(
                    f"{self.store.journal} has an entry of unknown kind {other!r}",
                    advice="it was written by a newer reconciler: upgrade this one",
                )


def _heard(flushed: asyncio.Future[None]) -> None:
    """Hear of a failure that everybody who waited for it is gone to hear."""
    if not flushed.cancelled():
        flushed.exception()


def _without_job(submission: Submission) -> dict[str, Any]:
    return {name: value for name, value in fields(submission).items() if name != "job"}


def _with_job(submission: Submission, job: str) -> Submission:
    return replace(submission, job=job)
