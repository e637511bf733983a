"""Awkward sources: how each is made, and what a composition with it must show, or why it must be refused.

Every film shows the same scene: four quadrants of muted colours, so that a rotation, a mirroring, a wrong matrix or a
wrong range is seen, and a black mark in the middle from some time on, so that a wrong timing is. With it sounds a tone.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Sequence
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

X264: Final = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "4")
SINE: Final = f"sine=f={TONE}:r=44100,volume=3"


def scene(quadrants: Quadrants, size: tuple[int, int], rate: str, seconds: float, mark: float | None) -> str:
    """Return FFmpeg's source of the scene, in RGB with opacity."""
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


def yuv(pixels: str = "yuv420p", matrix: str = "smpte170m", *, full: bool = False, tag: str | None = None) -> str:
    """Return the filters that code the scene with a matrix, and say so with its tag, or with another one."""
    span = "pc" if full else "tv"
    said = f"setparams=colorspace={tag or matrix}:color_primaries=unknown:color_trc=unknown:range={span}"
    return f"format=gbrp,scale=out_color_matrix={matrix}:out_range={span},format={pixels},{said}"


UNTAGGED: Final = yuv(tag="unknown")
RGB: Final = "format=gbrp"
RGBA: Final = "format=gbrap"


def film(
    *options: str,
    filters: str = UNTAGGED,
    quadrants: Quadrants = SCENE,
    size: tuple[int, int] = (64, 48),
    rate: str = "25",
    seconds: float = 0.8,
    mark: float | None = 0.4,
    sound: str | None = SINE,
    sounds: float | None = None,
    codec: Sequence[str] = X264,
    delays: tuple[str, str] = ("0", "0"),
) -> Make:
    """Return what makes a film of the scene; ``delays`` shift picture and sound by seconds."""

    def make(path: Path) -> None:
        shown = scene(quadrants, size, rate, seconds, mark)
        inputs = ["-itsoffset", delays[0], "-f", "lavfi", "-i", f"{shown},{filters}"]
        if sound:
            length = seconds if sounds is None else sounds
            inputs += ["-itsoffset", delays[1], "-f", "lavfi", "-i", f"{sound},atrim=end={length}"]
        run(*inputs, *codec, *options, str(path))

    return make


def again(first: Make, suffix: str, before: Sequence[str], after: Sequence[str]) -> Make:
    """Return what copies the streams of another film, with options for its reading and its writing."""

    def make(path: Path) -> None:
        raw = path.with_name(f"{path.stem}-first.{suffix}")
        first(raw)
        run(*before, "-i", str(raw), "-map", "0", "-c", "copy", *after, str(path))
        raw.unlink()

    return make


def still(*options: str, filters: str = RGB, quadrants: Quadrants = SCENE, size: tuple[int, int] = (64, 48)) -> Make:
    """Return what makes one picture."""
    once = ["-frames:v", "1", "-update", "1"]
    return film(*once, *options, filters=filters, quadrants=quadrants, size=size, mark=None, sound=None, codec=())


def written(content: bytes) -> Make:
    """Return what writes some bytes."""

    def make(path: Path) -> None:
        path.write_bytes(content)

    return make


def cut(first: Make, share: float) -> Make:
    """Return what makes a file and throws its end away."""

    def make(path: Path) -> None:
        first(path)
        content = path.read_bytes()
        path.write_bytes(content[: round(len(content) * share)])

    return make


def damaged(first: Make, *, begin: float, end: float) -> Make:
    """Return what makes a file and flips every seventh byte in a part of it."""

    def make(path: Path) -> None:
        first(path)
        content = bytearray(path.read_bytes())
        for at in range(round(len(content) * begin), round(len(content) * end), 7):
            content[at] ^= 0xFF
        path.write_bytes(content)

    return make


def patched(first: Make, old: bytes, new: bytes) -> Make:
    """Return what makes a file and replaces what a pattern finds in it."""

    def make(path: Path) -> None:
        first(path)
        content, count = re.subn(old, new, path.read_bytes(), flags=re.DOTALL)
        assert count
        path.write_bytes(content)

    return make


def joined(*parts: Make) -> Make:
    """Return what puts files one after the other, as a broken recording does."""

    def make(path: Path) -> None:
        content = b""
        for part in parts:
            part(path)
            content += path.read_bytes()
        path.write_bytes(content)

    return make


