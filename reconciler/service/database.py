"""The service's SQLite file: opening it, its schema version, its transactions. What is stored is not known here.

A statement of the service takes tens of microseconds, so all of them run on the event loop's own thread: a hand-over to
another one costs as much and brings locking. Only a durable commit waits for the disk (0.4 ms on an idle one, 5 ms on a
busy one); those are a submission, a cancellation and the end of a job.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from importlib import resources
from pathlib import Path
from typing import Any, Final

from reconciler.errors import ReconcilerError

log = logging.getLogger(__name__)

SCHEMA_VERSION: Final = 3
"""Kept in the file's ``user_version``; 0 is a file without tables."""

BUSY_SECONDS: Final = 10.0
"""How long to wait for another process's transaction; they last milliseconds."""

RETRY_SECONDS: Final = 1.0


class Database:
    """One connection. Use ``create``, ``existing`` or ``in_memory``; ``close`` it in the end."""

    def __init__(self, connection: sqlite3.Connection, *, writable: bool) -> None:
        self._connection = connection
        self._connection.row_factory = sqlite3.Row
        self._durable: bool | None = None
        self.writable = writable

    @classmethod
    def create(cls, path: Path) -> Database:
        """Open the file for reading and writing; make it, and its tables, when there is none yet.

        Raises ReconcilerError when it is no database, or was made by a newer version of the program.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = _connect(path, "rwc")
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            version = _version(connection, path)
            if version == 0:
                _make_tables(connection)
            else:
                _upgrade(connection, path, version)
        except sqlite3.DatabaseError as error:
            connection.close()
            raise _unusable(path, str(error)) from error
        return cls(connection, writable=True)

    @classmethod
    def existing(
        cls, path: Path, *, owning: Callable[[], AbstractContextManager[object]] = nullcontext
    ) -> Database | None:
        """Open the file when it is there and has tables; never makes one.

        ``owning`` is held while a file of an older version is brought up to date: who still works with it must not
        have it changed underneath. It may raise.
        """
        if not path.exists():
            return None
        writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
        # On a read-only disk SQLite cannot make the files beside the database that it shares with a writer; there is no
        # writer then either.
        alone = not writable and not path.with_name(f"{path.name}-wal").exists()
        connection = _connect(path, "rw" if writable else "ro&immutable=1" if alone else "ro")
        try:
            version = _version(connection, path)
        except sqlite3.DatabaseError as error:
            connection.close()
            raise _unusable(path, str(error)) from error
        if version == 0:
            connection.close()
            return None
        if version < SCHEMA_VERSION:
            if not writable:
                connection.close()
                raise _unusable(path, "it was written by an older version of this program and is read-only")
            with ExitStack() as stack:
                stack.callback(connection.close)
                with owning():
                    _upgrade(connection, path, version)
                stack.pop_all()
        return cls(connection, writable=writable)

    @classmethod
    def in_memory(cls) -> Database:
        """Return an empty database that is gone when it is closed."""
        connection = sqlite3.connect(":memory:", isolation_level=None)
        _make_tables(connection)
        return cls(connection, writable=True)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def rows(self, sql: str, values: Mapping[str, Any] | None = None) -> list[sqlite3.Row]:
        """Run one statement and return its rows; outside a transaction it is one of its own."""
        with closing(self._connection.execute(sql, values or {})) as cursor:
            return cursor.fetchall()

    def tuples(self, sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run one statement that reads and return its rows as plain tuples, for lists that are long."""
        with closing(self._connection.cursor()) as cursor:
            cursor.row_factory = None
            return cursor.execute(sql, values).fetchall()

    def many(self, sql: str, values: list[dict[str, Any]]) -> None:
        """Run one statement for each set of values."""
        self._connection.executemany(sql, values).close()

    @contextmanager
    def transaction(self, *, durable: bool) -> Iterator[None]:
        """Write in one transaction, which is rolled back when the block raises.

        A ``durable`` one survives a power cut once the block has ended. Others survive the death of this process, and
        may be lost, whole, with the power; a later durable one makes them durable too.
        """
        if durable is not self._durable:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # a full disk, among others, has ended it already
                self._connection.execute("ROLLBACK")
            raise


async def until_written(write: Callable[[], None], what: str) -> None:
    """Write what must not be forgotten. A disk that is full just now may have room a little later."""
    while True:
        try:
            write()
        except sqlite3.OperationalError as error:
            log.warning("%s is not written down yet: %s", what, error)
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=BUSY_SECONDS, isolation_level=None
        )
    except sqlite3.Error as error:
        raise _unusable(path, str(error)) from error
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _version(connection: sqlite3.Connection, path: Path) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        connection.close()
        raise ReconcilerError(
            f"{path} was written by a newer version of this program (schema {version}, known up to {SCHEMA_VERSION})",
            advice="use that version, or move the file away: its jobs are then forgotten, its objects stay",
        )
    return version


def _make_tables(connection: sqlite3.Connection) -> None:
    schema = resources.files(__package__).joinpath("schema.sql").read_text(encoding="utf-8")
    connection.executescript(f"BEGIN IMMEDIATE; {schema} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")


def _upgrade(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """Bring an older database to today's version, one step at a time; a step that fails leaves it as it was."""
    for step in range(version + 1, SCHEMA_VERSION + 1):
        script = resources.files(__package__).joinpath(f"upgrade_{step}.sql").read_text(encoding="utf-8")
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("PRAGMA legacy_alter_table = ON")  # what refers to a table goes on referring to its name
        try:
            connection.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {step}; COMMIT;")
        except sqlite3.DatabaseError as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if _version(connection, path) < step:  # otherwise another process has done it just now
                connection.close()
                raise _unusable(path, f"it cannot be brought to schema {step}: {error}") from error
        connection.execute("PRAGMA legacy_alter_table = OFF")
        connection.execute("PRAGMA foreign_keys = ON")


def _unusable(path: Path, reason: str) -> ReconcilerError:
    return ReconcilerError(
        f"{path} cannot be used as the service's database: {reason}",
        advice="see that the disk has room; move the file away only if it is damaged: its jobs are then forgotten",
    )
