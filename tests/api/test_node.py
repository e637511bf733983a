"""The scalar types of the wire: what they take from XML, YAML and JSON, and what they refuse."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import ValidationError

from reconciler.api.node import Bool, Integer, Node, Number, Text


class Sample(Node):
    """One child of each type."""

    flag: Bool | None = None
    count: Integer | None = None
    seconds: Number | None = None
    name: Text | None = None
    parts: tuple[Text, ...] | None = None


@pytest.mark.parametrize(
    ("key", "given", "value"),
    [
        ("flag", True, True),
        ("flag", "true", True),
        ("flag", " False ", False),
        ("count", "1280", 1280),
        ("count", 640.0, 640),
        ("seconds", "834.736000", Decimal("834.736000")),
        ("seconds", 1, Decimal(1)),
        ("seconds", 0.1, Decimal("0.1")),
        ("name", 7, "7"),
        ("name", 1.5, "1.5"),
        ("name", "12:30:45", "12:30:45"),
        ("parts", ["a", 2], ("a", "2")),
    ],
)
def test_taken(key: str, given: object, value: object) -> None:
    assert getattr(Sample.model_validate({key: given}), key) == value


@pytest.mark.parametrize(
    ("key", "given", "message"),
    [
        ("flag", "yes", "write true or false"),
        ("flag", 1, "write true or false"),
        ("flag", "on", "write true or false"),
        ("count", True, "write a number"),
        ("count", "12.5", "valid integer"),
        ("count", 12.5, "valid integer"),
        ("count", "9" * 5000, "integer"),
        ("seconds", False, "write a number"),
        ("seconds", "NaN", "finite number"),
        ("seconds", "Infinity", "finite number"),
        ("seconds", "1E+999999999", "at most 30 digits"),
        ("seconds", "0E-999999999", "at most 30 digits"),
        ("seconds", "soon", "valid decimal"),
        ("name", True, "valid string"),
        ("name", ["a"], "valid string"),
    ],
)
def test_refused(key: str, given: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Sample.model_validate({key: given})


def test_plain_data_leaves_out_what_is_absent_and_writes_numbers_as_numbers() -> None:
    sample = Sample.model_validate({"flag": "false", "seconds": "2.50", "parts": ["a"]})
    assert sample.plain() == {"flag": False, "seconds": 2.5, "parts": ["a"]}
    assert Sample(seconds=Decimal("3.000000")).plain() == {"seconds": 3}


def test_a_node_is_a_value() -> None:
    assert Sample(name="a") == Sample(name="a")
    assert hash(Sample(name="a")) == hash(Sample(name="a"))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(Sample(name="a"), "name", "b")  # noqa: B010 - an assignment would not pass mypy, which is the point


def test_unknown_children_of_a_reply_are_ignored() -> None:
    assert Sample.model_validate({"name": "a", "new_in_2027": "x"}) == Sample(name="a")
