"""An upload in parts, as a client makes it; two parts, and what the reference says of the object that they make."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

import httpx

from reconciler.api import xml
from reconciler.api.objects import CompleteMultipartUpload, InitiateMultipartUploadResult, ListPartsResult, Part
from reconciler.service.digest import Digest
from tests.service.harness import BUCKET, COS, Caller

MIB: Final = 1 << 20
FIRST: Final = b"a" * MIB
SECOND: Final = b"b" * 10
VECTOR: Final = "4075b7e9311da7fee8b3df13ccfc203c-2"
"""The ETag of these two, reference/cos-objects.md §7."""


@dataclass
class Uploading:
    """An upload in parts by a caller."""

    caller: Caller
    key: str
    id: str

    async def part(self, number: int | str, content: bytes, **headers: str) -> httpx.Response:
        query = f"partNumber={number}&uploadId={self.id}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.caller.http.put(f"{COS}/{self.key}?{query}", content=content, headers=named)

    async def list(self, **parameters: str) -> ListPartsResult:
        query = {"uploadId": self.id} | {name.replace("_", "-"): value for name, value in parameters.items()}
        reply = await self.caller.http.get(f"{COS}/{self.key}", params=query)
        return xml.read(ListPartsResult, reply.content, "ListPartsResult")

    async def complete(self, *parts: tuple[int, str], **headers: str) -> httpx.Response:
        message = CompleteMultipartUpload(part=tuple(Part(part_number=number, e_tag=tag) for number, tag in parts))
        return await self.send(xml.write(message, "CompleteMultipartUpload"), **headers)

    async def send(self, body: bytes, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.caller.http.post(f"{COS}/{self.key}?uploadId={self.id}", content=body, headers=named)

    async def abort(self) -> httpx.Response:
        return await self.caller.http.delete(f"{COS}/{self.key}?uploadId={self.id}")


async def begin(caller: Caller, key: str = "in/a.mp4", **headers: str) -> Uploading:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = await caller.http.post(f"{COS}/{key}?uploads=", headers=named)
    result = xml.read(InitiateMultipartUploadResult, reply.content, "InitiateMultipartUploadResult")
    assert (result.bucket, result.key) == (BUCKET, unquote(key))
    return Uploading(caller, key, result.upload_id)


def tag(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


def crc64(content: bytes) -> str:
    digest = Digest()
    digest.update(content)
    return digest.crc64
