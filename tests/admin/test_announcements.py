"""Announcements, on gateways of each release that has them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backendai_trio import (
    Client,
    GatewayOptions,
    InvalidRequest,
    LocalProtocolError,
    open_client,
    open_gateway,
)
from backendai_trio.admin import announce, get_announcement
from backendai_trio.errors import RemoteProtocolError
from backendai_trio.gateway import RELEASES
from backendai_trio.wire.announcements import (
    ANNOUNCEMENT_PATH,
    announce_request,
    decode_announcement,
    encode_announcement,
)
from backendai_trio.wire.http import Request

EARLY = ("1.1", "1.3", "18.12")


def test_messages() -> None:
    for text in ("", "Down on Friday, ü"):
        assert decode_announcement(encode_announcement(text)) == text
        assert decode_announcement(announce_request(text).body) == text
    # Old managers refuse an empty message.
    assert json.loads(announce_request("").body) == {"enabled": False}
    assert decode_announcement(b'{"enabled": false, "message": "old"}') == ""
    for body in (b"", b"[]", b'{"enabled": 1}', b'{"enabled": true, "message": 1}'):
        with pytest.raises(RemoteProtocolError):
            decode_announcement(body)


@pytest.mark.parametrize("release", ["", *(name for name in RELEASES if name not in EARLY)])
async def test_announcement(release: str, gateway_parent: Path) -> None:
    options = GatewayOptions(release=release)
    async with open_gateway(options) as gateway, open_client(gateway.config) as client:
        assert await get_announcement(client) == ""
        await announce(client, "Down on Friday, ü")
        assert await get_announcement(client) == "Down on Friday, ü"
        await announce(client, "")
        assert await get_announcement(client) == ""


async def test_nothing_is_announced_without_a_message(client: Client) -> None:
    for body in ({"enabled": True}, {"enabled": True, "message": ""}):
        with pytest.raises(InvalidRequest, match="Empty message"):
            await client.call(Request.of_json("POST", ANNOUNCEMENT_PATH, body))


@pytest.mark.parametrize("release", EARLY)
async def test_before_there_were_any(release: str, gateway_parent: Path) -> None:
    options = GatewayOptions(release=release)
    async with open_gateway(options) as gateway, open_client(gateway.config) as client:
        with pytest.raises(LocalProtocolError, match=r"managers have that from 19\.09 on"):
            await get_announcement(client)
        with pytest.raises(LocalProtocolError, match=r"managers have that from 19\.09 on"):
            await announce(client, "x")
