"""How much memory a transfer of a large file takes, in the client and in the gateway."""

from __future__ import annotations

import filecmp
import os
import shutil
import sys
from collections.abc import Iterator

from ..processes import peak_bytes
from ..rows import OURS, Limit, Row
from ..servers import gateway
from ..setting import Setting
from ..workers import MeasuringFailed, open_worker
from .files import write_file

NAME = "memory"
TITLE = "Growth of memory in a transfer of one large file"
GIB = 1 << 30
LIMIT_BYTES = 60e6


def measure(setting: Setting) -> Iterator[Row]:
    size = setting.count(4 * GIB, GIB // 2)
    with setting.place() as (folder, env), gateway(folder / "data", env) as served:
        source, back = folder / "large", folder / "back"
        source.mkdir()
        write_file(source / "large.bin", size)
        orders: dict[str, tuple[str, ...]] = {
            "upload": ("upload", "kernel", "bench", str(source)),
            "download": ("download", "kernel", "bench", "large", str(back)),
        }
        for action, order in orders.items():
            os.sync()
            before = peak_bytes(served.pid, reset=True)
            with open_worker(sys.executable, "ours_files.py", env | served.variables) as worker:
                client = float(worker.ask(*order)["growth"])
            grown = {"client": client, "gateway": float(peak_bytes(served.pid) - before)}
            for who, growth in grown.items():
                name = f"{action} of {size / GIB:g} GiB, growth of the {who}"
                headline = action == "upload" and who == "client"
                limit = Limit(LIMIT_BYTES)
                yield Row(NAME, name, {OURS: [growth]}, "bytes", limit=limit, headline=headline)
        if not filecmp.cmp(source / "large.bin", back / "large" / "large.bin", shallow=False):
            raise MeasuringFailed("the file came back different")
        shutil.rmtree(back)
