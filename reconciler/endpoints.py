"""Where the calls go: the hosts of a bucket, by region, by the vendor's other domains, or by one's own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

Half = Literal["objects", "jobs", "account"]
"""The halves of the API: the bucket's objects, its jobs (with queues and templates), and the calls of the job half
that belong to no bucket."""

OBJECTS: Final = "https://{bucket}.cos.{region}.myqcloud.com"
JOBS: Final = "https://{bucket}.ci.{region}.myqcloud.com"

_ADDRESS: Final = re.compile(r"https?://[^\s/?#@{}]+/*")
_PLACEHOLDER: Final = re.compile(r"\{(bucket|region)\}")
_OF_BUCKET: Final = "{bucket}."


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One half: ``url`` is what is connected to, ``host`` is what is sent and signed as the ``Host`` header."""

    url: str
    host: str


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The endpoint of each half.

    ``bucket_host`` is what names the bucket inside a message: its true host, whatever address its objects have.
    """

    objects: Endpoint
    jobs: Endpoint
    account: Endpoint
    bucket_host: str

    @classmethod
    def of(
        cls, bucket: str, region: str, origin: str | None = None, *, templates: Mapping[str, str] | None = None
    ) -> Endpoints:
        """Return the endpoints of a bucket; reference/cos-objects.md §1.

        ``templates`` may have addresses for ``objects`` and ``jobs`` in which {bucket} and {region} stand. With
        ``origin``, such as ``http://127.0.0.1:8787``, that one is connected to under the hosts' true names.
        """
        objects, jobs = ((templates or {}).get(half) or usual for half, usual in (("objects", OBJECTS), ("jobs", JOBS)))
        account = jobs.replace(_OF_BUCKET, "", 1) if _OF_BUCKET in jobs else JOBS.replace(_OF_BUCKET, "", 1)
        names = {"bucket": bucket, "region": region}
        return cls(
            objects=_endpoint(objects.format_map(names), origin),
            jobs=_endpoint(jobs.format_map(names), origin),
            account=_endpoint(account.format_map(names), origin),
            bucket_host=urlsplit(OBJECTS.format_map(names)).netloc,
        )

    def __getitem__(self, half: Half) -> Endpoint:
        endpoint: Endpoint = getattr(self, half)
        return endpoint


def _endpoint(url: str, origin: str | None) -> Endpoint:
    return Endpoint(origin or url, urlsplit(url).netloc.lower())


def is_address(text: str) -> bool:
    """Tell whether a text is an address with a host, perhaps a port, and nothing behind it."""
    try:
        parts = urlsplit(text)
        return bool(_ADDRESS.fullmatch(text) and parts.hostname and parts.port != 0)
    except ValueError:  # a port beyond 65535, a bracket that is not closed
        return False


def is_template(text: str) -> bool:
    """Tell whether a text is an address in which {bucket} and {region} may stand."""
    return is_address(_PLACEHOLDER.sub("a-1", text))
