"""The official client 1.1.1 of early 2018, unmodified, against `backend.ai serve`."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ..cli.commands import ACCESS_KEY, Commands, Result
from ..cli.terminal import on_terminal

GREETING_C = {
    "main.c": r"""
        #include <stdio.h>
        #include "mylib.h"
        int main(void) {
            char name[64];
            printf("myvalue is %d\n", myvalue());
            printf("your name? ");
            if (scanf("%63s", name) != 1) return 4;
            printf("hello, %s!\n", name);
            return 0;
        }
    """,
    "mylib.c": '#include "mylib.h"\nint myvalue(void) { return 42; }\n',
    "mylib.h": "int myvalue(void);\n",
}

IMPORTS = """
import json
from ai.backend.client.exceptions import BackendAPIError
from ai.backend.client.kernel import Kernel
"""

Official = Callable[..., Result]
Script = Callable[[str], Any]


@pytest.fixture
def official(client_1_1_1: Path, commands: Commands, served: Mapping[str, str]) -> Official:
    """Runs a command of the official client against our gateway."""

    def run(*arguments: str, stdin: bytes | None = None, program: str = "backend.ai") -> Result:
        return commands.run(
            *arguments, stdin=stdin, env=served, program=str(client_1_1_1 / program)
        )

    return run


@pytest.fixture
def script(client_1_1_1: Path, commands: Commands, served: Mapping[str, str]) -> Script:
    """Runs a Python script with the official library; gives the JSON that it prints at last."""

    def run(text: str) -> Any:
        path = commands.work / "script.py"
        path.write_text(f"{IMPORTS}{text}\n")
        program = str(client_1_1_1 / "python")
        # Its modules are full of what newer Pythons warn of.
        result = commands.run("-W", "ignore", str(path), env=served, program=program)
        assert result.code == 0, result.stderr
        return json.loads(result.stdout.splitlines()[-1])

    return run


# -- its command line -----------------------------------------------------------------------------


def test_config(official: Official, served: Mapping[str, str]) -> None:
    result = official("config")
    assert f'API endpoint: "{served["BACKEND_ENDPOINT"]}"' in result.text
    assert f'Access key: "{ACCESS_KEY}"' in result.text


def test_python(official: Official) -> None:
    result = official("run", "python3", "-c", "print('hello world')")
    assert (result.code, result.text) == (0, "hello world\n"), result.stderr
    assert "is ready." in result.stderr and "Cleaned up the kernel." in result.stderr


@pytest.mark.usefixtures("c_compiler")
def test_c(official: Official) -> None:
    code = '#include <stdio.h>\nint main() {printf("hello world\\n");}'
    result = official("run", "c", "-c", code)
    assert (result.code, result.text) == (0, "hello world\n"), result.stderr


def test_lua(official: Official) -> None:
    assert official("run", "-q", "lua5", "-c", 'print("hello world")').text == "hello world\n"


@pytest.mark.usefixtures("c_compiler")
@pytest.mark.parametrize("program", ["backend.ai", "lcc"])
def test_files_and_an_answer(official: Official, commands: Commands, program: str) -> None:
    for name, text in GREETING_C.items():
        (commands.work / name).write_text(text)
    arguments = ["run", "c"] if program == "backend.ai" else []
    result = official(*arguments, *GREETING_C, stdin=b"LABLUP\n", program=program)
    assert result.text == "myvalue is 42\nyour name? hello, LABLUP!\n", result.stderr
    assert "Uploading done." in result.stderr and "Build finished." in result.stderr


@pytest.mark.usefixtures("c_compiler")
def test_an_answer_at_a_terminal(
    client_1_1_1: Path, commands: Commands, served: Mapping[str, str]
) -> None:
    for name, text in GREETING_C.items():
        (commands.work / name).write_text(text)
    argv = commands.argv("run", "c", *GREETING_C, program=str(client_1_1_1 / "backend.ai"))
    with on_terminal(argv, env=commands.env | dict(served), cwd=commands.work) as run:
        run.expect("your name? ")
        run.send("LABLUP\n")
        run.expect("hello, LABLUP!")
        assert run.wait() == 0


def test_two_answers(official: Official) -> None:
    code = "a = input('a? '); b = input('b? '); print(a + b)"
    assert official("run", "-q", "python", "-c", code, stdin=b"1\n2\n").text == "a? b? 12\n"


def test_long_silence(official: Official) -> None:
    """Polls that bring no news: its loop sends "" with the same mode until there are some."""
    code = "import time; print('one', flush=True); time.sleep(5); print('two')"
    assert official("run", "-q", "python", "-c", code).text == "one\ntwo\n"


def test_much_output(official: Official) -> None:
    code = "for number in range(20000): print('line', number)"
    expected = "".join(f"line {number}\n" for number in range(20000))
    assert official("run", "-q", "python", "-c", code).text == expected


def test_errors_of_the_program(official: Official) -> None:
    result = official("run", "-q", "python", "-c", "1/0")
    assert "ZeroDivisionError" in result.stderr


def test_state_is_kept(official: Official) -> None:
    token = "a-token-of-mine"  # more than 8 characters, or it refuses
    assert official("run", "-q", "python", "-t", token, "-c", "x = 42").code == 0
    assert official("run", "-q", "python", "-t", token, "-c", "print(x)").text == "42\n"


def test_state_is_shared_with_our_command(
    official: Official, commands: Commands, served: Mapping[str, str]
) -> None:
    token = "a-token-of-mine"
    assert official("run", "-q", "python", "-t", token, "-c", "x = 42").code == 0
    ours = commands.run("run", "-q", "python", "-t", token, "-c", "print(x)", env=served)
    assert ours.stdout == b"42\n"


def test_variables(official: Official) -> None:
    code = "import os; print(os.environ['GREETING'])"
    assert official("run", "-q", "python", "-e", "GREETING=hi", "-c", code).text == "hi\n"


def test_statistics(official: Official) -> None:
    result = official("run", "-s", "python", "-c", "sum(range(10**6))")
    assert re.search(r"^cpu_used_msec +[1-9]", result.text, re.MULTILINE), result.text
    assert re.search(r"^mem_max_bytes +[\d.]+ [MG]iB", result.text, re.MULTILINE)


def test_ps(official: Official) -> None:
    assert official("run", "-q", "python", "-t", "a-token-of-mine", "-c", "").code == 0
    rows = [line for line in official("ps").text.splitlines() if "RUNNING" in line]
    assert len(rows) == 1 and "python" in rows[0]


def test_admin_sessions(official: Official) -> None:
    assert official("run", "-q", "python", "-t", "a-token-of-mine", "-c", "").code == 0
    assert official("run", "-q", "lua", "-c", "").code == 0
    result = official("admin", "sessions", "--status", "ALL")
    assert result.code == 0, result.stderr
    lines = result.text.splitlines()
    assert [line for line in lines if "RUNNING" in line and "python" in line]
    assert [line for line in lines if "TERMINATED" in line and "lua" in line]


def test_no_such_runtime(official: Official) -> None:
    result = official("run", "nosuchlang", "-c", "x")
    assert result.code != 0
    assert "404" in result.stderr and "nosuchlang" in result.stderr


def test_virtual_folders(official: Official, commands: Commands) -> None:
    (commands.work / "sub").mkdir()
    content = random.Random(0).randbytes(3_000_000)
    (commands.work / "big.bin").write_bytes(content)
    (commands.work / "sub" / "small.txt").write_text("small\n")
    assert "data" in official("vfolder", "create", "data").text
    assert "'name', 'data'" in official("vfolder", "list").text
    for name in ("big.bin", "sub/small.txt"):
        assert official("vfolder", "upload", "data", name).text == "201\n"
    assert "'numFiles', 2" in official("vfolder", "info", "data").text
    assert "data" in official("admin", "vfolders").text
    code = (
        "import hashlib; print(hashlib.sha256(open('data/big.bin', 'rb').read()).hexdigest()); "
        "print(open('data/sub/small.txt').read(), end='')"
    )
    seen = official("run", "-q", "python", "-m", "data", "-c", code).text
    assert seen == f"{hashlib.sha256(content).hexdigest()}\nsmall\n"
    assert official("vfolder", "delete", "data").code == 0
    assert official("vfolder", "list").text == "[]\n"
    refused = official("vfolder", "info", "data")
    assert refused.code != 0 and "folder-not-found" in refused.stderr


# -- its library ----------------------------------------------------------------------------------
# The blocking half alone: its asyncio half leaves aiohttp sessions with a plain `with`, which every
# aiohttp since 3.0 refuses.


def test_a_kernel_of_the_library(script: Script) -> None:
    said = script(
        """
