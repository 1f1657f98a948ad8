"""Keeps a server of the seed era on 127.0.0.1; to be imported before the server is."""

import zmq

HOST = "127.0.0.1"
_bind = zmq.Socket.bind


def bind(self, addr):
    """Bind to the loopback address where all would be."""
    if isinstance(addr, bytes):
        addr = addr.decode()
    return _bind(self, addr.replace("tcp://*:", "tcp://%s:" % HOST))


def answer(value):
    """A coroutine function that gives a value, in the place of one that asks a cloud's metadata."""

    async def get(*args):
        return value

    return get


zmq.Socket.bind = bind
