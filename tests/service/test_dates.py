from __future__ import annotations

import pytest

from reconciler.service.dates import http_date, iso_date, read_http_date

TWO_O_CLOCK = 1_777_600_800


def test_times_are_written_as_the_reference_shows_them() -> None:
    assert iso_date(TWO_O_CLOCK) == "2026-05-01T02:00:00.000Z"
    assert iso_date(TWO_O_CLOCK, 7_999_999) == "2026-05-01T02:00:00.007Z"
    assert http_date(TWO_O_CLOCK) == "Fri, 01 May 2026 02:00:00 GMT"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("Fri, 01 May 2026 02:00:00 GMT", TWO_O_CLOCK),
        ("Friday, 01-May-26 02:00:00 GMT", TWO_O_CLOCK),
        ("Fri May  1 02:00:00 2026", TWO_O_CLOCK),
        ("", None),
        (None, None),
        ("yesterday", None),
        ("Fri, 32 May 2026 02:00:00 GMT", None),
    ],
)
def test_a_time_that_cannot_be_read_counts_as_absent(header: str | None, seconds: int | None) -> None:
    assert read_http_date(header) == seconds
