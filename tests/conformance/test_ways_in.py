"""The ways in which the official Python SDK is pointed at a server of one's own: all calls work in each of them, signed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import urllib3
from qcloud_cos import CosS3Client
from qcloud_cos.cos_exception import CosServiceError
from requests.adapters import BaseAdapter, HTTPAdapter

from tests.conformance.space import Space, refusal
from tests.conformance.targets import Target
from tests.conformance.test_templates import canvas

UNKNOWN = "j" + "0" * 32


class Resolving(HTTPAdapter):
    """Connect to one address whatever the host's name is, as an entry in the hosts file does."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: bool | str | None,
        proxies: Mapping[str, str] | None = None,
        cert: Any = None,
    ) -> urllib3.HTTPConnectionPool:
        assert request.url is not None
        request.headers.setdefault("Host", urlsplit(request.url).netloc)
        return self.poolmanager.connection_from_url(f"http://{self._address}")


@dataclass(frozen=True)
class Way:
    """Settings of the SDK for an address; ``named`` tells whether the bucket is seen from outside."""

    settings: Callable[[str], dict[str, Any]]
    resolved: bool = False
    named: bool = True


WAYS = {
    "proxy": Way(lambda address: {"Proxies": {"http": f"http://{address}"}}),
    "true names": Way(lambda _: {"Proxies": {}}, resolved=True),
    "ip and port": Way(
        lambda address: {"Proxies": {}, "IP": address.split(":")[0], "Port": int(address.split(":")[1])}
    ),
    "domain": Way(lambda address: {"Proxies": {}, "Domain": address}, named=False),
    "endpoints": Way(
        lambda address: {
            "Proxies": {},
            "Endpoint": f"localhost:{address.split(':')[1]}",
            "EndpointCi": f"ci.localhost:{address.split(':')[1]}",
        },
        resolved=True,
    ),
    "one endpoint": Way(
        lambda address: {
            "Proxies": {},
            "Endpoint": f"localhost:{address.split(':')[1]}",
            "EndpointCi": f"localhost:{address.split(':')[1]}",
        },
        resolved=True,
    ),
    "newer names": Way(lambda _: {"Proxies": {}, "EnableOldDomain": False}, resolved=True),
}


def adapter(target: Target, way: Way) -> BaseAdapter:
    return Resolving(target.address) if way.resolved and target.origin else target.adapter()


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    return WAYS[request.param]


@pytest.fixture
def client(local: Target, way: Way) -> Iterator[CosS3Client]:
    with local.python(adapter(local, way), **way.settings(local.address)) as client:
        yield client


