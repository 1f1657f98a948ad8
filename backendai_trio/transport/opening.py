"""Opening a client: which server answers, and how to speak to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from ..config.environment import read_config
from ..config.kernel_journal import Journal
from ..config.settings import Config
from ..errors import ConfigError, RemoteProtocolError
from ..wire.http import Request, Response, decode_problem
from ..wire.versions import SEED, Hello, choose_era
from .client import Client
from .limits import Limits
from .pool import ConnectionPool
from .proxies import proxy_of
from .retry import is_transient
from .sending import UNAVAILABLE, outgoing_request, unavailable_advice
from .tls import ClientTLS, tls_context

__all__ = ["open_client"]


@asynccontextmanager
async def open_client(
    config: Config | None = None,
    *,
    journal: Journal | None = None,
    limits: Limits | None = None,
) -> AsyncIterator[Client]:
    """Open a client and agree with the server on a version.

    Of several addresses (`Config.endpoints`) the first is used where the server can be reached and
    is available. If there is none, the last one's failure is raised.

    Args:
        config: the settings; None reads them from the environment (`read_config`).
        journal: where to write down the kernels of `open_kernel` while they live, so that they can
            be ended should this process be killed.
        limits: how much to take from the server; None for `Limits()`.

    Raises:
        ConfigError: nothing is configured, or what answers there is not a Backend.AI server.
        ConnectionFailed: the server cannot be reached.
        ServerError: it is not available now (HTTP status 502, 503 or 504).
        QuotaExceeded: it takes no more requests for now (429).

    Endpoint: ``GET /``, and ``GET /v2`` where that is not known (docs/protocol.md, section 1.3).
    """
    config = config or read_config()
    if config is None:
        raise ConfigError(
            "BACKEND_ENDPOINT",
            "not set; set it with BACKEND_ACCESS_KEY and BACKEND_SECRET_KEY, "
            "or open a gateway of your own with open_gateway()",
        )
    limits = limits or Limits()
    context = tls_context(config)
    tls = None if context is None else ClientTLS(context)
    async with ConnectionPool(config, tls, limits) as pool:
        client = Client(pool, config, tls, journal, limits)
        negotiate = partial(_negotiate, client)
        await client.sender.addresses.reach(negotiate, leaves=is_transient)
        try:
            yield client
        finally:
            client.closed = True


async def _negotiate(client: Client, config: Config) -> None:
    """Ask the server for its version, and choose how the client speaks to it.

    Args:
        client: what is being opened.
        config: the settings with the address to ask at.

    Raises:
        ConnectionFailed: it cannot be reached.
        ServerError: it answers 502, 503 or 504: it starts, or a proxy before it cannot reach it.
        QuotaExceeded: it answers 429.
        ConfigError: what answers there is not a Backend.AI server.
    """
    hello_path = "/"
    try:
        response = await _probe(client, config, hello_path)
        if response.status in (400, 404):
            # Managers 1.0 to 1.2 know no root; they say hello at /v2 (and check the clock).
            hello_path = SEED.hello_path
            response = await _probe(client, config, hello_path)
    except RemoteProtocolError as exc:
        raise ConfigError("BACKEND_ENDPOINT", f"{exc}; check the address and its path") from None
    client.hello = _hello_of(client, config, Request("GET", hello_path), response)
    era = choose_era(client.hello) if hello_path == "/" else SEED
    client.era = replace(era, hello_path=hello_path)


def _hello_of(client: Client, config: Config, request: Request, response: Response) -> Hello:
    """The server's version.

    Args:
        client: what is being opened.
        config: the settings with the address that was asked.
        request: what was asked.
        response: the answer.

    Raises:
        ServerError, QuotaExceeded, ConfigError: as for `_negotiate`.
    """
    url, status = config.endpoint.url, response.status
    if 300 <= status < 400:
        raise ConfigError(
            "BACKEND_ENDPOINT",
            f"{url} redirects to {response.headers.get('location', '?')}, and requests are not "
            "sent on; if the server is there, set it to that address",
        )
    if status in UNAVAILABLE:
        error = client.error(request, response)
        advice = unavailable_advice(url, str(proxy_of(config) or "a proxy before it"))
        error.advice = f"{advice}, and check BACKEND_ENDPOINT"
        raise error
    if status == 429:
        raise client.error(request, response)
    fault = decode_problem(response).title
    if status == 200:
        try:
            return Hello.decode(response.body)
        except RemoteProtocolError:
            if "html" not in response.content_type:
                fault = "its answer has no version"
    elif f"{status}" not in fault:
        fault = f"HTTP status {status}: {fault}"
    advice = "check the address and its path"
    if config.endpoint_type == "session":
        advice += ", and whether BACKEND_ENDPOINT_TYPE should be api: managers have no logins"
    raise ConfigError(
        "BACKEND_ENDPOINT",
        f"{url} does not answer as a Backend.AI server does: {fault}; {advice}",
    )


async def _probe(client: Client, config: Config, path: str) -> Response:
    """Ask at this address, without a signature; which address comes next if that fails is decided
    above."""
    request, endpoint = Request("GET", path), config.api
    headers = {
        "Host": endpoint.host_header,
        "User-Agent": config.user_agent,
        "Date": client.date(),
    }
    outgoing = outgoing_request(
        request,
        endpoint,
        headers,
        head_seconds=config.answer_seconds,
        body_seconds=config.answer_seconds,
    )
    stream = await client.sender.open_response(
        request, lambda _: outgoing, elsewhere=True, waits=True, check_status=False
    )
    try:
        return await stream.read_all()
    finally:
        stream.close()
