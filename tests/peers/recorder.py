"""A proxy on loopback that records the requests of any program, and passes them on as they are."""

from __future__ import annotations

import http.client
import json
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

__all__ = ["Recorded", "Recorder", "open_recorder"]

_SECONDS = 60.0
_HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "proxy-connection")


@dataclass(frozen=True)
class Recorded:
    """A request."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes

    @property
    def json(self) -> Any:
        """The body; None for one that is not JSON, or empty."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class Recorder(socketserver.ThreadingTCPServer):
    """The proxy.

    Attributes:
        requests: what came since the last `take`.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, target: str) -> None:
        """Args: target: URL of the server behind it."""
        super().__init__(("127.0.0.1", 0), _Handler)
        parts = urlsplit(target)
        assert parts.hostname and parts.port
        self.target = (parts.hostname, parts.port)
        self.requests: list[Recorded] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def take(self) -> list[Recorded]:
        """The requests since the last call."""
        taken, self.requests = self.requests, []
        return taken


class _Handler(BaseHTTPRequestHandler):
    """Passes requests on. ``Host`` stays, since it is a part of what is signed."""

    server: Recorder

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        body = self._body()
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = tuple(parse_qsl(parts.query, keep_blank_values=True))
        self.server.requests.append(Recorded(self.command, parts.path, query, headers, body))
        self._pass_on(body)

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        found = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return found

    def _pass_on(self, body: bytes) -> None:
        self.close_connection = True
        behind = http.client.HTTPConnection(*self.server.target, timeout=_SECONDS)
        try:
            behind.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in (*_HOP_BY_HOP, "content-length"):
                    behind.putheader(name, value)
            if body or self.command in ("POST", "PUT", "PATCH"):
                behind.putheader("Content-Length", str(len(body)))
            behind.endheaders(body)
            response = behind.getresponse()
            self.send_response_only(response.status, response.reason)
            for name, value in response.getheaders():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            while piece := response.read1(65536):
                self.wfile.write(piece)  # at once: events are read while they come
                self.wfile.flush()
        except OSError:
            pass  # one side has hung up, and the other is told so
        finally:
            behind.close()


@contextmanager
def open_recorder(target: str) -> Iterator[Recorder]:
    """A recorder in front of a server, until the block ends.

    Args:
        target: URL of the server.
    """
    with Recorder(target) as recorder:
        thread = threading.Thread(target=recorder.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield recorder
        finally:
            recorder.shutdown()
            thread.join()