def png(width: int, height: int) -> bytes:
    """Return a small file that claims to be a picture of some size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(1000))
    chunks = [
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in (header, data, b"IEND")
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def turned_jpeg(orientation: int, filters: str) -> Make:
    """Return what makes a JPEG whose EXIF says how it must be turned."""

    def make(path: Path) -> None:
        still("-q:v", "1", filters=f"{RGB},{filters},scale=out_range=pc,format=yuvj444p")(path)
        tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
        exif = b"Exif\0\0" + tiff
        content = path.read_bytes()
        path.write_bytes(content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + content[2:])

    return make


# --- the corpus ------------------------------------------------------------------------------------------------------

SILENT: Final = Shown(heard=None)
STILL: Final = Shown(seconds=0, mark=None, heard=None)
MKV, MOV, MP4 = "mkv", "mov", "mp4"
FFV1: Final = ("-c:v", "ffv1")
PCM: Final = ("-c:a", "pcm_s16le")
VP9: Final = (
    "-c:v",
    "libvpx-vp9",
    "-deadline",
    "realtime",
    "-cpu-used",
    "8",
    "-crf",
    "8",
    "-b:v",
    "0",
    "-auto-alt-ref",
    "0",
)
X265: Final = ("-c:v", "libx265", "-preset", "ultrafast", "-crf", "4", "-x265-params", "log-level=error")
NO_SOUND: Any = {"sound": None}


def mute(*options: str, **scene_of: Any) -> Make:
    """Return what makes a film without sound."""
    return film(*options, sound=None, **scene_of)


def turned(degrees: int, upright: str, *size: int) -> Source:
    rotate = ["-display_rotation", str(degrees)]
    make = again(mute(filters=f"{RGB},{upright},{UNTAGGED}"), MP4, rotate, ())
    return Source(f"rotation-{degrees}", MP4, make, Shown(heard=None, size=(size[0], size[1])))


def hdr(name: str, transfer: str, codec: Sequence[str], pixels: str) -> Source:
    linear = f"zscale=transfer={transfer}:primaries=bt2020:matrix=bt2020nc:range=tv:npl=203"
    tagged = "setparams=colorspace=bt2020nc:color_primaries=bt2020:color_trc=" + transfer
    sdr = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=gbr:range=pc"
    filters = f"{RGB},{sdr},format=gbrpf32le,{linear},format={pixels},{tagged}"
    return Source(name, MP4, mute(filters=filters, codec=codec), Shown(heard=None, tolerance=70))


ROTATIONS: Final = (
    turned(90, "transpose=clock", 64, 48),
    turned(180, "hflip,vflip", 64, 48),
    turned(270, "transpose=cclock", 64, 48),
    Source(
        "rotation-in-mov",
        MOV,
        again(mute(filters=f"{RGB},transpose=clock,{UNTAGGED}"), MOV, ["-display_rotation", "90"], ()),
        SILENT,
    ),
    Source(
        "rotation-in-mkv",
        MKV,
        again(mute(filters=f"{RGB},transpose=clock,{UNTAGGED}"), MKV, ["-display_rotation", "90"], ()),
        SILENT,
    ),
    Source("flip-horizontal", MP4, again(mute(filters=f"{RGB},hflip,{UNTAGGED}"), MP4, ["-display_hflip"], ()), SILENT),
    Source("flip-vertical", MP4, again(mute(filters=f"{RGB},vflip,{UNTAGGED}"), MP4, ["-display_vflip"], ()), SILENT),
    Source(
        "flip-and-turn",
        MP4,
        again(
            mute(filters=f"{RGB},transpose=cclock_flip,{UNTAGGED}"),
            MP4,
            ["-display_rotation", "90", "-display_vflip"],
            (),
        ),
        SILENT,
    ),
    Source(
        "rotation-5",
        MP4,
        again(mute(quadrants=PLAIN), MP4, ["-display_rotation", "5"], ()),
        Shown(PLAIN, heard=None, size=(64, 48)),
    ),
)

SHAPES: Final = (
    *(
        Source(f"sar-{sar.replace(':', '-')}", MP4, film("-aspect", aspect), Shown(size=size))
        for sar, aspect, size in (
            ("64:45", "4096:2160", (91, 48)),
            ("1:2", "2:3", (32, 48)),
            ("8:9", "32:27", (57, 48)),
        )
    ),
    Source("odd-641x361", MP4, film(size=(641, 361), filters=yuv("yuv444p")), Shown()),
    Source("odd-17x9", "webm", mute(size=(17, 9), codec=VP9, mark=None), Shown(mark=None, heard=None, tolerance=30)),
    Source(
        "odd-3x5",
        MKV,
        mute(size=(3, 5), codec=FFV1, filters=RGB, quadrants=PLAIN, mark=None),
        Shown(PLAIN, mark=None, heard=None),
    ),
    Source(
        "one-pixel",
        MKV,
        mute(size=(1, 1), codec=FFV1, filters=RGB, quadrants=PLAIN, mark=None),
        Shown(PLAIN, mark=None, heard=None),
    ),
    Source(
        "very-wide",
        MKV,
        mute(size=(4000, 2), codec=FFV1, filters=RGB, quadrants=PLAIN, mark=None),
        Shown(PLAIN, mark=None, heard=None),
    ),
    Source(
        "size-changes",
        MKV,
        again(joined(mute("-f", "h264", mark=None), mute("-f", "h264", size=(128, 96), mark=None)), "h264", (), ()),
        Shown(seconds=1.6, mark=None, heard=None),
    ),
)

ALPHA: Final = (
    *(
        Source(
            f"alpha-{name}",
            suffix,
            mute(*options, quadrants=quadrants, filters=filters, codec=codec),
            Shown(quadrants, heard=None, tolerance=tolerance),
        )
        for name, suffix, codec, options, filters, quadrants, tolerance in (
            ("vp9", "webm", VP9, (), f"{RGBA},format=yuva420p", HOLED, 16),
            (
                "vp8",
                "webm",
                ("-c:v", "libvpx", "-auto-alt-ref", "0", "-crf", "4", "-b:v", "1M"),
                (),
                f"{RGBA},format=yuva420p",
                HOLED,
                16,
            ),
            (
                "prores-4444",
                MOV,
                ("-c:v", "prores_ks", "-profile:v", "4444"),
                (),
                f"{RGBA},format=yuva444p10le",
                HOLED,
                12,
            ),
            ("qtrle", MOV, ("-c:v", "qtrle"), (), f"{RGBA},format=argb", HOLED, 12),
            ("png", MOV, ("-c:v", "png"), (), f"{RGBA},format=rgba", HOLED, 12),
            ("ffv1", MKV, FFV1, (), f"{RGBA},format=bgra", HOLED, 12),
            ("utvideo", "avi", ("-c:v", "utvideo"), (), RGBA, HOLED, 12),
        )
    ),
    Source(
        "alpha-gif",
        "gif",
        mute(
            filters=f"{RGBA},split[a][b];[a]palettegen=reserve_transparent=1[p];[b][p]paletteuse",
            quadrants=CUT_OUT,
            codec=(),
        ),
        Shown(CUT_OUT, heard=None, tolerance=16),
    ),
    Source("alpha-still", "png", still(filters=RGBA, quadrants=HOLED), Shown(HOLED, 0, None, None)),
)

COLOURS: Final = (
    *(
        Source(f"colour-{name}", MKV, mute(filters=filters), SILENT)
        for name, filters in (
            ("bt601", yuv()),
            ("bt470bg", yuv(matrix="bt470bg")),
            ("bt709-small", yuv(matrix="bt709")),
            ("bt2020-matrix", yuv(matrix="bt2020nc")),
            ("smpte240m", yuv(matrix="smpte240m")),
            ("fcc", yuv(matrix="fcc")),
            ("full-range", yuv(full=True)),
            ("full-range-709-444", yuv("yuv444p", "bt709", full=True)),
            ("422", yuv("yuv422p")),
            ("444", yuv("yuv444p")),
            ("10-bit", yuv("yuv420p10le", "bt709")),
            ("422-10-bit", yuv("yuv422p10le", "bt709")),
            ("10-bit-full-range", yuv("yuv420p10le", full=True)),
        )
    ),
    Source(
        "colour-untagged-hd",
        MP4,
        mute(size=(1280, 720), seconds=0.2, mark=0.12, filters=yuv(matrix="bt709", tag="unknown")),
        Shown(seconds=0.2, mark=0.12, heard=None),
    ),
    Source(
        "colour-grey",
        MKV,
        mute(filters="format=gray", codec=FFV1),
        Shown(((((94,) * 3), 1), ((73,) * 3, 1), ((119,) * 3, 1), (PALE, 1)), heard=None),
    ),
    Source("colour-h265-10-bit", MP4, mute(filters=yuv("yuv420p10le", "bt709"), codec=X265), SILENT),
    Source(
        "colour-vp9-10-bit", "webm", mute(filters=yuv("yuv420p10le", "bt709"), codec=(*VP9, "-profile:v", "2")), SILENT
    ),
    Source(
        "colour-x264-rgb",
        MKV,
        mute(filters=RGB, codec=("-c:v", "libx264rgb", "-preset", "ultrafast", "-crf", "4")),
        SILENT,
    ),
    Source(
        "colour-bt2020-sdr",
        MKV,
        mute(
            filters=f"{RGB},setparams=color_primaries=bt709:color_trc=bt709:colorspace=gbr:range=pc,zscale=primaries=bt2020:transfer=2020_10:matrix=bt2020nc:range=tv,format=yuv420p10le"
        ),
        Shown(heard=None, tolerance=20),
    ),
    hdr("hdr-pq-h265", "smpte2084", X265, "yuv420p10le"),
    hdr("hdr-pq-h264", "smpte2084", X264, "yuv420p10le"),
    hdr("hdr-hlg-h265", "arib-std-b67", X265, "yuv420p10le"),
)

STILLS: Final = (
    Source("still-png", "png", still(), STILL),
    Source("still-jpeg", "jpg", still("-q:v", "1", filters=yuv("yuvj444p", full=True)), STILL),
    Source("still-jpeg-turned-90", "jpg", turned_jpeg(6, "transpose=cclock"), replace(STILL, size=(64, 48))),
    Source("still-jpeg-turned-180", "jpg", turned_jpeg(3, "hflip,vflip"), STILL),
    Source("still-jpeg-mirrored", "jpg", turned_jpeg(2, "hflip"), STILL),
    Source("still-webp", "webp", still("-lossless", "1", filters=RGBA), STILL),
    Source("still-bmp", "bmp", still(), STILL),
    Source("still-odd", "png", still(size=(65, 49)), replace(STILL, size=(65, 49))),
    Source("still-16-bit", "png", still(filters=f"{RGB},format=rgb48be"), STILL),
    Source("still-percent-name", "png", still(), STILL, key="in/still-%03d.png"),
    Source(
        "gif-animated",
        "gif",
        mute(filters=f"{RGB},split[a][b];[a]palettegen[p];[b][p]paletteuse", codec=()),
        replace(SILENT, tolerance=16),
    ),
    Source(
        "gif-one-picture",
        "gif",
        mute("-frames:v", "1", mark=None, filters=f"{RGB},split[a][b];[a]palettegen[p];[b][p]paletteuse", codec=()),
        replace(STILL, tolerance=16),
    ),
    Source("apng", "png", mute("-f", "apng", filters=RGB, codec=()), SILENT),
)

SKIP: Final = "select='not(between(n,3,8)+between(n,12,16))'"
VFR: Final = ("-fps_mode", "vfr")
TS_45000: Final = ("-muxdelay", "0", "-muxpreload", "0", "-mpegts_copyts", "1")

TIMES: Final = (
    Source("vfr-mp4", MP4, film(*VFR, filters=f"{SKIP},{UNTAGGED}"), Shown()),
    Source("vfr-mkv", MKV, film(*VFR, filters=f"{SKIP},{UNTAGGED}"), Shown()),
    Source(
        "vfr-avi", "avi", film(*VFR, *PCM, filters=f"{SKIP},{UNTAGGED}", codec=("-c:v", "mpeg4", "-q:v", "2")), Shown()
    ),
    Source("vfr-ts", "ts", film(*VFR, filters=f"{SKIP},{UNTAGGED}"), Shown(slack=1)),
    Source(
        "vfr-jitter",
        MP4,
        mute(*VFR, rate="50", filters=f"settb=1/1000,setpts=PTS+mod(N*7\\,13),{UNTAGGED}"),
        replace(SILENT, slack=1),
    ),
    Source(
        "vfr-burst-then-pause",
        MKV,
        mute(*VFR, rate="100", mark=0.1, filters=f"select='lt(n,20)+eq(n,99)',{UNTAGGED}", seconds=1),
        Shown(seconds=1, mark=0.1, heard=None),
    ),
    Source("fps-29.97-webm", "webm", mute(rate="30000/1001", codec=VP9), Shown(heard=None, slack=1)),
    Source("fps-1", MP4, mute(rate="1", seconds=2, mark=1), Shown(seconds=2, mark=1, heard=None)),
    Source("fps-240", MP4, mute(rate="240", seconds=0.5), Shown(seconds=0.5, heard=None)),
    Source(
        "fps-0.1", MP4, mute(rate="1/10", seconds=20, mark=10), Shown(seconds=20, mark=10, heard=None), video={"fps": 5}
    ),
    Source("one-frame", MP4, mute("-frames:v", "1", mark=None), Shown(seconds=0.04, mark=None, heard=None)),
    Source("two-frames", MP4, mute("-frames:v", "2", mark=0.04), Shown(seconds=0.08, mark=0.04, heard=None)),
    Source(
        "three-hours",
        MKV,
        mute(rate="1/3600", seconds=10800, mark=7200),
        Shown(seconds=10800, mark=0, heard=None),
        video={"fps": 1},
        interval={"start": 7200, "duration": 3},
    ),
    Source(
        "edit-list-trimmed",
        MP4,
        again(mute("-g", "100"), MP4, ("-ss", "0.4"), ()),
        Shown(seconds=0.4, mark=0, heard=None),
    ),
    Source(
        "edit-list-trimmed-mov",
        MOV,
        again(mute("-g", "100"), MP4, ("-ss", "0.2"), ()),
        Shown(seconds=0.6, mark=0.2, heard=None),
    ),
    Source("edit-list-empty", MOV, film(delays=("0.4", "0"), sounds=1.2), Shown(seconds=1.2, mark=0.8, heard=(0, 1.2))),
    Source("sound-begins-late", MP4, film(delays=("0", "0.4"), sounds=0.4), Shown(heard=(0.4, 0.8))),
    Source("sound-begins-late-mkv", MKV, film(delays=("0", "0.4"), sounds=0.4), Shown(heard=(0.4, 0.8))),
    Source("sound-begins-late-ts", "ts", film(delays=("0", "0.4"), sounds=0.4), Shown(heard=(0.4, 0.8), slack=1)),
    Source(
        "picture-begins-late-ts",
        "ts",
        film(delays=("0.4", "0"), sounds=1.2),
        Shown(seconds=1.2, mark=0.8, heard=(0, 1.2), slack=1),
    ),
    Source("sound-longer", MP4, film(sounds=1.6), Shown(heard=(0, 1.6), slack=1)),
    Source("sound-shorter", MP4, film(sounds=0.3), Shown(heard=(0, 0.3))),
    Source(
        "starts-negative",
        MP4,
        mute("-output_ts_offset", "-0.2", "-avoid_negative_ts", "disabled"),
        Shown(seconds=0.6, mark=0.2, heard=None),
    ),
    Source(
        "starts-negative-mkv",
        MKV,
        mute("-output_ts_offset", "-0.2", "-avoid_negative_ts", "disabled"),
        Shown(seconds=0.6, mark=0.2, heard=None),
    ),
    Source("starts-at-5-s", MKV, film("-output_ts_offset", "5"), Shown()),
    Source("starts-at-10-h", "ts", film("-output_ts_offset", "36000"), Shown(slack=1)),
    Source("starts-at-10-h-mp4", MP4, film("-output_ts_offset", "36000"), Shown()),
    Source("timestamps-wrap", "ts", film("-output_ts_offset", "95443.3", *TS_45000), Shown(slack=1)),
    Source(
        "timestamps-jump", "ts", mute("-bsf:v", "setts=ts=TS+if(gte(N\\,10)\\,100/TB\\,0)"), Shown(heard=None, slack=1)
    ),
    Source(
        "timestamps-go-back",
        "ts",
        mute(
            "-output_ts_offset", "100", "-bsf:v", "setts=ts=TS-if(gte(N\\,10)\\,50/TB\\,0)", codec=(*X264, "-bf", "0")
        ),
        Shown(heard=None, slack=1),
    ),
    Source(
        "long-pause",
        MKV,
        mute("-bsf:v", "setts=ts=TS+if(gte(N\\,10)\\,2/TB\\,0)"),
        Shown(seconds=2.8, mark=2.4, heard=None),
    ),
    Source("no-timestamps", "avi", mute("-bf", "2", codec=("-c:v", "mpeg4", "-q:v", "2")), SILENT),
    Source("length-of-20-s-claimed-mkv", MKV, patched(mute(), rb"00:00:00\.8", b"00:00:20.8"), SILENT),
    Source(
        "length-of-20-s-claimed-flv",
        "flv",
        patched(mute(), rb"(duration\0).{8}", b"\\g<1>" + struct.pack(">d", 20)),
        SILENT,
    ),
    Source(
        "length-of-20-s-claimed-mp4",
        MP4,
        patched(mute(), rb"(mdhd.{16}).{4}", b"\\g<1>" + struct.pack(">I", 256000)),
        SILENT,
    ),
    Source(
        "one-short-frame",
        MP4,
        mute("-frames:v", "1", rate="240", mark=None),
        Shown(seconds=0.004, mark=None, heard=None),
    ),
    Source("joined-recordings", "ts", joined(film(mark=None), film(mark=None)), Refused("InvalidSource", ("corrupt",))),
)

FIELDS: Final = "format=gbrp,tinterlace=mode=interleave_"
INTERLACED: Final = (
    *(
        Source(
            f"interlaced-{name}",
            suffix,
            mute(
                *options,
                rate="50",
                size=(128, 96),
                mark=0.42,
                filters=f"{FIELDS}{first},{UNTAGGED},setfield={first[0]}ff",
                codec=codec,
            ),
            Shown(mark=0.42, heard=None),
        )
        for name, suffix, first, codec, options in (
            ("top-first", MP4, "top", X264, ("-flags", "+ildct+ilme", "-x264-params", "tff=1")),
            ("bottom-first", MP4, "bottom", X264, ("-flags", "+ildct+ilme", "-x264-params", "bff=1")),
            ("mpeg2", "mpg", "top", ("-c:v", "mpeg2video", "-q:v", "2"), ("-flags", "+ildct+ilme")),
            ("mpeg2-ts", "ts", "bottom", ("-c:v", "mpeg2video", "-q:v", "2"), ("-flags", "+ildct+ilme")),
            ("prores", MOV, "top", ("-c:v", "prores_ks"), ("-flags", "+ildct+ilme")),
        )
    ),
    Source(
        "interlaced-in-name-only",
        MP4,
        mute("-flags", "+ildct+ilme", "-x264-params", "tff=1", size=(128, 96), filters=f"{UNTAGGED},setfield=tff"),
        SILENT,
    ),
)

AAC: Final = ("-c:a", "aac")
QUIET: Final = f"{SINE},pan="
SOUNDS: Final = (
    *(
        Source(f"sound-{name}", suffix, film(*options, sound=sound), Shown())
        for name, suffix, sound, options in (
            ("mono", MP4, SINE, ("-ac", "1")),
            ("5.1", MP4, f"{QUIET}5.1|FC=c0", AAC),
            ("5.1-side-ac3", MKV, f"{QUIET}5.1(side)|FC=c0", ("-c:a", "ac3")),
            ("7.1", MKV, f"{QUIET}7.1|FC=c0|BL=c0", ("-c:a", "flac")),
            ("2.1", MKV, f"{QUIET}2.1|FL=c0|FR=c0", ("-c:a", "flac")),
            ("7-channels", MKV, f"{QUIET}6.1|FC=c0", ("-c:a", "flac")),
            ("no-layout", MOV, f"{QUIET}3c|c0=c0|c1=c0|c2=c0", PCM),
            ("8-khz", MKV, f"{SINE},aresample=8000", PCM),
            ("96-khz", MKV, f"{SINE},aresample=96000", ("-c:a", "flac")),
            ("192-khz-24-bit", MKV, f"{SINE},aresample=192000", ("-c:a", "pcm_s24le")),
            ("odd-rate", "avi", f"{SINE},aresample=11025", ("-c:a", "pcm_u8")),
            ("opus", MKV, SINE, ("-c:a", "libopus")),
            ("alac", MOV, SINE, ("-c:a", "alac")),
            ("a-law", MOV, f"{SINE},aresample=8000", ("-c:a", "pcm_alaw", "-ac", "1")),
        )
    ),
    Source("sound-only-mp3", "mp3", film("-map", "1:a", codec=()), Refused("InvalidSource", ("no video",))),
    Source("sound-only-wav", "wav", film("-map", "1:a", codec=()), Refused("InvalidSource", ("no video",))),
    Source("sound-only-mp4", MP4, film("-map", "1:a", codec=()), Refused("InvalidSource", ("no video",))),
)


def more(first: Make, *inputs: str, options: Sequence[str]) -> Make:
    """Return what adds tracks to a film: FFmpeg's inputs, then what is done with them."""

    def make(path: Path) -> None:
        raw, text = path.with_name(f"{path.stem}-first.mkv"), path.with_name(f"{path.stem}.srt")
        first(raw)
        text.write_text("1\n00:00:00,000 --> 00:00:00,700\nHello\n")
        run("-i", str(raw), *[each.replace("TEXT", str(text)) for each in inputs], "-c", "copy", *options, str(path))
        raw.unlink()
        text.unlink()

    return make


