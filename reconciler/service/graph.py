"""The filter graph of one render: how pictures are placed on the canvas and sounds are mixed, in FFmpeg's language.

Pure. Every value in a graph is a number or a word of ours; nothing that a person wrote gets into it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from reconciler.service.probe import AudioTrack, VideoTrack

PICTURE: Final = "[picture]"
SOUND: Final = "[sound]"

_SCALER: Final = "flags=bicubic+accurate_rnd"  # accurate_rnd: the same pixels on every x86-64 CPU
_OVERLAY_FORMATS: Final = {
    "yuv420p": "yuv420",
    "yuv444p": "yuv444",
    "yuv420p10le": "yuv420p10",
    "yuv444p10le": "yuv444p10",
}
_LAYOUTS: Final = {1: "mono", 2: "stereo", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle in pixels of the canvas."""

    x: int
    y: int
    width: int
    height: int

    def intersection(self, other: Rect) -> Rect | None:
        """Return the common part, or None when there is none."""
        x, y = max(self.x, other.x), max(self.y, other.y)
        right = min(self.x + self.width, other.x + other.width)
        lower = min(self.y + self.height, other.y + other.height)
        return Rect(x, y, right - x, lower - y) if right > x and lower > y else None

    @property
    def even(self) -> bool:
        """Whether every edge lies between two chroma samples of a 4:2:0 picture."""
        return not (self.x % 2 or self.y % 2 or self.width % 2 or self.height % 2)


@dataclass(frozen=True, slots=True)
class Layer:
    """One visible source.

    ``input`` is FFmpeg's number of the file, ``rect`` the place that was asked for, ``visible`` its part on the canvas.
    """

    input: int
    track: VideoTrack
    rect: Rect
    visible: Rect

    @property
    def subsampled(self) -> bool:
        """Whether 4:2:0 can place it exactly; an odd edge would otherwise move to the even one beside it."""
        offset = Rect(self.visible.x - self.rect.x, self.visible.y - self.rect.y, 2, 2)
        return self.visible.even and offset.even


@dataclass(frozen=True, slots=True)
class Span:
    """Which frames of the composition are kept, at which rate."""

    rate: Fraction
    first: int
    frames: int

    @property
    def end(self) -> int:
        """The frame after the last one."""
        return self.first + self.frames


def composition_format(layers: Sequence[Layer], pixfmt: str) -> str:
    """Choose the samples to compose in: 4:2:0, unless an odd edge or the output needs the full chroma resolution."""
    exact = all(layer.subsampled for layer in layers)
    chroma = "yuv420p" if exact and "420" in pixfmt else "yuv444p"
    return f"{chroma}10le" if pixfmt.endswith("10le") else chroma


def picture(layers: Sequence[Layer], canvas: Rect, span: Span, pixfmt: str, finish: Sequence[str]) -> list[str]:
    """Return the chains that end in ``PICTURE``: sources, composition, cut, then ``finish`` (crop, rotation).

    The first sources that are opaque and apart from one another are put side by side; the others are painted over
    them one by one. A source that has ended keeps showing its last frame.
    """
    samples = composition_format(layers, pixfmt)
    stacked = _stackable(layers)
    chains, taps = _taps(layers)
    chains += [_scaled(layer, taps[number], number, samples, span) for number, layer in enumerate(layers)]
    chains.append(_base(layers[:stacked], canvas, samples, span))
    base = "[base]"
    for number in range(stacked, len(layers)):
        chains.append(_painted(base, layers[number], number, samples))
        base = f"[painted{number}]"
    cut = _cut(span)
    return [*chains, base + ",".join([*cut, *finish, *_converted(samples, pixfmt)]) + PICTURE]


def sound(tracks: Sequence[tuple[int, AudioTrack]], samplerate: int, channels: int, span: Span) -> list[str]:
    """Return the chains that end in ``SOUND``: each track at its own level, mixed, as long as the picture.

    ``tracks`` are pairs of FFmpeg's number of the file and its track.
    """
    layout = _LAYOUTS[channels]
    chains = [
        f"[{number}:{track.index}]aresample={samplerate}:async=1:first_pts=0,"
        f"aformat=sample_fmts=fltp:channel_layouts={layout}[sound{position}]"
        for position, (number, track) in enumerate(tracks)
    ]
    mixed = []
    if len(tracks) > 1:  # normalize would change the level whenever a source ends; the limiter takes what clips
        mixed = [f"amix=inputs={len(tracks)}:duration=longest:normalize=0", "alimiter=limit=0.98:level=0:latency=1"]
    start, end = (f"{float(frame / span.rate):.6f}" for frame in (span.first, span.end))
    # Padding has an end of its own: an endless apad lets FFmpeg 9 spin for ever now and then.
    cut = [f"apad=whole_dur={end}", f"atrim=start={start}:end={end}", "asetpts=PTS-STARTPTS"]
    labels = "".join(f"[sound{position}]" for position in range(len(tracks)))
    return [*chains, labels + ",".join([*mixed, *cut]) + SOUND]


