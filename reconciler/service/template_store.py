"""The templates of the service's buckets, in SQLite. What a template may hold is not known here."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from reconciler.api import xml
from reconciler.api.templates import TemplateRequest
from reconciler.service.database import Database

_CREATE: Final = """
    INSERT INTO template (id, bucket, tag, name, request, created_at, updated_at)
    VALUES (:id, :bucket, :tag, :name, :request, :now, :now) RETURNING *
"""
_REPLACE: Final = """
    UPDATE template SET name = :name, request = :request, updated_at = :now WHERE bucket = :bucket AND id = :id
    RETURNING *
"""
_DELETE: Final = "DELETE FROM template WHERE bucket = :bucket AND id = :id RETURNING id"
# The + keeps SQLite from going through all templates of the bucket instead of looking the ids up.
_FIND: Final = "SELECT * FROM template WHERE +bucket = :bucket AND id IN (SELECT value FROM json_each(:ids))"
_WANTED: Final = """
    FROM template
    WHERE bucket = :bucket
      AND (:tag IS NULL OR tag = :tag)
      AND substr(name, 1, length(:prefix)) = :prefix
      AND (:ids IS NULL OR id IN (SELECT value FROM json_each(:ids)))
"""
_COUNT: Final = "SELECT count(*) AS total" + _WANTED
_PAGE: Final = "SELECT *" + _WANTED + "ORDER BY number DESC LIMIT :limit OFFSET :skipped"


class StoredTemplate(NamedTuple):
    """One row, in the order of its columns. Times are seconds since 1970; ``request`` is XML, as it was last sent."""

    number: int
    id: str
    bucket: str
    tag: str
    name: str
    request: str
    created_at: int
    updated_at: int

    @property
    def content(self) -> TemplateRequest:
        """The template as it was asked for."""
        return xml.read(TemplateRequest, self.request.encode(), "Request")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which templates to list; None is no restriction."""

    tag: str | None = None
    prefix: str = ""
    ids: tuple[str, ...] | None = None


class TemplateStore:
    """The templates of all buckets of one service."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, bucket: str, request: TemplateRequest) -> StoredTemplate:
        """Keep a new template; names need not differ."""
        values = {"id": f"t1{uuid.uuid4().hex}", "bucket": bucket, "tag": request.tag, **_content(request)}
        with self._database.transaction(durable=True):
            return _template(self._database.rows(_CREATE, values)[0])

    def replace(self, bucket: str, template: str, request: TemplateRequest) -> StoredTemplate | None:
        """Put something else of the same tag under an id; None when there is no such template."""
        with self._database.transaction(durable=True):
            rows = self._database.rows(_REPLACE, {"bucket": bucket, "id": template, **_content(request)})
        return _template(rows[0]) if rows else None

    def delete(self, bucket: str, template: str) -> bool:
        """Delete a template, and tell whether there was one; jobs that were submitted with it keep its content."""
        with self._database.transaction(durable=True):
            return bool(self._database.rows(_DELETE, {"bucket": bucket, "id": template}))

    def find(self, bucket: str, ids: Iterable[str]) -> dict[str, StoredTemplate]:
        """Return those of the named templates that the bucket has, by id."""
        rows = self._database.rows(_FIND, {"bucket": bucket, "ids": json.dumps(list(ids))})
        return {row["id"]: _template(row) for row in rows}

    def page(self, bucket: str, wanted: Wanted, *, skipped: int, limit: int) -> tuple[list[StoredTemplate], int]:
        """Return one page, newest first, and how many templates there are on all pages."""
        ids = None if wanted.ids is None else json.dumps(wanted.ids)
        values = {"bucket": bucket, "tag": wanted.tag, "prefix": wanted.prefix, "ids": ids}
        total = self._database.rows(_COUNT, values)[0]["total"]
        rows = self._database.rows(_PAGE, {**values, "limit": limit, "skipped": skipped})
        return [_template(row) for row in rows], total


def _content(request: TemplateRequest) -> dict[str, str | int]:
    return {"name": request.name, "request": xml.write(request, "Request").decode(), "now": int(time.time())}


def _template(row: sqlite3.Row) -> StoredTemplate:
    return StoredTemplate(*row)
