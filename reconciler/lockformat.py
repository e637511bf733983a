"""The text of lockfile and journal ↔ records. Pure: where the text is kept is the business of ``stores``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from reconciler.errors import LockfileError
from reconciler.state import Failure, Record, Submission, TemplateRecord

VERSION: Final = 2
HEAD: Final = f'{{"version": {VERSION}, "outputs": {{\n'
"""The first line of a lockfile."""

CONFLICT: Final = "<<<<<<<"
"""What Git writes where it could not merge."""


class DamagedError(Exception):
    """A text is not that of a lockfile; it becomes a LockfileError once it is known of which file."""


def parse(text: str, name: str) -> tuple[dict[str, Record], dict[str, TemplateRecord]]:
    """Return the records of outputs and of templates by address; ``name`` is that of the file, for errors.

    Raises LockfileError when the text is damaged or of a newer version than this program.
    """
    try:
        document = json.loads(text, object_pairs_hook=_once)
        version, outputs = document["version"], document["outputs"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise damage(name, text, error) from error
    check_version(version, name)
    try:
        records = {address: record_in(entry) for address, entry in outputs.items()}
        return records, templates_in(document.get("templates", {}))
    except (TypeError, AttributeError) as error:
        raise damage(name, text, error) from error


def check_version(version: object, name: str) -> None:
    """Raise LockfileError for a lockfile of a newer version than this program."""
    if not isinstance(version, int) or version > VERSION:
        raise LockfileError(
            f"{name} has version {version}, this reconciler reads up to {VERSION}",
            advice="upgrade reconciler; it was last written by a newer one",
        )


def templates_in(entries: Mapping[str, Any]) -> dict[str, TemplateRecord]:
    """Return the records of templates, or raise TypeError when one is none."""
    return {address: _template_record(entry) for address, entry in entries.items()}


def damage(name: str, text: str, reason: object) -> LockfileError:
    """Return the error for a lockfile that is damaged, with what to do about it."""
    return LockfileError(f"{name} is damaged: {reason}", advice=_damage_advice(name, text))


def is_whole(content: bytes) -> bool:
    """Tell whether a lockfile reached the disk whole; one with a merge conflict did."""
    text = content.strip()
    return (text[:1] == b"{" and text[-1:] == b"}" and b"\0" not in text) or CONFLICT.encode() in text


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that comes twice: whoever settles a merge may have kept both lines."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)} comes twice")
    return found


def fields(value: Record | TemplateRecord | Submission | Failure) -> dict[str, Any]:
    """Return the fields of a value by name; what they hold is shared, not copied."""
    return {name: getattr(value, name) for name in value.__slots__}


def record_in(entry: Mapping[str, Any]) -> Record:
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


def _damage_advice(name: str, text: str) -> str:
    if CONFLICT in text:
        return "it holds a merge conflict: keep the newer line of each output, then run plan"
    if name.startswith("bucket:"):
        return "`reconciler recover` rebuilds it from the service's jobs; or put the last good version under its key"
    file = name.rpartition("/")[2]
    return f"take the last good version from Git (git checkout -- {file}), or run `reconciler recover`"


def dump(records: Mapping[str, Record], templates: Mapping[str, TemplateRecord]) -> str:
    """Return the text of a lockfile: sorted, one line a record, so that two people's work on different ones merges."""
    return document(record_lines(records), record_lines(templates))


def document(outputs: Iterable[str], templates: Iterable[str]) -> str:
    """Return the text of a lockfile with these lines, which have no commas."""
    kept = _joined(templates)
    tail = f', "templates": {{\n{kept}}}' if kept else ""
    return f"{HEAD}{_joined(outputs)}}}{tail}}}\n"


def record_lines(records: Mapping[str, Record] | Mapping[str, TemplateRecord]) -> Iterator[str]:
    """Yield the line of each record, in address order."""
    for address in sorted(records):
        yield record_line(address, records[address])


def record_line(address: str, record: Record | TemplateRecord) -> str:
    """Return a record as its line in the lockfile, without a comma."""
    return f"{json.dumps(address, ensure_ascii=False)}: {_compact(_present(fields(record)))}"


def _joined(lines: Iterable[str]) -> str:
    text = ",\n".join(lines)
    return f"{text}\n" if text else ""


def _present(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if value is not None and value is not False}


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(", ", ": "))


def line(entry: Mapping[str, Any]) -> str:
    """Return an entry of the journal as the line that is appended."""
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":")) + "\n"


def parse_line(text: bytes) -> Mapping[str, Any] | None:
    """Return the entry of a line of the journal, or None when it is torn."""
    if not text.endswith(b"\n"):
        return None
    try:
        entry = json.loads(text)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and "op" in entry and "address" in entry else None
