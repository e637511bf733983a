"""``python -m reconciler`` and the console script."""

from __future__ import annotations

import gc
import sys
from typing import Final

_ALLOCATIONS: Final = 100_000
"""How many new objects the collector lets pass before it looks: loading the program and reading manifests makes many
that all stay. The default of 700 costs a fifth of a short command's time."""


def main() -> None:
    """Run the command line and exit with its status."""
    gc.set_threshold(_ALLOCATIONS, 20, 20)
    from reconciler.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
