"""From one job to one FFmpeg command: what is refused, what the result will be, the argument list that makes it.

Everything in this package is pure: no I/O, no clock, no random number, and the same job always gives the same list.
Running it is the business of ``rendering``.
"""

from __future__ import annotations

from reconciler.service.render.command import argv
from reconciler.service.render.composition import Composition, compose
from reconciler.service.render.failure import RenderFailed
from reconciler.service.render.unsupported import Refusal, unsupported, with_defaults

__all__ = ["Composition", "Refusal", "RenderFailed", "argv", "compose", "unsupported", "with_defaults"]
