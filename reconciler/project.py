"""``reconciler.yaml`` to Project: service, bucket, policy, variables, environments, and where things are on disk.

A setting comes from the command line, else from the environment variable RECONCILER_<SETTING>, else from the file (the
chosen environment over the base), else from its default. Credentials and the path of FFmpeg are not settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from reconciler import schema, yaml
from reconciler.diagnostics import Diagnostic, did_you_mean, without_secrets
from reconciler.errors import ManifestError, ProjectError
from reconciler.settings import (
    IN_BUCKET,
    NAME,
    EndpointSettings,
    EnvironmentSettings,
    FileSettings,
    PolicySettings,
    QueueSettings,
)

FILE: Final = "reconciler.yaml"
VERSION: Final = 1
ENVIRONMENT_VARIABLE: Final = "RECONCILER_"

DEFAULT_QUEUE: Final = "default"
"""Stands for the queue that jobs go to which name none."""

_OF_SEVERAL_VALUES: Final = ("endpoints", "policy", "queues", "vars")
_ENVIRONMENT: Final = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Policy:
    """What a plan may do without being told twice, and how often what fails is tried.

    ``max_changes`` is a count or a share such as ``50%``. ``max_attempts`` is how many applies in a row try an output
    that fails; ``retries`` how often one apply repeats a job that failed for a reason that passes.
    """

    prune: bool = False
    max_changes: int | str = "50%"
    max_attempts: int = 3
    retries: int = 2


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """What one of the service's queues is given at most: jobs in flight, submissions a second; None is no limit."""

    parallelism: int | None = None
    requests_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with ``reconciler.yaml``, as its settings stand for one environment.

    ``lockfile_key`` is the key of a lockfile that is kept in the bucket, whose guard holds ``guard_lease`` seconds
    without being renewed. ``visibility`` is how many seconds an accepted job may take to be listed; None leaves it to
    the service. ``queues`` are by id, and DEFAULT_QUEUE.
    """

    root: Path
    bucket: str
    region: str
    environment: str | None = None
    service: str = "embedded"
    endpoints: Mapping[str, str] = field(default_factory=dict)
    lockfile_key: str | None = None
    guard_lease: float = 60.0
    visibility: float | None = None
    parallelism: int = 4
    requests_per_second: float | None = None
    queues: Mapping[str, QueueLimits] = field(default_factory=dict)
    policy: Policy = Policy()
    vars: Mapping[str, Any] = field(default_factory=dict)

    @property
    def manifests_dir(self) -> Path:
        """Where the manifests are."""
        return self.root / "manifests"

    @property
    def templates_dir(self) -> Path:
        """Where the project's own layouts are."""
        return self.root / "templates"

    @property
    def state_dir(self) -> Path:
        """Where the journal and the embedded service's database are.

        Without the journal a job that is under way would be submitted again: delete it only when nothing is.
        """
        return self.root / ".reconciler"

    @property
    def lockfile(self) -> Path:
        """The lockfile in the folder; every environment has its own."""
        name = f"reconciler.{self.environment}.lock" if self.environment else "reconciler.lock"
        return self.root / name


def load(
    root: Path,
    *,
    environment: str | None = None,
    variables: Sequence[str] = (),
    environ: Mapping[str, str],
) -> Project:
    """Read the settings of the project in ``root``.

    ``environment`` is the name that --env gave, ``variables`` are the NAME=VALUE that --var gave, whose values are
    read as YAML scalars. Raises ProjectError when there is no project, or a flag or environment variable is wrong;
    ManifestError, located, for what is wrong in the file.
    """
    document = _read(root)
    settings = _validated(document)
    chosen = environment or environ.get(f"{ENVIRONMENT_VARIABLE}ENV") or None
    layers = [settings, _from_environ(environ, settings), _from_flags(variables)]
    if chosen is not None:
        layers.insert(1, _environment(settings, chosen))
    merged = _merged(layers)
    for name in ("bucket", "region"):
        if not merged.get(name):
            example = "demo-1250000000" if name == "bucket" else "ap-chongqing"
            advice = f"write `{name}: {example}`, or set {ENVIRONMENT_VARIABLE}{name.upper()}"
            raise ManifestError([document.diagnostic("error", (), f"`{name}` is missing", advice)])
    return Project(
        root=root,
        environment=chosen,
        lockfile_key=merged.pop("lockfile", IN_BUCKET).removeprefix(IN_BUCKET) or None,
        queues={queue: QueueLimits(**limits) for queue, limits in merged.pop("queues", {}).items()},
        policy=Policy(**merged.pop("policy", {})),
        **merged,
    )


