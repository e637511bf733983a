"""When what is shown: lengths, frame rates, the kept interval, and that picture and sound stay together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tests.service.media import Colour
from tests.service.pixels.measure import (
    BLUE,
    CANVAS,
    CYAN,
    GREEN,
    MAGENTA,
    ORANGE,
    RED,
    WHITE,
    YELLOW,
    Array,
    Result,
    Source,
    Stage,
    assert_shows,
    both,
    flat,
    painted,
    silence,
    tone,
)

AUDIO = {"codec": "aac", "samplerate": 48000, "bitrate": 256, "channels": 2}
TIMES = (RED, GREEN, BLUE, YELLOW, CYAN, MAGENTA, ORANGE, WHITE)


def shots(*colours: Colour, frames: int = 5) -> list[Array]:
    """Each colour for some frames: at 25 a second a fifth of a second."""
    return [flat(colour) for colour in colours for _ in range(frames)]


def colours(result: Result, times: Sequence[float], x: int = 60, y: int = 50) -> list[Colour]:
    return [result.at(time).at(x, y) for time in times]


def alike(found: Sequence[Colour], wanted: Sequence[Colour]) -> bool:
    return bool(np.abs(np.subtract(found, wanted)).max() <= 6)


# Lengths.


def test_the_output_is_as_long_as_its_longest_source(stage: Stage) -> None:
    films = [stage.flat(RED, frames=5), stage.flat(BLUE, frames=20), stage.flat(GREEN, frames=12)]
    result = stage.compose(*[(film, {"x": 64 * number}) for number, film in enumerate(films)])
    assert len(result.frames) == 20
    assert result.rate == 25
    assert [frame.time for frame in result.frames] == pytest.approx([n / 25 for n in range(20)], abs=1e-4)


@pytest.mark.parametrize("overlap", [0, 40], ids=["side by side", "one over the other"])
def test_all_sources_start_together_and_an_ended_one_holds_its_last_picture(stage: Stage, overlap: int) -> None:
    short = stage.film(shots(RED, GREEN))
    long = stage.film(shots(BLUE, YELLOW, CYAN, MAGENTA))
    result = stage.compose(long, (short, {"x": 128 - overlap}))
    for number, (left, right) in enumerate([(BLUE, RED), (YELLOW, GREEN), (CYAN, GREEN), (MAGENTA, GREEN)]):
        wanted = painted(CANVAS, (flat(left), 0, 0), (flat(right), 128 - overlap, 0))
        for frame in result.frames[5 * number : 5 * number + 5]:
            assert_shows(frame, wanted)


def test_a_held_picture_is_the_last_one_to_the_frame(stage: Stage) -> None:
    result = stage.compose((stage.film(shots(*[RED] * 4, WHITE, frames=1)), {"x": 128}), stage.flat(BLUE, frames=10))
    assert alike(colours(result, [0.01, 0.13, 0.17, 0.39], x=200), [RED, RED, WHITE, WHITE])


@pytest.mark.parametrize(
    ("sound", "keep", "audio", "frames"),
    [
        pytest.param(1.0, True, AUDIO, 25, id="kept sound outlasts the picture: it is heard to its end"),
        pytest.param(0.45, True, AUDIO, 10, id="by 50 ms, as encoders leave it: the picture decides"),
        pytest.param(1.0, False, AUDIO, 10, id="sound that is not kept says nothing"),
        pytest.param(1.0, True, None, 10, id="sound that is not encoded says nothing"),
        pytest.param(1.0, True, AUDIO | {"remove": True}, 10, id="sound that is removed says nothing"),
    ],
)
def test_kept_sound_counts(stage: Stage, sound: float, keep: bool, audio: dict[str, Any] | None, frames: int) -> None:
    film = stage.film(shots(RED, WHITE), tone(440, sound))
    result = stage.compose(film, keep=keep, audio=audio)
    assert len(result.frames) == frames
    assert alike(colours(result, [0.1, 0.3, frames / 25 - 0.01]), [RED, WHITE, WHITE])


def test_kept_sound_of_one_source_prolongs_all_pictures(stage: Stage) -> None:
    films = [stage.film(shots(RED), both(tone(440, 0.8))), stage.film(shots(BLUE, CYAN))]
    result = stage.compose(films[0], (films[1], {"x": 128}), keep=True, audio=AUDIO)
    assert len(result.frames) == 20
    assert alike([result.at(0.75).at(60, 50), result.at(0.75).at(200, 50)], [RED, CYAN])
    assert result.sound.level(440, 0.5, 0.75) == pytest.approx([0.2, 0.2], rel=0.05)


def test_music_does_not_prolong_the_output(stage: Stage) -> None:
    music = stage.sound(tone(440, 2))
    result = stage.compose(stage.flat(RED, frames=10), audio=AUDIO, audio_mix={"audio_source": music.name})
    assert len(result.frames) == 10
    assert result.sound.seconds == pytest.approx(0.4, abs=0.05)


def test_a_still_picture_is_shown_from_first_to_last(stage: Stage) -> None:
    result = stage.compose((stage.picture(flat(ORANGE)), {"x": 128}), stage.film(shots(RED, BLUE)))
    assert len(result.frames) == 10
    assert result.rate == 25
    assert alike(colours(result, [0, 0.2, 0.39], x=200), [ORANGE] * 3)


# Frame rates.


@pytest.mark.parametrize(
    ("rates", "fps", "wanted"),
    [
        pytest.param(["25"], None, Fraction(25), id="the source's"),
        pytest.param(["10", "20", "15"], None, Fraction(20), id="the highest of several"),
        pytest.param(["30000/1001", "25"], None, Fraction(30000, 1001), id="not a whole number"),
        pytest.param(["100", "25"], None, Fraction(60), id="at most 60"),
        pytest.param(["1/2"], None, Fraction(1), id="at least 1"),
        pytest.param(["25"], 10, Fraction(10), id="given, below the source's"),
        pytest.param(["10"], 50, Fraction(50), id="given, above the source's"),
        pytest.param(["25"], 12.5, Fraction(25, 2), id="given, with a fraction"),
    ],
)
def test_frame_rate(stage: Stage, rates: list[str], fps: float | None, wanted: Fraction) -> None:
    """Two seconds of each source; whatever the rate, a time shows what the source shows then."""
    sources = []
    for number, rate in enumerate(rates):
        half = round(Fraction(rate)) or 1
        frames = [flat(RED, 64, 48)] * half + [flat(BLUE, 64, 48)] * half if half > 1 else shots(RED, BLUE, frames=1)
        sources.append((stage.film(frames, rate=rate), {"x": 64 * number}))
    result = stage.compose(*sources, video={"fps": fps} if fps else {})
    assert result.rate == wanted
    turn = 2.0 if rates == ["1/2"] else 1.0
    assert len(result.frames) == pytest.approx(2 * turn * wanted, abs=1)
    for number in range(len(rates)):
        assert alike(colours(result, [0, turn - 0.12], 64 * number + 30, 20), [RED, RED])
        assert alike(colours(result, [turn + 0.12, 2 * turn - 0.02], 64 * number + 30, 20), [BLUE, BLUE])


def test_stills_have_no_frame_rate(stage: Stage) -> None:
    still = stage.picture(flat(ORANGE))
    beside = stage.compose((still, {"x": 128}), stage.film(shots(RED, frames=5), rate="10"))
    assert beside.rate == 10
    alone = stage.compose(still, time_interval={"duration": 0.4})
    assert alone.rate == 25
    assert len(alone.frames) == 10
    assert_shows(alone.frames[-1], painted(CANVAS, (flat(ORANGE), 0, 0)))


@pytest.mark.parametrize("rate", ["2", "5", "10", "12", "15", "60"])
def test_a_still_picture_beside_a_film_of_any_rate(stage: Stage, rate: str) -> None:
    still, film = stage.picture(flat(ORANGE)), stage.film(shots(RED, frames=3), rate=rate)
    result = stage.compose(film, (still, {"x": 128, "y": 20}), (still, {"x": 60, "y": 40}))
    assert len(result.frames) == 3
    assert result.rate == int(rate)
    for frame in result.frames:
        assert_shows(frame, painted(CANVAS, (flat(RED), 0, 0), (flat(ORANGE), 128, 20), (flat(ORANGE), 60, 40)))


def test_each_frame_is_shown_once_when_the_rate_is_the_sources(stage: Stage) -> None:
    """Every frame differs from its neighbours; none is doubled or lost."""
    greys = [(10 * n, 10 * n, 10 * n) for n in range(25)]
    result = stage.compose(stage.film([flat(grey) for grey in greys]))
    assert [frame.at(60, 50)[1] for frame in result.frames] == pytest.approx([10 * n for n in range(25)], abs=2)


def test_an_uneven_source_keeps_its_times(stage: Stage) -> None:
    """Colours change at 0, 0.1, 0.5 and 0.6 s in the file itself."""
    times = "if(eq(N\\,0)\\,0\\,if(eq(N\\,1)\\,0.1\\,if(eq(N\\,2)\\,0.5\\,0.6)))"
    film = stage.film(
        shots(RED, GREEN, BLUE, WHITE, frames=1),
        filters=f"settb=1/1000,setpts={times}/TB",
        options=["-fps_mode", "vfr", "-enc_time_base", "1:1000"],
    )
    result = stage.compose(film, stage.flat(ORANGE, 64, 48, frames=20), video={"fps": 50})
    moments = [0.02, 0.08, 0.13, 0.3, 0.47, 0.53, 0.57, 0.63, 0.78]
    wanted = [RED, RED, GREEN, GREEN, GREEN, BLUE, BLUE, WHITE, WHITE]
    assert alike(colours(result, moments, 100, 80), wanted)


# Interlaced sources.


def woven(top: Array, bottom: Array) -> Array:
    """Lines of two moments in one frame, the upper line first."""
    frame = top.copy()
    frame[1::2] = bottom[1::2]
    return frame


def bar(x: int) -> Array:
    return painted((128, 96), (flat(WHITE, 20, 96), x, 0))


def test_interlaced_sources_are_deinterlaced(stage: Stage) -> None:
    """A bar that moves between the fields must not show as a comb: neighbouring lines are alike."""
    frames = [woven(bar(8 * n), bar(8 * n + 4)) for n in range(12)]
    options = ["-flags", "+ildct+ilme", "-x264-params", "interlaced=1:tff=1", "-crf", "1", "-qp", "1"]
    film = stage.film(frames, filters="setfield=tff", options=options)
    result = stage.compose(film)
    for frame in result.frames[2:10]:
        luma = frame.yuv[10:86, :128, 0]
        assert np.abs(np.diff(luma, axis=0)).mean() < 1.0
        assert luma.max() > 200
    assert np.abs(np.diff(frames[4][10:86, :, 0], axis=0)).mean() > 10, "the source has a comb"


# The kept interval.


@pytest.mark.parametrize(
    ("interval", "frames", "wanted"),
    [
        pytest.param({"start": 0.4}, 20, [BLUE, YELLOW, CYAN, MAGENTA], id="start alone"),
        pytest.param({"duration": 0.4}, 10, [RED, GREEN], id="duration alone"),
        pytest.param({"start": 0.4, "duration": 0.4}, 10, [BLUE, YELLOW], id="both"),
        pytest.param({"start": 0.8, "duration": 5}, 10, [CYAN, MAGENTA], id="beyond the end: what there is"),
        pytest.param({"start": 0, "duration": 1.2}, 30, TIMES[:6], id="everything"),
    ],
)
def test_the_interval_cuts_the_composition(
    stage: Stage, interval: Mapping[str, float], frames: int, wanted: Sequence[Colour]
) -> None:
    """Both sources are cut at the same time, also the one that has ended before."""
    sources: list[Source] = [stage.film(shots(*TIMES[:6])), (stage.film(shots(RED, WHITE)), {"x": 128})]
    result = stage.compose(*sources, time_interval=interval)
    assert len(result.frames) == frames
    assert result.frames[0].time == 0
    middles = [0.2 * number + 0.1 for number in range(len(wanted))]
    assert alike(colours(result, middles), wanted)
    start = interval.get("start", 0)
    assert alike(colours(result, middles, x=200), [RED if start + m < 0.2 else WHITE for m in middles])


def test_the_first_kept_frame_is_the_one_on_the_screen_then(stage: Stage) -> None:
    greys = [(10 * n, 10 * n, 10 * n) for n in range(25)]
    film = stage.film([flat(grey) for grey in greys])
    for start, first in ((0.04, 1), (0.2, 5), (0.36, 9)):
        result = stage.compose(film, time_interval={"start": start, "duration": 0.12})
        shown = [frame.at(60, 50)[0] for frame in result.frames]
        assert shown == pytest.approx([10 * n for n in range(first, first + 3)], abs=2)


@pytest.mark.parametrize("start", [0.37, 0.39, 0.399])
def test_any_start_before_the_end_keeps_a_frame(stage: Stage, start: float) -> None:
    """The documents allow a start from 0 to the video's length, by the millisecond: its last frame lasts to its end."""
    result = stage.compose(stage.film(shots(RED, WHITE)), time_interval={"start": start})
    assert len(result.frames) == 1
    assert alike(colours(result, [0]), [WHITE])


