"""Options of services, starting and ending them, and what leads to their addresses."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendai_trio.errors import LocalProtocolError, RemoteProtocolError
from backendai_trio.wire.apps import AppInfo, connection_query
from backendai_trio.wire.services import (
    ServiceAddress,
    ServiceOptions,
    StartService,
    check_service_options,
    decode_shutdown,
    shutdown_arguments,
)
from backendai_trio.wire.ssh import decode_private_key, is_identification

arguments = st.dictionaries(
    st.text(), st.none() | st.text() | st.lists(st.text()).map(tuple), max_size=3
)
options = st.builds(
    ServiceOptions,
    arguments,
    st.dictionaries(st.text(), st.text(), max_size=3),
    st.just(0) | st.integers(1024, 65535),
)


@given(st.text(), options)
def test_round_trips(app: str, chosen: ServiceOptions) -> None:
    query = dict(connection_query(app, half_close=True, options=chosen.as_texts()))
    assert query["app"] == app
    assert ServiceOptions.decode(query) == chosen
    assert StartService.decode(StartService(app, chosen).encode()) == StartService(app, chosen)


def test_what_is_not_said_is_not_sent() -> None:
    """Early managers know no such parameters, and newer ones refuse those they do not know."""
    assert ServiceOptions().as_texts() == {}
    assert StartService("x").encode() == b'{"app":"x"}'


def test_as_official_clients_send_it() -> None:
    body = (
        b'{"app":"jupyter","port":8080,"envs":"{\\"PASSWORD\\": \\"12345\\"}",'
        b'"arguments":"{\\"-P\\": \\"12345\\", \\"-v\\": null, \\"-x\\": [\\"1\\", \\"2\\"]}"}'
    )
    chosen = ServiceOptions(
        {"-P": "12345", "-v": None, "-x": ("1", "2")}, {"PASSWORD": "12345"}, 8080
    )
    assert StartService.decode(body) == StartService("jupyter", chosen)
    assert StartService.decode(b'{"service":"x","envs":null}') == StartService("x")


def test_variables_are_not_shown() -> None:
    assert "hunter2" not in repr(ServiceOptions(envs={"PASSWORD": "hunter2"}))
    assert "hunter2" not in repr(ServiceAddress("http://proxy", "hunter2"))


@pytest.mark.parametrize(
    "values",
    [
        {"envs": "["},
        {"envs": "[]"},
        {"envs": '{"A":[]}'},
        {"arguments": '{"--x":1}'},
        {"arguments": '{"--x":[1]}'},
        {"arguments": 1},
        {"port": "x"},
        {"port": "80"},
        {"port": 70_000},
        {"port": []},
    ],
)
def test_malformed_options(values: dict[str, object]) -> None:
    with pytest.raises(RemoteProtocolError):
        ServiceOptions.decode(values)


def test_port_out_of_range() -> None:
    with pytest.raises(LocalProtocolError, match="1024"):
        ServiceOptions(port=80)


def test_options_that_a_service_does_not_take() -> None:
    info = AppInfo("jupyter", "http", (8080, 8081), "", ("--theme",), ("PASSWORD",))
    check_service_options(info, ServiceOptions({"--theme": "dark"}, {"PASSWORD": "x"}, 8081))
    for wrong, reason in (
        (ServiceOptions({"--user": None}), "no argument '--user'; it takes: --theme"),
        (ServiceOptions(envs={"HOME": "/"}), "no environment variable 'HOME'; it takes: PASSWORD"),
        (ServiceOptions(port=8082), "no port 8082; it has: 8080, 8081"),
    ):
        with pytest.raises(LocalProtocolError, match=reason):
            check_service_options(info, wrong)
    with pytest.raises(LocalProtocolError, match="takes: none"):
        check_service_options(AppInfo("sshd"), ServiceOptions({"-v": None}))


@given(st.text(), st.sampled_from(["http://proxy:5050", "https://apps.example.com/base"]))
def test_address(token: str, proxy: str) -> None:
    address = ServiceAddress(proxy, token)
    assert ServiceAddress.decode(address.encode()) == address


def test_url() -> None:
    address = ServiceAddress.decode(b'{"token":"t/1","wsproxy_addr":"https://apps.example.com/"}')
    parts = urlsplit(address.url("id-1", AppInfo("jupyter", "http")))
    assert (parts.netloc, parts.path) == ("apps.example.com", "/v2/proxy/auth")
    query = {"app": "jupyter", "protocol": "http", "token": "t/1", "session_id": "id-1"}
    assert dict(parse_qsl(parts.query)) == query
    public = urlsplit(address.url("id-1", AppInfo("jupyter", "http"), public=True))
    assert dict(parse_qsl(public.query)) == query | {"open_to_public": "true"}


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"token":"x"}', b'{"token":"x","wsproxy_addr":"javascript:alert(1)"}']
)
def test_malformed_address(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        ServiceAddress.decode(body)


def test_shutdown() -> None:
    assert decode_shutdown(shutdown_arguments("jupyter")) == "jupyter"
    with pytest.raises(RemoteProtocolError):
        decode_shutdown({})


def test_keys() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"
    for text in (key, key + "\n", "\n" + key.replace("RSA", "OPENSSH") + "\n\n"):
        assert decode_private_key(text.encode()) == text.strip() + "\n"
    for wrong in (b"", b"\xff", b"ssh-rsa AAAA", b"-----BEGIN CERTIFICATE-----", b"x" * 100_000):
        with pytest.raises(RemoteProtocolError, match="id_container"):
            decode_private_key(wrong)


def test_identification() -> None:
    assert is_identification(b"SSH-2.0-dropbear\r\n")
    assert not is_identification(b"HTTP/1.1 400\r\n") and not is_identification(b"")
