"""Backend.AI for asyncio programs: the same methods as in Trio, to be awaited::

    kern = await AsyncKernel.get_or_create("lua5", client_token="abc")
    result = await kern.execute('print("hello world")', mode="query")
    print(result["console"])
    await kern.destroy()

They work in any number of loops and threads, on uvloop as well. Cancelling a call, by hand or with
`asyncio.timeout`, cancels the work: code that runs is interrupted in its kernel, and CancelledError
is raised when it has stopped. Context variables of the caller are visible in the call.

The server is that of the environment (`read_config`) unless a `config` is given. With none set, a
gateway is started in this process; its kernels and virtual folders end with it.
"""

from __future__ import annotations

from .kernels import AsyncAdmin as AsyncAdmin
from .kernels import AsyncKernel as AsyncKernel
from .streams import ForwardedApp as ForwardedApp
from .streams import StreamExecute as StreamExecute
from .streams import StreamPty as StreamPty
from .vfolders import AsyncVFolder as AsyncVFolder

# Names of client 1.1.1.
Admin = AsyncAdmin
Kernel = AsyncKernel
VFolder = AsyncVFolder

__all__ = [
    "Admin",
    "AsyncAdmin",
    "AsyncKernel",
    "AsyncVFolder",
    "ForwardedApp",
    "Kernel",
    "StreamExecute",
    "StreamPty",
    "VFolder",
]
