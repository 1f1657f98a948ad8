"""Starts the published kernel runner in a session: its fixed ports are moved.

kernel.py LANGUAGE
"""

import asyncio
import importlib
import os
import runpy
import sys

import zmq

BASE = int(os.environ["LAB_PORTS"])
INPUT_PORT = 65000
_bind, _start_server = zmq.Socket.bind, asyncio.start_server


def bind(self, addr):
    """Bind to the session's port instead of 2000 to 2003."""
    if isinstance(addr, bytes):
        addr = addr.decode()
    number = addr.rsplit(":", 1)[1]
    return _bind(self, "tcp://127.0.0.1:%d" % (BASE + int(number) - 2000))


def start_server(callback, host=None, port=None, **kwargs):
    """Listen on the session's port instead of the one for input."""
    return _start_server(callback, host, BASE + 4 if port == INPUT_PORT else port, **kwargs)


zmq.Socket.bind, asyncio.start_server = bind, start_server
del sys.path[0]  # this folder, not the runner's
language = sys.argv[-1]
module = importlib.import_module("ai.backend.kernel." + language)
module.CHILD_ENV.pop("LD_PRELOAD", None)  # a library that only the published images have
module.CHILD_ENV["LAB_INPUT_PORT"] = str(BASE + 4)
runpy.run_module("ai.backend.kernel", run_name="__main__", alter_sys=True)
