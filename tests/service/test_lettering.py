"""What text marks look like, pixel by pixel, in every font of the API."""

from __future__ import annotations

import hashlib
import io
import string
import subprocess
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageDraw

from reconciler.api.rules_watermark import FONTS
from reconciler.api.violations import named
from reconciler.api.watermark import TextMark
from reconciler.service import lettering
from reconciler.service.lettering import FACES, FOLDER, Lettering, LetteringError, draw, lacking
from tests.service.media import FFMPEG

LATIN = string.ascii_letters + string.digits + "_-*"
CHINESE = "水印文字视频测试永国"
RARE = "龍馬視頻镕喆〇㐀豈龘"  # not in the Song and Kai faces

PICTURES = """
import hashlib
from reconciler.api.watermark import TextMark
from reconciler.service.lettering import FACES, draw
for font in FACES:
    mark = TextMark(text="Wave_水印-視頻*7", font_size=37, font_type=font, font_color="0x3366cc", transparency=70)
    print(font, hashlib.sha256(draw(mark).png).hexdigest())
"""


def mark(text: str = "Demo-2026_水印*", font: str = "simhei.ttf", size: int = 40, **nodes: object) -> TextMark:
    known = {"text": text, "font_type": font, "font_size": size, "font_color": "0xffffff", "transparency": 100}
    return TextMark.model_validate(known | nodes)


def opened(drawn: Lettering) -> Image.Image:
    image = Image.open(io.BytesIO(drawn.png))
    assert (image.format, image.mode, image.size) == ("PNG", "RGBA", (drawn.width, drawn.height))
    return image


def ink(drawn: Lettering) -> Image.Image:
    return opened(drawn).getchannel("A")


def ink_box(image: Image.Image) -> tuple[int, int, int, int]:
    box = image.getbbox()
    assert box is not None, "no ink"
    return box


def on_a_large_canvas(asked: TextMark) -> Image.Image:
    """Draw the same letters with room on all sides."""
    assert asked.font_type
    assert asked.font_size
    canvas = Image.new("L", (asked.font_size * (len(asked.text) + 6), asked.font_size * 5), 0)
    pen = ImageDraw.Draw(canvas)
    for run in lettering._runs(asked.text, FACES[asked.font_type.partition(".")[0]], asked.font_size):
        place = (run.x + 2 * asked.font_size, 3 * asked.font_size)
        pen.text(place, run.text, fill=255, font=run.font, anchor="ls", stroke_width=run.stroke)
    return canvas


@cache
def allowed(file: str) -> list[str]:
    """Return the letters of a face that a text may have."""
    return [letter for letter in lettering._letters(file) if not any(named("text", letter))]


def test_every_font_of_the_api_has_faces() -> None:
    assert list(FACES) == [font.partition(".")[0] for font in FONTS]


@pytest.mark.parametrize("font", FONTS)
def test_every_letter_has_ink_of_its_own(font: str) -> None:
    letters = LATIN + CHINESE + RARE
    pictures = {letter: ink(draw(mark(letter, font))) for letter in letters}
    assert all(ink_box(picture) for picture in pictures.values())
    # The box that stands for a missing letter would be the same for two of them.
    assert len({(picture.size, picture.tobytes()) for picture in pictures.values()}) == len(letters)


@pytest.mark.parametrize("font", FONTS)
def test_a_text_holds_all_its_letters(font: str) -> None:
    """Chinese falls back letter by letter, so each place of the line has ink, and the parts add up to the line."""
    parts = ["Demo", "水印", "2026"]
    whole = draw(mark("".join(parts), font))
    widths = [draw(mark(part, font)).width for part in parts]
    assert abs(whole.width - sum(widths)) <= 6
    starts = [0, widths[0], widths[0] + widths[1], whole.width]
    for left, right in pairwise(starts):
        place = ink(whole).crop((left, 0, right, whole.height))
        covered = sum(place.histogram()[128:]) / (place.width * place.height)
        assert covered > 0.04


