"""What is heard, how loud and when: the levels of single frequencies in each channel of a result.

Sources hold sines, so one number says whether a source is heard, at which level, and with which pitch. AAC at 256 kbit/s
keeps such a sine within 3 %; 5 % is allowed, and 0.005 (-46 dB) where there must be silence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from tests.service.media import SAMPLE
from tests.service.pixels.measure import (
    BLUE,
    GREEN,
    RED,
    Array,
    Result,
    Sound,
    Stage,
    both,
    flat,
    heard,
    silence,
    tone,
)

AUDIO: Final = {"codec": "aac", "samplerate": 48000, "bitrate": 256, "channels": 2}
KEPT: Final = (0.2, 0.2)
NOTHING: Final = (0.0, 0.0)


def film(stage: Stage, *tracks: Array, seconds: float = 0.4, colour: tuple[int, int, int] = RED, **more: Any) -> Path:
    """A film of some seconds with sound tracks."""
    return stage.film([flat(colour, 64, 48)] * round(25 * seconds), *tracks, **more)


def mix(music: Path, **nodes: Any) -> dict[str, Any]:
    return {"audio_source": music.name, **nodes}


def is_level(found: Sequence[float], wanted: Sequence[float]) -> bool:
    return bool(np.allclose(found, wanted, rtol=0.05, atol=0.005))


def assert_hears(sound: Sound, start: float, end: float, levels: Mapping[int, Sequence[float] | float]) -> None:
    """Check the level of each frequency between two times, 1 being full scale, the same in both channels or one each."""
    found = {hertz: [round(level, 3) for level in sound.level(hertz, start, end)] for hertz in levels}
    wanted = {h: [level] * 2 if isinstance(level, float | int) else list(level) for h, level in levels.items()}
    assert all(is_level(found[h], wanted[h]) for h in levels), f"{found} instead of {wanted} at {start}-{end} s"


# The sound of the sources.


def test_each_source_is_heard_at_its_own_level(stage: Stage) -> None:
    tones = [(440, 0.2), (1000, 0.1), (2500, 0.05)]
    films = [film(stage, both(tone(hertz, 0.4, amplitude))) for hertz, amplitude in tones]
    result = stage.compose(*films, keep=True, audio=AUDIO)
    assert_hears(result.sound, 0.05, 0.35, dict(tones) | {3300: 0})


def test_one_source_alone_is_heard_at_its_own_level(stage: Stage) -> None:
    result = stage.compose(film(stage, both(tone(440, 0.4, 0.8))), keep=True, audio=AUDIO)
    assert_hears(result.sound, 0.05, 0.35, {440: 0.8, 1320: 0})


def test_a_source_without_sound_changes_nothing(stage: Stage) -> None:
    films = [film(stage, colour=BLUE), film(stage, both(tone(440))), stage.picture(flat(GREEN, 64, 48))]
    result = stage.compose(*films, keep=True, audio=AUDIO)
    assert_hears(result.sound, 0.05, 0.35, {440: 0.2})


def test_sources_without_any_sound_leave_no_track_or_a_silent_one(stage: Stage) -> None:
    result = stage.compose(film(stage), keep=True, audio=AUDIO)
    assert all(track.loudest(0, track.seconds) < 0.001 for track in result.tracks)


def test_a_source_that_ends_changes_nothing_for_the_others(stage: Stage) -> None:
    films = [film(stage, both(tone(440, 1.2)), seconds=1.2), film(stage, both(tone(1000, 0.6)), seconds=0.6)]
    result = stage.compose(*films, keep=True, audio=AUDIO)
    assert_hears(result.sound, 0.1, 0.55, {440: 0.2, 1000: 0.2})
    assert_hears(result.sound, 0.65, 1.15, {440: 0.2, 1000: 0})


def test_a_file_placed_twice_is_heard_once(stage: Stage) -> None:
    source = film(stage, both(tone(440)))
    result = stage.compose(source, (source, {"x": 64}), (source, {"x": 128}), keep=True, audio=AUDIO)
    assert_hears(result.sound, 0.05, 0.35, {440: 0.2})


def test_a_source_that_cannot_be_seen_is_heard(stage: Stage) -> None:
    hidden = (film(stage, both(tone(1000))), {"x": 300})
    covered = (film(stage, both(tone(2500)), colour=BLUE), {"x": 0})
    top = film(stage, both(tone(440)))
    result = stage.compose(hidden, covered, top, keep=True, audio=AUDIO)
    assert_hears(result.sound, 0.05, 0.35, {440: 0.2, 1000: 0.2, 2500: 0.2})


def test_loud_sources_are_limited_not_clipped(stage: Stage) -> None:
    """Two sines of 0.8 reach 1.6; clipping would make a square of them, with a third of each in every odd overtone."""
    films = [film(stage, both(tone(440, 0.8, 0.8)), seconds=0.8), film(stage, both(tone(1000, 0.8, 0.8)), seconds=0.8)]
    sound = stage.compose(*films, keep=True, audio=AUDIO).sound
    assert sound.loudest(0.2, 0.75) <= 1.02
    first, second = sound.level(440, 0.2, 0.75)[0], sound.level(1000, 0.2, 0.75)[0]
    assert 0.4 < first < 0.8
    assert first == pytest.approx(second, rel=0.1)
    assert all(max(sound.level(hertz, 0.2, 0.75)) < 0.06 for hertz in (1320, 3000, 1560, 2440))


def test_the_limiter_leaves_alone_what_fits(stage: Stage) -> None:
    """0.5 and 0.4 stay below full scale."""
    films = [film(stage, both(tone(440, 0.8, 0.5)), seconds=0.8), film(stage, both(tone(1000, 0.8, 0.4)), seconds=0.8)]
    sound = stage.compose(*films, keep=True, audio=AUDIO).sound
    assert_hears(sound, 0.2, 0.75, {440: 0.5, 1000: 0.4, 1320: 0})


def test_the_left_stays_left(stage: Stage) -> None:
    sides = np.stack([tone(440), tone(1000)], axis=-1)
    result = stage.compose(film(stage, sides), keep=True, audio=AUDIO)
    assert_hears(result.sound, 0.05, 0.35, {440: (0.2, 0), 1000: (0, 0.2)})


@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param({"keep": False, "audio": AUDIO}, id="not kept"),
        pytest.param({"keep": True}, id="no audio node"),
        pytest.param({"keep": True, "audio": AUDIO | {"remove": True}}, id="removed"),
    ],
)
def test_sound_that_nobody_wants_is_not_there(stage: Stage, nodes: dict[str, Any]) -> None:
    assert stage.compose(film(stage, both(tone(440))), **nodes).tracks == ()


# Layouts and rates.


def test_a_mono_source_is_heard_on_both_sides_at_its_own_level(stage: Stage) -> None:
    result = stage.compose(film(stage, tone(440)), keep=True, audio=AUDIO)
    assert_hears(result.sound, 0.05, 0.35, {440: 0.2})


def test_a_mono_output_holds_both_sides_at_the_same_level(stage: Stage) -> None:
    sides = np.stack([tone(440), tone(1000)], axis=-1)
    result = stage.compose(film(stage, sides), keep=True, audio=AUDIO | {"channels": 1})
    assert result.sound.samples.shape[1] == 1
    levels = [result.sound.level(hertz, 0.05, 0.35)[0] for hertz in (440, 1000)]
    assert levels[0] == pytest.approx(levels[1], rel=0.05)
    assert 0.09 < levels[0] < 0.21


def test_the_middle_of_a_stereo_source_keeps_its_level_in_mono(stage: Stage) -> None:
    result = stage.compose(film(stage, both(tone(440))), keep=True, audio=AUDIO | {"channels": 1})
    assert result.sound.level(440, 0.05, 0.35) == pytest.approx([0.2], rel=0.05)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 96000])
def test_sources_of_any_rate_keep_pitch_and_length(stage: Stage, rate: int) -> None:
    """440 Hz stays 440 Hz to the end; as one of two sources of different rates."""
    films = [
        film(stage, both(tone(440, 1, rate=rate)), seconds=1, hertz=rate),
        film(stage, both(tone(1000, 1)), seconds=1),
    ]
    sound = stage.compose(*films, keep=True, audio=AUDIO).sound
    assert sound.rate == 48000
    for start in (0.05, 0.65):
        assert_hears(sound, start, start + 0.3, {440: 0.2, 1000: 0.2, 440 * 48000 // rate: 0})


@pytest.mark.parametrize("rate", [8000, 22050, 44100])
def test_the_output_has_the_rate_asked_for(stage: Stage, rate: int) -> None:
    audio = AUDIO | {"samplerate": rate, "bitrate": 64 if rate < 40000 else 192}
    sound = stage.compose(film(stage, both(tone(440, 1)), seconds=1), keep=True, audio=audio).sound
    assert sound.rate == rate
    assert sound.seconds == pytest.approx(1, abs=0.13)
    assert sound.level(440, 0.2, 0.8) == pytest.approx(KEPT, rel=0.08)


def test_every_channel_of_surround_sound_is_heard_where_it_belongs(stage: Stage) -> None:
    """Front left, front right, centre, bass, side left, side right; the bass may be dropped, as players do."""
    hertz = (300, 500, 800, 100, 1300, 2100)
    channels = np.stack([tone(h, 0.8, 0.1) for h in hertz], axis=-1)
    sound = stage.compose(film(stage, channels, seconds=0.8), keep=True, audio=AUDIO).sound
    levels = {h: sound.level(h, 0.1, 0.7) for h in hertz}
    for left in (300, 1300):
        assert levels[left][0] > 0.02
        assert levels[left][1] < 0.005
    for right in (500, 2100):
        assert levels[right][1] > 0.02
        assert levels[right][0] < 0.005
    assert levels[800][0] == pytest.approx(levels[800][1], rel=0.05)
    assert levels[800][0] > 0.02
    assert max(max(pair) for pair in levels.values()) <= 0.105


def test_a_surround_output_keeps_a_surround_source(stage: Stage) -> None:
    hertz = (300, 500, 800, 1300, 2100)
    channels = np.stack(
        [*(tone(h, 0.8, 0.1) for h in hertz[:3]), silence(0.8), *(tone(h, 0.8, 0.1) for h in hertz[3:])], axis=-1
    )
    sound = stage.compose(
        film(stage, channels, seconds=0.8), keep=True, audio=AUDIO | {"channels": 6, "bitrate": 512}
    ).sound
    assert sound.samples.shape[1] == 6
    for h, channel in zip(hertz, (0, 1, 2, 4, 5), strict=True):
        wanted = [0.1 if number == channel else 0.0 for number in range(6)]
        assert sound.level(h, 0.1, 0.7) == pytest.approx(wanted, abs=0.008)


# Music.


@pytest.fixture(scope="module")
def music(stage: Stage) -> Path:
    """Half a second: 500 Hz, then 900 Hz."""
    return stage.sound(both(np.concatenate([tone(500, 0.25), tone(900, 0.25)])))


@pytest.fixture(scope="module")
def source(stage: Stage) -> Path:
    """Two seconds of 2500 Hz."""
    return film(stage, both(tone(2500, 2)), seconds=2)


def test_music_is_heard_alone_when_the_sources_are_not_kept(stage: Stage, source: Path, music: Path) -> None:
    sound = stage.compose(source, audio=AUDIO, audio_mix=mix(music)).sound
    assert_hears(sound, 0.03, 0.22, {500: 0.2, 900: 0, 2500: 0})


def test_music_is_mixed_with_kept_sound(stage: Stage, source: Path, music: Path) -> None:
    sound = stage.compose(source, keep=True, audio=AUDIO, audio_mix=mix(music)).sound
    assert_hears(sound, 0.03, 0.22, {500: 0.2, 900: 0, 2500: 0.2})
    assert_hears(sound, 0.28, 0.47, {500: 0, 900: 0.2, 2500: 0.2})


@pytest.mark.parametrize("keep", [True, False])
def test_music_can_replace_the_sound_of_the_sources(stage: Stage, source: Path, music: Path, keep: bool) -> None:
    sound = stage.compose(source, keep=keep, audio=AUDIO, audio_mix=mix(music, replace=True)).sound
    assert_hears(sound, 0.03, 0.22, {500: 0.2, 900: 0, 2500: 0})
    assert_hears(sound, 1.78, 1.97, {500: 0, 900: 0.2, 2500: 0})


@pytest.mark.parametrize("nodes", [{}, {"audio": AUDIO | {"remove": True}}], ids=["no audio node", "removed"])
@pytest.mark.parametrize("replace", [True, False])
def test_music_needs_an_audio_node(
    stage: Stage, source: Path, music: Path, nodes: dict[str, Any], replace: bool
) -> None:
    assert stage.compose(source, keep=True, audio_mix=mix(music, replace=replace), **nodes).tracks == ()


@pytest.mark.parametrize("mode", [{}, {"mix_mode": "Repeat"}], ids=["by default", "when asked to"])
def test_repeated_music_loops_to_the_end_without_a_gap(stage: Stage, mode: dict[str, str]) -> None:
    """A loop of 0.4 s: after eleven rounds a gap of a coder's 20 ms in each would have shifted it by half of itself."""
    music = stage.sound(both(np.concatenate([tone(500, 0.2), tone(900, 0.2)])))
    still = film(stage, seconds=4.8)
    sound = stage.compose(still, audio=AUDIO, audio_mix=mix(music, **mode)).sound
    for turn in (0, 1, 5, 11):
        start = 0.4 * turn
        assert_hears(sound, start + 0.02, start + 0.18, {500: 0.2, 900: 0})
        assert_hears(sound, start + 0.22, start + 0.38, {500: 0, 900: 0.2})
    quiet = [np.abs(sound.part(t, t + 0.005)).max() for t in np.arange(0.01, 4.75, 0.005)]
    assert min(quiet) > 0.1


