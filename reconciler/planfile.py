"""A plan on disk: what was decided, for which project, and what the world looked like when it was decided.

One JSON document, one action a line, so that a person can read it and a diff names what differs::

    {"format": "reconciler.plan-file/1",
    "project": {"service": …, "bucket": …, "region": …, "environment": …, "lockfile": …},
    "options": {…},
    "summary": {"create": 1},
    "plan": {
    "actions": [
    {"address": "race", "kind": "create", …}
    ]
    },
    "expected": {
    "outputs": {
    "race": {"objects": {"in/a.mp4": "…", "output/race.mp4": null}, …}
    }
    },
    "digest": "…"}

What has its default value is left out. ``digest`` finds a change by hand: what is applied is what was reviewed. Whoever
means harm can write it anew, so a plan that is sound by itself is also held against the lockfile (``staleness``).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Final

from pydantic import ConfigDict, TypeAdapter, ValidationError

from reconciler import disk
from reconciler.api.messages import JobRequest
from reconciler.api.templates import WATERMARK, TemplateRequest
from reconciler.api.transcode import Transcode
from reconciler.api.watermark import Watermark
from reconciler.errors import PlanError
from reconciler.plan import EFFECTIVE, Action, Plan
from reconciler.plan_templates import TemplateAction
from reconciler.project import Project
from reconciler.settings import IN_BUCKET
from reconciler.staleness import Expected, digest_of, plain, watched, watched_templates

FORMAT: Final = "reconciler.plan-file"
VERSION: Final = 1

_HEAD: Final = re.compile(rf'\s*\{{\s*"format"\s*:\s*"{re.escape(FORMAT)}/')
_HEAD_BYTES: Final = 200
_SPREAD: Final[Mapping[str, int]] = {"plan": 2, "expected": 2}
"""So many levels of these parts are spread over lines; what lies deeper, and every other part, stands on one."""

_CONTROL: Final = re.compile(r"[\x00-\x08\x1b\x7f-\x9f]")
"""Characters with which a text could steer the terminal that it is shown on."""

_AGAIN: Final = "make a new one: reconciler plan --out FILE"


@dataclass(frozen=True, slots=True)
class Target:
    """The world that a plan is about; ``lockfile`` is the lockfile's name."""

    service: str
    bucket: str
    region: str
    environment: str | None
    lockfile: str

    @classmethod
    def of(cls, project: Project) -> Target:
        """Return what a plan for this project is about."""
        lockfile = f"{IN_BUCKET}{project.lockfile_key}" if project.lockfile_key else project.lockfile.name
        return cls(project.service, project.bucket, project.region, project.environment, lockfile)

    def differences(self, other: Target) -> Iterator[str]:
        """Name what ``other`` has in another way, with both values."""
        for part in fields(self):
            mine, theirs = getattr(self, part.name), getattr(other, part.name)
            if mine != theirs:
                yield f"{part.name} {mine or 'none'} instead of {theirs or 'none'}"


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for when the plan was made."""

    targets: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    prune: bool = False
    selector: str | None = None
    changed_since: str | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """What a plan file holds."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", defer_build=True)

    project: Target
    plan: Plan
    expected: Expected
    options: Options = Options()


# The file.


def save(path: Path, saved: SavedPlan) -> None:
    """Write a plan file whole, over an earlier one. Raises PlanError when the disk refuses."""
    try:
        disk.replace(path, dumps(saved))
    except OSError as error:
        raise PlanError(f"cannot write {path}: {error.strerror}", advice="choose another file for --out") from error


def load(path: Path) -> SavedPlan:
    """Read a plan file. Raises PlanError for a file that is none, is not whole, or is of a newer version."""
    try:
        return loads(path.read_bytes().decode(), str(path))
    except OSError as error:
        raise PlanError(f"cannot read {path}: {error.strerror}", advice=_AGAIN) from error
    except UnicodeDecodeError as error:
        raise PlanError(f"{path} is no plan file", advice=_AGAIN) from error


def is_plan_file(path: Path) -> bool:
    """Tell whether a file that can be read begins as a plan file does, whole or not."""
    try:
        with path.open("rb") as stream:
            return _HEAD.match(stream.read(_HEAD_BYTES).decode(errors="replace")) is not None
    except (OSError, ValueError):
        return False


def dumps(saved: SavedPlan) -> str:
    """Return the text of a plan file."""
    document = {
        "format": f"{FORMAT}/{VERSION}",
        "project": plain(saved.project),
        "options": plain(saved.options),
        "summary": {kind: count for kind, count in saved.plan.summary.items() if count},
        "plan": plain(saved.plan),
        "expected": plain(saved.expected),
    }
    document["digest"] = digest_of(document)
    return "{{{}}}\n".format(
        ",\n".join(f"{_line(name)}: {_spread(part, _SPREAD.get(name, 0))}" for name, part in document.items())
    )


