"""Recorded state on disk: the lockfile, the journal beside it, and the guard that keeps two runs apart.

The lockfile is one JSON document, sorted, one line per output, replaced whole::

    {"version": 2, "outputs": {
    "race": {"object": "output/race.mp4", "fingerprint": "1:…", …},
    …
    }, "templates": {
    "transcode_template.hd": {"id": "t1…", "content": …, …}
    }}

``templates`` is there when the project keeps templates on the service.

The journal is append-only, one JSON object a line. Each line is on the disk before the effect that follows it, so a
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
harmless. A torn last line is cut off. A checkpoint folds the journal into a new lockfile and keeps in the journal
only what is still pending, and the last failures.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from io import FileIO
from pathlib import Path
from typing import Any, Final

from reconciler import disk
from reconciler.errors import GuardError, LockfileError
from reconciler.state import Record, Submission, TemplateRecord

VERSION: Final = 2


@dataclass(frozen=True, slots=True)
class Failure:
    """The last failed attempt at an output; ``attempts`` counts them since it was last made."""

    address: str
    job: str | None
    code: str
    message: str
    time: str
    attempts: int = 1


class Lockfile:
    """The recorded state of one project and environment, in memory and on disk.

    Reading needs no guard. Every change goes through one of the methods below ``begin``, which put it into the
    journal before they return; they raise LockfileError when the disk refuses.
    """

    def __init__(self, path: Path, journal: Path) -> None:
        self.path = path
        self.journal = journal
        self.records: dict[str, Record] = {}
        self.templates: dict[str, TemplateRecord] = {}
        self.pending: dict[str, Submission] = {}
        self.failures: dict[str, Failure] = {}
        self.torn = False
        self._stream: FileIO | None = None

    @classmethod
    def load(cls, path: Path, journal: Path) -> Lockfile:
        """Read the lockfile and replay the journal over it, writing nothing.

        Raises LockfileError when the lockfile is damaged or newer than this program.
        """
        lockfile = cls(path, journal)
        lockfile.records, lockfile.templates = _read(path)
        for line in lockfile._journal_lines():
            try:
                lockfile._replay(line)
            except (TypeError, KeyError, AttributeError) as error:
                raise LockfileError(
                    f"{journal} has an entry that this reconciler does not know: {error}",
                    advice="it was written by another version: use that one, or upgrade",
                ) from error
        return lockfile

    # Writing. The caller holds the guard.

    def begin(self) -> None:
        """Fold what an earlier run left in the journal, and open the journal for appending."""
        with disk.plainly(self.journal.parent):
            self.journal.parent.mkdir(parents=True, exist_ok=True)
            disk.sync_folder(self.journal.parent.parent)
        self.checkpoint()

    def intend(self, submission: Submission) -> None:
        """Put on disk that a job is about to be submitted; after this returns a crash leaves it in doubt, not lost."""
        self._append({"op": "intent", **_without_job(submission)})

    def submitted(self, address: str, job: str) -> None:
        """Record the job that the service answered with."""
        self._append({"op": "submitted", "address": address, "job": job})

    def done(self, address: str, record: Record) -> None:
        """Record a finished output."""
        self._append({"op": "done", "address": address, "record": asdict(record)})

    def failed(self, failure: Failure) -> None:
        """Record a failed attempt. When it is that of the pending job, nothing is pending for the output any more."""
        self._append({"op": "failed", **asdict(failure)})

    def dropped(self, address: str) -> None:
        """Record that an intent had no effect: the service refused it, or its job was superseded."""
        self._append({"op": "dropped", "address": address})

    def forget(self, address: str) -> None:
        """Drop the record of an output."""
        self._append({"op": "forget", "address": address})

    def move(self, address: str, to: str) -> None:
        """Give what is recorded, begun or failed for an output a new address."""
        record = self.records.get(address)
        self._append({"op": "move", "address": address, "to": to, "record": asdict(record) if record else None})

    def amend(self, address: str, record: Record) -> None:
        """Change what is kept beside a result, not the result; what is begun or failed stays."""
        self._append({"op": "record", "address": address, "record": asdict(record)})

    def keep_template(self, address: str, record: TemplateRecord) -> None:
        """Record a template as the service has it now."""
        self._append({"op": "template", "address": address, "record": asdict(record)})

    def forget_template(self, address: str) -> None:
        """Drop the record of a template."""
        self._append({"op": "forget_template", "address": address})

    def checkpoint(self) -> None:
        """Write the lockfile whole and shorten the journal to what is still pending.

        The lockfile is left alone when its bytes would not change, so an apply with nothing to do touches nothing.
        """
        text = _dump(self.records, self.templates)
        with disk.plainly(self.path):
            if (self.records or self.templates or self.path.exists()) and not disk.has_content(self.path, text):
                disk.replace(self.path, text)
            self.close()
            # Always, also when it is empty: the rename puts the journal's name on the disk before the first intent.
            disk.replace(self.journal, "".join(_line(entry) for entry in self._unfinished()))
            self._stream = self.journal.open("ab", buffering=0)
            self.torn = False

    def close(self) -> None:
        """Close the journal; what was appended stays."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _append(self, entry: Mapping[str, Any]) -> None:
        if self._stream is None:
            raise LockfileError("the journal is not open for writing")
        whole = self._stream.tell()
        try:
            disk.write_whole(self._stream, _line(entry).encode())
            os.fsync(self._stream.fileno())
        except OSError as error:
            self._give_up(whole)
            raise LockfileError(
                f"cannot write {self.journal}: {error.strerror}",
                advice="nothing is lost: free space, then run apply again",
            ) from error
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
            self.pending[to] = replace(begun, address=to)
        if failure := self.failures.pop(address, None):
            self.failures[to] = replace(failure, address=to)

    def _give_up(self, whole: int) -> None:
        """Append nothing more: what would follow a torn line would be lost with it."""
        with suppress(OSError):
            os.truncate(self.journal, whole)
        stream, self._stream = self._stream, None
        with suppress(OSError):
            if stream is not None:
                stream.close()

    def _unfinished(self) -> Iterator[Mapping[str, Any]]:
        """Yield what the next run has to know; the failures first, because they are older than what is pending."""
        for failure in self.failures.values():
            yield {"op": "failed", **asdict(failure)}
        for submission in self.pending.values():
            yield {"op": "intent", **_without_job(submission)}
            if submission.job:
                yield {"op": "submitted", "address": submission.address, "job": submission.job}

    # Reading the journal.

    def _journal_lines(self) -> Iterator[Mapping[str, Any]]:
        """Yield the whole lines, without a torn tail.

        Every intent was synced together with all bytes before it, so what a crash damages is always at the end. A
        damaged line with whole ones behind it is no crash's doing, and cutting there could lose a submission.
        """
        try:
            raw = self.journal.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise LockfileError(f"cannot read {self.journal}: {error.strerror}") from error
        entries = [_parse_line(line) for line in raw.splitlines(keepends=True)]
        whole = next((index for index, entry in enumerate(entries) if entry is None), len(entries))
        if any(entry is not None for entry in entries[whole:]):
            raise LockfileError(
                f"{self.journal} is damaged in line {whole + 1}, with whole lines behind it",
                advice="take that line out by hand; what it recorded is then looked for at the service",
            )
        self.torn = whole < len(entries)
        for entry in entries[:whole]:
            assert entry is not None
            yield entry

    def _replay(self, entry: Mapping[str, Any]) -> None:
        fields = {key: value for key, value in entry.items() if key != "op"}
        address = fields["address"]
        match entry["op"]:
            case "intent":
                self.pending[address] = Submission(**fields)
            case "submitted":
                self._accept(address, fields["job"])
            case "done":
                self.records[address] = Record(**fields["record"])
                self.pending.pop(address, None)
                self.failures.pop(address, None)
            case "failed":
                self._fail(Failure(**fields))
            case "dropped":
                self.pending.pop(address, None)
            case "forget":
                self.records.pop(address, None)
                self.failures.pop(address, None)
            case "move":
                self._rename(address, fields["to"], fields["record"])
            case "record":
                self.records[address] = Record(**fields["record"])
            case "template" | "forget_template":
                self._keep_template(address, fields.get("record"))
            case other:
                raise LockfileError(
                    f"{self.journal} has an entry of unknown kind {other!r}",
                    advice="it was written by a newer reconciler: upgrade this one",
                )


