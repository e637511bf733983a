"""Random requests in volume: none is answered with a 500, none hangs, none goes without a well-formed answer.

Another 100,000 of them: ``RECONCILER_SEED=7 make test-slow``. A failure names the seed that shows it again.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path

import pytest

from reconciler.api.signing import Credentials
from tests.properties.consistency import check_disk, check_objects
from tests.properties.visitor import Visitor
from tests.service.harness import running
from tests.service.wire import send, well_formed

KEY = Credentials("AKIDEXAMPLE", "SecretExample")
SHARDS = 20
REQUESTS = 100_000 // SHARDS


async def visit(root: Path, seed: int, requests: int, credentials: Credentials | None) -> dict[int, int]:
    """Make so many requests; return how often each status came."""
    visitor = Visitor(seed, credentials, int(time.time()))
    statuses: dict[int, int] = {}
    async with running(root, credentials=credentials) as caller:
        for number in range(requests):
            call = visitor.call()
            try:
                answer = await send(caller.service.app, call)
                well_formed(call.method, answer)
                assert answer.status < 500 or answer.status in (501, 503), answer.body
            except (Exception, asyncio.CancelledError) as error:
                error.add_note(f"seed {seed}, request {number}: {call!r}")
                raise
            statuses[answer.status] = statuses.get(answer.status, 0) + 1
            visitor.learn(call, answer)
    async with running(root) as caller:
        await check_objects(root, caller)
    check_disk(root)
    return statuses


@pytest.mark.parametrize("credentials", [None, KEY], ids=["unsigned", "signed"])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_thousand_random_requests(tmp_path: Path, seed: int, credentials: Credentials | None) -> None:
    statuses = asyncio.run(visit(tmp_path, seed, 250, credentials))
    assert statuses[200] > 50, "most of these requests are refused: the visitor no longer knows the API"


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_hundred_thousand_random_requests(tmp_path: Path, shard: int) -> None:
    seed = int(os.environ.get("RECONCILER_SEED") or random.SystemRandom().randrange(2**32)) + shard
    statuses = asyncio.run(visit(tmp_path, seed, REQUESTS, KEY if shard % 4 == 3 else None))
    assert statuses[200] > REQUESTS // 10, f"seed {seed}: {statuses}"
