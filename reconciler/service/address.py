"""Which bucket and which half of the API a host name means. No bucket is looked up here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

BUCKET_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]*-[0-9]+")
"""NAME-APPID (reference/cos-objects.md §1)."""

_MAX_HOST: Final = 253
"""Longest name that DNS knows."""

_HOST: Final = re.compile(
    rf"(?:(?P<bucket>{BUCKET_NAME.pattern})\.)?(?:(?P<half>ci|cos)(?:\.(?P<region>[a-z0-9-]+))?\.)?.*", re.DOTALL
)
_OTHER_NAME: Final = re.compile(
    r"(?P<bucket>.+)\.(?P<half>ci|cos)\.(?P<region>[a-z0-9-]+)\.(?:myqcloud\.com|tencentcos\.cn)", re.DOTALL
)
"""A true name of the service whose bucket is called as none can be: it means that bucket, not the default one."""

_SERVICE: Final = "service.cos."
_PORT: Final = re.compile(r":[0-9]*$")


@dataclass(frozen=True, slots=True)
class Address:
    """The parts that a host name has; None for those it does not.

    ``half`` is ``ci`` for job calls, ``cos`` for object calls, None when the host serves both.
    """

    bucket: str | None = None
    half: Literal["ci", "cos"] | None = None
    region: str | None = None


def parse(authority: str) -> Address:
    """Read ``<bucket>.ci.<region>.…``, ``<bucket>.cos.<region>.…``, either without a bucket, or a bare address."""
    return _parse(_PORT.sub("", authority.strip().lower())[:_MAX_HOST])


@lru_cache(maxsize=1024)
def _parse(host: str) -> Address:
    if host.startswith(_SERVICE):
        return Address(half="cos")
    match = _HOST.fullmatch(host)
    assert match is not None  # every part is optional
    if match["bucket"] is None and match["half"] is None:
        match = _OTHER_NAME.fullmatch(host) or match
    half = match["half"]
    return Address(match["bucket"], "ci" if half == "ci" else "cos" if half == "cos" else None, match["region"])