def rate_text(rate: Fraction) -> str:
    """Write a frame rate exactly."""
    return f"{rate.numerator}/{rate.denominator}"


def _stackable(layers: Sequence[Layer]) -> int:
    """Count the leading layers that are opaque and do not overlap."""
    for number, layer in enumerate(layers):
        apart = all(layer.visible.intersection(before.visible) is None for before in layers[:number])
        if layer.track.alpha or not apart:
            return number
    return len(layers)


def _taps(layers: Sequence[Layer]) -> tuple[list[str], list[str]]:
    """Return where each layer's picture comes from, and the chains that decode a file once for several layers."""
    taps = [f"[{layer.input}:{layer.track.index}]" for layer in layers]
    chains = []
    for tap, count in Counter(taps).items():
        if count > 1:
            copies = [number for number, other in enumerate(taps) if other == tap]
            chains.append(f"{tap}split={count}" + "".join(f"[copy{number}]" for number in copies))
            for number in copies:
                taps[number] = f"[copy{number}]"
    return chains, taps


def _scaled(layer: Layer, tap: str, number: int, samples: str, span: Span) -> str:
    """Bring one source to the size, colours and rate of the canvas; the rate first where that drops frames."""
    track, rect, visible = layer.track, layer.rect, layer.visible
    matrix = "" if track.rgb else f":in_color_matrix={track.matrix or _guess(track)}"
    planes = samples.replace("yuv", "yuva") if track.alpha else samples
    filters = [
        f"scale={rect.width}:{rect.height}:{_SCALER}{matrix}:out_color_matrix=bt709:out_range=tv",
        f"format={planes}",
        "setsar=1",
    ]
    if visible != rect:
        filters.append(f"crop={visible.width}:{visible.height}:{visible.x - rect.x}:{visible.y - rect.y}:exact=1")
    filters.insert(0 if track.fps > span.rate else len(filters), f"fps={rate_text(span.rate)}:start_time=0")
    return f"{tap}{','.join(filters)}[placed{number}]"


def _guess(track: VideoTrack) -> str:
    """Name the colour matrix of a source that does not: high definition is BT.709, anything smaller BT.601."""
    return "bt709" if track.coded_height >= 720 else "smpte170m"


def _base(layers: Sequence[Layer], canvas: Rect, samples: str, span: Span) -> str:
    """Return the chain that makes the canvas: black, with opaque sources beside one another."""
    if not layers:
        size = f"{canvas.width}x{canvas.height}"
        seconds = float((span.end + 1) / span.rate)
        black = f"color=c=black:s={size}:r={rate_text(span.rate)}:d={seconds:.6f},format={samples}"
        return f"{black},trim=end_frame={span.end}[base]"
    labels = "".join(f"[placed{number}]" for number in range(len(layers)))
    left, top = min(layer.visible.x for layer in layers), min(layer.visible.y for layer in layers)
    places = "|".join(f"{layer.visible.x - left}_{layer.visible.y - top}" for layer in layers)
    stack = [f"xstack=inputs={len(layers)}:layout={places}:fill=black"] if len(layers) > 1 else []
    pad = f"pad={canvas.width}:{canvas.height}:{left}:{top}:black"
    return labels + ",".join([*stack, pad]) + "[base]"


def _painted(base: str, layer: Layer, number: int, samples: str) -> str:
    place = f"x={layer.visible.x}:y={layer.visible.y}"
    return f"{base}[placed{number}]overlay={place}:format={_OVERLAY_FORMATS[samples]}[painted{number}]"


def _cut(span: Span) -> list[str]:
    """Keep exactly the frames of the span; the last picture is held where every source has ended before."""
    hold = f"tpad=stop={span.end}:stop_mode=clone"
    if not span.first:
        return [hold, f"trim=end_frame={span.end}"]
    return [hold, f"trim=start_frame={span.first}:end_frame={span.end}", "setpts=PTS-STARTPTS"]


def _converted(samples: str, pixfmt: str) -> list[str]:
    """Turn the composition into the output's samples, and say what they mean: overlay and xstack forget it."""
    full = pixfmt.startswith("yuvj")
    tags = f"setparams=range={'pc' if full else 'tv'}:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
    if samples == pixfmt:
        return [tags]
    return [f"scale={_SCALER}{':in_range=tv:out_range=pc' if full else ''}", f"format={pixfmt}", tags]
