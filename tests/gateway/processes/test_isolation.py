"""What keeps kernels apart: what they can do under bubblewrap, and what there is without it."""

from __future__ import annotations

import errno
import json
import os
import sys
import tempfile
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from backendai_trio import (
    Finished,
    GatewayError,
    GatewayOptions,
    InputRequest,
    KernelSpec,
    Stdout,
    TrioKernel,
    create_vfolder,
    open_client,
    open_gateway,
    open_kernel,
)
from backendai_trio.gateway.kernels.commands import kernel_environment
from backendai_trio.gateway.kernels.runtimes import resolve
from backendai_trio.gateway.limits import GatewayLimits
from backendai_trio.gateway.processes.isolation import (
    PROCESS_GROUP,
    Isolation,
    Share,
    try_isolation,
)
from backendai_trio.gateway.processes.process_host import KernelHost, open_host
from backendai_trio.gateway.processes.program_streams import PIPED
from backendai_trio.wire.kernel_spec import WORK_FOLDER

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels run on Linux only")

PYTHON = KernelSpec(runtime="python")
FIRST, SECOND = "AKIAFIRSTFIRSTFIRST1", "AKIASECONDSECONDSEC2"
RESOLVER = set(Path("/etc/resolv.conf").resolve().parts)
#: What an attempt came to.
PRELUDE = """
import json, os, signal, sys
from pathlib import Path

def attempt(call, *arguments):
    try:
        return call(*arguments)
    except OSError as exc:
        return type(exc).__name__ if exc.errno != 30 else "ReadOnly"
"""


async def tell(host: KernelHost, talk: Any, source: str) -> Any:
    """What a program in the kernel tells, as JSON."""
    argv = [sys.executable, "-c", PRELUDE + textwrap.dedent(source)]
    environment = kernel_environment(
        resolve("bash"), home=host.home, tmp=host.tmp, display=host.display, user={}
    )
    async with host.open_process(argv, env=environment, cwd=host.work, stdio=PIPED) as child:
        assert await child.run(talk.sink, talk.ask) == 0, talk.text("stderr")
    return json.loads(talk.text("stdout"))


# -- under bubblewrap -----------------------------------------------------------------------------


async def test_files(
    root: Path, tmp_path: Path, bubblewrap: Isolation, conversation: Callable[..., Any]
) -> None:
    """A kernel writes its own files and what it was given to write; nothing else of the machine."""
    read, write, secret = (tmp_path / name for name in ("read", "write", "secret"))
    for folder in (read, write, secret):
        folder.mkdir()
        (folder / "file").write_text("before")
    shares = [Share(read, False), Share(write, True)]
    source = f"""
        def write(folder):
            (Path(folder) / "new").write_text("new")
            return True

        folders = [os.getcwd(), os.environ["HOME"], os.environ["TMPDIR"], "/tmp", "/dev/shm",
                   {str(write)!r}, {str(read)!r}, {sys.prefix!r}]
        print(json.dumps({{
            "write": [attempt(write, folder) for folder in folders],
            "read": attempt(Path({str(read / "file")!r}).read_text),
            "change": attempt(Path({str(read / "file")!r}).write_text, "after"),
            "secret": attempt(os.listdir, {str(secret)!r}),
            "fixed": [os.statvfs(path).f_flag & os.ST_RDONLY for path in ("/", "/proc/sys")],
            "machine": bool(os.listdir("/etc")),
        }}))
    """
    async with open_host(root, bubblewrap.hiding(tmp_path), shares) as host:
        told = await tell(host, conversation(), source)
    assert told == {
        "write": [True] * 6 + ["ReadOnly"] * 2,
        "read": "before",
        "change": "ReadOnly",
        "secret": "FileNotFoundError",
        "fixed": [os.ST_RDONLY] * 2,
        "machine": True,
    }
    # The end of the kernel has removed nothing but its own.
    assert (write / "new").read_text() == "new"
    assert (write / "file").read_text() == (secret / "file").read_text() == "before"


