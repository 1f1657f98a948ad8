"""What is recorded for the report of a failure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backendai_trio import KernelSpec, NotFound, open_client, open_kernel
from backendai_trio.gateway import Gateway
from backendai_trio.wire.http import Request

from .recorder import recording, without_secrets
from .runs import run


async def test_exchanges_are_recorded(gateway: Gateway) -> None:
    with recording() as recorder:
        async with open_client(gateway.config) as client:
            client.hello = replace(client.hello, features=frozenset[str]())
            async with open_kernel(client, KernelSpec(runtime="python")) as kernel:
                await run(kernel, "print(6 * 7)")
            with pytest.raises(NotFound):
                await client.call(Request("GET", "/session/nobody"))
    lines = recorder.text.splitlines()
    assert any("> GET /" in line for line in lines)
    assert any("> message" in line and "6 * 7" in line for line in lines)
    assert any("< message" in line and "42" in line for line in lines)
    asked = next(number for number, line in enumerate(lines) if "> GET /session/nobody" in line)
    assert "< 404" in lines[asked + 1]
    assert gateway.config.secret_key not in recorder.text
    assert "signMethod" not in recorder.text
    async with open_client(gateway.config):
        pass
    assert recorder.text.splitlines() == lines  # it has ended


async def test_no_more_than_the_end_is_kept(gateway: Gateway) -> None:
    with recording() as recorder:
        for _ in range(50):
            async with open_client(gateway.config):
                pass
    assert len(recorder.text.splitlines()) == 60


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"password": "p\\"w", "a": 1}', '{"password": "***", "a": 1}'),
        ('{"secret_key":"s"}', '{"secret_key":"***"}'),
        ('{"token": "t", "url": "http://x"}', '{"token": "***", "url": "http://x"}'),
        ('{"clientSessionToken": "bt-1"}', '{"clientSessionToken": "bt-1"}'),
        ("GET /upload?dst_dir=a&token=t HTTP", "GET /upload?dst_dir=a&token=*** HTTP"),
        ("PATCH /folders/_/tus/upload/eyJ0", "PATCH /folders/_/tus/upload/***"),
    ],
)
def test_secrets_are_left_out(text: str, shown: str) -> None:
    assert without_secrets(text) == shown
