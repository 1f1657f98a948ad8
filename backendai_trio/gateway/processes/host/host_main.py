"""The process host of one kernel, as a program.

Run as ``python -I -S host_main.py FD GATEWAY ROOT``; only `process_host.py` starts it. FD is a
SEQPACKET socket to the gateway, GATEWAY a pidfd of the gateway (-1 where Linux has none) and ROOT
the kernel's private folder.

Python compiles this file at each start; the files that it imports are compiled once.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .serving import Host
else:
    sys.path.insert(0, __file__.rpartition("/")[0])
    from serving import Host

    del sys.path[0]

if __name__ == "__main__":
    sys.exit(Host(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]).serve())