@pytest.mark.parametrize("suffix", ["m4a", "mp3", "flac"])
def test_music_of_any_coding_loops_in_time(stage: Stage, suffix: str) -> None:
    """Coders pad the end of a file, so a round may be longer than the music by what the file does not take back."""
    music = stage.sound(both(np.concatenate([tone(500, 0.5), tone(900, 0.5)])), suffix=suffix, options=["-b:a", "192k"])
    sound = stage.compose(film(stage, seconds=3), audio=AUDIO, audio_mix=mix(music)).sound
    for turn in range(3):
        assert_hears(sound, turn + 0.1, turn + 0.42, {500: 0.2, 900: 0})
        assert_hears(sound, turn + 0.6, turn + 0.92, {500: 0, 900: 0.2})


def test_music_played_once_is_followed_by_silence(stage: Stage, source: Path, music: Path) -> None:
    result = stage.compose(source, keep=True, audio=AUDIO, audio_mix=mix(music, mix_mode="Once"))
    assert len(result.frames) == 50
    assert_hears(result.sound, 0.28, 0.47, {500: 0, 900: 0.2, 2500: 0.2})
    for start in (0.53, 1.2, 1.7):
        assert_hears(result.sound, start, start + 0.2, {500: 0, 900: 0, 2500: 0.2})


