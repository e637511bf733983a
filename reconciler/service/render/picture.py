"""What is seen: how pictures are placed on the canvas, as FFmpeg's filter chains.

Pure. Every value in a chain is a number or a word of ours; nothing that a person wrote gets into it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from reconciler.service.probe import VideoTrack

PICTURE: Final = "[picture]"

SCALER: Final = "flags=bicubic+accurate_rnd"  # accurate_rnd: the same pixels on every x86-64 CPU
OVERLAY_FORMATS: Final = {
    "yuv420p": "yuv420",
    "yuv444p": "yuv444",
    "yuv420p10le": "yuv420p10",
    "yuv444p10le": "yuv444p10",
}
_HDR: Final = frozenset({"smpte2084", "arib-std-b67"})
_WIDE: Final = frozenset({"bt2020", "smpte432"})
"""Primaries whose colours look dull when they are taken for those of BT.709."""

_STRONG: Final = 16
_WHITE: Final = 203
"""Candela per square metre of white in HDR that becomes the white of SDR (ITU-R BT.2408)."""

_JFIF: Final = "bt470bg"
"""The colour matrix of JPEG and WebP pictures."""


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
class Colors:
    """What the samples of a picture mean, in FFmpeg's words."""

    range: str = "tv"
    matrix: str = "bt709"
    transfer: str = "bt709"
    primaries: str = "bt709"


BT709: Final = Colors()


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


def composition_format(layers: Sequence[Layer], pixfmt: str, *, exact: bool = True) -> str:
    """Choose the samples to compose in: 4:2:0, unless an odd edge or the output needs the full chroma resolution.

    ``exact`` tells whether 4:2:0 will do for what is painted over the layers.
    """
    exact = exact and all(layer.subsampled for layer in layers)
    chroma = "yuv420p" if exact and "420" in pixfmt else "yuv444p"
    return f"{chroma}10le" if pixfmt.endswith("10le") else chroma


def is_hdr(track: VideoTrack) -> bool:
    """Tell whether a picture is HDR: PQ or HLG."""
    return track.transfer in _HDR


def matrix_of(track: VideoTrack) -> str:
    """Return the colour matrix of a picture; of one that does not name it the usual one.

    High definition is BT.709, anything smaller BT.601, and so is every picture of JPEG or WebP.
    """
    if track.matrix is not None:
        return track.matrix
    if track.still:
        return _JFIF
    return "bt709" if track.coded_height >= 720 else "smpte170m"


def composed(
    layers: Sequence[Layer], backgrounds: Sequence[str], ground: str, canvas: Rect, span: Span, samples: str
) -> tuple[list[str], str]:
    """Return the chains that compose the sources, and the label of the last one.

    The first sources that are opaque and apart from one another are put side by side; the others are painted over
    them one by one. A source that has ended keeps showing its last frame. With ``backgrounds``, chains that begin at
    ``[black]`` and end in ``ground``, all sources are painted over them.
    """
    stacked = 0 if backgrounds else _stackable(layers)
    chains, taps = _taps(layers)
    for number, layer in enumerate(layers):
        chains += _scaled(layer, taps[number], number, samples, span)
    base = "[black]" if backgrounds else "[base]"
    chains.append(_base(layers[:stacked], canvas, samples, span) + base)
    if backgrounds:
        chains += backgrounds
        base = ground
    for number in range(stacked, len(layers)):
        chains.append(_painted(base, layers[number], number, samples))
        base = f"[painted{number}]"
    return chains, base


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


def _scaled(layer: Layer, tap: str, number: int, samples: str, span: Span) -> list[str]:
    """Bring one source to the size, colours and rate of the canvas; the rate first where that drops frames."""
    track, rect, visible = layer.track, layer.rect, layer.visible
    rate = f"fps={rate_text(span.rate)}:start_time=0"
    if track.duration * span.rate < 1:  # shorter than a frame of the result, which rounding would drop
        rate += ":eof_action=pass"
    before = ["bwdif=mode=send_frame:deint=interlaced"] if track.interlaced else []  # its fields are two moments
    after = ["setsar=1"]
    if visible != rect:
        after.append(f"crop={visible.width}:{visible.height}:{visible.x - rect.x}:{visible.y - rect.y}:exact=1")
    (before if track.fps > span.rate else after).append(rate)
    planes, end = samples.replace("yuv", "yuva") if track.alpha else samples, f"[placed{number}]"
    size = f"scale={rect.width}:{rect.height}:{_scaler(track, rect)}"
    if track.rgb or not (is_hdr(track) or track.primaries in _WIDE):
        matrix = "" if track.rgb else f":in_color_matrix={matrix_of(track)}"
        sized = f"{size}{matrix}:out_color_matrix=bt709:out_range=tv"
        return [tap + ",".join([*before, sized, f"format={planes}", *after]) + end]
    meaning, converted_to = _wide(track)
    # One matrix through the scaler, so that what comes out still means what zscale is told.
    sized = f"{size}:in_color_matrix={meaning}:out_color_matrix={meaning}:out_range=tv"
    if not track.alpha:
        return [tap + ",".join([*before, sized, "format=yuv444p10le", *converted_to, f"format={planes}", *after]) + end]
    name = f"layer{number}"  # transparency goes its own way: zscale would darken colours by it
    return [
        f"{tap}{','.join([*before, sized])},split[{name}_c][{name}_a]",
        f"[{name}_a]format=yuva444p,alphaextract[{name}_m]",
        f"[{name}_c]format=yuv444p10le,{','.join(converted_to)},format={planes.replace('yuva', 'yuv')}[{name}_k]",
        f"[{name}_k][{name}_m]alphamerge,{','.join([f'format={planes}', *after])}{end}",
    ]


