from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.errors import ReconcilerError
from reconciler.service.database import SCHEMA_VERSION, Database

OLD_SCHEMAS = {version: Path(__file__).with_name(f"schema_{version}.sql") for version in range(1, SCHEMA_VERSION)}


def versioned(path: Path, version: int) -> Path:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    return path


def test_a_new_database_has_its_version_and_waits_for_the_disk(tmp_path: Path) -> None:
    database = Database.create(tmp_path / "sub" / "service.sqlite")
    assert database.rows("PRAGMA user_version")[0][0] == SCHEMA_VERSION
    assert database.rows("PRAGMA journal_mode")[0][0] == "wal"
    with database.transaction(durable=True):
        assert database.rows("PRAGMA synchronous")[0][0] == 2
    with database.transaction(durable=False):
        assert database.rows("PRAGMA synchronous")[0][0] == 1
    database.close()


def test_what_was_written_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "service.sqlite"
    first = Database.create(path)
    with first.transaction(durable=False):
        first.rows("INSERT INTO partial VALUES ('b', 'p')")
    first.close()
    again = Database.create(path)
    assert [tuple(row) for row in again.rows("SELECT * FROM partial")] == [("b", "p")]
    again.close()


def test_a_transaction_that_raises_leaves_nothing() -> None:
    database = Database.in_memory()

    def broken() -> None:
        with database.transaction(durable=True):
            database.rows("INSERT INTO partial VALUES ('b', 'p')")
            raise KeyError

    with pytest.raises(KeyError):
        broken()
    assert database.rows("SELECT * FROM partial") == []
    database.close()


@pytest.mark.parametrize("durable", [True, False])
def test_a_full_disk_is_named_and_leaves_no_transaction_open(tmp_path: Path, durable: bool) -> None:
    database = Database.create(tmp_path / "service.sqlite")
    pages = database.rows("PRAGMA page_count")[0][0]
    database.rows(f"PRAGMA max_page_count = {pages}")
    with (
        pytest.raises(sqlite3.OperationalError, match="database or disk is full"),
        database.transaction(durable=durable),
    ):
        database.rows("INSERT INTO partial VALUES ('b', :path)", {"path": "p" * 100_000})
    database.rows("PRAGMA max_page_count = 100000")
    with database.transaction(durable=durable):
        database.rows("INSERT INTO partial VALUES ('b', 'p')")
    assert [row["path"] for row in database.rows("SELECT path FROM partial")] == ["p"]
    database.close()


def test_a_commit_that_fails_is_rolled_back(tmp_path: Path) -> None:
    database = Database.create(tmp_path / "service.sqlite")

    def write_a_part_of_no_upload() -> None:
        with database.transaction(durable=True):
            database.rows("PRAGMA defer_foreign_keys = ON")
            database.rows("INSERT INTO part VALUES ('no upload', 1, 1, :md5, '0', 0)", {"md5": "0" * 32})

    with pytest.raises(sqlite3.IntegrityError):
        write_a_part_of_no_upload()
    with database.transaction(durable=True):
        database.rows("INSERT INTO partial VALUES ('b', 'p')")
    assert database.rows("SELECT * FROM part") == []
    database.close()


def test_looking_for_a_database_makes_none(tmp_path: Path) -> None:
    assert Database.existing(tmp_path / "none" / "service.sqlite") is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_tables_is_no_database_yet(tmp_path: Path) -> None:
    assert Database.existing(versioned(tmp_path / "service.sqlite", 0)) is None


@pytest.mark.parametrize("opened", [Database.create, Database.existing])
def test_a_newer_database_is_refused(tmp_path: Path, opened: Callable[[Path], Database | None]) -> None:
    path = versioned(tmp_path / "service.sqlite", SCHEMA_VERSION + 1)
    with pytest.raises(ReconcilerError, match=rf"newer version .* \(schema {SCHEMA_VERSION + 1}") as caught:
        opened(path)
    assert "use that version" in (caught.value.advice or "")


@pytest.mark.parametrize("opened", [Database.create, Database.existing])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, opened: Callable[[Path], Database | None]) -> None:
    path = tmp_path / "service.sqlite"
    path.write_bytes(b"not a database " * 100)
    with pytest.raises(ReconcilerError, match="cannot be used as the service's database: file is not a database"):
        opened(path)


def test_a_folder_in_the_place_of_the_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReconcilerError, match="cannot be used as the service's database"):
        Database.create(tmp_path)


def test_on_a_read_only_disk_it_is_read_without_files_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "service.sqlite"
    Database.create(path).close()
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr("reconciler.service.database.os.access", lambda *_: False)
    database = Database.existing(path)
    assert database is not None
    assert database.writable is False
    assert database.rows("SELECT count(*) FROM job")[0][0] == 0
    assert sorted(tmp_path.iterdir()) == before
    database.close()


