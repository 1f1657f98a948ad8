"""Secrets are planted in all places that have any; then commands are run, those that fail too, and
all that they print, start and write is searched for them, in every form.

The gateway is behind a proxy with a password, which also sees the secrets that the gateway makes.
"""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from urllib.parse import quote

import pytest
import trio

from backendai_trio import GatewayOptions, open_gateway
from backendai_trio.gateway import Account, Gateway

from ..secret_forms import files_with, forms_of, secrets_in
from ..transport.servers import ForwardingProxy, reply, serving
from .commands import Commands, Result

ACCESS_KEY = "AKIASWEEPSWEEPSWEEPS"
SECRETS = {
    "secret key": "Swept~secret/key+0123456789-abcdefghijkl",
    "password of the proxy": "pr%xy/p@ss:w\u00f6rd",
    "password": "l\u00f6gin p@ss/word",
    "wrong password": "wr\u00f6ng p@ss/word",
    "one-time password": "918273645",
    "wrong one-time password": "546372819",
    "content of a dotfile": "d\u00f6tfile-content-4711",
    "another secret key": "Other~secret/key+0123456789-abcdefghijkl",
}
USER = "me@example.com"
# What the gateway makes: cookies, tokens of uploads and downloads, secrets of key pairs, SSH keys.
MADE = {
    "cookie": rb"(?i)set-cookie: [^=]+=([\w-]{20,})",
    "token of a transfer": rb'"token": ?"([\w-]{30,})"',
    "secret of a key pair": rb'"secret_key": ?"([^"]{20,})"',
    "private key": rb'"ssh_private_key": ?"-----BEGIN[^\\]*\\n([\w+/]{40,})',
}
SIGNATURE = rb"credential=[^:]+:([0-9a-f]{40,})"
SITE = """
import json, os, sys

def note(event, arguments):
    if event in ("subprocess.Popen", "os.exec", "os.posix_spawn"):
        argv = arguments[1]
        with open(os.environ["SWEEP_PROCESSES"], "a") as file:
            file.write(json.dumps([os.fsdecode(word) for word in argv], ensure_ascii=False) + "\\n")
    if event == "socket.connect" and "SWEEP_CRASH" in os.environ:
        raise RuntimeError("crash")

sys.addaudithook(note)
"""


