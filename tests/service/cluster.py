"""A Dask cluster of separate processes on this machine: a scheduler and workers that can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_SECONDS = 60.0


@dataclass
class Processes:
    """The scheduler's address and the processes; ``work`` is where workers keep what they work on."""

    folder: Path
    scheduler: subprocess.Popen[bytes] | None = None
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"dask://127.0.0.1:{self.port}"

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def start_scheduler(self) -> None:
        """Start a scheduler, on the port of the one before when there was one."""
        said = self.folder / "scheduler.json"
        said.unlink(missing_ok=True)
        self.scheduler = self._start(
            *("scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard", "--no-show"),
            *("--scheduler-file", str(said)),
        )
        end = time.monotonic() + _SECONDS
        while not self.port or not said.exists():
            assert time.monotonic() < end, "the scheduler does not start"
            time.sleep(0.05)
            if said.exists() and (text := said.read_text()):
                self.port = int(json.loads(text)["address"].rpartition(":")[2])

    def start_worker(self) -> subprocess.Popen[bytes]:
        """Start a worker of one thread; who waits for it asks the scheduler."""
        worker = self._start(
            *("worker", f"tcp://127.0.0.1:{self.port}", "--nthreads", "1", "--no-nanny", "--no-dashboard"),
            *("--local-directory", str(self.work), "--death-timeout", "60"),
        )
        self.workers.append(worker)
        return worker

    def stop(self) -> None:
        """End everything."""
        for process in [*self.workers, self.scheduler]:
            if process is not None:
                process.kill()
                process.wait()

    def _start(self, what: str, *words: str) -> subprocess.Popen[bytes]:
        self.work.mkdir(exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", what, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "TMPDIR": str(self.work)},
            )

    def log(self) -> str:
        return (self.folder / "log").read_text()


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[Processes]:
    """Run a scheduler and workers; they have all begun to start when this gives them."""
    processes = Processes(folder)
    try:
        processes.start_scheduler()
        for _ in range(workers):
            processes.start_worker()
        yield processes
    finally:
        processes.stop()


def ancestors(process: int) -> Iterator[int]:
    """The processes that started a process, the nearest first."""
    while process > 1:
        process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        yield process


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process as a power cut does."""
    process.send_signal(signal.SIGKILL)
    process.wait()
