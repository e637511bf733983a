"""What concerns the sources on their canvas: names, sizes, and placements that were surely not meant.

Source: reference/video-synthesis.md §2.3 and §4. No number range is documented for the place of a source; the limits
here are our own choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from reconciler.api.messages import SpliceInfo
from reconciler.api.violations import Range, Violation, named, under, warning, within

SIDE: Final = Range(2, 16384, "px")
"""A source's width or height: below 2 nothing is left after rounding to even, above it FFmpeg refuses the picture."""

OFFSET: Final = Range(-16384, 16384, "px")
_EDGE: Final = {"x": "left", "y": "upper"}


class Box(NamedTuple):
    """A rectangle in canvas pixels; ``right`` and ``bottom`` are the first pixels that it does not cover."""

    left: int
    top: int
    right: int
    bottom: int

    def covers(self, other: Box) -> bool:
        """Tell whether every pixel of ``other`` lies in this box."""
        return (
            self.left <= other.left
            and self.top <= other.top
            and self.right >= other.right
            and self.bottom >= other.bottom
        )

    def clipped(self, canvas: tuple[int, int] | None) -> Box:
        """Return the part of this box on the canvas; ``right <= left`` or ``bottom <= top`` when there is none."""
        if canvas is None:
            return self
        width, height = canvas
        return Box(max(self.left, 0), max(self.top, 0), min(self.right, width), min(self.bottom, height))

    def is_empty(self) -> bool:
        """Tell whether the box holds no pixel."""
        return self.right <= self.left or self.bottom <= self.top


def placement_rules(
    sources: Sequence[SpliceInfo], canvas: tuple[int, int] | None, *, subsampled: bool = True
) -> Iterator[Violation]:
    """Check sources; ``canvas`` is its width and height, None when a template on the service decides it.

    With ``subsampled`` the picture is encoded as 4:2:0, which has no odd positions.
    """
    for index, info in enumerate(sources):
        yield from under(_source(info, canvas, subsampled=subsampled), index)
    yield from _hidden([_box(info, canvas) for info in sources])


def _source(info: SpliceInfo, canvas: tuple[int, int] | None, *, subsampled: bool) -> Iterator[Violation]:
    yield from named("name", info.name)
    for key, allowed in (("x", OFFSET), ("y", OFFSET), ("width", SIDE), ("height", SIDE)):
        yield from within(info, key, allowed)
        if subsampled:
            yield from _odd(key, getattr(info, key))
    yield from _stretched(info)
    if canvas:
        yield from _outside(info, canvas)


def _odd(key: str, value: int | None) -> Iterator[Violation]:
    if value is not None and value % 2 and (value > 0 or key in ("x", "y")):
        message = f"{value} is odd; where colours are stored for pairs of pixels `{key}` may become {value - 1}"
        yield warning((key,), message, f"write {value - 1}")


def _stretched(info: SpliceInfo) -> Iterator[Violation]:
    for given, other in (("width", "height"), ("height", "width")):
        value = getattr(info, given)
        if value is not None and getattr(info, other) is None:
            message = f"`{given}` {value} without `{other}` stretches the picture: `{other}` stays that of the source"
            yield warning((given,), message, f"write {other} too")


def _outside(info: SpliceInfo, canvas: tuple[int, int]) -> Iterator[Violation]:
    size = "×".join(map(str, canvas))
    for key, extent, limit in (("x", info.width, canvas[0]), ("y", info.height, canvas[1])):
        start = getattr(info, key) or 0
        if start not in OFFSET:
            return
        if start >= limit or (extent is not None and extent > 0 and start + extent <= 0):
            message = f"{start} puts the source wholly outside the canvas of {size}"
            yield warning((key,), message, f"`{key}` counts pixels from the canvas's {_EDGE[key]} edge")
            return


def _box(info: SpliceInfo, canvas: tuple[int, int] | None) -> Box | None:
    """Return what a source covers, or None when its size is not known here or it covers nothing."""
    if info.width is None or info.height is None:
        return None
    left, top = info.x or 0, info.y or 0
    box = Box(left, top, left + info.width, top + info.height).clipped(canvas)
    return None if box.is_empty() else box


def _hidden(boxes: Sequence[Box | None]) -> Iterator[Violation]:
    for index, box in enumerate(boxes):
        if box is None:
            continue
        for later, cover in enumerate(boxes[index + 1 :], start=index + 1):
            if cover is not None and cover.covers(box):
                message = f"source {index + 1} is wholly hidden by source {later + 1}, which is painted over it"
                yield warning((index,), message, "later sources are painted over earlier ones: change the order")
                break
