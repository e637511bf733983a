"""Which host is connected to and which one is signed, by region, by the vendor's other domains, or by one's own."""

from __future__ import annotations

import pytest

from reconciler.endpoints import Endpoint, Endpoints, is_address, is_template

BUCKET, REGION = "clips-1250000000", "ap-chongqing"


def test_by_default_the_hosts_are_those_of_the_region() -> None:
    found = Endpoints.of(BUCKET, REGION)
    hosts = {half: found[half].host for half in ("objects", "jobs", "account")}
    assert hosts == {
        "objects": "clips-1250000000.cos.ap-chongqing.myqcloud.com",
        "jobs": "clips-1250000000.ci.ap-chongqing.myqcloud.com",
        "account": "ci.ap-chongqing.myqcloud.com",
    }
    assert found.objects.url == "https://clips-1250000000.cos.ap-chongqing.myqcloud.com"


def test_with_an_origin_it_is_connected_to_under_the_true_hosts() -> None:
    found = Endpoints.of(BUCKET, REGION, "http://127.0.0.1:8787")
    assert found.jobs == Endpoint("http://127.0.0.1:8787", "clips-1250000000.ci.ap-chongqing.myqcloud.com")
    assert found.account == Endpoint("http://127.0.0.1:8787", "ci.ap-chongqing.myqcloud.com")


@pytest.mark.parametrize(
    ("half", "template", "url", "host"),
    [
        (
            "objects",
            "https://{bucket}.cos-internal.{region}.tencentcos.cn",
            "https://clips-1250000000.cos-internal.ap-chongqing.tencentcos.cn",
            "clips-1250000000.cos-internal.ap-chongqing.tencentcos.cn",
        ),
        (
            "objects",
            "https://{bucket}.cos.accelerate.myqcloud.com",
            "https://clips-1250000000.cos.accelerate.myqcloud.com",
            "clips-1250000000.cos.accelerate.myqcloud.com",
        ),
        ("objects", "https://Media.Example.com", "https://Media.Example.com", "media.example.com"),
        ("jobs", "http://ci.test:8443", "http://ci.test:8443", "ci.test:8443"),
    ],
)
def test_another_domain_is_connected_to_and_signed(half: str, template: str, url: str, host: str) -> None:
    found = Endpoints.of(BUCKET, REGION, templates={half: template})
    assert (found.objects if half == "objects" else found.jobs) == Endpoint(url, host)


@pytest.mark.parametrize("objects", ["https://media.example.com", "https://{bucket}.cos.accelerate.myqcloud.com"])
def test_inside_a_message_the_bucket_has_its_true_host(objects: str) -> None:
    assert Endpoints.of(BUCKET, REGION).bucket_host == "clips-1250000000.cos.ap-chongqing.myqcloud.com"
    found = Endpoints.of(BUCKET, REGION, templates={"objects": objects})
    assert found.bucket_host == "clips-1250000000.cos.ap-chongqing.myqcloud.com"


@pytest.mark.parametrize(
    ("jobs", "account"),
    [
        ("https://{bucket}.ci.{region}.tencentcos.cn", "ci.ap-chongqing.tencentcos.cn"),
        ("https://jobs.example.com", "ci.ap-chongqing.myqcloud.com"),
    ],
)
def test_calls_that_belong_to_no_bucket_go_to_the_host_without_it(jobs: str, account: str) -> None:
    assert Endpoints.of(BUCKET, REGION, templates={"jobs": jobs}).account.host == account


@pytest.mark.parametrize(
    ("text", "address", "template"),
    [
        ("https://a.example", True, True),
        ("http://127.0.0.1:8787/", True, True),
        ("http://[::1]:8787", True, True),
        ("https://{bucket}.cos.{region}.myqcloud.com", False, True),
        ("https://{name}.example", False, False),
        ("https://{bucket.__class__}.example", False, False),
        ("https://{bucket", False, False),
        ("https://a.example/path", False, False),
        ("https://user@a.example", False, False),
        ("https://a.example:70000", False, False),
        ("https://a.example:0", False, False),
        ("http://[::1", False, False),
        ("ftp://a.example", False, False),
        ("a.example", False, False),
        ("https://", False, False),
        ("https://a b", False, False),
    ],
)
def test_what_is_an_address(text: str, *, address: bool, template: bool) -> None:
    assert (is_address(text), is_template(text)) == (address, template)
