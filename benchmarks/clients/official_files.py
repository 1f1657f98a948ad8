"""Files of an official client, in whose venv it runs."""

from __future__ import annotations

import asyncio
import resource
import time
from pathlib import Path
from typing import Any

from ai.backend.client.session import AsyncSession
from protocol import Figures, obey

# It keeps all the files of an upload open at once.
_HARD = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (_HARD, _HARD))


class Files:
    """The orders."""

    def __init__(self, session: Any) -> None:
        self._session = session

    async def upload(self, where: str, name: str, folder: str) -> Figures:
        """Upload a folder, under its name."""
        path = Path(folder)
        start = time.perf_counter()
        if where == "kernel":
            # It takes files only.
            files = _files_in(path)
            await self._session.ComputeSession(name).upload(files, basedir=path.parent)
        else:
            folder_there = self._session.VFolder(name)
            await folder_there.upload([path], basedir=path.parent, recursive=True)
        return {"seconds": time.perf_counter() - start}

    async def download(
        self, where: str, name: str, path: str, into: str, files: list[str]
    ) -> Figures:
        """Download a folder, into an empty one.

        Args:
            files: the files in it, which a virtual folder is asked for one by one.
        """
        start = time.perf_counter()
        if where == "kernel":
            _make_folders({Path(into)})
            await self._session.ComputeSession(name).download([path], into)
        else:
            _make_folders({Path(into, file).parent for file in files})
            await self._session.VFolder(name).download(files, basedir=into)
        return {"seconds": time.perf_counter() - start}


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _make_folders(folders: set[Path]) -> None:
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)


async def main() -> None:
    async with AsyncSession() as session:
        files = Files(session)
        await obey({"upload": files.upload, "download": files.download}, asyncio.to_thread)


if __name__ == "__main__":
    asyncio.run(main())