OTHER_PICTURE: Final = ("-f", "lavfi", "-i", "color=c=yellow:s=32x32:d=0.8")
COVER: Final = ("-f", "lavfi", "-i", "color=c=yellow:s=32x32:d=0.04")
OTHER_SOUND: Final = ("-f", "lavfi", "-i", "sine=f=1800:d=0.8")
TRACKS: Final = (
    Source(
        "two-pictures",
        MKV,
        more(film(), *OTHER_PICTURE, options=["-map", "0", "-map", "1", "-c:v:1", "libx264"]),
        Shown(),
    ),
    Source(
        "default-picture-is-smaller",
        MP4,
        more(film(), *OTHER_PICTURE, options=["-map", "1", "-map", "0", "-c:v:0", "libx264"]),
        Shown(((YELLOW, 1),) * 4, mark=None),
    ),
    Source(
        "default-picture-is-second",
        MKV,
        more(
            film(),
            *OTHER_PICTURE,
            options=[
                "-map",
                "1",
                "-map",
                "0",
                "-c:v:0",
                "libx264",
                "-disposition:v:0",
                "0",
                "-disposition:v:1",
                "default",
            ],
        ),
        Shown(),
    ),
    Source(
        "two-sounds", MKV, more(film(), *OTHER_SOUND, options=["-map", "0", "-map", "1", "-c:a:1", "flac"]), Shown()
    ),
    Source(
        "second-sound-is-default",
        MKV,
        more(
            film(),
            *OTHER_SOUND,
            options=[
                "-map",
                "0:v",
                "-map",
                "1",
                "-map",
                "0:a",
                "-c:a:0",
                "flac",
                "-disposition:a:0",
                "0",
                "-disposition:a:1",
                "default",
            ],
        ),
        Shown(),
    ),
    Source("subtitles", MKV, more(film(), "-i", "TEXT", options=["-map", "0", "-map", "1", "-c:s", "srt"]), Shown()),
    Source(
        "subtitles-first-mp4",
        MP4,
        more(film(), "-i", "TEXT", options=["-map", "1", "-map", "0", "-c:s", "mov_text"]),
        Shown(),
    ),
    Source(
        "attachment",
        MKV,
        more(film(), options=["-map", "0", "-attach", __file__, "-metadata:s:t", "mimetype=application/x-font"]),
        Shown(),
    ),
    Source("timecode-track", MOV, film("-timecode", "01:00:00:00"), Shown()),
    Source(
        "cover",
        MP4,
        more(film(), *COVER, options=["-map", "0", "-map", "1", "-c:v:1", "mjpeg", "-disposition:v:1", "attached_pic"]),
        Shown(),
    ),
    Source(
        "cover-of-a-sound",
        MP4,
        more(
            film(), *COVER, options=["-map", "0:a", "-map", "1", "-c:v:0", "mjpeg", "-disposition:v:0", "attached_pic"]
        ),
        Refused("InvalidSource", ("no video",)),
    ),
    Source("chapters", MKV, film("-metadata", "title=; [x] 'y' %{z}"), Shown()),
)

