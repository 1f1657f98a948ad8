"""Starts the published kernel runner, listening on the loopback address only.

The runner of 26.9 would start itself a second time to take "python" out of its command line, and so
lose the change below; what it looks at to see that this was done is set here.
"""

import os
import runpy
import sys
from pathlib import Path

import zmq

_bind = zmq.Socket.bind


def bind(self, addr):
    """Bind to the loopback address where all would be."""
    return _bind(self, addr.replace("tcp://*:", "tcp://127.0.0.1:"))


zmq.Socket.bind = bind
del sys.path[0]  # this folder, not the runner's
os.environ["BACKEND_REEXECED"] = "1"
Path(f"/tmp/{os.getpid()}.krunner-args").write_text("\0".join(sys.argv[1:]))
runpy.run_module("ai.backend.kernel", run_name="__main__", alter_sys=True)
