"""A way to a gateway that can be cut, for programs that know nothing of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["BrokenWay", "broken_way"]


class BrokenWay:
    """A TCP proxy in threads. Made by `broken_way`.

    Attributes:
        url: where it is.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """Break all connections; new ones can be made."""
        ends, self._ends = self._ends, []
        for end in ends:
            _shut(end)

    def accept(self) -> None:
        """Take connections until `close`."""
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._target)
            self._ends += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(source, sink), daemon=True).start()

    def close(self) -> None:
        """Break all connections, and take no more."""
        _shut(self._listener)  # wakes `accept`
        self.cut()


@contextmanager
def broken_way(url: str) -> Iterator[BrokenWay]:
    """A way to what is at this URL."""
    host, _, port = url.removeprefix("http://").partition(":")
    way = BrokenWay((host, int(port)))
    thread = threading.Thread(target=way.accept)
    thread.start()
    try:
        yield way
    finally:
        way.close()
        thread.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    _shut(source)
    _shut(sink)


def _shut(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    end.close()
