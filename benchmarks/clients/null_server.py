"""A manager 23.09 that has every answer ready: what a client takes is then its own time.

WebSockets echo what is typed, as a terminal does, and finish a run of code at once. With two
arguments, a certificate chain and its key, the server serves over TLS.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import ssl
import sys

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CLOSE, _PING, _TEXT = 8, 9, 1


def answer(status: str, value: object) -> bytes:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json; charset=utf-8\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


HELLO = answer("200 OK", {"version": "v7.20230615", "manager": "23.09.10"})
CREATED = answer(
    "201 Created",
    {
        "sessionId": "0f1f2b1c-6a5d-4c1e-9c8f-2b7f4f1f8d11",
        "sessionName": "bench",
        "status": "RUNNING",
        "servicePorts": [],
        "created": True,
    },
)
DESTROYED = answer("200 OK", {"stats": {}})
RESULT = {
    "status": "finished",
    "runId": "bench",
    "console": [["stdout", "hello world\n"]],
    "completions": [],
    "exitCode": 0,
    "options": {},
    "files": [],
}
FINISHED = answer("200 OK", {"result": RESULT})


class NullServer(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.received = b""
        self.is_websocket = False

    def data_received(self, data: bytes) -> None:
        self.received += data
        while not self.is_websocket and (end := self.received.find(b"\r\n\r\n")) >= 0:
            head = self.received[:end]
            lower = head.lower()
            _, found, length = lower.partition(b"\r\ncontent-length:")
            size = int(length.split(b"\r\n", 1)[0]) if found else 0
            if len(self.received) < end + 4 + size:
                return
            self.received = self.received[end + 4 + size :]
            method, path, _ = lower.split(b" ", 2)
            if b"\r\nupgrade: websocket" in lower:
                self.upgrade(head, lower)
            elif method == b"get":
                self.transport.write(HELLO)
            elif method == b"delete":
                self.transport.write(DESTROYED)
            elif path.partition(b"?")[0] == b"/session":
                self.transport.write(CREATED)
            else:
                self.transport.write(FINISHED)
        if self.is_websocket:
            self.frames()

    def upgrade(self, head: bytes, lower: bytes) -> None:
        name = b"\r\nsec-websocket-key:"
        start = lower.index(name) + len(name)
        key = head[start:].split(b"\r\n", 1)[0].strip()
        accept = base64.b64encode(hashlib.sha1(key + _MAGIC).digest())
        self.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self.is_websocket = True

    def frames(self) -> None:
        """Answer the frames that are whole; all are masked, and none has parts."""
        while len(self.received) >= 6:
            kind, length = self.received[0] & 15, self.received[1] & 127
            start = 2
            if length >= 126:
                start = 4 if length == 126 else 10
                length = int.from_bytes(self.received[2:start], "big")
            if len(self.received) < start + 4 + length:
                return
            mask = self.received[start : start + 4]
            masked = self.received[start + 4 : start + 4 + length]
            self.received = self.received[start + 4 + length :]
            payload = bytes(byte ^ mask[at & 3] for at, byte in enumerate(masked))
            if kind == _CLOSE:
                self.send(_CLOSE, payload)
                self.transport.close()
            elif kind == _PING:
                self.send(10, payload)
            elif kind == _TEXT:
                typed = json.loads(payload)
                if typed.get("type") == "stdin":
                    shown = {"type": "out", "data": typed["chars"]}
                    self.send(_TEXT, json.dumps(shown).encode())
                elif "code" in typed:
                    self.send(_TEXT, json.dumps(RESULT).encode())

    def send(self, kind: int, payload: bytes) -> None:
        size = len(payload)
        length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
        self.transport.write(bytes([0x80 | kind]) + length + payload)


async def main() -> None:
    context = None
    if len(sys.argv) > 1:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(sys.argv[1], sys.argv[2])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(NullServer, "127.0.0.1", 0, ssl=context, backlog=2048)
    scheme = "https" if context else "http"
    print(f"Serving on {scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
