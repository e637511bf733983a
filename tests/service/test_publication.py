"""Where the files of a result go, in which order, and what becomes of those before."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from reconciler.service.bucket import Bucket
from reconciler.service.database import Database
from reconciler.service.index import ObjectIndex
from reconciler.service.publication import MARK, identity_of, longest_segment, publish
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

NAME_OF_A_SEGMENT = re.compile(r"(?:.*/)?[0-9a-f]{16}-[-0-9a-z]+\.(?:ts|m4s)")


def playlist(made: Path, render: str, count: int = 2, *, suffix: str = "m3u8") -> list[str]:
    """Write the segments of a result and a playlist that names them, as a render with this name does."""
    name = hashlib.sha256(render.encode()).hexdigest()[:MARK]
    pieces = [f"{name}-{number:05}.ts" for number in range(count)]
    text = "#EXTM3U\n" + "".join(f"#EXTINF:5,\n{piece}\n" for piece in pieces)
    if suffix == "mpd":
        pieces = [f"{name}-0-init.m4s", *(f"{name}-0-{number:05}.m4s" for number in range(count))]
        text = f'<?xml version="1.0"?><SegmentTemplate media="{name}-$RepresentationID$-$Number%05d$.m4s"/>'
    for piece in pieces:
        (made / piece).write_text(f"piece {render} {piece[MARK:]}")
    (made / f"{name}.{suffix}").write_text(text)
    return [*pieces, f"{name}.{suffix}"]


def segments(folder: Path) -> list[str]:
    """The keys that look like those of segments."""
    return [name for name in objects(folder) if NAME_OF_A_SEGMENT.fullmatch(name)]


def mark_of(found: dict[str, str]) -> str:
    """With what the names of the segments of one result begin."""
    _, *keys = found
    (mark,) = {key.rpartition("/")[2][:MARK] for key in keys}
    return mark


def test_the_playlist_comes_last_and_is_told_first(bucket: Bucket, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = []
    original = Bucket.publish

    async def noted(self: Bucket, key: str, path: Path, **rest: Any) -> Any:
        order.append(key)
        return await original(self, key, path, **rest)

    monkeypatch.setattr(Bucket, "publish", noted)
    found = published(bucket, "out/film.m3u8", made, playlist(made, "new"))
    mark = mark_of(found)
    assert order == [f"out/{mark}-00000.ts", f"out/{mark}-00001.ts", "out/film.m3u8"]
    assert list(found) == ["out/film.m3u8", f"out/{mark}-00000.ts", f"out/{mark}-00001.ts"]
    assert found[f"out/{mark}-00000.ts"] == hashlib.md5(b"piece new -00000.ts").hexdigest()
    assert asyncio.run(bucket.head(f"out/{mark}-00000.ts")).content_type == "video/mp2t"
    assert asyncio.run(bucket.head("out/film.m3u8")).content_type == "application/vnd.apple.mpegurl"


@pytest.mark.parametrize("move", [True, False])
@pytest.mark.parametrize(("suffix", "pieces"), [("m3u8", ["00000.ts", "00001.ts"]), ("mpd", ["$RepresentationID$"])])
def test_the_playlist_names_its_segments_as_they_are_called(
    bucket: Bucket, folder: Path, made: Path, suffix: str, pieces: list[str], move: bool
) -> None:
    names = playlist(made, "new", suffix=suffix)
    found = published(bucket, f"film.{suffix}", made, names, move=move)
    text = (folder / f"film.{suffix}").read_text()
    assert re.findall(r"\b([0-9a-f]{16})-([\w.$]+)", text)[: len(pieces)] == [(mark_of(found), each) for each in pieces]
    assert names[0][:MARK] not in text
    assert found[f"film.{suffix}"] == hashlib.md5(text.encode()).hexdigest()


@pytest.mark.parametrize("key", ["film.m3u8", "out/deep/film.m3u8", "no suffix"])
def test_segments_lie_beside_their_playlist(bucket: Bucket, folder: Path, made: Path, key: str) -> None:
    found = published(bucket, key, made, playlist(made, "new", 1))
    above = key.rpartition("/")[0]
    assert objects(folder) == sorted([key, f"{above}/{mark_of(found)}-00000.ts".removeprefix("/")])


@pytest.mark.parametrize("suffix", ["m3u8", "mpd"])
def test_segments_of_the_result_before_go_and_nobody_elses(
    bucket: Bucket, folder: Path, made: Path, suffix: str
) -> None:
    key = f"out/film.{suffix}"
    old = published(bucket, key, made, playlist(made, "old", 3, suffix=suffix))
    published(bucket, f"out/other.{suffix}", made, playlist(made, "other", 1, suffix=suffix))
    write(folder / "out", mine_ts="a person's own")
    (folder / f"{mark_of(old)}-00000.ts").write_text("elsewhere")
    before = set(objects(folder))
    new = published(bucket, key, made, playlist(made, "new", 2, suffix=suffix))
    after = set(objects(folder))
    assert before - after == old.keys() - {key}
    assert after - before == new.keys() - {key}
    assert len(old) == (5 if suffix == "mpd" else 4)


def test_the_same_result_again_has_the_same_names(bucket: Bucket, folder: Path, made: Path) -> None:
    first = published(bucket, "film.m3u8", made, playlist(made, "new"))
    names = playlist(made, "another render of the same")
    for name, source in zip(names, playlist(made, "new"), strict=True):
        text = (made / source).read_text().replace(source[:MARK], name[:MARK])
        (made / name).write_text(text)
    assert published(bucket, "film.m3u8", made, names) == first
    assert objects(folder) == sorted(first)


def test_other_bytes_overwrite_nothing(
    bucket: Bucket, folder: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another FFmpeg makes other segments of the same job; whoever plays the old ones meanwhile goes on to see them."""
    old = published(bucket, "film.m3u8", made, playlist(made, "new"))
    names = playlist(made, "new")
    (made / names[1]).write_text("other bytes")
    alive: list[str] = []
    original = Bucket.delete

    async def noted(self: Bucket, *keys: str) -> Any:
        alive.extend((folder / key).read_text() for key in sorted(keys))
        return await original(self, *keys)

    monkeypatch.setattr(Bucket, "delete", noted)
    new = published(bucket, "film.m3u8", made, names)
    assert old.keys() & new.keys() == {"film.m3u8"}
    assert alive == ["piece new -00000.ts", "piece new -00001.ts"]
    assert objects(folder) == sorted(new)


