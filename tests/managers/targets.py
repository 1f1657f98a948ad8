"""What the contract suite runs on: the embedded gateway, or a published manager."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import trio

from backendai_trio import (
    BackendError,
    Client,
    Config,
    GatewayOptions,
    KernelSpec,
    open_client,
    open_gateway,
    open_kernel,
    query,
    read_config,
)
from backendai_trio.admin import check_resources
from backendai_trio.gateway import Account as GatewayAccount
from backendai_trio.gateway import Gateway
from backendai_trio.wire.http import Request

from .capabilities import GATEWAY, Limit, limits_of
from .lab.accounts import ACCOUNTS
from .lab.base import Lab

__all__ = ["GatewayTarget", "ManagerTarget", "Target", "open_gateway_target"]

_PASSWORD = "a-password-of-the-tests"
_DEAD = frozenset({"TERMINATED", "CANCELLED", "ERROR"})


class Target(ABC):
    """A server under test.

    Attributes:
        name: ``gateway``, or the release.
        limits: what it cannot do.
        python: what to create for Python code.
    """

    name: str
    python = KernelSpec(runtime="python")
    session_seconds = 10.0
    """A session is there, or gone, within this time."""
    pace = 0.1
    """What waits are multiplied with that a manager takes longer for than a gateway."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def limits(self) -> Mapping[str, Limit]:
        """What it cannot do."""
        return limits_of(self.name)

    def can(self, capability: str) -> bool:
        """Whether it can do something."""
        return capability not in self.limits

    @property
    def accounts(self) -> list[str]:
        """The users it knows: an ordinary one, and on managers administrators."""
        return ["user"]

    @abstractmethod
    def config(self, account: str = "user") -> Config:
        """Settings of a user's client."""

    def variables(self, account: str = "user") -> dict[str, str]:
        """The same as environment variables."""
        config = self.config(account)
        return {
            "BACKEND_ENDPOINT": config.endpoint.url,
            "BACKEND_ACCESS_KEY": config.access_key,
            "BACKEND_SECRET_KEY": config.secret_key,
        }

    @abstractmethod
    def login(self) -> tuple[Config, str, str]:
        """Settings of somebody who has not logged in yet, and a user's name and password."""

    @asynccontextmanager
    async def without_room(self, client: Client) -> AsyncIterator[KernelSpec]:
        """A session for which there is no room in the block, and which waits therefore."""
        await trio.lowlevel.checkpoint()
        yield replace(self.python, resources={"cpu": "99", "mem": "128m"})

    @abstractmethod
    async def live_sessions(self) -> dict[str, str]:
        """The sessions of all users that have not ended, by the server's own list: name, status."""

    def logs(self) -> Mapping[str, str]:
        """The ends of the server's logs."""
        return {}


class GatewayTarget(Target):
    """The embedded gateway; a new one for each test."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(GATEWAY)
        self._gateway = gateway

    def config(self, account: str = "user") -> Config:
        """There is one key pair."""
        return self._gateway.config

    def login(self) -> tuple[Config, str, str]:
        """The one account."""
        return _without_keys(self._gateway.config), "someone", _PASSWORD

    @asynccontextmanager
    async def without_room(self, client: Client) -> AsyncIterator[KernelSpec]:
        """Another session has all cores. What will never fit does not wait on a gateway."""
        cores = (await check_resources(client)).remaining["cpu"]
        async with open_kernel(client, replace(self.python, resources={"cpu": cores})):
            yield replace(self.python, resources={"cpu": "1"})

    async def live_sessions(self) -> dict[str, str]:
        """Asked of the gateway itself."""
        return dict.fromkeys(self._gateway.tokens(), "RUNNING")


@asynccontextmanager
async def open_gateway_target() -> AsyncIterator[GatewayTarget]:
    """A gateway with logins."""
    options = GatewayOptions(account=GatewayAccount("someone", _PASSWORD))
    async with open_gateway(options) as gateway:
        yield GatewayTarget(gateway)


class ManagerTarget(Target):
    """A published manager."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab.release)
        self.lab = lab
        self.session_seconds = 90.0
        self.pace = 1.0
        amounts = {"cpu": "1", "mem": "128m"} if self.names_sessions else {}
        self.python = KernelSpec(runtime="python", resources=amounts)

    @property
    def year(self) -> int:
        """The first part of the release: 1 before 2018."""
        return int(self.name.split(".")[0])

    @property
    def names_sessions(self) -> bool:
        """Whether it is one of 20.03 or later."""
        return self.year >= 20

    @property
    def accounts(self) -> list[str]:
        """The users it knows: 1.x only comes with two."""
        return ["admin", "user"] if self.year == 1 else list(ACCOUNTS)

    def config(self, account: str = "user") -> Config:
        """Settings of a user's client."""
        user = ACCOUNTS[account]
        config = read_config(
            endpoint=self.lab.endpoint, access_key=user.access_key, secret_key=user.secret_key
        )
        assert config is not None
        return config

    def login(self) -> tuple[Config, str, str]:
        """The ordinary user, at the web server."""
        assert self.lab.web_port is not None
        config = self.config()
        at_web_server = config.endpoint._replace(port=self.lab.web_port)
        user = ACCOUNTS["user"]
        return _without_keys(replace(config, endpoint=at_web_server)), user.email, user.password

    async def live_sessions(self) -> dict[str, str]:
        """Asked as the super-administrator, who sees all of them."""
        found: dict[str, str] = {}
        async with open_client(self.config("admin")) as client:
            if self.year < 19:
                for account in self.accounts:
                    access_key = ACCOUNTS[account].access_key
                    rows = (await _ask(client, _SEED_QUERY, access_key=access_key))[
                        "compute_sessions"
                    ]
                    found |= {row["sess_id"]: row["status"] for row in rows}
            else:
                seen, total = 0, 1
                while seen < total:
                    text = (
                        _QUERY
                        if self.names_sessions
                        else _QUERY.replace("{ name", "{ name: sess_id")
                    )
                    page = (await _ask(client, text, offset=seen))["compute_session_list"]
                    total = page["total_count"]
                    seen += len(page["items"]) or total
                    found |= {row["name"]: row["status"] for row in page["items"]}
        return {name: status for name, status in found.items() if status not in _DEAD}

    async def end_sessions(self) -> None:
        """End what a test has left, so that the next one starts with nothing."""
        query = (("forced", "true"),) if self.names_sessions else ()
        for name in await self.live_sessions():
            for (
                account
            ) in self.accounts:  # managers of 1.x say yes to whoever it does not belong to
                async with open_client(self.config(account)) as client:
                    request = Request("DELETE", client.era.session_path(name), query)
                    with suppress(BackendError):
                        await client.call(request)

    def logs(self) -> Mapping[str, str]:
        """The ends of the services' logs."""
        return self.lab.logs()


_SEED_QUERY = (
    "query($access_key: String) { compute_sessions(access_key: $access_key) { sess_id status } }"
)
_QUERY = (
    "query($offset: Int!) { compute_session_list(limit: 100, offset: $offset)"
    " { items { name status } total_count } }"
)


def _without_keys(config: Config) -> Config:
    return replace(config, endpoint_type="session", access_key="", secret_key="")


async def _ask(client: Client, text: str, **variables: Any) -> Mapping[str, Any]:
    return await query(client, text, variables)
