"""What files are, read from real files that FFmpeg made."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from reconciler.service import probe as module
from reconciler.service.probe import MAX_SECONDS, AudioTrack, Probe, ProbeError, VideoTrack, probe
from tests.service.media import FFMPEG, SAMPLE, Films, run


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Films:
    return Films(tmp_path_factory.mktemp("films"))


def seen(path: Path) -> VideoTrack:
    """The picture of a file that must have one."""
    video = probe(path).video
    assert video is not None
    return video


def test_real_footage() -> None:
    assert probe(SAMPLE) == Probe(
        format_name="mov,mp4,m4a,3gp,3g2,mj2",
        demuxer="mov",
        duration=5.312,
        video=VideoTrack(
            index=0,
            codec="h264",
            width=640,
            height=360,
            coded_height=360,
            sar=Fraction(1),
            rotation=0,
            fps=Fraction(25),
            duration=5.28,
            pix_fmt="yuv420p",
            frames=132,
            bitrate=275636,
        ),
        sounds=(AudioTrack(index=1, codec="aac", sample_rate=48000, channels=2, duration=5.312, bitrate=65836),),
    )
    assert probe(SAMPLE).audio == probe(SAMPLE).sounds[0]


@pytest.mark.parametrize(
    ("degrees", "size"), [(0, (160, 128)), (90, (128, 160)), (180, (160, 128)), (270, (128, 160)), (-90, (128, 160))]
)
def test_a_rotated_film_has_the_size_that_is_shown(
    films: Films, tmp_path: Path, degrees: int, size: tuple[int, int]
) -> None:
    turned = tmp_path / "turned.mp4"
    run("-display_rotation", str(degrees), "-i", str(films.film(size="160x128")), "-c", "copy", str(turned))
    video = seen(turned)
    assert (video.width, video.height) == size
    assert video.rotation % 360 == degrees % 360
    assert video.coded_height == 128


def test_a_film_with_oblong_pixels_has_the_size_that_is_shown(films: Films) -> None:
    video = seen(films.film(size="180x144", filters="setsar=64/45"))
    assert (video.width, video.height, video.sar) == (256, 144, Fraction(64, 45))


@pytest.mark.parametrize(
    ("suffix", "demuxer"), [("mp4", "mov"), ("mov", "mov"), ("mkv", "matroska"), ("flv", "flv"), ("ts", "mpegts")]
)
def test_containers(films: Films, suffix: str, demuxer: str) -> None:
    film = films.film(tone=440, seconds=1, suffix=suffix, options=["-shortest"])
    found, video = probe(film), seen(film)
    assert found.demuxer == demuxer
    assert video.duration == pytest.approx(1, abs=0.05)
    assert video.fps == 25
    assert found.audio is not None
    assert (found.audio.sample_rate, found.audio.channels) == (44100, 1)


def test_a_live_recording_declares_no_length_and_is_read_through(films: Films) -> None:
    live = films.film(seconds=1, suffix="mkv", options=["-f", "matroska", "-live", "1"])
    assert seen(live).duration == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("filters", "options", "facts"),
    [
        ("null", ["-colorspace", "bt709"], {"rgb": False}),
        ("setparams=colorspace=bt709:color_trc=bt709:range=tv", [], {"matrix": "bt709", "range": "tv"}),
        ("setparams=colorspace=smpte170m", [], {"matrix": "smpte170m"}),
        ("setparams=colorspace=bt2020nc:color_trc=smpte2084", [], {"matrix": "bt2020nc", "transfer": "smpte2084"}),
        ("scale=out_range=pc,format=yuvj420p", [], {"range": "pc"}),
        ("format=rgb24", ["-c:v", "libx264rgb"], {"rgb": True}),
        ("format=argb", ["-c:v", "qtrle"], {"rgb": True, "alpha": True, "decoder": None}),
        ("format=yuva420p", ["-c:v", "libvpx-vp9"], {"alpha": True, "decoder": "libvpx-vp9"}),
    ],
)
def test_what_the_samples_mean(films: Films, filters: str, options: list[str], facts: dict[str, Any]) -> None:
    suffix = "mov" if "qtrle" in options else "webm" if "libvpx-vp9" in options else "mp4"
    video = seen(films.film(filters=filters, options=options, suffix=suffix))
    assert {name: getattr(video, name) for name in facts} == facts


@pytest.mark.parametrize(
    ("rate", "filters", "fps"),
    [
        ("30000/1001", "null", Fraction(30000, 1001)),
        ("50", "null", Fraction(50)),
        ("1/2", "null", Fraction(1, 2)),
        pytest.param("40", "select='lt(n,20)+not(mod(n,4))'", Fraction(25, 37) * 40, id="uneven: the average"),
    ],
)
def test_frame_rates(films: Films, rate: str, filters: str, fps: Fraction) -> None:
    film = films.film(rate=rate, seconds=4 if rate == "1/2" else 1, filters=filters, options=["-fps_mode", "vfr"])
    assert seen(film).fps == pytest.approx(fps, rel=0.03)


def test_a_single_picture(films: Films) -> None:
    video = seen(films.film(seconds=0.04))
    assert video.frames == 1
    assert video.duration == pytest.approx(0.04)


def test_a_cover_picture_is_not_the_picture(films: Films, tmp_path: Path) -> None:
    cover, film = tmp_path / "cover.png", films.film("blue", size="160x128")
    run("-f", "lavfi", "-i", "color=white:s=64x64:d=1", "-frames:v", "1", str(cover))
    covered = tmp_path / "covered.mp4"
    maps = ["-map", "1", "-map", "0", "-c", "copy", "-disposition:v:0", "attached_pic"]
    run("-i", str(film), "-i", str(cover), *maps, str(covered))
    video = seen(covered)
    assert (video.width, video.frames) == (160, 10)


SOUND = {b"mp4a": b"apac", b"esds": b"none"}
PICTURE = {b"avc1\0": b"none\0"}


def unknown(film: Path, path: Path, names: dict[bytes, bytes]) -> Path:
    """A film whose coding, of its first picture or sound, is called by a name that nobody knows."""
    content = film.read_bytes()
    for name, other in names.items():
        assert name in content
        content = content.replace(name, other, 1)
    path.write_bytes(content)
    return path


def test_a_sound_in_a_coding_that_is_not_known_is_left_out(films: Films, tmp_path: Path) -> None:
    """Recordings of telephones hold one beside the usual one."""
    film = films.film(tone=500)
    found = probe(unknown(film, tmp_path / "film.mp4", SOUND))
    assert (found.video, found.sounds) == (seen(film), ())
    assert found.duration == seen(film).duration
    both = tmp_path / "both.mp4"
    run("-i", str(film), "-i", str(films.film(tone=900)), "-map", "0", "-map", "1:a", "-c", "copy", str(both))
    assert [sound.index for sound in probe(unknown(both, both, SOUND)).sounds] == [2]


@pytest.mark.parametrize("names", [PICTURE, PICTURE | SOUND], ids=["the picture", "both"])
def test_a_picture_in_a_coding_that_is_not_known_is_said(
    films: Films, tmp_path: Path, names: dict[bytes, bytes]
) -> None:
    with pytest.raises(ProbeError) as failure:
        probe(unknown(films.film(tone=500), tmp_path / "film.mp4", names))
    assert str(failure.value) == "has a picture in a coding that is not known here"


def test_a_sound_alone_in_a_coding_that_is_not_known(tmp_path: Path) -> None:
    with pytest.raises(ProbeError) as failure:
        probe(unknown(sound(tmp_path), tmp_path / "unknown.mp4", SOUND))
    assert str(failure.value) == "has neither a picture nor a sound"


def sound_with_cover(folder: Path) -> Path:
    path = folder / "song.m4a"
    song = ["-f", "lavfi", "-i", "sine=d=1", "-f", "lavfi", "-i", "color=white:s=64x64:d=1", "-frames:v", "1"]
    run(*song, "-c:v", "png", "-disposition:v:0", "attached_pic", str(path))
    return path


def sound(folder: Path) -> Path:
    path = folder / "song.mp4"
    run("-f", "lavfi", "-i", "sine=d=1", str(path))
    return path


def text(folder: Path) -> Path:
    path = folder / "text.mp4"
    path.write_text("This is a text file, whatever its name says.\n" * 40)
    return path


def empty(folder: Path) -> Path:
    path = folder / "empty.mp4"
    path.write_bytes(b"")
    return path


def picture(folder: Path) -> Path:
    path = folder / "picture.png"
    run("-f", "lavfi", "-i", "color=white:s=64x64:d=1", "-frames:v", "1", str(path))
    return path


def playlist(folder: Path) -> Path:
    run("-f", "lavfi", "-i", "color=white:s=64x64:d=1", str(folder / "secret.ts"))
    path = folder / "playlist.mp4"
    entries = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{folder}/secret.ts\n#EXT-X-ENDLIST\n"
    path.write_text(entries)
    return path


def concatenation(folder: Path) -> Path:
    run("-f", "lavfi", "-i", "color=white:s=64x64:d=1", str(folder / "secret.ts"))
    path = folder / "list.mp4"
    path.write_text("ffconcat version 1.0\nfile secret.ts\n")
    return path


def nothing(folder: Path) -> Path:
    return folder / "absent.mp4"


def half(folder: Path) -> Path:
    path = folder / "half.mp4"
    path.write_bytes(SAMPLE.read_bytes()[:500])
    return path


def bomb(folder: Path) -> Path:
    path = folder / "bomb.mov"
    run("-f", "lavfi", "-i", "color=white:s=9000x5000:d=0.04", "-pix_fmt", "monob", "-c:v", "png", str(path))
    return path


@pytest.mark.parametrize("make", [sound, sound_with_cover])
def test_a_sound_has_no_picture_whatever_its_cover_shows(tmp_path: Path, make: Any) -> None:
    found = probe(make(tmp_path))
    assert (found.video, found.demuxer) == (None, "mov")
    assert found.audio is not None
    assert (found.audio.codec, found.audio.channels) == ("aac", 1)
    assert 0 < found.audio.duration == found.duration


def test_a_picture_is_a_still(tmp_path: Path) -> None:
    path = picture(tmp_path)
    found, video = probe(path), seen(path)
    assert (found.demuxer, found.sounds) == ("png_pipe", ())
    assert (video.still, video.duration, video.width, video.rgb) == (True, 0.0, 64, True)
    assert not seen(SAMPLE).still


def test_sounds_come_with_the_default_one_first(films: Films, tmp_path: Path) -> None:
    path, low, high = tmp_path / "two.mkv", films.film(tone=500), films.film("blue", tone=1500, seconds=1)
    streams = ["-map", "0:v", "-map", "0:a", "-map", "1:a", "-c", "copy"]
    run("-i", str(low), "-i", str(high), *streams, "-disposition:a:0", "0", "-disposition:a:1", "default", str(path))
    assert [track.index for track in probe(path).sounds] == [2, 1]


def test_an_interlaced_film_is_known_as_one(films: Films) -> None:
    fields = films.film(rate="50", filters="interlace,setfield=tff", options=["-flags", "+ildct+ilme"])
    assert seen(fields).interlaced
    assert not seen(films.film()).interlaced


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (text, "is not a video that can be read: Invalid data found when processing input"),
        (empty, "is not a video that can be read: Invalid data found when processing input"),
        (playlist, "is not a video that can be read: Invalid data found when processing input"),
        (
            concatenation,
            "is not in a format that is read here (mov, mp4, m4a, 3gp, 3g2, mj2, matroska, webm, flv, mpegts",
        ),
        (half, "is not a video that can be read: End of file"),
        (nothing, "is not a video that can be read: No such file or directory"),
        (bomb, "declares pictures of 9000×5000, more than is decoded"),
    ],
)
def test_what_is_no_video(tmp_path: Path, make: Any, message: str) -> None:
    with pytest.raises(ProbeError) as failure:
        probe(make(tmp_path))
    assert str(failure.value).startswith(message)


def test_names_are_names_and_no_protocols(films: Films, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("http:x.mp4", "a:b.mp4", "%03d.mp4", "concat:a|b.mp4"):
        (tmp_path / name).write_bytes(films.film().read_bytes())
        assert seen(Path(name)).frames == 10


def test_the_engine_that_renders_reads_what_the_probe_reads(tmp_path: Path) -> None:
    """The probe's libraries and the program are two builds of FFmpeg; they agree on the name of the format."""
    for suffix in ("mp4", "mkv", "flv", "ts"):
        path = tmp_path / f"film.{suffix}"
        run("-i", str(SAMPLE), "-c", "copy", "-t", "0.2", str(path))
        run("-f", probe(path).demuxer, "-i", str(path), "-f", "null", "-")
    assert FFMPEG.version