def test_the_faces_differ() -> None:
    pictures = {font: draw(mark("水Rg", font)).png for font in FACES}
    assert pictures["simsun"] == pictures["simfang"]
    distinct = ("simsun", "simkai", "simhei", "STHeiti-Medium", "ariblk", "ahronbd")
    assert len({pictures[font] for font in distinct}) == len(distinct)


def test_heavy_fonts_are_heavy_in_chinese_too() -> None:
    darkness = [
        sum(level * count for level, count in enumerate(ink(draw(mark("水印", font, 60))).histogram()))
        for font in ("arial.ttf", "STHeiti-Medium.ttc", "ahronbd.ttf", "ariblk.ttf")
    ]
    assert all(heavier > 1.1 * lighter for lighter, heavier in pairwise(darkness))


@pytest.mark.parametrize(
    ("written", "color"),
    [("0xff8001", (255, 128, 1)), ("#10FF00", (16, 255, 0)), ("0x000000", (0, 0, 0)), ("0xFFFFFF", (255, 255, 255))],
)
@pytest.mark.parametrize(("opacity", "alpha"), [(100, 255), (80, 204), (50, 128), (1, 3), (0, 0)])
def test_colour_and_opacity_are_exact(written: str, color: tuple[int, int, int], opacity: int, alpha: int) -> None:
    drawn = draw(mark("一_", size=100, font_color=written, transparency=opacity))
    picture = opened(drawn)
    assert ink(drawn).getextrema() == (0, alpha)
    solid = ink(draw(mark("一_", size=100))).point([0] * 255 + [255])
    _, _, right, bottom = ink_box(solid)
    assert picture.getpixel((right - 3, bottom - 2)) == (*color, alpha)  # within the underscore
    # Clear pixels have the colour too, so that no dark rim comes in when the picture is scaled.
    assert picture.convert("RGB").getcolors() == [(drawn.width * drawn.height, color)]


