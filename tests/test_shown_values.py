"""What may be secret shows in no `repr`: tracebacks, debuggers and pytest print these."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest

import backendai_trio
from backendai_trio import KernelSpec
from backendai_trio.config.layers import Found, Layer
from backendai_trio.config.proxies import Proxy
from backendai_trio.transport.requests import OutgoingRequest
from backendai_trio.transport.websocket import Upgrade
from backendai_trio.wire.dotfiles import Dotfile
from backendai_trio.wire.execution import ExecuteRequest
from backendai_trio.wire.graphql import GraphQLQuery
from backendai_trio.wire.http import Request, Response
from backendai_trio.wire.manager_streams import Stdin
from backendai_trio.wire.resumable import Input
from backendai_trio.wire.vfolder_files import Ticket

SECRET = frozenset(
    [
        "password",
        "otp",
        "secret",
        "secret_key",
        "private_key",
        "cookies",
        "environ",
        "envs",
        "variables",
        "body",
        "headers",
        "bootstrap_script",
        "callback_url",
    ]
)
"""Names of fields that hold secrets, or whatever a user puts into them."""
HARMLESS = {
    ("Setting", "secret"): "says that a setting is one",
    ("Reply", "body"): "an answer that the author of a test has made up",
    ("Reply", "headers"): "the same",
}
# Programs that are run by their files, in processes of their own.
APART = ("scripts", "host_main")

MARK = "s3cr3t"


def records_of_all() -> Iterator[type]:
    """All dataclasses and named tuples."""
    for module in pkgutil.walk_packages(backendai_trio.__path__, "backendai_trio."):
        if any(name in module.name for name in APART):
            continue
        for found in vars(importlib.import_module(module.name)).values():
            ours = getattr(found, "__module__", "") == module.name
            if not (ours and isinstance(found, type)):
                continue
            if dataclasses.is_dataclass(found) or hasattr(found, "_fields"):
                yield found


def shown_fields(record: type) -> Iterator[str]:
    if dataclasses.is_dataclass(record):
        yield from (field.name for field in dataclasses.fields(record) if field.repr)
    elif record.__repr__.__module__ == "collections":
        yield from record._fields  # type: ignore[attr-defined]


def test_fields_that_hold_secrets_are_not_shown() -> None:
    found = list(records_of_all())
    assert len(found) > 100
    shown = {
        (kind.__name__, name) for kind in found for name in shown_fields(kind) if name in SECRET
    }
    assert shown == set(HARMLESS)


@pytest.mark.parametrize(
    "value",
    [
        GraphQLQuery("mutation", {"props": {"password": MARK}}),
        Dotfile(".netrc", MARK, "600"),
        KernelSpec(runtime="python", environ={"KEY": MARK}, bootstrap_script=MARK),
        Request("POST", "/server/login", (("token", MARK),), MARK.encode()),
        Response(200, "text/plain", MARK.encode(), {"set-cookie": MARK}),
        OutgoingRequest(None, "GET", f"/?token={MARK}", {"Authorization": MARK}),  # type: ignore[arg-type]
        Upgrade("host", f"/stream?envs={MARK}", [("Authorization", MARK)]),
        ExecuteRequest("input", "run", MARK),
        Stdin(MARK.encode()),
        Input(0, MARK.encode()),
        Ticket(MARK, "http://storage.example.com"),
        Layer({"BACKEND_SECRET_KEY": MARK}),
        Found("BACKEND_SECRET_KEY", MARK, Layer({"BACKEND_SECRET_KEY": MARK}, ".env")),
        Proxy(f"http://user:{MARK}@proxy", "HTTPS_PROXY"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_was_sent_or_typed_is_not_shown(value: Any) -> None:
    assert MARK not in repr(value) + repr([value])
