"""A wire that gives prepared answers, and a clock that stands until somebody sleeps."""

from __future__ import annotations

import asyncio

import httpx

Answer = httpx.Response | Exception

ERROR = "<Error><Code>{}</Code><Message>{}</Message><Resource>r</Resource><RequestId>id-7</RequestId><TraceId>t</TraceId></Error>"


def answer(status: int = 200, body: bytes | str = b"", **headers: str) -> httpx.Response:
    return httpx.Response(status, content=body, headers={key.replace("_", "-"): text for key, text in headers.items()})


def done(status: int = 200, **headers: str) -> httpx.Response:
    """An answer of the service's own that has no body."""
    return answer(status, x_cos_request_id="id-1", **headers)


def refuse(status: int, code: str, message: str = "no", **headers: str) -> httpx.Response:
    return answer(status, ERROR.format(code, message), **headers)


class Wire:
    """Gives prepared answers, the last one for ever, and keeps what was sent."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.sent: list[httpx.Request] = []

    async def __call__(self, sent: httpx.Request) -> httpx.Response:
        await sent.aread()
        self.sent.append(sent)
        reply = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(reply, Exception):
            raise reply
        return httpx.Response(reply.status_code, content=reply.content, headers=reply.headers)


class StandingClock:
    """Time passes only while somebody sleeps; chance gives its most."""

    def __init__(self, wall: float = 1_700_000_000.0) -> None:
        self.slept: list[float] = []
        self._start = wall
        self._ticks = 0.0

    def wall(self) -> float:
        return self._start + self._ticks

    def ticks(self) -> float:
        return self._ticks

    def chance(self) -> float:
        return 1.0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._ticks += seconds
        await asyncio.sleep(0)
