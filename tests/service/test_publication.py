"""Where the files of a result go, in which order, and what becomes of those before."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from reconciler.service.bucket import Bucket
from reconciler.service.database import Database
from reconciler.service.index import ObjectIndex
from reconciler.service.publication import identity_of, is_segmented, publish
from reconciler.service.refused import RefusedError
from tests.service.media import job

NAME = "demo-1250000000"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / NAME
    path.mkdir()
    return path


@pytest.fixture
def bucket(folder: Path) -> Iterator[Bucket]:
    database = Database.in_memory()
    yield Bucket(NAME, folder, ObjectIndex(database))
    database.close()


@pytest.fixture
def made(tmp_path: Path) -> Path:
    path = tmp_path / "made"
    path.mkdir()
    return path


def objects(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def write(folder: Path, **contents: str) -> list[str]:
    """Write files; return their names in order. Underscores stand for points."""
    names = [name.replace("_", ".") for name in contents]
    for name, content in zip(names, contents.values(), strict=True):
        (folder / name).write_text(content)
    return names


def published(bucket: Bucket, key: str, made: Path, names: Sequence[str], *, move: bool = True) -> dict[str, str]:
    """Publish from a folder beside the key, as a worker does; what was not moved comes back."""
    with bucket.partial_folder(key, "j1") as folder:
        for name in names:
            (made / name).rename(folder / name)
        digests = asyncio.run(publish(bucket, key, folder, names, token="j1", move=move))
        for path in list(folder.iterdir()):
            path.rename(made / path.name)
    return digests


# --- one file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("move", [True, False])
def test_one_file_comes_under_its_key_with_its_type(bucket: Bucket, folder: Path, made: Path, move: bool) -> None:
    found = published(bucket, "out/x", made, write(made, a_mp4="film"), move=move)
    assert found == {"out/x": hashlib.md5(b"film").hexdigest()}
    assert objects(folder) == ["out/x"]
    assert (folder / "out" / "x").read_bytes() == b"film"
    assert asyncio.run(bucket.head("out/x")).content_type == "video/mp4"
    assert (made / "a.mp4").exists() == (not move)


@pytest.mark.parametrize(
    ("suffix", "content_type"),
    [
        ("mkv", "video/x-matroska"),
        ("mov", "video/quicktime"),
        ("avi", "video/x-msvideo"),
        ("flv", "video/x-flv"),
        ("ts", "video/mp2t"),
        ("webm", "video/webm"),
        ("m3u8", "application/vnd.apple.mpegurl"),
        ("mpd", "application/dash+xml"),
    ],
)
def test_the_type_is_that_of_the_file_not_of_the_key(
    bucket: Bucket, made: Path, suffix: str, content_type: str
) -> None:
    published(bucket, "x.mp4", made, write(made, **{f"a_{suffix}": "film"}))
    assert asyncio.run(bucket.head("x.mp4")).content_type == content_type


def test_a_copy_shares_nothing_with_what_it_was_copied_from(bucket: Bucket, folder: Path, made: Path) -> None:
    names = write(made, a_mp4="film")
    for key in ("x", "y"):
        published(bucket, key, made, names, move=False)
    (made / "a.mp4").write_text("something else")
    assert [(folder / key).read_text() for key in ("x", "y")] == ["film", "film"]


def test_a_folder_in_the_place_of_the_key_is_refused_and_leaves_nothing(
    bucket: Bucket, folder: Path, made: Path
) -> None:
    write(folder, x="an object")
    names = write(made, a_mp4="film")
    for move in (False, True):
        with pytest.raises(RefusedError) as caught:
            asyncio.run(publish(bucket, "x/y", made, names, token="j1", move=move))
        assert caught.value.code == "PathConflict"
    assert objects(folder) == ["x"]


# --- a playlist ------------------------------------------------------------------------------------------------------

OLD, NEW, OTHER = "0" * 16, "1" * 16, "2" * 16


def playlist(made: Path, mark: str, count: int = 2, *, suffix: str = "m3u8") -> list[str]:
    """Write the segments of a result and a playlist that names them."""
    pieces = [f"{mark}-{number:05}.ts" for number in range(count)]
    for piece in pieces:
        (made / piece).write_text(f"piece {piece}")
    text = "".join(f"#EXTINF:5,\n{piece}\n" for piece in pieces)
    if suffix == "mpd":
        pieces = [f"{mark}-0-init.m4s", *(f"{mark}-0-{number:05}.m4s" for number in range(count))]
        for piece in pieces:
            (made / piece).write_text(f"piece {piece}")
        text = f'<SegmentTemplate media="{mark}-$RepresentationID$-$Number%05d$.m4s"/>'
    (made / f"{mark}.{suffix}").write_text(text)
    return [*pieces, f"{mark}.{suffix}"]


def test_the_playlist_comes_last_and_is_told_first(bucket: Bucket, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = []
    original = Bucket.publish

    async def noted(self: Bucket, key: str, path: Path, **rest: Any) -> Any:
        order.append(key)
        return await original(self, key, path, **rest)

    monkeypatch.setattr(Bucket, "publish", noted)
    found = published(bucket, "out/film.m3u8", made, playlist(made, NEW))
    assert order == [f"out/{NEW}-00000.ts", f"out/{NEW}-00001.ts", "out/film.m3u8"]
    assert list(found) == ["out/film.m3u8", f"out/{NEW}-00000.ts", f"out/{NEW}-00001.ts"]
    assert found[f"out/{NEW}-00000.ts"] == hashlib.md5(f"piece {NEW}-00000.ts".encode()).hexdigest()
    assert asyncio.run(bucket.head(f"out/{NEW}-00000.ts")).content_type == "video/mp2t"


@pytest.mark.parametrize("key", ["film.m3u8", "out/deep/film.m3u8", "no suffix"])
def test_segments_lie_beside_their_playlist(bucket: Bucket, folder: Path, made: Path, key: str) -> None:
    published(bucket, key, made, playlist(made, NEW, 1))
    above = key.rpartition("/")[0]
    assert objects(folder) == sorted([key, f"{above}/{NEW}-00000.ts".removeprefix("/")])


@pytest.mark.parametrize("suffix", ["m3u8", "mpd"])
def test_segments_of_the_result_before_go_and_nobody_elses(
    bucket: Bucket, folder: Path, made: Path, suffix: str
) -> None:
    key = f"out/film.{suffix}"
    published(bucket, key, made, playlist(made, OLD, 3, suffix=suffix))
    published(bucket, f"out/other.{suffix}", made, playlist(made, OTHER, 1, suffix=suffix))
    write(folder / "out", mine_ts="a person's own")
    (folder / "out" / f"{OLD}-notes.txt").write_text("a person's own, with such a name")
    (folder / f"{OLD}-00000.ts").write_text("elsewhere")
    before = set(objects(folder))
    published(bucket, key, made, playlist(made, NEW, 2, suffix=suffix))
    after = set(objects(folder))
    gone, come = before - after, after - before
    assert gone == {name for name in before if name.startswith(f"out/{OLD}-") and not name.endswith(".txt")}
    assert len(gone) == (4 if suffix == "mpd" else 3)
    assert all(name.startswith(f"out/{NEW}-") for name in come)


def test_the_same_result_again_keeps_its_segments(bucket: Bucket, folder: Path, made: Path) -> None:
    for _ in range(2):
        published(bucket, "film.m3u8", made, playlist(made, NEW))
        assert objects(folder) == [f"{NEW}-00000.ts", f"{NEW}-00001.ts", "film.m3u8"]


def test_a_shorter_result_with_the_same_name_leaves_no_segment_behind(bucket: Bucket, folder: Path, made: Path) -> None:
    published(bucket, "film.m3u8", made, playlist(made, NEW, 3))
    published(bucket, "film.m3u8", made, playlist(made, NEW, 1))
    assert objects(folder) == [f"{NEW}-00000.ts", "film.m3u8"]


def test_one_file_in_the_place_of_a_playlist_leaves_the_rest_alone(bucket: Bucket, folder: Path, made: Path) -> None:
    (folder / "film").write_text(f"{OLD}-00000.ts")
    (folder / f"{OLD}-00000.ts").write_text("not ours to remove")
    published(bucket, "film", made, write(made, a_mp4="film"))
    assert objects(folder) == [f"{OLD}-00000.ts", "film"]


def test_what_is_no_playlist_of_ours_names_nothing(bucket: Bucket, folder: Path, made: Path) -> None:
    (folder / "film.m3u8").write_bytes(b"\xff\xfe ../secret-00000.ts a-00000.ts\n" + b"x" * (5 << 20))
    write(folder, a_ts="stays")
    (folder / "a-00000.ts").write_text("stays")
    published(bucket, "film.m3u8", made, playlist(made, NEW, 1))
    assert objects(folder) == [f"{NEW}-00000.ts", "a-00000.ts", "a.ts", "film.m3u8"]


def test_segments_that_are_shared_are_copied(bucket: Bucket, folder: Path, made: Path) -> None:
    names = playlist(made, NEW)
    published(bucket, "x/film.m3u8", made, names, move=False)
    published(bucket, "y/film.m3u8", made, names)
    assert len(objects(folder)) == 6
    assert list(made.iterdir()) == []


# --- what is the same ------------------------------------------------------------------------------------------------


def identity(path: Path, *rest: str, **changes: Any) -> str:
    operation = job("a", keep=True, audio={})
    return identity_of(operation.model_copy(update=changes), {"a": path}, *rest)


def test_the_same_job_on_the_same_files_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1")
    first = identity(path)
    assert len(bytes.fromhex(first)) == 32
    assert identity(path) == first
    for change in (
        {"user_data": "x"},
        {"job_level": 2},
        {"output": job("a").output.model_copy(update={"object": "y"})},
    ):
        assert identity(path, **change) == first, change


def test_what_decides_a_render_tells_jobs_apart(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"1")
    other.write_bytes(b"1")
    seen = [
        identity(path),
        identity(other),
        identity(path, "key"),
        identity(path, "other key"),
        identity(path, transcode=job("a", video={"crf": 20}).transcode),
        identity(path, video_synthesis=job("a").video_synthesis),
    ]
    path.write_bytes(b"22")
    seen.append(identity(path))
    path.unlink()
    path.write_bytes(b"22")
    seen.append(identity(path))
    assert len(set(seen)) == len(seen)


def test_a_source_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="there is no object `a` any more") as caught:
        identity(tmp_path / "none")
    assert caught.value.code == "NoSuchKey"


@pytest.mark.parametrize(("container", "segmented"), [("hls", True), ("DASH", True), ("mp4", False), ("ts", False)])
def test_which_results_have_segments(container: str, segmented: bool) -> None:
    assert is_segmented(job("a", container={"format": container})) == segmented
    assert not is_segmented(job("a").model_copy(update={"transcode": None}))
