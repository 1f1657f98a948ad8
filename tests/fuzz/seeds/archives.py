"""Seeds of archives."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from backendai_trio.files.archives import archive, sealed
from backendai_trio.wire.archives import END, Entry, encode_entry, padding

from .chosen import Seeds, chosen


def tar_archives() -> Seeds:
    with TemporaryDirectory() as made:
        folder = Path(made) / "folder"
        folder.mkdir()
        (folder / "file").write_bytes(b"hello")
        (folder / ("long" * 30)).write_bytes(b"x")
        (folder / "link").symlink_to("file")
        for path in (*folder.iterdir(), folder):
            os.utime(path, (1_000_000_000, 1_000_000_000), follow_symlinks=False)
        whole = b"".join(sealed(archive([(folder, "folder")])))
    linked = encode_entry(Entry("a", "file", 5)) + b"hello" + padding(5)
    hard = bytearray(encode_entry(Entry("b", "symlink", target="a")))
    hard[156:157] = b"1"
    out = encode_entry(Entry("l", "symlink", target="../../outside"))
    through = encode_entry(Entry("l/x", "file", 1)) + b"x" + padding(1)
    more = encode_entry(Entry("a", "file", 3, more=True)) + b"abc" + padding(3)
    climbing = bytearray(encode_entry(Entry("aaaa", "file", 1)))
    climbing[:4] = b"../a"
    device = bytearray(encode_entry(Entry("dev", "file")))
    device[156:157] = b"3"
    pax = b"25 path=../../outside/pw\n"
    header = bytearray(encode_entry(Entry("p", "file", len(pax))))
    header[156:157] = b"x"
    # All but the first have checksums that the harness repairs.
    return {
        "sealed": chosen(whole, 1, 1, 0),
        "hard-link": chosen(linked + hard + END, 0, 0, 1),
        "link-out": chosen(out + through + END, 0, 0, 1),
        "goes-on": chosen(linked + more + END, 0, 0, 1, 1, 30),
        "climbs": chosen(bytes(climbing) + b"x" + padding(1) + END, 0, 0, 1),
        "device": chosen(bytes(device) + END, 0, 0, 1),
        "pax": chosen(bytes(header) + pax + padding(len(pax)) + out + END, 0, 0, 1),
    }


def tar_headers() -> Seeds:
    return {
        "file": chosen(encode_entry(Entry("a", "file", 5, executable=True, modified=1))),
        "large": chosen(encode_entry(Entry("b", "file", 8**12))),
        "link": chosen(encode_entry(Entry("c", "symlink", target="a"))),
    }


def zip_archives() -> Seeds:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr(zipfile.ZipInfo("a/b"), b"hello")
    end = b"PK\x05\x06" + b"\xff" * 16 + b"\0\0"
    locator = b"PK\x06\x07" + bytes(12) + b"\x01\0\0\0"
    far = b"PK\x06\x06" + bytes(52)
    return {
        "small": buffer.getvalue(),
        "empty": end.replace(b"\xff", b"\0"),
        "64": far + locator + end,
        "disks": far + locator.replace(b"\x01", b"\x02") + end,
    }