def _spread(value: Any, levels: int) -> str:
    """Return JSON with the entries of the upper ``levels`` on lines of their own."""
    if not levels or not value or not isinstance(value, dict | list):
        return _line(value)
    if isinstance(value, list):
        return "[\n{}\n]".format(",\n".join(_spread(held, levels - 1) for held in value))
    return "{{\n{}\n}}".format(",\n".join(f"{_line(key)}: {_spread(held, levels - 1)}" for key, held in value.items()))


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def loads(text: str, name: str) -> SavedPlan:
    """Return what the text of the plan file ``name`` holds; PlanError as for ``load``."""
    document = _document(text, name)
    try:
        digest = document.pop("digest", None)
        if digest != digest_of(document):
            raise PlanError(f"{name} was changed after it was written", advice=_AGAIN)
        del document["format"]
        document.pop("summary", None)
        saved = _adapter().validate_json(_line(document), strict=True)
        flaw = next(_flaws(saved), None)
    except ValidationError as error:
        raise _damaged(name, _first(error)) from error
    except (ValueError, RecursionError) as error:
        raise _damaged(name, str(error)) from error
    if flaw is not None:
        raise _damaged(name, flaw)
    return saved


def _document(text: str, name: str) -> dict[str, Any]:
    """Return a document that says it is a plan file of a version that we know."""
    if not _HEAD.match(text):
        raise PlanError(f"{name} is no plan file", advice=_AGAIN)
    try:
        document: dict[str, Any] = json.loads(text)
        version = int(document["format"].removeprefix(f"{FORMAT}/"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(name, str(error)) from error
    if version != VERSION:
        raise PlanError(
            f"{name} has version {version}, this reconciler reads {VERSION}",
            advice="apply it with the reconciler that made it, or plan again with this one",
        )
    return document


def _damaged(name: str, reason: str) -> PlanError:
    return PlanError(f"{name} is damaged: {_CONTROL.sub('?', reason)}", advice=_AGAIN)


def _adapter() -> TypeAdapter[SavedPlan]:
    """Return the reader of plan files; what plan.py names for the type checker only is handed to it."""
    from reconciler import changes, state

    adapter = TypeAdapter(SavedPlan)
    adapter.rebuild(_types_namespace={**vars(state), **vars(changes)}, force=True)
    return adapter


def _first(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"


# What a file must hold to be a plan at all.


def _flaws(saved: SavedPlan) -> Iterator[str]:
    """Yield what no planner would have written, whatever the world looked like."""
    plan, expected = saved.plan, saved.expected
    if any(_CONTROL.search(text) for text in _texts(plain(saved))):
        yield "it holds control characters"
    addresses = [action.address for action in plan.actions] + [action.address for action in plan.templates]
    yield from (f"{address} is there {count} times" for address, count in Counter(addresses).items() if count > 1)
    keys = {address: set(before.objects) for address, before in expected.outputs.items()}
    if keys != {address: set(names) for address, names in watched(plan).items()}:
        yield "what it expects is not what it is about"
    if expected.templates.keys() != watched_templates(plan).keys():
        yield "what it expects of templates is not what it is about"
    yield from filter(None, map(_unsendable, plan.actions))
    yield from filter(None, map(_unsendable_template, plan.templates))


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in plain data, names included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, held in value.items():
            yield key
            yield from _texts(held)
    elif isinstance(value, list):
        for held in value:
            yield from _texts(held)


def _unsendable(action: Action) -> str | None:
    """Say why the request of an action cannot be sent."""
    if action.kind not in EFFECTIVE - {"delete", "forget"}:
        return None
    try:
        count = len(JobRequest.model_validate(action.request).operation)
    except ValidationError as error:
        return f"{action.address}: {_first(error)}"
    return None if count == 1 else f"{action.address}: its request holds {count} operations"


def _unsendable_template(action: TemplateAction) -> str | None:
    """Say why a template cannot be sent."""
    if action.kind not in ("create", "update", "adopt"):
        return None
    if (action.id is None) is not (action.kind == "create"):
        return f"{action.address}: {action.kind} with the id {action.id}"
    model = Watermark if action.tag == WATERMARK else Transcode
    try:
        TemplateRequest.of(action.name, model.model_validate(action.content))
    except ValidationError as error:
        return f"{action.address}: {_first(error)}"
    return None
