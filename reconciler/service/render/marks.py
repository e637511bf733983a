"""Watermarks: where each is, how large, when, and the filter chains that paint it.

Pure. A text is a picture by the time it comes here (``lettering``), so nothing that a person wrote gets into a chain.

Source: reference/video-synthesis.md §2.6; docs/assumptions.md says what is chosen where it is silent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

from reconciler.api.watermark import Image, Watermark
from reconciler.service.probe import VideoTrack
from reconciler.service.render.picture import OVERLAY_FORMATS, SCALER, Rect, matrix_of

_LARGEST: Final = 4096
_LEFT: Final = ("TopLeft", "Left", "BottomLeft")
_RIGHT: Final = ("TopRight", "Right", "BottomRight")
_TOP: Final = ("TopLeft", "Top", "TopRight")
_BOTTOM: Final = ("BottomLeft", "Bottom", "BottomRight")


class Slide(NamedTuple):
    """How fast a mark moves, in pixels a second to the right and downwards, and how wide and high its way is."""

    x: float
    y: float
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Mark:
    """One watermark on the canvas.

    ``input`` is FFmpeg's number of its picture. ``opacity`` is in percent. ``start`` and ``end`` are seconds of the
    result, None without a bound. One with ``background`` lies behind the sources.
    """

    input: int
    track: VideoTrack
    rect: Rect
    opacity: int
    background: bool
    start: float | None
    end: float | None
    slide: Slide | None


def placed(mark: Watermark, track: VideoTrack, canvas: Rect, *, number: int) -> Mark:
    """Place one watermark, whose picture is ``track`` and has FFmpeg's number ``number``, on the canvas."""
    image = mark.image if mark.type == "Image" else None
    width, height = _size(image, track, canvas) if image else (track.width, track.height)
    x = _offset(mark.pos, _LEFT, _RIGHT, canvas.width - width, _pixels(mark.dx, mark.loc_mode, canvas.width))
    y = _offset(mark.pos, _TOP, _BOTTOM, canvas.height - height, _pixels(mark.dy, mark.loc_mode, canvas.height))
    opacity = image.transparency if image and image.transparency is not None else 100
    slide = _slide(mark, canvas)
    return Mark(
        number,
        track,
        Rect(x, y, width, height),
        opacity,
        bool(image and image.background),
        float(mark.start_time) if mark.start_time else None,
        float(mark.end_time) if mark.end_time else None,
        slide,
    )


def exact(mark: Mark) -> bool:
    """Tell whether 4:2:0 can show a mark where it is: one that moves is at every place in turn."""
    return mark.slide is None


def painted(marks: Sequence[Mark], base: str, samples: str, name: str, *, begins: float = 0.0) -> tuple[list[str], str]:
    """Paint marks over ``base`` one by one; return the chains and the label of the last one.

    ``begins`` is when the result begins, in seconds of the frames that are painted on.
    """
    chains = []
    for number, mark in enumerate(marks):
        picture, result = f"[{name}{number}]", f"[{name}ed{number}]"
        chains += _picture(mark, samples, picture)
        overlay = f"overlay={_place(mark, samples, begins)}:format={OVERLAY_FORMATS[samples]}{_when(mark, begins)}"
        chains.append(f"{base}{picture}{overlay}{result}")
        base = result
    return chains, base


def _size(image: Image, track: VideoTrack, canvas: Rect) -> tuple[int, int]:
    """Return the size in pixels; a missing side follows the shape of the picture, two missing ones are its own."""
    if image.mode == "Original":
        return track.width, track.height
    width, height = image.width, image.height
    if image.mode == "Proportion":
        width = None if width is None else round(canvas.width * width / 100)
        height = None if height is None else round(canvas.height * height / 100)
    if width is None and height is None:
        return track.width, track.height
    wide = width if width is not None else round((height or 0) * track.width / track.height)
    high = height if height is not None else round((width or 0) * track.height / track.width)
    return min(max(1, wide), _LARGEST), min(max(1, high), _LARGEST)