@contextmanager
def guard(folder: Path, what: str = "apply") -> Iterator[None]:
    """Keep two runs apart: hold the folder's guard while the block runs.

    The kernel releases it when the process dies, however it dies. Raises GuardError, saying who holds it.
    """
    from filelock import FileLock, Timeout

    path, owner = folder / "guard", folder / "guard.owner"
    lock = FileLock(path, timeout=0)
    try:
        with disk.plainly(path):
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
            owner.write_text(f"{what}, process {os.getpid()}\n", encoding="utf-8")
    except Timeout:
        raise GuardError(
            f"another run is at work on this project ({_holder(owner)})",
            advice="wait for it to end; plan and status work beside it",
        ) from None
    try:
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _holder(owner: Path) -> str:
    try:
        return owner.read_text(encoding="utf-8").strip() or "another process"
    except OSError:  # it has just ended, or has not yet said who it is
        return "another process"


def _read(path: Path) -> tuple[dict[str, Record], dict[str, TemplateRecord]]:
    try:
        raw = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}, {}
    except (OSError, UnicodeDecodeError) as error:
        raise LockfileError(f"cannot read {path}: {error}") from error
    try:
        document = json.loads(raw)
        version, outputs = document["version"], document["outputs"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LockfileError(f"{path} is damaged: {error}", advice=_damage_advice(path, raw)) from error
    if not isinstance(version, int) or version > VERSION:
        raise LockfileError(
            f"{path} has version {version}, this reconciler reads up to {VERSION}",
            advice="upgrade reconciler; it was last written by a newer one",
        )
    try:
        records = {address: _record(entry) for address, entry in outputs.items()}
        templates = document.get("templates", {})
        return records, {address: _template_record(entry) for address, entry in templates.items()}
    except (TypeError, AttributeError) as error:
        raise LockfileError(f"{path} is damaged: {error}", advice=_damage_advice(path, raw)) from error


def _record(entry: Mapping[str, Any]) -> Record:
    """Return a record, or raise TypeError when one of its parts is not of its kind."""
    record = Record(**entry)
    for name, kind in (("object", str), ("fingerprint", str), ("etag", str), ("request", dict), ("inputs", dict)):
        if not isinstance(getattr(record, name), kind):
            raise TypeError(f"{name} is {getattr(record, name)!r}")
    if not _is_request(record.request):
        raise TypeError("request is not one that was recorded")
    if record.files is not None and not _are_texts(record.files):
        raise TypeError(f"files is {record.files!r}")
    return record


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _template_record(entry: Mapping[str, Any]) -> TemplateRecord:
    """Return the record of a template, or raise TypeError when one of its parts is not of its kind."""
    record = TemplateRecord(**entry)
    texts = (record.id, record.tag, record.name)
    if not all(isinstance(text, str) for text in texts) or not all(
        isinstance(content, dict) for content in (record.content, record.stored)
    ):
        raise TypeError("a template is not one that was recorded")
    return record


def _is_request(request: Mapping[str, Any]) -> bool:
    """Tell whether a recorded request has the parts that planning reads."""
    try:
        (operation,) = request["operation"]
        urls = [info["url"] for info in operation["video_synthesis"]["splice_info"]]
        nodes = [node for node in (operation.get("transcode") or {}).values() if not isinstance(node, dict | list)]
        return (
            isinstance(operation["output"]["object"], str) and all(isinstance(url, str) for url in urls) and not nodes
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return False


def _damage_advice(path: Path, raw: str) -> str:
    if "<<<<<<<" in raw:
        return "it holds a merge conflict: keep the newer line of each output, then run plan"
    return f"take the last good version from Git (git checkout -- {path.name}), then run plan"


def _dump(records: Mapping[str, Record], templates: Mapping[str, TemplateRecord]) -> str:
    kept = f', "templates": {{\n{_lines(templates)}}}' if templates else ""
    return f'{{"version": {VERSION}, "outputs": {{\n{_lines(records)}}}{kept}}}\n'


def _lines(records: Mapping[str, Record] | Mapping[str, TemplateRecord]) -> str:
    """Return one line for each record, in address order."""
    lines = ",\n".join(
        f"{json.dumps(address, ensure_ascii=False)}: {_compact(_present(asdict(records[address])))}"
        for address in sorted(records)
    )
    return f"{lines}\n" if lines else ""


def _present(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if value is not None and value is not False}


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(", ", ": "))


def _line(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":")) + "\n"


def _parse_line(line: bytes) -> Mapping[str, Any] | None:
    """Return the entry, or None when the line is torn."""
    if not line.endswith(b"\n"):
        return None
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and "op" in entry and "address" in entry else None


def _without_job(submission: Submission) -> dict[str, Any]:
    fields = asdict(submission)
    del fields["job"]
    return fields


def _with_job(submission: Submission, job: str) -> Submission:
    return Submission(**_without_job(submission), job=job)
