"""TLS of a client: which certificates it trusts, and sessions that are resumed."""

from __future__ import annotations

import math
import os
import ssl
import sys
import warnings
from collections import defaultdict
from functools import lru_cache
from typing import Final

import trio

from ..config.settings import Config, Endpoint
from ..errors import ConfigError, InsecureConnectionWarning

__all__ = ["ClientTLS", "SessionRefused", "handshake", "tls_context", "verifying_context"]

# Where Linux distributions keep the certificates that they trust, in one file.
_CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_RESUMED_SECONDS = 86_400.0


class SessionRefused(Exception):
    """The server breaks the connection off instead of beginning a session anew, as some do that ask
    for certificates of clients. The next handshake with it is a whole one."""


class _Sessions:
    """The sessions with one server.

    Attributes:
        latest: the connection that was secured last, whose session is the next to be resumed.
        since: when the server's certificate was last looked at, on Trio's clock.
    """

    def __init__(self) -> None:
        self.latest: trio.SSLStream[trio.abc.Stream] | None = None
        self.since = -math.inf
        self._session: ssl.SSLSession | None = None
        self._refused = False

    def next(self) -> ssl.SSLSession | None:
        """The session to resume; None for a whole handshake."""
        # The server sends tickets after the handshake, with what it sends first.
        if self.latest is not None and (found := self.latest.session) and found.has_ticket:
            self._session = found
        # After a day the certificate is looked at again (RFC 8446, section 4.6.1).
        if self._refused or trio.current_time() - self.since > _RESUMED_SECONDS:
            return None
        return self._session

    def secured(self, stream: trio.SSLStream[trio.abc.Stream]) -> None:
        """Note a handshake that has succeeded."""
        self.latest = stream
        if not stream.session_reused:
            self.since = trio.current_time()
            self._session = None

    def refuse(self) -> None:
        """Resume none from now on."""
        self._refused = True


class ClientTLS:
    """TLS of a client's connections.

    A connection resumes the session of an earlier one to the same address, for as long as the
    server allows: its certificate was checked then, and each WebSocket has a connection of its own
    (RFC 8446, section 2.2). Where that takes 1.2 ms, it saves half.

    Args:
        context: of all these connections.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context: Final = context
        self._sessions: defaultdict[tuple[str, int], _Sessions] = defaultdict(_Sessions)
        # Other contexts look at the server's certificates, which a resumed session has not.
        self._resumes = type(context) is ssl.SSLContext

    async def secure(
        self, stream: trio.abc.Stream, endpoint: Endpoint
    ) -> trio.SSLStream[trio.abc.Stream]:
        """Secure a connection to a server.

        Args:
            stream: the connection, which the caller closes if this fails.
            endpoint: the server.

        Raises:
            SessionRefused: a handshake that was to resume a session has failed.
            trio.BrokenResourceError: a whole handshake has failed; the cause says how.
        """
        if not self._resumes:
            return await handshake(stream, self.context, endpoint.host)
        sessions = self._sessions[endpoint.host, endpoint.port]
        session = sessions.next()
        try:
            secure = await handshake(stream, self.context, endpoint.host, session=session)
        except trio.BrokenResourceError as exc:
            if session is None or isinstance(exc.__cause__, ssl.SSLCertVerificationError):
                raise  # a whole handshake
            sessions.refuse()
            raise SessionRefused from exc
        sessions.secured(secure)
        return secure


async def handshake(
    stream: trio.abc.Stream,
    context: ssl.SSLContext,
    name: str,
    *,
    session: ssl.SSLSession | None = None,
) -> trio.SSLStream[trio.abc.Stream]:
    """Secure a connection.

    Args:
        stream: the connection, which the caller closes if this fails.
        context: which certificates are trusted.
        name: the server's host name or address, which its certificate must be for.
        session: the one to resume, of an earlier connection with `context`.

    Raises:
        trio.BrokenResourceError: the handshake has failed; the cause says how.
    """
    secure = trio.SSLStream(stream, context, server_hostname=name, https_compatible=True)
    if session is not None:
        secure.session = session
    await secure.do_handshake()
    return secure


def tls_context(config: Config) -> ssl.SSLContext | None:
    """The context of a client's connections over TLS; None if none of the server's addresses is on
    ``https``.

    Making one reads every certificate that the system trusts: 50 to 115 ms that block the event
    loop. So a client has one for all of its connections.

    Raises:
        ConfigError: ``BACKEND_CA_FILE`` holds no certificates.
    """
    urls = [endpoint.url for endpoint in config.endpoints if endpoint.scheme == "https"]
    if not urls:
        return None
    context = _new_context(config.ca_file)
    if not config.verify_tls:
        warnings.warn(
            f"certificate checks are off for {', '.join(urls)} "
            "(BACKEND_SKIP_SSLCERT_VALIDATION): anyone on the way can read and change everything",
            InsecureConnectionWarning,
            stacklevel=4,  # the caller's `async with open_client`
        )
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@lru_cache(maxsize=4)
def verifying_context(ca_file: str | None) -> ssl.SSLContext:
    """A context for other servers than the client's own: storage proxies beside a manager on plain
    HTTP, and proxies that are reached over TLS. It checks certificates always, and is kept.

    Args:
        ca_file: a PEM file of certificates to trust beside the system's.

    Raises:
        ConfigError: the file holds no certificates.
    """
    return _new_context(ca_file)


def _new_context(ca_file: str | None) -> ssl.SSLContext:
    context: ssl.SSLContext
    if sys.platform in ("darwin", "win32"):
        # OpenSSL does not see the certificates that these systems trust. (Elsewhere truststore
        # reads them anew for each handshake: 230 ms instead of 12.)
        import truststore

        context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        context = ssl.create_default_context()
        paths = ssl.get_default_verify_paths()
        if paths.cafile is None and paths.capath is None:  # a Python that was built elsewhere
            for name in filter(os.path.isfile, _CA_FILES):
                context.load_verify_locations(name)
                break
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except ssl.SSLError:
            raise ConfigError(
                "BACKEND_CA_FILE", f"{ca_file!r} holds no certificates; set it to a PEM file"
            ) from None
        except OSError as exc:
            raise ConfigError(
                "BACKEND_CA_FILE", f"{ca_file!r} cannot be read: {exc.strerror}"
            ) from None
    return context
