"""The whole command of a job, and what it takes from several modules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reconciler.service.render import argv, compose
from tests.service.media import job
from tests.service.render.probes import command, composed, graph, marked, option, song, source, still

SCALE = "flags=bicubic+accurate_rnd:in_color_matrix=bt709:out_color_matrix=bt709:out_range=tv"


def test_the_whole_command() -> None:
    operation = job(
        ("in/a.mp4", {"width": 640}),
        ("in/b.mp4", {"x": 640, "width": 640, "height": 960}),
        keep=True,
        video={"width": 1280, "height": 960, "fps": 30, "bitrate": 1500, "preset": "medium"},
        audio={"codec": "aac", "samplerate": 48000, "bitrate": 128, "channels": 2},
    )
    hardened = "-protocol_whitelist file -format_whitelist mov -f mov -enable_drefs 0 -use_absolute_path 0"
    assert " ".join(command(operation, source(1280, 720, fps=30, sound=2), source(1280, 720, sound=2))) == (
        "ffmpeg -hide_banner -nostdin -nostats -v error -xerror -y -progress pipe:1 -stats_period 0.2"
        " -max_alloc 1073741824 -filter_complex_threads 2"
        f" {hardened} -max_pixels 35389440 -reinit_filter 0 -threads 2 -i file:/in/0.mp4"
        f" {hardened} -max_pixels 35389440 -reinit_filter 0 -threads 2 -i file:/in/1.mp4"
        " -filter_complex"
        f" [0:0]scale=640:720:{SCALE},format=yuv420p,setsar=1,fps=30/1:start_time=0[placed0];"
        f"[1:0]scale=640:960:{SCALE},format=yuv420p,setsar=1,fps=30/1:start_time=0[placed1];"
        "[placed0][placed1]xstack=inputs=2:layout=0_0|640_0:fill=black,pad=1280:960:0:0:black[base];"
        "[base]tpad=stop=60:stop_mode=clone,trim=end_frame=60,"
        "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709[picture];"
        "[0:1]aresample=48000:async=1:first_pts=0,aformat=sample_fmts=fltp:channel_layouts=stereo[heard0_0];"
        "[1:1]aresample=48000:async=1:first_pts=0,aformat=sample_fmts=fltp:channel_layouts=stereo[heard0_1];"
        "[heard0_0][heard0_1]amix=inputs=2:duration=longest:normalize=0,alimiter=limit=0.98:level=0:latency=1,"
        "apad=whole_dur=2.000000,atrim=start=0.000000:end=2.000000,asetpts=PTS-STARTPTS[sound0]"
        " -map [picture] -map [sound0] -c:a aac -ar 48000 -ac 2 -b:a 128k -flags:a +bitexact"
        " -frames:v 60 -fps_mode cfr -r 30/1"
        " -c:v libx264 -preset medium -b:v 1500k -threads 2 -pix_fmt yuv420p -profile:v high -flags:v +bitexact"
        " -map_metadata 0 -map_chapters -1 -metadata major_brand= -metadata minor_version="
        " -metadata compatible_brands= -metadata encoder= -fflags +bitexact"
        " -movflags +faststart -f mp4 file:made.mp4"
    )


def test_the_same_job_gives_the_same_command() -> None:
    operation = job("a.mp4", keep=True, audio={})
    assert command(operation, source(sound=2)) == command(operation, source(sound=2))


# --- inputs ----------------------------------------------------------------------------------------------------------


def inputs(arguments: list[str]) -> list[str]:
    """The options of each input, without those of the command."""
    text = " ".join(arguments[arguments.index("-filter_complex_threads") + 2 : arguments.index("-filter_complex")])
    return [part.strip() for part in text.split("-protocol_whitelist file")[1:]]


@pytest.mark.parametrize(
    ("probe", "wanted"),
    [
        (
            source(demuxer="matroska"),
            "-format_whitelist matroska -f matroska -max_pixels 35389440 -reinit_filter 0 -threads 2",
        ),
        (
            source(decoder="libvpx-vp9", demuxer="matroska"),
            "-format_whitelist matroska -f matroska -c:v libvpx-vp9 -max_pixels 35389440 -reinit_filter 0 -threads 2",
        ),
        (still(sound=2), "-format_whitelist png_pipe -f png_pipe -max_pixels 35389440 -reinit_filter 0 -threads 2"),
    ],
)
def test_an_input_is_read_as_what_it_was_found_to_be(probe: Any, wanted: str) -> None:
    (found,) = inputs(command(job("a", keep=True, audio={}), probe))
    assert found == f"{wanted} -i file:/in/0.mp4"


def test_music_is_repeated_and_has_no_picture() -> None:
    operation = job("a.mp4", audio={}, audio_mix={"audio_source": "m.mp3"})
    assert inputs(command(operation, source(), song()))[1] == (
        "-format_whitelist mp3 -f mp3 -stream_loop -1 -threads 2 -i file:/in/1.mp4"
    )


def test_what_is_sought_is_sought_before_it_is_opened() -> None:
    operation = job("a.mp4", time_interval={"start": 100, "duration": 1})
    assert inputs(command(operation, source(seconds=200)))[0].endswith("-ss 98.000000 -threads 2 -i file:/in/0.mp4")


@pytest.mark.parametrize(("count", "threads"), [(1, 2), (2, 2), (3, 1), (16, 1)])
def test_many_files_are_decoded_side_by_side_with_one_thread_each(count: int, threads: int) -> None:
    found = inputs(command(job(*[f"{n}.mp4" for n in range(count)]), *[source()] * count))
    assert len(found) == count
    assert all(f"-threads {threads} -i" in each for each in found)


def test_a_file_that_is_placed_many_times_is_one_file_to_decode() -> None:
    operation = job("a.mp4", ("a.mp4", {"x": 128}), ("a.mp4", {"y": 96}), "b.mp4")
    assert option(command(operation, source(), source()), "-threads") == "2"


def test_music_and_marks_are_no_reason_to_decode_with_one_thread() -> None:
    operation = job("a.mp4", audio={}, audio_mix_array=[{"audio_source": f"{n}.mp3"} for n in range(3)])
    logos = [{"type": "Image", "image": {"url": f"{n}.png"}} for n in range(3)]
    found = inputs(command(marked(operation, *logos), source(), *[song()] * 3, *[still()] * 3))
    assert len(found) == 7
    assert all("-threads 2 -i" in each for each in found)


def test_a_path_is_told_as_a_file_whatever_it_looks_like() -> None:
    composition = compose(job("a"), {"a": source()})
    arguments = argv(composition, ffmpeg="/bin/x", inputs=[Path("/in/pipe:0 -y.mp4")], name="n", threads=1)
    assert arguments[0] == "/bin/x"
    assert option(arguments, "-i") == "file:/in/pipe:0 -y.mp4"
    assert option(arguments, "-filter_complex_threads") == option(arguments, "-threads") == "1"


def test_only_the_metadata_of_a_source_is_kept_not_that_of_music_or_a_mark() -> None:
    outside = ("a.mp4", {"x": 256})
    assert option(command(job(outside), source()), "-map_metadata") == "-1"
    logo = {"type": "Image", "image": {"url": "l.png"}}
    added = marked(job(outside, keep=True, audio={}, audio_mix={"audio_source": "m.mp3"}), logo)
    assert option(command(added, source(), song(), still()), "-map_metadata") == "-1"
    assert option(command(added, source(sound=2), song(), still()), "-map_metadata") == "0"
    assert option(command(job(outside, "b.mp4"), source(), source()), "-map_metadata") == "0"


# --- what follows the composition ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("video", "filters"),
    [
        ({}, ""),
        ({"crop": "128:64:10:20"}, "crop=128:64:10:20:exact=1,"),
        ({"rotate": 90}, "transpose=clock,"),
        ({"rotate": 180}, "hflip,vflip,"),
        ({"rotate": 270}, "transpose=cclock,"),
        ({"rotate": 30}, "rotate=0.523598776:fillcolor=black,"),
        ({"rotate": 0}, ""),
        ({"crop": "128:64:0:0", "rotate": 90}, "crop=128:64:0:0:exact=1,transpose=clock,"),
    ],
)
def test_what_follows_the_composition(video: dict[str, Any], filters: str) -> None:
    assert f"trim=end_frame=50,{filters}setparams=" in graph(job("a.mp4", video=video), source())[-1]


def test_an_interlaced_result_is_composed_at_the_rate_of_its_fields() -> None:
    operation = job("a.mp4", video={"interlaced": True, "rotate": 180}, time_interval={"start": 1})
    chains = graph(operation, source(fps=50, seconds=3))
    assert "fps=100/1:start_time=0" in chains[0]
    assert chains[-1].startswith(
        "[base]tpad=stop=300:stop_mode=clone,trim=start_frame=100:end_frame=300,setpts=PTS-STARTPTS,"
        "hflip,vflip,interlace=scan=tff:lowpass=off,setparams="
    )
    arguments = command(operation, source(fps=50, seconds=3))
    assert [option(arguments, name) for name in ("-r", "-frames:v", "-flags:v")] == [
        "50/1",
        "100",
        "+bitexact+ildct+ilme",
    ]
    assert composed(operation, source(fps=50, seconds=3)).fps == 50


def test_a_background_of_an_interlaced_result_appears_when_it_should() -> None:
    wall = {"type": "Image", "image": {"url": "l.png", "background": True}, "start_time": "0.5", "end_time": 1}
    operation = marked(job("a.mp4", video={"interlaced": True}, time_interval={"start": 1}), wall)
    chains = graph(operation, source(seconds=3), still())
    assert any(chain.endswith(":enable='gte(t,1.500)*lt(t,2.000)'[grounded0]") for chain in chains)


def test_a_mark_that_slides_is_composed_with_full_chroma() -> None:
    sliding = {"slide_mode": "ScrollFromLeft", "x_slide_speed": 10}
    logo = {"type": "Image", "image": {"url": "l.png"}}
    still_chains = graph(marked(job("a.mp4"), logo), source(), still())
    moving_chains = graph(marked(job("a.mp4"), logo, {**logo, "slide_config": sliding}), source(), still())
    assert "format=yuv420p" in still_chains[0].split(",")
    assert "format=yuv444p" in moving_chains[0].split(",")
    assert [chain for chain in moving_chains if "overlay=" in chain and ":format=yuv444[" not in chain] == []
    assert "format=yuv420p" in moving_chains[-1].split(",")


def test_marks_of_an_interlaced_result_are_painted_before_it_has_fields() -> None:
    operation = marked(job("a.mp4", video={"interlaced": True}), {"type": "Image", "image": {"url": "l.png"}})
    assert graph(operation, source(), still())[-1].startswith("[marked0]interlace=scan=tff:lowpass=off,setparams=")


@pytest.mark.parametrize(
    ("video", "filters"),
    [
        ({"color_param": {}}, "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"),
        (
            {"color_param": {"color_range": "limited"}},
            "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709",
        ),
        *[
            (
                {"color_param": {"color_range": word}},
                (
                    "scale=flags=bicubic+accurate_rnd:in_range=tv:out_range=pc,format=yuv420p,"
                    "setparams=range=pc:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
                ),
            )
            for word in ("pc", "full", "jpeg")
        ],
        (
            {"color_param": {"color_space": "smpte170m", "color_primaries": "bt470bg", "color_trc": "smpte170m"}},
            (
                "zscale=min=bt709:tin=bt709:pin=bt709:rin=tv:m=smpte170m:t=smpte170m:p=bt470bg:r=tv,format=yuv420p,"
                "setparams=range=tv:color_primaries=bt470bg:color_trc=smpte170m:colorspace=smpte170m"
            ),
        ),
        (
            {"color_param": {"color_space": "bt470bg"}, "pixfmt": "yuvj420p"},
            (
                "zscale=min=bt709:tin=bt709:pin=bt709:rin=tv:m=bt470bg:t=bt709:p=bt709:r=pc,format=yuvj420p,"
                "setparams=range=pc:color_primaries=bt709:color_trc=bt709:colorspace=bt470bg"
            ),
        ),
    ],
)
def test_colour_parameters(video: dict[str, Any], filters: str) -> None:
    assert graph(job("a.mp4", video=video), source())[-1] == (
        f"[base]tpad=stop=50:stop_mode=clone,trim=end_frame=50,{filters}[picture]"
    )


@pytest.mark.parametrize(
    ("color", "matrix"), [(None, "bt470bg"), ({}, "bt470bg"), ({"color_space": "smpte170m"}, "smpte170m")]
)
def test_vp8_knows_no_other_colours_than_those_of_bt601(color: dict[str, Any] | None, matrix: str) -> None:
    video = {"preset": None} | ({} if color is None else {"color_param": color})
    last = graph(job("a.webm", container={"format": "webm"}, video=video), source())[-1]
    assert last.endswith(
        f"zscale=min=bt709:tin=bt709:pin=bt709:rin=tv:m={matrix}:t=bt709:p=bt709:r=tv,format=yuv420p,"
        f"setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace={matrix}[picture]"
    )


# --- segments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "fps", "frames"),
    [
        pytest.param(2, 25, 50, id="whole frames"),
        pytest.param(2, "29.97", 60, id="the least number that fills it"),
        pytest.param(1, "0.5", 1, id="at least one"),
    ],
)
def test_segments_of_dash_begin_with_key_frames_too(seconds: int, fps: float | str, frames: int) -> None:
    packing = {"format": "dash", "clip_config": {"duration": seconds}}
    arguments = command(job("a.mp4", container=packing, video={"fps": fps}), source())
    assert option(arguments, "-force_key_frames") == f"expr:not(mod(n,{frames}))"
    assert option(arguments, "-g") == str(frames)
