"""Where ext4 places new folders on the disk."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

__all__ = ["spread_folders"]

# <linux/fs.h>, and ext4's inode flags as chattr(1) sets them.
_LONG = struct.calcsize("l")
_GET_FLAGS, _SET_FLAGS = 0x80006601 | _LONG << 16, 0x40006602 | _LONG << 16
_TOP_OF_HIERARCHIES = 0x20000


def spread_folders(parent: Path) -> None:
    """Tell ext4 that the folders in `parent` are unrelated, as it assumes for home folders.

    ext4 then places each in a part of the disk of its own. Otherwise they lie close together, and
    each new file searches through the inodes that other kernels have freed, since ext4 does not
    reuse an inode for minutes. After many kernels, making a thousand files took 0.1 to 1.0 s that
    way, and takes 0.03 s this way. Other file systems ignore the request, and do not need it.
    """
    folder = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        (flags,) = struct.unpack("l", fcntl.ioctl(folder, _GET_FLAGS, bytes(_LONG)))
        fcntl.ioctl(folder, _SET_FLAGS, struct.pack("l", flags | _TOP_OF_HIERARCHIES))
    except OSError:
        pass
    finally:
        os.close(folder)
