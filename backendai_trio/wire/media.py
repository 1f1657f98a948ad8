"""Pictures and other media in the output of a run: their bytes, and the text that carries them.

Source: docs/protocol.md, section 4.2. A record of the console is text, so servers send bytes as a
``data:`` URL (RFC 2397) or as base64, and what is text by itself (SVG, JSON) as it is.
"""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes

from ..errors import RemoteProtocolError

__all__ = ["decode_media", "encode_media", "is_json", "is_text", "plain_type"]

_DATA_URL = re.compile(r"\s*data:([^,]*),(.*)", re.IGNORECASE | re.DOTALL)
_SPACE = re.compile(r"\s+")
_URL_SAFE = str.maketrans("-_", "+/")
_TEXT_SUBTYPES = frozenset({"javascript", "json", "x-latex", "xhtml", "xml"})
_TEXT_SUFFIXES = ("+json", "+xml")


def plain_type(mime_type: str) -> str:
    """A MIME type in lower case and without parameters: ``image/png``."""
    return mime_type.partition(";")[0].strip().lower()


def is_json(mime_type: str) -> bool:
    """Whether media of this type are JSON."""
    subtype = plain_type(mime_type).partition("/")[2]
    return subtype == "json" or subtype.endswith("+json")


def is_text(mime_type: str) -> bool:
    """Whether media of this type are text in UTF-8."""
    kind, _, subtype = plain_type(mime_type).partition("/")
    return kind == "text" or subtype in _TEXT_SUBTYPES or subtype.endswith(_TEXT_SUFFIXES)


def decode_media(mime_type: str, data: str) -> bytes:
    """The bytes of a medium.

    Args:
        mime_type: its type, as the server says.
        data: a ``data:`` URL; or text, where the type is one of text; or base64, of either alphabet
            and with or without padding and line ends.

    Raises:
        RemoteProtocolError: the type is not one of text, and the data are neither of the others.
    """
    if (url := _DATA_URL.fullmatch(data)) is not None:
        parameters = [part.strip().lower() for part in url[1].split(";")]
        content = unquote_to_bytes(url[2].encode("utf-8", "surrogateescape"))
        decoded = _base64(content.decode("latin-1")) if "base64" in parameters[1:] else content
        if decoded is not None:
            return decoded
    elif not is_text(mime_type):
        if (decoded := _base64(data)) is not None:
            return decoded
    elif plain_type(mime_type).endswith("xml") and "<" not in data:
        decoded = _base64(data)  # XML without a tag is none
        if decoded is not None and b"<" in decoded:
            return decoded
    if is_text(mime_type):
        return data.encode("utf-8", "replace")
    start = data[:20]
    raise RemoteProtocolError(
        f"output of type {mime_type[:60]!r}: its data are neither a data URL nor base64, but begin "
        f"with {start!r}"
    )


def encode_media(mime_type: str, content: bytes) -> str:
    """The text that carries a medium: `decode_media` gives back its bytes.

    Args:
        mime_type: its type.
        content: its bytes.

    Returns:
        The text itself, where the type is one of text and it can be told from the other forms;
        otherwise a ``data:`` URL.
    """
    if is_text(mime_type):
        try:
            text = content.decode()
        except UnicodeDecodeError:
            pass
        else:
            if decode_media(mime_type, text) == content:
                return text
    return f"data:{plain_type(mime_type)};base64,{base64.b64encode(content).decode('ascii')}"


def _base64(text: str) -> bytes | None:
    """The bytes that base64 stands for; None if it is something else."""
    text = _SPACE.sub("", text).rstrip("=").translate(_URL_SAFE)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
