"""The object store's messages: listings and error documents.

Source: reference/cos-objects.md §8 and §11 (documents 436/7734 and 436/7730).
"""

from __future__ import annotations

from pydantic import Field

from reconciler.api.node import Bool, Integer, Node, Text


class Owner(Node):
    """The account that an object belongs to."""

    id: Text | None = Field(None, serialization_alias="ID", description="APPID.")
    display_name: Text | None = Field(None, description="APPID again.")


class Contents(Node):
    """One object of a listing."""

    key: Text = Field(description="Key; percent-encoded when encoding-type=url was asked for.")
    last_modified: Text | None = Field(None, description="ISO 8601, UTC, milliseconds.")
    e_tag: Text = Field("", serialization_alias="ETag", description="Quoted.")
    size: Integer = Field(0, description="Bytes.")
    owner: Owner | None = Field(None, description="Owner.")
    storage_class: Text | None = Field(None, description="STANDARD and others.")


class CommonPrefix(Node):
    """Keys that share a prefix up to the delimiter, as one entry."""

    prefix: Text | None = Field(None, description="The shared prefix.")


class ListBucketResult(Node):
    """The reply to GET Bucket, version 1; root element ``ListBucketResult``."""

    name: Text | None = Field(None, description="Bucket.")
    encoding_type: Text | None = Field(None, description="url when asked for.")
    prefix: Text | None = Field(None, description="As asked for.")
    marker: Text | None = Field(None, description="As asked for.")
    max_keys: Integer | None = Field(None, description="As asked for.")
    delimiter: Text | None = Field(None, description="As asked for.")
    is_truncated: Bool = Field(default=False, description="Whether there are more.")
    next_marker: Text | None = Field(None, description="Where the next page starts; only when truncated.")
    common_prefixes: tuple[CommonPrefix, ...] | None = Field(None, description="Collapsed keys.")
    contents: tuple[Contents, ...] | None = Field(None, description="Objects in UTF-8 byte order.")


class ErrorDocument(Node):
    """The body of every refused call; root element ``Error``. All five are filled, older SDKs need them."""

    code: Text = Field("InternalError", description="Error code.")
    message: Text = Field("", description="Error text.")
    resource: Text = Field("", description="Host and path.")
    request_id: Text = Field("", description="Request id.")
    trace_id: Text = Field("", description="Trace id.")
