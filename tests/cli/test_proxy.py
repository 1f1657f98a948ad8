"""`backend.ai proxy`, `app` and `apps` as a person uses them."""

from __future__ import annotations

import json
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping

import pytest

from .commands import SECRET_KEY, Commands
from .terminal import Running

SERVER = """
import http.server, threading
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1])
"""


def address_of(proxy: Running) -> str:
    proxy.expect("requests to ", on="stderr")
    return proxy.expect(" for ", on="stderr")


def get(url: str, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.read()


def test_proxy_of_a_server(commands: Commands, served: Mapping[str, str]) -> None:
    with commands.start("proxy", "--bind", "127.0.0.1", "--port", "0", env=served) as proxy:
        url = address_of(proxy)
        status, body = get(f"{url}/auth/test?x=1")
        assert (status, json.loads(body)) == (200, {"authorized": "yes"})
        assert get(f"{url}/session/none")[0] == 404
        assert get(f"{url}/", Host="evil.example")[0] == 403
        assert get(f"{url}/graphiql")[0] in (200, 503)
        proxy.signal(signal.SIGINT)
        assert proxy.wait() == 0
    assert SECRET_KEY not in proxy.text("stderr") and proxy.written["stdout"] == b""


def test_proxy_with_a_gateway_of_its_own(commands: Commands) -> None:
    with commands.start("proxy", "-p", "0", "--allow-origin", "http://x.example") as proxy:
        url = address_of(proxy)
        assert get(f"{url}/auth", Origin="http://x.example")[0] == 200
        assert get(f"{url}/auth", Origin="http://y.example")[0] == 403
        proxy.signal(signal.SIGTERM)
        assert proxy.wait() == 128 + signal.SIGTERM


def test_proxy_on_a_taken_port(commands: Commands, served: Mapping[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = commands.run("proxy", "--bind", "127.0.0.1", "-p", port, env=served)
    assert f"cannot listen on 127.0.0.1 port {port}" in result.problem(125)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--allow-origin", "localhost:3000"), "'localhost:3000' is not an origin"),
        (("--bind", "no-such-host.invalid"), "no address of this machine"),
        (("--port", "99999"), "65535"),
    ],
)
def test_proxy_with_wrong_options(
    commands: Commands, served: Mapping[str, str], options: tuple[str, str], told: str
) -> None:
    assert told in commands.run("proxy", *options, env=served).problem(125)


def test_app(commands: Commands, served: Mapping[str, str]) -> None:
    made = commands.run("run", "-q", "python", "-t", "lab1", "-c", SERVER, env=served)
    port = made.text.strip()
    assert port.isdecimal(), made
    listed = json.loads(commands.run("apps", "lab1", "--json", env=served).text)
    takes_nothing: dict[str, list[str]] = {"arguments": [], "envs": []}
    assert listed == [{"name": port, "protocol": "tcp", "ports": [int(port)], **takes_nothing}]
    assert commands.run("apps", "lab1", env=served).text == f"{port}  tcp  {port}\n"
    with commands.start("app", "lab1", port, "--bind", "127.0.0.1:0", env=served) as app:
        app.expect("tcp://")
        address = app.expect("\n")
        status, body = get(f"http://{address}/")
        assert status == 200 and b"Directory listing" in body
        assert get(f"http://{address}/none")[0] == 404
        app.signal(signal.SIGINT)
        assert app.wait() == 128 + signal.SIGINT


def test_app_that_is_not_there(commands: Commands, served: Mapping[str, str]) -> None:
    made = commands.run("run", "-q", "python", "-t", "lab1", "-c", "1", env=served)
    assert made.code == 0
    assert "offers no service '8000'" in commands.run("app", "lab1", "8000", env=served).problem(
        126
    )
    assert "no kernel is named" in commands.run("app", "lab2", "8000", env=served).problem(126)
    assert "No services" in commands.run("apps", "lab1", env=served).text
    assert "is not [HOST:]PORT" in commands.run("app", "x", "1", "-b", "x:y").problem(125)
    assert "no server is configured" in commands.run("apps", "lab1").problem(125)
