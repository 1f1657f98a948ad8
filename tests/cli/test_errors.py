"""The text of an error, however it was raised."""

from __future__ import annotations

import logging

import pytest

from backendai_cli.errors import message_of
from backendai_trio import ConnectionFailed, UploadError
from backendai_trio.errors import NotFound

GONE = NotFound(404, kind="x", title="Gone.", detail="no 'a' there", request="GET /session/a")


@pytest.fixture(autouse=True)
def _requests_are_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "backendai_trio.http")


def test_a_refusal_without_its_request() -> None:
    assert message_of(GONE) == "Gone: no 'a' there"
    assert str(GONE).endswith("[GET /session/a -> 404 x]")


@pytest.mark.parametrize("hidden", [False, True])
def test_a_refusal_within_another_error(hidden: bool) -> None:
    with pytest.raises(UploadError) as caught:
        try:
            raise GONE
        except NotFound as exc:
            error = UploadError("a.txt", f"could not be uploaded: {exc}")
            if hidden:
                raise error from None
            raise error from exc
    assert message_of(caught.value) == "a.txt: could not be uploaded: Gone: no 'a' there"


def test_an_error_that_is_a_cause_of_its_own_cause() -> None:
    """As when the error that broke a stream is raised in place of the stream's."""
    cause = ConnectionFailed("the server\nclosed the connection")
    with pytest.raises(ConnectionFailed) as caught:
        try:
            raise OSError("broken") from cause
        except OSError as exc:
            assert exc.__cause__ is not None
            raise exc.__cause__ from None
    assert caught.value.__context__ is not None and caught.value.__context__.__cause__ is cause
    assert message_of(caught.value) == "the server closed the connection"


def test_a_lost_connection_without_its_request() -> None:
    lost = ConnectionFailed("http://x closed the connection", request="GET /session/a")
    assert str(lost) == "http://x closed the connection [GET /session/a]"
    assert message_of(lost) == "http://x closed the connection"
    with pytest.raises(UploadError) as caught:
        raise UploadError("a.txt", f"could not be uploaded: {lost}") from lost
    assert (
        message_of(caught.value) == "a.txt: could not be uploaded: http://x closed the connection"
    )
