"""What GraphiQL is served and answered, without a browser."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from backendai_trio.proxy import graphiql

from .conftest import Web

ROOT = Path(__file__).parents[2]


async def asked(web: Web, question: object) -> dict[str, object]:
    body = question if isinstance(question, bytes) else json.dumps(question).encode()
    response = await web.ask("POST", graphiql.QUERY, body)
    assert response.status == 200
    answer = json.loads(response.content)
    assert isinstance(answer, dict)
    return answer


async def test_answers(web: Web) -> None:
    """The server's answer has no envelope in this era; GraphiQL gets the standard's."""
    assert await asked(web, {"query": "{ compute_sessions { sess_id } }"}) == {
        "data": {"compute_sessions": []}
    }
    listing = "query($n: Int!) { compute_session_list(limit: $n, offset: 0) { total_count } }"
    answer = await asked(web, {"query": listing, "variables": {"n": 1}})
    assert answer == {"data": {"compute_session_list": {"total_count": 0}}}


async def test_the_schema(web: Web) -> None:
    answer = await asked(web, {"query": "{ __schema { queryType { name } } }"})
    assert answer == {"data": {"__schema": {"queryType": {"name": "Query"}}}}


async def test_one_of_several_operations(web: Web) -> None:
    """Managers take no operation's name, so only the one that is meant is sent."""
    text = "query A { a: __typename } query B { ...F } fragment F on Query { b: __typename }"
    assert await asked(web, {"query": text, "operationName": "A"}) == {"data": {"a": "Query"}}
    assert await asked(web, {"query": text, "operationName": "B"}) == {"data": {"b": "Query"}}
    answer = await asked(web, {"query": text, "operationName": "C"})
    assert "no operation called 'C'" in str(answer["errors"])


@pytest.mark.parametrize(
    "question",
    [{"query": "{ nonsense }"}, {"query": "{"}, {"query": "{", "operationName": "A"}, {}, b"x", []],
)
async def test_errors_are_shown(web: Web, question: object) -> None:
    answer = await asked(web, question)
    assert set(answer) == {"errors"} and "Traceback" not in str(answer)


async def test_too_long_a_query(web: Web) -> None:
    assert (await web.ask("POST", graphiql.QUERY, b" " * 2_000_000)).status == 413


@pytest.mark.parametrize("name", ["../graphiql.py", "npm/../../guard.py", "npm", "npm/x.js", "%2e"])
async def test_no_other_files(web: Web, name: str) -> None:
    assert (await web.ask("GET", f"{graphiql.PAGE}/{name}")).status == 404


def test_without_the_program(tmp_path: Path) -> None:
    page = graphiql.serve_file("", "http://127.0.0.1:8081", tmp_path)
    assert page.status_code == 503
    assert b"pip install --force-reinstall" in bytes(page.body)


def test_what_is_built_is_what_is_served() -> None:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None and spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    built = {f"npm/{name}" for package in build.PACKAGES for name in package.files.values()}
    served = {name for name in (*graphiql._STYLES, *graphiql._SCRIPTS) if name.startswith("npm/")}
    assert served <= built
    licences = {name for name in built if name.endswith("LICENSE.txt")}
    assert len(licences) == len(build.PACKAGES) and built == served | licences
