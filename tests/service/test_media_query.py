from __future__ import annotations

import pytest

from reconciler.service import media_query
from reconciler.service.http import Request
from reconciler.service.media_query import Page
from reconciler.service.refused import RefusedError


async def never() -> dict[str, object]:
    raise AssertionError("no body is read")


def asked(**query: str) -> Request:
    return Request("GET", "host", b"/", query, {}, never)


def test_pages_have_defaults_and_are_counted_from_one() -> None:
    assert media_query.page(asked()) == media_query.page(asked(pageNumber="", pageSize="")) == Page(1, 10)
    assert media_query.page(asked(pageNumber="3", pageSize="100")).skipped == 200
    assert media_query.page(asked(pageNumber=str(2**63 - 1), pageSize="100")).skipped == 2**63 - 1


def test_names_are_split_trimmed_and_each_stands_once() -> None:
    assert media_query.names(asked(ids=" b,a,,b , "), "ids") == ("b", "a")
    assert media_query.names(asked(ids=","), "ids") is None
    assert media_query.names(asked(), "ids") is None


def test_a_choice_has_a_default_and_is_exact() -> None:
    assert media_query.choice(asked(state=""), "state", ("On", "Off"), "Off") == "Off"
    assert media_query.choice(asked(state="On"), "state", ("On", "Off"), "Off") == "On"


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
        media_query.page(asked(**query))
    assert (caught.value.code, caught.value.message) == ("InvalidArgument", message)


def test_an_unknown_choice_names_the_known_ones() -> None:
    with pytest.raises(RefusedError, match="state: `on` is unknown; write On, Off or All"):
        media_query.choice(asked(state="on"), "state", ("On", "Off", "All"), "Off")
