"""Seeds of files with settings."""

from __future__ import annotations

from ..targets.http import ACCESS_KEY, SECRET_KEY
from .chosen import Seeds


def dotenvs() -> Seeds:
    plain = f"BACKEND_ENDPOINT=http://127.0.0.1:8081\nBACKEND_ACCESS_KEY={ACCESS_KEY}\n"
    plain += f"BACKEND_SECRET_KEY={SECRET_KEY}\n"
    return {
        "plain": plain.encode(),
        "export": f"export BACKEND_SECRET_KEY='{SECRET_KEY}' # mine\r\nexport A B\r\n".encode(),
        "quotes": f'A="one\nBACKEND_SECRET_KEY={SECRET_KEY}\ntwo"\n'.encode(),
        "open": f'BACKEND_SECRET_KEY="{SECRET_KEY}\n'.encode(),
        "utf-16": plain.encode("utf-16"),
        "latin-1": "NAME=\u00fc\nB=c\n".encode("latin-1"),
        "sorna": f"SORNA_ACCESS_KEY={ACCESS_KEY}\nBACKEND_VFOLDER_MOUNTS=a,b\n".encode(),
    }


def profile_files() -> Seeds:
    text = f'[default]\nendpoint = "https://a.example"\naccess_key = "{ACCESS_KEY}"\n'
    text += f'secret_key = "{SECRET_KEY}"\n'
    return {
        "plain": text.encode(),
        "two": f'{text}\n[lab]\nendpoint = "http://[::1]:80"\nread_timeout = "3"\n'.encode(),
        "wrong-type": b"[default]\nread_timeout = 3\n",
        "not-toml": f'[default\nsecret_key = "{SECRET_KEY}"'.encode(),
        "unknown": f'[default]\nsecret = "{SECRET_KEY}"\n'.encode(),
    }