def test_a_shorter_result_leaves_no_segment_behind(bucket: Bucket, folder: Path, made: Path) -> None:
    published(bucket, "film.m3u8", made, playlist(made, "new", 3))
    found = published(bucket, "film.m3u8", made, playlist(made, "new", 1))
    assert objects(folder) == [f"{mark_of(found)}-00000.ts", "film.m3u8"]


@pytest.mark.parametrize("suffix", ["m3u8", "mpd"])
def test_one_file_in_the_place_of_a_playlist_removes_its_segments(
    bucket: Bucket, folder: Path, made: Path, suffix: str
) -> None:
    published(bucket, "out/film", made, playlist(made, "old", suffix=suffix))
    assert len(segments(folder)) >= 2
    published(bucket, "out/film", made, write(made, a_mp4="film"))
    assert objects(folder) == ["out/film"]
    assert (folder / "out" / "film").read_text() == "film"


@pytest.mark.parametrize("suffix", ["m3u8", "mpd"])
def test_a_playlist_that_was_copied_owns_no_segments(bucket: Bucket, folder: Path, made: Path, suffix: str) -> None:
    first = published(bucket, "out/film", made, playlist(made, "old", suffix=suffix))
    (folder / "out" / "copy").write_bytes((folder / "out" / "film").read_bytes())
    second = published(bucket, "out/copy", made, playlist(made, "new", suffix=suffix))
    assert objects(folder) == sorted({*first, *second})
    third = published(bucket, "out/copy", made, write(made, a_mp4="film"))
    assert objects(folder) == sorted({*first, *third})


MINE = "0123456789abcdef-mine.ts"


