"""WebSockets whose client hangs up, or whose kernel ends, while the gateway sends or closes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from starlette.types import ASGIApp, Message

from backendai_trio import KernelSpec, TrioKernel, open_client, open_kernel
from backendai_trio.gateway import Gateway
from backendai_trio.gateway.api.app import make_app
from backendai_trio.gateway.api.auth import LOGGED_IN
from backendai_trio.wire.execution import ExecuteRequest
from backendai_trio.wire.manager_streams import Stdin, decode_typed_out, encode_start, encode_typed
from backendai_trio.wire.resumable import (
    Ack,
    Input,
    InputSeen,
    Mark,
    Output,
    decode_from_server,
    encode_frame,
)
from backendai_trio.wire.versions import SESSION_6, Hello

PRINT_TERM = ExecuteRequest(
    "query", "run1", "import os; print(os.environ['TERM'])", {"tty": [24, 80], "term": "screen"}
)


class FakeClient:
    """The client's side of a WebSocket, as the HTTP server shows it to the application."""

    def __init__(self, gateway: Gateway, kernel: TrioKernel, path: str, query: str) -> None:
        self.sent: list[Message] = []
        self.fails: Callable[[Message], bool] = lambda _message: False
        self._send, self._receive = trio.open_memory_channel[Message](100)
        self._app: ASGIApp = make_app(
            gateway._sessions, [SESSION_6], Hello(SESSION_6.version, "test", "", frozenset())
        )
        self._scope: dict[str, Any] = {
            "type": "websocket",
            "path": f"/stream/session/{kernel.token}/{path}",
            "raw_path": b"",
            "query_string": query.encode(),
            "headers": [],
            "subprotocols": [],
            LOGGED_IN: gateway.config.access_key,
        }
        self.push({"type": "websocket.connect"})

    def push(self, message: Message) -> None:
        """Have the application receive a message."""
        self._send.send_nowait(message)

    def push_frame(self, frame: bytes | str) -> None:
        """Have the application receive a WebSocket message."""
        name = "bytes" if isinstance(frame, bytes) else "text"
        self.push({"type": "websocket.receive", name: frame})

    async def run(self, on_send: Callable[[Message], None] = lambda _message: None) -> None:
        """Run the application until it returns. Its errors are raised."""

        async def send(message: Message) -> None:
            await trio.lowlevel.checkpoint()
            if self.fails(message):
                # What hypercorn raises while it closes a connection that its client has dropped.
                raise trio.BusyResourceError("another task is using this stream")
            self.sent.append(message)
            on_send(message)

        await self._app(self._scope, self._receive.receive, send)

    @property
    def closes(self) -> list[int]:
        return [item["code"] for item in self.sent if item["type"] == "websocket.close"]


def start_of(code: str, query: str) -> bytes | str:
    """The first message of an execution, as a resumable stream or in the managers' form."""
    request = ExecuteRequest("query", "run1", code)
    return request.encode() if query else encode_start(request)


@pytest.fixture
async def kernel(gateway: Gateway) -> Any:
    """A kernel for Python."""
    async with (
        open_client(gateway.config) as client,
        open_kernel(client, KernelSpec(runtime="python")) as opened,
    ):
        yield opened


def acknowledging(client: FakeClient) -> Callable[[Message], None]:
    """Acknowledge the last mark of a resumable stream, as clients do."""

    def on_send(message: Message) -> None:
        if message["type"] == "websocket.send":
            frame = message.get("bytes") or message.get("text")
            decoded = decode_from_server(frame)
            if isinstance(decoded, Mark) and decoded.fields["status"] == "finished":
                client.push_frame(encode_frame(Ack(decoded.end)))

    return on_send


@pytest.mark.parametrize(("query", "greetings"), [("position=0", 1), ("position=0&new=1", 0)])
async def test_client_that_begins_a_run_is_not_told_where_its_input_begins(
    gateway: Gateway, kernel: TrioKernel, query: str, greetings: int
) -> None:
    client = FakeClient(gateway, kernel, "execute", query)
    client.push_frame(start_of("print(input())", query))
    client.push_frame(encode_frame(Input(0, b"typed\n")))
    await client.run(acknowledging(client))
    decoded = [
        decode_from_server(item.get("bytes") or item.get("text"))
        for item in client.sent
        if item["type"] == "websocket.send"
    ]
    assert decoded.count(InputSeen(0)) == greetings
    printed = b"".join(item.data for item in decoded if isinstance(item, Output))
    assert printed == b"typed\n"