def settings_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of ``reconciler.yaml``, for editors."""
    return schema.json_schema(FileSettings, "Settings of a reconciler project", templates=False)


def _read(root: Path) -> yaml.Document:
    file = root / FILE
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        advice = "run `reconciler init` to make a project, or name its folder with -C"
        raise ProjectError(f"there is no {FILE} in {root}", advice=advice) from None
    except OSError as error:
        raise ProjectError(f"{file} cannot be read: {error.strerror}") from None
    return yaml.load(yaml.decode(data, FILE), FILE)


def _validated(document: yaml.Document) -> FileSettings:
    """Return the settings of the file. Raises ManifestError with everything that is wrong in it."""
    data = document.data
    if not isinstance(data, dict):
        what = "the file is empty" if data is None else "settings are a mapping of keys"
        raise ManifestError([document.diagnostic("error", (), what, f"begin with `version: {VERSION}`")])
    version = data.get("version")
    if isinstance(version, int) and not isinstance(version, bool) and version > VERSION:
        summary = f"these settings are of version {version}, and this program knows only version {VERSION}"
        raise ManifestError([document.diagnostic("error", ("version",), summary, "install a newer reconciler")])
    problems = [*_bad_environments(document)]
    try:
        settings = FileSettings.model_validate(data)
    except ValidationError as error:
        problems.extend(_diagnostics(document, error))
        raise ManifestError(sorted(problems, key=lambda p: (p.position is None, p.position))) from None
    if problems:
        raise ManifestError(problems)
    return settings


def _bad_environments(document: yaml.Document) -> Iterator[Diagnostic]:
    environments = document.data.get("environments")
    for name in environments if isinstance(environments, dict) else ():
        if not _ENVIRONMENT.fullmatch(name):
            summary = f"`{name}` cannot be the name of an environment"
            yield document.diagnostic(
                "error", ("environments", name), summary, "use letters, digits, - and _", on_key=True
            )


def _diagnostics(document: yaml.Document, error: ValidationError) -> Iterator[Diagnostic]:
    seen: set[yaml.Path] = set()
    for problem in error.errors(include_url=False):
        path, model = _path(problem["loc"])
        if path in seen:
            continue
        seen.add(path)
        name = path[-1] if path else ""
        if problem["type"] == "missing":
            yield document.diagnostic("error", path, f"`{name}` is missing", f"write `{name}: {VERSION}`")
        elif problem["type"] == "extra_forbidden":
            advice = schema.key_advice(str(name), schema.children(model))
            yield document.diagnostic("error", path, f"unknown key `{name}`", advice, on_key=True)
        else:
            summary, _, advice = _wording(problem["type"], problem["msg"]).partition("; ")
            yield document.diagnostic("error", path, f"`{name}` {summary}", advice or None)


def _path(loc: Iterable[int | str]) -> tuple[yaml.Path, type[BaseModel]]:
    """Return a location without pydantic's names for branches, and the model that holds its last step."""
    path: list[str | int] = []
    owner: type[BaseModel] = FileSettings
    current: type[BaseModel] | None = FileSettings
    in_map = False
    for step in loc:
        if in_map:
            path.append(step)
            in_map = False
        elif current is not None:
            owner, child = current, schema.children(current).get(str(step))
            path.append(step)
            current, in_map = (
                (child.model, child.shape == "map" and child.model is not None) if child else (None, False)
            )
    return tuple(path), owner


def _wording(kind: str, message: str) -> str:
    if kind == "value_error":
        text = message.removeprefix("Value error, ")
        return "must be true or false" if text == "write true or false" else text
    if kind.startswith("literal"):
        return f"must be {VERSION}"
    return f"must be {'a text' if kind.startswith('string') else 'a mapping'}"


