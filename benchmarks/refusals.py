"""What a request costs the gateway that it refuses, and a connection that says nothing.

``python benchmarks/refusals.py [--requests N] [--connections N] [--json]``
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime

from backendai_trio import GatewayOptions
from backendai_trio.config.settings import Config
from backendai_trio.testing import gateway_in_thread
from backendai_trio.wire.signing import Signed, sign

VERSION = "v6.20200815"
BODY_BYTES = 1024 * 1024


def request_of(config: Config, what: str) -> bytes:
    """A request of a kind."""
    date, host = datetime.now(UTC).isoformat(), config.endpoint.host_header
    kind = "application/octet-stream"
    size = 0 if what in ("signed", "not signed", "wrong signature") else BODY_BYTES
    signature = sign(
        Signed("POST", "/auth", date, host, kind, VERSION, "x-backendai-version", b""),
        access_key=config.access_key,
        secret_key=config.secret_key,
    )
    if what != "signed":
        signature = signature.replace("AKIA", "AKIB")
    lines = [
        "POST /auth HTTP/1.1",
        f"Host: {host}",
        f"Date: {date}",
        f"X-BackendAI-Version: {VERSION}",
        f"Content-Type: {kind}",
        f"Content-Length: {size}",
        "Connection: close",
    ]
    if what != "not signed":
        lines.append(f"Authorization: {signature}")
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"


def ask(port: int, request: bytes, body: bytes) -> int:
    """The status of a request."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(request)
        answer = b""
        try:
            connection.sendall(body)
        except OSError:
            pass
        while data := connection.recv(65_536):
            answer += data
    return int(answer[9:12])


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--connections", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return
    figures: dict[str, float] = {}
    with gateway_in_thread(GatewayOptions()) as gateway:
        port = gateway.config.endpoint.port
        for what in ("signed", "not signed", "wrong signature", "wrong signature, 1 MiB follows"):
            request = request_of(gateway.config, what)
            body = BODY_BYTES if what.endswith("follows") else 0
            work = [port, request.decode(), body, options.requests]
            run(work)  # a round that does not count
            began = time.process_time()
            run(work)
            figures[what] = (time.process_time() - began) / options.requests * 1e6
        before = resident()
        holding = subprocess.Popen(
            [sys.executable, __file__, "--child", json.dumps([port, "", 0, options.connections])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert holding.stdout and holding.stdout.readline()
        time.sleep(1)
        figures["silent connection, KiB"] = (resident() - before) / options.connections / 1024
        holding.communicate(b"\n")
    if options.json:
        print(json.dumps(figures))
        return
    for what, figure in figures.items():
        print(f"{what:32} {figure:8.0f}{'' if 'KiB' in what else ' us of CPU'}")


def run(work: list[object]) -> None:
    """Send requests from another process, so that its time does not count."""
    subprocess.run([sys.executable, __file__, "--child", json.dumps(work)], check=True)


def child(text: str) -> None:
    """What the other process does: requests, or connections that say nothing."""
    port, request, body, count = json.loads(text)
    if request:
        statuses = {ask(port, request.encode(), bytes(body)) for _ in range(count)}
        assert len(statuses) == 1, statuses
        return
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    print(len(held), flush=True)
    sys.stdin.readline()


def resident() -> int:
    """Memory of this process in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
