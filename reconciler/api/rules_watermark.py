"""What the documents demand of visible and invisible watermarks.

Source: reference/video-synthesis.md §2.6, §2.7 and §6. How many watermarks a job takes, and what depends on its canvas
or codec, is in ``rules``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from reconciler.api.rules_transcode import milliseconds
from reconciler.api.violations import (
    Range,
    Violation,
    blank,
    error,
    named,
    one_of,
    required,
    show,
    under,
    warning,
    within,
)
from reconciler.api.watermark import DigitalWatermark, Image, SlideConfig, TextMark, Watermark

POSITIONS: Final = (
    "TopLeft",
    "Top",
    "TopRight",
    "Left",
    "Center",
    "Right",
    "BottomLeft",
    "Bottom",
    "BottomRight",
)
FONTS: Final = (
    "simfang.ttf",
    "simhei.ttf",
    "simkai.ttf",
    "simsun.ttc",
    "STHeiti-Light.ttc",
    "STHeiti-Medium.ttc",
    "youyuan.TTF",
    "ariblk.ttf",
    "arial.ttf",
    "ahronbd.ttf",
    "Helvetica.dfont",
    "HelveticaNeue.dfont",
)
IMAGE_SIDE: Final = Range(8, 4096, "px")
_FONT_STEMS: Final = tuple(font.partition(".")[0] for font in FONTS)
_COLOR: Final = re.compile(r"(0x|#)[0-9A-Fa-f]{6}")
_FONT_SIZE: Final = Range(5, 100, "px")
_OPACITY: Final = Range(0, 100, "percent")
_SPEED: Final = Range(0, 10)
_SECONDS: Final = Range(0, unit="seconds")
_OFFSETS: Final = {
    ("Relativity", False): Range(0, 100, "percent"),
    ("Absolute", False): Range(0, 4096, "px"),
    ("Relativity", True): Range(-300, 0, "percent behind the video"),
    ("Absolute", True): Range(-4096, 0, "px behind the video"),
}
_SHARES: Final = {False: Range(1, 100, "percent"), True: Range(100, 300, "percent behind the video")}
_DEMANDED: Final = "the documents demand it"


def watermark_rules(node: Watermark) -> Iterator[Violation]:
    """Check one visible watermark."""
    yield from one_of("type", node.type, ("Text", "Image"))
    yield from required(node, "pos", _DEMANDED, "write pos: TopRight, say")
    yield from one_of("pos", node.pos, POSITIONS)
    yield from required(node, "loc_mode", _DEMANDED, "write loc_mode: Absolute for pixels, Relativity for percent")
    yield from one_of("loc_mode", node.loc_mode, ("Relativity", "Absolute"))
    yield from _offsets(node)
    yield from _times(node)
    if node.slide_config:
        yield from under(_slide(node.slide_config), "slide_config")
    yield from _content(node)


def _is_background(node: Watermark) -> bool:
    return node.type == "Image" and node.image is not None and bool(node.image.background)


def _offsets(node: Watermark) -> Iterator[Violation]:
    allowed = _OFFSETS.get((node.loc_mode or "", _is_background(node)))
    if allowed:
        yield from within(node, "dx", allowed)
        yield from within(node, "dy", allowed)


def _times(node: Watermark) -> Iterator[Violation]:
    for key in ("start_time", "end_time"):
        value = getattr(node, key)
        yield from within(node, key, _SECONDS)
        yield from milliseconds(key, value)
        if value is not None and _is_background(node):
            yield error((key,), f"{show(value)}: a background picture takes no `{key}`", "leave it out")
    if node.end_time is not None and node.end_time <= (node.start_time or 0):
        message = f"{show(node.end_time)} is not after `start_time` {show(node.start_time or 0)}: nothing is shown"
        yield error(("end_time",), message)


def _slide(node: SlideConfig) -> Iterator[Violation]:
    yield from one_of("slide_mode", node.slide_mode, ("Default", "ScrollFromLeft"))
    yield from within(node, "x_slide_speed", _SPEED)
    yield from within(node, "y_slide_speed", _SPEED)


def _content(node: Watermark) -> Iterator[Violation]:
    """Check the picture or the text: the one that ``type`` names must be there, the other does not act."""
    for kind, key, other in (("Image", "image", "text"), ("Text", "text", "image")):
        if node.type != kind:
            continue
        yield from required(node, key, f"`type` is {kind}")
        if getattr(node, other) is not None:
            yield warning((other,), f"`{other}` is ignored because `type` is {kind}", "leave it out")
    if node.image and node.type == "Image":
        yield from under(_image(node.image), "image")
    if node.text and node.type == "Text":
        yield from under(_text(node.text), "text")


def _image(node: Image) -> Iterator[Violation]:
    yield from required(node, "mode", _DEMANDED, "write mode: Original for the picture's own size")
    yield from one_of("mode", node.mode, ("Original", "Proportion", "Fixed"))
    yield from _transparency(node)
    for key in ("width", "height"):
        value = getattr(node, key)
        if node.mode == "Original" and value is not None:
            message = f"{value}: mode Original keeps the picture's own size and takes no `{key}`"
            yield error((key,), message, "write mode: Fixed for pixels, Proportion for percent")
        elif node.mode == "Fixed":
            yield from within(node, key, IMAGE_SIDE)
        elif node.mode == "Proportion":
            yield from within(node, key, _SHARES[bool(node.background)])


def _text(node: TextMark) -> Iterator[Violation]:
    yield from named("text", node.text)
    yield from required(node, "font_size", _DEMANDED, "write font_size: 25, say")
    yield from within(node, "font_size", _FONT_SIZE)
    yield from required(node, "font_type", _DEMANDED, "write font_type: arial.ttf, or simhei.ttf for Chinese")
    if node.font_type not in _FONT_STEMS:
        yield from one_of("font_type", node.font_type, FONTS)
    yield from required(node, "font_color", _DEMANDED, 'write font_color: "0xffffff", say, in quotes')
    if not blank(node.font_color) and not _COLOR.fullmatch(node.font_color or ""):
        yield error(
            ("font_color",),
            f"{show(node.font_color)} is not 0xRRGGBB",
            'write "0xffffff" for white, in quotes: without them YAML reads a number',
        )
    yield from _transparency(node)


def _transparency(node: Image | TextMark) -> Iterator[Violation]:
    yield from required(node, "transparency", _DEMANDED, "write transparency: 100 for a fully opaque mark")
    yield from within(node, "transparency", _OPACITY)
    if node.transparency == 0:
        message = "0 is invisible: `transparency` is an opacity"
        yield warning(("transparency",), message, "write 100 for a fully opaque mark")


def digital_watermark_rules(node: DigitalWatermark) -> Iterator[Violation]:
    """Check the invisible watermark."""
    yield from named("message", node.message)
    for key, only in (("type", "Text"), ("version", "V1")):
        yield from required(node, key, _DEMANDED, f"write {key}: {only}")
        yield from one_of(key, getattr(node, key), (only,))
    yield from required(node, "ignore_error", _DEMANDED, "write ignore_error: false to fail when embedding fails")
    if node.state is not None:
        yield warning(("state",), "`state` belongs to replies only", "leave it out")


def background_sizes(node: Watermark, canvas: tuple[int, int]) -> Iterator[Violation]:
    """Check that a share of the canvas does not exceed the largest picture; ``canvas`` is width and height."""
    if node.type != "Image" or node.image is None or node.image.mode != "Proportion":
        return
    limit = IMAGE_SIDE.high or 0
    for key, side in zip(("width", "height"), canvas, strict=True):
        share = getattr(node.image, key)
        if share is not None and side * share / 100 > limit:
            message = f"{share} percent of {side} px is more than {limit} px"
            yield error(("image", key), message, f"write at most {limit * 100 // side}")
