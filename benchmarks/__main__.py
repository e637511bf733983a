"""``python -m benchmarks [--quick] [--sizes N,N…] [NAME …]``: all of them when none is named.

The names are cold_start, no_change, scale, instant, service, objects, one_job, grids and forty_jobs; ``render`` is
the last three. ``--quick`` makes those three short: to see that they work, not to learn anything. ``--sizes`` says with
how many outputs ``scale`` measures.
"""

from __future__ import annotations

import importlib
import sys

RENDER = ("one_job", "grids", "forty_jobs")
NAMES = ("cold_start", "no_change", "scale", "instant", *RENDER, "service", "objects")
QUICK = "--quick"
SIZES = "--sizes"


def main() -> None:
    """Run the named benchmarks."""
    words = sys.argv[1:]
    options: dict[str, dict[str, object]] = {}
    if QUICK in words:
        words.remove(QUICK)
        options |= {name: {"quick": True} for name in RENDER}
    if SIZES in words:
        place = words.index(SIZES)
        _, sizes = words[place : place + 2]
        del words[place : place + 2]
        options["scale"] = {"sizes": [int(size) for size in sizes.split(",")]}
    named = [name for word in words for name in (RENDER if word == "render" else (word,))]
    for name in named or NAMES:
        module = importlib.import_module(f"benchmarks.{name}")
        print(f"\n{name}: {(module.__doc__ or '').strip()}", flush=True)
        module.main(**options.get(name, {}))


if __name__ == "__main__":
    main()
