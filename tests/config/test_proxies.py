"""Which proxy the environment names for a server, and which servers NO_PROXY covers."""

from __future__ import annotations

import pytest

from backendai_trio.config.endpoints import parse_endpoint
from backendai_trio.config.proxies import Proxy, bypasses_proxy, find_proxy


@pytest.mark.parametrize(
    ("no_proxy", "url"),
    [
        ("*", "https://manager.example.com"),
        ("manager.example.com", "https://manager.example.com"),
        ("example.com", "https://manager.example.com"),
        (".example.com", "https://manager.example.com"),
        (".example.com", "https://example.com"),
        ("*.example.com", "https://manager.example.com"),
        ("Example.COM.", "https://manager.example.com"),
        ("example.com", "https://manager.example.com."),
        ("other.org, example.com", "https://manager.example.com"),
        ("other.org example.com", "https://manager.example.com"),
        ("manager.example.com:8090", "http://manager.example.com:8090"),
        ("manager.example.com:443", "https://manager.example.com"),
        ("localhost,127.0.0.1,::1", "http://[::1]:8081"),
        ("[::1]", "http://[::1]:8081"),
        ("[::1]:8081", "http://[::1]:8081"),
        ("0:0:0:0:0:0:0:1", "http://[::1]"),
        ("2001:DB8::/32", "https://[2001:db8:0:1::5]"),
        ("[2001:db8::]/32", "https://[2001:db8::5]"),
        ("fe80::/10", "http://[fe80::1%25eth0]"),
        ("127.0.0.1", "http://127.0.0.1:8081"),
        ("127.0.0.1:8081", "http://127.0.0.1:8081"),
        ("127.0.0.0/8", "http://127.0.0.1:8081"),
        ("10.1.2.3/8", "http://10.200.0.1"),
        ("192.168.0.0/16,10.0.0.0/8", "http://10.0.0.1"),
    ],
)
def test_covered(no_proxy: str, url: str) -> None:
    assert bypasses_proxy(no_proxy, parse_endpoint(url))


@pytest.mark.parametrize(
    ("no_proxy", "url"),
    [
        ("", "https://manager.example.com"),
        (" , ,", "https://manager.example.com"),
        (".", "https://manager.example.com"),
        ("*.", "https://manager.example.com"),
        ("ample.com", "https://manager.example.com"),
        ("manager.example.com", "https://example.com"),
        ("https://manager.example.com", "https://manager.example.com"),
        ("manager.example.com:8090", "https://manager.example.com"),
        ("0.0.1", "http://127.0.0.1"),
        ("10.0.0.0/8", "http://11.0.0.1"),
        ("10.0.0.0/33", "http://10.0.0.1"),
        ("10.0.0.0/8", "http://10.example.com"),
        ("::1", "http://[::2]"),
        ("[::1]:8081", "http://[::1]:8082"),
        ("::/0", "http://127.0.0.1"),
        ("0.0.0.0/0", "http://[::1]"),
        ("1", "http://[::1]"),
    ],
)
def test_not_covered(no_proxy: str, url: str) -> None:
    assert not bypasses_proxy(no_proxy, parse_endpoint(url))


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://p:1"}, Proxy("http://p:1", "HTTPS_PROXY")),
        ({"https_proxy": "http://p:1"}, Proxy("http://p:1", "https_proxy")),
        ({"https_proxy": "http://a", "HTTPS_PROXY": "http://b"}, Proxy("http://a", "https_proxy")),
        ({"https_proxy": "", "HTTPS_PROXY": "http://b"}, None),
        ({"HTTPS_PROXY": "p:1"}, Proxy("http://p:1", "HTTPS_PROXY")),
        ({"HTTP_PROXY": "http://p:1"}, None),
        ({"ALL_PROXY": "socks5://p:1"}, Proxy("socks5://p:1", "ALL_PROXY")),
        ({"HTTPS_PROXY": " ", "all_proxy": "http://p"}, Proxy("http://p", "all_proxy")),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "example.com"}, None),
        ({"HTTPS_PROXY": "http://p", "no_proxy": "example.com"}, None),
        (
            {"HTTPS_PROXY": "http://p", "no_proxy": "", "NO_PROXY": "example.com"},
            Proxy("http://p", "HTTPS_PROXY"),
        ),
    ],
)
def test_proxies_of_https(environ: dict[str, str], expected: Proxy | None) -> None:
    assert find_proxy(environ, parse_endpoint("https://manager.example.com")) == expected


def test_a_header_of_a_cgi_request_is_not_a_proxy() -> None:
    endpoint = parse_endpoint("http://manager.example.com")
    environ = {"HTTP_PROXY": "http://evil.example.com", "REQUEST_METHOD": "GET"}
    assert find_proxy(environ, endpoint) is None
    environ["http_proxy"] = "http://p"
    assert find_proxy(environ, endpoint) == Proxy("http://p", "http_proxy")