async def test_only_named_folders_are_readable(
    root: Path, home: Path, bubblewrap: Isolation, conversation: Callable[..., Any]
) -> None:
    """Of a home, only what was named; the links that lead there are as outside."""
    data = home / "data"
    version = home / "versions" / "1.2"
    for folder in (home / ".ssh", data / "secret", version / "bin"):
        folder.mkdir(parents=True)
    for file in (home / ".netrc", home / ".ssh/id", data / "secret/key", version / "bin/tool"):
        file.write_text("content")
    (data / "read").write_text("content")
    (home / "current").symlink_to("versions/1.2")
    (home / "tool").symlink_to(home / "current/bin/tool")
    source = f"""
        home = Path({str(home)!r})
        print(json.dumps({{
            "home": sorted(os.listdir(home)),
            "read": [attempt((home / name).read_text) for name in ("tool", "data/read", ".netrc")],
            "links": [os.readlink(home / name) for name in ("tool", "current")],
            "version": [str(path.relative_to(home)) for path in home.glob("versions/*/*/*")],
            "secret": os.listdir(home / "data/secret"),
            "change": attempt((home / "new").write_text, ""),
            "root": attempt(Path("/new").write_text, ""),
            "homes": [name for name in ("/root", "/home") if attempt(os.listdir, name) == []],
        }}))
    """
    isolation = bubblewrap.reading(home / "tool", data, home / "missing")
    async with open_host(root, isolation.hiding(data / "secret")) as host:
        told = await tell(host, conversation(), source)
    assert told == {
        "home": ["current", "data", "tool", "versions"],
        "read": ["content", "content", "FileNotFoundError"],
        "links": [str(home / "current/bin/tool"), "versions/1.2"],
        "version": ["versions/1.2/bin/tool"],
        "secret": [],
        "change": "ReadOnly",
        "root": "ReadOnly",
        "homes": [],
    }