kernel = Kernel.get_or_create("python", client_token="a-token-of-mine")
again = Kernel.get_or_create("python", client_token="a-token-of-mine")

def execute(code, run_id):
    output = ""
    mode = "query"
    while True:
        result = kernel.execute(run_id, code, mode=mode)
        output += "".join(text for kind, text in result["console"])
        if result["status"] == "finished":
            return output, result.get("exitCode")
        code = ""

first = execute("value = 42; print('hello world')", "run-1")
second = execute("print(value)", "run-2")
completions = kernel.complete("val", {"row": 0, "col": 3, "line": "val", "post": ""})
info = kernel.get_info()
kernel.restart()
third = execute("print('value' in globals())", "run-3")
statistics = kernel.destroy()
try:
    kernel.get_info()
    gone = None
except BackendAPIError as exc:
    gone = exc.args[0]
print(json.dumps({
    "same": kernel.kernel_id == again.kernel_id,
    "outputs": [first[0], second[0], third[0]],
    "completions": completions, "info": info, "statistics": statistics, "gone": gone,
}))
"""
    )
    assert said["same"]
    assert said["outputs"] == ["hello world\n", "42\n", "False\n"]
    assert "value" in json.dumps(said["completions"])
    assert said["info"]["lang"] == "python" and said["info"]["age"] >= 0
    assert said["statistics"]["stats"]["cpu_used"] > 0
    assert said["gone"] == 404


def test_an_interrupt_of_the_library(script: Script) -> None:
    said = script(
        """
import threading
kernel = Kernel.get_or_create("python")
started = threading.Event()

def execute():
    code, output = "print('started', flush=True)\\nwhile True: pass", ""
    while True:
        result = kernel.execute("run-1", code, mode="query")
        output += "".join(text for kind, text in result["console"])
        if "started" in output:
            started.set()
        if result["status"] == "finished":
            outputs.append(output)
            return
        code = ""

outputs = []
thread = threading.Thread(target=execute)
thread.start()
assert started.wait(20)
kernel.interrupt()
thread.join(20)
result = kernel.execute("run-2", "print('still here')", mode="query")
while result["status"] != "finished" and not result["console"]:
    result = kernel.execute("run-2", "", mode="query")
kernel.destroy()
print(json.dumps({"outputs": outputs, "after": result["console"]}))
"""
    )
    assert len(said["outputs"]) == 1 and "KeyboardInterrupt" in said["outputs"][0]
    assert said["after"] == [["stdout", "still here\n"]]
