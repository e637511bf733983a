"""Files that were made to harm whoever reads them: they are refused, or harmless, and nothing else happens.

Each is probed and rendered without a sandbox, so that the probe and FFmpeg's argument list have to hold on their own,
and in the sandbox that works here. ``test_sandbox`` has what holds when they do not.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import socket
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from threading import Event
from typing import Any, Final

import pytest
from typing_extensions import override

from reconciler.service import studio
from reconciler.service.probe import MAX_SECONDS, Probe, ProbeError, probe
from reconciler.service.prober import Prober
from reconciler.service.render.failure import RenderFailed
from reconciler.service.rendering import Workshop
from tests.service import media
from tests.service.kinds import EVERY, confined
from tests.service.media import Films, Picture, job, near, pictures, rendered, run

CANARY: Final = "canary-5f1d"
SHORT: Final[dict[str, Any]] = {"time_interval": {"duration": 0.2}}
"""What a job of stills alone has to say."""

RED, BLUE = media.RED, media.BLUE


@cache
def tools(sandbox: str) -> Workshop:
    return studio.workshop({**os.environ, "RECONCILER_SANDBOX": sandbox}, [Path(gettempdir())])


@pytest.fixture(params=["none", "auto"])
def workshop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    found = tools(request.param)
    monkeypatch.setattr(media, "workshop", lambda: found)
    return found


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Films:
    return Films(tmp_path_factory.mktemp("films"))


@dataclass(frozen=True)
class Ground:
    """A folder with the file that nobody may get at, as a film and as a text, and a port that nobody may call."""

    folder: Path
    port: int

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def filled(self, content: str) -> str:
        return content.format(folder=self.folder, port=self.port)


@pytest.fixture
def ground(tmp_path: Path, films: Films) -> Iterator[Ground]:
    folder = tmp_path / "bucket"
    folder.mkdir()
    (folder / "canary.ts").write_bytes(films.film("blue", suffix="ts").read_bytes())
    (folder / "canary.mp4").write_bytes(films.film("blue").read_bytes())
    (folder / "canary.txt").write_text(CANARY)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(server.getsockname())
        server.setblocking(False)
        datagrams.setblocking(False)
        yield Ground(folder, server.getsockname()[1])
        with pytest.raises(BlockingIOError):
            server.accept()
        with pytest.raises(BlockingIOError):
            datagrams.recv(1)


def outcome(
    path: Path, target: Path, codes: Sequence[str] = ("InvalidSource",), **transcode: Any
) -> str | list[Picture]:
    """Render a file: why not, or what is seen. In either case nothing else is left, and nothing is seen of others."""
    before = sorted(path.parent.iterdir())
    failure: RenderFailed | None = None
    try:
        rendered(job(path.name, **transcode), {path.name: path}, target)
    except RenderFailed as error:
        failure = error
    assert sorted(path.parent.iterdir()) == before
    if failure is not None:
        said = str(failure)
        assert (failure.code in codes, CANARY in said, target.exists()) == (True, False, False), said
        return said
    assert CANARY.encode() not in target.read_bytes()
    found = pictures(target)
    assert not any(near(picture.at(x, x), BLUE, 64) for picture in found for x in (20, 64, 100))
    return found


# Texts that name other files.

_HLS = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:1\n{}#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
PLAYLISTS: Final = {
    "an absolute name": _HLS.format("", "{folder}/canary.ts"),
    "a file url": _HLS.format("", "file://{folder}/canary.ts"),
    "a relative name": _HLS.format("", "canary.ts"),
    "http": _HLS.format("", "http://127.0.0.1:{port}/x.ts"),
    "concat": _HLS.format("", "concat:http://127.0.0.1:{port}/x|file://{folder}/canary.txt"),
    "subfile": _HLS.format("", "subfile,,start,0,end,64,,:{folder}/canary.ts"),
    "data": _HLS.format("", "data:text/plain;base64,Y2FuYXJ5LTVmMWQ="),
    "crypto": _HLS.format('#EXT-X-KEY:METHOD=AES-128,URI="file://{folder}/canary.txt"\n', "canary.ts"),
    "a map": _HLS.format('#EXT-X-MAP:URI="{folder}/canary.mp4"\n', "canary.mp4"),
    "a master": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://127.0.0.1:{port}/a.m3u8\n",
}
LISTS: Final = {
    "a relative name": "ffconcat version 1.0\nfile canary.ts\n",
    "an absolute name": "ffconcat version 1.0\nfile '{folder}/canary.ts'\noption safe 0\n",
    "http": "ffconcat version 1.0\nfile http://127.0.0.1:{port}/x.ts\n",
}
_MPD = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S">'
    '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1" codecs="avc1">'
    "<BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>"
)
TEXTS: Final = {
    "film.mpd": _MPD.format("file://{folder}/canary.mp4"),
    "remote.mpd": _MPD.format("http://127.0.0.1:{port}/x.mp4"),
    "film.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n",
    "film.ass": "[Script Info]\nScriptType: v4.00+\n[Fonts]\nfontname: {folder}/canary.txt\n[Events]\n"
    "Dialogue: 0,0:00:00.00,0:00:05.00,x,,0,0,0,,{folder}/canary.txt\n",
    "film.srt": "1\n00:00:00,000 --> 00:00:05,000\n<img src='file://{folder}/canary.txt'>\n",
    "film.avs": 'DirectShowSource("{folder}/canary.ts")\n',
    "film.vpy": "import os\nos.system('touch {folder}/made')\n",
    "film.xml": '<!DOCTYPE x [<!ENTITY e SYSTEM "file://{folder}/canary.txt">]><x>&e;</x>',
    "film.svg": '<svg xmlns="http://www.w3.org/2000/svg"><image href="file://{folder}/canary.txt"/></svg>',
    "film.cue": 'FILE "{folder}/canary.ts" BINARY\n',
    "film.url": "[InternetShortcut]\nURL=http://127.0.0.1:{port}/\n",
    "film.asx": '<asx version="3.0"><entry><ref href="http://127.0.0.1:{port}/"/></entry></asx>',
    "film.ram": "rtsp://127.0.0.1:{port}/x\n",
    "film.ffmeta": ";FFMETADATA1\ntitle={folder}/canary.txt\n",
}


def refused(path: Path, target: Path) -> None:
    said = outcome(path, target)
    assert isinstance(said, str)
    assert re.match(rf"{re.escape(path.name)} (is not in a format|is not a video|has neither|has no)", said), said


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("name", ["film.mp4", "film.m3u8", "film.ts"])
def test_playlists(ground: Ground, tmp_path: Path, workshop: Workshop, kind: str, name: str) -> None:
    refused(ground.write(name, ground.filled(PLAYLISTS[kind])), tmp_path / "made.mp4")


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("name", ["film.mp4", "film.ffconcat"])
def test_lists(ground: Ground, tmp_path: Path, workshop: Workshop, kind: str, name: str) -> None:
    refused(ground.write(name, ground.filled(LISTS[kind])), tmp_path / "made.mp4")


@pytest.mark.parametrize("name", TEXTS)
def test_other_texts(ground: Ground, tmp_path: Path, workshop: Workshop, name: str) -> None:
    refused(ground.write(name, ground.filled(TEXTS[name])), tmp_path / "made.mp4")


class Fooled(Prober):
    """A prober that takes every file for the film that it was shown."""

    shown: Probe

    @override
    def probe(self, path: Path, *, timeout: float = 30.0, given_up: Event | None = None) -> Probe:
        return self.shown


@pytest.mark.parametrize("suffix", ["mp4", "ts", "mkv"])
def test_the_argument_list_holds_when_the_probe_was_fooled(
    ground: Ground, tmp_path: Path, films: Films, workshop: Workshop, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fooled = Fooled([], workshop.sandbox)
    fooled.shown = probe(films.film("red", suffix=suffix))
    monkeypatch.setattr(media, "workshop", lambda: replace(workshop, prober=fooled))
    texts = [*PLAYLISTS.values(), *LISTS.values(), *TEXTS.values()]
    for number, text in enumerate(texts[:: 3 if suffix == "mp4" else 9]):
        path = ground.write(f"{number}.mp4", ground.filled(text))
        assert isinstance(outcome(path, tmp_path / f"made{number}.mp4"), str)


# References inside real films.


def referring(film: bytes, name: str) -> bytes:
    """Replace a film's statement that its samples are its own by one that they are in another file."""
    path = name.encode()
    base = path.rpartition(b"/")[2]
    record = b"".join([
        bytes(10), b"\x04disk".ljust(28, b"\0"), bytes(12), bytes([len(base)]), base.ljust(63, b"\0"), bytes(16),
        struct.pack(">HH", 1, 1), bytes(16),
        struct.pack(">HH", 2, len(path)), path, bytes(len(path) % 2), struct.pack(">HH", 0xFFFF, 0),
    ])  # fmt: skip
    entry = struct.pack(">I4sI", 12 + len(record), b"alis", 0) + record
    return _within(film, (b"moov", b"trak", b"mdia", b"minf", b"dinf"), struct.pack(">I4sII", 16 + len(entry), b"dref", 0, 1) + entry)  # fmt: skip


