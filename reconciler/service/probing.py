"""The helper process of ``prober``: it answers one question after the other, each a line of JSON, until nobody asks.

It starts with what a probe needs and nothing else; what describes results is loaded while nobody waits.
"""

from __future__ import annotations

import importlib
import json
import os
import select
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from typing import Any

from reconciler.service import probe
from reconciler.service.probe import ProbeError

_QUIET_SECONDS = 0.02


def main() -> None:
    """Answer questions until there are no more; the whole of a helper."""
    importlib.import_module("av")  # what takes long to load is loaded before the first question
    answers = os.dup(1)
    silence = os.open(os.devnull, os.O_RDWR)
    os.dup2(silence, 1)  # a library that prints would break the answers
    os.dup2(silence, 2)
    os.write(answers, b"ready\n")
    questions = FileIO(0, closefd=False)
    while line := questions.readline():
        question = json.loads(line)
        said = json.dumps(_answered(question["question"], Path(question["path"])), default=str)
        _write(answers, said.encode() + b"\n")
        if not select.select([questions], [], [], _QUIET_SECONDS)[0]:
            importlib.import_module("reconciler.service.results")  # a render will soon end, and ask


def _answered(question: str, path: Path) -> dict[str, Any]:
    try:
        if question == "probe":
            return {"answer": asdict(probe.probe(path))}
        if question != "media_info":
            return {"error": f"cannot be asked for {question}"}
        from reconciler.service import results

        return {"answer": results.media_info(path).model_dump(mode="json", by_alias=False, exclude_none=True)}
    except ProbeError as error:
        return {"error": error.message}
    except MemoryError:
        return {"error": "needs more memory than it may have to be looked at"}
    except Exception:  # noqa: BLE001 - whatever a crafted file brings about is the file's fault
        return {"error": "is not a video that can be read: what its headers say makes no sense"}


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
