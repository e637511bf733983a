"""``python -m benchmarks [--quick] [NAME …]``: all of them when none is named.

The names are cold_start, no_change, service, objects, one_job, grids and forty_jobs; ``render`` is the last three.
``--quick`` makes those three short: to see that they work, not to learn anything.
"""

from __future__ import annotations

import importlib
import sys

RENDER = ("one_job", "grids", "forty_jobs")
NAMES = ("cold_start", "no_change", *RENDER, "service", "objects")
QUICK = "--quick"


def main() -> None:
    """Run the named benchmarks."""
    words = sys.argv[1:]
    named = [name for word in words if word != QUICK for name in (RENDER if word == "render" else (word,))]
    for name in named or NAMES:
        module = importlib.import_module(f"benchmarks.{name}")
        print(f"\n{name}: {(module.__doc__ or '').strip()}", flush=True)
        if QUICK in words and name in RENDER:
            module.main(quick=True)
        else:
            module.main()


if __name__ == "__main__":
    main()