def test_the_interval_cuts_the_sound_with_the_picture(stage: Stage) -> None:
    film = stage.film(shots(*TIMES[:6]), both(np.concatenate([tone(440, 0.8), tone(1000, 0.4)])))
    result = stage.compose(film, keep=True, audio=AUDIO, time_interval={"start": 0.5, "duration": 0.6})
    assert result.sound.level(440, 0.05, 0.25) == pytest.approx([0.2, 0.2], rel=0.05)
    assert result.sound.level(440, 0.35, 0.55) == pytest.approx([0, 0], abs=0.005)
    assert result.sound.level(1000, 0.05, 0.25) == pytest.approx([0, 0], abs=0.005)
    assert result.sound.level(1000, 0.35, 0.55) == pytest.approx([0.2, 0.2], rel=0.05)
    assert result.sound.seconds == pytest.approx(0.6, abs=0.05)


def test_the_interval_decides_the_length_of_kept_sound_too(stage: Stage) -> None:
    film = stage.film(shots(RED, WHITE), both(tone(440, 2)))
    result = stage.compose(film, keep=True, audio=AUDIO, time_interval={"start": 1, "duration": 0.4})
    assert len(result.frames) == 10
    assert alike(colours(result, [0, 0.39]), [WHITE, WHITE])
    assert result.sound.level(440, 0.05, 0.35) == pytest.approx([0.2, 0.2], rel=0.05)


