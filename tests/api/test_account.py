"""The list of an account's buckets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reconciler.api.account import BucketEntries, BucketEntry, ListAllMyBucketsResult
from reconciler.api.node import Node

ENTRY = "<Name>b-1</Name><Location>ap-chongqing</Location><CreationDate>2026-05-01T02:00:00.000Z</CreationDate>"
ENTRY_KEYS = {"name": "b-1", "location": "ap-chongqing", "creation_date": "2026-05-01T02:00:00.000Z"}

CASES: dict[type[Node], tuple[str, dict[str, Any]]] = {
    BucketEntry: (ENTRY, ENTRY_KEYS),
    BucketEntries: (
        f"<Bucket>{ENTRY}</Bucket><Bucket>{ENTRY}</Bucket>",
        {"bucket": [ENTRY_KEYS, ENTRY_KEYS]},
    ),
    ListAllMyBucketsResult: (
        f"<Owner><ID>1</ID></Owner><Buckets><Bucket>{ENTRY}</Bucket></Buckets>",
        {"owner": {"id": "1"}, "buckets": {"bucket": [ENTRY_KEYS]}},
    ),
}


@pytest.mark.parametrize("model", CASES, ids=lambda model: model.__name__)
def test_node(model: type[Node], check_node: Callable[..., None]) -> None:
    check_node(model, *CASES[model])
