"""What a job's result will be, compared as values."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given, strategies

from reconciler.service.probe import Probe
from reconciler.service.render import RenderFailed, compose
from reconciler.service.render.picture import Rect
from tests.service.media import job
from tests.service.render.probes import command, composed, graph, marked, option, song, source, still

# --- what is opened --------------------------------------------------------------------------------------------------


def test_a_source_wholly_outside_is_not_opened_unless_it_is_heard() -> None:
    outside = ("b.mp4", {"x": 256})
    assert [file.url for file in composed(job("a.mp4", outside), source(), source(sound=2)).files] == ["a.mp4"]
    heard = job("a.mp4", outside, keep=True, audio={})
    assert [file.url for file in composed(heard, source(), source(sound=2)).files] == ["a.mp4", "b.mp4"]
    assert [file.url for file in composed(heard, source(), source()).files] == ["a.mp4"]


def test_a_file_that_is_placed_twice_is_opened_once_and_heard_once() -> None:
    operation = job("a.mp4", ("b.mp4", {"y": 96}), ("a.mp4", {"x": 128}), keep=True, audio={})
    plan = composed(operation, source(sound=2), source())
    assert [file.url for file in plan.files] == ["a.mp4", "b.mp4"]
    assert [layer.input for layer in plan.layers] == [0, 1, 0]
    assert [[heard.input for heard in track] for track in plan.tracks] == [[0]]


def test_files_come_in_the_order_of_their_numbers_sources_then_music_then_marks() -> None:
    mixes = [{"audio_source": "m.mp3", "mix_mode": "Once"}, {"audio_source": "a.mp4"}]
    image = {"type": "Image", "image": {"url": "logo.png"}}
    text = {"type": "Text", "text": {"text": "demo"}}
    operation = marked(job("a.mp4", keep=True, audio={}, audio_mix_array=mixes), image, text, image)
    probes = {"a.mp4": source(sound=2), "m.mp3": song(), "logo.png": still()}
    plan = compose(operation, probes, {1: still(40, 20)})
    assert [(file.url, file.lettering, file.repeated) for file in plan.files] == [
        ("a.mp4", None, False),
        ("m.mp3", None, False),
        ("a.mp4", None, True),
        ("logo.png", None, False),
        ("", 1, False),
        ("logo.png", None, False),
    ]
    assert [music.input for music in plan.music] == [1, 2]
    assert [mark.input for mark in plan.marks] == [3, 4, 5]
    assert (plan.marks[1].rect.width, plan.marks[1].rect.height) == (40, 20)


# --- what cannot be --------------------------------------------------------------------------------------------------


def refusal(*arguments: Any) -> tuple[str, str]:
    with pytest.raises(RenderFailed) as failure:
        composed(*arguments)
    return failure.value.code, str(failure.value)


def test_a_canvas_has_a_size() -> None:
    without = job("a.mp4").model_copy(update={"transcode": None})
    message = "the size of the canvas is missing: transcode.video.width and .height"
    assert refusal(without, source()) == ("InvalidArgument", message)


def test_a_sound_cannot_be_placed() -> None:
    message = "a.mp3 has no video stream, so there is nothing to place"
    assert refusal(job("a.mp3"), song()) == ("InvalidSource", message)


def test_a_sound_is_no_watermark() -> None:
    operation = marked(job("a.mp4"), {"type": "Image", "image": {"url": "a.mp3"}})
    assert refusal(operation, source(), song()) == ("InvalidSource", "a.mp3 has no picture, so it is no watermark")


def test_a_picture_is_no_music() -> None:
    operation = job("a.mp4", audio={}, audio_mix={"audio_source": "b.png"})
    assert refusal(operation, source(), still()) == ("InvalidSource", "b.png has no sound, so it cannot be mixed in")


@pytest.mark.parametrize(("start", "seconds"), [(2, 2), (2, 1.5), (100, 2)])
def test_a_start_after_the_end_is_refused(start: float, seconds: float) -> None:
    message = f"transcode.time_interval.start is {start} s, but the composed video lasts {seconds:g} s"
    operation = job("a.mp4", time_interval={"start": start})
    assert refusal(operation, source(seconds=seconds, fps=10)) == ("InvalidArgument", message)


# --- rate and length -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fps", "sources", "rate"),
    [
        (None, [25, 30], Fraction(30)),
        (None, [Fraction(30000, 1001), 25], Fraction(30000, 1001)),
        (None, [120, 25], Fraction(60)),
        (None, [Fraction(1, 10)], Fraction(1)),
        (12, [25], Fraction(12)),
        (Decimal("29.97"), [25], Fraction(2997, 100)),
        (Decimal("23.976023976"), [25], Fraction(24000, 1001)),
        (Decimal("0.00001"), [25], Fraction(1, 1001)),
    ],
)
def test_frame_rate(fps: Decimal | int | None, sources: list[Fraction | int], rate: Fraction) -> None:
    places = [f"{number}.mp4" for number in range(len(sources))]
    assert composed(job(*places, video={"fps": fps}), *[source(fps=each) for each in sources]).fps == rate


def test_a_still_has_no_rate() -> None:
    assert composed(job("a.png", "b.mp4"), still(fps=60), source(fps=10)).fps == 10
    alone = job("a.png", time_interval={"duration": 2})
    assert composed(alone, still(fps=60)).fps == 25


@pytest.mark.parametrize(
    ("probes", "keep", "interval", "frames"),
    [
        pytest.param([source(seconds=2), source(seconds=3.2)], False, None, 80, id="the longest source decides"),
        pytest.param([source(seconds=2.01)], False, None, 51, id="no time is lost"),
        pytest.param([source(seconds=2.001)], False, None, 50, id="rounded time stamps add no frame"),
        pytest.param([source(seconds=0.001)], False, None, 1, id="one picture at least"),
        pytest.param([source(seconds=2, sound=3)], True, None, 75, id="a kept sound that goes on counts"),
        pytest.param([source(seconds=2, sound=3)], False, None, 50, id="a dropped one does not"),
        pytest.param([source(seconds=2, sound=2.05)], True, None, 50, id="the padding of an encoder does not"),
        pytest.param([source(seconds=2)], False, {"start": 0.5}, 37, id="from half a second on"),
        pytest.param([source(seconds=2)], False, {"duration": 0.5}, 13, id="the first half second"),
        pytest.param([source(seconds=2)], False, {"start": 1, "duration": 0.4}, 10, id="a part"),
        pytest.param([source(seconds=2)], False, {"start": 1, "duration": 9}, 25, id="no more than there is"),
        pytest.param([source(seconds=2)], False, {"duration": 0.001}, 1, id="a moment"),
        pytest.param([source(seconds=2)], False, {"duration": 0}, 50, id="0 is nothing said"),
        pytest.param([still(), source(seconds=2)], False, None, 50, id="a still is shown as long as the others"),
        pytest.param([still(sound=3)], True, None, 75, id="a still with a sound lasts as long as that"),
        pytest.param([still()], False, {"duration": 2}, 50, id="a still alone lasts as long as is asked"),
        pytest.param([still()], False, {"start": 1, "duration": 2}, 50, id="a still from its first second on"),
    ],
)
def test_length(probes: list[Probe], keep: bool, interval: dict[str, float] | None, frames: int) -> None:
    operation = job(*[f"{n}.mp4" for n in range(len(probes))], keep=keep, audio={}, time_interval=interval)
    plan = composed(operation, *probes)
    assert plan.frames == frames
    assert plan.duration == frames / 25
    assert option(command(operation, *probes), "-frames:v") == str(frames)


@pytest.mark.parametrize(("mode", "frames"), [("Once", 50), ("Repeat", 50), (None, 50)])
def test_music_ends_with_the_pictures(mode: str | None, frames: int) -> None:
    operation = job("a.mp4", audio={}, audio_mix={"audio_source": "m.mp3", "mix_mode": mode})
    assert composed(operation, source(seconds=2), song(4)).frames == frames


def test_stills_alone_need_a_length() -> None:
    advice = "write transcode.time_interval.duration"
    message = f"all sources are still pictures, so nothing says how long; {advice}"
    assert refusal(job("a.png", "b.png"), still(), still()) == ("InvalidArgument", message)
    music = {"audio_source": "m.mp3", "mix_mode": "Once"}
    assert composed(job("a.png", audio={}, audio_mix=music), still(), song(2)).frames == 50
    assert refusal(job("a.png", audio={}, audio_mix={"audio_source": "m.mp3"}), still(), song(2))[1] == message


def test_picture_and_sound_are_cut_at_the_same_frame() -> None:
    operation = job("a.mp4", keep=True, audio={}, time_interval={"start": 0.5, "duration": 1})
    picture, sound = (chain for chain in graph(operation, source(sound=2)) if chain.endswith(("[picture]", "[sound0]")))
    assert "trim=start_frame=13:end_frame=38,setpts=PTS-STARTPTS" in picture
    assert "atrim=start=0.520000:end=1.520000,asetpts=PTS-STARTPTS" in sound


# --- seeking ---------------------------------------------------------------------------------------------------------

LONG = {"start": 100, "duration": 4}


def starts(*probes: Probe, keep: bool = False, interval: dict[str, float] | None = None) -> tuple[list[float], int]:
    """Where each file begins, and the first frame that is kept of what is read then."""
    operation = job(*[f"{n}.mp4" for n in range(len(probes))], keep=keep, audio={}, time_interval=interval or LONG)
    plan = composed(operation, *probes)
    assert plan.frames == 100
    return [file.start for file in plan.files], plan.span.first


@pytest.mark.parametrize(
    ("probes", "keep", "wanted"),
    [
        pytest.param([source(seconds=200)], False, ([98.0], 50), id="two seconds before its first picture"),
        pytest.param([source(seconds=200, sound=200)], True, ([98.0], 50), id="its sound too"),
        pytest.param([source(seconds=200, demuxer="matroska")], False, ([98.0], 50), id="matroska has an index"),
        pytest.param([source(seconds=200, demuxer="mpegts")], False, ([0.0], 2500), id="others have none"),
        pytest.param(
            [source(seconds=200), source(seconds=200, demuxer="avi")], False, ([0.0, 0.0], 2500), id="one spoils it"
        ),
        pytest.param([source(seconds=200), still()], False, ([98.0, 0.0], 50), id="a still is always there"),
        pytest.param(
            [source(seconds=200), source(seconds=50)], False, ([98.0, 49.0], 50), id="one that has ended by then"
        ),
        pytest.param([source(seconds=200), source(seconds=0.5)], False, ([98.0, 0.0], 50), id="one that is very short"),
        pytest.param(
            [source(seconds=200), source(seconds=50, sound=120)],
            True,
            ([0.0, 0.0], 2500),
            id="its sound goes on: it would be heard at the wrong time",
        ),
        pytest.param(
            [source(seconds=200), source(seconds=50, sound=120)], False, ([98.0, 49.0], 50), id="nobody hears it"
        ),
        pytest.param(
            [source(seconds=200), source(seconds=50, sound=50)], True, ([98.0, 49.0], 50), id="both have ended"
        ),
    ],
)
def test_what_lies_long_before_the_first_picture_is_skipped(
    probes: list[Probe], keep: bool, wanted: tuple[list[float], int]
) -> None:
    assert starts(*probes, keep=keep) == wanted


@pytest.mark.parametrize(("start", "seeks"), [(11.9, False), (12, True), (13, True), (0, False)])
def test_only_what_is_worth_it_is_skipped(start: float, seeks: bool) -> None:
    (found,), first = starts(source(seconds=200), interval={"start": start, "duration": 4})
    assert bool(found) == seeks
    assert found * 25 + first == pytest.approx(start * 25, abs=1)


def test_frames_are_counted_exactly_where_the_rate_is_none_of_whole_numbers() -> None:
    rate = Fraction(30000, 1001)
    operation = job("a.mp4", time_interval={"start": 3600, "duration": 1})
    plan = composed(operation, source(seconds=4000, fps=rate))
    skipped = Fraction(plan.files[0].start).limit_denominator(30000) * rate
    assert skipped.denominator == 1
    assert int(skipped) + plan.span.first == 107893  # ceil(3600 * 30000 / 1001)


def test_music_and_marks_are_not_skipped() -> None:
    mark = {"type": "Image", "image": {"url": "logo.png"}}
    music = {"audio_source": "m.mp3"}
    operation = marked(job("a.mp4", audio={}, audio_mix=music, time_interval=LONG), mark)
    plan = composed(operation, source(seconds=200), song(300), still())
    assert [file.start for file in plan.files] == [98.0, 0.0, 0.0]


# --- sound -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keep", "audio", "sounds", "heard"),
    [
        (True, {}, [2, 2], 2),
        (True, {}, [0, 2], 1),
        (True, {}, [0, 0], 0),
        (False, {}, [2, 2], 0),
        (True, None, [2, 2], 0),
        (True, {"remove": True}, [2, 2], 0),
        (True, {"remove": False}, [2, 2], 2),
    ],
)
def test_sound(keep: bool, audio: dict[str, Any] | None, sounds: list[int], heard: int) -> None:
    operation = job("a.mp4", "b.mp4", keep=keep, audio=audio)
    probes = [source(sound=each) for each in sounds]
    arguments = command(operation, *probes)
    assert composed(operation, *probes).has_audio == bool(heard)
    assert ("-an" in arguments) == (not heard)
    assert ("amix=inputs=2" in ";".join(graph(operation, *probes))) == (heard == 2)
    assert option(arguments, "-c:a") == ("aac" if heard else None)


# --- size and notes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("video", "size"),
    [
        ({}, (256, 192)),
        ({"crop": "128:64:10:20"}, (128, 64)),
        ({"rotate": 90}, (192, 256)),
        ({"rotate": 180}, (256, 192)),
        ({"rotate": 270}, (192, 256)),
        ({"rotate": 30}, (256, 192)),
        ({"crop": "128:64:0:0", "rotate": 90}, (64, 128)),
    ],
)
def test_the_size_of_the_result(video: dict[str, Any], size: tuple[int, int]) -> None:
    plan = composed(job("a.mp4", video=video), source())
    assert (plan.width, plan.height) == size
    assert plan.canvas == Rect(0, 0, 256, 192)


def test_what_was_done_to_a_source_is_noted_once_and_only_where_it_is_seen() -> None:
    hdr, fields = source(transfer="smpte2084"), source(interlaced=True, transfer="arib-std-b67")
    operation = job("in/a.mp4", ("in/b.mp4", {"x": 128}), "in/a.mp4", "in/c.mp4")
    assert composed(operation, hdr, fields, source()).notes == (
        "in/a.mp4 is HDR (smpte2084) and was converted to BT.709",
        "in/b.mp4 is HDR (arib-std-b67) and was converted to BT.709",
        "in/b.mp4 is interlaced and was deinterlaced",
    )
    assert composed(job("in/a.mp4", ("in/b.mp4", {"x": 256})), source(), hdr).notes == ()


# --- every composition -----------------------------------------------------------------------------------------------

SIDES = strategies.integers(-300, 300)
SIZES = strategies.integers(1, 600)
RECTS = strategies.builds(Rect, SIDES, SIDES, SIZES, SIZES)


@given(strategies.lists(RECTS, min_size=1, max_size=5))
def test_every_visible_source_is_placed_once_and_every_label_is_used(rects: list[Rect]) -> None:
    places = [{"x": rect.x, "y": rect.y, "width": rect.width, "height": rect.height} for rect in rects]
    operation = job(*[(f"{number % 3}.mp4", place) for number, place in enumerate(places)])
    probes = [source()] * min(3, len(rects))
    plan = composed(operation, *probes)
    chains = ";".join(graph(operation, *probes))
    canvas = Rect(0, 0, 256, 192)
    assert len(plan.layers) == sum(rect.intersection(canvas) is not None for rect in rects)
    for number in range(len(plan.layers)):
        assert chains.count(f"[placed{number}]") == 2


@given(
    start=strategies.integers(0, 4000).map(lambda each: each / 10),
    lengths=strategies.lists(strategies.integers(1, 4000).map(lambda each: each / 10), min_size=1, max_size=3),
    rate=strategies.sampled_from([Fraction(25), Fraction(30000, 1001), Fraction(10), Fraction(60)]),
)
def test_skipping_changes_neither_the_length_nor_what_is_kept(
    start: float, lengths: list[float], rate: Fraction
) -> None:
    operation = job(*[f"{n}.mp4" for n in range(len(lengths))], time_interval={"start": start, "duration": 5})
    assume(start < max(lengths) - 0.2)
    skipping = composed(operation, *[source(seconds=each, fps=rate) for each in lengths])
    whole = composed(operation, *[source(seconds=each, fps=rate, demuxer="flv") for each in lengths])
    longest = max(range(len(lengths)), key=lambda number: lengths[number])
    skipped = skipping.files[longest].start * float(rate)
    assert skipping.frames == whole.frames
    assert skipping.span.first + round(skipped) == whole.span.first
    assert skipped == pytest.approx(round(skipped), abs=0.01)
