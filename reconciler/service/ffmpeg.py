"""Finding FFmpeg, and what it can do. How it is run is the business of ``process``."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from reconciler.errors import RenderError
from reconciler.service.render.unsupported import AUDIO_ENCODERS, VIDEO_ENCODERS

_ADVICE: Final = "install imageio-ffmpeg, or set RECONCILER_FFMPEG to the path of an FFmpeg 5.1 or newer"
_PASSED_ON: Final = ("PATH", "HOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""The only variables that FFmpeg gets to see: credentials live in others."""

ENCODERS: Final = (*VIDEO_ENCODERS.values(), *AUDIO_ENCODERS.values())
"""Every encoder that ``render`` asks for."""


@dataclass(frozen=True)
class FFmpeg:
    """An FFmpeg that renders; ``environment`` is all that it sees of ours."""

    path: str
    environment: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def version(self) -> str:
        """The version as the program states it; asking for it starts the program once. Raises RenderError."""
        match = re.match(rb"ffmpeg version (\S+)", self._said("-version"))
        if match is None:
            raise RenderError(f"{self.path} is not FFmpeg", advice=_ADVICE)
        return match[1].decode()

    @cached_property
    def lacking(self) -> tuple[str, ...]:
        """The encoders that renders use and it has not got; asking for them starts the program once."""
        found = set(re.findall(rb"^ [A-Z.]{6} (\S+)", self._said("-encoders"), re.MULTILINE))
        return tuple(name for name in ENCODERS if name.encode() not in found)

    def _said(self, question: str) -> bytes:
        try:
            return subprocess.run(
                [self.path, "-hide_banner", question],
                env=self.environment,
                capture_output=True,
                check=True,
                timeout=30,
            ).stdout
        except (OSError, subprocess.SubprocessError) as error:
            raise RenderError(f"FFmpeg does not run: {error}", advice=_ADVICE) from None


def locate(environ: Mapping[str, str]) -> FFmpeg:
    """Find FFmpeg: RECONCILER_FFMPEG, else the one that imageio-ffmpeg brings, else the one on PATH.

    Does not start it. Raises RenderError, with advice, when there is none.
    """
    environment = {name: environ[name] for name in _PASSED_ON if name in environ} | {"LC_ALL": "C", "SVT_LOG": "1"}
    if chosen := environ.get("RECONCILER_FFMPEG"):
        path = shutil.which(chosen, path=environ.get("PATH"))
        if path is None:
            raise RenderError(f"RECONCILER_FFMPEG names {chosen}, which is not a program", advice=_ADVICE)
        return FFmpeg(str(Path(path).absolute()), environment)
    path = _bundled() or shutil.which("ffmpeg", path=environ.get("PATH"))
    if path is None:
        raise RenderError("FFmpeg is missing", advice=_ADVICE)
    return FFmpeg(path, environment)


def _bundled() -> str | None:
    """Return the program inside imageio-ffmpeg; asking the package itself takes 70 ms and starts the program."""
    spec = importlib.util.find_spec("imageio_ffmpeg")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).glob("binaries/ffmpeg-*")):
            if os.access(path, os.X_OK):
                return str(path.absolute())
    return None
