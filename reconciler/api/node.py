"""The base of every wire message, and the scalar types the API writes as text.

One class per node: its Python attribute names are the manifest's keys (snake_case), its serialization aliases are the
API's element names. Field order is the order in which elements are written. What the documents demand beyond types
is in ``rules``; how a message becomes XML is in ``xml``.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import AfterValidator, AliasGenerator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer
from pydantic.alias_generators import to_pascal

MAGNITUDE: Final = 30
"""Digits that a decimal number may have on either side of its point; no time, rate or offset comes near."""


class Node(BaseModel):
    """A node of the API with children. Frozen; unknown children of a reply are ignored.

    Manifests are read with ``model_validate(…, extra="forbid")``, so a misspelt key there is an error.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        defer_build=True,
        alias_generator=AliasGenerator(serialization_alias=to_pascal),
    )

    def plain(self) -> dict[str, Any]:
        """Return the node as plain data under its manifest keys: absent nodes left out, numbers as numbers."""
        return self.model_dump(mode="json", by_alias=False, exclude_none=True, exclude_defaults=False)


def _read_bool(value: object) -> object:
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    if isinstance(value, bool):
        return value
    raise ValueError("write true or false")


def _read_number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("write a number")  # noqa: TRY004 - pydantic collects ValueError only
    if isinstance(value, str) and ("_" in value or not value.isascii()):  # Python reads 1_000, and digits of any script
        raise ValueError("write a number in the digits 0 to 9")
    return value


def _bounded(value: Decimal) -> Decimal:
    """Refuse a number such as 1E+999999999, whose plain digits would fill the memory."""
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -MAGNITUDE or value.adjusted() > MAGNITUDE:
        raise ValueError(f"write a number with at most {MAGNITUDE} digits on either side of the point")
    return value


def _write_number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def _read_text(value: object) -> object:
    """Take a bare number as text, so that ``name: 7`` and ``id: 007`` from a rendered row need no quotes."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value


Bool = Annotated[bool, BeforeValidator(_read_bool)]
"""``true`` or ``false``, nothing else: YAML 1.2 has no ``yes`` and no ``on``."""

Integer = Annotated[int, BeforeValidator(_read_number)]
"""A whole number; on the wire its decimal digits."""

Number = Annotated[
    Decimal,
    BeforeValidator(_read_number),
    AfterValidator(_bounded),
    PlainSerializer(_write_number, return_type=int | float, when_used="json"),
]
"""A decimal number, kept exactly as written on the wire (``834.736000``), a plain number in JSON."""

Text = Annotated[str, BeforeValidator(_read_text)]
"""A string."""
