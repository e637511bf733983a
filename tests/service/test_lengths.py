"""How long streams are: what headers claim, and what FFmpeg plays of files whose clocks begin, jump or end anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import pytest
from av.container import InputContainer

from reconciler.service import lengths
from reconciler.service.probe import ProbeError, probe
from tests.service.media import Films, run

ENCODERS = {"webm": "libvpx", "mpg": "mpeg2video", "ogv": "libtheora", "wmv": "wmv2", "gif": "gif"}
"""What a container wants where it does not take H.264."""


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Films:
    return Films(tmp_path_factory.mktemp("films"))


@pytest.fixture
def opened() -> Iterator[Callable[[Path], InputContainer]]:
    """Opens files as the format of their suffix, for the time of the test."""
    containers: list[InputContainer] = []

    def open_it(path: Path) -> InputContainer:
        containers.append(av.open(str(path), "r"))
        return containers[-1]

    yield open_it
    for container in containers:
        container.close()


Opened = Callable[[Path], InputContainer]


def film(films: Films, suffix: str, *options: str, **rest: Any) -> Path:
    encoder = ["-c:v", ENCODERS[suffix]] if suffix in ENCODERS else []
    return films.film(suffix=suffix, options=[*encoder, *options], **{"seconds": 1, **rest})


def measured(container: InputContainer, *, whole: bool = False) -> dict[int, float]:
    """The ends of all streams, which must have been found."""
    found = lengths.measured(container, whole=whole)
    assert found is not None
    return found


# --- what headers say ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "believed"),
    [
        *[(suffix, True) for suffix in ("mp4", "mov", "avi", "gif")],
        *[(suffix, False) for suffix in ("mkv", "webm", "flv", "ogv", "wmv", "ts", "mpg")],
    ],
)
def test_tables_are_believed_and_claims_are_not(films: Films, opened: Opened, suffix: str, believed: bool) -> None:
    assert lengths.believed(opened(film(films, suffix))) is believed


@pytest.mark.parametrize("suffix", ["mp4", "ts"])
@pytest.mark.parametrize("offset", [0, 10])
def test_what_is_declared_counts_from_the_start_of_the_file(
    films: Films, opened: Opened, suffix: str, offset: int
) -> None:
    container = opened(film(films, suffix, "-output_ts_offset", str(offset), "-muxdelay", "0"))
    assert lengths.start_of(container) == offset
    assert lengths.declared(container, container.streams.video[0]) == pytest.approx(1)


def test_what_a_matroska_file_declares_is_the_whole_of_it(films: Films, opened: Opened) -> None:
    """What its tags say of single streams is a text like any other."""
    container = opened(film(films, "mkv", "-shortest", tone=500))
    video = container.streams.video[0]
    assert "DURATION" in video.metadata
    assert container.duration
    assert lengths.declared(container, video) == container.duration / 1_000_000


def test_a_live_recording_declares_nothing(films: Films, opened: Opened) -> None:
    container = opened(film(films, "mkv", "-f", "matroska", "-live", "1"))
    assert lengths.declared(container, container.streams.video[0]) is None


# --- what the packets say --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "flv", "ts", "mpg", "gif"])
def test_the_packets_end_where_the_picture_ends(films: Films, opened: Opened, suffix: str) -> None:
    assert measured(opened(film(films, suffix))) == {0: pytest.approx(1)}


@pytest.mark.parametrize("suffix", ["mkv", "ts"])
def test_a_clock_that_begins_at_ten_hours(films: Films, opened: Opened, suffix: str) -> None:
    path = film(films, suffix, "-output_ts_offset", "36000", "-shortest", tone=500)
    assert measured(opened(path)) == {0: pytest.approx(1, abs=0.03), 1: pytest.approx(1, abs=0.03)}


def joined(films: Films, folder: Path, *starts: float, tone: int | None = None) -> Path:
    """Recordings of one second one after the other, each with a clock that begins elsewhere."""
    options = ["-muxdelay", "0", "-shortest"]
    parts = [
        film(films, "ts", "-output_ts_offset", str(start), *options, colour=colour, tone=tone)
        for colour, start in zip(("red", "blue", "green"), starts, strict=False)
    ]
    path = folder / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.mark.parametrize(
    ("starts", "seconds"),
    [
        pytest.param((0, 1), 2, id="on and on"),
        pytest.param((0, 6), 7, id="a short gap stays"),
        pytest.param((0, 12), 2, id="a long one is closed"),
        pytest.param((0, 1000), 2, id="forward"),
        pytest.param((1000, 0), 2, id="back"),
        pytest.param((0, 0, 0), 3, id="again from the beginning"),
        pytest.param((0, 1000, 500), 3, id="to and fro"),
    ],
)
def test_a_clock_that_jumps_is_read_as_ffmpeg_plays_it(
    films: Films, opened: Opened, tmp_path: Path, starts: tuple[float, ...], seconds: float
) -> None:
    recording, played = joined(films, tmp_path, *starts), tmp_path / "played.mp4"
    run("-i", str(recording), "-fps_mode", "vfr", "-c:v", "libx264", "-preset", "ultrafast", str(played))
    found = measured(opened(recording))
    assert found == {0: pytest.approx(seconds, abs=0.001)}
    assert probe(recording).duration == found[0] == pytest.approx(probe(played).duration, abs=0.05)


def test_the_sound_of_a_recording_that_jumps_ends_with_its_picture(
    films: Films, opened: Opened, tmp_path: Path
) -> None:
    found = measured(opened(joined(films, tmp_path, 0, 1000, tone=500)))
    assert found == {0: pytest.approx(2, abs=0.05), 1: pytest.approx(2, abs=0.05)}


def test_only_the_clocks_of_broadcasts_jump(films: Films, opened: Opened, tmp_path: Path) -> None:
    late = tmp_path / "late.mkv"
    delayed = "setpts=PTS+if(gte(N\\,5)\\,20/TB\\,0)"
    run("-i", str(film(films, "mkv")), "-vf", delayed, "-fps_mode", "vfr", "-c:v", "libx264", str(late))
    assert measured(opened(late))[0] == pytest.approx(21, abs=0.05)


def piece(at: float | None, lasts: float = 0.04, *, decoded: float | None = None) -> av.Packet[Any]:
    """One packet that is shown at a time in seconds, or has none."""
    packet: av.Packet[Any] = av.Packet(b"picture")
    packet.time_base = Fraction(1, 1000)
    packet.pts = None if at is None else round(at * 1000)
    packet.dts = packet.pts if decoded is None else round(decoded * 1000)
    packet.duration = round(lasts * 1000)
    return packet


@pytest.mark.parametrize(
    ("pieces", "seconds"),
    [
        pytest.param([piece(5.0)], 0.04, id="one"),
        pytest.param([piece(5.0), piece(5.2)], 0.24, id="two, apart"),
        pytest.param([piece(5.0), piece(None), piece(None)], 0.12, id="times are missing behind the first"),
        pytest.param([piece(5.0), piece(None), piece(5.04)], 0.08, id="and are made up for by the next"),
        pytest.param([piece(5.08, decoded=5.0), piece(5.04, decoded=5.04)], 0.12, id="shown in another order"),
        pytest.param([piece(None, decoded=5.4)], 0.44, id="only when it is decoded is known"),
        pytest.param([piece(5.0), piece(5.04, 0.0)], 0.04, id="no length"),
        pytest.param([piece(5.0), piece(4.0)], 0.08, id="back by a second"),
        pytest.param([piece(5.0), piece(4.98)], 0.04, id="back by less than what counts"),
        pytest.param([piece(5.0), piece(15.0)], 10.04, id="forward by less than what counts"),
        pytest.param([piece(5.0), piece(15.1)], 0.08, id="forward"),
    ],
)
def test_the_end_of_a_broadcast_as_its_packets_come(pieces: list[av.Packet[Any]], seconds: float) -> None:
    end = lengths._End(lengths._Clock(5.0, jumps=True))
    for each in pieces:
        end.add(each)
    assert end.packets == len(pieces)
    assert end.seconds == pytest.approx(seconds)


def test_the_clock_is_the_files() -> None:
    """A step that one stream takes is taken by the others too, which are not asked whether it is a gap for them."""
    clock = lengths._Clock(5.0, jumps=True)
    picture, sound = lengths._End(clock), lengths._End(clock)
    for end, at in ((picture, 5.0), (sound, 5.0), (picture, 105.0), (sound, 105.0), (picture, 105.04), (sound, 105.04)):
        end.add(piece(at))
    assert clock.shift == pytest.approx(-99.96)
    assert [picture.seconds, sound.seconds] == pytest.approx([0.12, 0.12])


def test_a_picture_that_is_shown_once_more_counts() -> None:
    """It has a time but no bytes; what has neither is the end of a file."""
    again, last = av.Packet(b""), av.Packet(b"")
    again.pts = 40
    container = cast("InputContainer", Demuxed([piece(0.0), again, last]))
    assert [packet.pts for packet in lengths._packets(container, [])] == [0, 40]


class Demuxed:
    """A file of these packets."""

    def __init__(self, packets: list[av.Packet[Any]]) -> None:
        self._packets = packets

    def demux(self, *_: object) -> Iterator[av.Packet[Any]]:
        yield from self._packets


def test_a_stream_that_ended_long_before_the_end_is_looked_for(
    films: Films, opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "silent.mkv"
    sound = ["-f", "lavfi", "-i", "sine=d=1"]
    run("-i", str(film(films, "mkv", "-g", "10", seconds=90, rate="5")), *sound, "-c:v", "copy", str(path))
    monkeypatch.setattr(lengths, "_LARGE", 0)
    assert lengths.measured(opened(path)) is None
    assert measured(opened(path), whole=True) == {0: pytest.approx(90), 1: pytest.approx(1, abs=0.1)}
    (heard,) = probe(path).sounds
    assert heard.duration == pytest.approx(1, abs=0.1)


def test_a_stream_without_packets_has_no_end(films: Films, opened: Opened, tmp_path: Path) -> None:
    silent = tmp_path / "silent.mkv"
    nothing = ["-f", "lavfi", "-i", "sine=d=1,atrim=end=0"]
    run("-i", str(film(films, "mkv")), *nothing, "-map", "0", "-map", "1", "-c:v", "copy", str(silent))
    container = opened(silent)
    assert len(container.streams) == 2
    assert measured(container) == {0: pytest.approx(1)}


# --- large files -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long(films: Films) -> Path:
    """A minute and a half of 5 pictures a second, each tenth of which one can go to."""
    return film(films, "mkv", "-g", "10", seconds=90, rate="5")


def test_of_a_large_file_only_the_end_is_read(long: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lengths, "_MOST_PACKETS", 200)
    with pytest.raises(lengths.TooManyPacketsError):
        measured(opened(long))
    monkeypatch.setattr(lengths, "_LARGE", long.stat().st_size)
    assert measured(opened(long)) == {0: pytest.approx(90)}


def test_a_large_file_that_was_cut_off_ends_where_it_ends(
    long: Path, opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torn = tmp_path / "torn.mkv"
    torn.write_bytes(long.read_bytes()[: long.stat().st_size // 3])
    whole = measured(opened(torn))
    monkeypatch.setattr(lengths, "_LARGE", 0)
    assert measured(opened(torn)) == whole
    assert 10 < whole[0] < 40
    assert opened(torn).duration == 90_000_000


@pytest.mark.parametrize("suffix", ["mkv", "ts"])
def test_a_short_or_jumping_file_is_read_whole_however_large_it_is(
    films: Films, opened: Opened, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lengths, "_LARGE", 0)
    monkeypatch.setattr(lengths, "_MOST_PACKETS", 26)
    assert measured(opened(film(films, suffix))) == {0: pytest.approx(1)}
    monkeypatch.setattr(lengths, "_MOST_PACKETS", 24)
    with pytest.raises(lengths.TooManyPacketsError):
        measured(opened(film(films, suffix)))


def test_too_many_packets_are_said(long: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lengths, "_MOST_PACKETS", 200)
    with pytest.raises(ProbeError, match=r"^has too many packets to find its end$"):
        probe(long)
