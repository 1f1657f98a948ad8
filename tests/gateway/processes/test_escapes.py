"""Attempts of code in a kernel under bubblewrap to get out: all that is promised must hold.

Code with privileges could do harm by what is attempted here, so it first makes sure that it has
none. Beyond that, no signal but 0 is sent, and nothing is written to files of the system.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio

from backendai_trio import (
    BackendError,
    GatewayOptions,
    KernelSpec,
    Stderr,
    Stdout,
    TrioKernel,
    open_client,
    open_gateway,
    open_kernel,
)
from backendai_trio.gateway import KernelLimits

PYTHON = KernelSpec(runtime="python")
SECRET = "what nobody may read"
PRELUDE = """
import ctypes, errno, json, os, socket, time
libc = ctypes.CDLL(None, use_errno=True)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
assert all(int(status[name], 16) == 0 for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb"))

def call(function, *arguments):
    "The name of the error of a function of C; None if it has succeeded."
    ctypes.set_errno(0)
    result = getattr(libc, function)(*arguments)
    return errno.errorcode[ctypes.get_errno()] if result == -1 else None

def attempt(function, *arguments):
    "The name of the error of a function of Python; None if it has succeeded."
    try:
        function(*arguments)
    except OSError as exc:
        return errno.errorcode.get(exc.errno, "other")

def read(path):
    with open(path, "rb") as file:
        file.read()

def change(path):
    os.close(os.open(path, os.O_WRONLY))

def in_child(function):
    "What a function returns in a new process, which may end its namespaces."
    reading, writing = os.pipe()
    if os.fork() == 0:
        try:
            os.write(writing, json.dumps(function()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as file:
        text = file.read()
    os.wait()
    return json.loads(text)

found = {}
"""


class Outside(NamedTuple):
    """What a kernel must not reach."""

    home: Path
    """Has ``.ssh/id``; it is in the home of the user."""
    data: Path
    """The data folder of the gateway."""
    kernel: TrioKernel
    """The kernel that tries it."""
    neighbour: Path
    """The work folder of another one."""


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=Path.home(), prefix=".backendai-tests-") as folder:
        (Path(folder) / ".ssh").mkdir()
        (Path(folder) / ".ssh/id").write_text(SECRET)
        yield Path(folder)


@pytest.fixture
async def outside(home: Path, tmp_path: Path, gateway_parent: Path, bubblewrap: object) -> Any:
    options = GatewayOptions(
        isolation="bubblewrap",
        network="loopback",
        data=tmp_path / "data",
        kernel_limits=KernelLimits(processes=200),
    )
    async with (
        open_gateway(options) as gateway,
        open_client(gateway.config) as client,
        open_kernel(client, PYTHON) as neighbour,
        open_kernel(client, PYTHON) as kernel,
    ):
        source = f"open('secret', 'w').write({SECRET!r}); import os; print(os.getcwd())"
        place = (await _output(neighbour, source)).split()[-1]
        yield Outside(home, tmp_path / "data", kernel, Path(place))


async def _output(kernel: TrioKernel, source: str) -> str:
    output, errors = "", ""
    async with kernel.execute(source) as run:
        async for event in run:
            match event:
                case Stdout(text):
                    output += text
                case Stderr(text):
                    errors += text
    assert errors == ""
    return output


async def _found(kernel: TrioKernel, source: str) -> Any:
    return json.loads(await _output(kernel, f"{PRELUDE}{source}\nprint(json.dumps(found))"))


async def test_files(outside: Outside) -> None:
    paths = [
        str(outside.home / ".ssh/id"),
        str(outside.neighbour / "secret"),
        *(str(path) for path in outside.data.iterdir() if path.is_file()),
    ]
    assert len(paths) > 2
    source = f"""
for path in {paths!r}:
    os.symlink(path, "link")
    found[path] = [
        attempt(read, way + path) for way in
        ("", "/proc/1/root", "/proc/self/root", "/proc/self/cwd" + "/.." * 20, "/." * 3)
    ] + [attempt(read, "link"), attempt(os.link, path, "hard"), attempt(change, path)]
    os.unlink("link")
"""
    found = await _found(outside.kernel, source)
    for path in paths:
        # The host may not be looked into; elsewhere the file does not exist.
        assert set(found[path]) <= {"ENOENT", "EACCES"}, (path, found[path])
    assert (outside.home / ".ssh/id").read_text() == SECRET


async def test_the_file_system_cannot_be_rearranged(outside: Outside) -> None:
    """Neither with the privileges that code has, nor in namespaces that it makes."""
    source = f"""
NEWUSER, NEWNS, BIND, DETACH = 0x10000000, 0x20000, 4096, 2

def rearrange():
    return [
        call("mount", b"tmpfs", b"/usr", b"tmpfs", 0, None),
        call("mount", b"/", b"/tmp", None, BIND, None),
        call("umount2", b"/tmp", DETACH),
        call("umount2", b"/usr", DETACH),
        attempt(os.chroot, "/tmp"),
        attempt(os.mknod, "disk", 0o60600, os.makedev(8, 0)),
        attempt(os.mknod, "memory", 0o20600, os.makedev(1, 1)),
    ]

found["as it is"] = rearrange()

def in_namespaces():
    made = call("unshare", NEWUSER | NEWNS)
    if made:
        return [made]
    return [call("umount2", path.encode(), DETACH) for path in ("/tmp", "/run", "/dev")] + [
        attempt(read, {str(outside.home / ".ssh/id")!r}),
        call("mount", None, b"/usr", None, 32 | BIND, None),  # writable again
        attempt(os.mknod, "disk", 0o60600, os.makedev(8, 0)),
    ]

found["in namespaces"] = in_child(in_namespaces)
found["of others"] = [
    attempt(os.setns, os.open(f"/proc/self/ns/{{name}}", os.O_RDONLY)) if hasattr(os, "setns")
    else call("setns", os.open(f"/proc/self/ns/{{name}}", os.O_RDONLY), 0)
    for name in ("mnt", "pid", "net", "ipc")
]
found["of the host"] = [attempt(read, f"/proc/1/ns/{{name}}") for name in ("mnt", "user")]
"""
    found = await _found(outside.kernel, source)
    _check_failed(found)


async def test_processes(outside: Outside) -> None:
    """Of all processes there are only the kernel's own, and the host is not to be touched."""
    source = f"""
ATTACH, SEIZE = 16, 0x4206
class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

own = {{pid for pid in map(int, filter(str.isdigit, os.listdir("/proc")))}}
found["processes"] = len(own)
found["signal"] = attempt(os.kill, {_unused_inside(os.getpid())}, 0)
found["trace"] = [call("ptrace", how, 1, None, None) for how in (ATTACH, SEIZE)]
buffer = ctypes.create_string_buffer(8)
near, far = Vector(ctypes.addressof(buffer), 8), Vector(id(buffer), 8)
found["memory"] = call("process_vm_readv", 1, ctypes.byref(near), 1, ctypes.byref(far), 1, 0)
found["host"] = [
    attempt(read, f"/proc/1/{{name}}") for name in ("environ", "mem", "maps", "auxv", "stack")
] + [attempt(os.readlink, f"/proc/1/{{name}}") for name in ("root", "exe", "fd/0", "fd/3")]
found["pidfd"] = call("syscall", 438, os.pidfd_open(1), 3, 0)  # pidfd_getfd
found["memory of others"] = len(open("/proc/sysvipc/shm").readlines()) - 1
"""
    segment = _shared_memory()
    try:
        found = await _found(outside.kernel, source)
    finally:
        _remove_shared_memory(segment)
    assert found.pop("processes") == 2
    assert found.pop("memory of others") == 0
    assert found["signal"] == "ESRCH"
    _check_failed(found)


def _check_failed(found: dict[str, Any]) -> None:
    """All attempts must have come to an error."""
    for name, errors in found.items():
        assert None not in (errors if isinstance(errors, list) else [errors]), (name, errors)


def _unused_inside(pid: int) -> int:
    """A process id of this machine that a kernel, which counts from 1, has not reached."""
    return pid if pid > 1000 else 2**21


def _shared_memory() -> int:
    return ctypes.CDLL(None).shmget(0, 4096, 0o600)  # type: ignore[no-any-return]


def _remove_shared_memory(segment: int) -> None:
    ctypes.CDLL(None).shmctl(segment, 0, None)


async def test_the_system(outside: Outside) -> None:
    source = """
found["settings"] = [attempt(change, path) for path in (
    "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/vm/drop_caches",
    "/sys/kernel/mm/transparent_hugepage/enabled", "/etc/passwd",
)]
found["devices"] = [attempt(read, path) for path in ("/dev/mem", "/dev/kmsg", "/dev/sda")]
found["devices"] += [attempt(os.listdir, path) for path in ("/dev/disk", "/dev/mapper")]
name = os.uname().nodename.encode()
found["names"] = call("sethostname", name, len(name))
found["clock"] = attempt(time.clock_settime, time.CLOCK_REALTIME, time.time())
found["modules"] = call("syscall", 175, None, 0, b"")  # init_module
found["priority"] = attempt(os.nice, -1)
found["users"] = [attempt(os.setuid, 12345), attempt(os.setgroups, [0])]
"""
    found = await _found(outside.kernel, source)
    _check_failed(found)


async def test_sockets(outside: Outside, tmp_path: Path) -> None:
    name = f"backendai-tests-escape-{os.getpid()}"
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_UNIX) as in_a_file,
    ):
        abstract.bind(f"\0{name}")
        abstract.listen()
        in_a_file.bind(str(tmp_path / "socket"))
        in_a_file.listen()
        source = f"""
def connect(family, address):
    with socket.socket(family) as client:
        client.settimeout(5)
        client.connect(address)

found["connect"] = [
    attempt(connect, socket.AF_INET, ("127.0.0.1", {server.getsockname()[1]})),
    attempt(connect, socket.AF_INET, ("192.0.2.1", 80)),
    attempt(connect, socket.AF_UNIX, "\\0" + {name!r}),
    attempt(connect, socket.AF_UNIX, {str(tmp_path / "socket")!r}),
]
found["raw"] = [
    attempt(socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    attempt(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0),
]
found["sockets of the system"] = [
    attempt(connect, socket.AF_UNIX, path)
    for path in ("/run/docker.sock", "/run/dbus/system_bus_socket", "/run/systemd/private")
]
"""
        found = await _found(outside.kernel, source)
    _check_failed(found)


async def test_links_in_the_work_folder(outside: Outside, tmp_path: Path) -> None:
    """The gateway, which can read all, does not follow them out of the kernel."""
    source = f"""
os.symlink({str(outside.home / ".ssh")!r}, "folder")
os.symlink({str(outside.home / ".ssh/id")!r}, "file")
os.symlink({str(outside.neighbour)!r}, "neighbour")
"""
    assert await _found(outside.kernel, source) == {}
    await trio.Path(tmp_path / "new").write_text("new")
    target = tmp_path / "downloads"
    target.mkdir()
    for name in ("folder/id", "file", "neighbour/secret", "folder"):
        with pytest.raises(BackendError):
            await outside.kernel.download([name], target)
    assert not any(SECRET in path.read_text() for path in target.rglob("*") if path.is_file())
    with pytest.raises(BackendError):
        await outside.kernel.upload([tmp_path / "new"], to="folder")
    assert os.listdir(outside.home / ".ssh") == ["id"]


async def test_many_processes(outside: Outside) -> None:
    """As many as is announced. Linux does not count those of root, and that is announced, too."""
    protections = {item.what: item.holds for item in outside.kernel.client.hello.protections}
    limited = protections["number of processes"]
    assert limited == (os.geteuid() != 0)
    source = """
import signal, time
children = []
def fork():
    child = os.fork()
    if child == 0:
        time.sleep(1000)
    children.append(child)
for _ in range(300):
    found["error"] = attempt(fork)
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""
    assert await _found(outside.kernel, source) == {"error": "EAGAIN" if limited else None}
