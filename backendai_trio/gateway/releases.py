"""Releases of the manager that a gateway can behave as: one table of what they do differently.

Clients of this library are tried against it: each row answers in the forms of its release, and has
the faults that a client has to live with. Source: docs/protocol.md, sections 1.1, 12.1 and where a
field names another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ..errors import GatewayError
from ..wire.versions import SEED, SESSION_6, Era, Hello, choose_era
from .faults import Faults

__all__ = ["OURS", "RELEASES", "TRANSITION_VERSIONS", "Release", "release_named"]


_VERSIONS = (
    "v4.20181215", "v4.20190115", "v4.20190315", "v4.20190615", "v5.20191215", "v6.20200815",
    "v6.20210815", "v6.20220315", "v6.20220615", "v6.20230315", "v7.20230615", "v8.20240315",
    "v8.20240915", "v9.20250722",
)  # fmt: skip
_REFUSED_FROM_26_3 = "v6.20210815"
_STAGE_GAP_SECONDS = 0.25
"""On 26.9.6, 0.3 s of pause before the exec stage were enough, each of 12 times (4.7)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What a manager of one release does differently from others of its era.

    Some of it follows from its name already, as clients know it: see `Hello`.
    """

    era: Era
    hello: Hello
    """What it says of itself."""
    hello_paths: tuple[str, ...] = ("/",)
    """Where it says so (section 1.3)."""
    hello_needs_date: bool = False
    null_stage_fails: bool = False
    """A batch run with a stage of null is a 500, and the session answers no run after it (4.1)."""
    needs_resources: bool = False
    """A create without ``config.resources`` is a 500 (3.3)."""
    info_fails: bool = False
    """``GET`` of a session is always a 500 (3.5)."""
    prefixes: Literal["no", "yes", "unless equal"] = "no"
    """Whether a name stands for a session whose token or id begins with it; an equal one may win
    (3.9)."""
    not_found_kind: str = ""
    """The problem type for whatever is not found; empty for one of each kind (10)."""
    numeric_modes: bool = False
    """Lists of folders' files have modes as numbers (7.3)."""
    restarts: bool = True
    """Sessions can be restarted; else that is a 501 (3.1)."""
    completes: bool = True
    """Completion gives candidates (4.6)."""

    @property
    def faults(self) -> Faults:
        """What a gateway that behaves as this release does wrong; a fresh object."""
        gap = _STAGE_GAP_SECONDS if self.hello.loses_batch_ends else 0.0
        return Faults(trash=self.hello.has_trash, stage_gap_seconds=gap)

    @property
    def versions(self) -> tuple[str, ...]:
        """The API versions that it accepts (1.1)."""
        newest = self.hello.key
        refused = _REFUSED_FROM_26_3 if self.hello.release >= (26, 3) else ""
        return tuple(v for v in _VERSIONS if Hello(v).key <= newest and v != refused)


OURS = Release(era=SESSION_6, hello=Hello(SESSION_6.version))
"""No manager's release: the gateway as it is."""
TRANSITION_VERSIONS = tuple(version for version in _VERSIONS if version.startswith("v4."))
"""API versions of managers 1.4.6 to 19.09."""


def _seed(**differences: object) -> Release:
    # They do not say which release they are.
    return Release(
        era=SEED,
        hello=Hello("v3.20170615"),
        null_stage_fails=True,
        completes=False,
        **differences,  # type: ignore[arg-type]
    )


def _later(version: str, manager: str, **differences: object) -> Release:
    hello = Hello(version, manager)
    return Release(era=choose_era(hello), hello=hello, **differences)  # type: ignore[arg-type]


_OBJECT = "object-not-found"
_HELLO_18_12 = Hello("v4.20181215")

RELEASES: dict[str, Release] = {
    "1.1": _seed(hello_paths=("/v1", "/v2", "/v3"), hello_needs_date=True),
    "1.3": _seed(),
    "18.12": Release(
        # Details of problems stand in their titles.
        era=replace(choose_era(_HELLO_18_12), separate_detail=False),
        hello=_HELLO_18_12,
        completes=False,
    ),
    "19.09": _later("v4.20190615", "19.09.27", needs_resources=True, info_fails=True),
    "20.03": _later("v5.20191215", "20.03.19", needs_resources=True, info_fails=True),
    "20.09": _later("v6.20200815", "20.09.20", needs_resources=True, prefixes="yes"),
    "22.03": _later(
        "v6.20220315", "22.03.16", needs_resources=True, not_found_kind=_OBJECT,
        prefixes="unless equal",
    ),
    "23.09": _later("v7.20230615", "23.09.10", not_found_kind=_OBJECT),
    "24.03": _later("v8.20240315", "24.03.10", not_found_kind=_OBJECT),
    "25.12": _later(
        "v9.20250722", "25.12.1", not_found_kind=_OBJECT, numeric_modes=True,
    ),
    "26.9": _later(
        "v9.20250722", "26.9.6", not_found_kind=_OBJECT, numeric_modes=True, restarts=False,
        completes=False,
    ),
}  # fmt: skip
"""By the first two numbers of their names, oldest first."""


def release_named(name: str) -> Release:
    """A row of the table.

    Args:
        name: the first two numbers of a release, as ``23.09``; empty for the gateway as it is.

    Raises:
        GatewayError: there is no such row.
    """
    if not name:
        return OURS
    if (release := RELEASES.get(name)) is None:
        raise GatewayError(f"no release is named {name!r}; choose one of {', '.join(RELEASES)}")
    return release
