"""The addresses of a server: the one in use, and the next where that cannot be reached."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from ..config.settings import Config, Endpoint
from ..errors import BackendError
from .exceptions import Unreachable

__all__ = ["Addresses"]

T = TypeVar("T")


def _is_unreachable(exc: BackendError) -> bool:
    return isinstance(exc, Unreachable)


class Addresses:
    """The addresses of a client's server. The tasks of the client share the one in use.

    Args:
        config: the settings with all of them (`Config.endpoints`).

    Attributes:
        config: the settings; `Config.endpoint` is the address in use.
    """

    def __init__(self, config: Config) -> None:
        first, *others = dict.fromkeys(config.endpoints)
        self.config = replace(config, endpoint=first, other_endpoints=tuple(others))

    async def reach(
        self,
        attempt: Callable[[Config], Awaitable[T]],
        *,
        leaves: Callable[[BackendError], bool] = _is_unreachable,
    ) -> T:
        """Run an attempt at the address in use; while it fails there, at the next.

        Args:
            attempt: gets the settings with the address. It signs for this address itself.
            leaves: which failures make the next address worth an attempt, by default those of
                opening a connection. A request must be safe to send again after any of them.

        Raises:
            BackendError: the failure at the last address, when all were tried, or one that `leaves`
                does not name.
        """
        tried: set[Endpoint] = set()
        while True:
            config = self.config
            try:
                return await attempt(config)
            except BackendError as exc:
                tried.add(config.endpoint)
                if not leaves(exc) or not self._leave(config.endpoint):
                    raise
                if self.config.endpoint in tried:
                    raise

    def _leave(self, endpoint: Endpoint) -> bool:
        """Use the next address, unless another task has left this one already; whether there is
        another one."""
        config = self.config
        if config.endpoint == endpoint and config.other_endpoints:
            following, *rest = config.other_endpoints
            self.config = replace(config, endpoint=following, other_endpoints=(*rest, endpoint))
        return self.config.endpoint != endpoint
