"""The fixtures for other people's tests, used as other people would: in a pytest run of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import trio

from backendai_trio import (
    GatewayError,
    GatewayOptions,
    KernelSpec,
    NotFound,
    attach_kernel,
    open_client,
    open_kernel,
)
from backendai_trio.testing import gateway_in_thread
from backendai_trio.wire.versions import SEED

OTHER_PEOPLES_TESTS = """
import asyncio

import pytest
import trio

import backendai_trio
from backendai_trio import KernelSpec, open_client, open_kernel


async def use(gateway):
    async with open_client(gateway.config) as client:
        async with open_kernel(client, KernelSpec(runtime="python")) as kernel:
            assert gateway.tokens() == [kernel.token]
    assert gateway.tokens() == []


def test_blocking(backendai_gateway):
    trio.run(use, backendai_gateway)


async def test_trio(backendai_gateway):
    await use(backendai_gateway)


def test_asyncio(backendai_gateway):
    async def look():
        await asyncio.sleep(0)
        assert backendai_gateway.tokens() == []
        reader, writer = await asyncio.open_connection(*backendai_gateway.config.endpoint[1:3])
        writer.write(b"GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
        assert b"200" in await reader.readline()
        writer.close()
        await writer.wait_closed()

    asyncio.run(look())


def test_environment(backendai_gateway, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name, value in backendai_gateway.environ.items():
        monkeypatch.setenv(name, value)

    async def main():
        async with open_client() as client:
            assert client.config.endpoint == backendai_gateway.config.endpoint

    trio.run(main)


def test_kernels_that_a_test_forgets(backendai_gateway):
    async def main():
        async with open_client(backendai_gateway.config) as client:
            await backendai_trio.attach_kernel(client, KernelSpec(runtime="python"), token="left")

    trio.run(main)
    assert backendai_gateway.tokens() == ["left"]
"""


@pytest.mark.parametrize("by_name", [False, True], ids=["found", "by name"])
def test_fixture_in_other_peoples_tests(
    tmp_path: Path, gateway_parent: Path, by_name: bool
) -> None:
    if by_name:
        (tmp_path / "conftest.py").write_text('pytest_plugins = ["backendai_trio.testing"]\n')
    (tmp_path / "pytest.ini").write_text("[pytest]\ntrio_mode = true\nfilterwarnings = error\n")
    (tmp_path / "test_theirs.py").write_text(OTHER_PEOPLES_TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_theirs.py"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(gateway_parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout
    # Nothing of any kernel is left, not even of the forgotten one.
    assert list(gateway_parent.glob("backendai-gateway-*")) == []


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A pytest run of somebody's project."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_example_of_the_documentation(tmp_path: Path) -> None:
    document = Path(__file__).parent.parent.joinpath("docs", "testing.md").read_text()
    (example,) = re.findall(r"```python [^\n]*\n(.*?)```", document, re.DOTALL)
    (tmp_path / "test_example.py").write_text(example)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    done = run_pytest(tmp_path, "test_example.py")
    assert done.returncode == 0, done.stdout + done.stderr
    tests = len(re.findall(r"^(?:async )?def test_", example, re.MULTILINE))
    assert tests and f"{tests} passed" in done.stdout


@pytest.mark.parametrize("by_name", [False, True], ids=["found", "by name"])
def test_projects_that_do_not_use_it_pay_nothing(tmp_path: Path, by_name: bool) -> None:
    """The plugin is loaded at each start of pytest: no event loop is, nor is pytest-trio needed."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (tmp_path / "test_theirs.py").write_text(
        "import sys\n\ndef test_modules():\n"
        "    assert 'backendai_trio.testing.plugin' in sys.modules\n"
        "    assert not {'trio', 'anyio', 'h11', 'starlette'} & sys.modules.keys()\n"
    )
    options = ["-p", "backendai_trio.testing.plugin"] if by_name else []
    environ = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} if by_name else {}
    blocked = ["-p", "no:trio", "-p", "no:anyio", "-p", "no:xdist", "-p", "no:hypothesispytest"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *blocked, *options, "test_theirs.py"],
        cwd=tmp_path,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_fixtures_are_typed(tmp_path: Path) -> None:
    (tmp_path / "test_typed.py").write_text(
        "from backendai_trio.testing import Cut, FaultyGateway, Stall, TestGateway\n\n"
        "def test_a(backendai_faulty_gateway: FaultyGateway) -> None:\n"
        "    backendai_faulty_gateway.network.inject(Cut(20, 'body'), matching='x')\n"
        "    kernels: list[str] = backendai_faulty_gateway.tokens()\n"
        "    backendai_faulty_gateway.network.inject(Stall(of='head'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "test_typed.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Found 1 error" in done.stdout and "incompatible type \"Literal['head']\"" in done.stdout


def test_environment_and_repr() -> None:
    with gateway_in_thread() as gateway:
        assert gateway.environ == {
            "BACKEND_ENDPOINT": gateway.config.endpoint.url,
            "BACKEND_ACCESS_KEY": gateway.config.access_key,
            "BACKEND_SECRET_KEY": gateway.config.secret_key,
        }
        assert gateway.config.secret_key not in repr(gateway)
        assert gateway.config.endpoint.url in repr(gateway)


async def test_faults_work_across_threads() -> None:
    with gateway_in_thread() as gateway:
        gateway.faults.create_delay_seconds = 0.3
        async with open_client(gateway.config) as client:
            before = trio.current_time()
            async with open_kernel(client, KernelSpec(runtime="python")):
                assert trio.current_time() - before >= 0.3
            with trio.move_on_after(0.1):
                async with open_kernel(client, KernelSpec(runtime="python")):
                    pytest.fail("it cannot have been created yet")
        assert gateway.tokens() == []


async def test_options_are_taken() -> None:
    with gateway_in_thread(GatewayOptions(eras=(SEED,))) as gateway:
        async with open_client(gateway.config) as client:
            assert client.era == SEED
            with pytest.raises(NotFound):
                await attach_kernel(client, KernelSpec(runtime="cobol"), token="t")


def test_thread_ends_with_the_block() -> None:
    before = threading.enumerate()  # a module's gateway may be among them

    def threads() -> list[str]:
        new = [thread.name for thread in threading.enumerate() if thread not in before]
        return [name for name in new if "gateway" in name]

    with gateway_in_thread() as gateway:
        assert threads() == ["backendai-gateway"]
        assert gateway.tokens() == []
    assert threads() == []
    with pytest.raises(trio.RunFinishedError):
        gateway.tokens()


def test_gateway_that_cannot_be_opened() -> None:
    with (
        pytest.raises(GatewayError, match="not an IP address"),
        gateway_in_thread(GatewayOptions(host="nonsense")),
    ):
        pytest.fail("it opened")


def test_error_of_the_block_comes_out_as_it_is() -> None:
    error = ValueError("of the user")
    with pytest.raises(ValueError, match="of the user") as caught, gateway_in_thread():
        raise error
    assert caught.value is error
