"""Plan and apply for composed videos.

The twelve nouns that carry the program, for those who build on it, and one function for those who receive callbacks;
each is imported when it is first used, so that the command line starts with only what it needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from reconciler.api.messages import Job as Job
    from reconciler.api.user_data import user_text as user_text
    from reconciler.client import Client as Client
    from reconciler.layout import Layout as Layout
    from reconciler.lockfile import Lockfile as Lockfile
    from reconciler.manifest import Manifest as Manifest
    from reconciler.plan import Action as Action
    from reconciler.plan import Plan as Plan
    from reconciler.report import Report as Report
    from reconciler.service import Service as Service
    from reconciler.state import DesiredState as DesiredState
    from reconciler.state import ObservedState as ObservedState
    from reconciler.state import Output as Output

__version__ = "0.1.0"

_HOMES: Final = {
    "Action": "plan",
    "Client": "client",
    "DesiredState": "state",
    "Job": "api.messages",
    "Layout": "layout",
    "Lockfile": "lockfile",
    "Manifest": "manifest",
    "ObservedState": "state",
    "Output": "state",
    "Plan": "plan",
    "Report": "report",
    "Service": "service",
    "user_text": "api.user_data",
}

__all__ = [  # noqa: PLE0604 - plain strings; the checker does not look into a dict
    *_HOMES
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'reconciler' has no attribute {name!r}")
    return getattr(importlib.import_module(f"reconciler.{_HOMES[name]}"), name)
