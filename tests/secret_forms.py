"""Finds secrets in texts and files, in whatever form they are written there."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

__all__ = ["files_with", "forms_of", "secrets_in"]


def forms_of(secret: str) -> set[bytes]:
    """A secret as it is, percent-encoded, escaped, in hexadecimal digits, and in Base64, where it
    may begin at each place within three bytes."""
    raw = secret.encode()
    forms = {
        raw,
        quote(secret, safe="").encode(),
        quote(secret).encode(),
        quote_plus(secret).encode(),
        json.dumps(secret)[1:-1].encode(),
        repr(secret)[1:-1].encode(),
        raw.hex().encode(),
    }
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            encoded = encode(bytes(before) + raw)
            # Digits that also depend on the bytes beside it are left out.
            forms.add(encoded[4 if before else 0 : len(encoded) // 4 * 4 - 4])
    return forms


def secrets_in(data: bytes, secrets: Mapping[str, str]) -> list[str]:
    """The names of the secrets that some bytes hold.

    Args:
        data: the bytes.
        secrets: the secrets by their names.
    """
    return [
        name for name, secret in secrets.items() if any(form in data for form in forms_of(secret))
    ]


def files_with(folder: Path, secrets: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The files below a folder that hold secrets: the path in it, and the secret's name."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            for name in secrets_in(path.read_bytes() + b"\n" + str(path).encode(), secrets):
                yield path.relative_to(folder).as_posix(), name
