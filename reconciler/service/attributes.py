"""The headers that describe an object: what a writer may say, what is kept of it, and how it is told again.

Source: reference/cos-objects.md §3. Values only. Access lists, tags and traffic limits are checked and not kept: here
is one owner, and no limit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from reconciler.service.index import STANDARD, STORAGE_CLASS, Attributes
from reconciler.service.refused import RefusedError

KEPT: Final[Mapping[str, str]] = {
    name.lower(): name
    for name in ("Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Expires")
}
"""Headers that are given back as they came; SDKs look for them in the documents' spelling."""

ARCHIVED: Final = frozenset({"ARCHIVE", "DEEP_ARCHIVE"})
"""Storage classes whose objects can be read only when they are restored, which this service does not do."""

STORAGE_CLASSES: Final = ARCHIVED | {
    *(STANDARD, "STANDARD_IA", "INTELLIGENT_TIERING"),
    *("MAZ_STANDARD", "MAZ_STANDARD_IA", "MAZ_INTELLIGENT_TIERING"),
}

META: Final = "x-cos-meta-"
META_LIMIT: Final = 2 * 1024
META_SUM: Final = 4 * 1024
MAX_TAGS: Final = 10
TRAFFIC_LIMIT: Final = range(819_200, 838_860_800 + 1)
"""Bits a second."""

_ACLS: Final = ("default", "private", "public-read")
_ENCRYPTION: Final = "x-cos-server-side-encryption"
_META_NAME: Final = re.compile("[a-z0-9-]+")
_CONTROL: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
_TAG_KEY: Final = 128
_TAG_VALUE: Final = 256


def read(headers: Mapping[str, str]) -> Attributes:
    """Return what a request says of a new object. Raises RefusedError for what it may not say."""
    _check_unkept(headers)
    said = {name: value.strip() for name, value in headers.items() if name in KEPT or name.startswith(META)}
    kept = {name: value for name, value in said.items() if value or name not in KEPT}  # an SDK sends empty ones
    content_type = headers.get("content-type", "").strip()
    for name, value in {**kept, "content-type": content_type}.items():
        if _CONTROL.search(value):
            raise RefusedError("InvalidArgument", f"{name}: a header holds no control characters")
    _check_metadata({name.removeprefix(META): value for name, value in kept.items() if name.startswith(META)})
    storage_class = headers.get(STORAGE_CLASS) or STANDARD
    if storage_class not in STORAGE_CLASSES:
        known = ", ".join(sorted(STORAGE_CLASSES))
        raise RefusedError("NotSupportedStorageClass", f"{STORAGE_CLASS}: `{storage_class}` is none of {known}")
    if storage_class != STANDARD:
        kept[STORAGE_CLASS] = storage_class
    return Attributes(content_type or None, kept)


def told(attributes: Attributes) -> dict[str, str]:
    """Return the headers that tell an object's attributes, without its Content-Type."""
    return {KEPT.get(name, name): value for name, value in attributes.headers.items()}


def forbids_overwrite(headers: Mapping[str, str]) -> bool:
    """Tell whether an object that is there must stay. Nothing but true and false is understood: it may be a lock."""
    text = headers.get("x-cos-forbid-overwrite") or "false"
    if text.lower() not in ("true", "false"):
        raise RefusedError("InvalidArgument", f"x-cos-forbid-overwrite: `{text}` is neither true nor false")
    return text.lower() == "true"


def check_traffic_limit(text: str) -> None:
    """Raise RefusedError when a traffic limit, which is then not kept to, cannot be one."""
    if not (text.isascii() and text.isdigit() and len(text) < 12 and int(text) in TRAFFIC_LIMIT):
        first, last = TRAFFIC_LIMIT[0], TRAFFIC_LIMIT[-1]
        raise RefusedError("InvalidArgument", f"x-cos-traffic-limit is a number from {first} to {last} (bit/s)")


def check_readable(key: str, attributes: Attributes) -> None:
    """Raise RefusedError InvalidObjectState for an object that would have to be restored first."""
    if attributes.storage_class in ARCHIVED:
        raise RefusedError(
            "InvalidObjectState", f"`{key}` is in storage class {attributes.storage_class}, not restored"
        )


def _check_unkept(headers: Mapping[str, str]) -> None:
    acl = headers.get("x-cos-acl")
    if acl and acl not in _ACLS:
        raise RefusedError("InvalidArgument", f"x-cos-acl: `{acl}` is none of {', '.join(_ACLS)}")
    if any(name.startswith(_ENCRYPTION) for name in headers):
        raise RefusedError("SSEHeaderNotAllowed", f"{_ENCRYPTION}: this service does not encrypt what it stores")
    if "pic-operations" in headers:
        raise RefusedError("NotImplemented", "Pic-Operations: pictures are not processed here")
    if limit := headers.get("x-cos-traffic-limit"):
        check_traffic_limit(limit)
    _check_tags(headers.get("x-cos-tagging", ""))


def _check_metadata(metadata: Mapping[str, str]) -> None:
    for name, value in metadata.items():
        if not _META_NAME.fullmatch(name):
            raise RefusedError("InvalidArgument", f"{META}{name}: such a name has letters, digits and `-`")
        if len(value) > META_LIMIT:
            raise RefusedError("InvalidArgument", f"{META}{name}: {len(value)} bytes are more than {META_LIMIT}")
    size = sum(len(name) + len(value) for name, value in metadata.items())
    if size > META_SUM:
        raise RefusedError("InvalidArgument", f"{META}…: {size} bytes of names and values are more than {META_SUM}")


def _check_tags(text: str) -> None:
    if not text:
        return
    try:
        tags = parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError:
        raise RefusedError("InvalidTag", "x-cos-tagging is written `key=value&key=value`") from None
    if len(tags) > MAX_TAGS:
        raise RefusedError("InvalidTag", f"x-cos-tagging: {len(tags)} tags are more than {MAX_TAGS}")
    if len(dict(tags)) < len(tags):
        raise RefusedError("InvalidTag", "x-cos-tagging: a key is there twice")
    if any(not key or len(key) > _TAG_KEY or len(value) > _TAG_VALUE for key, value in tags):
        raise RefusedError("InvalidTag", f"x-cos-tagging: a key has 1 to {_TAG_KEY} characters, a value {_TAG_VALUE}")
