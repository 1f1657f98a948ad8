"""What a prompt prints: the value of the expression that code ends in, where it was asked for."""

from __future__ import annotations

import pytest

from backendai_trio import Client, Finished, KernelSpec, Stdout, open_kernel

PYTHON = [
    ("6 * 7", "42\n", 0),
    ("_ + 1", "43\n", 0),
    ("x = 3\nx", "3\n", 0),
    ("x; print(4); 'a'", "4\n'a'\n", 0),
    ("None", "", 0),
    ("def f():\n    return 1 / 0", "", 0),
    ("f()", "", 1),
    ("from __future__ import annotations\nx", "3\n", 0),
    ("def g(a: nothing) -> None: ...", "", 0),  # holds for later code
    ("exit(5)", "", 5),
    ("x = (", "", 1),
]
LUA = [
    ("6 * 7", "42\n", 0),
    ("1, nil, 'a'", "1\tnil\ta\n", 0),
    ("x = 3", "", 0),
    ("x", "3\n", 0),
    ("return x", "3\n", 0),
    ("print(x)", "3\n", 0),
    ("error('broken')", "", 1),
    ("x = = 3", "", 1),
    ("setmetatable({}, {__tostring = function() error('broken') end})", "", 1),
    ("os.exit(5)", "", 5),
]


@pytest.mark.parametrize(("runtime", "pieces"), [("python", PYTHON), ("lua", LUA)])
async def test_values(client: Client, runtime: str, pieces: list[tuple[str, str, int]]) -> None:
    async with open_kernel(client, KernelSpec(runtime=runtime)) as kernel:
        for code, stdout, exit_code in pieces:
            async with kernel.execute(code, show_value=True) as run:
                printed = "".join([event.text async for event in run if isinstance(event, Stdout)])
            assert (printed, run.outcome) == (stdout, Finished(exit_code)), code
        async with kernel.execute("x") as run:
            assert [event async for event in run if isinstance(event, Stdout)] == []
