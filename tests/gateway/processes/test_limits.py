"""What the programs of kernels may use, and what their users are told at the limit."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from backendai_trio import (
    Finished,
    GatewayOptions,
    KernelSpec,
    Stderr,
    Stdout,
    TrioKernel,
    open_client,
    open_gateway,
    open_kernel,
)
from backendai_trio.gateway import KernelLimits, parse_bytes

MIB = 1 << 20
#: Takes more than 100 MiB, and less than a process may reserve then.
EATER = "taken = b'x' * (130 << 20); input()"
pytestmark = pytest.mark.usefixtures("gateway_parent")


@pytest.fixture(params=["process-group", "bubblewrap"])
def isolation_name(request: pytest.FixtureRequest) -> str:
    if request.param == "bubblewrap":
        request.getfixturevalue("bubblewrap")
    return str(request.param)


@asynccontextmanager
async def opened(
    isolation: Any,
    limits: KernelLimits,
    runtime: str = "python",
    **resources: str,
) -> AsyncIterator[TrioKernel]:
    options = GatewayOptions(isolation=isolation, kernel_limits=limits)
    spec = KernelSpec(runtime=runtime, resources=resources)
    async with (
        open_gateway(options) as gateway,
        open_client(gateway.config) as client,
        open_kernel(client, spec) as kernel,
    ):
        yield kernel


async def _run(kernel: TrioKernel, source: str) -> tuple[str, str, int | None]:
    output, errors, code = "", "", None
    async with kernel.execute(source) as run:
        async for event in run:
            match event:
                case Stdout(text):
                    output += text
                case Stderr(text):
                    errors += text
                case Finished(exit_code):
                    code = exit_code
    return output, errors, code


async def test_a_program_that_takes_too_much_memory(isolation_name: str) -> None:
    """It is killed, its user is told why, and the kernel goes on."""
    async with opened(isolation_name, KernelLimits(memory_bytes=100 * MIB)) as kernel:
        _, errors, code = await _run(kernel, EATER)
        assert code == 137
        assert "ran out of its memory limit of 100 MiB: its programs used 1" in errors
        output, errors, code = await _run(kernel, "print(1)")
        assert (output, code) == ("1\n", 0)
        assert "memory limit" not in errors


async def test_many_small_programs_are_counted_together(isolation_name: str) -> None:
    source = """
import os, subprocess, sys
code = "b = b'x' * (40 << 20); input()"
children = [
    subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) for _ in range(4)
]
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    async with opened(isolation_name, KernelLimits(), mem="120m") as kernel:
        output, errors, code = await _run(kernel, source)
    assert (output, code) == ("-9\n", 0)
    assert "limit of 120 MiB" in errors and "python" in errors


async def test_what_one_program_can_reserve(isolation_name: str) -> None:
    async with opened(isolation_name, KernelLimits(memory_bytes=100 * MIB)) as kernel:
        source = "try: bytearray(1 << 30)\nexcept MemoryError: print('refused')"
        assert await _run(kernel, source) == ("refused\n", "", 0)


async def test_limits_of_each_process(isolation_name: str) -> None:
    limits = KernelLimits(open_files=50, file_bytes=1000, cores=1)
    source = """
import os, resource
def attempt(call):
    try:
        return call()
    except OSError as exc:
        return os.strerror(exc.errno)

def open_many():
    files = []
    while True:
        files.append(open("/dev/null"))

print(attempt(open_many))
print(attempt(lambda: open("big", "wb", 0).write(b"x" * 999)))
print(attempt(lambda: open("big", "ab", 0).write(b"x" * 999) and open("big", "ab", 0).write(b"x")))
print(len(os.sched_getaffinity(0)))
for name, limit in (("RLIMIT_NOFILE", 51), ("RLIMIT_FSIZE", 1001)):
    try:
        resource.setrlimit(getattr(resource, name), (limit, limit))
    except ValueError:
        print("stays")
"""
    async with opened(isolation_name, limits) as kernel:
        output, _, code = await _run(kernel, source)
    assert code == 0
    told = output.splitlines()
    assert told[:4] == ["Too many open files", "999", "File too large", "1"]
    if os.geteuid() != 0 or isolation_name == "bubblewrap":  # root may raise limits elsewhere
        assert told[4:] == ["stays"] * 2


async def test_cpu_time(isolation_name: str) -> None:
    async with opened(isolation_name, KernelLimits(cpu_seconds=1)) as kernel:
        _, errors, code = await _run(kernel, "while True: pass")
    assert code == 152
    assert "[a program used its limit of CPU time, 1 s]" in errors


async def test_a_file_that_is_too_large(isolation_name: str) -> None:
    async with opened(isolation_name, KernelLimits(file_bytes=1000), "bash") as kernel:
        _, errors, code = await _run(kernel, "exec head -c 2000 /dev/zero > big")
    assert code == 153
    assert "[a program wrote a file beyond its size limit, 1,000 bytes]" in errors


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("7", 7),
        ("512m", 512 * MIB),
        ("1.5G", 1536 * MIB),
        ("2kib", 2048),
        ("3b", 3),
        ("9007199254740993", 2**53 + 1),
        ("9" * 400, 10**400 - 1),
    ],
)
def test_numbers_of_bytes(text: str, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "m", "-1", "1 g", "1x", "1gg"])
def test_what_is_no_number_of_bytes(text: str) -> None:
    with pytest.raises(ValueError, match="no number of bytes"):
        parse_bytes(text)


def test_the_lower_limit_counts() -> None:
    limits = KernelLimits(memory_bytes=2 * MIB, cores=4)
    assert limits.with_resources({"mem": "1m", "cpu": "0.5"}) == KernelLimits(
        memory_bytes=MIB, cores=1
    )
    assert limits.with_resources({"mem": "1g", "cpu": "9"}) == limits
    assert limits.with_resources({}) == limits