def test_music_alone_played_once_leaves_silence_to_the_end(stage: Stage, source: Path, music: Path) -> None:
    sound = stage.compose(source, audio=AUDIO, audio_mix=mix(music, mix_mode="Once")).sound
    assert sound.loudest(0.55, 1.95) < 0.005
    assert sound.seconds == pytest.approx(2, abs=0.05)


def test_music_begins_with_the_first_kept_frame(stage: Stage, source: Path, music: Path) -> None:
    kept = {"start": 1.1, "duration": 0.8}
    sound = stage.compose(
        source, keep=True, audio=AUDIO, audio_mix=mix(music, mix_mode="Once"), time_interval=kept
    ).sound
    assert_hears(sound, 0.03, 0.22, {500: 0.2, 900: 0, 2500: 0.2})
    assert_hears(sound, 0.28, 0.47, {500: 0, 900: 0.2, 2500: 0.2})
    assert_hears(sound, 0.55, 0.75, {500: 0, 900: 0, 2500: 0.2})


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_music_may_be_the_sound_of_a_film(stage: Stage, source: Path, suffix: str) -> None:
    other = film(stage, both(tone(500, 2)), seconds=2, colour=BLUE, suffix=suffix)
    result = stage.compose(source, audio=AUDIO, audio_mix=mix(other))
    assert_hears(result.sound, 0.1, 1.8, {500: 0.2, 2500: 0})
    red, _, blue = result.at(1).at(30, 20)
    assert red > 200
    assert blue < 50