def _within(boxes: bytes, path: Sequence[bytes], content: bytes) -> bytes:
    """Replace the content of the first box of a path; the sizes of the boxes around it follow."""
    made, position, done = b"", 0, False
    while position < len(boxes):
        size, kind = struct.unpack_from(">I4s", boxes, position)
        body = boxes[position + 8 : position + size]
        if kind == path[0] and not done:
            body, done = (_within(body, path[1:], content) if path[1:] else content), True
        made += struct.pack(">I4s", 8 + len(body), kind) + body
        position += size
    assert done
    return made


def test_a_reference_to_another_file_is_not_followed(
    ground: Ground, tmp_path: Path, films: Films, workshop: Workshop
) -> None:
    for number, name in enumerate(("{folder}/canary.mp4", "canary.mp4", "http://127.0.0.1:{port}/x", "{folder}/canary.txt")):  # fmt: skip
        film = referring(films.film("red").read_bytes(), ground.filled(name))
        found = outcome(ground.write(f"{number}.mov", film), tmp_path / f"made{number}.mp4")
        assert isinstance(found, str) or near(found[0].at(64, 64), RED)


def test_the_reference_would_be_followed_if_it_were_allowed(ground: Ground, tmp_path: Path, films: Films) -> None:
    """The other test is worth nothing if the file is not what it should be."""
    film = ground.write("film.mov", referring(films.film("red").read_bytes(), f"{ground.folder}/canary.mp4"))
    run("-enable_drefs", "1", "-use_absolute_path", "1", "-i", str(film), str(tmp_path / "made.mp4"))
    assert near(pictures(tmp_path / "made.mp4")[0].at(64, 64), BLUE)