CONTAINERS: Final = (
    Source(
        "mp4-fragmented",
        MP4,
        film("-movflags", "+frag_keyframe+empty_moov+default_base_moof", "-g", "5"),
        Shown(slack=1),
    ),
    Source("mp4-index-first", MP4, film("-movflags", "+faststart"), Shown()),
    Source("mkv-live", MKV, film("-live", "1"), Shown()),
    Source("webm", "webm", film(codec=VP9), Shown()),
    Source(
        "webm-vp8", "webm", film(codec=("-c:v", "libvpx", "-deadline", "realtime", "-b:v", "2M", "-crf", "4")), Shown()
    ),
    Source("avi", "avi", film(*PCM, codec=("-c:v", "mpeg4", "-q:v", "2")), Shown()),
    Source("flv", "flv", film(*PCM), Shown()),
    Source("flv-sorenson", "flv", film("-ar", "44100", codec=("-c:v", "flv", "-q:v", "2")), Shown(slack=1)),
    Source("ts", "ts", film(), Shown(slack=1)),
    Source("mpg", "mpg", film(codec=("-c:v", "mpeg1video", "-q:v", "2")), Shown(slack=1)),
    Source("ogv-theora", "ogv", film(codec=("-c:v", "libtheora", "-q:v", "10")), Shown()),
    Source(
        "3gp",
        "3gp",
        film(
            "-ar", "8000", "-ac", "1", "-c:a", "libopencore_amrnb", size=(128, 96), codec=("-c:v", "h263", "-q:v", "2")
        ),
        Shown(),
    ),
    Source(
        "wmv",
        "wmv",
        film(codec=("-c:v", "wmv2", "-q:v", "2", "-c:a", "wmav2")),
        Shown(seconds=0.846, mark=0.446, heard=(0, 0.8), slack=1),
    ),
    Source(
        "mxf",
        "mxf",
        film("-ar", "48000", size=(128, 96), codec=("-c:v", "mpeg2video", "-q:v", "2")),
        Refused("InvalidSource", ("format",)),
    ),
    Source("nut", "nut", film(), Refused("InvalidSource", ("format",))),
    Source("bare-h264", "h264", mute(), Refused("InvalidSource", ("format",))),
    Source("y4m", "y4m", mute(codec=()), Refused("InvalidSource", ("format",))),
)

