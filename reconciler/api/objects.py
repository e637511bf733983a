"""The object store's messages: listings, uploads in parts, copies, deletions and error documents.

Source: reference/cos-objects.md §6 and §8 to §11 (documents 436/7734 and 436/7730; the rest from SDKs).
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


class DeletedObject(Node):
    """One key of a call that deletes many, and of its reply."""

    key: Text = Field(description="Key.")
    version_id: Text | None = Field(None, description="Version; `null` where there are none.")


class Delete(Node):
    """The body of a call that deletes many objects; root element ``Delete``."""

    quiet: Bool = Field(default=False, description="Whether the reply names errors only.")
    objects: tuple[DeletedObject, ...] = Field(serialization_alias="Object", description="At most 1000 keys.")


class DeleteError(Node):
    """One object that could not be deleted."""

    key: Text = Field(description="Key.")
    version_id: Text | None = Field(None, description="As asked for.")
    code: Text = Field("", description="Error code.")
    message: Text = Field("", description="Error text.")


class DeleteResult(Node):
    """The reply to deleting many objects; root element ``DeleteResult``."""

    deleted: tuple[DeletedObject, ...] | None = Field(None, description="Deleted, or not there; not when quiet.")
    error: tuple[DeleteError, ...] | None = Field(None, description="Not deleted.")


class CopyResult(Node):
    """The reply to a copy; root element ``CopyObjectResult``, of a part ``CopyPartResult``."""

    e_tag: Text = Field("", serialization_alias="ETag", description="Quoted.")
    last_modified: Text | None = Field(None, description="ISO 8601, UTC, milliseconds.")
    crc64: Text | None = Field(None, serialization_alias="CRC64", description="CRC-64/XZ, unsigned decimal.")


class InitiateMultipartUploadResult(Node):
    """The reply to the beginning of an upload in parts; the root element has the same name."""

    bucket: Text | None = Field(None, description="Bucket.")
    key: Text | None = Field(None, description="Key.")
    upload_id: Text = Field(description="Names the upload from now on.")


class Part(Node):
    """One part of an upload: in a listing with everything, in the call that completes with number and ETag."""

    part_number: Integer = Field(description="1 to 10000.")
    last_modified: Text | None = Field(None, description="ISO 8601, UTC, milliseconds.")
    e_tag: Text = Field(serialization_alias="ETag", description="Quoted MD5.")
    size: Integer | None = Field(None, description="Bytes.")


class CompleteMultipartUpload(Node):
    """The body of the call that makes an object of the parts; the root element has the same name."""

    part: tuple[Part, ...] = Field(description="In ascending order.")


class CompleteMultipartUploadResult(Node):
    """The reply to it; the root element has the same name."""

    location: Text | None = Field(None, description="URL of the object.")
    bucket: Text | None = Field(None, description="Bucket.")
    key: Text | None = Field(None, description="Key.")
    e_tag: Text = Field("", serialization_alias="ETag", description="Quoted.")


class ListPartsResult(Node):
    """The parts of an upload; the root element has the same name. Note the spelling of ``Encoding-type``."""

    bucket: Text | None = Field(None, description="Bucket.")
    encoding_type: Text | None = Field(None, serialization_alias="Encoding-type", description="url when asked for.")
    key: Text | None = Field(None, description="Key.")
    upload_id: Text | None = Field(None, description="Upload.")
    initiator: Owner | None = Field(None, description="Who began it.")
    owner: Owner | None = Field(None, description="Whose the object will be.")
    part_number_marker: Integer | None = Field(None, description="As asked for.")
    next_part_number_marker: Integer | None = Field(None, description="Where the next page starts; when truncated.")
    storage_class: Text | None = Field(None, description="STANDARD and others.")
    max_parts: Integer | None = Field(None, description="As asked for.")
    is_truncated: Bool = Field(default=False, description="Whether there are more.")
    part: tuple[Part, ...] | None = Field(None, description="By number.")


class UploadEntry(Node):
    """One upload of a listing; element ``Upload``."""

    key: Text = Field(description="Key; percent-encoded when encoding-type=url was asked for.")
    upload_id: Text = Field(description="Upload.")
    storage_class: Text | None = Field(None, description="STANDARD and others.")
    initiator: Owner | None = Field(None, description="Who began it.")
    owner: Owner | None = Field(None, description="Whose the object will be.")
    initiated: Text | None = Field(None, description="ISO 8601, UTC, milliseconds.")


class ListMultipartUploadsResult(Node):
    """The uploads of a bucket that are under way; the root element has the same name."""

    bucket: Text | None = Field(None, description="Bucket.")
    encoding_type: Text | None = Field(None, serialization_alias="Encoding-Type", description="url when asked for.")
    key_marker: Text | None = Field(None, description="As asked for.")
    upload_id_marker: Text | None = Field(None, description="As asked for.")
    max_uploads: Integer | None = Field(None, description="As asked for.")
    is_truncated: Bool = Field(default=False, description="Whether there are more.")
    prefix: Text | None = Field(None, description="As asked for.")
    delimiter: Text | None = Field(None, description="As asked for.")
    next_key_marker: Text | None = Field(None, description="Where the next page starts; only when truncated.")
    next_upload_id_marker: Text | None = Field(None, description="Likewise, within that key.")
    upload: tuple[UploadEntry, ...] | None = Field(None, description="By key, then by age.")
    common_prefixes: tuple[CommonPrefix, ...] | None = Field(None, description="Collapsed keys.")
