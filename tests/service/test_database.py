from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.errors import ReconcilerError
from reconciler.service.database import SCHEMA_VERSION, Database


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
