"""The ``.env`` file of the current folder: its encoding and its lines.

A line that names one of our settings and cannot be read is an error. To pass over it would mean to
use another server than the user named, with the user's key pair.
"""

from __future__ import annotations

import codecs
import re

from ..errors import ConfigError
from .parsing import SETTINGS

__all__ = ["decode_dotenv", "parse_dotenv"]

# The longest mark first: that of UTF-32 begins with that of UTF-16.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LINE_END = re.compile(r"\r\n|\r|\n")
_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*", re.ASCII)
_QUOTED = re.compile(r"""(["'])(.*?)\1\s*(?:#.*)?""")
_COMMENT = re.compile(r"(?:^|\s+)#.*")
# `export NAME` without a value marks a variable that is set elsewhere.
_EXPORT_ONLY = re.compile(r"\s*export(?:\s+[A-Za-z_]\w*)+\s*", re.ASCII)
_OWN_NAMES = "|".join(name.upper() for name in (*SETTINGS, "profile"))
# Not `$NAME` and `${NAME}`: they use the variable, and do not set it.
_OWN_VARIABLE = re.compile(
    rf"(?<![\w$])(?<!\$\{{)(?:BACKEND|SORNA)_(?:{_OWN_NAMES})(?!\w)", re.ASCII
)


def decode_dotenv(data: bytes) -> str:
    """The text of a ``.env`` file: UTF-8, or what its byte order mark says.

    Raises:
        ConfigError: it is not text, or UTF-16 without a byte order mark.
    """
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as exc:
        raise ConfigError(".env", f"cannot be read ({exc}); save it as UTF-8") from None
    if "\0" in text:
        raise ConfigError(".env", "cannot be read (it has NUL characters); save it as UTF-8")
    return text


def parse_dotenv(text: str) -> dict[str, str]:
    """The variables of a ``.env`` file: ``KEY=value`` lines, ``#`` comments, ``export``, quotes.

    Other lines are skipped, since files that shells read hold more than assignments.

    Raises:
        ConfigError: a line names one of our settings and is not an assignment, or its quote is not
            closed. The message has the number of the line, and never its content.
    """
    found: dict[str, str] = {}
    for number, raw_line in enumerate(_LINE_END.split(text), start=1):
        line = raw_line.lstrip("\ufeff")  # files with a byte order mark, joined by `cat`
        match = _ASSIGNMENT.fullmatch(line)
        if match is None:
            own = _OWN_VARIABLE.search(_COMMENT.sub("", line))
            if own is not None and not _EXPORT_ONLY.fullmatch(line):
                raise ConfigError(
                    own[0], f"line {number} of .env cannot be read; write it as {own[0]}=VALUE"
                )
            continue
        name, value = match.groups()
        quoted = _QUOTED.fullmatch(value)
        if quoted is None and value[:1] in ("'", '"') and _OWN_VARIABLE.fullmatch(name):
            raise ConfigError(
                name, f"the quotes in line {number} of .env do not match; write {name}=VALUE"
            )
        found[name] = quoted[2] if quoted else _COMMENT.sub("", value)
    return found