async def test_the_whole_machine_can_be_named(
    root: Path, home: Path, bubblewrap: Isolation, conversation: Callable[..., Any]
) -> None:
    """What kernels have for themselves, and what is hidden, stays so."""
    (home / "read").write_text("content")
    source = f"""
        print(json.dumps([
            attempt(Path({str(home / "read")!r}).read_text),
            os.path.exists({str(root.parent / "secret")!r}),
            os.statvfs("/").f_flag & os.ST_RDONLY,
            len(os.listdir("/dev/pts")),
            Path("/tmp/new").write_text("new"),
        ]))
    """
    (root.parent / "secret").write_text("secret")
    async with open_host(root, bubblewrap.reading(Path("/"))) as host:
        told = await tell(host, conversation(), source)
    assert told == ["content", False, os.ST_RDONLY, 2, 3]


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder in the real home: it is neither in /tmp nor readable by itself."""
    with tempfile.TemporaryDirectory(dir=Path.home(), prefix=".backendai-tests-") as folder:
        yield Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="others cannot read the files of root in any case")
async def test_files_that_only_root_can_read(
    root: Path, bubblewrap: Isolation, conversation: Callable[..., Any]
) -> None:
    assert await trio.Path("/etc/shadow").read_bytes()
    source = "print(json.dumps(attempt(Path('/etc/shadow').read_text)))"
    async with open_host(root, bubblewrap) as host:
        assert await tell(host, conversation(), source) == "PermissionError"


async def test_processes_and_terminals(
    root: Path, bubblewrap: Isolation, conversation: Callable[..., Any]
) -> None:
    source = """
        processes = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        status = dict(line.split(":") for line in open("/proc/self/status"))
        os.kill(1, signal.SIGKILL)
        os.kill(1, signal.SIGSTOP)
        print(json.dumps({
            "processes": [processes, os.getpid(), os.getppid()],
            "host": [attempt(Path(f"/proc/1/{name}").read_bytes) for name in ("environ", "mem")],
            "privileges": [status["CapEff"].strip(), status["NoNewPrivs"].strip()],
            "terminals": sorted(os.listdir("/dev/pts")),
            "terminal": os.ttyname(0),
            "daemons": os.listdir("/run"),
        }))
    """
    async with open_host(root, bubblewrap) as host:
        told = await tell(host, conversation(), source)
        again = await tell(host, conversation(), "print(json.dumps(os.getppid()))")
    processes, pid, parent = told.pop("processes")
    assert sorted(processes) == [parent, pid] and parent == again == 1
    assert told == {
        "host": ["PermissionError", "PermissionError"],
        "privileges": ["0" * 16, "1"],
        "terminals": ["0", "ptmx"],
        "terminal": "/dev/pts/0",
        "daemons": told["daemons"],
    }
    # What the resolver needs may be left of /run.
    assert set(told["daemons"]) <= RESOLVER


async def test_questions_are_seen_on_either_terminal(
    root: Path, bubblewrap: Isolation, conversation: Callable[..., Any]
) -> None:
    talk = conversation(b"ada\n", b"pw\n")
    source = "import getpass; print(json.dumps([input(), getpass.getpass('')]))"
    async with open_host(root, bubblewrap) as host:
        assert await tell(host, talk, source) == ["ada", "pw"]
    assert talk.questions == [False, True]


async def test_why_a_kernel_does_not_start(
    root: Path, tmp_path: Path, bubblewrap: Isolation
) -> None:
    with pytest.raises(GatewayError, match=r"did not start: bwrap: .*missing"):
        async with open_host(root, bubblewrap, [Share(tmp_path / "missing", True)]):
            pass
    assert not await trio.Path(root).exists()


async def test_a_kernel_that_never_starts(root: Path, tmp_path: Path) -> None:
    limits = GatewayLimits(host_start_seconds=0.1, host_stop_seconds=0.1)
    program, told = tmp_path / "bwrap", tmp_path / "pid"
    program.write_text(f"#!/bin/sh\necho $$ > {told}.new; mv {told}.new {told}; exec sleep 1000")
    program.chmod(0o700)
    with pytest.raises(GatewayError, match=r"did not start within 0\.1 s"):
        async with open_host(root, Isolation("bubblewrap", str(program)), limits=limits):
            pass
    assert not await trio.Path(root).exists()
    if await trio.Path(told).exists():  # the kill may have come before it
        with trio.fail_after(10):  # it was killed; init collects it
            while await trio.Path("/proc", told.read_text().strip()).exists():  # noqa: ASYNC110
                await trio.sleep(0.01)


@pytest.fixture
async def kernel(
    gateway_parent: Path, tmp_path: Path, bubblewrap: Isolation
) -> AsyncIterator[TrioKernel]:
    """A kernel of a gateway with a data folder."""
    options = GatewayOptions(isolation="bubblewrap", data=tmp_path / "data")
    async with open_gateway(options) as gateway, open_client(gateway.config) as client:
        assert gateway.isolation == client.hello.isolation == bubblewrap.name
        async with open_kernel(client, PYTHON), open_kernel(client, PYTHON) as opened:
            yield opened
    assert os.listdir(gateway_parent) == []


async def test_keys_and_other_kernels_are_hidden(
    kernel: TrioKernel, gateway_parent: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    assert os.listdir(data)
    source = f"""
import os
assert not os.path.exists({str(data)!r})
(gateway,) = os.scandir({str(gateway_parent)!r})
(own,) = os.scandir(gateway.path)
assert os.getcwd() == own.path + "/work"
print(repr(input()))
"""
    assert await _outcome(kernel, source) == ("''\n", 0)
    (gateway,) = os.listdir(gateway_parent)
    found = os.listdir(gateway_parent / gateway)
    assert len([name for name in found if not name.endswith(".staging")]) == 2


async def test_what_the_options_name_is_readable(
    gateway_parent: Path, home: Path, bubblewrap: Isolation
) -> None:
    (home / "data").write_text("content")
    (home / "other").write_text("secret")
    options = GatewayOptions(isolation="bubblewrap", readable=[home / "data"])
    async with (
        open_gateway(options) as gateway,
        open_client(gateway.config) as client,
        open_kernel(client, PYTHON) as kernel,
    ):
        source = f"""
