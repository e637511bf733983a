from __future__ import annotations

import pytest

from reconciler.service.address import Address, parse

CASES = {
    "demo-1250000000.ci.ap-chongqing.myqcloud.com": Address("demo-1250000000", "ci", "ap-chongqing"),
    "demo-1250000000.cos.ap-chongqing.myqcloud.com:8787": Address("demo-1250000000", "cos", "ap-chongqing"),
    "Demo-1250000000.COS.ap-chongqing.tencentcos.cn": Address("demo-1250000000", "cos", "ap-chongqing"),
    "ci.ap-chongqing.myqcloud.com": Address(None, "ci", "ap-chongqing"),
    "cos.ap-chongqing.myqcloud.com": Address(None, "cos", "ap-chongqing"),
    "service.cos.myqcloud.com:8787": Address(None, "cos"),
    "demo-1250000000.localhost:8787": Address("demo-1250000000"),
    "demo-1250000000.ci.localhost:8787": Address("demo-1250000000", "ci"),
    "127.0.0.1:8787": Address(),
    "[::1]:8787": Address(),
    "localhost": Address(),
    "": Address(),
    "no-appid.cos.ap-chongqing.myqcloud.com": Address("no-appid", "cos", "ap-chongqing"),
    "two.labels.ci.ap-chongqing.tencentcos.cn:8787": Address("two.labels", "ci", "ap-chongqing"),
    "films.example.com": Address(),
}


@pytest.mark.parametrize("authority", CASES)
def test_host_names(authority: str) -> None:
    assert parse(authority) == CASES[authority]


def test_an_endless_host_name_is_read_at_once() -> None:
    assert parse("a-1" * 100_000) == Address()
