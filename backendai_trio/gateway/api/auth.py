"""Authentication: each request, except for the version, has a signature or a login's cookie."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from starlette.requests import HTTPConnection

from ...wire.http import OCTETS
from ...wire.signing import SignatureRefused, Signed, body_is_signed, check_claim, verify
from ..refusals import Refused
from ..storage.database import Store

__all__ = ["LOGGED_IN", "authenticate"]

LOGGED_IN = "backendai_trio.logged_in"
"""Key in the ASGI scope of a request with a cookie: the access key, ``""`` if it is unknown."""

_DATE_HEADERS = ("date", "x-backendai-date", "x-sorna-date")
_VERSION_HEADERS = ("x-backendai-version", "x-sorna-version")


def authenticate(
    request: HTTPConnection,
    method: str,
    body: bytes | None,
    store: Store,
    *,
    clock_skew_seconds: float = 0.0,
) -> str | None:
    """Check a request's signature or login.

    Args:
        request: as it arrived; target and Host are used byte for byte. An upgrade to a WebSocket is
            signed like any GET.
        method: its method.
        body: its body, None if it was not read yet; empty for a form, since no API version signs a
            form's body.
        store: has the key pairs.
        clock_skew_seconds: how far the gateway's clock is ahead (`Faults.clock_skew_seconds`).

    Returns:
        The access key. None, if the signature is one of the body as well, which was not read yet:
        all else that can be checked is right.

    Raises:
        Refused: with status and kind as in docs/protocol.md, sections 2.1 and 10.
    """
    if LOGGED_IN in request.scope:
        access_key: str = request.scope[LOGGED_IN]
        if not access_key:
            raise Refused(401, "auth-failed", "Unauthorized access", "no login has this cookie")
        return access_key
    now = datetime.now(UTC) + timedelta(seconds=clock_skew_seconds)
    authorization = request.headers.get("authorization")
    try:
        signed = _signed_of(request, method, body or b"")
        if body is None and body_is_signed(signed.version, signed.content_type):
            check_claim(authorization, signed.date, now=now)
            return None
        return verify(signed, authorization, now=now, secret_key_of=store.secret_key_of)
    except SignatureRefused as exc:
        raise Refused(exc.status, exc.kind, "Not authorized", exc.reason) from None


def _signed_of(request: HTTPConnection, method: str, body: bytes) -> Signed:
    """The parts of a request that its signature covers.

    Raises:
        SignatureRefused: one of them is missing.
    """
    headers = request.headers
    version_header = next((name for name in _VERSION_HEADERS if headers.get(name)), None)
    date = next((headers[name] for name in _DATE_HEADERS if headers.get(name)), None)
    if version_header is None:
        raise SignatureRefused(400, "invalid-auth-params", "The API version header is missing")
    if date is None:
        raise SignatureRefused(
            400, "invalid-auth-params", "Date/time sync error: the date header is missing"
        )
    media_type = headers.get("content-type", OCTETS).partition(";")[0].strip().lower()
    if media_type.startswith("multipart/"):
        # Client 1.1.1's asynchronous upload signs form-data and sends mixed (docs/protocol.md,
        # section 5.1).
        media_type = "multipart/form-data"
    query = request.scope["query_string"]
    target = request.scope["raw_path"] + (b"?" + query if query else b"")
    return Signed(
        method,
        target.decode("latin-1"),
        date,
        headers.get("host", ""),
        media_type,
        headers[version_header],
        version_header,
        body,
    )
