"""Awkward sources: how each is made, and what a composition with it must show, or why it must be refused.

Every film shows the same scene: four quadrants of muted colours, so that a rotation, a mirroring, a wrong matrix or a
wrong range is seen, and a black mark in the middle from some time on, so that a wrong timing is. With it sounds a tone.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from filelock import FileLock

from tests.service.media import Colour, run

TONE: Final = 440
RED, BLUE, GREEN, PALE, YELLOW = (200, 40, 40), (50, 60, 200), (40, 170, 60), (235, 235, 235), (255, 255, 0)

Quadrants = tuple[tuple[Colour, float], tuple[Colour, float], tuple[Colour, float], tuple[Colour, float]]
"""Colours and opacities: upper left, upper right, lower left, lower right."""

SCENE: Final[Quadrants] = ((RED, 1), (BLUE, 1), (GREEN, 1), (PALE, 1))
PLAIN: Final[Quadrants] = ((RED, 1),) * 4
HOLED: Final[Quadrants] = ((RED, 1), (BLUE, 0.5), (GREEN, 0), (PALE, 1))
CUT_OUT: Final[Quadrants] = ((RED, 1), (BLUE, 1), (GREEN, 0), (PALE, 1))

Make = Callable[[Path], None]


@dataclass(frozen=True)
class Shown:
    """What is seen and heard of a source.

    ``seconds`` is its length, 0 that of a still picture, which is as long as the others. ``mark`` is when the mark
    appears in seconds, None when never. ``heard`` is from when to when the tone sounds. ``slack`` is how many frames
    the length may be off where the file itself is vague. ``size`` is the picture's own size where that is the point.
    """

    quadrants: Quadrants = SCENE
    seconds: float = 0.8
    mark: float | None = 0.4
    heard: tuple[float, float] | None = (0.0, 0.8)
    tolerance: int = 12
    slack: int = 0
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Refused:
    """The code of the failed job, and words that its message holds beside the source's key."""

    code: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """One awkward source. ``video`` and ``interval`` are what its jobs ask for beside the usual.

    ``linked`` puts a symbolic link to the file into the bucket, not the file.
    """

    name: str
    suffix: str
    make: Make
    expected: Shown | Refused
    key: str = ""
    video: dict[str, Any] = field(default_factory=dict)
    interval: dict[str, Any] = field(default_factory=dict)
    linked: bool = False


@dataclass(frozen=True)
class Corpus:
    """The sources' files in one folder, each made once, by whichever process needs it first."""

    folder: Path

    def path(self, source: Source) -> Path:
        path = self.folder / f"{source.name}.{source.suffix}"
        with FileLock(self.folder / f"{source.name}.lock"):
            if not path.exists():
                partial = self.folder / f"partial-{path.name}"
                source.make(partial)
                partial.rename(path)
        return path


# --- making ----------------------------------------------------------------------------------------------------------

# Options are written as on a command line and split at spaces.
X264: Final = "-c:v libx264 -preset ultrafast -crf 4"
X265: Final = "-c:v libx265 -preset ultrafast -crf 4 -x265-params log-level=error"
VP8: Final = "-c:v libvpx -deadline realtime -crf 4 -b:v 2M -auto-alt-ref 0"
VP9: Final = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -crf 8 -b:v 0 -auto-alt-ref 0"
FFV1: Final = "-c:v ffv1"
MPEG2: Final = "-c:v mpeg2video -q:v 2"
MPEG4: Final = "-c:v mpeg4 -q:v 2"
PCM: Final = "-c:a pcm_s16le"
FLAC: Final = "-c:a flac"
SINE: Final = f"sine=f={TONE}:r=44100,volume=3"


def yuv(pixels: str = "yuv420p", matrix: str = "smpte170m", *, full: bool = False, tag: str | None = None) -> str:
    """Return the filters that code the scene with a matrix, and say so with its tag, or with another one."""
    span = "pc" if full else "tv"
    said = f"setparams=colorspace={tag or matrix}:color_primaries=unknown:color_trc=unknown:range={span}"
    return f"format=gbrp,scale=out_color_matrix={matrix}:out_range={span},format={pixels},{said}"


UNTAGGED: Final = yuv(tag="unknown")
RGB: Final = "format=gbrp"
RGBA: Final = "format=gbrap"
NOISE: Final = f"{RGB},noise=alls=20:allf=t,{UNTAGGED}"