def test_music_of_another_layout_and_rate_is_converted(stage: Stage, source: Path) -> None:
    music = stage.sound(np.stack([tone(500, 1, rate=8000)] * 2, axis=-1), hertz=8000)
    sound = stage.compose(source, keep=True, audio=AUDIO, audio_mix=mix(music)).sound
    for start in (0.05, 1.05):
        assert_hears(sound, start, start + 0.8, {500: 0.2, 2500: 0.2, 3000: 0})


def test_mono_music_is_heard_on_both_sides_at_its_own_level(stage: Stage, source: Path) -> None:
    sound = stage.compose(source, audio=AUDIO, audio_mix=mix(stage.sound(tone(500, 1)))).sound
    assert_hears(sound, 0.05, 0.9, {500: 0.2})


def test_the_same_music_is_heard_though_it_is_also_a_source(stage: Stage, source: Path) -> None:
    """It is named twice on purpose: once for its picture, once for its sound."""
    sound = stage.compose(source, audio=AUDIO, audio_mix=mix(source)).sound
    assert_hears(sound, 0.1, 1.8, {2500: 0.2})


# Fades.


def envelope(result: Result, hertz: float, times: Sequence[float], width: float = 0.08) -> list[float]:
    """The level around each time."""
    return [result.sound.level(hertz, time - width / 2, time + width / 2)[0] for time in times]