async def test_resumable_run_closes_normally(gateway: Gateway, kernel: TrioKernel) -> None:
    client = FakeClient(gateway, kernel, "execute", "position=0")
    client.push_frame(start_of("print(1)", "position=0"))
    await client.run(acknowledging(client))
    assert client.closes == [1000]


@pytest.mark.parametrize(
    ("path", "query", "first"),
    [
        ("execute", "position=0", start_of("print(1)", "position=0")),
        ("execute", "", start_of("print(1)", "")),
        ("execute", "position=0", b"not a request"),
        ("execute", "position=77", ExecuteRequest("continue", "unknown").encode()),
        ("execute", "", "not a request"),
        ("pty", "position=0", b"too short"),
    ],
    ids=["resumable", "managers", "malformed", "gone", "malformed-managers", "terminal"],
)
async def test_client_that_hangs_up_when_the_gateway_closes(
    gateway: Gateway, kernel: TrioKernel, path: str, query: str, first: bytes | str
) -> None:
    client = FakeClient(gateway, kernel, path, query)
    client.fails = lambda message: message["type"] == "websocket.close"
    client.push_frame(first)
    await client.run(acknowledging(client) if query and path == "execute" else lambda _: None)
    assert client.closes == []
    assert client.sent[0]["type"] == "websocket.accept"


@pytest.mark.parametrize("path", ["execute", "pty"])
@pytest.mark.parametrize("query", ["position=0", ""])
async def test_client_that_hangs_up_when_the_kernel_ends(
    gateway: Gateway, kernel: TrioKernel, path: str, query: str
) -> None:
    client = FakeClient(gateway, kernel, path, query)
    client.fails = lambda message: message["type"] == "websocket.close"
    if path == "execute":
        client.push_frame(start_of("print('up'); input()", query))
    (session,) = gateway._sessions.running()
    # The first message, the acceptance among them.
    await client.run(lambda _message: session.ended.set())
    assert client.closes == []
    assert client.sent[0]["type"] == "websocket.accept"


@pytest.mark.parametrize("messages", [1, 2, 3])
@pytest.mark.parametrize("query", ["position=0", ""])
async def test_client_that_hangs_up_when_the_gateway_sends(
    gateway: Gateway, kernel: TrioKernel, query: str, messages: int
) -> None:
    """After each of the first messages: it is not an error of the gateway."""
    client = FakeClient(gateway, kernel, "execute", query)
    code = "for number in range(3):\n    print(number, flush=True)\n    input()"
    client.push_frame(start_of(code, query))
    for line in range(3):
        client.push_frame(encode_frame(Input(line, b"\n")) if query else "")
    client.fails = lambda _message: len(client.sent) >= messages
    await client.run()
    assert len(client.sent) == messages


# --- TERM ----------------------------------------------------------------------------------------


async def test_term_of_an_execution(gateway: Gateway, kernel: TrioKernel) -> None:
    client = FakeClient(gateway, kernel, "execute", "position=0")
    client.push_frame(PRINT_TERM.encode())
    await client.run(acknowledging(client))
    decoded = [
        decode_from_server(item.get("bytes") or item.get("text"))
        for item in client.sent
        if item["type"] == "websocket.send"
    ]
    assert b"".join(item.data for item in decoded if isinstance(item, Output)) == b"screen\r\n"


@pytest.mark.parametrize(
    ("query", "term"),
    [
        ("term=screen", b"screen"),
        ("term=rxvt-unicode-256color", b"rxvt-unicode-256color"),
        ("", b"xterm-256color"),
        ("term=", b"xterm-256color"),
        ("term=../../etc", b"xterm-256color"),
        ("term=a%0Ab", b"xterm-256color"),
    ],
)
async def test_term_of_a_terminal(
    gateway: Gateway, kernel: TrioKernel, query: str, term: bytes
) -> None:
    client = FakeClient(gateway, kernel, "pty", query)
    output = bytearray()

    def on_send(message: Message) -> None:
        if message["type"] == "websocket.send":
            output.extend(decode_typed_out(message["text"]))

    client.push_frame(encode_typed(Stdin(b'echo "<$TERM>"; exit\n')))
    await client.run(on_send)  # until the shell has ended
    assert b"<" + term + b">" in output
    assert client.closes == [1000]


async def test_name_of_a_client_is_short(gateway: Gateway, kernel: TrioKernel) -> None:
    """A terminal remembers it as long as its shell lives."""
    client = FakeClient(gateway, kernel, "pty", f"position=0&client={'x' * 65}")
    await client.run()
    assert client.closes == [1008]
