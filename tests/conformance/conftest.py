"""The targets, a place of one's own in each, and what the cases upload."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Final

import pytest
from qcloud_cos import CosS3Client

from tests.conformance import node, targets
from tests.conformance.receiver import Receiver, receiving
from tests.conformance.space import Space
from tests.conformance.targets import IN_PROCESS, SOCKET, Target
from tests.peers import missing_peer
from tests.service.media import Films

_LOCAL: Final[dict[str, Callable[[Path], AbstractContextManager[Target]]]] = {
    IN_PROCESS: targets.in_process,
    SOCKET: targets.over_a_socket,
}

Open = Callable[[str], Target]


def pytest_configure(config: pytest.Config) -> None:
    """Stop before the first case when the environment asks for the cloud by half."""
    try:
        targets.cloud(os.environ)
    except targets.NotAskedForError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.fixture(scope="session")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    """Open a target by its name, once for all cases."""
    known: dict[str, Target] = {}
    with ExitStack() as stack:

        def find(name: str) -> Target:
            if name not in known:
                known[name] = stack.enter_context(_context(name, tmp_path_factory))
            return known[name]

        yield find


def _context(name: str, factory: pytest.TempPathFactory) -> AbstractContextManager[Target]:
    if name in _LOCAL:
        return _LOCAL[name](factory.mktemp(name.replace(" ", "-")))
    target = targets.cloud(os.environ)
    assert target is not None
    return targets.emptied(target)


@pytest.fixture(scope="session", params=targets.names(os.environ))
def target(request: pytest.FixtureRequest, opened: Open) -> Target:
    """Every target in turn."""
    return opened(request.param)


@pytest.fixture(scope="session", params=[name for name in targets.names(os.environ) if name != IN_PROCESS])
def reachable(request: pytest.FixtureRequest, opened: Open) -> Target:
    """Every target that another process can reach."""
    return opened(request.param)


@pytest.fixture(scope="session", params=_LOCAL)
def local(request: pytest.FixtureRequest, opened: Open) -> Target:
    """Every target that is ours."""
    return opened(request.param)


@pytest.fixture(scope="session")
def served(opened: Open) -> Target:
    """The one that is ours and has a socket."""
    return opened(SOCKET)


@pytest.fixture
def client(target: Target) -> Iterator[CosS3Client]:
    """The official Python SDK."""
    with target.python() as client:
        yield client


@pytest.fixture
def space(target: Target) -> Space:
    """A prefix of one's own in a target."""
    return Space(target)


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Films:
    """Films of ten frames."""
    return Films(tmp_path_factory.mktemp("films"))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Where callbacks arrive."""
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def javascript() -> None:
    """The official Node.js SDK is there. Where it is not, its cases are skipped, unless it was said to be required."""
    try:
        node.install()
    except node.MissingError as error:
        missing_peer(f"the Node.js SDK ({error})")
