"""Sources of known values, a painter that says what a job must look like, and what is measured in its result.

Colours are converted here by the formulas of BT.709 and its kin in plain numpy, never by FFmpeg's scaler: a wrong matrix
or range in the service cannot be undone by the same mistake in the measurement.

Sources are stored without loss, results encoded at CRF 1, so the only errors are roundings to 8 bits: at most one level
each when a source is stored, converted and encoded, and as many from the quantiser. Hence ``LEVELS``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeAlias

import av
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from reconciler.api.messages import Operation
from tests.service.media import Colour, rendered, run

Array: TypeAlias = NDArray[np.float64]
Source: TypeAlias = Path | tuple[Path, Mapping[str, int]]

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)
YELLOW, CYAN, MAGENTA, ORANGE = (255, 255, 0), (0, 255, 255), (255, 0, 255), (230, 130, 30)

CANVAS: Final = (256, 192)
LEVELS: Final = 6
REACH: Final = 4
"""How many pixels from an edge the halved chroma of a result may still show the neighbour: the taps of a scaler."""

MATRICES: Final = {
    "bt709": (0.2126, 0.0722),
    "smpte170m": (0.299, 0.114),
    "bt470bg": (0.299, 0.114),
    "smpte240m": (0.212, 0.087),
    "bt2020nc": (0.2627, 0.0593),
}
"""The shares of red and blue in the luma of each matrix, by FFmpeg's name."""

_MATRIX_NUMBERS: Final = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc"}


def to_yuv(rgb: Array, matrix: str = "bt709", *, full: bool = False) -> Array:
    """Convert RGB from 0 to 255 to code values of 8 bits, not rounded."""
    kr, kb = MATRICES[matrix]
    red, green, blue = (rgb[..., channel] / 255 for channel in range(3))
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)
    foot, luma_range, chroma_range = (0, 255, 255) if full else (16, 219, 224)
    return np.stack([foot + luma_range * luma, *(128 + chroma_range * part for part in chroma)], axis=-1)


def to_rgb(yuv: Array, matrix: str = "bt709", *, full: bool = False) -> Array:
    """Convert code values of 8 bits to RGB from 0 to 255, clipped."""
    kr, kb = MATRICES[matrix]
    foot, luma_range, chroma_range = (0, 255, 255) if full else (16, 219, 224)
    luma = (yuv[..., 0] - foot) / luma_range
    blue = luma + (yuv[..., 1] - 128) / chroma_range * (2 - 2 * kb)
    red = luma + (yuv[..., 2] - 128) / chroma_range * (2 - 2 * kr)
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    return np.clip(np.stack([red, green, blue], axis=-1) * 255, 0, 255)


# Pictures and the painter.


def flat(colour: Colour, width: int = 128, height: int = 96) -> Array:
    """One colour."""
    return np.full((height, width, 3), colour, dtype=np.float64)


