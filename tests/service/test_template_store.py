from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from reconciler.api.templates import TemplateRequest
from reconciler.api.transcode import Transcode
from reconciler.api.watermark import Watermark
from reconciler.service.database import Database
from reconciler.service.template_store import StoredTemplate, TemplateStore, Wanted

BUCKET = "demo-1250000000"
MP4 = Transcode.model_validate({"container": {"format": "mp4"}, "video": {"codec": "H.264"}})
MARK = Watermark.model_validate({"type": "Text"})


@pytest.fixture
def database() -> Iterator[Database]:
    opened = Database.in_memory()
    yield opened
    opened.close()


@pytest.fixture
def templates(database: Database) -> TemplateStore:
    return TemplateStore(database)


def create(templates: TemplateStore, name: str, content: Transcode | Watermark = MP4, bucket: str = BUCKET) -> str:
    return templates.create(bucket, TemplateRequest.of(name, content)).id


def test_a_row_is_read_in_the_order_of_its_columns(database: Database) -> None:
    assert [row["name"] for row in database.rows("PRAGMA table_info(template)")] == list(StoredTemplate._fields)


def test_a_template_is_kept_as_it_came(templates: TemplateStore) -> None:
    asked = TemplateRequest.of("hd", MP4)
    made = templates.create(BUCKET, asked)
    assert re.fullmatch(r"t1[0-9a-f]{32}", made.id)
    assert (made.bucket, made.tag, made.name, made.content) == (BUCKET, "Transcode", "hd", asked)
    assert made.created_at == made.updated_at
    assert templates.find(BUCKET, [made.id]) == {made.id: made}
    assert templates.find("other-1", [made.id]) == {}


def test_it_is_replaced_as_a_whole_and_keeps_its_id_and_birth(database: Database, templates: TemplateStore) -> None:
    made = templates.create(BUCKET, TemplateRequest.of("hd", MP4))
    database.rows("UPDATE template SET created_at = 5, updated_at = 5")
    mkv = Transcode.model_validate({"container": {"format": "mkv"}, "audio": {"codec": "aac"}})
    replaced = templates.replace(BUCKET, made.id, TemplateRequest.of("sd", mkv))
    assert replaced is not None
    assert (replaced.id, replaced.name, replaced.created_at, replaced.content.transcode) == (made.id, "sd", 5, mkv)
    assert replaced.updated_at > 5
    assert templates.replace("other-1", made.id, TemplateRequest.of("sd", mkv)) is None


def test_it_is_deleted_once_and_by_its_own_bucket(templates: TemplateStore) -> None:
    made = create(templates, "hd")
    assert not templates.delete("other-1", made)
    assert templates.delete(BUCKET, made)
    assert not templates.delete(BUCKET, made)
    assert templates.find(BUCKET, [made]) == {}


def test_pages_go_from_the_newest_to_the_oldest(templates: TemplateStore) -> None:
    ids = [create(templates, f"t{number}") for number in range(5)]
    create(templates, "other", bucket="other-1")
    pages = [templates.page(BUCKET, Wanted(), skipped=skipped, limit=2) for skipped in (0, 2, 4, 6)]
    assert [[template.id for template in found] for found, _ in pages] == [
        ids[4:2:-1],
        ids[2:0:-1],
        ids[:1],
        [],
    ]
    assert {total for _, total in pages} == {5}


def test_a_list_is_narrowed_by_tag_prefix_and_ids(templates: TemplateStore) -> None:
    one, two = create(templates, "hd-1"), create(templates, "HD_%")
    mark = create(templates, "hd-mark", MARK)
    cases: list[tuple[Wanted, list[str]]] = [
        (Wanted(), [mark, two, one]),
        (Wanted(tag="Transcode"), [two, one]),
        (Wanted(tag="Watermark"), [mark]),
        (Wanted(tag="Concat"), []),
        (Wanted(prefix="hd"), [mark, one]),
        (Wanted(prefix="hd-1"), [one]),
        (Wanted(prefix="HD_%"), [two]),
        (Wanted(prefix="%"), []),
        (Wanted(ids=(one, "t1none", mark)), [mark, one]),
        (Wanted(ids=()), []),
        (Wanted(tag="Transcode", prefix="hd", ids=(one, two, mark)), [one]),
    ]
    for wanted, expected in cases:
        found, total = templates.page(BUCKET, wanted, skipped=0, limit=10)
        assert ([template.id for template in found], total) == (expected, len(expected)), wanted