def long_music(stage: Stage, seconds: float = 2) -> Path:
    return stage.sound(both(tone(500, seconds)))


def effects(**nodes: Any) -> dict[str, Any]:
    """Turn on each effect whose time is given: ``start_fadein``, ``end_fadeout`` or ``bgm_fade``."""
    return {"effect_config": {f"enable_{k}": True for k in nodes} | {f"{k}_time": v for k, v in nodes.items()}}


def assert_rises(levels: Sequence[float]) -> None:
    """From almost nothing to almost everything, each step louder than the one before."""
    assert levels[0] < 0.05
    assert levels[-1] == pytest.approx(0.2, rel=0.2)
    assert all(later > earlier + 0.01 for earlier, later in pairwise(levels)), levels
    assert 0.06 < levels[len(levels) // 2] < 0.16, "half way the music is half as loud, whatever the curve"


@pytest.mark.parametrize("mode", ["Repeat", "Once"])
def test_music_fades_in_from_the_start_of_the_output(stage: Stage, source: Path, mode: str) -> None:
    chosen = mix(long_music(stage), mix_mode=mode, **effects(start_fadein=0.8))
    result = stage.compose(source, keep=True, audio=AUDIO, audio_mix=chosen)
    assert_rises(envelope(result, 500, [0.05, 0.2, 0.4, 0.6, 0.75]))
    assert envelope(result, 500, [1.0, 1.5, 1.9]) == pytest.approx([0.2] * 3, rel=0.05)
    assert envelope(result, 2500, [0.05, 0.4, 1.0]) == pytest.approx([0.2] * 3, rel=0.05)


def test_music_fades_in_from_the_first_kept_frame_and_only_once(stage: Stage, source: Path) -> None:
    """The rounds after the first start at their full level."""
    chosen = mix(long_music(stage, 0.5), **effects(start_fadein=0.4))
    kept = {"start": 0.3, "duration": 1.6}
    result = stage.compose(source, keep=True, audio=AUDIO, audio_mix=chosen, time_interval=kept)
    assert_rises(envelope(result, 500, [0.045, 0.12, 0.2, 0.28, 0.36]))
    assert envelope(result, 500, [0.45, 0.55, 0.75, 1.05, 1.3]) == pytest.approx([0.2] * 5, rel=0.06)


def test_repeated_music_fades_out_to_the_end_of_the_output(stage: Stage, source: Path) -> None:
    """And at the end of no round before."""
    chosen = mix(long_music(stage, 0.5), **effects(end_fadeout=0.8))
    result = stage.compose(source, keep=True, audio=AUDIO, audio_mix=chosen)
    assert_rises(envelope(result, 500, [1.95, 1.8, 1.6, 1.4, 1.25]))
    assert envelope(result, 500, [0.1, 0.45, 0.95, 1.1]) == pytest.approx([0.2] * 4, rel=0.06)
    assert envelope(result, 2500, [0.3, 1.6, 1.9]) == pytest.approx([0.2] * 3, rel=0.05)


def test_repeated_music_fades_out_to_the_end_of_what_is_kept(stage: Stage, source: Path) -> None:
    chosen = mix(long_music(stage), **effects(end_fadeout=0.8))
    kept = {"start": 0.4, "duration": 1.2}
    result = stage.compose(source, audio=AUDIO, audio_mix=chosen, time_interval=kept)
    assert_rises(envelope(result, 500, [1.15, 1.0, 0.8, 0.6, 0.45]))
    assert envelope(result, 500, [0.1, 0.3]) == pytest.approx([0.2] * 2, rel=0.05)


def test_music_played_once_fades_out_to_its_own_end(stage: Stage, source: Path) -> None:
    chosen = mix(long_music(stage, 1.2), mix_mode="Once", **effects(end_fadeout=0.8))
    result = stage.compose(source, keep=True, audio=AUDIO, audio_mix=chosen)
    assert_rises(envelope(result, 500, [1.15, 1.0, 0.8, 0.6, 0.45]))
    assert envelope(result, 500, [0.1, 0.3]) == pytest.approx([0.2] * 2, rel=0.05)
    assert envelope(result, 500, [1.3, 1.9]) == pytest.approx([0] * 2, abs=0.005)


def test_music_longer_than_the_output_fades_out_to_the_end_of_the_output(stage: Stage, source: Path) -> None:
    """Played once, it ends where it is cut off: a fade that nobody hears would be none."""
    chosen = mix(long_music(stage, 3), mix_mode="Once", **effects(end_fadeout=0.8))
    result = stage.compose(source, audio=AUDIO, audio_mix=chosen)
    assert_rises(envelope(result, 500, [1.95, 1.8, 1.6, 1.4, 1.25]))


def test_fade_in_and_fade_out_act_together(stage: Stage, source: Path) -> None:
    chosen = mix(long_music(stage), **effects(start_fadein=0.6, end_fadeout=0.6))
    result = stage.compose(source, audio=AUDIO, audio_mix=chosen)
    assert_rises(envelope(result, 500, [0.045, 0.15, 0.3, 0.45, 0.56]))
    assert_rises(envelope(result, 500, [1.955, 1.85, 1.7, 1.55, 1.44]))
    assert envelope(result, 500, [0.8, 1.2]) == pytest.approx([0.2] * 2, rel=0.05)


def test_a_fade_that_is_not_enabled_does_not_act(stage: Stage, source: Path) -> None:
    """The samples of the documents send times of fades that are off."""
    off = {"enable_start_fadein": False, "start_fadein_time": 1, "end_fadeout_time": 1, "bgm_fade_time": 1}
    result = stage.compose(source, audio=AUDIO, audio_mix=mix(long_music(stage, 1), effect_config=off))
    assert envelope(result, 500, [0.05, 0.5, 0.95, 1.05, 1.5, 1.95]) == pytest.approx([0.2] * 6, rel=0.06)


def test_each_repetition_fades_in_but_not_the_first_play(stage: Stage, source: Path) -> None:
    chosen = mix(long_music(stage, 0.8), **effects(bgm_fade=0.5))
    result = stage.compose(source, keep=True, audio=AUDIO, audio_mix=chosen)
    assert envelope(result, 500, [0.05, 0.2, 0.5, 0.75]) == pytest.approx([0.2] * 4, rel=0.06)
    assert_rises(envelope(result, 500, [0.845, 0.95, 1.05, 1.15, 1.26]))
    assert envelope(result, 500, [1.4, 1.55]) == pytest.approx([0.2] * 2, rel=0.06)
    assert_rises([*envelope(result, 500, [1.645, 1.75, 1.85, 1.94]), 0.2])
    assert envelope(result, 2500, [0.2, 0.9, 1.7]) == pytest.approx([0.2] * 3, rel=0.05)


def test_music_played_once_with_a_bgm_fade_fades_out_at_its_end(stage: Stage, source: Path) -> None:
    chosen = mix(long_music(stage, 1.2), mix_mode="Once", **effects(bgm_fade=0.8))
    result = stage.compose(source, keep=True, audio=AUDIO, audio_mix=chosen)
    assert_rises(envelope(result, 500, [1.15, 1.0, 0.8, 0.6, 0.45]))
    assert envelope(result, 500, [0.05, 0.3]) == pytest.approx([0.2] * 2, rel=0.06)


def test_the_end_fade_out_beats_the_bgm_fade(stage: Stage, source: Path) -> None:
    chosen = mix(long_music(stage, 1.2), mix_mode="Once", **effects(bgm_fade=1.0, end_fadeout=0.3))
    result = stage.compose(source, audio=AUDIO, audio_mix=chosen)
    assert envelope(result, 500, [0.05, 0.4, 0.8]) == pytest.approx([0.2] * 3, rel=0.06)
    assert envelope(result, 500, [1.15])[0] < 0.1


# Two musics.


@pytest.fixture(scope="module")
def two(stage: Stage) -> list[Path]:
    return [stage.sound(both(tone(500, 0.5))), stage.sound(both(tone(900, 0.5)))]


def test_an_array_of_music_is_heard_at_once(stage: Stage, source: Path, two: list[Path]) -> None:
    modes = ["Repeat", "Once"]
    chosen = [mix(music, mix_mode=mode) for music, mode in zip(two, modes, strict=True)]
    sound = stage.compose(source, keep=True, audio=AUDIO, audio_mix_array=chosen).sound
    assert_hears(sound, 0.05, 0.45, {500: 0.2, 900: 0.2, 2500: 0.2})
    assert_hears(sound, 1.1, 1.9, {500: 0.2, 900: 0, 2500: 0.2})


def test_audio_mix_beats_the_array(stage: Stage, source: Path, two: list[Path]) -> None:
    nodes: dict[str, Any] = {"audio_mix": mix(two[0]), "audio_mix_array": [mix(two[1], replace=True)]}
    sound = stage.compose(source, keep=True, audio=AUDIO, **nodes).sound
    assert_hears(sound, 0.1, 1.9, {500: 0.2, 900: 0, 2500: 0.2})


def test_one_music_of_the_array_that_replaces_drops_the_sources(stage: Stage, source: Path, two: list[Path]) -> None:
    chosen = [mix(two[0]), mix(two[1], replace=True)]
    sound = stage.compose(source, keep=True, audio=AUDIO, audio_mix_array=chosen).sound
    assert_hears(sound, 0.1, 1.9, {500: 0.2, 900: 0.2, 2500: 0})


def test_each_music_of_the_array_has_its_own_fades(stage: Stage, source: Path) -> None:
    second = stage.sound(both(tone(900, 2)))
    chosen = [mix(long_music(stage), **effects(start_fadein=0.8)), mix(second, **effects(end_fadeout=0.8))]
    result = stage.compose(source, audio=AUDIO, audio_mix_array=chosen)
    assert_rises(envelope(result, 500, [0.05, 0.2, 0.4, 0.6, 0.75]))
    assert_rises(envelope(result, 900, [1.95, 1.8, 1.6, 1.4, 1.25]))
    assert envelope(result, 500, [1.5, 1.9]) == pytest.approx([0.2] * 2, rel=0.05)
    assert envelope(result, 900, [0.1, 0.5]) == pytest.approx([0.2] * 2, rel=0.05)


# Two tracks.


@pytest.fixture(scope="module")
def tracks(stage: Stage) -> list[Path]:
    """Two sources with two tracks each: 300 and 500 Hz, 800 and 1300 Hz."""
    return [
        film(stage, both(tone(300)), both(tone(500))),
        film(stage, both(tone(800)), both(tone(1300)), colour=BLUE),
    ]


FIRSTS: Final[dict[int, float]] = {300: 0.2, 500: 0, 800: 0.2, 1300: 0}
SECONDS: Final[dict[int, float]] = {300: 0, 500: 0.2, 800: 0, 1300: 0.2}


@pytest.mark.parametrize(
    ("audio", "video", "wanted"),
    [
        pytest.param({}, {}, [FIRSTS], id="the first tracks"),
        pytest.param({"keep_two_tracks": True}, {}, [FIRSTS, SECONDS], id="both"),
        pytest.param({"switch_track": True}, {}, [SECONDS], id="the second alone"),
        pytest.param({"keep_two_tracks": True, "switch_track": True}, {}, [SECONDS, FIRSTS], id="second first"),
        pytest.param({"keep_two_tracks": True}, {"codec": "H.265"}, [FIRSTS], id="no effect with H.265"),
        pytest.param({"switch_track": True}, {"codec": "H.265"}, [FIRSTS], id="no switch with H.265 either"),
    ],
)
def test_tracks(
    stage: Stage, tracks: list[Path], audio: dict[str, bool], video: dict[str, str], wanted: list[dict[int, float]]
) -> None:
    result = stage.compose(*tracks, keep=True, audio=AUDIO | audio, video=video)
    assert len(result.tracks) == len(wanted)
    for track, levels in zip(result.tracks, wanted, strict=True):
        assert_hears(track, 0.05, 0.35, levels)


def test_music_is_in_both_tracks(stage: Stage, tracks: list[Path], music: Path) -> None:
    audio = AUDIO | {"keep_two_tracks": True}
    found = stage.compose(*tracks, keep=True, audio=audio, audio_mix=mix(stage.sound(both(tone(2500, 1))))).tracks
    assert len(found) == 2
    assert_hears(found[0], 0.05, 0.35, FIRSTS | {2500: 0.2})
    assert_hears(found[1], 0.05, 0.35, SECONDS | {2500: 0.2})


def test_the_second_tracks_of_a_file_placed_twice_are_heard_once(stage: Stage, tracks: list[Path]) -> None:
    audio = AUDIO | {"keep_two_tracks": True}
    found = stage.compose(tracks[0], (tracks[0], {"x": 64}), keep=True, audio=audio).tracks
    assert_hears(found[0], 0.05, 0.35, {300: 0.2, 500: 0})
    assert_hears(found[1], 0.05, 0.35, {300: 0, 500: 0.2})


# Real sound.


def test_real_sound_comes_through_unchanged(stage: Stage) -> None:
    """The same wave at the same time: AAC leaves it alike to 99 %, a shift of 1 ms in it would not."""
    result = stage.compose(
        stage.copy(SAMPLE), keep=True, audio=AUDIO, time_interval={"start": 2, "duration": 2}, video={"crf": 30}
    )
    before, after = heard(SAMPLE).part(2.1, 3.9)[:, 0], result.sound.part(0.1, 1.9)[:, 0]
    assert np.corrcoef(before, after)[0, 1] > 0.99
    assert np.std(after) == pytest.approx(np.std(before), rel=0.03)
    late = heard(SAMPLE).part(2.101, 3.901)[:, 0]
    assert np.corrcoef(late, after)[0, 1] < 0.95


def test_a_stereo_source_of_high_level_fits_into_mono(stage: Stage) -> None:
    """What fits in two channels fits in one: nothing is limited, nothing becomes louder."""
    result = stage.compose(
        film(stage, both(tone(440, 0.8, 0.9)), seconds=0.8), keep=True, audio=AUDIO | {"channels": 1}
    )
    assert result.sound.level(440, 0.1, 0.7) == pytest.approx([0.9], rel=0.05)