def test_attachments_stay_where_they_are(ground: Ground, tmp_path: Path, films: Films, workshop: Workshop) -> None:
    path, other = ground.folder / "film.mkv", str(ground.folder / "canary.txt")
    attached = ["-attach", other, "-metadata:s:t:0", "mimetype=application/x-truetype-font"]
    named = ["-metadata:s:t:0", "filename=../../planted.ttf"]
    run("-i", str(films.film("red")), "-c", "copy", *attached, *named, str(path))
    found = outcome(path, tmp_path / "made.mp4")
    assert near(found[0].at(64, 64), RED)  # type: ignore[union-attr]
    assert not list(tmp_path.rglob("planted*"))


@pytest.mark.parametrize(
    "name", ["-i", "-y.mp4", "a:b.mp4", "%03d.mp4", "http:x.mp4", "concat:a|b.mp4", "pipe:0", "a'b\"c;d[e],f=g.mp4", "*.mp4", "a b\\c.mp4", "ü€.mp4"],
)  # fmt: skip
def test_names_are_names(ground: Ground, tmp_path: Path, films: Films, workshop: Workshop, name: str) -> None:
    found = outcome(ground.write(name, films.film("red").read_bytes()), tmp_path / "made.mp4")
    assert near(found[0].at(64, 64), RED)  # type: ignore[union-attr]