def test_objects(client: CosS3Client, local: Target) -> None:
    space = Space(local)
    for name in ("演 a+b.txt", "jobs/a.mp4", "queue.mp4"):
        key = space.key(name)
        client.put_object(space.bucket, b"content", key, EnableMD5=True)
        assert client.get_object(space.bucket, key)["Body"].get_raw_stream().read() == b"content"
    found = client.list_objects(space.bucket, Prefix=space.key(""), Delimiter="/")
    assert [entry["Prefix"] for entry in found["CommonPrefixes"]] == [space.key("jobs/")]
    source = {"Bucket": space.bucket, "Key": space.key("queue.mp4"), "Region": local.region}
    client.copy_object(space.bucket, space.key("copy"), source)
    upload = client.create_multipart_upload(space.bucket, space.key("parts"))["UploadId"]
    part = client.upload_part(space.bucket, space.key("parts"), b"content", 1, upload)
    client.complete_multipart_upload(
        space.bucket, space.key("parts"), upload, {"Part": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    )
    client.delete_objects(space.bucket, {"Object": [{"Key": space.key("copy")}, {"Key": space.key("parts")}]})
    with pytest.raises(CosServiceError) as refused:
        client.get_object(space.bucket, space.key("copy"))
    assert refusal(refused) == (404, "NoSuchKey")


def test_keys_that_look_like_calls_are_objects(client: CosS3Client, local: Target) -> None:
    for key in ("jobs/a.mp4", "queue/a.mp4", "template/a.mp4", "mediabucket/a"):
        client.put_object(local.bucket, key.encode(), key)
        assert client.get_object(local.bucket, key)["Body"].get_raw_stream().read() == key.encode()
        client.delete_object(local.bucket, key)


def test_jobs(client: CosS3Client, local: Target) -> None:
    space = Space(local)
    (made,) = space.submit(client, space.operation("none.mp4"))
    job = made["JobId"]
    assert space.until(client, job)["State"] == "Failed"
    assert job in str(client.ci_list_media_jobs(space.bucket, "VideoSynthesis", Size=100))
    assert client.ci_get_media_jobs(space.bucket, f"{job},{UNKNOWN}")["NonExistJobIds"] == UNKNOWN
    with pytest.raises(CosServiceError) as refused:
        client.ci_cancel_jobs(space.bucket, UNKNOWN)
    assert refusal(refused) == (404, "NoSuchJob")


def test_queues_templates_and_media_buckets(client: CosS3Client, local: Target) -> None:
    space = Space(local)
    (queue,) = client.ci_get_media_queue(space.bucket)["QueueList"]
    asked = {"Name": "render", "QueueID": queue["QueueId"], "State": "Active", "NotifyConfig": {"State": "Off"}}
    assert client.ci_update_media_queue(space.bucket, queue["QueueId"], asked)["Queue"][0]["Name"] == "render"
    template = client.ci_create_template(space.bucket, canvas(space))["Template"]["TemplateId"]
    assert client.ci_update_template(space.bucket, template, canvas(space, Width="512"))["Template"]
    assert len(client.ci_get_template(space.bucket, Ids=template)["TemplateList"]) == 1
    assert client.ci_delete_template(space.bucket, template)["TemplateId"] == template
    assert client.ci_get_media_bucket(BucketNames=space.bucket)["TotalCount"] == "1"


def test_presigned_addresses(client: CosS3Client, local: Target, way: Way) -> None:
    space = Space(local)
    key = space.key("演 a.txt")
    with requests.Session() as stranger:
        stranger.trust_env = False
        stranger.mount("http://", adapter(local, way))
        proxies = way.settings(local.address)["Proxies"]
        put = client.get_presigned_url(space.bucket, key, "PUT")
        assert stranger.put(put, data=b"content", proxies=proxies).status_code == 200
        reply = stranger.get(client.get_presigned_download_url(space.bucket, key), proxies=proxies)
        assert (reply.status_code, reply.content) == (200, b"content")


@pytest.mark.parametrize(
    ("known", "code"),
    [
        ({"SecretKey": "WrongKey"}, "SignatureDoesNotMatch"),
        ({"SecretId": "AKIDSTRANGER"}, "InvalidAccessKeyId"),
        ({"Anonymous": True}, "AccessDenied"),
    ],
)
def test_strangers_stay_out(local: Target, way: Way, known: dict[str, Any], code: str) -> None:
    with local.python(adapter(local, way), **way.settings(local.address), **known) as client:
        for call in (client.list_objects, client.ci_get_media_queue, client.ci_get_template):
            with pytest.raises(CosServiceError) as refused:
                call(local.bucket)
            assert refusal(refused) == (403, code)


@pytest.mark.parametrize("way", [name for name, way in WAYS.items() if way.named], indirect=True)
def test_another_bucket_is_another_bucket(client: CosS3Client) -> None:
    for call in (client.list_objects, client.ci_get_media_queue):
        with pytest.raises(CosServiceError) as refused:
            call("another-1250000000")
        assert refusal(refused) == (404, "NoSuchBucket")


def test_another_region_is_another_service(local: Target) -> None:
    with local.python(Region="ap-beijing") as client, pytest.raises(CosServiceError) as refused:
        client.list_objects(local.bucket)
    assert refusal(refused) == (404, "NoSuchBucket")
