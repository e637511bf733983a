"""What ``reconciler.yaml`` may hold: its keys, and of each what it must be, with the words that say so.

Where a setting is found, and which one wins, is in ``project``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from reconciler.api.node import Bool
from reconciler.api.shape import UNSENDABLE
from reconciler.diagnostics import did_you_mean
from reconciler.endpoints import JOBS, OBJECTS, is_address, is_template

IN_BUCKET: Final = "bucket:"
"""What stands before the key of a lockfile that is kept in the bucket."""

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""A name that manifests can write behind ``vars.``."""

_MAX_LOCKFILE_KEY: Final = 800
"""Bytes; a key may have 850, and what is kept beside the lockfile has a longer one."""

_NO_SEGMENTS: Final = ("", ".", "..")
_BUCKET: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?-[0-9]{5,20}")
_REGION: Final = re.compile(r"[a-z]+(?:-[a-z0-9]+)+")
_SHARE: Final = re.compile(r"([0-9]{1,3})\s*%")


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


def _lockfile(value: str) -> str:
    key = value.removeprefix(IN_BUCKET)
    example = f"{IN_BUCKET}state/reconciler.lock"
    if key == value:
        raise ValueError(f"must be {IN_BUCKET}KEY; write {example}, or leave it out to keep it in the project's folder")
    if UNSENDABLE.search(key) or any(segment in _NO_SEGMENTS for segment in key.split("/")):
        raise ValueError(f"has no proper key; write segments that are not empty, `.` or `..`, such as {example}")
    if len(key.encode()) > _MAX_LOCKFILE_KEY:
        raise ValueError(f"has a key of more than {_MAX_LOCKFILE_KEY} bytes; write a shorter one, such as {example}")
    return value


def _number(value: object) -> float:
    """Return the number that a value is, or that a text says; NaN when it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _whole(least: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        number = _number(value)
        if not (number >= least and number.is_integer()):
            raise ValueError(f"must be a whole number of at least {least}")
        return int(number)

    return check


def _seconds(least: int) -> Callable[[object], float]:
    def check(value: object) -> float:
        number = _number(value)
        if not number >= least:
            raise ValueError(f"must be a number of seconds of at least {least}")
        return number

    return check


def _rate(value: object) -> float:
    number = _number(value)
    if not number > 0:
        raise ValueError("must be a number above 0; 0.5 is one every two seconds")
    return number


def _changes(value: object) -> object:
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:
        value = int(value)
    share = _SHARE.fullmatch(value) if isinstance(value, str) else None
    if (share and int(share[1]) <= 100) or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return f"{int(share[1])}%" if share else value
    raise ValueError("must be a count, such as 20, or a share, such as 50%")


def _variables(value: dict[str, Any]) -> dict[str, Any]:
    for name in value:
        if not NAME.fullmatch(name):
            raise ValueError(
                f"holds `{name}`, which is no name; use letters, digits and _, so that vars.NAME can be written"
            )
    return value


Count = Annotated[int, Field(ge=1), BeforeValidator(_whole(1))]
CountOrZero = Annotated[int, Field(ge=0), BeforeValidator(_whole(0))]
Rate = Annotated[float, Field(gt=0), BeforeValidator(_rate)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class PolicySettings(_Settings):
    """What a plan may do without being told twice, and how often what fails is tried."""

    prune: Bool | None = Field(None, description="Delete objects that are no longer declared; default false.")
    max_changes: Annotated[int | str, BeforeValidator(_changes)] | None = Field(
        None, description="A larger plan needs --force: a count, or a share such as 50%; default 50%."
    )
    max_attempts: Count | None = Field(
        None, description="Applies in a row that try an output which fails, until it is blocked; default 3."
    )
    retries: CountOrZero | None = Field(
        None, description="How often one apply repeats a job that failed for a reason that passes; default 2."
    )


class QueueSettings(_Settings):
    """How much one of the service's queues is given at once."""

    parallelism: Count | None = Field(None, description="Jobs of this queue in flight at once.")
    requests_per_second: Rate | None = Field(None, description="Submissions to this queue in a second.")


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
    lockfile: Annotated[str, AfterValidator(_lockfile)] | None = Field(
        None, description="bucket:KEY keeps the lockfile in the bucket, for several machines; default: in the folder."
    )
    guard_lease: Annotated[float, Field(ge=10), BeforeValidator(_seconds(10))] | None = Field(
        None, description="Seconds that the guard of a lockfile in the bucket holds without being renewed; default 60."
    )
    visibility: Annotated[float, Field(ge=0), BeforeValidator(_seconds(0))] | None = Field(
        None, description="Seconds that an accepted job may take to be listed; default: what the service is known for."
    )
    parallelism: Count | None = Field(None, description="Jobs in flight at once; default 4.")
    requests_per_second: Rate | None = Field(None, description="Calls of all kinds in a second; default: no limit.")
    queues: dict[str, QueueSettings] | None = Field(
        None, description="Limits of the service's queues by id; `default` is for jobs that name none."
    )
    policy: PolicySettings | None = Field(None, description="What a plan may do, and how often what fails is tried.")
    vars: Annotated[dict[str, Any], AfterValidator(_variables)] | None = Field(
        None, description="What manifests and layouts see as vars."
    )


class FileSettings(EnvironmentSettings):
    """The settings of a project."""

    version: Literal[1] = Field(description="Version of this format: 1.")
    environments: dict[str, EnvironmentSettings] | None = Field(
        None, description="Settings by environment; --env NAME overlays them."
    )
