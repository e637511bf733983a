"""Text watermarks as pictures: letters become pixels here, so that no text ever gets into FFmpeg's filter language.

Only the faces in ``reconciler/fonts`` are used, laid out one letter after the other: the same mark is the same picture
on every machine with the same Pillow. Which face stands for which font of the API is explained in docs/fonts.md.
Where the picture goes on the video is not known here.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from reconciler.api.watermark import TextMark
from reconciler.errors import ReconcilerError

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

FOLDER: Final = Path(__file__).parent.parent / "fonts"
"""Where the faces are; each one's origin and licence stand in its README."""


@dataclass(frozen=True, slots=True)
class Face:
    """A font file, and by how much its strokes are thickened on either side, as a share of the font size."""

    file: str
    thicker: float = 0.0


_HEI: Final = "DroidSansFallbackFull.ttf"
# As heavy as leaves ordinary letters open; the densest, such as 鬱, run together in the two heaviest.
_REGULAR, _MEDIUM, _BOLD, _BLACK = Face(_HEI), Face(_HEI, 0.008), Face(_HEI, 0.015), Face(_HEI, 0.022)
_SONG: Final = Face("gbsn00lp.ttf")
_KAI: Final = Face("gkai00mp.ttf")
_SANS: Final = Face("LiberationSans-Regular.ttf")

FACES: Final = {
    "simfang": (_SONG, _REGULAR),
    "simhei": (_SANS, _REGULAR),
    "simkai": (_KAI, _REGULAR),
    "simsun": (_SONG, _REGULAR),
    "STHeiti-Light": (_SANS, _REGULAR),
    "STHeiti-Medium": (Face(_SANS.file, 0.008), _MEDIUM),
    "youyuan": (_SANS, _REGULAR),
    "ariblk": (Face("ArchivoBlack-Regular.ttf"), _BLACK),
    "arial": (_SANS, _REGULAR),
    "ahronbd": (Face("LiberationSans-Bold.ttf"), _BOLD),
    "Helvetica": (_SANS, _REGULAR),
    "HelveticaNeue": (_SANS, _REGULAR),
}
"""The faces of each font of the API, by its name without suffix: a letter is drawn with the first one that has it."""

_GUARD: Final = 1  # hinting moves an outline up to one pixel past the height that its face declares

_T = TypeVar("_T")


class LetteringError(ReconcilerError):
    """The mark cannot be drawn: no face has one of its characters, or a node that drawing needs is absent."""


@dataclass(frozen=True, slots=True)
class Lettering:
    """A drawn text: an RGBA PNG whose pixels all have the text's colour, and alpha only where there is ink.

    The width is that of the text. The height is that of a line and depends on font and size alone, so the baselines of
    two marks of one font and size lie at the same height.
    """

    width: int
    height: int
    png: bytes


@dataclass(frozen=True, slots=True)
class _Run:
    """Neighbouring letters of one face; ``x`` is where the pen starts, ``stroke`` what thickens, both in pixels."""

    x: int
    text: str
    font: FreeTypeFont
    stroke: float


def lacking(mark: TextMark) -> str:
    """Return the characters of the text that no face can draw, each once, in order; raises LetteringError as draw."""
    faces = _faces(mark)
    return "".join(dict.fromkeys(letter for letter in mark.text if _face(letter, faces) is None))


def draw(mark: TextMark) -> Lettering:
    """Draw the text at its size, in its colour and opacity.

    Costs a few milliseconds, and 50 once for loading Pillow and the tables of the faces.

    Raises:
        LetteringError: A character is in no face; or font, size, colour or opacity is absent.
    """
    if missing := lacking(mark):
        raise LetteringError(f"no font here can draw {', '.join(map(_named, missing))}", advice="leave it out")
    color, opacity = _color(mark), _given("transparency", mark.transparency)
    ink = _ink(mark)
    return Lettering(ink.width, ink.height, _png(ink, color, opacity))


def _named(letter: str) -> str:
    code = f"U+{ord(letter):04X}"
    return f"{letter} ({code})" if letter.isprintable() else code


def _given(key: str, value: _T | None) -> _T:
    """Return a node that the rules demand; a mark that they have passed has it."""
    if value is None:
        raise LetteringError(f"a text mark needs `{key}`")
    return value


def _faces(mark: TextMark) -> tuple[Face, ...]:
    name = _given("font_type", mark.font_type)
    faces = FACES.get(name.partition(".")[0])
    if faces is None:
        raise LetteringError(f"{name} is no font of the API")
    return faces