def test_a_still_with_the_name_of_a_pattern_is_one_still(ground: Ground, tmp_path: Path, workshop: Workshop) -> None:
    ground.write("001.png", png(64, 64, bytes(64 * 65)))
    white = ground.write("%03d.png", png(64, 64, (b"\0" + b"\xff" * 64) * 64))
    found = outcome(white, tmp_path / "made.mp4", **SHORT)
    assert near(found[0].at(32, 32), media.WHITE)  # type: ignore[union-attr]


# Sizes.


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, rows: bytes, *more: bytes) -> bytes:
    """A grey picture of 8 bits."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"".join([b"\x89PNG\r\n\x1a\n", header, *more, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")])


def apng(frames: int, size: int) -> bytes:
    """A picture that moves, each frame of which is shown for half a minute."""
    control = struct.pack(">IIIIHHBB", size, size, 0, 0, 30, 1, 0, 0)
    rows = zlib.compress(bytes(size * (size + 1)))
    first = [chunk(b"acTL", struct.pack(">II", frames, 0)), chunk(b"fcTL", struct.pack(">I", 0) + control)]
    rest = b"".join(
        chunk(b"fcTL", struct.pack(">I", 2 * n - 1) + control) + chunk(b"fdAT", struct.pack(">I", 2 * n) + rows)
        for n in range(1, frames)
    )
    made = png(size, size, bytes(size * (size + 1)), *first)
    return made[:-12] + rest + made[-12:]


def gif(width: int, height: int, frames: int = 1, delay: int = 0) -> bytes:
    """``delay`` is in hundredths of a second."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(3) + b"\xff\xff\xff"
    frame = b"\x21\xf9\x04\x00" + struct.pack("<H", delay) + b"\0\0" + b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0)
    return head + (frame + b"\x02\x02\x44\x01\x00") * frames + b"\x3b"


def bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IIIIiiHHIIiiII", 1000, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(946)


def webp(width: int, height: int) -> bytes:
    lossless = struct.pack("<BI", 0x2F, (width - 1) | (height - 1) << 14) + bytes(200)
    inner = b"WEBPVP8L" + struct.pack("<I", len(lossless)) + lossless + bytes(len(lossless) % 2)
    return b"RIFF" + struct.pack("<I", len(inner)) + inner


def tiff(width: int, height: int) -> bytes:
    tags = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 200), (277, 1), (278, height), (279, 1 << 30)]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(400)


def jpeg(width: int, height: int) -> bytes:
    frame = struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\x00"
    table = b"\xff\xdb" + struct.pack(">H", 67) + b"\0" + b"\x01" * 64
    return b"\xff\xd8" + table + b"\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame + bytes(200) + b"\xff\xd9"


HUGE: Final = {
    "film.png": lambda: png(20_000, 20_000, bytes(1000)),
    "most.png": lambda: png(0x7FFFFFFF, 0x7FFFFFFF, bytes(1000)),
    "flat.png": lambda: png(1, 0x7FFFFFFF, bytes(1000)),
    "film.apng": lambda: apng(3, 16).replace(struct.pack(">II", 16, 16), struct.pack(">II", 30_000, 30_000)),
    "film.gif": lambda: gif(65535, 65535),
    "film.bmp": lambda: bmp(60_000, 60_000),
    "most.bmp": lambda: bmp(0x7FFFFFFF, -0x7FFFFFFF),
    "film.webp": lambda: webp(16384, 16384),
    "film.tiff": lambda: tiff(100_000, 100_000),
    "film.jpg": lambda: jpeg(65535, 65535),
}


@pytest.mark.parametrize("name", HUGE)
def test_pictures_that_declare_a_huge_size(ground: Ground, tmp_path: Path, workshop: Workshop, name: str) -> None:
    assert isinstance(outcome(ground.write(name, HUGE[name]()), tmp_path / "made.mp4"), str)


