"""Files that a checkout, or somebody else, has brought: ``.env`` and profiles."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from unittest import mock

from backendai_trio.config.dotenv import decode_dotenv, parse_dotenv
from backendai_trio.config.layers import Layer
from backendai_trio.config.parsing import SETTINGS, parse_config
from backendai_trio.config.profiles import profile_layer, read_profiles
from backendai_trio.errors import ConfigError

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
_OWN = re.compile(
    rf"(?:BACKEND|SORNA)_(?:{'|'.join(name.upper() for name in SETTINGS)})=[A-Za-z0-9:/._-]+"
)
_ASSIGNED = re.compile(
    rb"(?:\b(?:BACKEND|SORNA)_SECRET_KEY\s*=\s*|^secret_key\s*=\s*)[\"']?"
    + re.escape(SECRET).encode(),
    re.MULTILINE,
)


def _check_hidden(exc: ConfigError, content: bytes) -> None:
    """The secret is not shown, unless it stands where nobody expects it, such as in an address."""
    if content.count(SECRET.encode()) == len(_ASSIGNED.findall(content)):
        assert SECRET not in str(exc)


def dotenv(data: bytes) -> None:
    """A setting of ours is read or refused, never passed over; no error shows a secret."""
    content = data
    try:
        text = decode_dotenv(content)
        found = parse_dotenv(text)
    except ConfigError as exc:
        _check_hidden(exc, content)
        return
    last = dict[str, str]()
    for line in re.split(r"\r\n|\r|\n", text):
        if _OWN.fullmatch(line):
            name, _, value = line.partition("=")
            last[name] = value
    for name in last:
        assert name in found, name
    _parse(Layer(found, ".env"), content)


def profiles(data: bytes) -> None:
    """A file of profiles is read, or refused by `ConfigError` that shows no secret."""
    content = data
    with tempfile.TemporaryDirectory(prefix="fuzz-") as made:
        folder = Path(made) / "backend.ai-trio"
        with mock.patch.dict(os.environ, {"XDG_CONFIG_HOME": made}):
            from backendai_trio.config.profiles import profiles_file

            folder = profiles_file().parent
            folder.mkdir(mode=0o700, exist_ok=True)
            profiles_file().write_bytes(content)
            profiles_file().chmod(0o600)
            try:
                names = list(read_profiles())
                for name in names:
                    _parse(profile_layer(name), content)
            except ConfigError as exc:
                _check_hidden(exc, content)


def _parse(layer: Layer, content: bytes) -> None:
    try:
        config = parse_config(layer)
    except ConfigError as exc:
        _check_hidden(exc, content)
        return
    if config is not None and config.secret_key == SECRET:
        assert repr(config).count(SECRET) == 0 or SECRET in config.endpoint.url
