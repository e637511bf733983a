"""The text of lockfile and journal ↔ records. Pure: where the text is kept is the business of ``stores``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from reconciler.errors import LockfileError
from reconciler.state import Failure, Record, Submission, TemplateRecord

VERSION: Final = 2
CONFLICT: Final = "<<<<<<<"
"""What Git writes where it could not merge."""


def parse(text: str, name: str) -> tuple[dict[str, Record], dict[str, TemplateRecord]]:
    """Return the records of outputs and of templates by address; ``name`` is that of the file, for errors.

    Raises LockfileError when the text is damaged or of a newer version than this program.
    """
    try:
        document = json.loads(text)
        version, outputs = document["version"], document["outputs"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LockfileError(f"{name} is damaged: {error}", advice=_damage_advice(name, text)) from error
    if not isinstance(version, int) or version > VERSION:
        raise LockfileError(
            f"{name} has version {version}, this reconciler reads up to {VERSION}",
            advice="upgrade reconciler; it was last written by a newer one",
        )
    try:
        records = {address: _record(entry) for address, entry in outputs.items()}
        templates = document.get("templates", {})
        return records, {address: _template_record(entry) for address, entry in templates.items()}
    except (TypeError, AttributeError) as error:
        raise LockfileError(f"{name} is damaged: {error}", advice=_damage_advice(name, text)) from error


def is_whole(text: str) -> bool:
    """Tell whether a lockfile reached the disk whole; one with a merge conflict did."""
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return CONFLICT in text


def fields(value: Record | TemplateRecord | Submission | Failure) -> dict[str, Any]:
    """Return the fields of a value by name; what they hold is shared, not copied."""
    return {name: getattr(value, name) for name in value.__slots__}


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


def _damage_advice(name: str, text: str) -> str:
    if CONFLICT in text:
        return "it holds a merge conflict: keep the newer line of each output, then run plan"
    file = name.rpartition("/")[2]
    return f"take the last good version from Git (git checkout -- {file}), or run `reconciler recover`"


def dump(records: Mapping[str, Record], templates: Mapping[str, TemplateRecord]) -> str:
    """Return the text of a lockfile: sorted, one line a record, so that two people's work on different ones merges."""
    kept = f', "templates": {{\n{_lines(templates)}}}' if templates else ""
    return f'{{"version": {VERSION}, "outputs": {{\n{_lines(records)}}}{kept}}}\n'


def _lines(records: Mapping[str, Record] | Mapping[str, TemplateRecord]) -> str:
    """Return one line for each record, in address order."""
    lines = ",\n".join(
        f"{json.dumps(address, ensure_ascii=False)}: {_compact(_present(fields(records[address])))}"
        for address in sorted(records)
    )
    return f"{lines}\n" if lines else ""


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