def test_a_real_bomb_is_not_unpacked(ground: Ground, tmp_path: Path, workshop: Workshop) -> None:
    path = ground.write("bomb.png", png(14_000, 14_000, bytes(14_000 * 14_001)))
    assert path.stat().st_size < 200_000
    said = outcome(path, tmp_path / "made.mp4")
    assert said == "bomb.png declares pictures of 14000×14000, more than is decoded"


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP", b"IDAT"])
def test_a_bomb_beside_the_picture_is_harmless(ground: Ground, tmp_path: Path, workshop: Workshop, kind: bytes) -> None:
    """A small picture, one piece of which unpacks to 100 MB."""
    heads = {b"zTXt": b"a\0\0", b"iTXt": b"a\0\1\0\0\0", b"iCCP": b"a\0\0", b"IDAT": b""}
    bomb = chunk(kind, heads[kind] + zlib.compress(bytes(100_000_000), 9))
    found = outcome(
        ground.write("film.png", png(64, 64, (b"\0" + b"\xff" * 64) * 64, bomb)), tmp_path / "made.mp4", **SHORT
    )
    seen = media.BLACK if kind == b"IDAT" else media.WHITE
    assert isinstance(found, str) or near(found[0].at(32, 32), seen)


def test_moving_pictures_of_thousands_of_frames(ground: Ground, tmp_path: Path, workshop: Workshop) -> None:
    said = outcome(ground.write("long.gif", gif(1, 1, 4000, 65535)), tmp_path / "made.mp4")
    assert isinstance(said, str)
    assert "declares a length of" in said
    said = outcome(ground.write("long.apng", apng(4000, 1)), tmp_path / "made2.mp4")
    assert isinstance(said, str)
    assert "declares a length of" in said


# Lengths.


def patched(film: bytes, kind: bytes, offset: int, value: bytes) -> bytes:
    """Overwrite a field of every box of a kind; ``offset`` counts from the kind."""
    for match in re.finditer(re.escape(kind), film):
        film = film[: match.start() + offset] + value + film[match.start() + offset + len(value) :]
    return film


def endless(film: bytes) -> bytes:
    """A film that declares 10⁹ frames and 10⁹ seconds."""
    film = patched(film, b"mvhd", 20, struct.pack(">I", 0xFFFFFFF0))
    film = patched(film, b"tkhd", 24, struct.pack(">I", 0xFFFFFFF0))
    film = patched(film, b"mdhd", 20, struct.pack(">I", 0xFFFFFFF0))
    return patched(film, b"stts", 12, struct.pack(">II", 1_000_000_000, 0x10000))


LONG: Final[dict[str, Callable[[bytes], bytes]]] = {
    "duration": endless,
    "time scale": lambda film: patched(endless(film), b"mdhd", 16, struct.pack(">I", 1)),
    "sizes": lambda film: patched(film, b"stsz", 8, struct.pack(">II", 1, 1_000_000_000)),
    "chunks": lambda film: patched(film, b"stsc", 8, struct.pack(">III", 1, 1, 1_000_000_000)),
    "offsets": lambda film: patched(film, b"stco", 8, struct.pack(">I", 0xFFFFFFFF)),
    "composition": lambda film: patched(film, b"ctts", 8, struct.pack(">I", 0xFFFFFFFF)),
    "edits": lambda film: patched(film, b"elst", 12, struct.pack(">II", 0xFFFFFFFF, 0)),
    "start": lambda film: patched(film, b"elst", 16, struct.pack(">I", 0x7FFFFFFF)),
    "boxes": lambda film: patched(film, b"moov", -4, struct.pack(">I", 0xFFFFFFFF)),
    "rate": lambda film: patched(film, b"stts", 16, struct.pack(">I", 1)),
    "no time": lambda film: patched(film, b"mdhd", 16, struct.pack(">I", 0)),
    "dimensions": lambda film: patched(film, b"avc1", 28, struct.pack(">HH", 65535, 65535)),
    "shown size": lambda film: patched(film, b"tkhd", 80, struct.pack(">II", 0xFFFF0000, 0xFFFF0000)),
    "matrix": lambda film: patched(film, b"tkhd", 44, bytes([0x7F, 0xFF, 0xFF, 0xFF]) * 9),
}