@pytest.mark.parametrize("text", [f"#EXTM3U\n#EXTINF:5,\n{MINE}\n", f"<?xml version='1.0'?><a b='{MINE}'/>", MINE])
def test_what_a_stranger_names_in_a_playlist_of_their_own_stays(
    bucket: Bucket, folder: Path, made: Path, text: str
) -> None:
    (folder / "film").write_text(text)
    (folder / MINE).write_text("not ours to remove")
    published(bucket, "film", made, write(made, a_mp4="film"))
    assert objects(folder) == [MINE, "film"]


def test_a_playlist_of_ours_in_which_a_stranger_names_their_own_keeps_it(
    bucket: Bucket, folder: Path, made: Path
) -> None:
    published(bucket, "film", made, playlist(made, "old", 1))
    with (folder / "film").open("a") as file:
        file.write(f"#EXTINF:5,\n{MINE}\n")
    (folder / MINE).write_text("not ours to remove")
    published(bucket, "film", made, write(made, a_mp4="film"))
    assert objects(folder) == [MINE, "film"]


def test_segments_that_somebody_changed_are_not_ours_any_more(bucket: Bucket, folder: Path, made: Path) -> None:
    old = published(bucket, "film", made, playlist(made, "old", 2))
    changed, kept = sorted(old.keys() - {"film"})
    (folder / changed).write_text("a person's own")
    published(bucket, "film", made, write(made, a_mp4="film"))
    assert objects(folder) == [changed, kept, "film"]


@pytest.mark.parametrize("name", ["-folder/a.ts", "-\x01.ts"], ids=["folder", "no key"])
def test_names_beside_a_playlist_that_no_segment_has_stop_nothing(
    bucket: Bucket, folder: Path, made: Path, name: str
) -> None:
    mark = mark_of(published(bucket, "film", made, playlist(made, "old", 1)))
    strange = folder / f"{mark}{name}"
    strange.parent.mkdir(exist_ok=True)
    strange.write_text("a person's own")
    published(bucket, "film", made, write(made, a_mp4="film"))
    assert (folder / "film").read_text() == "film"
    assert strange.read_text() == "a person's own"


def test_what_is_no_playlist_of_ours_names_nothing(bucket: Bucket, folder: Path, made: Path) -> None:
    (folder / "film.m3u8").write_bytes(b"\xff\xfe ../secret-00000.ts a-00000.ts\n" + b"x" * (5 << 20))
    write(folder, a_ts="stays")
    (folder / "a-00000.ts").write_text("stays")
    found = published(bucket, "film.m3u8", made, playlist(made, "new", 1))
    assert objects(folder) == sorted([*found, "a-00000.ts", "a.ts"])


@pytest.mark.parametrize("move", [True, False])
def test_one_result_under_two_keys_has_two_sets_of_segments(
    bucket: Bucket, folder: Path, made: Path, move: bool
) -> None:
    names = playlist(made, "new")
    found = [
        published(bucket, "film.m3u8", made, names, move=False),
        published(bucket, "again.m3u8", made, names, move=move),
    ]
    assert len({mark_of(each) for each in found}) == 2
    assert objects(folder) == sorted({*found[0], *found[1]})
    assert len(segments(folder)) == 4
    assert [name for name in names[:-1] if (made / name).exists()] == ([] if move else names[:-1])


@pytest.mark.parametrize(
    ("container", "key", "longest"),
    [
        ("mp4", "out/a.mp4", None),
        ("hls", "a", f"{'0' * MARK}-0-0000000000.m4s"),
        ("dash", "out/a.mpd", f"out/{'0' * MARK}-0-0000000000.m4s"),
    ],
)
def test_the_longest_key_of_a_segment(container: str, key: str, longest: str | None) -> None:
    assert longest_segment(job("a", container={"format": container}), key) == longest


def test_a_job_without_transcode_has_no_segments() -> None:
    assert longest_segment(job("a").model_copy(update={"transcode": None}), "x") is None


# --- what is the same ------------------------------------------------------------------------------------------------


def identity(path: Path, **changes: Any) -> str:
    operation = job("a", keep=True, audio={})
    return identity_of(operation.model_copy(update=changes), {"a": path})


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