def scene(quadrants: Quadrants, size: tuple[int, int], rate: str, seconds: float, mark: float | None) -> str:
    """Return FFmpeg's source of the scene, in RGB with opacity; a tiny one has the first colour alone."""
    width, height = size
    boxes = [
        f"drawbox=x={width // 2 * (place % 2)}:y={height // 2 * (place // 2)}:w={width}:h={height}"
        f":c=0x{bytes(colour).hex()}@{opacity}:t=fill:replace=1"
        for place, (colour, opacity) in enumerate(quadrants)
    ]
    if width < 8 or height < 8:
        boxes = [f"drawbox=c=0x{bytes(quadrants[0][0]).hex()}:t=fill"]
    if mark is not None:
        area = f"x={width * 3 // 8}:y={height * 3 // 8}:w={width // 4}:h={height // 4}"
        boxes.append(f"drawbox={area}:c=black:t=fill:replace=1:enable='gte(t,{mark - 0.001})'")
    return f"color=c=black:s={width}x{height}:r={rate}:d={seconds},format=gbrap,{','.join(boxes)}"


def film(
    options: str = "",
    *,
    filters: str = UNTAGGED,
    quadrants: Quadrants = SCENE,
    size: tuple[int, int] = (64, 48),
    rate: str = "25",
    seconds: float = 0.8,
    mark: float | None = 0.4,
    sound: str | None = SINE,
    sounds: float | None = None,
    codec: str = X264,
    delays: tuple[str, str] = ("0", "0"),
) -> Make:
    """Return what makes a film of the scene; ``delays`` shift picture and sound by seconds, ``sounds`` is its length."""

    def make(path: Path) -> None:
        shown = scene(quadrants, size, rate, seconds, mark)
        inputs = ["-itsoffset", delays[0], "-f", "lavfi", "-i", f"{shown},{filters}"]
        if sound:
            length = seconds if sounds is None else sounds
            inputs += ["-itsoffset", delays[1], "-f", "lavfi", "-i", f"{sound},atrim=end={length}"]
        run(*inputs, *codec.split(), *options.split(), str(path))

    return make


def mute(options: str = "", **rest: Any) -> Make:
    """Return what makes a film without sound."""
    return film(options, sound=None, **rest)


def still(options: str = "", *, filters: str = RGB, **rest: Any) -> Make:
    """Return what makes one picture."""
    return mute(f"-frames:v 1 -update 1 {options}", filters=filters, mark=None, codec="", **rest)


def again(first: Make, before: str, suffix: str = "mp4") -> Make:
    """Return what copies the streams of another film, with options for its reading."""

    def make(path: Path) -> None:
        raw = path.with_name(f"{path.stem}-first.{suffix}")
        first(raw)
        run(*before.split(), "-i", str(raw), "-map", "0", "-c", "copy", str(path))
        raw.unlink()

    return make


def stored(filters: str, shown: str, suffix: str = "mp4") -> Make:
    """Return what makes a film whose picture is stored otherwise than its display matrix, ``shown``, shows it."""
    return again(mute(filters=f"{RGB},{filters},{UNTAGGED}"), shown, suffix)


def more(options: str, *, inputs: str = "") -> Make:
    """Return what adds tracks to a film: FFmpeg's inputs, then what is done with them. TEXT is a file of subtitles."""

    def make(path: Path) -> None:
        raw, text = path.with_name(f"{path.stem}-first.mkv"), path.with_name(f"{path.stem}.srt")
        film()(raw)
        text.write_text("1\n00:00:00,000 --> 00:00:00,700\nHello\n")
        given = [str(text) if word == "TEXT" else word for word in f"{inputs} -c copy {options}".split()]
        run("-i", str(raw), *given, str(path))
        raw.unlink()
        text.unlink()

    return make


def written(content: bytes) -> Make:
    """Return what writes some bytes."""

    def make(path: Path) -> None:
        path.write_bytes(content)

    return make


def changed(first: Make, change: Callable[[bytes], bytes]) -> Make:
    """Return what makes a file and changes its bytes."""

    def make(path: Path) -> None:
        first(path)
        path.write_bytes(change(path.read_bytes()))

    return make


def cut(first: Make, share: float) -> Make:
    """Return what makes a file and throws its end away."""
    return changed(first, lambda content: content[: round(len(content) * share)])


def damaged(first: Make, begin: float, end: float) -> Make:
    """Return what makes a file and flips every seventh byte in a part of it."""

    def flipped(content: bytes) -> bytes:
        damage = range(round(len(content) * begin), round(len(content) * end), 7)
        return bytes(byte ^ 0xFF if at in damage else byte for at, byte in enumerate(content))

    return changed(first, flipped)


def claiming(first: Make, old: bytes, new: bytes) -> Make:
    """Return what makes a file and replaces what a pattern finds in its headers, keeping the pattern's group."""
    return changed(first, lambda content: re.sub(old, lambda found: b"".join((*found.groups(), new)), content))


def joined(*parts: Make) -> Make:
    """Return what puts files one after the other, as a broken recording does."""

    def make(path: Path) -> None:
        content = b""
        for part in parts:
            part(path)
            content += path.read_bytes()
        path.write_bytes(content)

    return make


