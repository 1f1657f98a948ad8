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
# The assignment of a setting, also where the end of a line before it is lost.
_OWN_ASSIGNMENT = re.compile(rf"((?:BACKEND|SORNA)_(?:{_OWN_NAMES}))\s*=", re.ASCII)

_OWN_PREFIXES = (b"BACKEND_", b"SORNA_")


def decode_dotenv(data: bytes) -> str:
    """The text of a ``.env`` file: UTF-8, or what its byte order mark says.

    Returns:
        The text; ``""`` for a file in another encoding that has ASCII in it and none of our names:
        it is another program's.

    Raises:
        ConfigError: it is not text, or UTF-16 without a byte order mark.
    """
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as exc:
        if encoding == "utf-8" and _is_foreign(data):
            return ""
        raise ConfigError(
            ".env", f"not text in UTF-8 (byte {exc.start + 1}); save it in that encoding"
        ) from None
    if "\0" in text:
        raise ConfigError(".env", "cannot be read (it has NUL characters); save it as UTF-8")
    return text


def _is_foreign(data: bytes) -> bool:
    """Whether a file has assignments in an extension of ASCII, such as Latin-1 or EUC-KR, and none
    of our names."""
    has_ascii = b"=" in data and b"\n" in data and b"\0" not in data
    return has_ascii and not any(prefix in data for prefix in _OWN_PREFIXES)


def parse_dotenv(text: str) -> dict[str, str]:
    """The variables of a ``.env`` file: ``KEY=value`` lines, ``#`` comments, ``export``, quotes.

    Other lines are skipped, since files that shells read hold more than assignments. A quoted value
    of another program may have several lines.

    Raises:
        ConfigError: a line names one of our settings and is not an assignment, it has two of them,
            its quote is not closed, or it stands within another variable's quotes. The message has
            the number of the line, and never its content.
    """
    found: dict[str, str] = {}
    numbered = list(enumerate(_LINE_END.split(text), start=1))[::-1]
    while numbered:
        number, raw_line = numbered.pop()
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
        if quoted is None and value[:1] in ("'", '"'):
            if _OWN_VARIABLE.fullmatch(name):
                raise ConfigError(
                    name, f"the quotes in line {number} of .env do not match; write {name}=VALUE"
                )
            if value[0] not in value[1:]:
                _skip_quoted(numbered, value[0], number)
        found[name] = quoted[2] if quoted else _COMMENT.sub("", value)
        # Another program's value may have anything in its quotes.
        if not quoted or _OWN_VARIABLE.fullmatch(name):
            _check_single(found[name], number)
    return found


def _check_single(value: str, number: int) -> None:
    """Refuse a value that has one of our settings in it: that one would be lost, and the value of a
    secret key might be shown as part of a malformed address.

    Raises:
        ConfigError: it has.
    """
    if own := _OWN_ASSIGNMENT.search(value):
        raise ConfigError(own[1], f"line {number} of .env has two settings; write a line for each")


def _skip_quoted(numbered: list[tuple[int, str]], quote: str, begin: int) -> None:
    """Remove the lines up to the closing quote; none if there is no closing quote.

    Args:
        numbered: the lines that follow, the next one last.
        quote: the quote.
        begin: number of the line that opens it.

    Raises:
        ConfigError: one of our settings is among them, and may be meant or not.
    """
    end = next((n for n in reversed(range(len(numbered))) if quote in numbered[n][1]), None)
    if end is None:
        return
    for number, line in reversed(numbered[end:]):
        if own := _OWN_VARIABLE.search(_COMMENT.sub("", line)):
            raise ConfigError(
                own[0],
                f"line {number} of .env is within the quotes that line {begin} opens; close them",
            )
    del numbered[end:]