def _wide(track: VideoTrack) -> tuple[str, list[str]]:
    """Return the matrix of a picture in HDR or wide colours, and the filters that bring it to BT.709."""
    primaries = track.primaries if track.primaries in _WIDE else "bt2020"
    matrix = track.matrix or ("bt2020nc" if is_hdr(track) or primaries == "bt2020" else matrix_of(track))
    meaning = f"rin=tv:min={matrix}:pin={primaries}"
    if not is_hdr(track):
        return matrix, [f"zscale={meaning}:tin=bt709:t=bt709:m=bt709:p=bt709:r=tv"]
    return matrix, [
        f"zscale={meaning}:tin={track.transfer}:t=linear:npl={_WHITE}",
        "format=gbrpf32le",
        "zscale=p=bt709",
        "tonemap=mobius:param=0.7:desat=2:peak=5",
        "zscale=t=bt709:m=bt709:r=tv",
    ]


def _scaler(track: VideoTrack, rect: Rect) -> str:
    """Return how a picture is scaled: a strong reduction averages, for which bicubic would need too many points."""
    strong = track.width > _STRONG * rect.width or track.height > _STRONG * rect.height
    return SCALER.replace("bicubic", "area") if strong else SCALER


def _base(layers: Sequence[Layer], canvas: Rect, samples: str, span: Span) -> str:
    """Return the chain that makes the canvas: black, with opaque sources beside one another."""
    if not layers:
        size = f"{canvas.width}x{canvas.height}"
        seconds = float((span.end + 1) / span.rate)
        black = f"color=c=black:s={size}:r={rate_text(span.rate)}:d={seconds:.6f},format={samples}"
        return f"{black},trim=end_frame={span.end}"
    labels = "".join(f"[placed{number}]" for number in range(len(layers)))
    left, top = min(layer.visible.x for layer in layers), min(layer.visible.y for layer in layers)
    places = "|".join(f"{layer.visible.x - left}_{layer.visible.y - top}" for layer in layers)
    stack = [f"xstack=inputs={len(layers)}:layout={places}:fill=black"] if len(layers) > 1 else []
    pad = f"pad={canvas.width}:{canvas.height}:{left}:{top}:black"
    return labels + ",".join([*stack, pad])


def _painted(base: str, layer: Layer, number: int, samples: str) -> str:
    place = f"x={layer.visible.x}:y={layer.visible.y}"
    return f"{base}[placed{number}]overlay={place}:format={OVERLAY_FORMATS[samples]}[painted{number}]"


def cut(span: Span) -> list[str]:
    """Keep exactly the frames of the span; the last picture is held where every source has ended before."""
    hold = f"tpad=stop={span.end}:stop_mode=clone"
    if not span.first:
        return [hold, f"trim=end_frame={span.end}"]
    return [hold, f"trim=start_frame={span.first}:end_frame={span.end}", "setpts=PTS-STARTPTS"]


def converted(samples: str, pixfmt: str, colors: Colors) -> list[str]:
    """Turn the composition into the output's samples, and say what they mean: overlay and xstack forget it."""
    tags = f"setparams=range={colors.range}:color_primaries={colors.primaries}:color_trc={colors.transfer}"
    tags += f":colorspace={colors.matrix}"
    if replace(colors, range="tv") != BT709:
        was = "min=bt709:tin=bt709:pin=bt709:rin=tv"
        asked = f"m={colors.matrix}:t={colors.transfer}:p={colors.primaries}:r={colors.range}"
        return [f"zscale={was}:{asked}", f"format={pixfmt}", tags]
    if samples == pixfmt and colors == BT709:
        return [tags]
    return [f"scale={SCALER}{':in_range=tv:out_range=pc' if colors.range == 'pc' else ''}", f"format={pixfmt}", tags]
