"""Handlers of requests about the SSH key pair (docs/protocol.md, section 9.3).

The gateway keeps it, and no kernel of it has a use for it.
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from ...wire.json_fields import encode_json
from ...wire.ssh_keypair import SSH_UPLOAD_SINCE, SSHKeyPair
from ...wire.versions import Hello
from ..refusals import Refused
from ..releases import OURS
from .handlers import Answer, Call

__all__ = ["generate", "get", "upload"]

_SETTING = "ssh-keypair"
# The form that managers make.
_GENERATE = ("-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-C", "")


def get(call: Call) -> Answer:
    """``GET /auth/ssh-keypair``: the public key."""
    text = call.sessions.store.setting(call.access_key, _SETTING)
    key = SSHKeyPair.decode(text.encode()).public_key if text else None
    return Answer(encode_json({"ssh_public_key": key}))


async def generate(call: Call) -> Answer:
    """``PATCH /auth/ssh-keypair``: both keys."""
    program = shutil.which("ssh-keygen")
    if program is None:
        raise _not_made(501, "not-implemented", "this machine has no ssh-keygen")
    make = partial(TemporaryDirectory, dir=call.sessions.folder)
    with await trio.to_thread.run_sync(make) as name:
        path = Path(name) / "key"
        seconds = call.sessions.limits.keygen_seconds
        with trio.move_on_after(seconds) as timeout:
            done = await trio.run_process(
                [program, *_GENERATE, "-f", str(path)],
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
        if timeout.cancelled_caught:
            raise _not_made(500, "internal-server-error", f"it took more than {seconds:g} s")
        if done.returncode:
            # The folder's name is the gateway's own.
            text = done.stderr.decode(errors="replace").replace(f"{name}/", "")
            reason = " ".join(text.split()) or f"ssh-keygen has failed ({done.returncode})"
            raise _not_made(500, "internal-server-error", reason)
        public = path.with_suffix(".pub").read_text().strip()
        keypair = SSHKeyPair(f"{public}\n", path.read_text())
    return _store(call, keypair)


def _not_made(status: int, kind: str, why: str) -> Refused:
    return Refused(status, kind, "No SSH key pair was made", why)


def upload(call: Call) -> Answer:
    """``POST /auth/ssh-keypair``."""
    release = call.sessions.release
    if release is not OURS and release.hello.key < Hello(SSH_UPLOAD_SINCE).key:
        raise Refused(405, "method-not-allowed", "HTTP Method Not Allowed")
    sent = SSHKeyPair.decode(call.body)
    public, private = (f"{key.rstrip()}\n" for key in (sent.public_key, sent.private_key))
    return _store(call, SSHKeyPair(public, private))


def _store(call: Call, keypair: SSHKeyPair) -> Answer:
    data = keypair.encode()
    call.sessions.store.set_setting(call.access_key, _SETTING, data.decode())
    return Answer(data)
