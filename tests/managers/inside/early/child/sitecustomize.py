"""In a program that a session starts: `input()` asks the client, through the kernel runner."""

import builtins
import os
import socket
import sys


def ask(prompt=""):
    """As `input`; the images of that time had a library that does this."""
    sys.stdout.write(str(prompt))
    sys.stdout.flush()
    with socket.create_connection(("127.0.0.1", int(os.environ["LAB_INPUT_PORT"]))) as connection:
        data = b""
        while True:
            piece = connection.recv(4096)
            if not piece:
                return data.decode()
            data += piece


if "LAB_INPUT_PORT" in os.environ:
    builtins.input = ask
