"""Files of this client: to and from a kernel, and to and from a virtual folder."""

from __future__ import annotations

import time
from pathlib import Path

import trio
from protocol import Figures, obey
from work import high_water

from backendai_trio import (
    Client,
    KernelSpec,
    attach_kernel,
    create_vfolder,
    find_vfolder,
    open_client,
)


class Files:
    """The orders."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def make(self, where: str, name: str) -> Figures:
        """A kernel or a virtual folder, for both clients."""
        if where == "kernel":
            await attach_kernel(self._client, KernelSpec(runtime="python"), token=name)
        else:
            await create_vfolder(self._client, name)
        return {}

    async def remove(self, where: str, name: str) -> Figures:
        if where == "kernel":
            kernel = await attach_kernel(self._client, KernelSpec(runtime="python"), token=name)
            await kernel.destroy()
        else:
            await (await find_vfolder(self._client, name)).delete()
        return {}

    async def upload(self, where: str, name: str, folder: str) -> Figures:
        """Upload a folder, under its name."""
        path = Path(folder)
        before, start = high_water(), time.perf_counter()
        if where == "kernel":
            kernel = await attach_kernel(self._client, KernelSpec(runtime="python"), token=name)
            await kernel.upload([path], base=path.parent)
        else:
            await (await find_vfolder(self._client, name)).upload([path], base=path.parent)
        return {"seconds": time.perf_counter() - start, "growth": high_water() - before}

    async def download(self, where: str, name: str, path: str, into: str) -> Figures:
        """Download a folder, into an empty one."""
        before, start = high_water(), time.perf_counter()
        if where == "kernel":
            kernel = await attach_kernel(self._client, KernelSpec(runtime="python"), token=name)
            await kernel.download([path], into)
        else:
            await (await find_vfolder(self._client, name)).download([path], into)
        return {"seconds": time.perf_counter() - start, "growth": high_water() - before}


async def main() -> None:
    async with open_client() as client:
        files = Files(client)
        await obey(
            {
                "make": files.make,
                "remove": files.remove,
                "upload": files.upload,
                "download": files.download,
            },
            trio.to_thread.run_sync,
        )


if __name__ == "__main__":
    trio.run(main)