def test_edges_are_smooth_and_fade_with_the_opacity() -> None:
    full, half = ink(draw(mark("Sg永", size=30))), ink(draw(mark("Sg永", size=30, transparency=50)))
    assert len(set(full.tobytes())) > 50
    assert half.tobytes() == full.point([(value * 50 + 50) // 100 for value in range(256)]).tobytes()


@pytest.mark.parametrize("size", [5, 12, 25, 100])
@pytest.mark.parametrize("font", FONTS)
def test_the_height_depends_on_font_and_size_alone(font: str, size: int) -> None:
    heights = {draw(mark(text, font, size)).height for text in ("a", "_", "*", "水", "Agj水", "龘" * 64)}
    assert len(heights) == 1
    assert size < heights.pop() <= 1.2 * size + 4


def test_letters_of_two_faces_stand_on_one_baseline() -> None:
    alone = ink_box(ink(draw(mark("H", "arial.ttf", 50))))
    mixed = draw(mark("水H", "arial.ttf", 50))
    assert ink_box(ink(mixed).crop((50, 0, mixed.width, mixed.height)))[1::2] == alone[1::2]
    chinese = ink_box(ink(mixed).crop((0, 0, 50, mixed.height)))
    assert alone[3] < chinese[3] < alone[3] + 8  # an ideograph reaches a little below the line


@pytest.mark.parametrize("size", [5, 9, 25, 100])
@pytest.mark.parametrize("font", FACES)
def test_nothing_is_clipped(font: str, size: int) -> None:
    for text in ("jgf_永jQ", "_f", "水_j視", LATIN[:64], "龘國募夔㩉"):
        asked = mark(text, font, size)
        here, there = ink(draw(asked)), on_a_large_canvas(asked)
        here, there = here.crop(ink_box(here)), there.crop(ink_box(there))
        assert here.size == there.size
        assert ImageChops.difference(here, there).getbbox() is None


@pytest.mark.parametrize("size", [5, 6, 8, 25, 100])
@pytest.mark.parametrize("font", ["simsun", "simkai", "arial", "STHeiti-Medium", "ariblk", "ahronbd"])
def test_no_letter_of_any_face_is_higher_than_the_line(font: str, size: int) -> None:
    ascent, descent = lettering._font(FACES[font][0].file, size).getmetrics()
    for face in FACES[font]:
        loaded = lettering._font(face.file, size)
        boxes = [loaded.getbbox(letter, anchor="ls", stroke_width=face.thicker * size) for letter in allowed(face.file)]
        assert max(-box[1] for box in boxes) <= ascent + lettering._GUARD
        assert max(box[3] for box in boxes) <= descent + lettering._GUARD


def test_a_long_text_is_as_wide_as_its_letters() -> None:
    drawn = draw(mark("永" * 64, size=100))
    assert drawn.width == 6400
    assert draw(mark("永" * 64, size=5)).width == 320


@pytest.mark.parametrize("font", FACES)
def test_the_suffix_of_a_font_may_be_missing(font: str) -> None:
    full = next(name for name in FONTS if name.partition(".")[0] == font)
    assert draw(mark(font=font)) == draw(mark(font=full))


@pytest.mark.parametrize("font", FONTS)
def test_what_the_fonts_cover(font: str) -> None:
    everyday = "".join(map(chr, range(0x4E00, 0x9FA6))) + "".join(map(chr, range(0x3400, 0x4DB6))) + "〇" + LATIN
    assert lacking(mark(everyday, font)) == ""


def test_characters_that_no_face_has_are_named() -> None:
    asked = mark("水\U00020000a\u9fff\U00020000", "simkai")
    assert lacking(asked) == "\U00020000\u9fff"
    with pytest.raises(LetteringError, match=r"no font here can draw \U00020000 \(U\+20000\), \u9fff \(U\+9FFF\)"):
        draw(asked)


@pytest.mark.parametrize("control", ["\n", "\t", "\0", "\u202e", "\u200b"])
def test_what_has_no_shape_is_not_drawn(control: str) -> None:
    asked = mark(f"a{control}b", "arial")
    assert lacking(asked) == control
    with pytest.raises(LetteringError, match=rf"^no font here can draw U\+{ord(control):04X}$"):
        draw(asked)


@pytest.mark.parametrize("key", ["font_type", "font_size", "font_color", "transparency"])
def test_a_node_that_drawing_needs_is_named(key: str) -> None:
    with pytest.raises(LetteringError, match=f"a text mark needs `{key}`"):
        draw(mark().model_copy(update={key: None}))


def test_a_font_that_the_api_does_not_know() -> None:
    with pytest.raises(LetteringError, match=r"comic\.ttf is no font of the API"):
        lacking(mark(font="comic.ttf"))


def test_the_same_mark_is_the_same_picture_in_every_process() -> None:
    outputs = [
        subprocess.run(
            [sys.executable, "-c", PICTURES], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert len(outputs[0].splitlines()) == len(FACES)


def test_a_picture_does_not_depend_on_what_was_drawn_before() -> None:
    first = draw(mark())
    for text in ("永" * 64, "j", "_*"):
        draw(mark(text))
    assert draw(mark()) == first


def test_the_pixels_are_stored_because_packing_depends_on_the_processor() -> None:
    drawn = draw(mark())
    assert 0 < len(drawn.png) - drawn.width * drawn.height * 4 < 2000


def test_importing_the_module_does_not_load_pillow() -> None:
    check = "import sys, reconciler.service.lettering; print('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout == "False\n"


def test_ffmpeg_reads_the_same_pixels(tmp_path: Path) -> None:
    drawn = draw(mark("Demo水印", "ariblk", font_color="0x123456", transparency=60))
    file = tmp_path / "mark.png"
    file.write_bytes(drawn.png)
    command = [FFMPEG.path, "-v", "error", "-i", str(file), "-f", "rawvideo", "-pix_fmt", "rgba", "-"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == opened(drawn).tobytes()


def test_every_shipped_face_is_used_and_is_the_one_that_the_readme_describes() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    files = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in FOLDER.glob("*.tt?")}
    assert set(files) == {face.file for faces in FACES.values() for face in faces}
    for name, digest in files.items():
        assert f"`{digest}  {name}`" in readme