@pytest.mark.parametrize("kind", LONG)
def test_films_that_declare_what_they_do_not_have(
    ground: Ground, tmp_path: Path, films: Films, workshop: Workshop, kind: str
) -> None:
    film = ground.write("film.mp4", LONG[kind](films.film("red").read_bytes()))
    found = outcome(film, tmp_path / "made.mp4", ("InvalidSource", "InternalError"))
    assert isinstance(found, str) or len(found) < 1000


def test_time_stamps_a_day_apart(ground: Ground, tmp_path: Path, films: Films, workshop: Workshop) -> None:
    early, late = ground.folder / "early.ts", ground.folder / "late.ts"
    run("-i", str(films.film("red")), "-c", "copy", "-muxdelay", "0", str(early))
    run("-i", str(films.film("red")), "-c", "copy", "-output_ts_offset", "90000", str(late))
    said = outcome(ground.write("film.ts", early.read_bytes() + late.read_bytes()), tmp_path / "made.mp4")
    assert isinstance(said, str)
    assert "film.ts" in said


def test_a_sound_of_four_gigabytes(ground: Ground, workshop: Workshop) -> None:
    form = struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8)
    head = b"RIFF" + struct.pack("<I", 0xFFFFFFFF) + b"WAVEfmt " + struct.pack("<I", 16) + form
    path = ground.write("sound.wav", head + b"data" + struct.pack("<I", 0xFFFFFFFE) + b"\x80" * 8000)
    assert workshop.prober.probe(path).duration < 2


def test_a_matroska_file_that_declares_ages(ground: Ground, tmp_path: Path, films: Films, workshop: Workshop) -> None:
    path = ground.folder / "film.mkv"
    run("-i", str(films.film("red")), "-c", "copy", str(path))
    film = path.read_bytes()
    place = film.index(b"\x44\x89\x88") + 3  # Duration, eight bytes
    said = outcome(ground.write("film.mkv", film[:place] + struct.pack(">d", 1e18) + film[place + 8 :].replace(b"00:00:00.4", b"99:99:99.4")), tmp_path / "made.mp4")  # fmt: skip
    assert len(said) == 10  # nobody believes it


# Damage.


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "flv", "avi"])
def test_damage_is_told_and_does_no_harm(ground: Ground, films: Films, suffix: str) -> None:
    """Bytes are changed at random, in the headers above all; the same ones every time."""
    chance = random.Random(suffix)
    film = films.film("red", suffix=suffix).read_bytes()
    prober = tools("auto").prober
    prober.media_info(films.film("red", suffix=suffix))
    helpers = list(prober._idle)
    for number in range(40):
        damaged = bytearray(film)
        for _ in range(chance.randint(1, 12)):
            place = chance.randrange(len(film)) if number % 2 else chance.randrange(min(len(film), 1500))
            damaged[place if number % 3 else -place - 1] = chance.randrange(256)
        path = ground.write(
            f"{number}.{suffix}", bytes(damaged[: chance.randrange(len(film)) if number % 5 == 0 else None])
        )
        with contextlib.suppress(ProbeError):
            assert 0 <= prober.probe(path, timeout=60).duration <= MAX_SECONDS
    assert prober._idle == helpers, "a decoder crashed"


def test_what_is_harmless_is_the_same_in_every_sandbox(
    tmp_path: Path, films: Films, monkeypatch: pytest.MonkeyPatch
) -> None:
    film, made = films.film("red", tone=440), set()
    for kind in EVERY:
        confined(kind)
        found = tools(kind)
        monkeypatch.setattr(media, "workshop", lambda found=found: found)
        target = tmp_path / f"{kind}.mp4"
        rendered(job("film.mp4", keep=True, audio={}), {"film.mp4": film}, target)
        made.add(target.read_bytes())
    assert len(made) == 1
