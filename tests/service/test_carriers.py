"""What carries callbacks is loaded when it is first needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_a_service_that_sends_no_message_loads_no_message_queue(tmp_path: Path) -> None:
    program = (
        "import asyncio, pathlib, sys\n"
        "from tests.service.harness import running\n"
        "async def main():\n"
        "    async with running(pathlib.Path(sys.argv[1])):\n"
        "        pass\n"
        "asyncio.run(main())\n"
        "sys.exit('pika' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
