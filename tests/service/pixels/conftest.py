"""One folder of sources for all tests of pixels and frequencies."""

from __future__ import annotations

import pytest

from tests.service.pixels.measure import Stage


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("stage"))