def _pixels(offset: Decimal | None, mode: str | None, side: int) -> int:
    return round(offset * side / 100) if offset and mode == "Relativity" else round(offset or 0)


def _offset(pos: str | None, near: Sequence[str], far: Sequence[str], room: int, distance: int) -> int:
    """Return how far a mark is from the left or upper edge: offsets are measured inwards from the anchor's edge."""
    if pos in near:
        return distance
    return room - distance if pos in far else room // 2


def _slide(mark: Watermark, canvas: Rect) -> Slide | None:
    """Return the speed of a mark that moves: the API's numbers are read as percent of the canvas a second."""
    slide = mark.slide_config
    if slide is None or slide.slide_mode != "ScrollFromLeft":
        return None
    across, down = ((speed or 0) / 100 for speed in (slide.x_slide_speed, slide.y_slide_speed))
    return Slide(across * canvas.width, down * canvas.height, canvas.width, canvas.height)


def _picture(mark: Mark, samples: str, label: str) -> list[str]:
    """Bring the picture to its size and the samples of the composition, as chains that end in ``label``.

    4:2:0 has no odd places. There a picture gets a transparent row or column in front, in the colours that are beside
    it, so that those which share a sample of colour with it are not mixed with black.
    """
    rect, track = mark.rect, mark.track
    matrix = "" if track.rgb else f":in_color_matrix={matrix_of(track)}"
    first = [] if track.still else ["trim=end_frame=1"]  # a watermark that moved by itself would be another one
    filters = [*first, f"scale={rect.width}:{rect.height}:{SCALER}{matrix}:out_color_matrix=bt709:out_range=tv"]
    fade = [f"lut=a=val*{mark.opacity / 100:.2f}"] if mark.opacity < 100 else []
    tap, planes = f"[{mark.input}:{track.index}]", samples.replace("yuv", "yuva")
    left, top = _shift(mark, samples)
    if not left and not top:
        return [tap + ",".join([*filters, f"format={planes}", *fade, "setsar=1"]) + label]
    full, name = planes.replace("420", "444"), label.strip("[]")
    pad = f"pad={rect.width + left}:{rect.height + top}:{left}:{top}:color=black@0"
    return [
        f"{tap}{','.join([*filters, f'format={full}', *fade, pad])},split[{name}_c][{name}_a]",
        f"[{name}_a]alphaextract[{name}_m]",
        f"[{name}_c]format={full.replace('yuva', 'yuv')},fillborders=left={left}:top={top}:mode=smear[{name}_k]",
        f"[{name}_k][{name}_m]alphamerge,scale={SCALER},format={planes},setsar=1{label}",
    ]


def _shift(mark: Mark, samples: str) -> tuple[int, int]:
    """Return how many transparent columns and rows go before a picture, so that it is laid at an even place."""
    return (0, 0) if mark.slide or "444" in samples else (mark.rect.x % 2, mark.rect.y % 2)


def _place(mark: Mark, samples: str, begins: float) -> str:
    rect, slide = mark.rect, mark.slide
    if slide is None:
        left, top = _shift(mark, samples)
        return f"x={rect.x - left}:y={rect.y - top}"
    time = f"(t-{begins + (mark.start or 0):.3f})"
    x = _travel(slide.x, time, slide.width, rect.width, ahead=rect.width)
    y = _travel(slide.y, time, slide.height, rect.height, ahead=0)
    return f"x='{x}':y='{y}'"


def _travel(speed: float, time: str, side: int, length: int, *, ahead: int) -> str:
    """Return the place at a time: from one edge to beyond the other, and again; ``ahead`` of the edge at first."""
    if not speed:
        return "0"
    return f"mod({speed:.3f}*{time}+{length - ahead},{side + length})-{length}"


def _when(mark: Mark, begins: float) -> str:
    if mark.start is None and mark.end is None:
        return ""
    end = f"*lt(t,{begins + mark.end:.3f})" if mark.end is not None else ""
    return f":enable='gte(t,{begins + (mark.start or 0):.3f}){end}'"
