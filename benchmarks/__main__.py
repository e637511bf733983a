"""``python -m benchmarks [NAME …]``: cold_start, no_change, one_job, service, objects; all when none is named."""

from __future__ import annotations

import importlib
import sys

NAMES = ("cold_start", "no_change", "one_job", "service", "objects")


def main() -> None:
    """Run the named benchmarks."""
    for name in sys.argv[1:] or NAMES:
        module = importlib.import_module(f"benchmarks.{name}")
        print(f"\n{name}: {(module.__doc__ or '').strip()}")
        module.main()


if __name__ == "__main__":
    main()
