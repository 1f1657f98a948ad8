"""The servers of the benchmarks: a gateway, a server that answers at once, and certificates."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .workers import CLIENTS, MeasuringFailed

__all__ = [
    "Certificate",
    "Served",
    "backend_ai",
    "certificate_in",
    "clean_environment",
    "gateway",
    "null_server",
    "started",
]

KEYS = {
    "BACKEND_ACCESS_KEY": "AKIABENCHMARKSTREAMS",
    "BACKEND_SECRET_KEY": "Secret-key-of-the-benchmarks-0123456789a",
    "BACKEND_ENDPOINT_TYPE": "api",
}
START_SECONDS = 60.0
END_SECONDS = 60.0


def backend_ai() -> str:
    """Our command, beside the Python that runs this."""
    return str(Path(sysconfig.get_path("scripts")) / "backend.ai")


def clean_environment(folder: Path) -> dict[str, str]:
    """The caller's environment without settings of a server or of Python, and with a HOME."""
    # PYTHONDONTWRITEBYTECODE, for one, would have every run compile a checkout anew.
    dropped = ("BACKEND_", "SORNA_", "PYTHON")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(dropped) and not name.lower().endswith("_proxy")
    }
    return kept | {"HOME": str(folder), "TMPDIR": str(folder)}


@dataclass(frozen=True)
class Certificate:
    """A certificate for loopback, in PEM files."""

    chain: Path
    key: Path
    authority: Path

    @property
    def trust(self) -> dict[str, str]:
        """What has clients trust it."""
        # The second is OpenSSL's own, for the official clients, which have no such setting.
        return {"BACKEND_CA_FILE": str(self.authority), "SSL_CERT_FILE": str(self.authority)}


def certificate_in(folder: Path) -> Certificate:
    """Make a certificate for loopback."""
    import trustme

    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    made = Certificate(folder / "chain.pem", folder / "key.pem", folder / "ca.pem")
    made.chain.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(made.key)
    authority.cert_pem.write_to_path(made.authority)
    return made


@dataclass(frozen=True)
class Served:
    """A server that serves."""

    url: str
    pid: int

    @property
    def variables(self) -> dict[str, str]:
        """What leads clients to it."""
        return KEYS | {"BACKEND_ENDPOINT": self.url}


@contextmanager
def started(argv: list[str], env: Mapping[str, str], pattern: str) -> Iterator[Served]:
    """A program that says where it serves: the first group of a pattern in a line of its output.

    Raises:
        MeasuringFailed: it does not start.
    """
    with subprocess.Popen(
        argv, env=dict(env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        late = threading.Timer(START_SECONDS, process.kill)
        late.start()
        try:
            assert process.stdout is not None
            said = ""
            found = None
            while found is None:
                line = process.stdout.readline()
                if not line:
                    raise MeasuringFailed(f"{' '.join(argv[:3])} did not start: {said[-500:]}")
                said += line
                found = re.search(pattern, line)
            late.cancel()
            # A program whose output nobody reads stops when the pipe is full.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield Served(found[1], process.pid)
        finally:
            late.cancel()
            process.terminate()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def gateway(
    folder: Path, env: Mapping[str, str], *options: str, certificate: Certificate | None = None
) -> Iterator[Served]:
    """A gateway that `backend.ai serve` keeps, under further options."""
    tls: list[str] = []
    if certificate is not None:
        tls = ["--certificate", str(certificate.chain), "--certificate-key", str(certificate.key)]
    argv = [backend_ai(), "serve", "--port", "0", "--access-key", KEYS["BACKEND_ACCESS_KEY"]]
    argv += ["--data", str(folder), *tls, *options]
    secret = {"BACKEND_SECRET_KEY": KEYS["BACKEND_SECRET_KEY"]}
    with started(argv, {**env, **secret}, r"Serving on (\S+)") as served:
        yield served


@contextmanager
def null_server(env: Mapping[str, str], certificate: Certificate | None = None) -> Iterator[Served]:
    """A server that has every answer ready; see clients/null_server.py."""
    argv = [sys.executable, str(CLIENTS / "null_server.py")]
    if certificate is not None:
        argv += [str(certificate.chain), str(certificate.key)]
    with started(argv, env, r"Serving on (\S+)") as served:
        yield served