def _color(mark: TextMark) -> tuple[int, int, int]:
    """Read 0xRRGGBB or #RRGGBB."""
    red, green, blue = bytes.fromhex(_given("font_color", mark.font_color)[-6:])
    return red, green, blue


def _face(letter: str, faces: tuple[Face, ...]) -> Face | None:
    return next((face for face in faces if letter in _letters(face.file)), None)


def _runs(text: str, faces: tuple[Face, ...], size: int) -> Iterator[_Run]:
    """Cut the text where the face changes."""
    pen = 0
    for face, letters in groupby(text, lambda letter: _face(letter, faces) or faces[0]):
        run = _Run(pen, "".join(letters), _font(face.file, size), face.thicker * size)
        pen += math.ceil(run.font.getlength(run.text))
        yield run


def _ink(mark: TextMark) -> Image:
    """Return how much of each pixel the text covers, 0 to 255: one line as high as the first face's."""
    from PIL import Image, ImageDraw  # here, because it takes 30 ms that most commands need not spend

    faces, size = _faces(mark), _given("font_size", mark.font_size)
    runs = list(_runs(mark.text, faces, size))
    ascent, descent = _font(faces[0].file, size).getmetrics()
    left, right = _extent(runs)
    ink = Image.new("L", (right - left, ascent + descent + 2 * _GUARD), 0)
    pen = ImageDraw.Draw(ink)
    pen.fontmode = "L"  # smooth edges
    for run in runs:
        at = (run.x - left, ascent + _GUARD)
        pen.text(at, run.text, fill=255, font=run.font, anchor="ls", stroke_width=run.stroke)
    return ink


def _extent(runs: list[_Run]) -> tuple[int, int]:
    """Return where the text begins and ends, from the pen's start: its advance, and ink that overhangs it."""
    left, right = 0, 1  # a picture has at least one column
    for run in runs:
        box = run.font.getbbox(run.text, anchor="ls", stroke_width=run.stroke)
        left = min(left, run.x + math.floor(box[0]))
        right = max(right, run.x + math.ceil(max(box[2], run.font.getlength(run.text))))
    return left, right


def _png(ink: Image, color: tuple[int, int, int], opacity: int) -> bytes:
    """Colour the ink. Clear pixels have the colour too: scaling would otherwise bring in a dark rim."""
    from PIL import Image

    picture = Image.new("RGBA", ink.size, color)
    picture.putalpha(ink.point([(value * opacity + 50) // 100 for value in range(256)]))
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=0)  # how deflate packs depends on the processor; stored bytes do not
    return file.getvalue()


@lru_cache(maxsize=64)
def _font(file: str, size: int) -> FreeTypeFont:
    """Load a file at a size in pixels. Not by ``ImageFont.truetype``: that looks in the system's folders as well."""
    from PIL import ImageFont

    return ImageFont.FreeTypeFont(str(FOLDER / file), size, 0, "unic", ImageFont.Layout.BASIC)


@cache
def _letters(file: str) -> frozenset[str]:
    """Return the characters that a font file has glyphs for; Pillow draws a box for any other and does not tell."""
    words = _character_map((FOLDER / file).read_bytes())
    count = words[3] // 2  # segments; a word between the two bounds is unused
    ends, starts = words[7 : 7 + count], words[8 + count : 8 + 2 * count]
    found = set()
    for segment, (start, end) in enumerate(zip(starts, ends, strict=True)):
        delta, offset_at = words[8 + 2 * count + segment], 8 + 3 * count + segment
        offset = words[offset_at]
        for code in range(start, end + 1):
            glyph = words[offset_at + offset // 2 + code - start] if offset else (code + delta) & 0xFFFF
            if glyph:
                found.add(chr(code))
    return frozenset(filter(str.isprintable, found))


def _character_map(font: bytes) -> tuple[int, ...]:
    """Return the 16-bit words of a TrueType font's map from the first 65,536 code points to its glyphs (format 4).

    Every shipped face has one, and no glyph beyond them.
    """
    (tables,) = struct.unpack_from(">H", font, 4)
    directory = (struct.unpack_from(">4s4xLL", font, 12 + 16 * number) for number in range(tables))
    start = next(offset for tag, offset, _ in directory if tag == b"cmap")
    (maps,) = struct.unpack_from(">2xH", font, start)
    records = (struct.unpack_from(">HHL", font, start + 4 + 8 * number) for number in range(maps))
    at = start + next(offset for platform, encoding, offset in records if (platform, encoding) == (3, 1))
    kind, length = struct.unpack_from(">HH", font, at)
    assert kind == 4
    return struct.unpack_from(f">{length // 2}H", font, at)
