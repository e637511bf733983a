"""What is heard: which tracks of which file, in which track of the result, mixed with which music."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from reconciler.api.messages import Operation
from reconciler.api.transcode import Audio
from reconciler.service.probe import AudioTrack
from reconciler.service.render import RenderFailed, sound
from reconciler.service.render.picture import Span
from reconciler.service.render.sound import Heard, Music
from tests.service.media import job, loudness, run
from tests.service.render.probes import command, composed, graph, song, source

SHAPED = "aresample=44100:async=1:first_pts=0,aformat=sample_fmts=fltp:channel_layouts=stereo"
SPAN = Span(Fraction(25), 0, 250)


def mix(url: str = "m.mp3", **rest: Any) -> dict[str, Any]:
    return {"audio_source": url, **rest}


def fades(**seconds: float) -> dict[str, Any]:
    """An effect configuration; the enabling node goes with each time."""
    enabling = {
        "start_fadein_time": "enable_start_fadein",
        "end_fadeout_time": "enable_end_fadeout",
        "bgm_fade_time": "enable_bgm_fade",
    }
    return dict(seconds.items()) | {enabling[name]: True for name in seconds}


# --- what is mixed in ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("transcode", "wanted"),
    [
        pytest.param({"audio": {}, "audio_mix": mix("a")}, ["a"], id="one"),
        pytest.param({"audio": {}, "audio_mix_array": [mix("a"), mix("b")]}, ["a", "b"], id="several"),
        pytest.param(
            {"audio": {}, "audio_mix": mix("a"), "audio_mix_array": [mix("b")]}, ["a"], id="the one beats the several"
        ),
        pytest.param({"audio": {"remove": True}, "audio_mix": mix("a")}, [], id="removed audio silences it"),
        pytest.param({"audio": {"remove": True}, "audio_mix_array": [mix("a")]}, [], id="and them"),
        pytest.param({"audio": None, "audio_mix": mix("a")}, [], id="without audio there is no sound"),
        pytest.param({"audio": {}}, [], id="nothing listed"),
    ],
)
def test_what_is_listed(transcode: dict[str, Any], wanted: list[str]) -> None:
    assert [each.audio_source for each in sound.listed(job("s.mp4", **transcode))] == wanted


def test_without_parameters_there_is_no_sound() -> None:
    bare = job("a.mp4", keep=True).model_copy(update={"transcode": None})
    assert sound.listed(bare) == ()
    assert not sound.keeps_sources(bare, ())


@pytest.mark.parametrize(
    ("keep", "audio", "mixes", "kept"),
    [
        (True, {}, [], True),
        (False, {}, [], False),
        (True, None, [], False),
        (True, {"remove": True}, [], False),
        (True, {}, [mix()], True),
        (True, {}, [mix(replace=False)], True),
        (True, {}, [mix(replace=True)], False),
        (True, {}, [mix(), mix(replace=True)], False),
        (True, {"remove": True}, [mix(replace=True)], False),
    ],
)
def test_whether_the_sources_are_heard(
    keep: bool, audio: dict[str, Any] | None, mixes: list[dict[str, Any]], kept: bool
) -> None:
    operation = job("a.mp4", keep=keep, audio=audio, audio_mix_array=mixes or None)
    assert sound.keeps_sources(operation, sound.listed(operation)) == kept


@pytest.mark.parametrize(
    ("node", "wanted"),
    [
        ({}, (True, 0, 0, 0)),
        ({"mix_mode": "Repeat"}, (True, 0, 0, 0)),
        ({"mix_mode": "Once"}, (False, 0, 0, 0)),
        ({"effect_config": fades(start_fadein_time=1.5)}, (True, 1.5, 0, 0)),
        ({"effect_config": fades(end_fadeout_time=2)}, (True, 0, 2, 0)),
        ({"effect_config": fades(bgm_fade_time=3)}, (True, 0, 0, 3)),
        (
            {"effect_config": fades(start_fadein_time=1, end_fadeout_time=2, bgm_fade_time=3), "mix_mode": "Once"},
            (False, 1, 2, 3),
        ),
        ({"effect_config": {"start_fadein_time": 1, "end_fadeout_time": 2, "bgm_fade_time": 3}}, (True, 0, 0, 0)),
        (
            {"effect_config": {"enable_start_fadein": True, "enable_end_fadeout": False, "enable_bgm_fade": True}},
            (True, 0, 0, 0),
        ),
    ],
)
def test_music(node: dict[str, Any], wanted: tuple[bool, float, float, float]) -> None:
    operation = job("a.mp4", audio={}, audio_mix=mix(**node))
    (found,) = sound.music(sound.listed(operation), {"m.mp3": song(2)}, first=4)
    assert (found.source, found.input, found.track) == ("m.mp3", 4, song(2).audio)
    assert (found.repeated, found.fade_in, found.fade_out, found.change) == wanted


def test_no_fade_is_longer_than_a_day() -> None:
    node = fades(start_fadein_time=10**9, end_fadeout_time=86_400, bgm_fade_time=86_401)
    operation = job("a.mp4", audio={}, audio_mix=mix(effect_config=node))
    (found,) = sound.music(sound.listed(operation), {"m.mp3": song(2)}, first=1)
    assert (found.fade_in, found.fade_out, found.change) == (86_400, 86_400, 86_400)


def test_music_needs_a_sound() -> None:
    operation = job("a.mp4", audio={}, audio_mix=mix("b.mp4"))
    with pytest.raises(RenderFailed, match=r"^b\.mp4 has no sound, so it cannot be mixed in$") as failure:
        composed(operation, source(), source())
    assert failure.value.code == "InvalidSource"


# --- the tracks of the result ----------------------------------------------------------------------------------------

TWO, ONE, NONE = source(sound=(2, 2)), source(sound=2), source()


@pytest.mark.parametrize(
    ("audio", "probes", "wanted"),
    [
        pytest.param({}, [TWO], [[(0, 1)]], id="the first track of each"),
        pytest.param({}, [TWO, ONE], [[(0, 1), (1, 1)]], id="mixed"),
        pytest.param({"keep_two_tracks": True}, [TWO], [[(0, 1)], [(0, 2)]], id="two"),
        pytest.param({"keep_two_tracks": True}, [TWO, ONE], [[(0, 1), (1, 1)], [(0, 2)]], id="each of what has it"),
        pytest.param({"keep_two_tracks": True}, [ONE, ONE], [[(0, 1), (1, 1)]], id="no second one anywhere"),
        pytest.param({"switch_track": True}, [TWO, ONE], [[(0, 2), (1, 1)]], id="the second one, where there is one"),
        pytest.param(
            {"switch_track": True}, [ONE, NONE, TWO], [[(0, 1), (2, 2)]], id="each source for itself, one is silent"
        ),
        pytest.param({"switch_track": True}, [NONE], [], id="nothing to switch"),
        pytest.param({"switch_track": True}, [source(sound=(1, 2, 3))], [[(0, 2)]], id="the second of three"),
        pytest.param(
            {"keep_two_tracks": True, "switch_track": True},
            [ONE, TWO],
            [[(1, 2)], [(0, 1), (1, 1)]],
            id="swapped, where one has no second",
        ),
        pytest.param({"switch_track": True}, [ONE], [[(0, 1)]], id="the first where there is no second"),
        pytest.param({"keep_two_tracks": True, "switch_track": True}, [TWO], [[(0, 2)], [(0, 1)]], id="swapped"),
        pytest.param({"keep_two_tracks": True, "switch_track": True}, [ONE], [[(0, 1)]], id="nothing to swap"),
        pytest.param({"keep_two_tracks": False, "switch_track": False}, [TWO], [[(0, 1)]], id="not asked"),
        pytest.param({}, [NONE], [], id="no sound"),
        pytest.param({"keep_two_tracks": True}, [source(sound=(1, 2, 3))], [[(0, 1)], [(0, 2)]], id="two of three"),
    ],
)
@pytest.mark.parametrize("codec", ["H.264", "H.265"])
def test_tracks(codec: str, audio: dict[str, Any], probes: list[Any], wanted: list[list[tuple[int, int]]]) -> None:
    operation = job(*[f"{n}.mp4" for n in range(len(probes))], keep=True, audio=audio, video={"codec": codec})
    plan = composed(operation, *probes)
    found = [[(heard.input, heard.track.index) for heard in track] for track in plan.tracks]
    if codec == "H.265":  # the switches have no effect with it
        wanted = [[(number, 1) for number, probe in enumerate(probes) if probe.sounds]]
    assert found == [track for track in wanted if track]
    arguments = command(operation, *probes)
    mapped = [value for name, value in itertools.pairwise(arguments) if name == "-map"]
    assert mapped == ["[picture]", *(f"[sound{number}]" for number in range(len(found)))]


def test_music_alone_is_a_track() -> None:
    assert composed(job("a.mp4", audio={}, audio_mix=mix()), NONE, song()).tracks == ((),)
    replaced = job("a.mp4", keep=True, audio={}, audio_mix=mix(replace=True))
    assert composed(replaced, ONE, song()).tracks == ((),)
    assert composed(job("a.mp4", keep=True, audio={"remove": True}, audio_mix=mix()), ONE).tracks == ()


# --- the chains ------------------------------------------------------------------------------------------------------


def track(index: int = 1, seconds: float = 20.0) -> AudioTrack:
    return AudioTrack(index, "aac", 48000, 2, seconds)


def music(number: int = 3, *, seconds: float = 20.0, repeated: bool = True, **times: float) -> Music:
    faded = {"fade_in": 0.0, "fade_out": 0.0, "change": 0.0} | times
    return Music("m.mp3", number, track(0, seconds), repeated, **faded)


def test_one_sound_is_cut_and_not_limited() -> None:
    found = sound.chains([[Heard(2, track(1))]], [], Audio(), 44100, Span(Fraction(25), 50, 100))
    assert found == [
        f"[2:1]{SHAPED}[heard0_0]",
        "[heard0_0]apad=whole_dur=6.000000,atrim=start=2.000000:end=6.000000,asetpts=PTS-STARTPTS[sound0]",
    ]


def test_sounds_are_mixed_at_their_own_levels_and_limited() -> None:
    found = sound.chains([[Heard(0, track(1)), Heard(1, track(2))]], [], Audio(), 44100, SPAN)
    assert found == [
        f"[0:1]{SHAPED}[heard0_0]",
        f"[1:2]{SHAPED}[heard0_1]",
        (
            "[heard0_0][heard0_1]amix=inputs=2:duration=longest:normalize=0,alimiter=limit=0.98:level=0:latency=1,"
            "apad=whole_dur=10.000000,atrim=start=0.000000:end=10.000000,asetpts=PTS-STARTPTS[sound0]"
        ),
    ]


@pytest.mark.parametrize(
    ("channels", "layout"),
    [(None, "stereo"), (2, "stereo"), (4, "4.0"), (5, "5.0"), (6, "5.1"), (8, "7.1")],
)
def test_layouts(channels: int | None, layout: str) -> None:
    (first, _) = sound.chains([[Heard(0, track())]], [], Audio(channels=channels), 8000, SPAN)
    assert first == (
        f"[0:1]aresample=8000:async=1:first_pts=0,aformat=sample_fmts=fltp:channel_layouts={layout}[heard0_0]"
    )


@pytest.mark.parametrize(
    ("has", "wants", "steps", "layout"),
    [
        pytest.param(1, None, "async=1:first_pts=0,pan=stereo|c0=c0|c1=c0", "stereo", id="one becomes two by default"),
        pytest.param(1, 2, "async=1:first_pts=0,pan=stereo|c0=c0|c1=c0", "stereo", id="one becomes two"),
        pytest.param(2, 1, "rematrix_maxval=1:ochl=mono:async=1:first_pts=0", "mono", id="two become one"),
        pytest.param(6, 1, "rematrix_maxval=1:ochl=mono:async=1:first_pts=0", "mono", id="six become one"),
        pytest.param(1, 1, "async=1:first_pts=0", "mono", id="one stays one"),
        pytest.param(6, 2, "async=1:first_pts=0", "stereo", id="six become two"),
        pytest.param(1, 6, "async=1:first_pts=0", "5.1", id="one of six"),
    ],
)
def test_a_sound_stays_as_loud_as_it_is(has: int, wants: int | None, steps: str, layout: str) -> None:
    heard, mixed = replace(track(), channels=has), replace(music(), track=replace(track(0), channels=has))
    (first, second, *_) = sound.chains([[Heard(0, heard)]], [mixed], Audio(channels=wants), 8000, SPAN)
    shaped = f"aresample=8000:{steps},aformat=sample_fmts=fltp:channel_layouts={layout}"
    assert first.startswith(f"[3:0]{shaped},atrim=")
    assert second == f"[0:1]{shaped}[heard0_0]"


@pytest.mark.parametrize(
    ("tone", "channels", "wants"), [("mono", 1, 2), ("stereo", 2, 1), ("5.1", 6, 1), ("mono", 1, 1), ("stereo", 2, 2)]
)
def test_ffmpeg_leaves_its_level(tmp_path: Path, tone: str, channels: int, wants: int) -> None:
    same = "|".join(f"c{number}=c0" for number in range(channels))
    path, made = tmp_path / "tone.wav", tmp_path / "made.wav"
    run("-f", "lavfi", "-i", f"sine=f=500:d=0.4:r=8000,volume=2,pan={tone}|{same}", "-c:a", "pcm_f32le", str(path))
    (first, *_) = sound.chains(
        [[Heard(0, AudioTrack(0, "pcm_f32le", 8000, channels, 0.4))]], [], Audio(channels=wants), 8000, SPAN
    )
    run("-i", str(path), "-filter_complex", first, "-map", "[heard0_0]", "-c:a", "pcm_f32le", str(made))
    assert loudness(made, 500, seconds=0.3) == pytest.approx(0.25, rel=0.05)


def test_music_alone_is_as_long_as_the_picture() -> None:
    assert sound.chains([[]], [music()], Audio(), 44100, SPAN) == [
        f"[3:0]{SHAPED},atrim=end=10.000000[music0_0]",
        "[music0_0]apad=whole_dur=10.000000,atrim=end=10.000000[sound0]",
    ]


def test_music_begins_at_the_first_kept_frame() -> None:
    found = sound.chains([[Heard(0, track())]], [music()], Audio(), 44100, Span(Fraction(25), 50, 100))
    assert found[1:] == [
        f"[0:1]{SHAPED}[heard0_0]",
        "[heard0_0]apad=whole_dur=6.000000,atrim=start=2.000000:end=6.000000,asetpts=PTS-STARTPTS[kept0]",
        (
            "[kept0][music0_0]amix=inputs=2:duration=longest:normalize=0,alimiter=limit=0.98:level=0:latency=1,"
            "apad=whole_dur=4.000000,atrim=end=4.000000[sound0]"
        ),
    ]


def test_music_is_mixed_into_every_track() -> None:
    found = sound.chains([[Heard(0, track(1))], [Heard(0, track(2))]], [music(1), music(2)], Audio(), 44100, SPAN)
    assert [chain for chain in found if "asplit" in chain] == [
        f"[1:0]{SHAPED},atrim=end=10.000000,asplit=2[music0_0][music0_1]",
        f"[2:0]{SHAPED},atrim=end=10.000000,asplit=2[music1_0][music1_1]",
    ]
    assert [chain.partition(",")[0] for chain in found if chain.endswith(("[sound0]", "[sound1]"))] == [
        "[kept0][music0_0][music1_0]amix=inputs=3:duration=longest:normalize=0",
        "[kept1][music0_1][music1_1]amix=inputs=3:duration=longest:normalize=0",
    ]


@pytest.mark.parametrize(
    ("played", "filters"),
    [
        pytest.param(music(), "", id="none"),
        pytest.param(music(fade_in=2), ",afade=t=in:st=0:d=2.000000", id="in"),
        pytest.param(music(fade_out=2), ",afade=t=out:st=8.000000:d=2.000000", id="out, at the end of the result"),
        pytest.param(
            music(seconds=4, repeated=False, fade_out=1),
            ",afade=t=out:st=3.000000:d=1.000000",
            id="out, at its own end when it is played once",
        ),
        pytest.param(
            music(seconds=4, fade_out=1), ",afade=t=out:st=9.000000:d=1.000000", id="repeated: at the end of the result"
        ),
        pytest.param(
            music(fade_out=30), ",afade=t=out:st=0.000000:d=10.000000", id="a fade that is longer than the result"
        ),
        pytest.param(
            music(seconds=4, change=1),
            ",asetnsamples=n=512:p=0,volume='if(lt(t,4.000000),1,min(1,mod(t,4.000000)/1.000000))':eval=frame",
            id="each repetition fades in",
        ),
        pytest.param(
            music(seconds=4, repeated=False, change=1),
            ",afade=t=out:st=3.000000:d=1.000000",
            id="played once: out at its end, where the music changes",
        ),
        pytest.param(
            music(seconds=4, repeated=False, change=1, fade_out=2),
            ",afade=t=out:st=2.000000:d=2.000000",
            id="the fade at the end beats it",
        ),
        pytest.param(music(seconds=20, change=1), "", id="no change, as the music is longer than the result"),
        pytest.param(music(seconds=20, repeated=False, change=1), "", id="nor when it is played once"),
        pytest.param(
            music(seconds=4, fade_in=2, change=1, fade_out=3),
            ",afade=t=in:st=0:d=2.000000,asetnsamples=n=512:p=0,"
            "volume='if(lt(t,4.000000),1,min(1,mod(t,4.000000)/1.000000))':eval=frame,"
            "afade=t=out:st=7.000000:d=3.000000",
            id="all of them",
        ),
        pytest.param(music(seconds=0, change=1), "", id="music whose length nobody knows"),
        pytest.param(
            music(seconds=4, repeated=False, fade_out=30),
            ",afade=t=out:st=0.000000:d=4.000000",
            id="a fade that is longer than music that is played once",
        ),
        pytest.param(
            music(seconds=4, repeated=False, change=30),
            ",afade=t=out:st=0.000000:d=4.000000",
            id="so is one at its change",
        ),
        pytest.param(
            music(seconds=0, repeated=False, fade_out=1),
            ",afade=t=out:st=9.000000:d=1.000000",
            id="music of unknown length fades at the end of the result",
        ),
    ],
)
def test_fades(played: Music, filters: str) -> None:
    (first, _) = sound.chains([[]], [played], Audio(), 44100, SPAN)
    assert first == f"[3:0]{SHAPED},atrim=end=10.000000{filters}[music0_0]"


def test_repeated_music_is_opened_again_and_again_and_other_music_once() -> None:
    operation: Operation = job("a.mp4", audio={}, audio_mix_array=[mix("m.mp3"), mix("n.mp3", mix_mode="Once")])
    arguments = command(operation, source(), song(), song())
    assert arguments.count("-stream_loop") == 1
    begins = arguments.index("-stream_loop")
    assert "file:/in/1.mp4" in arguments[begins : begins + 7]
    assert graph(operation, source(), song(), song())[-3].startswith("[1:0]")
