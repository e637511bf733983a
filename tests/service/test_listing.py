from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.service import keys, listing
from reconciler.service.index import Stamp
from reconciler.service.listing import Query


def folder(path: Path, *keys: str) -> Path:
    for key in keys:
        (path / key).parent.mkdir(parents=True, exist_ok=True)
        (path / key).write_bytes(b"x")
    return path


def page(path: Path, query: Query) -> listing.Page[str]:
    return listing.page(listing.walk(path, query.prefix, query.marker), query)


def names(page: listing.Page[str]) -> list[str]:
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


def test_the_state_of_what_was_found_is_that_of_now(tmp_path: Path) -> None:
    folder(tmp_path, "changed", "gone", "in/a", "kept", "replaced")
    found = page(tmp_path, Query()).entries
    (tmp_path / "changed").write_bytes(b"longer")
    (tmp_path / "gone").unlink()
    (tmp_path / "in" / "a").unlink()
    (tmp_path / "in").rmdir()
    (tmp_path / "in").write_bytes(b"a file now")
    (tmp_path / "replaced").unlink()
    (tmp_path / "replaced").symlink_to(tmp_path / "kept")
    assert listing.stamped(found) == [(key, Stamp.of((tmp_path / key).stat())) for key in ("changed", "kept")]


def test_a_key_that_is_too_long_is_left_out_wherever_it_lies(tmp_path: Path) -> None:
    deep = "/".join(["d" * 200] * 4)
    folder(tmp_path, f"{deep}/fits", f"{deep}/{'x' * 100}", f"{deep}/{'é' * 30}", "a")
    assert names(page(tmp_path, Query())) == ["a", f"{deep}/fits"]


def test_what_was_read_too_far_comes_first_on_the_next_page() -> None:
    found = listing.Found((key, number) for number, key in enumerate("abcde"))
    assert found.take(2) == (("a", 0), ("b", 1))
    assert not found.is_over
    assert next(found) == ("c", 2)
    found.put_back(("c", 2))
    assert not found.is_over
    assert found.take(1) == (("c", 2),)
    assert found.take(9) == (("d", 3), ("e", 4))
    assert found.is_over


trees = st.recursive(
    st.sampled_from(["file", "link", "pipe"]),
    lambda entries: st.dictionaries(
        st.text("aé.-\x01\ud800\U0001f3ac", min_size=1, max_size=4).filter(lambda name: name not in (".", "..")),
        entries,
        max_size=4,
    ),
    max_leaves=12,
)


def make(path: Path, tree: object) -> None:
    if isinstance(tree, dict):
        path.mkdir()
        for name, entry in tree.items():
            make(path / os.fsdecode(name.encode(errors="surrogatepass")), entry)
    elif tree == "file":
        path.write_bytes(path.name.encode(errors="surrogateescape"))
    elif tree == "link":
        path.symlink_to(".")
    else:
        os.mkfifo(path)


@given(tree=trees, prefix=st.text("aé./", max_size=2), marker=st.text("aé./", max_size=3))
def test_a_walk_finds_what_a_plain_one_finds(
    tmp_path_factory: pytest.TempPathFactory, tree: object, prefix: str, marker: str
) -> None:
    path = tmp_path_factory.mktemp("tree") / "bucket"
    make(path, tree)
    plain = []
    for parent, _, files in os.walk(path):
        for file in (Path(parent, name) for name in files):
            key = file.relative_to(path).as_posix()
            if file.is_file() and not file.is_symlink() and keys.is_key(key):
                plain.append((key, Stamp.of(file.lstat())))
    expected = sorted((entry for entry in plain if entry[0].startswith(prefix) and entry[0] > marker), key=order)
    assert listing.stamped(listing.walk(path, prefix, marker)) == expected


def order(entry: tuple[str, Stamp]) -> bytes:
    return entry[0].encode()


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
            one = listing.page(rest if resumed else listing.walk(path, prefix, marker), query)
            got_keys += names(one)
            got_prefixes += one.prefixes
            assert len(one.entries) + len(one.prefixes) <= size
            if one.next_marker is None:
                break
            marker = one.next_marker
        assert got_keys == sorted(expected_keys, key=str.encode)
        assert got_prefixes == sorted(expected_prefixes, key=str.encode)
