from __future__ import annotations

import pytest

from reconciler.service import keys
from reconciler.service.refused import RefusedError

IMPOSSIBLE = {
    "": ("InvalidObjectName", "empty segment"),
    "/a": ("InvalidObjectName", "empty segment"),
    "a/": ("InvalidObjectName", "empty segment"),
    "a//b": ("InvalidObjectName", "empty segment"),
    "..": ("InvalidObjectName", "`.` or `..`"),
    "a/../b": ("InvalidObjectName", "`.` or `..`"),
    "./a": ("InvalidObjectName", "`.` or `..`"),
    "a\0b": ("InvalidObjectName", "XML cannot carry"),
    "a\x1bb": ("InvalidObjectName", "XML cannot carry"),
    "a\ud800": ("InvalidObjectName", "XML cannot carry"),
    "in/.reconciler-7.partial": ("InvalidObjectName", "the service's own"),
    ".reconciler-7.partial/in": ("InvalidObjectName", "the service's own"),
    "x" * 256: ("KeyTooLong", "255 bytes"),
    "é" * 128: ("KeyTooLong", "255 bytes"),
    "/".join(["x" * 200] * 5): ("KeyTooLong", "850 bytes"),
}


@pytest.mark.parametrize("key", IMPOSSIBLE)
def test_a_key_that_cannot_be_is_refused_with_the_reason(key: str) -> None:
    code, reason = IMPOSSIBLE[key]
    with pytest.raises(RefusedError, match=reason) as caught:
        keys.check(key)
    assert caught.value.code == code
    assert not keys.is_key(key)


@pytest.mark.parametrize("key", ["a", "in/a b.mp4", "-", "...", "a\nb", ".reconciler", "课/一.mp4", "x" * 255, "C:\\a"])
def test_keys_that_can_be(key: str) -> None:
    assert keys.is_key(key)


def test_the_names_of_temporary_files_are_known_again() -> None:
    assert keys.is_partial(keys.partial_name("j0"))
    assert not keys.is_key(keys.partial_name("j0"))


@pytest.mark.parametrize(
    ("name", "can"),
    [("a", True), (".reconciler-x", True), (".reconciler-x.partial", False), ("a\x01", False), ("a\udcff", False)],
)
def test_names_of_files_that_can_be_segments(name: str, can: bool) -> None:
    assert keys.is_segment(name) == can


@pytest.mark.parametrize(
    ("names", "can"),
    [
        ([], True),
        (["a", "b c", "é/"], True),
        (["a", "x\x01"], False),
        (["a\udcff"], False),
        (["a", ".reconciler-x.partial"], False),
        ([".reconciler-x"], False),  # it may be one: whoever asks has to look at each
    ],
)
def test_names_are_told_at_once_where_all_of_them_can_be_segments(names: list[str], can: bool) -> None:
    assert keys.are_segments(names) == can


def test_keys_are_short_enough_whatever_their_characters_are() -> None:
    assert keys.all_fit(212)
    assert keys.fits("\U0001f3ac" * 212)
    assert not keys.all_fit(213)
    assert not keys.fits("\U0001f3ac" * 213)
