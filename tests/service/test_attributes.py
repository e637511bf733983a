from __future__ import annotations

import pytest

from reconciler.service import attributes
from reconciler.service.index import Attributes
from reconciler.service.refused import RefusedError

KEPT = {
    "cache-control": "no-store",
    "content-disposition": 'attachment; filename="a.mp4"',
    "content-encoding": "gzip",
    "content-language": "zh",
    "expires": "Fri, 01 May 2026 02:00:00 GMT",
    "x-cos-meta-job-1": "j1",
    "x-cos-meta-title": "è¯¾",  # what is UTF-8 on the wire
}


def test_what_is_kept_is_told_in_the_spelling_of_the_documents() -> None:
    read = attributes.read({**KEPT, "content-type": " video/mp4 ", "x-other": "x", "host": "h"})
    assert read == Attributes("video/mp4", KEPT)
    assert attributes.told(read) == {
        "Cache-Control": "no-store",
        "Content-Disposition": 'attachment; filename="a.mp4"',
        "Content-Encoding": "gzip",
        "Content-Language": "zh",
        "Expires": "Fri, 01 May 2026 02:00:00 GMT",
        "x-cos-meta-job-1": "j1",
        "x-cos-meta-title": "è¯¾",
    }


def test_what_is_sent_without_a_value_says_nothing() -> None:
    read = attributes.read({"cache-control": "", "expires": " ", "content-type": "", "x-cos-meta-note": ""})
    assert read == Attributes(None, {"x-cos-meta-note": ""})


@pytest.mark.parametrize("name", sorted(attributes.STORAGE_CLASSES))
def test_every_storage_class_is_kept_and_the_usual_one_not_named(name: str) -> None:
    read = attributes.read({"x-cos-storage-class": name})
    assert read.storage_class == name
    assert read.headers == ({} if name == "STANDARD" else {"x-cos-storage-class": name})


@pytest.mark.parametrize(
    "headers",
    [
        {"x-cos-acl": "default"},
        {"x-cos-acl": "public-read"},
        {"x-cos-acl": ""},
        {"x-cos-storage-class": ""},
        {"x-cos-traffic-limit": "819200"},
        {"x-cos-traffic-limit": "838860800"},
        {"x-cos-tagging": ""},
        {"x-cos-tagging": "&".join(f"k{number}=v" for number in range(10))},
        {"x-cos-tagging": "a=&b=%E8%AF%BE"},
        {"content-type": ""},
    ],
)
def test_what_is_checked_and_not_kept(headers: dict[str, str]) -> None:
    assert attributes.read(headers) == Attributes()


REFUSED = [
    ({"x-cos-storage-class": "standard"}, "NotSupportedStorageClass", "x-cos-storage-class: `standard` is none of"),
    ({"x-cos-storage-class": "GLACIER"}, "NotSupportedStorageClass", "`GLACIER`"),
    ({"x-cos-acl": "public-read-write"}, "InvalidArgument", "x-cos-acl: `public-read-write`"),
    ({"x-cos-traffic-limit": "819199"}, "InvalidArgument", "x-cos-traffic-limit is a number from 819200 to 838860800"),
    ({"x-cos-traffic-limit": "838860801"}, "InvalidArgument", "x-cos-traffic-limit"),
    ({"x-cos-traffic-limit": "٣" * 7}, "InvalidArgument", "x-cos-traffic-limit"),
    ({"x-cos-tagging": "a"}, "InvalidTag", "x-cos-tagging is written"),
    ({"x-cos-tagging": "a=%ff"}, "InvalidTag", "x-cos-tagging is written"),
    ({"x-cos-tagging": "&".join(f"k{number}=v" for number in range(11))}, "InvalidTag", "11 tags are more than 10"),
    ({"x-cos-tagging": "a=1&a=2"}, "InvalidTag", "a key is there twice"),
    ({"x-cos-tagging": "=1"}, "InvalidTag", "1 to 128 characters"),
    ({"x-cos-tagging": "a" * 129 + "=1"}, "InvalidTag", "1 to 128 characters"),
    ({"x-cos-tagging": "a=" + "v" * 257}, "InvalidTag", "a value 256"),
    ({"pic-operations": "{}"}, "NotImplemented", "Pic-Operations"),
    ({"x-cos-meta-": "v"}, "InvalidArgument", "x-cos-meta-: such a name has letters, digits and `-`"),
    ({"x-cos-meta-a_b": "v"}, "InvalidArgument", "x-cos-meta-a_b"),
    ({"x-cos-meta-a": "v" * 2049}, "InvalidArgument", "x-cos-meta-a: 2049 bytes are more than 2048"),
    ({"x-cos-meta-a": "v" * 2048, "x-cos-meta-b": "v" * 2047}, "InvalidArgument", "4097 bytes of names and values"),
    ({"x-cos-meta-a": "v\r\nx-other: w"}, "InvalidArgument", "x-cos-meta-a: a header holds no control characters"),
    ({"cache-control": "a\x00"}, "InvalidArgument", "cache-control: a header holds no control"),
    ({"content-type": "a\nb"}, "InvalidArgument", "content-type: a header holds no control"),
    ({"x-cos-server-side-encryption": "AES256"}, "SSEHeaderNotAllowed", "does not encrypt"),
    ({"x-cos-server-side-encryption-customer-algorithm": "AES256"}, "SSEHeaderNotAllowed", "does not encrypt"),
]


@pytest.mark.parametrize(("headers", "code", "reason"), REFUSED)
def test_what_a_writer_may_not_say(headers: dict[str, str], code: str, reason: str) -> None:
    with pytest.raises(RefusedError) as caught:
        attributes.read(headers)
    assert caught.value.code == code
    assert reason in caught.value.message


def test_metadata_up_to_its_limits() -> None:
    headers = {"x-cos-meta-a": "v" * 2048, "x-cos-meta-b": "v" * 2046}
    assert attributes.read(headers).headers == headers


@pytest.mark.parametrize(
    ("text", "answer"), [("true", True), ("True", True), ("false", False), ("", False), (None, False)]
)
def test_forbidding_to_overwrite(text: str | None, answer: bool) -> None:
    assert attributes.forbids_overwrite({} if text is None else {"x-cos-forbid-overwrite": text}) == answer


def test_what_may_be_a_lock_is_not_misunderstood() -> None:
    with pytest.raises(RefusedError, match="InvalidArgument: x-cos-forbid-overwrite: `yes` is neither true nor false"):
        attributes.forbids_overwrite({"x-cos-forbid-overwrite": "yes"})


@pytest.mark.parametrize("name", sorted(attributes.STORAGE_CLASSES))
def test_archived_objects_cannot_be_read(name: str) -> None:
    kept = Attributes(None, {"x-cos-storage-class": name})
    if name not in ("ARCHIVE", "DEEP_ARCHIVE"):
        attributes.check_readable("a", kept)
        return
    with pytest.raises(RefusedError, match=f"InvalidObjectState: `a` is in storage class {name}, not restored"):
        attributes.check_readable("a", kept)
