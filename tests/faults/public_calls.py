"""The calls that the public API has, from its names."""

from __future__ import annotations

import inspect
from importlib import import_module

__all__ = ["NOT_CALLS", "public_calls"]

PACKAGES = ("", "admin", "config", "files", "kernels", "login", "proxy", "transport", "vfolders")
#: Public functions and methods that send nothing to a server, and why.
NOT_CALLS = {
    "Client.date": "formats a time",
    "Client.error": "makes an error of a response",
    "Client.extension": "keeps an object",
    "Client.has": "looks at what the server announced",
    "Client.seconds": "reads a setting",
    "Client.signed_headers": "signs",
    "Execution.__aiter__": "returns itself",
    "Execution.abandon": "lets the run go without a word to the server",
    "TrioKernel.release": "keeps the kernel past its block",
    "EventStream.__aiter__": "returns itself",
    "DownloadStream.__aiter__": "returns itself",
    "AppStream.__aiter__": "returns itself",
    "Terminal.__aiter__": "returns itself",
    "transport.ConnectionState.note_failure": "sets a state",
    "transport.ConnectionState.set_back": "sets a state",
    "transport.ConnectionState.set_lost": "sets a state",
    "transport.ConnectionState.wait_back": "waits for a state",
    "transport.ConnectionState.wait_changed": "waits for a state",
    "transport.ConnectionState.wait_lost": "waits for a state",
    "files.UploadStream.open": "opens a source on this machine",
    "open_gateway": "is the server",
}
#: The blocking classes: their calls are those of the Trio classes, in a thread.
BLOCKING = {"Kernel", "VFolder"}
#: Classes are named without their package where the package is that of their calls.
SHORT = {"AppStream", "DownloadStream", "EventStream"}
SPECIAL = ("__anext__", "__aiter__", "__aenter__")


def public_calls() -> set[str]:
    """Names of public coroutine functions and context managers, and of all methods of the public
    classes that have any such method, the blocking and asyncio classes apart."""
    found: set[str] = set()
    for package in PACKAGES:
        module = import_module(f"backendai_trio.{package}".rstrip("."))
        for name in module.__all__:
            thing = getattr(module, name)
            label = f"{package}.{name}" if package and name not in SHORT else name
            if inspect.isclass(thing):
                if name not in BLOCKING:
                    found |= _methods(thing, label)
            elif callable(thing) and _is_async(thing):
                found.add(label)
    return found


def _methods(cls: type, label: str) -> set[str]:
    methods = {
        name: getattr(cls, name)
        for name in dir(cls)
        if (not name.startswith("_") or name in SPECIAL)
        and callable(getattr(cls, name))
        and not inspect.isclass(getattr(cls, name))
    }
    if not any(map(_is_async, methods.values())):
        return set()
    return {f"{label}.{name}" for name in methods}


def _is_async(thing: object) -> bool:
    inner = inspect.unwrap(thing)  # type: ignore[arg-type]
    return inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner)
