"""Two runs are kept apart, on one disk and on one bucket."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.errors import GuardError
from reconciler.guard import guard


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with guard(tmp_path), pytest.raises(GuardError, match=rf"another run .*process {os.getpid()}"), guard(tmp_path):
        pass
    with guard(tmp_path):
        pass


def test_the_guard_of_a_killed_process_is_free(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom reconciler.guard import guard\n"
        f"with guard(Path({str(tmp_path)!r})): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    with guard(tmp_path):
        pass
