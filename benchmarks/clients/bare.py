"""The physical limit of requests: a request that is ready, on a plain socket of its own.

The argument is the URL of a server, which need not be that of the other clients.
"""

from __future__ import annotations

import os
import socket
import ssl
import statistics
import sys
import time
from urllib.parse import urlsplit

from protocol import Figures, obey_blocking


def connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    opened = socket.create_connection((parts.hostname or "", parts.port or 80))
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if parts.scheme == "https":
        context = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE"))
        return context.wrap_socket(opened, server_hostname=parts.hostname)
    return opened


def request(url: str, path: str, body: bytes) -> bytes:
    host = urlsplit(url).netloc
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def exchange(opened: socket.socket, data: bytes) -> None:
    """Send a request, and receive its whole response."""
    opened.sendall(data)
    got = b""
    while b"\r\n\r\n" not in got:
        part = opened.recv(65536)
        if not part:
            raise ConnectionError("the server has closed the connection")
        got += part
    head, _, body = got.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1]
    if not status.startswith(b"2"):
        raise ValueError(f"the server answers {status.decode()}: {body[:200]!r}")
    length = head.lower().partition(b"\r\ncontent-length:")[2]
    missing = int(length.split(b"\r\n", 1)[0]) - len(body)
    while missing > 0:
        part = opened.recv(65536)
        if not part:
            raise ConnectionError("the server has closed the connection")
        missing -= len(part)


def main() -> None:
    url = sys.argv[1]
    code = b'{"mode": "query", "runId": "bench", "code": "print(\'hello world\')", "options": {}}'
    execute = request(url, "/session/bench", code)
    start = time.perf_counter()
    opened = connected(url)
    exchange(opened, execute)
    first = time.perf_counter() - start

    def calls(count: int) -> Figures:
        times = []
        for _ in range(count):
            begun = time.perf_counter()
            exchange(opened, execute)
            times.append(time.perf_counter() - begun)
        return {"seconds": statistics.median(times)}

    obey_blocking({"calls": calls, "first": lambda: {"seconds": first}})
    opened.close()


if __name__ == "__main__":
    main()
