"""GraphiQL: a page to ask the admin API with.

Its program comes from npm and is put beside this module when the package is built (`hatch_build.py`
at the top of the sources); nothing is fetched at run time.
"""

from __future__ import annotations

import html
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.responses import Response

from ..admin.lists import query
from ..errors import ApiError, BackendError, RemoteProtocolError
from ..transport.client import Client
from ..wire.http import JSON
from ..wire.json_fields import Fields, encode_json

__all__ = ["PAGE", "QUERY", "answer_query", "serve_file"]

PAGE = "/graphiql"
QUERY = f"{PAGE}/query"
"""Takes what GraphiQL sends, whatever form the server's own API has."""

_FOLDER = files(__package__) / "static"
_TYPES = {"css": "text/css", "js": "text/javascript"}
# In the order in which they are loaded.
_STYLES = ("npm/graphiql.min.css", "page.css")
_SCRIPTS = (
    "npm/react.production.min.js",
    "npm/react-dom.production.min.js",
    "npm/graphiql.min.js",
    "page.js",
)
# Everything comes from here. GraphiQL's editor writes style elements of its own.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_MISSING = """\
GraphiQL is not part of this installation: it is fetched from npm when the package is built, and was
not to be had then. With npm installed and its registry in reach, build the package again in a clone
of its repository:

    pip install --force-reinstall --no-deps .
"""


def serve_file(path: str, server: str, folder: Traversable = _FOLDER) -> Response:
    """The page or one of its files.

    Args:
        path: below `PAGE`; empty for the page.
        server: URL of the server, for the page's title.
        folder: where the files are.
    """
    wanted = path.strip("/")
    if not wanted:
        return _page(server, folder)
    if wanted not in (*_STYLES, *_SCRIPTS) or not (file := folder / wanted).is_file():
        return Response(f"There is no {PAGE}/{wanted} here.\n", 404, _HEADERS, "text/plain")
    return Response(file.read_bytes(), 200, _HEADERS, _TYPES[wanted.rpartition(".")[2]])


async def answer_query(body: bytes, client: Client) -> Response:
    """Ask the server what GraphiQL asks, and give its answer in the standard's form.

    Errors are in the answer's ``errors``, which GraphiQL shows.
    """
    try:
        fields = Fields.parse(body, "GraphQL request")
        text = fields.text("query")
        if operation := fields.text("operationName", default=""):
            text = _only(text, operation)
        data = await query(client, text, fields.nested("variables").everything())
    except BackendError as exc:
        message = (
            f"{exc.title}: {exc.detail}".strip(": ") if isinstance(exc, ApiError) else str(exc)
        )
        return Response(encode_json({"errors": [{"message": message}]}), 200, _HEADERS, JSON)
    return Response(encode_json({"data": data}), 200, _HEADERS, JSON)


def _page(server: str, folder: Traversable) -> Response:
    if not all((folder / name).is_file() for name in (*_STYLES, *_SCRIPTS)):
        return Response(_MISSING, 503, _HEADERS, "text/plain")
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>GraphiQL: {html.escape(server)}</title>",
        *(f'<link rel="stylesheet" href="{PAGE}/{name}">' for name in _STYLES),
        f'<div id="graphiql" data-query="{QUERY}">Loading...</div>',
        *(f'<script src="{PAGE}/{name}"></script>' for name in _SCRIPTS),
        "</html>",
    ]
    return Response("\n".join(lines), 200, _HEADERS, "text/html; charset=utf-8")


def _only(text: str, operation: str) -> str:
    """One of a document's operations, with the fragments it needs: managers take no name."""
    from graphql import GraphQLSyntaxError, parse, print_ast, separate_operations

    try:
        document = separate_operations(parse(text)).get(operation)
    except GraphQLSyntaxError:
        return text  # the server says what is wrong
    if document is None:
        raise RemoteProtocolError(f"the query holds no operation called {operation!r}")
    return print_ast(document)
