"""A place of one's own in a target: keys, names and URLs that no other case uses, and the requests made of them."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Sequence
from typing import Any, Final

import fastcrc
import pytest
from qcloud_cos import CosS3Client
from qcloud_cos.cos_exception import CosServiceError

from tests.conformance.targets import Target

_ENDED: Final = ("Success", "Failed", "Cancel")


class Space:
    """A prefix in a bucket."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.bucket = target.bucket
        self.name = f"c{uuid.uuid4().hex[:12]}"

    def key(self, name: str) -> str:
        """A key under the prefix."""
        return f"{self.name}/{name}"

    def url(self, name: str) -> str:
        """What a job calls an object."""
        return f"https://{self.target.objects}/{self.key(name)}"

    def operation(self, *names: str, to: str = "out.mp4", **rest: Any) -> dict[str, Any]:
        """Place sources side by side on a canvas of 256×128, as the SDK takes it; ``None`` leaves a node out."""
        splice = [
            {"Url": self.url(name), "X": str(128 * place), "Width": "128", "Height": "128"}
            for place, name in enumerate(names)
        ]
        nodes = {
            "VideoSynthesis": {"KeepAudioTrack": "false", "SpliceInfo": splice},
            "Transcode": transcode(),
            "Output": {"Region": self.target.region, "Bucket": self.bucket, "Object": self.key(to)},
            **rest,
        }
        return {name: node for name, node in nodes.items() if node is not None}

    def request(self, *operations: dict[str, Any], **rest: str) -> dict[str, Any]:
        """A submission."""
        return {"Tag": "VideoSynthesis", "Operation": list(operations), **rest}

    def submit(self, client: CosS3Client, *operations: dict[str, Any], **rest: str) -> list[dict[str, Any]]:
        """Submit, and return what was accepted."""
        reply = client.ci_create_media_jobs(
            self.bucket, Jobs=self.request(*operations, **rest), Lst={}, ContentType="application/xml"
        )
        jobs: list[dict[str, Any]] = reply["JobsDetail"]
        return jobs

    def content(self, client: CosS3Client, name: str, **conditions: str) -> bytes:
        """The content of an object."""
        reply = client.get_object(self.bucket, self.key(name), **conditions)
        content: bytes = reply["Body"].get_raw_stream().read()
        return content

    def job(self, client: CosS3Client, job: str) -> dict[str, Any]:
        """One job as it is now."""
        (found,) = client.ci_get_media_jobs(self.bucket, job)["JobsDetail"]
        return dict(found)

    def until(self, client: CosS3Client, job: str, states: Sequence[str] = _ENDED) -> dict[str, Any]:
        """Ask for a job until it is in one of some states, by default until its end."""
        end = time.monotonic() + (60 if self.target.local else 600)
        while (found := self.job(client, job))["State"] not in states:
            assert time.monotonic() < end, f"{job} is {found['State']} still"
            time.sleep(0.05 if self.target.local else 2)
        return found


def transcode(**video: str) -> dict[str, Any]:
    """A transcode node for the canvas; ``None`` leaves a node out."""
    nodes = {"Codec": "H.264", "Width": "256", "Height": "128", "Preset": "veryfast", **video}
    return {"Container": {"Format": "mp4"}, "Video": nodes}


def etag(content: bytes) -> str:
    """The ETag of an object that was put."""
    return f'"{hashlib.md5(content).hexdigest()}"'


def crc(content: bytes) -> str:
    """What the service says of a content besides."""
    return str(fastcrc.crc64.xz(content))


def refusal(refused: pytest.ExceptionInfo[CosServiceError]) -> tuple[int, str]:
    """Status and code of an error, all of whose parts must be there."""
    error = refused.value
    digest = error.get_digest_msg()
    assert isinstance(digest, dict), digest
    assert all(digest[part] for part in ("code", "message", "resource", "requestid", "traceid")), digest
    return error.get_status_code(), error.get_error_code()
