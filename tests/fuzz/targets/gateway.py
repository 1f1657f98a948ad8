"""Requests to a gateway, over a socket: the right signature, and hostile everything else."""

from __future__ import annotations

import atexit
import json
import re
import socket
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cache
from urllib.parse import quote_from_bytes

from backendai_trio import GatewayOptions
from backendai_trio.gateway import GatewayLimits
from backendai_trio.testing import gateway_in_thread
from backendai_trio.testing.gateway_thread import TestGateway
from backendai_trio.wire.signing import Signed, sign

from ..choices import Choices
from ..hostile_json import HOSTILE, with_hostile_value

VERSIONS = ["v6.20200815", "v2.20170315", "v4.20190615", "v5.20191215", "v8.20240315"]
_TIMEOUT_SECONDS = 25
_TOKEN = re.compile(r"[A-Za-z]{1,16}")


@cache
def served() -> TestGateway:
    """A gateway for all executions of this process. It runs no kernel, so no code either."""
    stack = ExitStack()
    limits = GatewayLimits(refused_seconds=0.1, body_seconds=0.05, keepalive_seconds=0.1)
    options = GatewayOptions(max_sessions=0, max_waiting=0, max_vfolders=10, limits=limits)
    atexit.register(stack.close)
    return stack.enter_context(gateway_in_thread(options))


def requests(data: bytes) -> None:
    """Every request is answered, and by no failure of the gateway."""
    gateway = served()
    choices = Choices(data)
    version, is_signed, shortened = choices.pick(VERSIONS), choices.below(8) != 1, choices.byte()
    line, _, rest = choices.rest().partition(b"\n")
    kind, _, body = rest.partition(b"\n")
    if place := choices.byte():
        body = with_hostile_value(body, place - 1, choices.pick(HOSTILE))
    method, _, target = line.partition(b" ")
    method_name = method.decode("latin-1")
    if not _TOKEN.fullmatch(method_name):
        method_name = "POST"
    path = "/" + quote_from_bytes(target.lstrip(b"/"), safe="/?&=%:~!*'(),;@+$-._")
    media = "".join(
        char for char in kind.decode("latin-1") if char.isascii() and char.isprintable()
    )
    head = _head(gateway, version, method_name, path, media.strip() or "application/json", body)
    if not is_signed:
        head = head.replace("credential=AKIA", "credential=AKIB")
    sent = body[: len(body) - shortened % (len(body) + 1)] if shortened else body
    answer = _exchange(gateway, head.encode("latin-1") + sent)
    assert answer.startswith(b"HTTP/1.1 "), (head, sent, answer)
    status = int(answer[9:12])
    first = f"{method_name} {path}"
    # This is how agents answer, and so do managers with what they have not.
    allowed = b"kernel-execution-failed" in answer or status in (501, 503)
    assert status < 500 or allowed, (first, sent, answer)
    if not is_signed and "/storage/" not in path:
        assert status >= 400 or not _is_protected(path), (first, answer)
    if status >= 400 and method_name != "HEAD":
        json.loads(answer.partition(b"\r\n\r\n")[2])


def _is_protected(path: str) -> bool:
    return path.strip("/").partition("?")[0] not in ("", "v1", "v2", "v3")


def _head(
    gateway: TestGateway, version: str, method: str, path: str, media: str, body: bytes
) -> str:
    config = gateway.config
    date, host = datetime.now(UTC).isoformat(), config.endpoint.host_header
    signed_type = media.partition(";")[0].strip().lower()
    if signed_type.startswith("multipart/"):
        signed_type = "multipart/form-data"
    signature = sign(
        Signed(method, path, date, host, signed_type, version, "x-backendai-version", body),
        access_key=config.access_key,
        secret_key=config.secret_key,
    )
    return (
        f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nDate: {date}\r\n"
        f"X-BackendAI-Version: {version}\r\nContent-Type: {media}\r\n"
        f"Authorization: {signature}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )


def _exchange(gateway: TestGateway, request: bytes) -> bytes:
    """What the gateway answers, up to the end of the connection, or to an event of a stream."""
    address = ("127.0.0.1", gateway.config.endpoint.port)
    with socket.create_connection(address, _TIMEOUT_SECONDS) as connection:
        connection.sendall(request)
        answer = b""
        while data := connection.recv(65_536):
            answer += data
            if b"text/event-stream" in answer and b": ping" in answer:
                break
        return answer
