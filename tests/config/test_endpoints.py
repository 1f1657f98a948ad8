"""Endpoints as settings: URLs, Host headers, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backendai_trio.config.endpoints import parse_endpoint
from backendai_trio.config.parsing import check_setting
from backendai_trio.config.settings import Endpoint
from backendai_trio.errors import ConfigError

from .variables import PASSWORD, config_of, environ, quick, refused


@pytest.mark.parametrize(
    ("text", "endpoint", "host_header", "url"),
    [
        ("http://h", Endpoint("http", "h", 80, ""), "h", "http://h"),
        ("https://h", Endpoint("https", "h", 443, ""), "h", "https://h"),
        ("http://h:80/", Endpoint("http", "h", 80, ""), "h", "http://h"),
        ("https://h:443", Endpoint("https", "h", 443, ""), "h", "https://h"),
        ("https://h:80", Endpoint("https", "h", 80, ""), "h:80", "https://h:80"),
        ("http://h:443", Endpoint("http", "h", 443, ""), "h:443", "http://h:443"),
        (
            "http://127.0.0.1:8081",
            Endpoint("http", "127.0.0.1", 8081, ""),
            "127.0.0.1:8081",
            "http://127.0.0.1:8081",
        ),
        ("http://[::1]", Endpoint("http", "::1", 80, ""), "[::1]", "http://[::1]"),
        (
            "https://[2001:DB8::1]:8443/x/",
            Endpoint("https", "2001:db8::1", 8443, "/x"),
            "[2001:db8::1]:8443",
            "https://[2001:db8::1]:8443/x",
        ),
        (
            "HTTPS://Manager.Example.COM",
            Endpoint("https", "manager.example.com", 443, ""),
            "manager.example.com",
            "https://manager.example.com",
        ),
        (
            "https://münchen.example",
            Endpoint("https", "xn--mnchen-3ya.example", 443, ""),
            "xn--mnchen-3ya.example",
            "https://xn--mnchen-3ya.example",
        ),
        (
            "  https://h/backend/api//\n",
            Endpoint("https", "h", 443, "/backend/api"),
            "h",
            "https://h/backend/api",
        ),
        ("https://h:/", Endpoint("https", "h", 443, ""), "h", "https://h"),
    ],
)
def test_endpoint(text: str, endpoint: Endpoint, host_header: str, url: str) -> None:
    found = parse_endpoint(text)
    assert found == endpoint
    assert found.host_header == host_header
    assert found.url == url
    assert parse_endpoint(found.url) == found


@pytest.mark.parametrize("path", ["/a b", "/ü", "/\x00", "/\udcff", "/a\x7f"])
def test_base_path_must_fit_a_request_line(path: str) -> None:
    """The base path goes on the request line and under the signature as it is."""
    try:
        endpoint = parse_endpoint(f"https://h{path}")
    except ConfigError:
        return
    assert endpoint.base_path.isascii()
    assert endpoint.base_path.isprintable()
    assert " " not in endpoint.base_path


@pytest.mark.parametrize("host", ["a\x00b", "a\x7fb", "a%20b", 'a"b', "a<b", "a\\b"])
def test_host_must_fit_a_header(host: str) -> None:
    """What is not a host name is said to be none, before anything tries to look it up."""
    with pytest.raises(ConfigError):
        parse_endpoint(f"https://{host}.example.com")


@pytest.mark.parametrize(
    "host",
    [
        "a..b",
        ".a",
        ".",
        "a..",
        "ü..b",
        "1.2.3..",
        "a" * 64,
        f"b.{'a' * 64}.c",
        ".".join(["a" * 60] * 5),
    ],
)
def test_host_name_that_dns_cannot_hold(host: str) -> None:
    """What looks it up, and what hands it to a proxy, would each fail in a way of its own."""
    with pytest.raises(ConfigError, match=r"the host name of .* is malformed"):
        parse_endpoint(f"https://{host}:443/path")


@pytest.mark.parametrize("host", ["a.", "a" * 63, ".".join(["a" * 49] * 5), "under_score.x"])
def test_host_name_that_dns_can_hold(host: str) -> None:
    assert parse_endpoint(f"https://{host}").host == host


def test_port_zero_is_no_port() -> None:
    with pytest.raises(ConfigError):
        parse_endpoint("http://127.0.0.1:0")


@pytest.mark.parametrize(
    "url",
    [
        "https://user:{}@host",
        "https://user:{}@host:8090/path",
        "https://{}@host",
        "https://:{}@host",
        "https://user:{}@",
        "https://user:{}@host:99999",
        "https://user:{}@host:port",
        "https://user:{}@[::1",
        "https://user:{}@ho st",
        "https://user:{}@host/?query",
        "https://user:{}/x@host",
        "https://user:{}?x@host",
        "https://user:{}#x@host",
        "https://user:{}@a@host",
        "ftp://user:{}@host",
        "user:{}@host",
        "//user:{}@host",
    ],
)
def test_user_name_and_password_are_refused_unseen(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_endpoint(url.format(PASSWORD), variable="SORNA_ENDPOINT")
    assert caught.value.variable == "SORNA_ENDPOINT"
    assert PASSWORD not in str(caught.value)
    assert PASSWORD not in repr(caught.value)


@given(st.text() | st.text().map("https://{}".format) | st.text().map("https://h{}".format))
@settings(deadline=None, max_examples=250)
@example("https://[::1%25eth0]")
@example("https://[v1.x]")
@example("https://[]")
def test_any_endpoint_parses_or_is_a_config_error(text: str) -> None:
    try:
        endpoint = parse_endpoint(text)
    except ConfigError as exc:
        assert exc.variable == "BACKEND_ENDPOINT"
        return
    assert endpoint.scheme in ("http", "https")
    assert endpoint.host
    assert endpoint.host.isascii()
    assert endpoint.host == endpoint.host.lower()
    assert 0 <= endpoint.port < 65536
    assert not endpoint.base_path.endswith("/")
    assert parse_endpoint(endpoint.url) == endpoint


_labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
_hosts = (
    st.lists(_labels, min_size=1, max_size=3).map(".".join)
    | st.ip_addresses(v=4).map(str)
    | st.ip_addresses(v=6).map(str)
)


@given(
    st.builds(
        Endpoint,
        st.sampled_from(["http", "https"]),
        _hosts,
        st.integers(1, 65535),
        st.lists(_labels, max_size=3).map(lambda parts: "".join(f"/{part}" for part in parts)),
    )
)
@quick
def test_endpoint_round_trip(endpoint: Endpoint) -> None:
    assert parse_endpoint(endpoint.url) == endpoint
    assert parse_endpoint(endpoint.url + "/") == endpoint


def test_several_endpoints() -> None:
    """Addresses of one server, as official clients take them."""
    text = "http://one.example:1, https://two.example/x,"
    config = config_of(environ(BACKEND_ENDPOINT=text))
    assert config.endpoint.url == "http://one.example:1"
    assert [endpoint.url for endpoint in config.other_endpoints] == ["https://two.example/x"]
    assert check_setting("endpoint", text) == text


@pytest.mark.parametrize("text", [",", "http://one.example:1,nothing", "http://a,http://b:x"])
def test_several_endpoints_that_are_none(text: str) -> None:
    assert refused(environ(BACKEND_ENDPOINT=text)).variable == "BACKEND_ENDPOINT"
    with pytest.raises(ConfigError):
        check_setting("endpoint", text)
