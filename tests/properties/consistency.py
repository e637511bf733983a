"""What must be true of a service's folder whatever was asked of it."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.service.harness import Caller
from tests.service.wire import COS_HOST, Call, send


def check_disk(root: Path) -> None:
    """Check database and files of a service that has ended."""
    assert {path.name for path in root.iterdir()} == {"buckets", ".reconciler"}
    assert list((root / "buckets").rglob(".reconciler-*")) == []
    with closing(sqlite3.connect(root / ".reconciler" / "service.sqlite")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        assert database.execute("SELECT * FROM partial").fetchall() == []
        uploads = {row[0] for row in database.execute("SELECT id FROM upload")}
        parts = sorted(row[0] for row in database.execute("SELECT upload FROM part"))
    files = [path for path in (root / ".reconciler" / "uploads").rglob("*") if path.is_file()]
    assert sorted(path.parent.name for path in files) == parts
    assert set(parts) <= uploads


async def check_objects(root: Path, caller: Caller) -> int:
    """Check that every object of the listing is a file with that content; return how many there are."""
    keys = await caller.keys()
    for key in keys:
        answer = await send(caller.service.app, Call.of("GET", COS_HOST, b"/" + quoted(key)))
        assert answer.status == 200, key
        etag = (answer.header("etag") or "").strip('"')
        assert "-" in etag or etag == hashlib.md5(answer.body).hexdigest(), key
    return len(keys)


def quoted(key: str) -> bytes:
    """Return a key as it stands in a target."""
    return "".join(f"%{byte:02X}" for byte in key.encode()).encode()
