"""Dotfiles: messages both ways."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendai_trio.errors import LocalProtocolError, RemoteProtocolError
from backendai_trio.wire.dotfiles import (
    Dotfile,
    decode_dotfiles,
    dotfile_request,
    encode_dotfiles,
)
from backendai_trio.wire.json_fields import decode_json

_dotfiles = st.builds(
    Dotfile,
    st.text(min_size=1, max_size=9),
    st.text(max_size=20),
    st.from_regex("[0-7]{3}", fullmatch=True),
)


@given(st.lists(_dotfiles, max_size=3))
def test_round_trip(dotfiles: list[Dotfile]) -> None:
    assert decode_dotfiles(encode_dotfiles(dotfiles)) == dotfiles
    for dotfile in dotfiles:
        for body in (dotfile.encode(), dotfile.request("POST").body):
            assert Dotfile.decode(decode_json(body, "dotfile")) == dotfile


def test_requests() -> None:
    request = Dotfile(".a", "x", "600").request("PATCH")
    assert (request.method, request.target) == ("PATCH", "/user-config/dotfiles")
    assert json.loads(request.body) == {"path": ".a", "data": "x", "permission": "600"}
    assert dotfile_request("GET").target == "/user-config/dotfiles"
    assert dotfile_request("DELETE", ".a b").target == "/user-config/dotfiles?path=.a+b"
    assert json.loads(Dotfile(".a", "x").encode()) == {"path": ".a", "data": "x", "perm": "644"}


@pytest.mark.parametrize("permission", ["", "64", "0644", "648", "rw-", "٦٤٤"])
def test_permissions_that_are_none(permission: str) -> None:
    with pytest.raises(LocalProtocolError, match="three octal digits"):
        Dotfile(".a", "", permission)
    with pytest.raises(RemoteProtocolError, match="three octal digits"):
        Dotfile.decode({"path": ".a", "data": "", "permission": permission})


def test_a_path_is_needed() -> None:
    with pytest.raises(LocalProtocolError, match="needs a path"):
        Dotfile("", "data")


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'[{"path": ".a"}]', b'[{"path": 1}]'])
def test_malformed_replies_are_refused(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_dotfiles(body)
