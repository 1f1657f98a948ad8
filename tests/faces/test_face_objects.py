"""Objects of the faces: kernels as context managers, names, and terminals."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from backendai_trio import Kernel, LocalProtocolError, TrioKernel, VFolder
from backendai_trio.asyncio import AsyncKernel
from backendai_trio.faces import calls, compat, waiting
from backendai_trio.testing import TestGateway


def test_block_ends_only_a_kernel_that_it_created(served: TestGateway) -> None:
    config = served.config
    with Kernel.get_or_create("python", client_token="shared", config=config) as kernel:
        assert kernel.created
        for other in (
            Kernel.get_or_create("python", client_token="shared", config=config),
            Kernel.find("shared", config=config),
        ):
            with other:
                assert not other.created
            assert served.tokens() == ["shared"]
    assert served.tokens() == []


def test_async_block_ends_only_a_kernel_that_it_created(served: TestGateway) -> None:
    async def main() -> None:
        config = served.config
        kernel = await AsyncKernel.get_or_create("python", "shared", config=config)
        async with kernel:
            for other in (
                await AsyncKernel.get_or_create("python", "shared", config=config),
                await AsyncKernel.find("shared", config=config),
            ):
                async with other:
                    assert not other.created
                assert served.tokens() == ["shared"]
        assert served.tokens() == []

    asyncio.run(main())


@pytest.mark.parametrize("token", ["shared", None])
def test_interrupted_call_takes_back_a_kernel_that_it_created(
    served: TestGateway, token: str | None
) -> None:
    def get_or_create() -> calls.Call[TrioKernel]:
        make = partial(compat.get_or_create, lang="python", client_token=token)
        return calls.client_call(served.config, make, undo=compat.discard)

    interrupted = get_or_create()
    assert waiting.wait(interrupted).created
    waiting._join(interrupted)
    assert served.tokens() == []


def test_interrupted_call_leaves_a_kernel_that_it_joined(served: TestGateway) -> None:
    with Kernel.get_or_create("python", client_token="shared", config=served.config):
        make = partial(compat.get_or_create, lang="python", client_token="shared")
        interrupted = calls.client_call(served.config, make, undo=compat.discard)
        assert not waiting.wait(interrupted).created
        waiting._join(interrupted)
        assert served.tokens() == ["shared"]


def test_joined_kernel_is_destroyed_when_asked(served: TestGateway) -> None:
    Kernel.get_or_create("python", client_token="shared", config=served.config)
    with Kernel.find("shared", config=served.config) as kernel:
        kernel.destroy()
    assert served.tokens() == []


def test_names_of_objects(served: TestGateway) -> None:
    with Kernel.get_or_create("python", config=served.config) as kernel:
        assert repr(kernel) == f"<Kernel {kernel.token} at {served.config.endpoint.url}>"
        with kernel.stream_execute("print(1)", run_id="run-1") as run:
            assert run.run_id == "run-1"
    folder = VFolder.create("data", config=served.config)
    assert repr(folder) == f"<VFolder data at {served.config.endpoint.url}>"
    folder.delete()


def test_typing_into_a_blocking_terminal(served: TestGateway) -> None:
    output = b""
    with Kernel.get_or_create("python", config=served.config) as kernel:
        pty = kernel.stream_pty()
        pty.resize(30, 100)
        pty.send_str("echo in-order-$((6*7))\n")
        pty.write(b"exit\n")
        for data in pty:
            output += data
        with pytest.raises(LocalProtocolError, match="0 rows") as caught:
            pty.resize(0, 0)
        assert pty.exception() is caught.value
        pty.close()
        pty.close()
    assert b"in-order-42" in output
