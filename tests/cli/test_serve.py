"""`backend.ai serve`: a gateway that stays, its key pair, and what is left when it goes."""

from __future__ import annotations

import json
import re
import resource
import shlex
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from .commands import ACCESS_KEY, SECRET_KEY, Commands, url_of, variables_of
from .terminal import Running, eventually

STARTED_FOREVER = "print('started', flush=True)\nwhile True: pass"


def free_port() -> int:
    """A port that nobody has now. For tests in which the number must be known beforehand."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def exported(text: str) -> dict[str, str]:
    """The variables that lines of `export NAME=value` set."""
    words = [shlex.split(line) for line in text.splitlines()]
    assert all(word[0] == "export" and len(word) == 2 for word in words), text
    found = dict(word[1].split("=", 1) for word in words)
    assert set(found) == {"BACKEND_ENDPOINT", "BACKEND_ACCESS_KEY", "BACKEND_SECRET_KEY"}
    return found


@contextmanager
def serving(commands: Commands, port: int, *options: str) -> Iterator[Running]:
    """A gateway on a port that is known beforehand."""
    with commands.start("serve", "--port", str(port), *options) as gateway:
        gateway.expect("✔ Serving on ", on="stderr")
        gateway.expect("Ctrl-C ends the gateway", on="stderr")
        yield gateway


def secrets_of(commands: Commands, port: int, *options: str) -> dict[str, str]:
    result = commands.run("serve", "--port", str(port), *options, "--print-env")
    assert (result.code, result.stderr) == (0, "")
    return exported(result.text)


# -- what it says -------------------------------------------------------------------------------


def test_what_it_says(commands: Commands) -> None:
    port = free_port()
    with commands.terminal("serve", "--port", str(port)) as gateway:
        gateway.expect("Ctrl-C ends the gateway and its kernels.")
        hint = re.search(r"∙ To use it from another terminal:  (.*)\n", gateway.text())
        assert hint is not None
        # The hint works as it stands, and the secret is not shown.
        result = commands.shell(f"{hint[1]}; backend.ai ps; backend.ai config")
        assert result.code == 0, result.stderr
        assert "no compute sessions" in result.text
        assert f'API endpoint: "http://127.0.0.1:{port}"' in result.text
        gateway.send("\x03")
        assert gateway.wait(5) == 0
    assert secrets_of_files(commands) not in gateway.text()
    assert gateway.text().endswith("✔ All kernels have ended.\n")


def test_the_hint_of_a_gateway_on_a_free_port(commands: Commands) -> None:
    with commands.serve() as gateway:
        gateway.expect("Ctrl-C ends the gateway", on="stderr")
        hint = re.search(r"another terminal:  (.*)\n", gateway.text("stderr"))
        assert hint is not None
        result = commands.shell(f"{hint[1]}; backend.ai config")
        assert f'API endpoint: "{url_of(gateway)}"' in result.text


@pytest.mark.parametrize(
    "options",
    [
        ["--host", "127.0.0.2"],
        ["--data", "its data"],
        ["--access-key", ACCESS_KEY, "--secret-key-file", "secret"],
        ["--certificate", "cert.pem", "--certificate-key", "key.pem"],
    ],
    ids=" ".join,
)
def test_the_hint_has_the_options_that_lead_there(commands: Commands, options: list[str]) -> None:
    (commands.work / "secret").write_text(f"{SECRET_KEY}\n")
    certificate = trustme.CA().issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(str(commands.work / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(commands.work / "cert.pem"))
    (commands.work / "elsewhere").mkdir()
    with commands.serve(*options) as gateway:
        gateway.expect("Ctrl-C ends the gateway", on="stderr")
        hint = re.search(r"another terminal:  (.*)\n", gateway.text("stderr"))
        url = re.search(r"Serving on (https?://\S+)", gateway.text("stderr"))
        assert hint is not None and url is not None
        assert SECRET_KEY not in gateway.text("stderr")
        result = commands.shell(f"cd elsewhere; {hint[1]}; backend.ai config get endpoint")
        assert (result.code, result.text) == (0, f"{url[1]}\n"), result.stderr


def secrets_of_files(commands: Commands) -> str:
    """The secret key that was made on the first start."""
    port = free_port()
    with serving(commands, port):
        return secrets_of(commands, port)["BACKEND_SECRET_KEY"]


def test_sigterm(commands: Commands) -> None:
    with commands.serve() as gateway:
        gateway.signal(signal.SIGTERM)
        assert gateway.wait(5) == 143
    assert "Traceback" not in gateway.text("stderr")


# -- --print-env --------------------------------------------------------------------------------


def test_print_env_of_a_running_gateway(commands: Commands) -> None:
    port = free_port()
    with serving(commands, port):
        result = commands.run("serve", "--port", str(port), "--print-env")
        assert (result.code, result.stderr) == (0, "")
        variables = exported(result.text)
        assert variables["BACKEND_ENDPOINT"] == f"http://127.0.0.1:{port}"
        said = commands.run("run", "-q", "python", "-c", "print(1)", env=variables)
        assert said.stdout == b"1\n"


def test_print_env_where_no_gateway_runs(commands: Commands) -> None:
    """`eval` would wait for the end of one that was started."""
    result = commands.run("serve", "--port", str(free_port()), "--print-env")
    assert "no gateway" in result.problem(125) and "'backend.ai serve &'" in result.stderr


def test_the_lines_of_the_readme(commands: Commands) -> None:
    port = free_port()
    result = commands.shell(
        f"""
        backend.ai serve --port {port} &
        gateway=$!
        eval "$(backend.ai serve --print-env --port {port})"
        backend.ai run -q python -t lab1 -c "x = 42"
        backend.ai run -q python -t lab1 -c "print(x)"
        backend.ai ps
        kill $gateway
        wait $gateway
        """
    )
    assert result.text.startswith("42\n"), result
    assert re.search(r"lab1 .* python +RUNNING", result.text)
    assert result.code == 143


# -- the key pair -------------------------------------------------------------------------------


def test_the_key_pair_is_kept_and_private(commands: Commands, tmp_path: Path) -> None:
    data = tmp_path / "data"
    port = free_port()
    pairs = []
    for _ in range(2):
        with serving(commands, port, "--data", str(data)) as gateway:
            pairs.append(secrets_of(commands, port, "--data", str(data)))
            for path in [data, *data.iterdir()]:
                mode = stat.S_IMODE(path.stat().st_mode)
                assert mode == (0o700 if path.is_dir() else 0o600), path
            gateway.signal(signal.SIGINT)
            assert gateway.wait(5) == 0
    assert pairs[0] == pairs[1]
    assert re.fullmatch(r"AKIA[A-Z2-7]{16}", pairs[0]["BACKEND_ACCESS_KEY"])
    assert len(pairs[0]["BACKEND_SECRET_KEY"]) == 40


def test_the_data_folder_is_the_platforms(commands: Commands) -> None:
    with commands.serve():
        folder = commands.home / ".local" / "share" / "backendai-trio"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert list(folder.iterdir())


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("mem=1g", "there is no limit 'mem'; use one of memory, cores"),
        ("memory=big", "'big' is no amount of memory; give one such as 4g"),
        ("cores=0", "cores must be more than 0"),
    ],
)
def test_limits_that_are_none(commands: Commands, limit: str, said: str) -> None:
    result = commands.run("serve", "--port", "0", "--limit", limit)
    assert said in result.problem(125)


def test_isolation(commands: Commands) -> None:
    keys = {"BACKEND_SECRET_KEY": SECRET_KEY}
    options = ("--access-key", ACCESS_KEY, "--isolation", "process-group")
    with commands.serve(*options, env=keys) as gateway:
        assert "(isolation: process-group)" in gateway.text("stderr")
        doctor = commands.run("doctor", env=variables_of(gateway))
        assert "process-group: kernels can do whatever the gateway's user can" in doctor.text
    result = commands.run(
        "serve", "--port", "0", "--isolation", "bubblewrap", env={"PATH": "/nowhere"}
    )
    assert "there is no bwrap on PATH" in result.problem(125)


def test_as_many_connections_as_the_system_allows(commands: Commands) -> None:
    """Shells allow 1,024 descriptors, which a gateway with many clients exceeds."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        with serving(commands, free_port()) as gateway:
            allowed, _ = resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert allowed == (65536 if hard == resource.RLIM_INFINITY else min(65536, hard))


