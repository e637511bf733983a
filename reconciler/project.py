"""``reconciler.yaml`` to Project: service, bucket, policy, variables, environments, and where things are on disk.

A setting comes from the command line, else from the environment variable RECONCILER_<SETTING>, else from the file (the
chosen environment over the base), else from its default. Credentials and the path of FFmpeg are not settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from reconciler import schema, yaml
from reconciler.api.node import Bool
from reconciler.diagnostics import Diagnostic, did_you_mean
from reconciler.endpoints import JOBS, OBJECTS, is_address, is_template
from reconciler.errors import ManifestError, ProjectError

FILE: Final = "reconciler.yaml"
VERSION: Final = 1
ENVIRONMENT_VARIABLE: Final = "RECONCILER_"

_BUCKET: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?-[0-9]{5,20}")
_REGION: Final = re.compile(r"[a-z]+(?:-[a-z0-9]+)+")
_SHARE: Final = re.compile(r"([0-9]{1,3})\s*%")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ENVIRONMENT: Final = re.compile(r"[A-Za-z0-9_-]+")


def _service(value: str) -> str:
    if value in ("embedded", "cloud"):
        return value
    if is_address(value):
        return value.rstrip("/")
    near = did_you_mean(value, ("embedded", "cloud"))
    raise ValueError(
        f"must be embedded, cloud or an address such as http://127.0.0.1:8787{f'; {near}' if near else ''}"
    )


def _endpoint(value: str) -> str:
    if not is_template(value):
        raise ValueError(f"must be an address; write it as {OBJECTS}, in which {{bucket}} and {{region}} are filled in")
    return value.rstrip("/")


def _bucket(value: str) -> str:
    if not _BUCKET.fullmatch(value):
        raise ValueError(
            "must be NAME-APPID, such as demo-1250000000; write small letters, digits and -, then the account's digits"
        )
    return value


def _region(value: str) -> str:
    if not _REGION.fullmatch(value):
        raise ValueError("must be the name of a region, such as ap-chongqing")
    return value


def _changes(value: object) -> object:
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:
        value = int(value)
    share = _SHARE.fullmatch(value) if isinstance(value, str) else None
    if (share and int(share[1]) <= 100) or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return f"{int(share[1])}%" if share else value
    raise ValueError("must be a count, such as 20, or a share, such as 50%")


def _variables(value: dict[str, Any]) -> dict[str, Any]:
    for name in value:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"holds `{name}`, which is no name; use letters, digits and _, so that vars.NAME can be written"
            )
    return value


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class PolicySettings(_Settings):
    """What a plan may do without being told twice."""

    prune: Bool | None = Field(None, description="Delete objects that are no longer declared; default false.")
    max_changes: Annotated[int | str, BeforeValidator(_changes)] | None = Field(
        None, description="A larger plan needs --force: a count, or a share such as 50%; default 50%."
    )


class EndpointSettings(_Settings):
    """Other addresses of the cloud's two halves."""

    objects: Annotated[str, AfterValidator(_endpoint)] | None = Field(
        None, description=f"Where objects are; default {OBJECTS}."
    )
    jobs: Annotated[str, AfterValidator(_endpoint)] | None = Field(
        None, description=f"Where jobs, queues and templates are; default {JOBS}."
    )


class EnvironmentSettings(_Settings):
    """Settings that an environment may overlay."""

    service: Annotated[str, AfterValidator(_service)] | None = Field(
        None, description="embedded (default), cloud, or the address of a server."
    )
    bucket: Annotated[str, AfterValidator(_bucket)] | None = Field(None, description="The bucket, NAME-APPID.")
    region: Annotated[str, AfterValidator(_region)] | None = Field(None, description="Region, such as ap-chongqing.")
    endpoints: EndpointSettings | None = Field(None, description="Other addresses of the cloud's two halves.")
    parallelism: Annotated[int, Field(ge=1)] | None = Field(None, description="Jobs in flight at once; default 4.")
    policy: PolicySettings | None = Field(None, description="What a plan may do without being told twice.")
    vars: Annotated[dict[str, Any], AfterValidator(_variables)] | None = Field(
        None, description="What manifests and layouts see as vars."
    )


class FileSettings(EnvironmentSettings):
    """The settings of a project."""

    version: Literal[1] = Field(description="Version of this format: 1.")
    environments: dict[str, EnvironmentSettings] | None = Field(
        None, description="Settings by environment; --env NAME overlays them."
    )


@dataclass(frozen=True, slots=True)
class Policy:
    """What a plan may do without being told twice. ``max_changes`` is a count or a share such as ``50%``."""

    prune: bool = False
    max_changes: int | str = "50%"


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with ``reconciler.yaml``, as its settings stand for one environment."""

    root: Path
    bucket: str
    region: str
    environment: str | None = None
    service: str = "embedded"
    endpoints: Mapping[str, str] = field(default_factory=dict)
    parallelism: int = 4
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
        """The lockfile; every environment has its own."""
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
    policy = Policy(**merged.pop("policy", {}))
    return Project(root=root, environment=chosen, policy=policy, **merged)


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
    if kind.startswith(("int", "greater_than")):
        return "must be a whole number of at least 1"
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
    """Read RECONCILER_SERVICE, …, RECONCILER_POLICY_PRUNE, RECONCILER_VARS_fps; empty ones do not count."""
    given = {
        name.removeprefix(ENVIRONMENT_VARIABLE): value
        for name, value in sorted(environ.items())
        if name.startswith(ENVIRONMENT_VARIABLE) and value
    }
    flat = {key: key.upper() for key in ("service", "bucket", "region", "parallelism")}
    data: dict[str, Any] = {key: given[name] for key, name in flat.items() if name in given}
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
        problem = error.errors(include_url=False)[0]
        name = "_".join(str(step) for step in _path(problem["loc"])[0]).upper()
        text = _wording(problem["type"], problem["msg"])
        raise ProjectError(
            f"the environment variable {ENVIRONMENT_VARIABLE}{name} {text}, not `{problem['input']}`"
        ) from None


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
        if not equals or not _NAME.fullmatch(name):
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
    """Merge settings, later ones over earlier ones; policy and vars key by key."""
    merged: dict[str, Any] = {}
    for layer in layers:
        data = layer.model_dump(exclude_none=True, exclude={"version", "environments"})
        for key, value in data.items():
            merged[key] = {**merged.get(key, {}), **value} if isinstance(value, dict) else value
    return merged
