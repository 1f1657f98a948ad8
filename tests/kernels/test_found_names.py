"""The names of a kernel that is found, on servers that fail to tell them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from backendai_trio import NotFound, ServerError, find_kernel
from backendai_trio.wire.kernel_names import KernelMatch, encode_matches

from ..transport.servers import reply
from .one_session import FAILED, GONE, ID, REFUSED, Manager, client_of

MALFORMED = reply(200, b'{"matches": [1]}', "application/json")
BAD_GATEWAY = reply(502, b"Bad Gateway", "text/plain")


@dataclass
class Named(Manager):
    """A manager that answers the search for a name with each of these, and then as it should."""

    failures: list[bytes] = field(default_factory=list)
    matches: list[KernelMatch] = field(default_factory=lambda: [KernelMatch(ID, "abc", "RUNNING")])

    async def answer(self, head: str) -> bytes:
        if not head.startswith("GET /session/_/match"):
            return await super().answer(head)
        if self.failures:
            return self.failures.pop(0)
        return reply(200, encode_matches(self.matches), "application/json")


@pytest.mark.parametrize("failures", [[FAILED], [BAD_GATEWAY, FAILED], []])
async def test_failures_that_pass_do_not_hide_the_id(failures: list[bytes]) -> None:
    """Two records of one kernel would let two runs at it at once."""
    async with client_of(Named("RUNNING", failures=list(failures))) as client:
        kernel = await find_kernel(client, "abc")
        assert (kernel.token, kernel.kernel_id) == ("abc", ID)


async def test_failure_that_stays() -> None:
    async with client_of(Named("RUNNING", failures=[FAILED] * 100)) as client:
        with pytest.raises(ServerError):
            await find_kernel(client, "abc")


@pytest.mark.parametrize("refusal", [REFUSED, GONE, MALFORMED])
async def test_servers_that_do_not_search(refusal: bytes) -> None:
    async with client_of(Named("RUNNING", failures=[refusal])) as client:
        assert (await find_kernel(client, "abc")).kernel_id == "abc"


@pytest.mark.parametrize(
    "matches",
    [
        [("abcd", "RUNNING")],
        [("abcd", "RUNNING"), ("abce", "PENDING")],
        [("abc", "TERMINATED"), ("abcd", "RUNNING")],
        [("ab_", "RUNNING")],
    ],
)
async def test_name_that_stands_for_a_longer_one(matches: list[tuple[str, str]]) -> None:
    """Managers 20.09 to 22.09 would destroy that one."""
    found = [KernelMatch(f"{ID[:-1]}{n}", *match) for n, match in enumerate(matches)]
    async with client_of(Named("RUNNING", matches=found)) as client:
        with pytest.raises(NotFound, match="no session is named 'abc'"):
            await find_kernel(client, "abc")


async def test_equal_name_beside_longer_ones() -> None:
    found = [KernelMatch(ID, "abc", "RUNNING"), KernelMatch(f"{ID[:-1]}1", "abcd", "RUNNING")]
    async with client_of(Named("RUNNING", matches=found)) as client:
        assert (await find_kernel(client, "abc")).kernel_id == ID
