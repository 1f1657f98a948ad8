"""How a process host leaves its kernel without any network.

It has a network namespace of its own then, and for this one step the privilege to change that.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import sys

_SIOCSIFFLAGS = 0x8914
_SIOCSIFADDR = 0x8916
_PR_CAPBSET_DROP = 24
_CAP_SETPCAP = 8
_CAP_NET_ADMIN = 12
_CAPABILITY_VERSION_3 = 0x20080522


def leave_network() -> None:
    """Take the loopback interface down, and drop all privileges.

    Raises:
        OSError: Linux refuses it.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anything:
        # struct ifreq: the name; and the address 0.0.0.0, or no flags, so not IFF_UP either.
        # Without an address, connecting to localhost fails at once.
        family = socket.AF_INET.to_bytes(2, sys.byteorder)
        fcntl.ioctl(anything, _SIOCSIFADDR, (b"lo".ljust(16, b"\0") + family).ljust(40, b"\0"))
        fcntl.ioctl(anything, _SIOCSIFFLAGS, b"lo".ljust(40, b"\0"))
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (_CAP_NET_ADMIN, _CAP_SETPCAP):
        _check(libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0))
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)  # of this process
    _check(libc.capset(header, (ctypes.c_uint32 * 6)()))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