def _environment(settings: FileSettings, name: str) -> EnvironmentSettings:
    environments = settings.environments or {}
    if name not in environments:
        advice = did_you_mean(name, environments)
        if advice is None and environments:
            advice = f"known: {', '.join(f'`{known}`' for known in environments)}"
        raise ProjectError(
            f"there is no environment `{name}` in {FILE}", advice=advice or "add it under `environments`"
        )
    return environments[name]


def _from_environ(environ: Mapping[str, str], settings: FileSettings) -> EnvironmentSettings:
    """Read RECONCILER_SERVICE, …, RECONCILER_POLICY_PRUNE, RECONCILER_VARS_fps; empty ones do not count.

    RECONCILER_QUEUES is the whole mapping, as YAML: an id is not always a name that a variable can have.
    """
    given = {
        name.removeprefix(ENVIRONMENT_VARIABLE): value
        for name, value in sorted(environ.items())
        if name.startswith(ENVIRONMENT_VARIABLE) and value
    }
    flat = {key: key.upper() for key in EnvironmentSettings.model_fields if key not in _OF_SEVERAL_VALUES}
    data: dict[str, Any] = {key: given[name] for key, name in flat.items() if name in given}
    if "QUEUES" in given:
        data["queues"] = _scalar(given["QUEUES"], f"{ENVIRONMENT_VARIABLE}QUEUES")
    for part, model in (("policy", PolicySettings), ("endpoints", EndpointSettings)):
        flat = {key: f"{part}_{key}".upper() for key in model.model_fields}
        data[part] = {key: given[name] for key, name in flat.items() if name in given}
    data["vars"] = {
        _spelled(name.removeprefix("VARS_"), settings): _scalar(value, f"{ENVIRONMENT_VARIABLE}{name}")
        for name, value in given.items()
        if name.startswith("VARS_")
    }
    try:
        return EnvironmentSettings.model_validate(data)
    except ValidationError as error:
        raise ProjectError(_wrong_variable(error.errors(include_url=False)[0])) from None


def _wrong_variable(problem: Mapping[str, Any]) -> str:
    path, _ = _path(problem["loc"])
    steps = [str(step) for step in path]
    name, inner = ("QUEUES", ".".join(steps[1:])) if steps[0] == "queues" else ("_".join(steps).upper(), "")
    where = f"the environment variable {ENVIRONMENT_VARIABLE}{name}{f': `{inner}`' if inner else ''}"
    if problem["type"] == "extra_forbidden":
        return f"{where} is not known; known are {', '.join(f'`{key}`' for key in QueueSettings.model_fields)}"
    return f"{where} {_wording(problem['type'], problem['msg'])}, not `{without_secrets(str(problem['input']))}`"


def _spelled(name: str, settings: FileSettings) -> str:
    """Return the declared variable of that name in whatever case; environment variables are often all upper case."""
    declared = [
        *(settings.vars or {}),
        *(key for env in (settings.environments or {}).values() for key in env.vars or {}),
    ]
    return next((key for key in declared if key.lower() == name.lower()), name)


def _from_flags(variables: Sequence[str]) -> EnvironmentSettings:
    found: dict[str, Any] = {}
    for text in variables:
        name, equals, value = text.partition("=")
        if not equals or not NAME.fullmatch(name):
            raise ProjectError(f"--var {text} is not NAME=VALUE", advice="write --var fps=30")
        found[name] = _scalar(value, f"--var {name}")
    return EnvironmentSettings(vars=found)


def _scalar(text: str, source: str) -> Any:
    """Read a value as YAML does, so that 30 is a number; what is not YAML is a text."""
    try:
        return yaml.load(text, source).data
    except ManifestError:
        return text


def _merged(layers: Iterable[EnvironmentSettings]) -> dict[str, Any]:
    """Merge settings, later ones over earlier ones; what holds several values key by key."""
    merged: dict[str, Any] = {}
    for layer in layers:
        data = layer.model_dump(exclude_none=True, exclude={"version", "environments"})
        for key, value in data.items():
            merged[key] = {**merged.get(key, {}), **value} if isinstance(value, dict) else value
    return merged
