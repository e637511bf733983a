"""A person's own text and our token, told apart."""

from __future__ import annotations

import pytest

import reconciler
from reconciler.api.rules import USER_DATA_LENGTH
from reconciler.api.user_data import OWN_USER_DATA, fingerprint_in, split_user_data, user_text

MARK = f"2:{40 * 'b'}"
TOKEN = f"reconciler:{MARK}:{16 * '0'}"


@pytest.mark.parametrize(
    ("user_data", "text", "token"),
    [
        ("", "", ""),
        ("order 17", "order 17", ""),
        (TOKEN, "", TOKEN),
        (f"order 17 {TOKEN}", "order 17", TOKEN),
        (f"order  {TOKEN}", "order ", TOKEN),
        (f"{TOKEN} {TOKEN}", TOKEN, TOKEN),
        (f"order{TOKEN}", f"order{TOKEN}", ""),
        (f"{TOKEN} order", f"{TOKEN} order", ""),
        (f"order {TOKEN[:-1]}", f"order {TOKEN[:-1]}", ""),
        (f"order {TOKEN[:-1]}G", f"order {TOKEN[:-1]}G", ""),
    ],
)
def test_the_two_parts(user_data: str, text: str, token: str) -> None:
    assert split_user_data(user_data) == (text, token)
    assert user_text(user_data) == text


def test_whoever_receives_callbacks_finds_it_at_the_top() -> None:
    assert reconciler.user_text is user_text


def test_the_longest_own_text_leaves_room_for_the_token() -> None:
    assert len(f"{OWN_USER_DATA * 'x'} {TOKEN}") == USER_DATA_LENGTH


def test_the_fingerprint_of_a_token() -> None:
    assert fingerprint_in(TOKEN) == MARK