def quarters(width: int = 128, height: int = 96) -> Array:
    """Red and green above cyan and white: turned, mirrored or shifted it is another picture, and nowhere dark."""
    picture = flat(RED, width, height)
    picture[:, width // 2 :] = GREEN
    picture[height // 2 :] = CYAN
    picture[height // 2 :, width // 2 :] = WHITE
    return picture


def painted(canvas: tuple[int, int], *placed: tuple[Array, int, int]) -> Array:
    """Paint pictures at their places, one over the other, onto black; what lies outside of the canvas is lost."""
    width, height = canvas
    wanted = flat(BLACK, width, height)
    for picture, x, y in placed:
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + picture.shape[1], width), min(y + picture.shape[0], height)
        if left < right and top < bottom:
            wanted[top:bottom, left:right] = picture[top - y : bottom - y, left - x : right - x]
    return wanted


def blended(below: Array | Colour, above: Array | Colour, opacity: float) -> Array:
    """Mix two colours, or pictures, as an encoder's values are mixed: without regard to light."""
    return np.asarray(below, dtype=np.float64) * (1 - opacity) + np.asarray(above, dtype=np.float64) * opacity


# Results.


@dataclass(frozen=True)
class Frame:
    """One decoded frame: code values of Y, Cb, Cr for each pixel, and how they are said to be meant."""

    time: float
    yuv: Array
    matrix: str
    full: bool

    @cached_property
    def rgb(self) -> Array:
        """The colours of all pixels, from 0 to 255."""
        return to_rgb(self.yuv, self.matrix, full=self.full)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.yuv.shape[1], self.yuv.shape[0]

    def at(self, x: int, y: int) -> Colour:
        """The mean colour around a pixel, which no single rounding decides."""
        red, green, blue = self.rgb[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].mean(axis=(0, 1))
        return round(red), round(green), round(blue)


@dataclass(frozen=True)
class Sound:
    """A sound track: one row for each sample, one column for each channel."""

    rate: int
    samples: Array

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    def part(self, start: float, end: float) -> Array:
        """The samples between two times."""
        return self.samples[round(start * self.rate) : round(end * self.rate)]

    def level(self, hertz: float, start: float = 0.1, end: float = 0.3) -> list[float]:
        """Amplitude of one frequency in each channel between two times, 1 being full scale."""
        part = self.part(start, end)
        assert len(part) >= (end - start) * self.rate - 2, f"no sound at {end} s"
        window = np.hanning(len(part))
        wave = window * np.exp(-2j * np.pi * hertz / self.rate * np.arange(len(part)))
        return [float(amplitude) for amplitude in np.abs(wave @ part) * 2 / window.sum()]

    def loudest(self, start: float, end: float) -> float:
        """The largest sample between two times."""
        return float(np.abs(self.part(start, end)).max())


@dataclass(frozen=True)
class Result:
    """A rendered file."""

    path: Path

    @cached_property
    def frames(self) -> tuple[Frame, ...]:
        with av.open(str(self.path)) as container:
            return tuple(_frame(frame) for frame in container.decode(video=0))

    @cached_property
    def rate(self) -> Fraction:
        with av.open(str(self.path)) as container:
            return Fraction(container.streams.video[0].average_rate or 0)

    @property
    def seconds(self) -> float:
        """How long the picture is: the number of frames by their rate."""
        return float(len(self.frames) / self.rate)

    @cached_property
    def tracks(self) -> tuple[Sound, ...]:
        with av.open(str(self.path)) as container:
            count = len(container.streams.audio)
        return tuple(heard(self.path, number) for number in range(count))

    @property
    def sound(self) -> Sound:
        """The only sound track."""
        (track,) = self.tracks
        return track

    def at(self, seconds: float) -> Frame:
        """The frame that is on the screen at some time."""
        return [frame for frame in self.frames if frame.time <= seconds + 1e-4][-1]


def _frame(frame: av.VideoFrame) -> Frame:
    planes = []
    depth = frame.format.components[0].bits
    for plane in frame.planes[:3]:
        kind = np.dtype(np.uint8 if depth == 8 else "<u2")
        rows = np.frombuffer(bytes(plane), kind).reshape(plane.height, plane.line_size // kind.itemsize)
        values = rows[:, : plane.width].astype(np.float64) / 2 ** (depth - 8)
        across, down = -(-frame.width // plane.width), -(-frame.height // plane.height)
        planes.append(values.repeat(across, axis=1).repeat(down, axis=0)[: frame.height, : frame.width])
    full = frame.color_range == 2 or frame.format.name.startswith("yuvj")
    return Frame(float(frame.time or 0), np.stack(planes, axis=-1), _MATRIX_NUMBERS[frame.colorspace], full)


def heard(path: Path, track: int = 0) -> Sound:
    """Decode a sound track, every sample at the time that the file gives it."""
    with av.open(str(path)) as container:
        rate = container.streams.audio[track].rate
        pieces = []
        for frame in container.decode(audio=track):
            samples = frame.to_ndarray()
            whole = 2 ** (8 * samples.dtype.itemsize - 1) if samples.dtype.kind == "i" else 1
            channels = samples if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels).T
            pieces.append((round(float(frame.time or 0) * rate), channels.T.astype(np.float64) / whole))
    length = max(start + len(piece) for start, piece in pieces)
    sound = np.zeros((length, pieces[0][1].shape[1]))
    for start, piece in pieces:
        sound[max(start, 0) : start + len(piece)] = piece[max(-start, 0) :]
    return Sound(rate, sound)


def assert_shows(frame: Frame, wanted: Array, *, levels: int = LEVELS, margin: int = 0) -> None:
    """Compare each pixel: luma up to ``margin`` pixels from an edge of the wanted picture, chroma up to ``REACH``."""
    assert frame.size == (wanted.shape[1], wanted.shape[0])
    off = np.abs(frame.yuv - to_yuv(wanted, frame.matrix, full=frame.full))
    off[~_even(wanted, margin), 0] = 0
    off[~_even(wanted, max(margin, REACH)), 1:] = 0
    y, x, _ = np.unravel_index(off.argmax(), off.shape)
    place = f"at x={x}, y={y}: {frame.rgb[y, x].round()} instead of {wanted[y, x].round()}"
    assert off.max() <= levels, f"{(off.max(axis=2) > levels).sum()} pixels differ, most of all the one {place}"


def _even(picture: Array, reach: int) -> NDArray[np.bool_]:
    """Tell which pixels have the colour of all pixels up to ``reach`` away."""
    edge: NDArray[np.bool_] = np.zeros(picture.shape[:2], dtype=bool)
    for before, after in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        changes = (picture[before] != picture[after]).any(axis=2)
        edge[before] |= changes
        edge[after] |= changes
    if not reach:
        return np.ones_like(edge)
    for axis in (0, 1):
        ring = [(reach - 1, reach - 1) if side == axis else (0, 0) for side in (0, 1)]
        edge = np.asarray(sliding_window_view(np.pad(edge, ring), 2 * reach - 1, axis).any(axis=-1))
    return ~edge


# Sources.


def tone(hertz: float, seconds: float = 0.4, amplitude: float = 0.2, rate: int = 48000) -> Array:
    """A sine, as one channel."""
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def silence(seconds: float, rate: int = 48000) -> Array:
    return np.zeros(round(seconds * rate))


def both(channel: Array) -> Array:
    """The same in the left and the right channel."""
    return np.stack([channel, channel], axis=-1)


@dataclass
class Stage:
    """A folder where sources are made, each once, and jobs rendered."""

    folder: Path
    results: int = 0

    def film(
        self,
        frames: Sequence[Array],
        *sounds: Array,
        rate: str = "25",
        hertz: int = 48000,
        matrix: str | None = "bt709",
        full: bool | None = False,
        stored_as: str = "smpte170m",
        depth: int = 8,
        suffix: str = "mkv",
        filters: str = "null",
        options: Sequence[str] = (),
    ) -> Path:
        """Store frames, and sound tracks, without loss; ``matrix`` and ``full`` are told in the file unless None."""
        pixels = np.stack(frames)
        height, width = pixels.shape[1:3]
        yuv = to_yuv(pixels, matrix or stored_as, full=bool(full))
        tags = [f"colorspace={matrix}"] if matrix else []
        tags += [f"range={'pc' if full else 'tv'}"] if full is not None else []
        chain = ",".join(["setparams=" + ":".join(tags), filters] if tags else [filters])
        raw = _halved(yuv, depth)
        encoder = _ODD if width % 2 or height % 2 else _EVEN
        inputs = ["-f", "rawvideo", "-pix_fmt", "yuv420p" if depth == 8 else f"yuv420p{depth}le"]
        inputs += ["-s", f"{width}x{height}", "-r", rate]
        return self._made([raw], [inputs], sounds, hertz, suffix, ["-vf", chain, *encoder, *options])

    def flat(self, colour: Colour, width: int = 128, height: int = 96, *, frames: int = 5, **more: Any) -> Path:
        """One colour for some frames, 25 a second."""
        return self.film([flat(colour, width, height)] * frames, **more)

    def sound(self, *sounds: Array, hertz: int = 48000, suffix: str = "wav", options: Sequence[str] = ()) -> Path:
        """Store sound alone."""
        return self._made([], [], sounds, hertz, suffix, options)

    def copy(self, path: Path) -> Path:
        """Put a file that is not made here among the sources."""
        copied = self.folder / path.name
        copied.write_bytes(path.read_bytes())
        return copied

    def picture(self, pixels: Array, suffix: str = "png", *, options: Sequence[str] = ()) -> Path:
        """Store a still picture; with four channels the last one is its alpha."""
        height, width, channels = pixels.shape
        kind = "rgba" if channels == 4 else "rgb24"
        inputs = ["-f", "rawvideo", "-pix_fmt", kind, "-s", f"{width}x{height}"]
        return self._made(
            [np.rint(pixels).astype(np.uint8).tobytes()], [inputs], (), 0, suffix, ["-frames:v", "1", *options]
        )

    def _made(
        self,
        raws: list[bytes],
        inputs: list[list[str]],
        sounds: Sequence[Array],
        hertz: int,
        suffix: str,
        options: Sequence[str],
    ) -> Path:
        raws = raws + [sound.astype("<f4").tobytes() for sound in sounds]
        for sound in sounds:
            channels = 1 if sound.ndim == 1 else sound.shape[1]
            inputs = [*inputs, ["-f", "f32le", "-ar", str(hertz), "-ac", str(channels)]]
        told = repr((inputs, suffix, options)).encode()
        name = hashlib.sha256(b"".join([told, *(hashlib.sha256(raw).digest() for raw in raws)])).hexdigest()[:16]
        path = self.folder / f"{name}.{suffix}"
        if not path.exists():
            arguments = []
            for number, (raw, described) in enumerate(zip(raws, inputs, strict=True)):
                piece = self.folder / f"{number}.raw"
                piece.write_bytes(raw)
                arguments += [*described, "-i", str(piece)]
            maps = [word for number in range(len(raws)) for word in ("-map", str(number))]
            lossless = ["-c:a", "flac"] if sounds and suffix == "mkv" else []
            run(*arguments, *maps, *lossless, *options, str(path))
        return path

    def compose(
        self,
        *sources: Source,
        keep: bool = False,
        marks: Sequence[dict[str, Any]] = (),
        canvas: tuple[int, int] = CANVAS,
        container: str = "mp4",
        video: Mapping[str, Any] | None = None,
        **transcode: Any,
    ) -> Result:
        """Render a job on a canvas; sources, music and pictures are told by the names of their files."""
        placed = [{"url": s.name} if isinstance(s, Path) else {"url": s[0].name, **s[1]} for s in sources]
        picture = {"width": canvas[0], "height": canvas[1], "crf": 1, **(video or {})}
        if picture.get("codec", "H.264") == "H.264":
            picture = {"preset": "ultrafast"} | picture
        operation = Operation.model_validate(
            {
                "video_synthesis": {"keep_audio_track": keep, "splice_info": placed},
                "transcode": {"container": {"format": container}, "video": picture, **transcode},
                "watermark": list(marks),
                "output": {"object": f"result.{container}"},
            }
        )
        self.results += 1
        target = self.folder / f"result-{self.results}.{container}"
        files = {path.name: path for path in self.folder.iterdir() if path.is_file()}
        rendered(operation, files, target)
        return Result(target)


_EVEN: Final = ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "0")
_ODD: Final = ("-c:v", "ffv1")  # H.264 of 4:2:0 has no odd sizes


def _halved(yuv: Array, depth: int) -> bytes:
    """Lay frames out as planes, chroma as the mean of two by two pixels."""
    frames, height, width, _ = yuv.shape
    even = np.pad(yuv, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    small = even.reshape(frames, -(-height // 2), 2, -(-width // 2), 2, 3).mean(axis=(2, 4))
    kind = np.uint8 if depth == 8 else np.uint16
    scaled = [yuv[..., 0], small[..., 1], small[..., 2]]
    planes = [np.clip(np.rint(plane * 2 ** (depth - 8)), 0, 2**depth - 1).astype(kind) for plane in scaled]
    return b"".join(plane[number].tobytes() for number in range(frames) for plane in planes)
