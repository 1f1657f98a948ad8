"""Responses of a hostile server, and signatures of a hostile client."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import replace
from datetime import UTC, datetime

from backendai_trio.errors import RemoteProtocolError
from backendai_trio.transport.exceptions import Disconnected, MalformedResponse
from backendai_trio.wire.content_coding import PIECE_BYTES, ContentDecoder, decode_content
from backendai_trio.wire.signing import SignatureRefused, Signed, sign, verify

from ...transport.response_oracle import check_beside_h11, ours
from ..choices import Choices, pieces

ACCESS_KEY, SECRET_KEY = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
DATE = "2026-11-30T12:00:00+00:00"
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
_MAX_BYTES = 1024 * 1024


def http_response(data: bytes) -> None:
    """Our parser reads no other response than h11, and the same one however it is cut."""
    choices = Choices(data)
    method, closed = choices.pick(["GET", "HEAD", "POST"]), choices.flag()
    cuts = choices.cuts()
    message = choices.rest()
    parts = pieces(message, cuts)
    check_beside_h11(parts, method, closed=closed)
    whole, in_parts = _reading([message], method, closed), _reading(parts, method, closed)
    assert whole == in_parts, (whole, in_parts)


def _reading(parts: list[bytes], method: str, closed: bool) -> object:
    """A reading, or the kind of the refusal."""
    try:
        reading = ours(parts, method, closed=closed)
    except (MalformedResponse, Disconnected) as exc:
        return type(exc)
    return reading


def signatures(data: bytes) -> None:
    """Only the signed request passes, and anything else is refused by `SignatureRefused`."""
    choices = Choices(data)
    field = choices.below(9)
    text = choices.rest().decode("latin-1")
    signed = Signed(
        "POST",
        "/session?a=b",
        DATE,
        "127.0.0.1:8080",
        "application/json",
        "v4.20181214",
        "x-backendai-version",
        b'{"a": 1}',
    )
    header: str | None = sign(signed, access_key=ACCESS_KEY, secret_key=SECRET_KEY)
    changed = signed
    match field:
        case 0:
            header = text
        case 1:
            changed = replace(signed, method=text)
        case 2:
            changed = replace(signed, target=text)
        case 3:
            changed = replace(signed, date=text)
        case 4:
            changed = replace(signed, host=text)
        case 5:
            changed = replace(signed, content_type=text)
        case 6:
            changed = replace(signed, version=text)
        case 7:
            changed = replace(signed, body=text.encode("latin-1"))
        case _:
            header = header.replace(ACCESS_KEY, text)
    keys = {ACCESS_KEY: SECRET_KEY}
    try:
        found = verify(changed, header, now=NOW, secret_key_of=keys.get)
    except SignatureRefused as exc:
        assert exc.status in (400, 401)
        return
    assert found == ACCESS_KEY
    if header is None or field == 0:
        assert "".join(header.split()).lower().endswith(_signature_of(signed)), header
    else:
        assert _canonical(changed) == _canonical(signed), changed


def _signature_of(signed: Signed) -> str:
    return sign(signed, access_key=ACCESS_KEY, secret_key=SECRET_KEY).rpartition(":")[2]


def _canonical(signed: Signed) -> tuple[object, ...]:
    """What may not differ: HTTP's methods and media types are compared in one case."""
    return (signed.method.upper(), signed.text("sha256"))


def content_coding(data: bytes) -> None:
    """Compressed bodies: pieces and wholes have limits, and are what zlib's own reading is."""
    choices = Choices(data)
    coding, cuts = choices.pick(["gzip", "deflate", "identity", ""]), choices.cuts()
    body = choices.rest()
    decoder = ContentDecoder(coding, "fuzz")
    found = bytearray()
    failed = False
    try:
        for part in pieces(body, cuts):
            for piece in decoder.feed(part):
                assert len(piece) <= PIECE_BYTES or decoder.is_identity
                found += piece
                if len(found) > _MAX_BYTES:
                    return
        decoder.finish()
    except RemoteProtocolError:
        failed = True
    try:
        whole = decode_content(body, coding, "fuzz", max_bytes=_MAX_BYTES)
    except RemoteProtocolError:
        assert failed
        return
    assert not failed
    assert whole == found
    try:
        if coding == "gzip" and body:
            assert gzip.decompress(body) == whole
    except (OSError, EOFError, zlib.error):
        pass  # padding behind a member, which only Python's reader takes, or refuses
