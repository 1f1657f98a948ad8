"""TLS contexts: which certificates a client trusts."""

from __future__ import annotations

import os
import ssl
import sys
import warnings
from functools import lru_cache

from ..config.settings import Config
from ..errors import ConfigError, InsecureConnectionWarning

__all__ = ["tls_context", "verifying_context"]

# Where Linux distributions keep the certificates that they trust, in one file.
_CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


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
