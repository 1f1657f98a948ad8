"""Request signatures: `sign` for the client, `verify` for the gateway. Pure, every era.

Source: docs/protocol.md, section 2. Its test vectors are tests of this module.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache

__all__ = [
    "Credential",
    "SignatureRefused",
    "Signed",
    "body_is_signed",
    "check_claim",
    "parse_authorization",
    "parse_date",
    "sign",
    "verify",
]

MAX_SKEW = timedelta(minutes=15)
"""Largest difference between a request's date and the server's clock."""

FIRST_VERSION_WITHOUT_BODY = "v4.20181215"
"""From this API version on the body is not signed. Versions compare as text, as in managers."""

_AUTHORIZATION = re.compile(r"\s*(?:BackendAI|Sorna)\s+(.*)", re.DOTALL)


class SignatureRefused(Exception):
    """A request is not authenticated. `kind` is the problem type of the server's reply."""

    def __init__(self, status: int, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.kind = kind
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Signed:
    """The parts of a request that its signature covers."""

    method: str
    target: str = field(repr=False)
    """Path and query exactly as on the request line."""
    date: str
    """The raw text of the date header."""
    host: str
    """The Host header, port included when it is sent."""
    content_type: str
    """The media type; parameters such as a boundary are dropped before signing."""
    version: str
    """The API version header's text, e.g. ``v6.20200815``."""
    version_header: str = "x-backendai-version"
    """Lower-case name of the header that carried the version (``x-sorna-version`` of old)."""
    body: bytes = field(default=b"", repr=False)
    body_digest: str | None = None
    """Hexadecimal hash of a body that is not in memory; `body` is then ignored."""

    def text(self, hash_name: str) -> str:
        """The string to sign (docs/protocol.md, section 2.2): seven lines, no final newline."""
        media_type = self.content_type.partition(";")[0].strip().lower()
        if not body_is_signed(self.version, media_type):
            digest = _digest_of_nothing(hash_name)
        else:
            digest = self.body_digest or hashlib.new(hash_name, self.body).hexdigest()
        return (
            f"{self.method.upper()}\n{self.target}\n{self.date}\nhost:{self.host}\n"
            f"content-type:{media_type}\n{self.version_header}:{self.version}\n{digest}"
        )


@dataclass(frozen=True, slots=True)
class Credential:
    """The content of an Authorization header."""

    access_key: str
    signature: str
    hash_name: str = "sha256"

    def header(self) -> str:
        """The header's value."""
        return (
            f"BackendAI signMethod=HMAC-{self.hash_name.upper()}, "
            f"credential={self.access_key}:{self.signature}"
        )


def body_is_signed(version: str, media_type: str) -> bool:
    """Whether the signature covers the body's hash, or the hash of an empty body."""
    # Archives for our own gateway are streamed, as forms are.
    streamed = media_type.startswith("multipart/") or media_type == "application/x-tar"
    return version < FIRST_VERSION_WITHOUT_BODY and not streamed


def sign(request: Signed, *, access_key: str, secret_key: str, hash_name: str = "sha256") -> str:
    """The Authorization header's value for a request.

    Raises:
        ValueError: the date is malformed, or the hash is unknown.
    """
    key = _signing_key(secret_key, parse_date(request.date), request.host.encode(), hash_name)
    signature = hmac.digest(key, request.text(hash_name).encode(), hash_name).hex()
    return Credential(access_key, signature, hash_name).header()


def verify(
    request: Signed,
    authorization: str | None,
    *,
    now: datetime,
    secret_key_of: Callable[[str], str | None],
) -> str:
    """Check a request against its Authorization header; the inverse of `sign`.

    Args:
        request: as it was received, byte for byte.
        authorization: the header's value, None if there was none.
        now: the server's clock, with a zone.
        secret_key_of: the secret key of an access key; None if there is no such key.

    Returns:
        The access key that signed the request.

    Raises:
        SignatureRefused: with the status and problem type of docs/protocol.md, section 2.1.
    """
    credential, date = check_claim(authorization, request.date, now=now)
    try:
        text = request.text(credential.hash_name).encode()
        host = request.host.encode()
    except UnicodeEncodeError:
        raise SignatureRefused(400, "invalid-auth-params", "A header is not valid text") from None
    secret_key = secret_key_of(credential.access_key)
    # An unknown key takes the same steps and gets the same reply as a wrong signature, so that
    # neither text nor time reveals which access keys exist.
    key = _signing_key(secret_key or "0" * 40, date, host, credential.hash_name)
    expected = hmac.new(key, text, credential.hash_name).hexdigest()
    matches = hmac.compare_digest(expected.encode(), credential.signature.encode())
    if secret_key is None or not matches:
        raise SignatureRefused(
            401, "auth-failed", "The access key is unknown or the signature does not match"
        )
    return credential.access_key


def check_claim(
    authorization: str | None, date: str, *, now: datetime
) -> tuple[Credential, datetime]:
    """Check what a request says of its signature, before its body is there.

    Args:
        authorization: the header's value, None if there was none.
        date: the raw text of the date header.
        now: the server's clock, with a zone.

    Returns:
        The content of the header, and the date.

    Raises:
        SignatureRefused: it is not signed, or now is not the time that it was signed for.
    """
    if authorization is None:
        raise SignatureRefused(401, "auth-failed", "The request is not signed")
    credential = parse_authorization(authorization)
    try:
        signed_at = parse_date(date)
    except ValueError:
        raise SignatureRefused(
            400, "invalid-auth-params", "Date/time sync error: the date header cannot be read"
        ) from None
    if abs(now - signed_at) > MAX_SKEW:
        raise SignatureRefused(
            400,
            "invalid-auth-params",
            "Date/time sync error: the clocks are more than 15 minutes apart; "
            f"the server's says {now.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z",
        )
    return credential, signed_at


def parse_authorization(value: str) -> Credential:
    """Read an Authorization header: scheme BackendAI or Sorna, parameters in any order.

    Raises:
        SignatureRefused: it is malformed, or its hash has no digest of fixed size.
    """
    match = _AUTHORIZATION.fullmatch(value)
    parameters = {
        name.strip(): text.strip()
        for name, _, text in (
            part.partition("=") for part in (match[1] if match else "").split(",")
        )
    }
    access_key, colon, signature = parameters.get("credential", "").partition(":")
    method, dash, hash_name = parameters.get("signMethod", "").lower().partition("-")
    if not (
        colon
        and access_key.isascii()
        and access_key
        and signature.isascii()
        and method == "hmac"
        and dash
    ):
        raise SignatureRefused(400, "invalid-auth-params", "Malformed Authorization header")
    if hash_name not in hashlib.algorithms_guaranteed or hash_name.startswith("shake"):
        raise SignatureRefused(400, "invalid-auth-params", "The signature's hash is not supported")
    return Credential(access_key, signature.lower(), hash_name)


def parse_date(text: str) -> datetime:
    """Read a request's date: ISO 8601 or the form of RFC 7231; no zone means UTC.

    Raises:
        ValueError: it is neither.
    """
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        # Imported here: only other clients send this form, and the import takes 8 ms.
        from email.utils import parsedate_to_datetime

        try:
            date = parsedate_to_datetime(text)
        except (TypeError, IndexError, OverflowError) as exc:
            raise ValueError("not a date") from exc
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)


def _signing_key(secret_key: str, date: datetime, host: bytes, hash_name: str) -> bytes:
    # The day is that of the date in its own zone, not in UTC (vector A5).
    return _key_of_day(secret_key, f"{date.year:04}{date.month:02}{date.day:02}", host, hash_name)


@lru_cache(maxsize=16)
def _digest_of_nothing(hash_name: str) -> str:
    return hashlib.new(hash_name, b"").hexdigest()


@lru_cache(maxsize=16)
def _key_of_day(secret_key: str, day: str, host: bytes, hash_name: str) -> bytes:
    key = hmac.digest(secret_key.encode(), day.encode(), hash_name)
    return hmac.digest(key, host, hash_name)