def test_a_key_pair_of_ones_own(commands: Commands) -> None:
    keys = {"BACKEND_SECRET_KEY": SECRET_KEY}
    with commands.serve("--access-key", ACCESS_KEY, env=keys) as gateway:
        argv = Path(f"/proc/{gateway.pid}/cmdline").read_bytes()
        assert ACCESS_KEY.encode() in argv and SECRET_KEY.encode() not in argv
        assert commands.run("ps", env=variables_of(gateway)).code == 0
        assert SECRET_KEY not in gateway.text("stderr")


def test_a_secret_from_a_file(commands: Commands) -> None:
    path = commands.work / "secret"
    path.write_text(f"{SECRET_KEY}\n")
    path.chmod(0o600)
    with commands.serve("--access-key", ACCESS_KEY, "--secret-key-file", str(path)) as gateway:
        assert commands.run("ps", env=variables_of(gateway)).code == 0


def test_the_secret_from_standard_input(commands: Commands) -> None:
    options = ("--port", "0", "--access-key", ACCESS_KEY, "--secret-key-file", "-")
    with commands.start("serve", *options, stdin=subprocess.PIPE) as gateway:
        gateway.send(f"{SECRET_KEY}\n")
        gateway.expect("--secret-key-file -", on="stderr")
        variables = {"BACKEND_ACCESS_KEY": ACCESS_KEY, "BACKEND_SECRET_KEY": SECRET_KEY}
        env = {"BACKEND_ENDPOINT": url_of(gateway), **variables}
        assert commands.run("ps", "--json", env=env).text == "[]\n"
    with commands.terminal("serve", *options) as gateway:
        gateway.expect("Secret key: ")
        assert eventually(lambda: not gateway.echoes())
        gateway.send(f"{SECRET_KEY}\n")
        gateway.expect("Serving on")
        assert SECRET_KEY not in gateway.text()


