"""Login messages: round trips, and decoders that raise nothing but our own error."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendai_trio import RemoteProtocolError
from backendai_trio.wire.logins import (
    OTP_KIND,
    LoginReply,
    LoginRequest,
    decode_cookies,
    encode_cookies,
)

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
tokens = st.text("abcXYZ019-_.", min_size=1)
values = st.text("abcXYZ019-_.:/=+%", min_size=1)


@given(words, words, st.none() | words)
def test_request(username: str, password: str, otp: str | None) -> None:
    request = LoginRequest(username, password, otp)
    assert LoginRequest.decode(request.encode()) == request


@given(st.builds(LoginReply, st.just(True), words))
def test_reply_to_who_is_let_in(reply: LoginReply) -> None:
    assert LoginReply.decode(reply.encode()) == reply


@given(st.builds(LoginReply, st.just(False), kind=tokens, title=words, detail=words))
def test_reply_to_who_is_not(reply: LoginReply) -> None:
    assert LoginReply.decode(reply.encode()) == reply


@pytest.mark.parametrize(
    "body",
    [
        b'{"authenticated": false, "data": {"details": "OTP not provided"}}',
        LoginReply(False, kind=OTP_KIND, title="x").encode(),
    ],
)
def test_two_ways_to_ask_for_a_one_time_password(body: bytes) -> None:
    assert LoginReply.decode(body).needs_otp


def test_reply_without_data() -> None:
    assert LoginReply.decode(b'{"authenticated": false, "data": null}') == LoginReply(False)


@given(st.binary() | st.sampled_from([b"[]", b"{}", b'{"data": 1}', b'{"username": 1}']))
def test_decoders_raise_our_own_error(body: bytes) -> None:
    for decode in (LoginRequest.decode, LoginReply.decode):
        with contextlib.suppress(RemoteProtocolError):
            decode(body)


@given(st.dictionaries(tokens.filter(lambda name: name.lower() not in RESERVED), values))
def test_cookies(cookies: dict[str, str]) -> None:
    lines = [f"{name}={value}; Path=/; HttpOnly" for name, value in cookies.items()]
    assert decode_cookies(lines) == cookies
    assert decode_cookies([encode_cookies(cookies)]) == cookies


RESERVED = {"path", "expires", "domain", "secure", "version", "comment"}


@given(st.text())
def test_cookies_of_anything_can_be_sent_back(line: str) -> None:
    with contextlib.suppress(RemoteProtocolError):
        header = encode_cookies(decode_cookies([line]))
        assert header.isascii() and header.isprintable()


def test_cookies_that_end() -> None:
    assert decode_cookies(["a=1; Max-Age=0", "b=2; Max-Age=60", "c=3"]) == {"b": "2", "c": "3"}