import os
print(open({str(home / "data")!r}).read(), os.path.exists({str(home / "other")!r}))
"""
        assert await _outcome(kernel, source) == ("content False\n", 0)


async def test_the_work_folder_is_where_managers_have_it(kernel: TrioKernel) -> None:
    source = f"""
import os
from pathlib import Path
work = Path({WORK_FOLDER!r})
open("file", "w").write("content")
print((work / "file").read_text(), os.listdir(work.parent) == [work.name])
(work / "other").write_text("x")
print(sorted(os.listdir()))
"""
    expected = "content True\n['file', 'other']\n"
    assert await _outcome(kernel, source) == (expected, 0)


async def test_a_readable_path_that_does_not_exist(home: Path, bubblewrap: Isolation) -> None:
    options = GatewayOptions(isolation="bubblewrap", readable=[home / "missing"])
    with pytest.raises(GatewayError, match=r"missing does not exist.*--readable"):
        async with open_gateway(options):
            pass


@pytest.mark.usefixtures("gateway_parent")
async def test_a_folder_that_was_given_to_read(tmp_path: Path, bubblewrap: Isolation) -> None:
    options = GatewayOptions(isolation="bubblewrap", data=tmp_path, access_key=FIRST)
    async with open_gateway(options) as gateway:
        assert gateway.isolation == bubblewrap.name
        first = gateway.config
    async with open_gateway(replace(options, access_key=SECOND)) as gateway:
        ours = replace(first, endpoint=gateway.config.endpoint)
        async with open_client(ours) as client, open_client(gateway.config) as theirs:
            folder = await create_vfolder(client, "given")
            await folder.share([SECOND], permission="ro")
            own = await create_vfolder(theirs, "own")
            spec = KernelSpec(runtime="python", mounts=("given", "own"))
            async with open_kernel(theirs, spec) as kernel:
                assert await _outcome(kernel, "open('own/x', 'w').write('x')") == ("", 0)
                source = "try: open('given/x', 'w')\nexcept OSError as exc: print(exc.errno)"
                assert await _outcome(kernel, source) == (f"{errno.EROFS}\n", 0)
            assert await folder.list_files() == []
            assert [file.name for file in await own.list_files()] == ["x"]


async def _outcome(kernel: TrioKernel, source: str) -> tuple[str, int | None]:
    text, code = "", None
    async with kernel.execute(source) as run:
        async for event in run:
            match event:
                case Stdout(said):
                    text += said
                case InputRequest():
                    await run.send_input("")
                case Finished(exit_code):
                    code = exit_code
    return text, code


# -- which one it is ------------------------------------------------------------------------------


def _result(wanted: Any) -> Isolation:
    with try_isolation(wanted) as trial:
        return trial.result()


def test_without_bubblewrap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _result("auto") is _result("process-group") is PROCESS_GROUP
    with pytest.raises(GatewayError, match=r"there is no bwrap on PATH.*'process-group'"):
        _result("bubblewrap")


async def test_where_bubblewrap_may_not_make_namespaces(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "bwrap"
    program.write_text(
        "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1"
    )
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    async with open_gateway() as gateway:
        assert gateway.isolation == "process-group"
    with pytest.raises(GatewayError, match="No permissions to create new namespace"):
        async with open_gateway(GatewayOptions(isolation="bubblewrap")):
            pass


async def test_no_such_isolation() -> None:
    with pytest.raises(GatewayError, match="'docker'; use one of auto, bubblewrap, process-group"):
        async with open_gateway(GatewayOptions(isolation="docker")):  # type: ignore[arg-type]
            pass


async def test_bubblewrap_is_used_where_it_works(bubblewrap: Isolation) -> None:
    async with open_gateway() as gateway:
        assert gateway.isolation == bubblewrap.name
