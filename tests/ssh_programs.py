"""Programs in place of OpenSSH's, for tests of what surrounds them: they run where it is missing.

The SSH server listens and identifies itself as one, and then echoes; the client runs its
ProxyCommand with its own standard streams, after it has noted its arguments.
"""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["KEY", "install_client", "install_server"]

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nkey of {}\n-----END OPENSSH PRIVATE KEY-----\n"

_KEYGEN = """
import pathlib, sys
path = pathlib.Path(sys.argv[sys.argv.index("-f") + 1])
path.write_text({key!r}.format(path.parent))
path.with_name(path.name + ".pub").write_text("ssh-ed25519 AAAA")
"""

_SERVER = """
import os, socket, sys, threading
settings = dict(word.split("=", 1) for word in sys.argv if "=" in word)
if os.environ.get("SSHD_FAILS"):
    sys.exit("no hostkeys available -- exiting.")
listener = socket.create_server((settings["ListenAddress"], int(settings["Port"])))
print("Server listening on", *listener.getsockname()[:2], file=sys.stderr, flush=True)
def serve(peer):
    peer.sendall(b"SSH-2.0-Test\\r\\n")
    while data := peer.recv(65536):
        peer.sendall(data)
    peer.close()
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""

_CLIENT = """
import json, os, subprocess, sys
settings = dict(word[2:].split("=", 1) for word in sys.argv[1:] if word.startswith("-o"))
key = settings["IdentityFile"].strip('"').replace("%%", "%")
noted = {"argv": sys.argv, "key": open(key).read(), "mode": os.stat(key).st_mode & 0o777}
with open(os.environ["SSH_NOTES"], "w") as file:
    json.dump(noted, file)
command = settings["ProxyCommand"].replace("%%", "%")
sys.exit(subprocess.run(command, shell=True).returncode or 7)
"""


def install_server(folder: Path) -> None:
    """Write ``sshd`` and ``ssh-keygen`` to a folder that comes first on PATH."""
    _write(folder / "sshd", _SERVER)
    _write(folder / "ssh-keygen", _KEYGEN.format(key=KEY))


def install_client(folder: Path) -> None:
    """Write ``ssh`` and ``scp`` to a folder that comes first on PATH."""
    _write(folder / "ssh", _CLIENT)
    _write(folder / "scp", _CLIENT)


def _write(path: Path, source: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!{sys.executable}\n{source}")
    path.chmod(0o755)
