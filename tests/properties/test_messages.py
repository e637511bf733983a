"""Whatever the models can express survives the wire: every message of the API, as a reply and as a request."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import reconciler.api
from reconciler.api import xml
from reconciler.api.node import Node
from reconciler.api.shape import children
from tests.properties.strategies import nodes


def messages() -> list[type[Node]]:
    """Return every message that is no part of another one, also those that are written tomorrow."""
    for module in pkgutil.iter_modules(reconciler.api.__path__, "reconciler.api."):
        importlib.import_module(module.name)
    known = {model for model in _below(Node) if model.__module__.startswith("reconciler.api.")}
    parts = {child.node for model in known for child in children(model) if child.node}
    return sorted(known - parts, key=lambda model: model.__name__)


def _below(model: type[Node]) -> set[type[Node]]:
    return {below for child in model.__subclasses__() for below in (child, *_below(child))}


GENEROUS = [HealthCheck.too_slow, HealthCheck.filter_too_much]


def check(model: type[Node], data: Any) -> None:
    message = data.draw(nodes(model))
    written = xml.write(message, "Root")
    assert xml.read(model, written, "Root") == message
    assert xml.read_request(model, written, "Root") == message
    assert xml.read(model, xml.pretty(message, "Root").encode(), "Root") == message


@pytest.mark.parametrize("model", messages(), ids=lambda model: model.__name__)
@settings(max_examples=5, deadline=None, suppress_health_check=GENEROUS)
@given(data=st.data())
def test_any_message_survives_xml(model: type[Node], data: Any) -> None:
    check(model, data)


@pytest.mark.slow
@pytest.mark.parametrize("model", messages(), ids=lambda model: model.__name__)
@settings(max_examples=300, deadline=None, suppress_health_check=GENEROUS)
@given(data=st.data())
def test_any_of_many_messages_survives_xml(model: type[Node], data: Any) -> None:
    check(model, data)
