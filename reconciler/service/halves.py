"""Which half of the API a call is for, where its host serves both: an SDK can be set to send both to one address.

There an object has every key that the cloud lets it have, except where a path can only be a call of the job half: it is
one exactly, it names a job by its id, it cancels, or it brings a queue or a template. What may be either is an object
call; ``GET /jobs/x`` asks for the object ``jobs/x``.

Source: reference/sdk-as-client.md §2.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from reconciler.service.address import Address
from reconciler.service.http import Request

Half = Literal["ci", "cos"]

_JOB_CALL: Final = re.compile(
    r"/(jobs|jobs/([^/]*,)?j[0-9a-f]{32}(,[^/]*)?|queue|queue/p[0-9a-f]{32}|template|template/t[0-9a-f]{33}|mediabucket)"
)
_ONE_JOB: Final = re.compile(r"/jobs/[^/]+")
_CHANGED: Final = re.compile(r"/(queue|template)/[^/.]+")
"""No id has a dot; ``template/canvas.xml`` is a file that somebody keeps."""

_MESSAGE: Final = re.compile(rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?<Request[\s/>]")
_PEEKED: Final = 256
"""Bytes of a body within which a message has begun."""


async def half_of(request: Request, where: Address) -> tuple[Half, Request]:
    """Return the half that a call at an address is for, and the call, whose body may have been looked into."""
    if where.half == "ci":
        return "ci", request
    path = request.raw_path.decode("latin-1").replace("%2C", ",").replace("%2c", ",")
    if _JOB_CALL.fullmatch(path):
        return "ci", request
    if request.method != "PUT":
        return "cos", request
    if _ONE_JOB.fullmatch(path):
        return "ci" if "cancel" in request.query else "cos", request
    if _CHANGED.fullmatch(path):
        head, request = await request.peek(_PEEKED)
        return "ci" if _MESSAGE.match(head) else "cos", request
    return "cos", request