class RecordingProxy(ForwardingProxy):
    """A proxy that keeps all that goes through it.

    Attributes:
        seen: the bytes, both ways.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen = bytearray()
        self.password = SECRETS["password of the proxy"]

    async def handle(self, stream: trio.abc.Stream) -> None:
        try:
            await super().handle(stream)
        except OSError:
            await stream.send_all(reply(502, b"nobody is there"))

    async def _copy(
        self, source: trio.abc.Stream, target: trio.abc.Stream, scope: trio.CancelScope
    ) -> None:
        recorded = _Recorded(source, self.seen)
        await super()._copy(recorded, target, scope)  # type: ignore[arg-type]

    def made(self) -> dict[str, str]:
        """The secrets that the gateway has made, and the signatures of requests."""
        data = bytes(self.seen) + b"".join(self.heads)
        found = {}
        for name, pattern in [*MADE.items(), ("signature", SIGNATURE)]:
            for number, match in enumerate(sorted(set(re.findall(pattern, data)))):
                found[f"{name} {number}"] = match.decode()
        return found


class _Recorded:
    def __init__(self, stream: trio.abc.Stream, seen: bytearray) -> None:
        self._stream = stream
        self._seen = seen

    async def receive_some(self, size: int) -> bytes:
        data = bytes(await self._stream.receive_some(size))
        self._seen += data
        return data


class Sweep:
    """Runs commands, and searches what they leave."""

    def __init__(self, commands: Commands, gateway: Gateway, proxy: RecordingProxy) -> None:
        self.commands = commands
        self.proxy = proxy
        self.printed: list[tuple[Sequence[str], Result]] = []
        self._processes = commands.home.parent / "processes"
        site = commands.home.parent / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(SITE)
        self._site = {
            "PYTHONPATH": str(site),
            "PYTHONDEVMODE": "1",  # warnings show what was not closed
            "SWEEP_PROCESSES": str(self._processes),
        }
        self.url = gateway.url

    async def run(
        self, *arguments: str, stdin: str | None = None, env: Mapping[str, str] | None = None
    ) -> Result:
        given = None if stdin is None else stdin.encode()
        result = await trio.to_thread.run_sync(
            lambda: self.commands.run(*arguments, stdin=given, env=self._site | dict(env or {}))
        )
        self.printed.append((arguments, result))
        return result

    def found(self, *, shown_once: Sequence[str] = ()) -> set[tuple[str, str]]:
        """Where secrets are: commands, processes and files, with the secrets' names.

        Args:
            shown_once: names of secrets that one command has to print, on standard output.
        """
        secrets = SECRETS | self.proxy.made()
        found: set[tuple[str, str]] = set()
        for arguments, result in self.printed:
            line = " ".join(arguments)
            found |= {(line, name) for name in secrets_in(result.stderr.encode(), secrets)}
            found |= {(line, name) for name in secrets_in(result.stdout, secrets)}
        if self._processes.exists():
            text = self._processes.read_bytes()
            found |= {("a process", name) for name in secrets_in(text, secrets)}
        for folder in (self.commands.home, self.commands.work, self.commands.tmp):
            found |= set(files_with(folder, secrets))
        return {(place, name) for place, name in found if name not in shown_once}


@asynccontextmanager
async def swept(commands: Commands, **options: object) -> AsyncIterator[Sweep]:
    proxy = RecordingProxy()
    wanted = GatewayOptions(
        access_key=ACCESS_KEY,
        secret_key=SECRETS["secret key"],
        **options,  # type: ignore[arg-type]
    )
    async with open_gateway(wanted) as gateway, serving(proxy.handle) as at:
        login = f"user:{quote(proxy.password, safe='')}"
        commands.env |= {
            "BACKEND_ENDPOINT": gateway.url,
            "HTTP_PROXY": f"http://{login}@{at.endpoint.host_header}",
        }
        yield Sweep(commands, gateway, proxy)


def check_log(caplog: pytest.LogCaptureFixture, sweep: Sweep) -> None:
    """Of the gateway, in this process, at its most talkative."""
    text = "\n".join(caplog.handler.format(record) for record in caplog.records)
    assert secrets_in(text.encode(), SECRETS | sweep.proxy.made()) == []


def test_each_form_is_found() -> None:
    """This search finds what it is to find."""
    for name, secret in SECRETS.items():
        for text in (
            secret,
            f"GET /?x={quote(secret)}",
            json.dumps([secret]),
            repr([secret]),
            *(base64.b64encode(b"x" * n + secret.encode() + b"yz").decode() for n in range(7)),
        ):
            assert name in secrets_in(text.encode(), SECRETS), text
        assert all(len(form) >= 7 for form in forms_of(secret)), name


def test_commands_with_a_key_pair(commands: Commands, caplog: pytest.LogCaptureFixture) -> None:
    trio.run(run_with_a_key_pair, commands, caplog)


async def run_with_a_key_pair(commands: Commands, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    (commands.work / "file").write_text("x" * 100_000)
    (commands.work / "dotfile").write_text(SECRETS["content of a dotfile"])
    (commands.work / "bad.py").write_text("raise SystemExit(3)")
    keys = {"BACKEND_ACCESS_KEY": ACCESS_KEY, "BACKEND_SECRET_KEY": SECRETS["secret key"]}
    async with swept(commands) as sweep:
        secret = SECRETS["another secret key"]
        for setting in ("secret_key", "access_key"):
            value = secret if setting == "secret_key" else ACCESS_KEY
            await sweep.run("--profile", "lab", "config", "set", setting, stdin=value)
        url = sweep.url
        assert (await sweep.run("--profile", "lab", "config", "set", "endpoint", url)).code == 0
        for extra in ((), ("-v",)):

            async def run(
                *words: str, stdin: str | None = None, code: int | None = 0, **more: str
            ) -> Result:
                done = await sweep.run(*extra, *words, stdin=stdin, env=keys | more)  # noqa: B023
                assert code is None or done.code == code, (words, done)
                return done

            await run("config")
            await run("config", "list", "--json")
            await run("doctor", code=None)
            await run("vfolder", "create", "data")
            await run("vfolder", "upload", "data", "file")
            await run("vfolder", "upload", "data", "bad.py", "no-such-file", code=None)
            await run("vfolder", "download", "data", "file", "-b", f"got{len(extra)}", code=None)
            await run("vfolder", "download", "data", "nothing", code=None)
            await run("dotfile", "set", ".netrc", "dotfile")
            await run("dotfile", "list")
            await run("create", "-q", "-t", "kernel", "-m", "data", "python")
            await run("run", "-q", "-t", "kernel", "python", "-c", "print(1)")
            await run("run", "-q", "-t", "kernel", "python", "-c", "import os; os.nope", code=None)
            await run("upload", "kernel", "file")
            await run("download", "kernel", "no-such-file", code=None)
            await run("info", "kernel")
            await run("ps", "--json")
            await run("rm", "kernel")
            await run("admin", "keypairs", code=None)
            await run("ssh-key", "generate", "--yes", "-f", f"id{len(extra)}")
            await run("ssh-key", "show")
            await run("vfolder", "delete", "data")
            await run("gc")
            # What fails: the signature, the proxy's password, the server, the program itself.
            await run("ps", BACKEND_SECRET_KEY=SECRETS["another secret key"], code=126)
            await sweep.run("--profile", "lab", *extra, "ps")
            host = commands.env["HTTP_PROXY"].rpartition("@")[2]
            wrong = quote(SECRETS["wrong password"], safe="")
            await run("ps", HTTP_PROXY=f"http://user:{wrong}@{host}", code=125)
            await run("ps", HTTP_PROXY="http://user:pr%25xy@127.0.0.1:1", code=125)
            await run("ps", BACKEND_ENDPOINT="http://127.0.0.1:1", code=126)
            await run("ps", BACKEND_ENDPOINT="https://" + url.partition("//")[2], code=None)
            await run("ps", BACKEND_SECRET_KEY=secret + "x", code=None)
            await run("ps", BACKEND_ACCESS_KEY=secret, code=None)
            upload = ["vfolder", "upload", "data", "file"]
            for command in (["ps"], upload, ["run", "python", "bad.py"]):
                crashed = await run(*command, code=None, SWEEP_CRASH="1")
                assert crashed.code not in (0, 126) and "crash" in crashed.stderr, crashed
                shown = await run(*command, code=None, SWEEP_CRASH="1", BACKEND_TRACEBACK="1")
                assert "Traceback" in shown.stderr, shown
        found = sweep.found()
        made = sweep.proxy.made()
        assert {name.rpartition(" ")[0] for name in made} >= {"token of a transfer", "signature"}
        check_log(caplog, sweep)
    # Where they are meant to be, and nowhere else.
    assert {(place, re.sub(r" \d+$", "", name)) for place, name in found} == {
        (".config/backendai-trio/profiles.toml", "another secret key"),
        ("dotfile", "content of a dotfile"),
        ("id0", "private key"),
        ("id1", "private key"),
    }


def test_commands_through_a_login(commands: Commands, caplog: pytest.LogCaptureFixture) -> None:
    trio.run(run_through_a_login, commands, caplog)


async def run_through_a_login(commands: Commands, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    (commands.work / "file").write_text("x" * 100_000)
    good, wrong = SECRETS["password"], SECRETS["wrong password"]
    otp, wrong_otp = SECRETS["one-time password"], SECRETS["wrong one-time password"]
    account = Account(USER, good, otp)
    async with swept(commands, account=account) as sweep:
        commands.env["BACKEND_ENDPOINT_TYPE"] = "session"
        for extra in ((), ("-v",)):
            for lines, code in (
                ([wrong], 126),
                ([good], None),
                ([good, wrong_otp], 126),
                ([good, otp], 0),
            ):
                stdin = "".join(f"{line}\n" for line in lines)
                done = await sweep.run(*extra, "login", USER, stdin=stdin)
                assert code is None or done.code == code, done
            assert (await sweep.run(*extra, "ps")).code == 0
            assert (await sweep.run(*extra, "config", "--json")).code == 0
            await sweep.run(*extra, "vfolder", "create", "data")
            assert (await sweep.run(*extra, "vfolder", "upload", "data", "file")).code == 0
            ran = await sweep.run(*extra, "run", "-q", "python", "-c", "print(1)")
            assert (ran.code, ran.stdout) == (0, b"1\n")
            await sweep.run(*extra, "info", "no-such-kernel")
            crash = {"SWEEP_CRASH": "1", "BACKEND_TRACEBACK": "1"}
            for words in (["ps"], ["login", USER], ["logout"]):
                crashed = await sweep.run(*extra, *words, stdin=f"{good}\n{otp}\n", env=crash)
                assert "Traceback" in crashed.stderr, crashed
            found = {(place, re.sub(r" \d+$", "", name)) for place, name in sweep.found()}
            assert found == {(".local/state/backendai-trio/logins.json", "cookie")}
            assert (await sweep.run(*extra, "logout")).code == 0
        assert sweep.found() == set()
        assert any(name.startswith("cookie") for name in sweep.proxy.made())
        check_log(caplog, sweep)
