"""Films that the sessions at the terminal compose, made once."""

from __future__ import annotations

import pytest

from tests.service.media import Films


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Films:
    return Films(tmp_path_factory.mktemp("films"))