def test_there_is_no_option_for_the_secret(commands: Commands) -> None:
    assert not re.search(r"--secret-key(?!-file)", commands.run("serve", "--help").text)
    # Abbreviations of --secret-key-file are none either: the secret would be taken for a path.
    problem = commands.run("serve", "--secret-key", SECRET_KEY).problem(125)
    assert SECRET_KEY not in problem


@pytest.mark.parametrize(
    ("options", "variables", "said"),
    [
        (["--access-key", "mine"], {}, "--access-key"),
        (["--secret-key-file", "missing"], {}, "--secret-key-file"),
        ([], {"BACKEND_SECRET_KEY": "too-short"}, "BACKEND_SECRET_KEY"),
        (["--secret-key-file", "short"], {}, "--secret-key-file"),
    ],
)
def test_a_key_that_no_client_could_use(
    commands: Commands, options: list[str], variables: Mapping[str, str], said: str
) -> None:
    """Clients refuse keys that have not the shape of keys; so must the gateway, at its start."""
    (commands.work / "short").write_text("too-short\n")
    with commands.start("serve", "--port", "0", *options, env=variables) as gateway:
        assert gateway.wait(5) == 125
    assert said in gateway.text("stderr")


# -- where it listens ---------------------------------------------------------------------------


def test_a_port_in_use(commands: Commands) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        problem = commands.run("serve", "--port", str(port)).problem(125)
        assert str(port) in problem and "in use" in problem


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_the_network_needs_a_certificate(commands: Commands, address: str) -> None:
    problem = commands.run("serve", "--port", "0", "--host", address).problem(125)
    assert "certificate" in problem


def test_a_host_that_is_no_address(commands: Commands) -> None:
    assert "nonsense" in commands.run("serve", "--port", "0", "--host", "nonsense").problem(125)


def test_tls(commands: Commands) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(commands.work / "ca.pem"))
    certificate.private_key_pem.write_to_path(str(commands.work / "key.pem"))
    for part in certificate.cert_chain_pems:
        part.write_to_path(str(commands.work / "cert.pem"), append=True)
    options = ("--certificate", "cert.pem", "--certificate-key", "key.pem")
    keys = {"BACKEND_SECRET_KEY": SECRET_KEY}
    with commands.serve(*options, "--access-key", ACCESS_KEY, env=keys) as gateway:
        match = re.search(r"Serving on (https://127.0.0.1:\d+)", gateway.text("stderr"))
        assert match is not None
        variables = keys | {"BACKEND_ENDPOINT": match[1], "BACKEND_ACCESS_KEY": ACCESS_KEY}
        problem = commands.run("ps", env=variables).problem(125)
        assert "BACKEND_CA_FILE" in problem
        trusting = variables | {"BACKEND_CA_FILE": "ca.pem"}
        said = commands.run("run", "-q", "python", "-c", "print(1)", env=trusting)
        assert (said.code, said.stdout, said.stderr) == (0, b"1\n", "")


# -- kernels that stay --------------------------------------------------------------------------


def test_two_runs_share_a_kernel(commands: Commands, served: Mapping[str, str]) -> None:
    for code, output in (("x = 42", b""), ("print(x)", b"42\n")):
        result = commands.run("run", "-q", "python", "-t", "abc", "-c", code, env=served)
        assert (result.code, result.stdout) == (0, output)


