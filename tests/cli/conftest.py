"""What sessions at the terminal begin with: films that they compose, and a project that composes them, each made once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from reconciler.cli import run
from tests.cli.terminal import Terminal, begin
from tests.service.media import Films


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Films:
    return Films(tmp_path_factory.mktemp("films"))


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what of the environment would change a project's settings."""
    for name in [name for name in os.environ if name.startswith(("RECONCILER_", "TENCENTCLOUD_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def terminal(tmp_path: Path, films: Films, capfd: pytest.CaptureFixture[str], unset: None) -> Terminal:
    """A project of which nothing is made yet."""
    begin(tmp_path, films)
    return Terminal(tmp_path, capfd)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, films: Films) -> Path:
    """The same after an apply; to be copied."""
    folder = tmp_path_factory.mktemp("made")
    begin(folder, films)
    assert run(["-C", str(folder), "apply", "--yes", "--quiet"]) == 0
    return folder


@pytest.fixture
def applied(tmp_path: Path, made: Path, capfd: pytest.CaptureFixture[str], unset: None) -> Terminal:
    """A project of which everything is made and recorded."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return Terminal(tmp_path, capfd)
