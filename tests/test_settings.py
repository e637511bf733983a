"""What each setting must be, and what is said when it is not."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from reconciler.project import settings_schema
from reconciler.settings import EnvironmentSettings, PolicySettings, QueueSettings

KEY = "must be bucket:KEY"
NO_KEY = "has no proper key"
TOO_LONG = "has a key of more than 800 bytes"


def said(**values: object) -> str:
    """What is said about the settings of an environment."""
    with pytest.raises(ValidationError) as caught:
        EnvironmentSettings.model_validate(values)
    (problem,) = caught.value.errors(include_url=False)
    return str(problem["msg"])


@pytest.mark.parametrize("key", ["reconciler.lock", "state/a b/演.lock", ".lock", "...", "a" * 800, "%2F+", "bucket:a"])
def test_a_lockfile_may_be_kept_under_every_proper_key(key: str) -> None:
    assert EnvironmentSettings(lockfile=f"bucket:{key}").lockfile == f"bucket:{key}"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("reconciler.lock", KEY),
        ("Bucket:a", KEY),
        (" bucket:a", KEY),
        ("", KEY),
        ("bucket:", NO_KEY),
        ("bucket:/a", NO_KEY),
        ("bucket://state/a", NO_KEY),
        ("bucket:a/", NO_KEY),
        ("bucket:a//b", NO_KEY),
        ("bucket:./a", NO_KEY),
        ("bucket:a/../b", NO_KEY),
        ("bucket:a\x00b", NO_KEY),
        ("bucket:a\ud800", NO_KEY),
        ("bucket:" + "a" * 801, TOO_LONG),
        ("bucket:" + "演" * 267, TOO_LONG),
    ],
)
def test_what_cannot_be_the_key_of_a_lockfile(value: str, message: str) -> None:
    text = said(lockfile=value)
    assert text.startswith(f"Value error, {message}; write ")
    assert "bucket:state/reconciler.lock" in text


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("guard_lease", 10, 10.0),
        ("guard_lease", "12.5", 12.5),
        ("visibility", 0, 0.0),
        ("requests_per_second", 0.001, 0.001),
        ("requests_per_second", "3", 3.0),
        ("parallelism", "16", 16),
        ("parallelism", 4.0, 4),
    ],
)
def test_numbers_may_be_texts(name: str, value: object, read: float) -> None:
    found = getattr(EnvironmentSettings.model_validate({name: value}), name)
    assert (found, type(found)) == (read, type(read))


NO_NUMBERS: list[Any] = [True, None, [], {}, "", "x", "nan", "inf", "1e999", float("nan"), float("inf"), 10**400]


@pytest.mark.parametrize("value", [*NO_NUMBERS[:1], *NO_NUMBERS[2:], -1, 9.99])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("guard_lease", "must be a number of seconds of at least 10"),
        ("parallelism", "must be a whole number of at least 1"),
    ],
)
def test_what_is_no_such_number(name: str, message: str, value: object) -> None:
    assert said(**{name: value}) == f"Value error, {message}"


@pytest.mark.parametrize(
    ("name", "value"), [("visibility", -0.1), ("requests_per_second", 0), ("requests_per_second", -1)]
)
def test_numbers_have_bounds(name: str, value: float) -> None:
    assert said(**{name: value}).startswith("Value error, must be a number ")


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (PolicySettings, {"max_attempts": 0}),
        (PolicySettings, {"retries": -1}),
        (PolicySettings, {"retries": 1.5}),
        (QueueSettings, {"parallelism": 0}),
        (QueueSettings, {"requests_per_second": 0}),
    ],
)
def test_limits_have_bounds(model: type[PolicySettings | QueueSettings], values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"must be a (whole )?number"):
        model.model_validate(values)


def test_editors_learn_the_bounds_too() -> None:
    schema = settings_schema()
    properties, definitions = schema["properties"], schema["$defs"]
    number = {
        "guard_lease": {"minimum": 10},
        "visibility": {"minimum": 0},
        "requests_per_second": {"exclusiveMinimum": 0},
    }
    for name, bound in number.items():
        assert {"type": "number", **bound} in properties[name]["anyOf"]
    assert {"type": "integer", "minimum": 1} in properties["parallelism"]["anyOf"]
    assert {"type": "integer", "minimum": 0} in definitions["PolicySettings"]["properties"]["retries"]["anyOf"]
    queues = {"type": "object", "additionalProperties": {"$ref": "#/$defs/QueueSettings"}}
    assert queues in properties["queues"]["anyOf"]
