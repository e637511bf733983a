"""An operation with nothing wrong, ways to change it, and what is told about it: for the tests of the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from reconciler.api.messages import Operation
from reconciler.api.rules import Violation, check_operation

Keys = dict[str, Any]

SOURCES = [{"url": "a.mp4", "width": 640, "height": 720}, {"url": "b.mp4", "x": 640, "width": 640, "height": 720}]
TEXT = {"text": "demo", "font_size": 25, "font_type": "arial.ttf", "font_color": "0xffffff", "transparency": 80}
IMAGE = {"url": "logo.png", "mode": "Original", "transparency": 100}
TEXT_MARK: Keys = {"type": "Text", "pos": "TopRight", "loc_mode": "Absolute", "dx": 16, "dy": 16, "text": TEXT}
IMAGE_MARK: Keys = {"type": "Image", "pos": "TopLeft", "loc_mode": "Relativity", "dx": 5, "dy": 5, "image": IMAGE}
DIGITAL: Keys = {"message": "owner-1", "type": "Text", "version": "V1", "ignore_error": False}
GOOD: Keys = {
    "video_synthesis": {"keep_audio_track": True, "splice_info": SOURCES},
    "transcode": {
        "container": {"format": "mp4"},
        "video": {"codec": "H.264", "width": 1280, "height": 720, "fps": 25},
        "audio": {"codec": "aac"},
    },
    "output": {"object": "out/${jobid}.${ext}"},
}
GOOD_TRANSCODE: Keys = GOOD["transcode"]

DEMANDED = "is missing: the documents demand it"
EMPTY = "is empty, which the API reads as absent [write its children, or leave it out]"


def changed(base: Mapping[str, Any], path: str, value: object) -> Keys:
    """Return a copy of ``base`` with ``value`` under a dotted path; None takes the key out."""
    key, _, rest = path.partition(".")
    if rest:
        below = base.get(key) or {}
        if isinstance(below, Sequence):
            index, _, rest = rest.partition(".")
            new: object = [changed(item, rest, value) if int(index) == at else item for at, item in enumerate(below)]
        else:
            new = changed(below, rest, value)
    else:
        new = value
    return {name: item for name, item in {**base, key: new}.items() if item is not None}


def told(violations: Sequence[Violation], severity: Literal["error", "warning"] | None = None) -> list[str]:
    """Return violations as lines: path, message, advice."""
    return [
        f"{'.'.join(map(str, v.path))}: {v.message}" + (f" [{v.advice}]" if v.advice else "")
        for v in violations
        if severity in (None, v.severity)
    ]


def check(changes: Mapping[str, object]) -> tuple[Violation, ...]:
    keys: Keys = GOOD
    for path, value in changes.items():
        keys = changed(keys, path, value)
    return check_operation(Operation.model_validate(keys, extra="forbid"))
