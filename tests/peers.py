"""Programs of others that some tests run against."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing_peer(name: str) -> NoReturn:
    """Skip a test for lack of a program, unless the environment says that all of them have to be there."""
    if os.environ.get("RECONCILER_REQUIRE_PEERS"):
        pytest.fail(f"{name} is not installed, and RECONCILER_REQUIRE_PEERS is set")
    pytest.skip(f"{name} is not installed")