CODECS: Final = (
    *(
        Source(
            f"codec-{name}",
            suffix,
            mute(*options, codec=("-c:v", *codec), filters=filters, size=(256, 128)),
            Shown(heard=None),
        )
        for name, suffix, codec, filters, options in (
            ("av1", MP4, ("libaom-av1", "-cpu-used", "8", "-usage", "realtime", "-crf", "8"), UNTAGGED, ()),
            ("h265", MP4, X265[1:], UNTAGGED, ()),
            ("h265-hev1-ts", "ts", X265[1:], UNTAGGED, ()),
            ("mpeg4-asp", "avi", ("mpeg4", "-q:v", "2", "-bf", "2"), UNTAGGED, ()),
            ("mjpeg", "avi", ("mjpeg", "-q:v", "2"), yuv("yuvj420p", full=True), ()),
            ("prores", MOV, ("prores_ks",), yuv("yuv422p10le"), ()),
            ("dnxhr", MOV, ("dnxhd", "-profile:v", "dnxhr_sq"), yuv("yuv422p", "bt709"), ()),
            ("huffyuv-rgb", "avi", ("huffyuv",), f"{RGB},format=bgr24", ()),
            ("ffv1-rgb", MKV, ("ffv1",), RGB, ()),
            ("raw", "avi", ("rawvideo",), f"{RGB},format=bgr24", ()),
            ("raw-uyvy", MOV, ("rawvideo",), f"{yuv('yuv422p')},format=uyvy422", ()),
            ("jpeg2000", MKV, ("jpeg2000",), RGB, ()),
            ("palette", "avi", ("msvideo1",), f"{RGB},format=rgb555le", ()),
        )
    ),
)

