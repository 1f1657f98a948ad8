"""A server to stand behind a proxy: tells what arrived there, and does what servers do."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial

import trio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from backendai_trio import Config
from backendai_trio._asgi import drop_connections, serve_app
from backendai_trio.config.settings import Endpoint
from backendai_trio.wire.signing import Signed, verify

ACCESS_KEY = "AKIATESTTESTTESTTEST"
SECRET_KEY = "Secret-key-of-tests-0123456789-abcdefghi"
MEBIBYTE = bytes(range(256)) * 4096


async def begin(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


class Many:
    """A large answer of unknown size."""

    def __init__(self, mebibytes: int) -> None:
        self.mebibytes = mebibytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await begin(send)
        for _ in range(self.mebibytes):
            await send({"type": "http.response.body", "body": MEBIBYTE, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class Upstream:
    """What the server has seen.

    Attributes:
        crowd: how many requests to ``/crowd`` make each other's wait end.
        hung_up: set when a client of ``/endless`` is gone.
        close_codes: what WebSockets to ``/socket`` were closed with.
    """

    def __init__(self, version: str) -> None:
        self.version = version
        self.crowd = 50
        self.hung_up = trio.Event()
        self.stop = trio.Event()
        self._waiting = 0
        self._all_there = trio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self.talk(WebSocket(scope, receive, send))
            return
        request = Request(scope, receive)
        response = await self.respond(request)
        await response(scope, receive, send)

    async def respond(self, request: Request) -> ASGIApp:
        path = request.url.path
        if path in ("/", "/v2"):
            seed = self.version < "v4"
            if seed and path == "/":
                return Response("not here", 404)
            return JSONResponse({"version": self.version})
        size, digest = 0, hashlib.sha256()
        async for chunk in request.stream():
            size += len(chunk)
            digest.update(chunk)
        signed = Signed(
            request.method,
            (request.scope["raw_path"] + b"?" + request.scope["query_string"]).decode().rstrip("?"),
            request.headers["date"],
            request.headers["host"],
            request.headers["content-type"],
            request.headers["x-backendai-version"],
            body_digest=digest.hexdigest(),
        )
        verify(
            signed,
            request.headers["authorization"],
            now=datetime.now(UTC),
            secret_key_of={ACCESS_KEY: SECRET_KEY}.get,
        )
        if path.endswith("/crowd"):
            self._waiting += 1
            if self._waiting == self.crowd:
                self._all_there.set()
            await self._all_there.wait()
        if path.endswith("/bytes"):
            return Many(int(request.query_params["mebibytes"]))
        if path.endswith("/compressed"):
            coding = request.query_params.get("as", "gzip")
            return Response(gzip.compress(MEBIBYTE), headers={"Content-Encoding": coding})
        if path.endswith("/endless"):
            return self.endless
        if path.endswith("/status"):
            status = int(request.query_params["of"])
            response = Response(b"" if status in (204, 304) else b"body", status)
            response.headers["Location"] = "/elsewhere"
            return response
        answer = JSONResponse(
            {
                "method": request.method,
                "target": signed.target,
                "headers": request.headers.items(),
                "size": size,
                "sha256": digest.hexdigest(),
            }
        )
        answer.headers["Keep-Alive"] = "timeout=5"
        answer.headers["X-Hop"] = "for the proxy alone"
        answer.headers["Connection"] = "X-Hop"
        answer.headers["Access-Control-Allow-Origin"] = "*"
        answer.headers.append("Set-Cookie", "a=1")
        answer.headers.append("Set-Cookie", "b=2")
        return answer

    async def endless(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers without an end, until the client is gone, or breaks off when `stop` is set."""
        await begin(send)
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.break_off)
                while (await receive())["type"] != "http.disconnect":
                    pass
                self.hung_up.set()
                nursery.cancel_scope.cancel()
        except* ConnectionAbortedError:
            pass

    async def break_off(self) -> None:
        await self.stop.wait()
        raise ConnectionAbortedError

    async def talk(self, web: WebSocket) -> None:
        """Sends back what comes; a text ``close CODE REASON`` closes."""
        if web.url.path.endswith("/refused"):
            await web.send_denial_response(
                JSONResponse({"type": "x/app-not-found", "title": "No", "msg": "such app"}, 404)
            )
            return
        offered = web.scope["subprotocols"]
        await web.accept(offered[-1] if offered else None)
        try:
            while True:
                message = await web.receive()
                if message["type"] == "websocket.disconnect":
                    self.hung_up.set()
                    return
                if (text := message.get("text")) is None:
                    await web.send_bytes(message["bytes"])
                elif text.startswith("close "):
                    _, code, reason = text.split(" ", 2)
                    await web.close(int(code), reason)
                    return
                else:
                    await web.send_text(json.dumps({"you": text}))
        except WebSocketDisconnect:
            self.hung_up.set()


@asynccontextmanager
async def open_upstream(version: str) -> AsyncIterator[tuple[Upstream, Config]]:
    """The server, and settings for a client of it."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    upstream = Upstream(version)
    # A crash on purpose is not to be printed.
    log = logging.Logger("upstream", logging.CRITICAL + 1)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_app, log=log), upstream, listener)
        try:
            yield upstream, Config(Endpoint("http", "127.0.0.1", port, ""), ACCESS_KEY, SECRET_KEY)
        finally:
            drop_connections(port)
            nursery.cancel_scope.cancel()