def test_results_are_those_of_a_job_that_succeeded() -> None:
    database = Database.in_memory()
    queue, job = "p" + "0" * 32, "j" + "0" * 32
    database.rows("INSERT INTO queue (id, bucket, created_at, updated_at) VALUES (:id, 'b-1', 1, 2)", {"id": queue})
    columns = "(id, bucket, queue, tag, request, created_at)"
    database.rows(
        f"INSERT INTO job {columns} VALUES (:id, 'b-1', :queue, 'V', '<Request/>', 7)", {"id": job, "queue": queue}
    )
    for column in ("engine", "notes"):
        with pytest.raises(sqlite3.IntegrityError, match="CHECK constraint failed"):
            database.rows(f"UPDATE job SET {column} = 'x'")
    database.close()


# Databases of older versions.


def tables(database: Database) -> dict[str, str]:
    """Return everything that a schema makes, by its name, without its comments and spaces."""
    rows = database.rows("SELECT name, sql FROM sqlite_master")
    return {row["name"]: " ".join(re.sub(r"--.*", "", row["sql"] or "").split()) for row in rows}


def columns(database: Database) -> dict[str, list[str]]:
    names = [row["name"] for row in database.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {name: [row["name"] for row in database.rows(f"PRAGMA table_info({name})")] for name in names}


_QUEUE = {1: "(id, bucket) VALUES (?, 'b-1')", 2: "(id, bucket, created_at, updated_at) VALUES (?, 'b-1', 1, 2)"}


@pytest.mark.parametrize("version", OLD_SCHEMAS)
@pytest.mark.parametrize("opened", [Database.create, Database.existing])
def test_a_database_of_an_older_version_becomes_one_of_today(
    tmp_path: Path, opened: Callable[[Path], Database | None], version: int
) -> None:
    path = tmp_path / "service.sqlite"
    queue = "p" + "0" * 32
    old = sqlite3.connect(path, isolation_level=None)
    old.executescript(f"{OLD_SCHEMAS[version].read_text()} PRAGMA user_version = {version};")
    old.execute(f"INSERT INTO queue {_QUEUE[version]}", (queue,))
    insert = "INSERT INTO job (id, bucket, queue, tag, request, created_at) VALUES (?, 'b-1', ?, 'V', '<Request/>', 7)"
    old.executemany(insert, [(f"j{number:032}", queue) for number in range(3)])
    old.execute("UPDATE job SET state = 'Cancel', ended_at = 8 WHERE number = 2")
    old.close()
    upgraded, today = opened(path), Database.in_memory()
    assert upgraded is not None
    assert columns(upgraded) == columns(today)
    assert tables(upgraded).keys() == tables(today).keys()
    for name, text in tables(upgraded).items():
        if text.startswith(("CREATE INDEX", "CREATE UNIQUE INDEX", "CREATE TRIGGER")):
            assert text == tables(today)[name]
    assert [tuple(row) for row in upgraded.rows("SELECT id, state, waiting, closed_at FROM queue")] == [
        (queue, "Active", 2, None)
    ]
    assert [row["state"] for row in upgraded.rows("SELECT state FROM job")] == ["Submitted", "Cancel", "Submitted"]
    upgraded.rows("UPDATE job SET state = 'Cancel', ended_at = 9 WHERE number = 1")
    assert upgraded.rows("SELECT waiting FROM queue")[0]["waiting"] == 1
    assert upgraded.rows("PRAGMA foreign_key_check") == []
    assert upgraded.rows("PRAGMA user_version")[0][0] == SCHEMA_VERSION
    upgraded.close()
    today.close()


@pytest.mark.parametrize("version", OLD_SCHEMAS)
def test_a_database_of_an_older_version_on_a_read_only_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    path = tmp_path / "service.sqlite"
    old = sqlite3.connect(path)
    old.executescript(f"{OLD_SCHEMAS[version].read_text()} PRAGMA user_version = {version};")
    old.close()
    monkeypatch.setattr("reconciler.service.database.os.access", lambda *_: False)
    with pytest.raises(ReconcilerError, match="written by an older version of this program and is read-only"):
        Database.existing(path)


def test_long_lists_are_read_as_plain_tuples() -> None:
    database = Database.in_memory()
    database.many("INSERT INTO partial VALUES (:bucket, :path)", [{"bucket": "b", "path": path} for path in "xyz"])
    rows = database.tuples("SELECT bucket, path FROM partial WHERE path > :after ORDER BY path", {"after": "x"})
    assert rows == [("b", "y"), ("b", "z")]
    assert all(type(row) is tuple for row in rows)
    database.close()
