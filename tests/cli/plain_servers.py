"""Small HTTP servers in threads, for commands to meet what a gateway does not do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Thread

from .commands import ACCESS_KEY, SECRET_KEY

__all__ = ["KEYS", "MANAGER", "Answer", "answering", "running"]

KEYS: Mapping[str, str] = {"BACKEND_ACCESS_KEY": ACCESS_KEY, "BACKEND_SECRET_KEY": SECRET_KEY}
MANAGER = b'{"version": "v9.20250722", "manager": "26.9.6"}'

Answer = Callable[[str, str], tuple[int, str, bytes]]
"""From the method and path of a request: the status, the content type and the body."""


@contextmanager
def running(server: TCPServer) -> Iterator[dict[str, str]]:
    """Serve during the block, which gets the settings that lead there."""
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    with server:
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_address[1]}"
            yield {**KEYS, "BACKEND_ENDPOINT": url}
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def answering(answer: Answer) -> Iterator[dict[str, str]]:
    """Serve HTTP during the block, which gets the settings that lead there."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, body = answer(self.command, self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_DELETE = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as settings:
        yield settings
