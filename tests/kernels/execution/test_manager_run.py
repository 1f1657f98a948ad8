"""Runs over the WebSocket of a manager that ends it too early."""

from __future__ import annotations

import pytest
from wsproto import events as ws

from backendai_trio import ExecutionError, open_client
from backendai_trio.kernels.execution import open_execution
from backendai_trio.wire.execution import ExecuteRequest

from ...transport.servers import serving
from ...transport.websocket_servers import Peer, accepting


@pytest.mark.parametrize(("code", "names_html"), [(1000, True), (1011, False), (1001, False)])
async def test_stream_that_ends_before_the_run(code: int, names_html: bool) -> None:
    async def end(peer: Peer) -> None:
        await peer.next()
        await peer.send(ws.CloseConnection(code))
        await peer.next()

    first = ExecuteRequest("query", "run", "1")
    async with serving(accepting(end)) as config, open_client(config) as client:
        with pytest.raises(ExecutionError, match="ended before the run did") as caught:
            async with open_execution(client, "lab1", first) as run:
                run.abandon()
                await run.collect()
    assert ("HTML" in str(caught.value)) == names_html
