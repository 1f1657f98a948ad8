"""Ways to destroy a session, and from which release on."""

from __future__ import annotations

import pytest

from backendai_trio.errors import LocalProtocolError
from backendai_trio.wire.destroys import destroy_query
from backendai_trio.wire.versions import SEED, SESSION_5, SESSION_6, TRANSITION, Hello

OLD, NEW = Hello("v6.20220615", "22.09.23"), Hello("v6.20230315", "23.03.1")


def test_what_is_asked_for_and_no_more() -> None:
    assert destroy_query(OLD, SESSION_6) == ()
    assert destroy_query(OLD, SESSION_5, force=True) == (("forced", "true"),)
    both = (("forced", "true"), ("recursive", "true"))
    assert destroy_query(NEW, SESSION_6, force=True, recursive=True) == both


def test_what_a_release_cannot_do() -> None:
    for era in (SEED, TRANSITION):
        with pytest.raises(LocalProtocolError, match=r"from 20\.03 on"):
            destroy_query(Hello(era.version), era, force=True)
    with pytest.raises(LocalProtocolError, match=r"manager 22\.09\.23 .* from 23\.03\.1 on"):
        destroy_query(OLD, SESSION_6, recursive=True)
