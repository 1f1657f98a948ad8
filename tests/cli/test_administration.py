"""`backend.ai admin KIND create`, `update`, `delete`, `purge`, and what else administrators do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from backendai_trio.admin import MANAGED_KINDS, kind_of
from backendai_trio.wire.background_tasks import TaskEvent
from backendai_trio.wire.events import CONTENT_TYPE, encode_message
from backendai_trio.wire.graphql import GraphQLQuery

from ..admin.small_manager import SmallManager
from .commands import Commands
from .plain_servers import MANAGER, running

Env = Mapping[str, str]
PASSWORD = "a-very-secret-password"


@contextmanager
def serving(manager: SmallManager, errors: tuple[str, ...] = ("r was not",)) -> Iterator[Env]:
    """Serve a manager during the block, which gets the settings that lead there."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/":
                self._send(MANAGER, "application/json")
            else:
                events = [
                    TaskEvent("updated", "a-task", "reading", 1, 2),
                    TaskEvent("done", "a-task", "all read", errors=errors),
                ]
                body = b"".join(encode_message(event.encode()) for event in events)
                self._send(body, CONTENT_TYPE)

        def do_POST(self) -> None:
            query = GraphQLQuery.decode(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps({"data": manager.answer(query)}).encode()
            self._send(body, "application/json")

        def _send(self, body: bytes, content_type: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as settings:
        yield settings


@pytest.fixture
def manager() -> SmallManager:
    return SmallManager()


@pytest.fixture
def env(manager: SmallManager) -> Iterator[Env]:
    with serving(manager) as settings:
        yield settings


def test_a_user(commands: Commands, manager: SmallManager, env: Env) -> None:
    def admin(*words: str, stdin: bytes = b"") -> tuple[str, str]:
        result = commands.run("admin", "users", *words, env=env, stdin=stdin)
        assert result.code == 0, result.stderr
        assert PASSWORD not in result.text + result.stderr
        return result.text, result.stderr

    password = f"{PASSWORD}\n".encode()
    planned = admin("create", "a@b.c", "-n", "Ada", "--need-password-change", "--dry-run", "--json")
    found = {item["setting"]: item["new"] for item in json.loads(planned[0])["changes"]}
    assert manager.sent == []
    assert (found["full_name"], found["password"], found["need_password_change"]) == (
        "Ada", "***", True,
    )  # fmt: skip
    made = json.loads(admin("create", "a@b.c", "-n", "Ada", "--json", stdin=password)[0])["row"]
    assert (made["email"], made["full_name"]) == ("a@b.c", "Ada")
    assert manager.sent[-1].values["password"] == PASSWORD
    table = admin("update", "a@b.c", "--full-name", "Bea", "--cuid", "7", "--dry-run")[0]
    assert table.split()[:3] == ["Setting", "Now", "Then"]
    assert "Ada" in table and "Bea" in table and len(manager.sent) == 1
    text, told = admin("update", "a@b.c", "--full-name", "Bea", "--cuid", "7")
    assert text.split()[:3] == ["Setting", "Before", "After"] and "Bea" in text
    assert told == "✔ The user a@b.c is changed.\n"
    again = ("update", "a@b.c", "--full-name", "Bea")
    assert admin(*again) == ("", "✔ The user a@b.c is so already.\n")
    assert admin(*again, "--dry-run") == ("Nothing would change.\n", "")
    assert len(manager.sent) == 2
    admin("update", "a@b.c", "--unset-container-uid", "--allowed-ip", "10.0.0.1, 10.0.0.2")
    assert manager.sent[-1].values["container_uid"] is None
    assert manager.sent[-1].values["allowed_client_ip"] == ["10.0.0.1", "10.0.0.2"]
    changed = json.loads(admin("update", "a@b.c", "--password-file", "-", "--json",
                               stdin=b"another\n")[0])  # fmt: skip
    assert changed == {
        "kind": "users", "action": "update", "key": "a@b.c", "dry_run": False, "row": None,
        "changes": [{"setting": "password", "old": None, "new": "***"}],
    }  # fmt: skip
    assert manager.sent[-1].values["password"] == "another"
    assert "active" in admin("delete", "a@b.c", "--dry-run")[0]
    assert admin("delete", "a@b.c", "--yes")[1] == "✔ The user a@b.c is deleted.\n"
    assert manager.rows["users"]["a@b.c"]["status"] == "deleted"
    purged = admin("purge", "a@b.c", "--yes", "--purge-shared-vfolders", "--json")[0]
    assert json.loads(purged)["action"] == "purge"
    assert manager.sent[-1].values == {"purge_shared_vfolders": True}
    assert manager.rows["users"] == {}


def test_nothing_is_destroyed_without_a_yes(
    commands: Commands, manager: SmallManager, env: Env
) -> None:
    manager.rows["domains"]["lab"] = {"name": "lab", "is_active": True}
    for action, past in (("delete", "deleted"), ("purge", "removed for good")):
        problem = commands.run("admin", "domains", action, "lab", env=env).problem(125)
        assert f"The domain lab is about to be {past}." in problem and "--yes" in problem
    forget = commands.run("admin", "images", "forget", "r/python:3", env=env)
    assert "--yes" in forget.problem(125)
    assert manager.sent == [] and manager.calls == []
    for answer, code in (("n\n", 130), ("y\n", 0)):
        with commands.terminal("admin", "domains", "delete", "lab", env=env) as shown:
            shown.expect("Go on?")
            shown.send(answer)
            assert shown.wait() == code
        assert len(manager.sent) == (code == 0)


def test_a_key_pair_tells_its_secret_once(
    commands: Commands, manager: SmallManager, env: Env
) -> None:
    result = commands.run("admin", "keypairs", "create", "a@b.c", "-r", "99", "-a", env=env)
    assert result.code == 0 and "told-once" in result.text
    assert manager.sent[-1].values == {
        "is_active": True, "is_admin": True, "rate_limit": 99, "resource_policy": "default",
    }  # fmt: skip
    (key,) = manager.rows["keypairs"]
    for words in (("deactivate", key), ("update", key, "--is-active", "false", "--json")):
        result = commands.run("admin", "keypair", *words, env=env)
        assert result.code == 0 and "told-once" not in result.text
    assert manager.rows["keypairs"][key]["is_active"] is False


@pytest.mark.parametrize("kind", sorted(set(MANAGED_KINDS) - {"users"}))
def test_each_kind(commands: Commands, manager: SmallManager, env: Env, kind: str) -> None:
    table = kind_of(kind)
    more = ["--resource-slots", '{"cpu": "1"}'] if kind == "resource-presets" else []
    made = commands.run("admin", kind, "create", "x", *more, "--json", env=env)
    assert made.code == 0, made.stderr
    key = json.loads(made.text)["row"][table.key if kind == "keypairs" else table.identity[0]]
    planned = commands.run("admin", kind, "delete", key, "--dry-run", "--json", env=env)
    gone = commands.run("admin", kind, "delete", key, "--yes", "--json", env=env)
    told = json.loads(gone.text)
    assert (told["kind"], told["action"], told["key"]) == (kind, "delete", key)
    assert told | {"dry_run": True} == json.loads(planned.text)
    assert told.keys() == json.loads(made.text).keys()
    assert bool(manager.rows[kind]) == (table.purge_since is not None)


def test_members_and_access(commands: Commands, manager: SmallManager, env: Env) -> None:
    manager.rows["projects"]["7e9e1a5b-0000-4000-8000-000000000001"] = {
        "id": "7e9e1a5b-0000-4000-8000-000000000001", "name": "p", "domain_name": "default",
    }  # fmt: skip
    manager.rows["users"]["a@b.c"] = {"uuid": "u1"}
    for words in (
        ("group", "add-users", "p", "a@b.c"),
        ("projects", "remove-users", "p", "a@b.c"),
        ("scaling-groups", "allow", "gpu", "--project", "p"),
        ("scaling-groups", "forbid", "gpu", "--domain", "lab"),
        ("images", "alias", "python", "r/python:3", "--arch", "aarch64"),
        ("image", "dealias", "python"),
        ("images", "forget", "r/python:3", "--yes"),
    ):
        result = commands.run("admin", *words, env=env)
        assert result.code == 0 and result.text == "", result.stderr
    assert [mutation.values["user_update_mode"] for mutation in manager.sent] == ["add", "remove"]
    assert [name for name, _ in manager.calls] == [
        "associate_scaling_group_with_user_group", "disassociate_scaling_group_with_domain",
        "alias_image", "dealias_image", "forget_image",
    ]  # fmt: skip


def test_rescan(commands: Commands, manager: SmallManager, env: Env) -> None:
    result = commands.run("admin", "images", "rescan", "-r", "cr.example.com", env=env)
    assert (result.code, result.text) == (126, "")
    assert result.stderr == "✘ r was not\n∙ The registries are read, but for 1 error.\n"
    assert manager.calls == [("rescan_images", {"registry": "cr.example.com"})]
    as_json = commands.run("admin", "images", "rescan", "--json", env=env)
    assert (as_json.code, as_json.stderr) == (126, "✘ r was not\n")
    assert json.loads(as_json.text) == {"message": "all read", "errors": ["r was not"]}
    with serving(manager, errors=()) as settings:
        result = commands.run("admin", "images", "rescan", env=settings)
    assert (result.code, result.stderr) == (0, "✔ The registries are read.\n")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("users", "create", "a@b.c"), "a password is needed; give it with --password-file"),
        (("users", "create", "a@b.c", "--password-file", "x"), "x cannot be read: No such file"),
        (("users", "create", "a@b.c", "--password-file", "./-"), "./- cannot be read: No such"),
        (("users", "create", "a@b.c", "b"), "unexpected argument: b"),
        (
            ("users", "--json", "create", "a@b.c"),
            "--json is for the list ('backend.ai admin users')",
        ),
        (("users", "creat"), "did you mean 'create'?"),
        (("users", "update", "a@b.c"), "nothing of the user a@b.c is to be changed"),
        (("users", "update", "a@b.c", "--cuid", "1", "--unset-cuid"), "not both"),
        (("domains", "update", "x", "--total-resource-slots", "[1]"), "must be a JSON object"),
        (("domains", "update", "x", "--is-active", "perhaps"), "perhaps"),
        (("scaling-groups", "allow", "gpu"), "give one of --domain, --project and --keypair"),
        (("projects", "add-users", "p"), "USERS"),
    ],
)
def test_wrong_usage(commands: Commands, env: Env, words: tuple[str, ...], reason: str) -> None:
    assert reason in commands.run("admin", *words, env=env).problem(125)


def test_what_is_not_there(commands: Commands, manager: SmallManager, env: Env) -> None:
    for words in (("update", "x", "--description", "y"), ("delete", "x", "--yes")):
        problem = commands.run("admin", "domains", *words, env=env).problem(126)
        assert "there is no domain 'x'" in problem
    assert manager.sent == []


def test_a_gateway_refuses(commands: Commands, served: Env) -> None:
    result = commands.run("admin", "domains", "create", "x", env=served)
    assert "no permission to execute create_domain" in result.problem(126)
