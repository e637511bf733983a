from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.service import listing
from reconciler.service.index import Stamp
from reconciler.service.listing import Query


def folder(path: Path, *keys: str) -> Path:
    for key in keys:
        (path / key).parent.mkdir(parents=True, exist_ok=True)
        (path / key).write_bytes(b"x")
    return path


def page(path: Path, query: Query) -> listing.Page[Stamp]:
    return listing.page(listing.walk(path, query.prefix, query.marker), query)[0]


def names(page: listing.Page[Stamp]) -> list[str]:
    return [key for key, _ in page.entries]


def test_keys_come_in_the_order_of_their_bytes(tmp_path: Path) -> None:
    keys = ["a/b", "a-b", "a.b", "B", "a", "ä", "a/b.c", "z/y/x", "\U0001f3ac", "\ufb01"]
    keys.remove("a")  # a file and a folder cannot share a name
    folder(tmp_path, *keys)
    assert names(page(tmp_path, Query())) == sorted(keys, key=str.encode)


@pytest.mark.parametrize(
    ("query", "keys", "prefixes"),
    [
        (Query(prefix="in/"), ["in/a", "in/b/c", "in/b/d"], []),
        (Query(prefix="in/b"), ["in/b/c", "in/b/d"], []),
        (Query(prefix="../"), [], []),
        (Query(prefix="/"), [], []),
        (Query(marker="in/b/c"), ["in/b/d", "out/e", "top"], []),
        (Query(marker="in/b"), ["in/b/c", "in/b/d", "out/e", "top"], []),
        (Query(marker="in/b/d", prefix="in/"), [], []),
        (Query(delimiter="/"), ["top"], ["in/", "out/"]),
        (Query(delimiter="/", prefix="in/"), ["in/a"], ["in/b/"]),
        (Query(delimiter="/", marker="in/"), ["top"], ["out/"]),
        (Query(delimiter="/", marker="in/b/c"), ["top"], ["out/"]),
        (Query(delimiter="n"), ["out/e", "top"], ["in"]),
    ],
)
def test_prefix_marker_and_delimiter(tmp_path: Path, query: Query, keys: list[str], prefixes: list[str]) -> None:
    found = page(folder(tmp_path, "in/a", "in/b/c", "in/b/d", "out/e", "top"), query)
    assert (names(found), list(found.prefixes), found.next_marker) == (keys, prefixes, None)


def test_a_full_page_without_more_is_not_cut(tmp_path: Path) -> None:
    folder(tmp_path, "a", "b")
    assert page(tmp_path, Query(max_keys=2)).next_marker is None
    assert page(tmp_path, Query(max_keys=1)).next_marker == "a"


def test_only_regular_files_that_can_be_keys_are_objects(tmp_path: Path) -> None:
    outside = folder(tmp_path / "outside", "secret")
    inside = folder(tmp_path / "bucket", "a", "sub/b", ".reconciler-1.partial", "sub/.reconciler-2.partial", "x\x01y")
    (inside / "file-link").symlink_to(outside / "secret")
    (inside / "folder-link").symlink_to(outside)
    (inside / "loop").symlink_to(inside)
    (inside / "empty").mkdir()
    os.mkfifo(inside / "pipe")
    Path(os.fsdecode(os.fsencode(inside) + b"/not-utf8-\xff")).write_bytes(b"")
    assert names(page(inside, Query())) == ["a", "sub/b"]


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert page(tmp_path / "none", Query()) == listing.Page()


segments = st.text("ab.-é/", min_size=1, max_size=6).filter(
    lambda key: all(part not in ("", ".", "..") for part in key.split("/"))
)


@given(
    keys=st.sets(segments, max_size=8),
    prefix=st.text("ab/", max_size=2),
    delimiter=st.sampled_from(["", "/", "a"]),
    size=st.integers(1, 3),
)
def test_pages_joined_are_the_whole_listing(
    tmp_path_factory: pytest.TempPathFactory, keys: set[str], prefix: str, delimiter: str, size: int
) -> None:
    kept = {key for key in keys if not any(other.startswith(f"{key}/") for other in keys)}
    path = folder(tmp_path_factory.mktemp("bucket"), *kept)
    expected_keys: set[str] = set()
    expected_prefixes: set[str] = set()
    for key in kept:
        if key.startswith(prefix):
            head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            (expected_prefixes if found else expected_keys).add(prefix + head + delimiter if found else key)
    for resumed in (False, True):
        got_keys: list[str] = []
        got_prefixes: list[str] = []
        marker = ""
        rest = listing.walk(path, prefix)
        while True:
            query = Query(prefix, marker, delimiter, size)
            one, rest = listing.page(rest if resumed else listing.walk(path, prefix, marker), query)
            got_keys += names(one)
            got_prefixes += one.prefixes
            assert len(one.entries) + len(one.prefixes) <= size
            if one.next_marker is None:
                break
            marker = one.next_marker
        assert got_keys == sorted(expected_keys, key=str.encode)
        assert got_prefixes == sorted(expected_prefixes, key=str.encode)
