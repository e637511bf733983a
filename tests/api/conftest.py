"""One check for every node of the API, whatever it holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reconciler.api import xml
from reconciler.api.node import Node

CheckNode = Callable[[type[Node], str, dict[str, Any]], None]


@pytest.fixture(scope="session")
def check_node() -> CheckNode:
    """Check that a node with all its children is the same thing as XML, as a message and under manifest keys.

    ``keys`` must name every child, so that no node can be added to a model without standing in a table of the tests.
    """

    def check(model: type[Node], children: str, keys: dict[str, Any]) -> None:
        body = f"<Node>{children}</Node>"
        message = xml.read(model, body.encode(), "Node")
        assert message.plain() == keys
        assert set(keys) == set(model.model_fields)
        assert model.model_validate(keys, extra="forbid") == message
        assert xml.write(message, "Node").decode() == body

    return check
