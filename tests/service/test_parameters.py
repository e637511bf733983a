from __future__ import annotations

import pytest

from reconciler.service import parameters
from reconciler.service.http import Request
from reconciler.service.parameters import Page
from reconciler.service.refused import RefusedError


async def never() -> dict[str, object]:
    raise AssertionError("no body is read")


def asked(**query: str) -> Request:
    return Request("GET", "host", b"/", query, {}, never)


def test_pages_have_defaults_and_are_counted_from_one() -> None:
    assert parameters.page(asked()) == parameters.page(asked(pageNumber="", pageSize="")) == Page(1, 10)
    assert parameters.page(asked(pageNumber="3", pageSize="100")).skipped == 200
    assert parameters.page(asked(pageNumber=str(2**63 - 1), pageSize="100")).skipped == 2**63 - 1


def test_names_are_split_trimmed_and_each_stands_once() -> None:
    assert parameters.names(asked(ids=" b,a,,b , "), "ids") == ("b", "a")
    assert parameters.names(asked(ids=","), "ids") is None
    assert parameters.names(asked(), "ids") is None


def test_a_choice_has_a_default_and_is_exact() -> None:
    assert parameters.choice(asked(state=""), "state", ("On", "Off"), "Off") == "Off"
    assert parameters.choice(asked(state="On"), "state", ("On", "Off"), "Off") == "On"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"pageNumber": "0"}, "pageNumber: 0 is out of range; pages are counted from 1"),
        ({"pageNumber": "-1"}, "pageNumber: `-1` is not a number; write digits"),
        ({"pageNumber": "٣"}, "pageNumber: `٣` is not a number; write digits"),
        ({"pageNumber": "1.0"}, "pageNumber: `1.0` is not a number; write digits"),
        ({"pageNumber": str(2**63)}, f"pageNumber: `{2**63}` is not a number; write digits"),
        ({"pageSize": "0"}, "pageSize: 0 is out of range; write 1 to 100"),
        ({"pageSize": "101"}, "pageSize: 101 is out of range; write 1 to 100"),
    ],
)
def test_pages_that_cannot_be(query: dict[str, str], message: str) -> None:
    with pytest.raises(RefusedError) as caught:
        parameters.page(asked(**query))
    assert (caught.value.code, caught.value.message) == ("InvalidArgument", message)


def test_an_unknown_choice_names_the_known_ones() -> None:
    with pytest.raises(RefusedError, match="state: `on` is unknown; write On, Off or All"):
        parameters.choice(asked(state="on"), "state", ("On", "Off", "All"), "Off")
