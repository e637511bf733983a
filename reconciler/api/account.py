"""The list of an account's buckets on the wire, as both SDKs read it."""

from __future__ import annotations

from pydantic import Field

from reconciler.api.node import Node, Text
from reconciler.api.objects import Owner


class BucketEntry(Node):
    """One bucket."""

    name: Text = Field(description="NAME-APPID.")
    location: Text = Field(description="Region.")
    creation_date: Text = Field(description="ISO 8601, UTC.")


class BucketEntries(Node):
    """The buckets."""

    bucket: tuple[BucketEntry, ...] | None = Field(None, description="One each.")


class ListAllMyBucketsResult(Node):
    """The reply to ``GET /`` on a host that names no bucket; root element of the same name."""

    owner: Owner = Field(description="The account.")
    buckets: BucketEntries = Field(description="The buckets.")
