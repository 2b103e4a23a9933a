"""Addresses that programs take apart differently are refused; proxies are what the machine says."""

from __future__ import annotations

import base64

import pytest
import urllib3

from sysgraft.errors import TransferError
from sysgraft.transport.pools import Pools, split_address


@pytest.mark.parametrize(
    "url",
    [
        "https://user@host/x",
        "https://user:word@host/x",
        "https://good.example\\@evil.example/x",
        "https://host/a b",
        "https://host/\n",
        "https://hóst/",
        "host/x",
        "",
    ],
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(TransferError, match="not an address") as caught:
        split_address(url)
    assert "word" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["https://host/x?a=b&c=%20d#e", "http://[::1]:5000/v2/", "https://a.b:443", "https://a/@"],
)
def test_addresses(url: str) -> None:
    assert split_address(url).geturl() == url


def proxy_of(url: str) -> urllib3.ProxyManager | None:
    pool = Pools(()).for_url(url)
    return pool if isinstance(pool, urllib3.ProxyManager) else None


def test_a_proxy_with_a_login_and_one_without_a_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://me:p%40ss@proxy.example:3128")
    found = proxy_of("https://quay.io/v2/")
    assert found is not None
    shown = found.proxy_headers["proxy-authorization"].removeprefix("Basic ")
    assert base64.b64decode(shown) == b"me:p@ss"
    monkeypatch.setenv("https_proxy", "proxy.example:3128")
    found = proxy_of("https://quay.io/v2/")
    assert found is not None
    assert found.proxy is not None
    assert (found.proxy.scheme, found.proxy.port) == ("http", 3128)


def test_hosts_that_no_proxy_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "quay.io:8443,internal.example")
    assert proxy_of("https://quay.io:8443/v2/") is None
    assert proxy_of("https://internal.example/v2/") is None
    assert proxy_of("https://127.0.0.1:5000/v2/") is None
    assert proxy_of("https://quay.io/v2/") is not None
