"""What travels over HTTP whatever the message: targets, responses, problems.

Source: docs/protocol.md, sections 1.2, 2.2 and 10.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from html import unescape
from urllib.parse import quote, urlencode

from ..errors import ApiError, LocalProtocolError, RemoteProtocolError, api_error
from .json_fields import Fields, decode_json, encode_json

__all__ = [
    "JSON",
    "OCTETS",
    "PROBLEM",
    "UNKNOWN_ROUTE",
    "Problem",
    "Request",
    "Response",
    "decode_problem",
    "describe_request",
    "encode_problem",
    "path_of",
]

JSON = "application/json"
OCTETS = "application/octet-stream"
PROBLEM = "application/problem+json"
UNKNOWN_ROUTE = frozenset({"", "generic-not-found", "url-not-found"})
"""Kinds of a 404 for a path that the server's release does not know (docs/protocol.md,
section 10)."""
_GRAPHQL = "graphql-error"
_PROBLEM_BASE = "https://api.backend.ai/probs/"
# Enough to find the title of a page.
_SHOWN_BYTES = 4096
_HTML = re.compile(r"\s*(?:<!--.*?-->\s*)?<(?:!doctype\s+html|html|head|body)\b", re.I | re.S)
_HTML_TITLE = re.compile(r"<(?:title|h1)\b[^>]*>(.*?)</", re.I | re.S)
_TAG = re.compile(r"<[^>]*>")
_UPLOAD_TOKEN = re.compile(r"(?<=/tus/upload/)[^?]+")
_PLAIN_IN_QUERIES = "!$'()*,/:?@"


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """A request before it is signed. As text it is method and path, without what is secret."""

    method: str
    path: str
    """Path on the server, already percent-encoded (`path_of`), without the endpoint's base path."""
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    content_type: str = OCTETS

    @property
    def target(self) -> str:
        """Path and query as they stand on the request line, and as they are signed.

        Managers up to 18.12 sign what their URL library makes of it, which escapes no more than it
        has to (docs/protocol.md, section 2.2).
        """
        try:
            query = urlencode(self.query, safe=_PLAIN_IN_QUERIES)
            return f"{self.path}?{query}" if query else self.path
        except UnicodeEncodeError:
            raise LocalProtocolError(f"{self}: a query value is not valid Unicode") from None

    def __str__(self) -> str:
        return describe_request(self.method, self.path)

    def __repr__(self) -> str:
        return f"<Request {self}>"

    @classmethod
    def of_json(
        cls, method: str, path: str, value: object, query: tuple[tuple[str, str], ...] = ()
    ) -> Request:
        """A request that carries a JSON body."""
        return cls(method, path, query, encode_json(value), JSON)


@dataclass(frozen=True, slots=True)
class Response:
    """A response whose body was read whole."""

    status: int
    content_type: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Names in lower case."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An error on its way from a server (RFC 7807, with the fields that managers add)."""

    status: int
    kind: str
    """Last part of the type URI; the only thing a program should look at beside the status."""
    title: str
    detail: str = ""
    data: object = None

    def as_error(self, request: str) -> ApiError:
        """The exception a client raises for it."""
        return api_error(
            self.status,
            kind=self.kind,
            title=self.title,
            detail=self.detail,
            data=self.data,
            request=request,
        )


def describe_request(method: str, target: str) -> str:
    """A request as logs and errors name it.

    Left out is what lets in whoever knows it: the query, where tokens of transfers are, and the
    token in the path of an upload (docs/protocol.md, section 7.2).

    Args:
        method: its method.
        target: path and query.
    """
    return f"{method} {_UPLOAD_TOKEN.sub('***', target).partition('?')[0]}"


@lru_cache(maxsize=256)
def path_of(*segments: str) -> str:
    """Join segments to a path; each is encoded, so that a ``/`` in a name stays in its segment.

    Raises:
        LocalProtocolError: a segment is ``.`` or ``..``, which servers on the way would resolve, or
            is not valid Unicode.
    """
    for segment in segments:
        if segment in (".", "..") or not _is_unicode(segment):
            raise LocalProtocolError(f"{segment!r} cannot be part of a path")
    return "".join("/" + quote(segment, safe="") for segment in segments)


def encode_problem(problem: Problem, *, separate_detail: bool) -> bytes:
    """The body of an error reply.

    Args:
        problem: what went wrong.
        separate_detail: True for managers from 18.12 on (keys ``msg`` and ``data``); before, the
            detail stands in parentheses in the title.
    """
    title = problem.title
    fields: dict[str, object] = {"type": _PROBLEM_BASE + problem.kind}
    if separate_detail:
        fields |= {"title": title}
        if problem.detail:
            fields["msg"] = problem.detail
        if problem.data is not None:
            fields["data"] = problem.data
    else:
        fields["title"] = f"{title} ({problem.detail})" if problem.detail else title
    return encode_json(fields)


def decode_problem(response: Response) -> Problem:
    """Read an error response. Text of any other kind becomes the title; so does the title of a page
    of HTML, which proxies and web servers on the way answer with."""
    try:
        fields = Fields(decode_json(response.body, "error reply"), "error reply")
        kind = fields.text("type", default="").removeprefix(_PROBLEM_BASE)
        agent = fields.nested("agent-details")
        detail = fields.text("msg", default="") or agent.text("exception", "title", default="")
        if kind == _GRAPHQL and not detail:
            detail = _graphql_messages(fields)
        return Problem(
            response.status,
            kind,
            fields.text("title", default="") or kind,
            detail,
            fields.raw("data"),
        )
    except RemoteProtocolError:
        text = response.body[:_SHOWN_BYTES].decode("utf-8", "replace")
        if _HTML.match(text):
            found = _HTML_TITLE.search(text)
            text = unescape(_TAG.sub(" ", found[1] if found else text))
            text = f"HTTP status {response.status}, with a page: {text}"
        text = " ".join(text[:300].split())
        return Problem(response.status, "", text or f"HTTP status {response.status} without a body")


def _graphql_messages(fields: Fields) -> str:
    """The reasons, which managers from 19.03 on give as data (docs/protocol.md, section 8.1)."""
    rows = fields.raw("data")
    if not isinstance(rows, list):
        return ""
    found = [row.get("message") for row in rows if isinstance(row, dict)]
    return "; ".join(text for text in found if isinstance(text, str))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