NOISE: Final = f"{RGB},noise=alls=20:allf=t,{UNTAGGED}"
DAMAGED: Final = (
    Source("empty", MP4, written(b""), Refused("InvalidSource", ("read",))),
    Source("one-byte", MP4, written(b"x"), Refused("InvalidSource", ("read",))),
    Source("text", MP4, written(b"This is no film.\n" * 50), Refused("InvalidSource", ())),
    Source("html", MP4, written(b"<!doctype html><html><body>404</body></html>"), Refused("InvalidSource", ())),
    Source("zeros", MP4, written(bytes(100_000)), Refused("InvalidSource", ())),
    Source(
        "playlist",
        MP4,
        written(b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nplain.mp4\n#EXT-X-ENDLIST\n"),
        Refused("InvalidSource", ("read",)),
    ),
    Source(
        "concat-list", MP4, written(b"ffconcat version 1.0\nfile plain.mp4\n"), Refused("InvalidSource", ("format",))
    ),
    Source("half-mp4-index-last", MP4, cut(film(), 0.5), Refused("InvalidSource", ("read",))),
    Source(
        "half-mp4-index-first",
        MP4,
        cut(film("-movflags", "+faststart", "-g", "5", filters=NOISE), 0.6),
        Refused("InvalidSource", ("decode",)),
    ),
    Source(
        "half-mp4-fragmented",
        MP4,
        cut(film("-movflags", "+frag_keyframe+empty_moov", "-g", "5", filters=NOISE), 0.6),
        Refused("InvalidSource", ()),
    ),
    Source("half-mkv", MKV, cut(film("-g", "5", filters=NOISE), 0.6), Refused("InvalidSource", ("incomplete",))),
    Source("half-ts", "ts", cut(mute("-g", "5", filters=NOISE), 0.6), Refused("InvalidSource", ("corrupt",))),
    Source("half-png", "png", cut(still(size=(320, 240)), 0.5), Refused("InvalidSource", ())),
    Source(
        "half-avi",
        "avi",
        cut(mute(filters=NOISE, codec=("-c:v", "mpeg4", "-q:v", "2")), 0.6),
        Refused("InvalidSource", ("corrupt",)),
    ),
    Source(
        "flipped-bytes", MP4, damaged(film(filters=NOISE), begin=0.3, end=0.6), Refused("InvalidSource", ("decode",))
    ),
    Source("flipped-bytes-ts", "ts", damaged(film(filters=NOISE), begin=0.3, end=0.6), Refused("InvalidSource", ())),
    Source(
        "flipped-index",
        MP4,
        damaged(film("-movflags", "+faststart"), begin=0.0, end=0.1),
        Refused("InvalidSource", ("read",)),
    ),
    Source("huge-claimed", "png", written(png(20000, 20000)), Refused("InvalidSource", ("read",))),
    Source("link", MP4, film(), Refused("NoSuchKey", ()), linked=True),
)

NAMES: Final = tuple(
    Source(f"name-{name}", MP4, film(), Shown(), key=key)
    for name, key in (
        ("spaces", "in/  a b .mp4"),
        ("quotes", 'in/it\'s "q".mp4'),
        ("chinese", "in/演示视频.mp4"),
        ("emoji", "in/🎬.mp4"),
        ("percent", "in/100% %03d %41.mp4"),
        ("colon", "in/a:b.mp4"),
        ("protocol", "http:x.mp4"),
        ("option", "-y.mp4"),
        ("backslash", "in/a\\b\\.mp4"),
        ("filter", "in/a;b[c],d=e.mp4"),
        ("url", "in/a?b#c&d+e.mp4"),
        ("line-separator", "in/a\u2028b.mp4"),
        ("newline", "in/a\nb.mp4"),
        ("no-suffix", "in/film"),
        ("wrong-suffix", "in/film.png"),
        ("long", f"in/{'n' * 251}.mp4"),
        ("combining", "in/e\u0301.mp4"),
    )
)

SOURCES: Final = (
    *ROTATIONS,
    *SHAPES,
    *ALPHA,
    *COLOURS,
    *STILLS,
    *TIMES,
    *INTERLACED,
    *SOUNDS,
    *TRACKS,
    *CONTAINERS,
    *CODECS,
    *DAMAGED,
    *NAMES,
)