def test_two_runs_at_once_make_one_kernel(commands: Commands, served: Mapping[str, str]) -> None:
    code = "counter = globals().get('counter', 0) + 1"
    with (
        commands.start("run", "python", "-t", "abc", "-c", code, env=served) as first,
        commands.start("run", "python", "-t", "abc", "-c", code, env=served) as second,
    ):
        assert first.wait() == second.wait() == 0
    last = commands.run("run", "-q", "python", "-t", "abc", "-c", "print(counter)", env=served)
    assert last.stdout == b"2\n"


def test_ps(commands: Commands, served: Mapping[str, str]) -> None:
    assert json.loads(commands.run("ps", "--json", env=served).stdout) == []
    for token, runtime in (("first", "python"), ("second", "lua")):
        assert commands.run("run", "-q", runtime, "-t", token, "-c", "", env=served).code == 0
    result = commands.run("ps", env=served)
    assert (result.code, result.stderr) == (0, "")
    rows = [line.split() for line in result.text.splitlines() if "RUNNING" in line]
    assert [(row[0], row[2]) for row in rows] == [("second", "lua"), ("first", "python")]
    assert "\x1b" not in result.text
    listed = json.loads(commands.run("ps", "--json", env=served).stdout)
    assert [(row["token"], row["runtime"]) for row in listed] == [
        ("second", "lua"),
        ("first", "python"),
    ]


def test_an_idle_kernel_ends(commands: Commands) -> None:
    keys = {"BACKEND_SECRET_KEY": SECRET_KEY}
    options = ("--access-key", ACCESS_KEY, "--idle-timeout", "1")
    with commands.serve(*options, env=keys) as gateway:
        variables = variables_of(gateway)
        kept = commands.run("run", "-q", "python", "-t", "abc", "-c", "x = 1", env=variables)
        assert kept.code == 0 and commands.kernel_processes()
        assert eventually(lambda: not commands.kernel_processes(), 10)


# -- its end ------------------------------------------------------------------------------------


def kernels(commands: Commands, variables: Mapping[str, str]) -> list[int]:
    """Start two kernels that stay, one with a program in the background; their processes."""
    for token, code in (("one", "x = 1"), ("two", "import os; os.system('sleep 1000 &')")):
        kept = commands.run("run", "-q", "python", "-t", token, "-c", code, env=variables)
        assert (kept.code, kept.stderr) == (0, "")
    found = commands.kernel_processes()
    assert len(found) >= 5  # two hosts, two interpreters, sleep
    return found


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_all_kernels_end_with_it(commands: Commands, name: str) -> None:
    keys = {"BACKEND_SECRET_KEY": SECRET_KEY}
    with commands.serve("--access-key", ACCESS_KEY, env=keys) as gateway:
        kernels(commands, variables_of(gateway))
        gateway.signal(getattr(signal, name))
        gateway.wait(5)
        assert commands.kernel_processes() == []
        assert list(commands.tmp.iterdir()) == []
    assert "All kernels have ended." in gateway.text("stderr")


def test_all_kernels_end_when_it_is_killed(commands: Commands) -> None:
    keys = {"BACKEND_SECRET_KEY": SECRET_KEY}
    with commands.serve("--access-key", ACCESS_KEY, env=keys) as gateway:
        kernels(commands, variables_of(gateway))
        gateway.signal(signal.SIGKILL)
        gateway.wait()
        assert commands.nothing_is_left(2.0), (commands.kernel_processes(), commands.kernel_files())


def test_it_ends_while_a_run_goes_on(commands: Commands) -> None:
    keys = {"BACKEND_SECRET_KEY": SECRET_KEY}
    with commands.serve("--access-key", ACCESS_KEY, env=keys) as gateway:
        variables = variables_of(gateway)
        with commands.start("run", "python", "-c", STARTED_FOREVER, env=variables) as run:
            run.expect("started")
            gateway.signal(signal.SIGINT)
            assert gateway.wait(5) == 0
            assert run.wait(20) == 125
    for said in (gateway.text("stderr"), run.text("stderr")):
        assert "Traceback" not in said, said
    assert sum(line.startswith("✘") for line in run.text("stderr").splitlines()) == 1


def test_it_starts_again_on_its_port_at_once(commands: Commands) -> None:
    port = free_port()
    for _ in range(2):
        with serving(commands, port) as gateway:
            variables = secrets_of(commands, port)
            said = commands.run("run", "-q", "python", "-c", "print(1)", env=variables)
            assert said.stdout == b"1\n"
            gateway.signal(signal.SIGKILL)
            gateway.wait()


def test_a_terminal_that_is_closed(commands: Commands) -> None:
    with commands.terminal("serve", "--port", "0") as gateway:
        gateway.expect("Ctrl-C ends the gateway")
        gateway.signal(signal.SIGHUP)
        assert gateway.wait(5) == 129
    assert list(commands.tmp.iterdir()) == []