def renumbered(content: bytes) -> bytes:
    """Give the packets of a transport stream the numbers of one recording, so that none seems to be lost."""
    stream = bytearray(content)
    numbers: Counter[int] = Counter()
    for at in range(0, len(stream), 188):
        track = stream[at + 1] % 32 * 256 + stream[at + 2]
        if stream[at + 3] & 0x10:
            stream[at + 3] = stream[at + 3] & 0xF0 | numbers[track] % 16
            numbers[track] += 1
    return bytes(stream)


def png(width: int, height: int) -> bytes:
    """Return a small file that claims to be a picture of some size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (header, b"IDAT" + zlib.compress(bytes(1000)), b"IEND")
    framed = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def turned_jpeg(orientation: int, filters: str) -> Make:
    """Return what makes a JPEG whose EXIF says how it must be turned."""
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    exif = b"Exif\0\0" + tiff
    marker = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    upright = still("-q:v 1", filters=f"{RGB},{filters},scale=out_range=pc,format=yuvj444p")
    return changed(upright, lambda content: content[:2] + marker + content[2:])


def hdr(transfer: str) -> str:
    """Return the filters that code the scene in BT.2020 with a transfer of HDR."""
    sdr = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=gbr:range=pc"
    linear = f"zscale=transfer={transfer}:primaries=bt2020:matrix=bt2020nc:range=tv:npl=203"
    tagged = f"setparams=colorspace=bt2020nc:color_primaries=bt2020:color_trc={transfer}"
    return f"{RGB},{sdr},format=gbrpf32le,{linear},format=yuv420p10le,{tagged}"


def fields(first: str) -> dict[str, Any]:
    """Return the scene in fields; the mark appears between the two of one frame."""
    woven = f"{RGB},tinterlace=mode=interleave_{first},{UNTAGGED},setfield={first[0]}ff"
    return {"rate": "50", "mark": 0.42, "size": (128, 96), "filters": woven}


# --- the corpus ------------------------------------------------------------------------------------------------------

SOUNDING: Final = Shown()
SILENT: Final = Shown(heard=None)
STILL: Final = Shown(seconds=0, mark=None, heard=None)
TINY: Final = Shown(PLAIN, mark=None, heard=None)
BY_A_FRAME: Final = Shown(slack=1)
DAMAGED: Final = Refused("InvalidSource", ())
UNREADABLE: Final = Refused("InvalidSource", ("read",))
OTHER_FORMAT: Final = Refused("InvalidSource", ("format",))
NO_PICTURE: Final = Refused("InvalidSource", ("no video",))


def sources(suffix: str, expected: Shown | Refused, made: Mapping[str, Make]) -> tuple[Source, ...]:
    """Return sources of one container of which the same is expected, by their names."""
    return tuple(Source(name, suffix, make, expected) for name, make in made.items())


def sized(width: int, height: int, expected: Shown = SILENT) -> Shown:
    """Return what is expected of a source that has a size of its own on the canvas."""
    return replace(expected, size=(width, height))


def lasting(seconds: float, mark: float | None, heard: tuple[float, float] | None = None, slack: int = 0) -> Shown:
    """Return what is expected of a source that is not as long as the others."""
    return Shown(seconds=seconds, mark=mark, heard=heard, slack=slack)


ROTATIONS: Final = (
    Source("rotation-90", "mp4", stored("transpose=clock", "-display_rotation 90"), sized(64, 48)),
    Source("rotation-180", "mp4", stored("hflip,vflip", "-display_rotation 180"), sized(64, 48)),
    Source("rotation-270", "mp4", stored("transpose=cclock", "-display_rotation 270"), sized(64, 48)),
    Source(
        "rotation-5",
        "mp4",
        again(mute(quadrants=PLAIN), "-display_rotation 5"),
        sized(64, 48, replace(SILENT, quadrants=PLAIN)),
    ),
    *sources("mov", SILENT, {"rotation-in-mov": stored("transpose=clock", "-display_rotation 90", "mov")}),
    *sources("mkv", SILENT, {"rotation-in-mkv": stored("transpose=clock", "-display_rotation 90", "mkv")}),
    *sources(
        "mp4",
        SILENT,
        {
            "flip-horizontal": stored("hflip", "-display_hflip"),
            "flip-vertical": stored("vflip", "-display_vflip"),
            "flip-and-turn": stored("transpose=cclock_flip", "-display_rotation 90 -display_vflip"),
        },
    ),
)

RAW_H264: Final = joined(mute("-f h264", mark=None), mute("-f h264", size=(128, 96), mark=None))
SHAPES: Final = (
    Source("sar-64-45", "mp4", film("-aspect 4096:2160"), sized(91, 48, SOUNDING)),
    Source("sar-1-2", "mp4", film("-aspect 2:3"), sized(32, 48, SOUNDING)),
    Source("sar-8-9", "mp4", film("-aspect 32:27"), sized(57, 48, SOUNDING)),
    Source("odd-641x361", "mp4", film(size=(641, 361), filters=yuv("yuv444p")), SOUNDING),
    Source("odd-17x9", "webm", mute(size=(17, 9), codec=VP9, mark=None), replace(SILENT, mark=None, tolerance=30)),
    *sources(
        "mkv",
        TINY,
        {
            f"size-{width}x{height}": mute(size=(width, height), codec=FFV1, filters=RGB, quadrants=PLAIN, mark=None)
            for width, height in ((3, 5), (1, 1), (4000, 16), (16, 4000))
        },
    ),
    Source("size-changes", "mkv", again(RAW_H264, "", "h264"), lasting(1.6, None)),
)

PALETTE: Final = "split[a][b];[a]palettegen=reserve_transparent={}[p];[b][p]paletteuse"
GIF: Final = f"{RGB},{PALETTE.format(0)}"


def transparent(codec: str, pixels: str) -> Make:
    """Return what makes a film with transparent parts."""
    return mute(quadrants=HOLED, filters=f"{RGBA},format={pixels}", codec=codec)


ALPHA: Final = (
    *sources(
        "webm",
        replace(SILENT, quadrants=HOLED, tolerance=16),
        {"alpha-vp9": transparent(VP9, "yuva420p"), "alpha-vp8": transparent(VP8, "yuva420p")},
    ),
    *sources(
        "mov",
        replace(SILENT, quadrants=HOLED),
        {
            "alpha-prores-4444": transparent("-c:v prores_ks -profile:v 4444", "yuva444p10le"),
            "alpha-qtrle": transparent("-c:v qtrle", "argb"),
            "alpha-png": transparent("-c:v png", "rgba"),
        },
    ),
    Source("alpha-ffv1", "mkv", transparent(FFV1, "bgra"), replace(SILENT, quadrants=HOLED)),
    Source("alpha-utvideo", "avi", transparent("-c:v utvideo", "gbrap"), replace(SILENT, quadrants=HOLED)),
    Source(
        "alpha-gif",
        "gif",
        mute(filters=f"{RGBA},{PALETTE.format(1)}", quadrants=CUT_OUT, codec=""),
        replace(SILENT, quadrants=CUT_OUT, tolerance=16),
    ),
    Source("alpha-still", "png", still(filters=RGBA, quadrants=HOLED), replace(STILL, quadrants=HOLED)),
)

GREYS: Final[Quadrants] = (((94,) * 3, 1), ((73,) * 3, 1), ((119,) * 3, 1), (PALE, 1))
BT2020_SDR: Final = (
    f"{RGB},setparams=color_primaries=bt709:color_trc=bt709:colorspace=gbr:range=pc,"
    "zscale=primaries=bt2020:transfer=2020_10:matrix=bt2020nc:range=tv,format=yuv420p10le"
)
COLOURS: Final = (
    *sources(
        "mkv",
        SILENT,
        {
            f"colour-{name}": mute(filters=filters)
            for name, filters in {
                "bt601": yuv(),
                "bt470bg": yuv(matrix="bt470bg"),
                "bt709-small": yuv(matrix="bt709"),
                "bt2020-matrix": yuv(matrix="bt2020nc"),
                "smpte240m": yuv(matrix="smpte240m"),
                "fcc": yuv(matrix="fcc"),
                "full-range": yuv(full=True),
                "full-range-709-444": yuv("yuv444p", "bt709", full=True),
                "422": yuv("yuv422p"),
                "444": yuv("yuv444p"),
                "10-bit": yuv("yuv420p10le", "bt709"),
                "422-10-bit": yuv("yuv422p10le", "bt709"),
                "10-bit-full-range": yuv("yuv420p10le", full=True),
            }.items()
        },
    ),
    Source(
        "colour-untagged-hd",
        "mp4",
        mute(size=(1280, 720), seconds=0.2, mark=0.12, filters=yuv(matrix="bt709", tag="unknown")),
        lasting(0.2, 0.12),
    ),
    Source("colour-grey", "mkv", mute(filters="format=gray", codec=FFV1), replace(SILENT, quadrants=GREYS)),
    Source("colour-h265-10-bit", "mp4", mute(filters=yuv("yuv420p10le", "bt709"), codec=X265), SILENT),
    Source("colour-vp9-10-bit", "webm", mute("-profile:v 2", filters=yuv("yuv420p10le", "bt709"), codec=VP9), SILENT),
    Source("colour-x264-rgb", "mkv", mute(filters=RGB, codec=X264.replace("264", "264rgb")), SILENT),
    Source("colour-bt2020-sdr", "mkv", mute(filters=BT2020_SDR), replace(SILENT, tolerance=20)),
    *sources(
        "mp4",
        replace(SILENT, tolerance=70),  # how bright HDR becomes is a matter of taste, but its colours are not
        {
            "hdr-pq-h265": mute(filters=hdr("smpte2084"), codec=X265),
            "hdr-pq-h264": mute(filters=hdr("smpte2084")),
            "hdr-hlg-h265": mute(filters=hdr("arib-std-b67"), codec=X265),
        },
    ),
)

STILLS: Final = (
    *sources("png", STILL, {"still-png": still(), "still-16-bit": still(filters=f"{RGB},format=rgb48be")}),
    Source("still-odd", "png", still(size=(65, 49)), sized(65, 49, STILL)),
    Source("still-percent-name", "png", still(), STILL, key="in/still-%03d.png"),
    Source("still-jpeg", "jpg", still("-q:v 1", filters=yuv("yuvj444p", full=True)), STILL),
    Source("still-jpeg-turned-90", "jpg", turned_jpeg(6, "transpose=cclock"), sized(64, 48, STILL)),
    Source("still-jpeg-turned-180", "jpg", turned_jpeg(3, "hflip,vflip"), STILL),
    Source("still-jpeg-mirrored", "jpg", turned_jpeg(2, "hflip"), STILL),
    Source("still-webp", "webp", still("-lossless 1", filters=RGBA), STILL),
    Source("still-bmp", "bmp", still(), STILL),
    Source("gif-animated", "gif", mute(filters=GIF, codec=""), replace(SILENT, tolerance=16)),
    Source("gif-one-picture", "gif", still(filters=GIF), replace(STILL, tolerance=16)),
    Source("apng", "png", mute("-f apng", filters=RGB, codec=""), SILENT),
)

UNEVEN: Final = f"select='not(between(n,3,8)+between(n,12,16))',{UNTAGGED}"
JITTER: Final = rf"settb=1/1000,setpts=PTS+mod(N*7\,13),{UNTAGGED}"
BURST: Final = f"select='lt(n,20)+eq(n,99)',{UNTAGGED}"
NEGATIVE: Final = "-output_ts_offset -0.2 -avoid_negative_ts disabled"
EXACTLY: Final = "-muxdelay 0 -muxpreload 0 -mpegts_copyts 1"


def shifted(seconds: int) -> Make:
    """Return what makes a film whose timestamps jump in the middle."""
    return mute(rf"-bf 0 -bsf:v setts=ts=TS+if(gte(N\,10)\,{seconds}/TB\,0)")


TURNED_BACK: Final = joined(mute("-output_ts_offset 100", mark=None), mute("-output_ts_offset 50", mark=None))
VARYING: Final = (
    *sources("mp4", SOUNDING, {"vfr-mp4": film("-fps_mode vfr", filters=UNEVEN)}),
    *sources("mkv", SOUNDING, {"vfr-mkv": film("-fps_mode vfr", filters=UNEVEN)}),
    *sources("avi", SOUNDING, {"vfr-avi": film(f"-fps_mode vfr {PCM}", filters=UNEVEN, codec=MPEG4)}),
    *sources("ts", BY_A_FRAME, {"vfr-ts": film("-fps_mode vfr", filters=UNEVEN)}),
    Source("vfr-jitter", "mp4", mute("-fps_mode vfr", rate="50", filters=JITTER), replace(SILENT, slack=1)),
    Source(
        "vfr-burst-then-pause",
        "mkv",
        mute("-fps_mode vfr", rate="100", mark=0.1, filters=BURST, seconds=1),
        lasting(1, 0.1),
    ),
    Source("long-pause", "mkv", shifted(2), lasting(2.8, 2.4)),
    Source("fps-29.97-webm", "webm", mute(rate="30000/1001", codec=VP9), replace(SILENT, slack=1)),
    Source("fps-1", "mp4", mute(rate="1", seconds=2, mark=1), lasting(2, 1)),
    Source("fps-240", "mp4", mute(rate="240", seconds=0.5), lasting(0.5, 0.4)),
    Source("fps-0.1", "mp4", mute(rate="1/10", seconds=20, mark=10), lasting(20, 10), video={"fps": 5}),
    Source("one-frame", "mp4", mute("-frames:v 1", mark=None), lasting(0.04, None)),
    Source("one-short-frame", "mp4", mute("-frames:v 1", rate="240", mark=None), lasting(0.004, None)),
    Source("two-frames", "mp4", mute("-frames:v 2", mark=0.04), lasting(0.08, 0.04)),
    Source(
        "three-hours",
        "mkv",
        mute(rate="1/3600", seconds=10800, mark=7200),
        lasting(10800, 0),
        video={"fps": 1},
        interval={"start": 7200, "duration": 3},
    ),
)

TIMES: Final = (
    Source("edit-list-trimmed", "mp4", again(mute("-g 100"), "-ss 0.4"), lasting(0.4, 0)),
    Source("edit-list-trimmed-mov", "mov", again(mute("-g 100"), "-ss 0.2"), lasting(0.6, 0.2)),
    Source("edit-list-empty", "mov", film(delays=("0.4", "0"), sounds=1.2), lasting(1.2, 0.8, (0, 1.2))),
    Source("sound-begins-late", "mp4", film(delays=("0", "0.4"), sounds=0.4), Shown(heard=(0.4, 0.8))),
    Source("sound-begins-late-mkv", "mkv", film(delays=("0", "0.4"), sounds=0.4), Shown(heard=(0.4, 0.8))),
    Source("sound-begins-late-ts", "ts", film(delays=("0", "0.4"), sounds=0.4), Shown(heard=(0.4, 0.8), slack=1)),
    Source("picture-begins-late-ts", "ts", film(delays=("0.4", "0"), sounds=1.2), lasting(1.2, 0.8, (0, 1.2), 1)),
    Source("sound-longer", "mp4", film(sounds=1.6), Shown(heard=(0, 1.6), slack=1)),
    Source("sound-shorter", "mp4", film(sounds=0.3), Shown(heard=(0, 0.3))),
    Source("starts-negative", "mp4", mute(NEGATIVE), lasting(0.6, 0.2)),
    Source("starts-negative-mkv", "mkv", mute(NEGATIVE), lasting(0.6, 0.2)),
    Source("starts-at-5-s", "mkv", film("-output_ts_offset 5"), SOUNDING),
    Source("starts-at-10-h", "ts", film("-output_ts_offset 36000"), BY_A_FRAME),
    Source("starts-at-10-h-mp4", "mp4", film("-output_ts_offset 36000"), BY_A_FRAME),
    Source("timestamps-wrap", "ts", film(f"-output_ts_offset 95443.3 {EXACTLY}"), BY_A_FRAME),
    Source("timestamps-jump", "ts", shifted(100), replace(SILENT, slack=1)),
    Source("timestamps-go-back", "ts", changed(TURNED_BACK, renumbered), lasting(1.6, None, slack=1)),
    Source("no-timestamps", "avi", mute("-bf 2", codec=MPEG4), SILENT),
    Source("claims-20-s-mkv", "mkv", claiming(mute(), rb"00:00:00\.8", b"00:00:20.8"), SILENT),
    Source("claims-20-s-flv", "flv", claiming(mute(), rb"(?s)(duration\0).{8}", struct.pack(">d", 20)), SILENT),
    Source("claims-20-s-mp4", "mp4", claiming(mute(), rb"(?s)(mdhd.{16}).{4}", struct.pack(">I", 256000)), SILENT),
    Source("joined-recordings", "ts", joined(film(mark=None), film(mark=None)), Refused("InvalidSource", ("corrupt",))),
)

FLAGS: Final = "-flags +ildct+ilme"
TOP: Final = f"{FLAGS} -x264-params tff=1"
INTERLACED: Final = (
    *sources(
        "mp4",
        replace(SILENT, mark=0.42),
        {
            "interlaced-top-first": mute(TOP, **fields("top")),
            "interlaced-bottom-first": mute(f"{FLAGS} -x264-params bff=1", **fields("bottom")),
        },
    ),
    Source("interlaced-mpeg2", "mpg", mute(FLAGS, codec=MPEG2, **fields("top")), replace(SILENT, mark=0.42)),
    Source("interlaced-mpeg2-ts", "ts", mute(FLAGS, codec=MPEG2, **fields("bottom")), replace(SILENT, mark=0.42)),
    Source(
        "interlaced-prores", "mov", mute(FLAGS, codec="-c:v prores_ks", **fields("top")), replace(SILENT, mark=0.42)
    ),
    Source("interlaced-in-name-only", "mp4", mute(TOP, size=(128, 96), filters=f"{UNTAGGED},setfield=tff"), SILENT),
)

SOUNDS: Final = (
    *sources(
        "mkv",
        SOUNDING,
        {
            "sound-5.1-side-ac3": film("-c:a ac3", sound=f"{SINE},pan=5.1(side)|FC=c0"),
            "sound-7.1": film(FLAC, sound=f"{SINE},pan=7.1|FC=c0|BL=c0"),
            "sound-2.1": film("-c:a pcm_f32le", sound=f"{SINE},pan=2.1|FL=c0|FR=c0"),
            "sound-7-channels": film(FLAC, sound=f"{SINE},pan=6.1|FC=c0"),
            "sound-8-khz": film(PCM, sound=f"{SINE},aresample=8000"),
            "sound-96-khz": film(FLAC, sound=f"{SINE},aresample=96000"),
            "sound-192-khz-24-bit": film("-c:a pcm_s24le", sound=f"{SINE},aresample=192000"),
            "sound-opus": film("-c:a libopus"),
        },
    ),
    *sources(
        "mov",
        SOUNDING,
        {
            "sound-no-layout": film(PCM, sound=f"{SINE},pan=3c|c0=c0|c1=c0|c2=c0"),
            "sound-alac": film("-c:a alac"),
            "sound-a-law": film("-c:a pcm_alaw -ac 1", sound=f"{SINE},aresample=8000"),
        },
    ),
    *sources("mp4", SOUNDING, {"sound-mono": film("-ac 1"), "sound-5.1": film(sound=f"{SINE},pan=5.1|FC=c0")}),
    *sources("avi", SOUNDING, {"sound-odd-rate": film("-c:a pcm_u8", sound=f"{SINE},aresample=11025")}),
    *sources("mp3", NO_PICTURE, {"sound-only-mp3": film("-map 1:a", codec="")}),
    *sources("wav", NO_PICTURE, {"sound-only-wav": film("-map 1:a", codec="")}),
    *sources("mp4", NO_PICTURE, {"sound-only-mp4": film("-map 1:a", codec="")}),
)

OTHER_PICTURE: Final = "-f lavfi -i color=c=yellow:s=32x32:d=0.8"
COVER: Final = "-f lavfi -i color=c=yellow:s=32x32:d=0.04"
OTHER_SOUND: Final = "-f lavfi -i sine=f=1800:d=0.8"
DEFAULT_LAST: Final = "-disposition:{0}:0 0 -disposition:{0}:1 default"
TRACKS: Final = (
    *sources(
        "mkv",
        SOUNDING,
        {
            "two-pictures": more("-map 0 -map 1 -c:v:1 libx264", inputs=OTHER_PICTURE),
            "default-picture-is-second": more(
                f"-map 1 -map 0 -c:v:0 libx264 {DEFAULT_LAST.format('v')}", inputs=OTHER_PICTURE
            ),
            "two-sounds": more("-map 0 -map 1 -c:a:1 flac", inputs=OTHER_SOUND),
            "default-sound-is-second": more(
                f"-map 0:v -map 1 -map 0:a -c:a:0 flac {DEFAULT_LAST.format('a')}", inputs=OTHER_SOUND
            ),
            "subtitles": more("-map 0 -map 1 -c:s srt", inputs="-i TEXT"),
            "attachment": more("-map 0 -attach TEXT -metadata:s:t mimetype=application/x-font"),
            "odd-title": film("-metadata title=;[x]'y'%{z}"),
        },
    ),
    *sources(
        "mp4",
        SOUNDING,
        {
            "subtitles-first": more("-map 1 -map 0 -c:s mov_text", inputs="-i TEXT"),
            "cover": more("-map 0 -map 1 -c:v:1 mjpeg -disposition:v:1 attached_pic", inputs=COVER),
        },
    ),
    *sources("mov", SOUNDING, {"timecode-track": film("-timecode 01:00:00:00")}),
    Source(
        "default-picture-is-smaller",
        "mp4",
        more("-map 1 -map 0 -c:v:0 libx264", inputs=OTHER_PICTURE),
        Shown(((YELLOW, 1),) * 4, mark=None),
    ),
    Source(
        "cover-of-a-sound",
        "mp4",
        more("-map 0:a -map 1 -c:v:0 mjpeg -disposition:v:0 attached_pic", inputs=COVER),
        NO_PICTURE,
    ),
)

CONTAINERS: Final = (
    Source("mp4-fragmented", "mp4", film("-movflags +frag_keyframe+empty_moov+default_base_moof -g 5"), BY_A_FRAME),
    Source("mp4-index-first", "mp4", film("-movflags +faststart"), SOUNDING),
    Source("mkv-live", "mkv", film("-live 1"), SOUNDING),
    *sources("webm", SOUNDING, {"webm-vp9": film(codec=VP9), "webm-vp8": film(codec=VP8)}),
    Source("avi", "avi", film(PCM, codec=MPEG4), SOUNDING),
    Source("flv", "flv", film(PCM), SOUNDING),
    Source("flv-sorenson", "flv", film(codec="-c:v flv -q:v 2"), BY_A_FRAME),
    Source("ts", "ts", film(), BY_A_FRAME),
    Source("mpg", "mpg", film(codec="-c:v mpeg1video -q:v 2"), BY_A_FRAME),
    Source("ogv-theora", "ogv", film(codec="-c:v libtheora -q:v 10"), SOUNDING),
    Source(
        "3gp", "3gp", film("-ar 8000 -ac 1 -c:a libopencore_amrnb", size=(128, 96), codec="-c:v h263 -q:v 2"), SOUNDING
    ),
    # The picture is 46 ms late in the file, as long as the sound's encoder takes to begin.
    Source("wmv", "wmv", film(codec="-c:v wmv2 -q:v 2 -c:a wmav2"), lasting(0.846, 0.446, (0, 0.8), 1)),
    Source("mxf", "mxf", film("-ar 48000", size=(128, 96), codec=MPEG2), OTHER_FORMAT),
    Source("nut", "nut", film(), OTHER_FORMAT),
    Source("bare-h264", "h264", mute(), OTHER_FORMAT),
    Source("y4m", "y4m", mute(codec=""), OTHER_FORMAT),
)


def coded(codec: str, filters: str = UNTAGGED) -> Make:
    """Return what makes a film with one of the rarer codecs."""
    return mute(codec=f"-c:v {codec}", filters=filters, size=(256, 128))


CODECS: Final = (
    *sources(
        "mp4",
        SILENT,
        {"codec-av1": coded("libaom-av1 -cpu-used 8 -usage realtime -crf 8"), "codec-h265": mute(codec=X265)},
    ),
    *sources("ts", SILENT, {"codec-h265-in-ts": mute(codec=X265)}),
    *sources(
        "avi",
        SILENT,
        {
            "codec-mpeg4-asp": coded("mpeg4 -q:v 2 -bf 2"),
            "codec-mjpeg": coded("mjpeg -q:v 2", yuv("yuvj420p", full=True)),
            "codec-huffyuv-rgb": coded("huffyuv", f"{RGB},format=bgr24"),
            "codec-raw": coded("rawvideo", f"{RGB},format=bgr24"),
            "codec-palette": coded("msvideo1", f"{RGB},format=rgb555le"),
        },
    ),
    *sources(
        "mov",
        SILENT,
        {
            "codec-prores": coded("prores_ks", yuv("yuv422p10le")),
            "codec-dnxhr": coded("dnxhd -profile:v dnxhr_sq", yuv("yuv422p", "bt709")),
            "codec-raw-uyvy": coded("rawvideo", f"{yuv('yuv422p')},format=uyvy422"),
        },
    ),
    *sources("mkv", SILENT, {"codec-ffv1-rgb": coded("ffv1", RGB), "codec-jpeg2000": coded("jpeg2000", RGB)}),
)

INDEX_FIRST: Final = "-movflags +faststart -g 5"
BROKEN: Final = (
    *sources(
        "mp4",
        UNREADABLE,
        {
            "empty": written(b""),
            "one-byte": written(b"x"),
            "playlist": written(b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nplain.mp4\n#EXT-X-ENDLIST\n"),
            "half-mp4-index-last": cut(film(), 0.5),
            "flipped-index": damaged(film("-movflags +faststart"), 0, 0.1),
        },
    ),
    *sources(
        "mp4",
        DAMAGED,
        {
            "text": written(b"This is no film.\n" * 50),
            "html": written(b"<!doctype html><html><body>404</body></html>"),
            "zeros": written(bytes(100_000)),
            "half-mp4-fragmented": cut(film("-movflags +frag_keyframe+empty_moov -g 5", filters=NOISE), 0.6),
            "half-mp4-index-first": cut(film(INDEX_FIRST, filters=NOISE), 0.6),
            "flipped-bytes": damaged(film(filters=NOISE), 0.3, 0.6),
        },
    ),
    Source("concat-list", "mp4", written(b"ffconcat version 1.0\nfile plain.mp4\n"), OTHER_FORMAT),
    Source("half-mkv", "mkv", cut(film("-g 5", filters=NOISE), 0.6), Refused("InvalidSource", ("incomplete",))),
    Source("half-ts", "ts", cut(mute("-g 5", filters=NOISE), 0.6), Refused("InvalidSource", ("corrupt",))),
    Source("half-avi", "avi", cut(mute(filters=NOISE, codec=MPEG4), 0.6), Refused("InvalidSource", ("corrupt",))),
    Source("half-png", "png", cut(still(size=(320, 240)), 0.5), DAMAGED),
    Source("flipped-bytes-ts", "ts", damaged(film(filters=NOISE), 0.3, 0.6), DAMAGED),
    Source("claims-20000-pixels", "png", written(png(20000, 20000)), UNREADABLE),
    Source("link", "mp4", film(), Refused("NoSuchKey", ()), linked=True),
)

NAMES: Final = tuple(
    Source(f"name-{name}", "mp4", film(), SOUNDING, key=key)
    for name, key in {
        "spaces": "in/  a b .mp4",
        "quotes": 'in/it\'s "q".mp4',
        "chinese": "in/演示视频.mp4",
        "emoji": "in/🎬.mp4",
        "percent": "in/100% %03d %41.mp4",
        "colon": "in/a:b.mp4",
        "protocol": "http:x.mp4",
        "option": "-y.mp4",
        "backslash": "in/a\\b\\.mp4",
        "filter": "in/a;b[c],d=e.mp4",
        "url": "in/a?b#c&d+e.mp4",
        "line-separator": "in/a\u2028b.mp4",
        "newline": "in/a\nb.mp4",
        "no-suffix": "in/film",
        "wrong-suffix": "in/film.png",
        "long": f"in/{'n' * 251}.mp4",
        "combining": "in/e\u0301.mp4",
    }.items()
)

SOURCES: Final = (
    *(*ROTATIONS, *SHAPES, *ALPHA, *COLOURS, *STILLS),
    *(*VARYING, *TIMES, *INTERLACED, *SOUNDS),
    *(*TRACKS, *CONTAINERS, *CODECS, *BROKEN, *NAMES),
)
