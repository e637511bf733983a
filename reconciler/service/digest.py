"""Digests of content: MD5 and CRC-64/XZ, what those of parts say of the whole, and what a caller expects of a body.

Values only; nothing is opened or read here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from fastcrc import crc64

from reconciler.service.refused import RefusedError

_POLYNOMIAL: Final = 0xC96C5795D7870F42
"""ECMA-182, lowest power in the highest bit, as CRC-64/XZ counts."""

_ONE: Final = 1 << 63
_MASK: Final = (1 << 64) - 1


class Digest:
    """MD5 and CRC-64/XZ of what was fed to it."""

    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc64 = 0
        self.size = 0

    def update(self, block: bytes) -> None:
        """Feed the next bytes."""
        self._md5.update(block)
        self._crc64 = crc64.xz(block, self._crc64)
        self.size += len(block)

    @property
    def md5(self) -> str:
        """Lower-case hexadecimal."""
        return self._md5.hexdigest()

    @property
    def crc64(self) -> str:
        """Unsigned decimal."""
        return str(self._crc64)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a caller says of a body: its MD5 in hexadecimal and its length in bytes."""

    md5: str | None = None
    length: int | None = None

    def check(self, digest: Digest) -> None:
        """Raise RefusedError when the body was another: IncompleteBody or BadDigest."""
        if self.length is not None and digest.size != self.length:
            raise RefusedError("IncompleteBody", f"{digest.size} of {self.length} bytes came")
        if self.md5 is not None and self.md5 != digest.md5:
            raise RefusedError("BadDigest", "Content-MD5 is not the digest of the body")


def etag_of_parts(md5s: Sequence[str]) -> str:
    """Return the ETag of an object that was uploaded in parts, from the MD5s of the parts."""
    whole = hashlib.md5(b"".join(map(bytes.fromhex, md5s)), usedforsecurity=False)
    return f"{whole.hexdigest()}-{len(md5s)}"


def crc64_of_parts(parts: Iterable[tuple[str, int]]) -> str:
    """Return the CRC-64/XZ of a whole, from the CRC-64/XZ and the size of each of its parts."""
    whole = 0
    for crc, size in parts:
        whole = _product(whole, _power(size)) ^ int(crc)
    return str(whole)


@lru_cache(maxsize=64)
def _power(size: int) -> int:
    """Return x to the power of eight times ``size``, modulo the polynomial: what ``size`` bytes do to a checksum."""
    power, square = _ONE, _ONE >> 8
    while size:
        if size & 1:
            power = _product(power, square)
        square = _product(square, square)
        size >>= 1
    return power


def _product(first: int, second: int) -> int:
    """Multiply two polynomials over GF(2), modulo the polynomial."""
    product = 0
    while first:
        if first & _ONE:
            product ^= second
        first = first << 1 & _MASK
        second = second >> 1 ^ (_POLYNOMIAL if second & 1 else 0)
    return product
