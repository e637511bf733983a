"""Grids of 2, 4, 9 and 16 distinct sources, picture in picture, and a real film, each in every way of one_job."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import footage
from benchmarks.one_job import FILL, QUICK_SECONDS, SECONDS, Case, Place, Yard

RUNS = 3
WIDTH, HEIGHT = 1280, 960

INSET = Case(
    "picture in picture",
    1280,
    720,
    (Place(0, 0, 1280, 720), Place(928, 508, 320, 180)),
    "[1:v]scale=320:180,setsar=1[a];[0:v][a]overlay=928:508[v]",
)
FILM = Case("a film of 25 frames a second, twice", FILL.width, FILL.height, FILL.places, FILL.graph)


def grid(columns: int, rows: int) -> Case:
    """Return a grid of cells with even edges."""
    width, height = WIDTH // columns // 2 * 2, HEIGHT // rows // 2 * 2
    places = [Place(x * width, y * height, width, height) for y in range(rows) for x in range(columns)]
    return Case(f"{columns}×{rows} sources", WIDTH, HEIGHT, places, _tiled(places))


def main(*, quick: bool = False) -> None:
    """Aims: at most 3 % more wall time than FFmpeg by hand; 16 sources within the memory of a small machine."""
    seconds, runs = (QUICK_SECONDS, 1) if quick else (SECONDS, RUNS)
    with tempfile.TemporaryDirectory() as name:
        yard = Yard(Path(name))
        clips = footage.clips(yard.sources, 16, seconds)
        for case in (grid(2, 1), grid(2, 2), grid(3, 3), grid(4, 4), INSET):
            yard.compare(case, clips[: len(case.places)], runs)
        yard.compare(FILM, footage.films(yard.sources, seconds), runs)


def _tiled(places: Sequence[Place]) -> str:
    """Write the graph of sources that do not overlap, which cover the canvas or leave a margin at its end."""
    scaled = [f"[{n}:v]scale={place.width}:{place.height},setsar=1[c{n}]" for n, place in enumerate(places)]
    cells = "".join(f"[c{n}]" for n in range(len(places)))
    layout = "|".join(f"{place.x}_{place.y}" for place in places)
    last = places[-1]
    whole = (last.x + last.width, last.y + last.height) == (WIDTH, HEIGHT)
    margin = "" if whole else f",pad={WIDTH}:{HEIGHT}"
    return ";".join([*scaled, f"{cells}xstack=inputs={len(places)}:layout={layout}{margin}[v]"])


if __name__ == "__main__":
    main()
