"""The one call that concerns no bucket but the account: which buckets there are."""

from __future__ import annotations

from reconciler.api.account import BucketEntries, BucketEntry, ListAllMyBucketsResult
from reconciler.api.objects import Owner
from reconciler.service.bucket import Bucket, Buckets
from reconciler.service.dates import iso_date
from reconciler.service.http import Request, Response, xml_response
from reconciler.service.refused import RefusedError


class AccountCalls:
    """Calls on a host of the object half that names no bucket, such as ``service.cos.myqcloud.com``."""

    def __init__(self, buckets: Buckets, region: str) -> None:
        self._buckets = buckets
        self._region = region

    async def __call__(self, request: Request, default: Bucket) -> Response:
        """Answer one call; the account is the one that the default bucket's name ends in."""
        if request.raw_path != b"/":
            raise RefusedError("InvalidURI", f"the host `{request.authority}` names no bucket")
        if request.method != "GET":
            raise RefusedError("MethodNotAllowed", f"{request.method} is not a call of an account")
        entries = [
            BucketEntry(name=name, location=self._region, creation_date=iso_date(since))
            for name, since in self._buckets.listed()
        ]
        account = default.name.rpartition("-")[2]
        reply = ListAllMyBucketsResult(
            owner=Owner(id=account, display_name=account), buckets=BucketEntries(bucket=tuple(entries) or None)
        )
        return xml_response(reply, "ListAllMyBucketsResult")