# Picture and sound together.


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
@pytest.mark.parametrize("fps", [None, 50])
def test_a_flash_and_its_beep_stay_together(stage: Stage, suffix: str, fps: int | None) -> None:
    """Within half a frame and 5 ms, after the coder's delay has been taken off, in either container."""
    frames = shots((0, 0, 0), frames=15) + shots(WHITE, frames=3) + shots((0, 0, 0), frames=12)
    beep = np.concatenate([silence(0.6), tone(1000, 0.12, 0.5), silence(0.48)])
    film = stage.film(frames, beep, suffix=suffix)
    result = stage.compose(film, keep=True, audio=AUDIO, video={"fps": fps} if fps else {})
    flash = next(frame.time for frame in result.frames if frame.at(60, 50)[1] > 128)
    heard = np.flatnonzero(np.abs(result.sound.samples[:, 0]) > 0.15)[0] / result.sound.rate
    assert flash == pytest.approx(0.6, abs=0.021)
    assert heard == pytest.approx(0.6, abs=0.006)


@pytest.mark.parametrize("start", [0.2, 0.31, 0.33, 0.5])
def test_a_flash_and_its_beep_stay_together_in_what_is_kept(stage: Stage, start: float) -> None:
    """The cut may fall between two frames, also of another rate; then both move together."""
    frames = shots((0, 0, 0), frames=15) + shots(WHITE, frames=3) + shots((0, 0, 0), frames=12)
    beep = np.concatenate([silence(0.6), tone(1000, 0.12, 0.5), silence(0.48)])
    result = stage.compose(stage.film(frames, beep), keep=True, audio=AUDIO, time_interval={"start": start})
    flash = next(frame.time for frame in result.frames if frame.at(60, 50)[1] > 128)
    heard = np.flatnonzero(np.abs(result.sound.samples[:, 0]) > 0.15)[0] / result.sound.rate
    assert flash == pytest.approx(0.6 - start, abs=0.041)
    assert heard == pytest.approx(flash, abs=0.021)


def test_sound_that_begins_later_than_its_picture_stays_late(stage: Stage) -> None:
    film = stage.film(shots(*TIMES[:5]), tone(1000, 0.5, 0.5), options=["-af", "asetpts=PTS+0.3/TB"])
    result = stage.compose(film, keep=True, audio=AUDIO)
    heard = np.flatnonzero(np.abs(result.sound.samples[:, 0]) > 0.15)[0] / result.sound.rate
    assert heard == pytest.approx(0.3, abs=0.006)