# Bounds on what a file may cost.


@pytest.mark.parametrize("seconds", [MAX_SECONDS, MAX_SECONDS + 1])
def test_a_file_that_lasts_more_than_a_day_is_refused(tmp_path: Path, seconds: int) -> None:
    """One picture can be shown for any length; it would be held for all of it."""
    path = tmp_path / "film.mp4"
    run("-f", "lavfi", "-i", f"color=s=64x64:r=1/{seconds}", "-frames:v", "1", "-bf", "0", str(path))
    if seconds > MAX_SECONDS:
        with pytest.raises(ProbeError) as failure:
            probe(path)
        assert str(failure.value) == "declares a length of 86401 s, more than is rendered (86400 s)"
    else:
        assert probe(path).duration == MAX_SECONDS


def test_a_length_that_somebody_made_up_is_not_believed(films: Films, tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    run("-i", str(films.film()), "-c", "copy", str(path))
    content, hours = path.read_bytes(), b"23:59:59.000000000"
    changed = re.sub(rb"00:00:00\.4\d{8}", hours, content)
    assert changed.count(hours) > content.count(hours)
    path.write_bytes(changed)
    assert seen(path).duration == pytest.approx(0.4, abs=0.01)


def live(films: Films, folder: Path) -> Path:
    """A recording that declares no length."""
    path = folder / "live.mkv"
    run("-i", str(films.film()), "-c", "copy", "-f", "matroska", "-live", "1", str(path))
    return path


def test_the_search_for_an_end_has_one(films: Films, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = live(films, tmp_path)
    assert probe(path).duration == pytest.approx(0.4, abs=0.05)
    monkeypatch.setattr("reconciler.service.lengths._MOST_PACKETS", 5)
    with pytest.raises(ProbeError, match="has too many packets to find its end"):
        probe(path)


def test_the_search_for_a_picture_has_an_end(films: Films, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_PACKETS", 0)
    with pytest.raises(ProbeError, match="has a video stream without a picture"):
        probe(films.film())
