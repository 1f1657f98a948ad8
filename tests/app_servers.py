"""A TCP server that tests run in kernels, to reach it as a service."""

from __future__ import annotations

__all__ = ["SERVER"]

#: Prints its port. Answers with what it got, reversed, once its peer has ended its direction;
#: "quit!" is answered and closed at once, "reset" resets, "echo!" echoes as it comes.
SERVER = """
import socket, struct, threading
listener = socket.create_server(("127.0.0.1", 0))
def serve(peer):
    first = peer.recv(5)
    if first == b"quit!":
        peer.sendall(b"bye"); peer.close(); return
    if first == b"reset":
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close(); return
    if first == b"echo!":
        while data := peer.recv(65536): peer.sendall(data)
        peer.close(); return
    got = bytearray(first)
    while data := peer.recv(65536): got += data
    peer.sendall(bytes(got)[::-1]); peer.close()
def accept():
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
threading.Thread(target=accept, daemon=True).start()
print(listener.getsockname()[1])
"""
