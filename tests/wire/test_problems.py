"""Request targets, and errors on their way from a server."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backendai_trio.errors import (
    ApiError,
    LocalProtocolError,
    NotFound,
    QuotaExceeded,
    ServerError,
)
from backendai_trio.wire.http import (
    JSON,
    OCTETS,
    PROBLEM,
    Problem,
    Request,
    Response,
    decode_problem,
    encode_problem,
    path_of,
)
from backendai_trio.wire.json_fields import encode_json

from .strategies import json_values, quick

_text = st.text(st.characters(exclude_categories=["Cs"]))
_slug = st.from_regex(r"[a-z]+(-[a-z]+){0,3}", fullmatch=True)
_problems = st.builds(
    Problem,
    status=st.integers(300, 599),
    kind=_slug,
    title=_text.filter(bool),
    detail=_text,
    data=json_values.filter(lambda value: value is not None),
)


def decoded(status: int, body: bytes) -> Problem:
    return decode_problem(Response(status, PROBLEM, body))


# --- requests ------------------------------------------------------------------------------------


@given(st.lists(_text.filter(lambda text: text not in ("", ".", "..")), min_size=1, max_size=4))
@quick
@example(["kernel", "a/b?c#d%2F", "ü\n\0 "])
def test_segments_stay_apart(segments: list[str]) -> None:
    path = path_of(*segments)
    assert path.isascii()
    assert not set(path) & set(' ?#\r\n\0"<>\\')
    assert [unquote(part) for part in path.removeprefix("/").split("/")] == segments


@pytest.mark.parametrize("segment", [".", ".."])
def test_dot_segments_are_refused(segment: str) -> None:
    """Servers and proxies resolve these, encoded or not, so that another path would be meant."""
    with pytest.raises(LocalProtocolError):
        path_of("folders", segment, "files")


@pytest.mark.parametrize("segment", ["\udcff", "a\ud800"])
def test_segment_that_is_no_unicode_is_refused(segment: str) -> None:
    with pytest.raises(LocalProtocolError):
        path_of("folders", segment)


def test_query_is_escaped_as_little_as_can_be() -> None:
    """As by yarl 1.3.0, whose form of it managers up to 18.12 sign (docs/protocol.md,
    section 2.2)."""
    request = Request("GET", "/kernel/x/files", (("path", "a/b c:d,e'(f)*!?@$&=+;~ü%"),))
    assert request.target == "/kernel/x/files?path=a/b+c:d,e'(f)*!?@$%26%3D%2B%3B~%C3%BC%25"


def test_query_that_is_no_unicode_is_refused() -> None:
    request = Request("GET", "/session/x/files", (("path", "\udcff"),))
    with pytest.raises(LocalProtocolError):
        _ = request.target


@given(st.lists(st.tuples(_text, _text), min_size=1, max_size=4))
@quick
def test_query_round_trip(query: list[tuple[str, str]]) -> None:
    request = Request("GET", "/session/x/files", tuple(query))
    assert request.target.isascii()
    parts = urlsplit(f"http://h{request.target}")
    assert parts.path == request.path
    assert not parts.fragment
    assert parse_qsl(parts.query, keep_blank_values=True) == query


def test_target_without_a_query() -> None:
    request = Request("GET", "/session/x")
    assert request.target == "/session/x"
    assert str(request) == "GET /session/x"
    assert request.content_type == OCTETS


def test_request_of_json() -> None:
    request = Request.of_json("POST", "/session", {"a": 1}, (("forced", "true"),))
    assert (request.body, request.content_type) == (b'{"a":1}', JSON)
    assert request.target == "/session?forced=true"
    assert "forced" not in str(request)


def test_secrets_in_paths_do_not_show() -> None:
    request = Request("PATCH", "/tus/upload/abc.def", (("token", "ghi"),))
    assert str(request) == "PATCH /tus/upload/***"
    assert "abc.def" not in repr(request) and "ghi" not in repr(request)
    assert request.target == "/tus/upload/abc.def?token=ghi"
    assert str(Request("GET", "/download?token=ghi")) == "GET /download"
    assert str(Request("HEAD", "/tus/upload/abc?token=ghi")) == "HEAD /tus/upload/***"


def test_reasons_of_graphql() -> None:
    """Managers from 19.03 on give them as data, with a title that says nothing."""
    kind = "https://api.backend.ai/probs/graphql-error"
    body = {"type": kind, "title": "GraphQL-generated error."}
    for rows, detail in (
        ([{"message": "No field x."}, {"message": "No field y."}], "No field x.; No field y."),
        ([], ""),
        ([1, {"message": 2}], ""),
        ("text", ""),
        (None, ""),
    ):
        assert decoded(400, encode_json(body | {"data": rows})).detail == detail
    assert decoded(400, encode_json(body | {"data": [{"message": "m"}], "msg": "d"})).detail == "d"


def test_bodies_do_not_show() -> None:
    assert "hunter2" not in repr(Request("POST", "/", body=b"hunter2"))
    assert "hunter2" not in repr(Response(200, JSON, b"hunter2"))


# --- problems ------------------------------------------------------------------------------------


@given(_problems)
@quick
def test_problem_round_trip(problem: Problem) -> None:
    assert decoded(problem.status, encode_problem(problem, separate_detail=True)) == problem


@given(_problems)
@quick
def test_problem_round_trip_in_the_seed_form(problem: Problem) -> None:
    """The detail stands in the title there, and there is no place for data."""
    found = decoded(problem.status, encode_problem(problem, separate_detail=False))
    title = f"{problem.title} ({problem.detail})" if problem.detail else problem.title
    assert found == Problem(problem.status, problem.kind, title)


@given(_slug, st.sampled_from([True, False]))
@quick
def test_type_is_a_uri_on_the_wire(kind: str, separate: bool) -> None:
    body = encode_problem(Problem(404, kind, "T"), separate_detail=separate)
    assert f'"https://api.backend.ai/probs/{kind}"'.encode() in body


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", Problem(502, "", "HTTP status 502 without a body")),
        (b" \n ", Problem(502, "", "HTTP status 502 without a body")),
        (b"404:  Not\nFound", Problem(502, "", "404: Not Found")),
        (
            b"<html>Bad Gateway</html>",
            Problem(502, "", "HTTP status 502, with a page: Bad Gateway"),
        ),
        (b'"text"', Problem(502, "", '"text"')),
        (b"[]", Problem(502, "", "[]")),
        (b"\xff\xfe\xfd", Problem(502, "", "\ufffd\ufffd\ufffd")),
        (b"x" * 1_000_000, Problem(502, "", "x" * 300)),
        (b'{"title": 5}', Problem(502, "", '{"title": 5}')),
        (
            b'{"title": "T", "agent-details": 5}',
            Problem(502, "", '{"title": "T", "agent-details": 5}'),
        ),
        (b'{"type": "about:blank", "title": "T"}', Problem(502, "about:blank", "T")),
        (
            b'{"type": "https://api.backend.ai/probs/image-not-found"}',
            Problem(502, "image-not-found", "image-not-found"),
        ),
        (
            b'{"type": "https://api.backend.ai/probs/kernel-execution-failed", "title": "T", '
            b'"agent-details": {"type": "x/agent-timeout", "title": "Timed out"}}',
            Problem(502, "kernel-execution-failed", "T", "Timed out"),
        ),
        (
            b'{"title": "T", "agent-details": {"title": "Failed", "exception": "OSError()"}}',
            Problem(502, "", "T", "OSError()"),
        ),
        (
            b'{"title": "T", "msg": "M", "agent-details": {"title": "Failed"}}',
            Problem(502, "", "T", "M"),
        ),
        (b'{"title": "T", "error_code": "session_create_x"}', Problem(502, "", "T")),
    ],
)
def test_forms_of_a_problem(body: bytes, problem: Problem) -> None:
    assert decoded(502, body) == problem


@given(
    st.binary()
    | st.dictionaries(
        st.sampled_from(["type", "title", "msg", "data", "agent-details", "error_code"]),
        json_values,
    ).map(lambda value: repr(value).encode("utf-8", "replace"))
)
@settings(deadline=None, max_examples=80)
@example(b"[" * 100_000)
def test_any_body_is_a_problem(body: bytes) -> None:
    problem = decoded(500, body)
    assert problem.status == 500
    assert str(problem.as_error("GET /"))


@given(
    st.dictionaries(
        st.sampled_from(["type", "title", "msg", "data", "agent-details", "error_code"]),
        json_values,
    )
)
@settings(deadline=None, max_examples=80)
def test_any_object_is_a_problem(value: dict[str, Any]) -> None:
    problem = decoded(503, encode_json(value))
    error = problem.as_error("GET /")
    assert isinstance(error, ServerError)
    assert isinstance(problem.title, str)
    assert isinstance(problem.kind, str)
    assert isinstance(problem.detail, str)
    assert str(error)


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (Problem(404, "image-not-found", "No such image", "python9", [1]), NotFound),
        (Problem(412, "quota-exceeded", "Too many kernels"), QuotaExceeded),
        (Problem(500, "", "Oops"), ServerError),
    ],
)
def test_as_error(problem: Problem, expected: type[ApiError]) -> None:
    error = problem.as_error("POST /session")
    assert type(error) is expected
    assert (error.status, error.kind, error.title) == (
        problem.status,
        problem.kind,
        problem.title,
    )
    assert (error.detail, error.data) == (problem.detail, problem.data)
    assert error.request == "POST /session"
