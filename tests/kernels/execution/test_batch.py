"""Batch runs: files that are built and executed."""

from __future__ import annotations

from pathlib import Path

import pytest

from backendai_trio import (
    BatchOptions,
    BuildFinished,
    Client,
    Finished,
    GatewayOptions,
    InputRequest,
    KernelSpec,
    LocalProtocolError,
    Stdout,
    TrioKernel,
    UploadError,
    open_client,
    open_gateway,
    open_kernel,
)
from backendai_trio.files import plan_uploads
from backendai_trio.kernels import CleanFinished

from .runs import every_way, run, write


async def test_batch_of_python(kernel: TrioKernel, tmp_path: Path) -> None:
    paths = write(
        tmp_path,
        main_py="import sys, helper\nprint('name?')\nprint(helper.greet(input()))\nsys.exit(4)\n",
        helper_py="def greet(name): return f'hello, {name}'\n",
    )
    await kernel.upload(plan_uploads(paths, base=tmp_path))
    for _ in range(2):  # the files stay
        ran = await run(kernel, mode="batch", answers=["LABLUP"])
        assert ran.events == [
            Stdout("name?\n"),
            InputRequest(),
            Stdout("hello, LABLUP\n"),
            Finished(4),
        ]


C_MAIN = """
#include <stdio.h>
#include "mylib.h"
int main(void) {
    char name[32];
    printf("myvalue is %d\\nyour name? ", myvalue());
    if (scanf("%31s", name) != 1) { fprintf(stderr, "no name\\n"); return 3; }
    printf("hello, %s!\\n", name);
    return 0;
}
"""


@every_way
async def test_batch_of_c(client: Client, tmp_path: Path, c_compiler: str) -> None:
    paths = write(
        tmp_path,
        main_c=C_MAIN,
        mylib_c='#include "mylib.h"\nint myvalue(void) { return 42; }\n',
        mylib_h="int myvalue(void);\n",
    )
    async with open_kernel(client, KernelSpec(runtime="c")) as kernel:
        await kernel.upload(plan_uploads(paths, base=tmp_path))
        ran = await run(kernel, mode="batch", answers=["LABLUP"])
        assert ran.events == [
            BuildFinished(0),
            Stdout("myvalue is 42\nyour name? "),
            InputRequest(),
            Stdout("hello, LABLUP!\n"),
            Finished(0),
        ]


async def test_end_of_input_in_c(client: Client, tmp_path: Path, c_compiler: str) -> None:
    paths = write(tmp_path, main_c=C_MAIN, mylib_h="static int myvalue(void) { return 42; }\n")
    async with open_kernel(client, KernelSpec(runtime="c")) as kernel:
        await kernel.upload(plan_uploads(paths, base=tmp_path))
        await run(kernel, mode="batch", answers=["LABLUP"])
        # Often: the end of input and the look at what the program waits for are two tasks.
        for _ in range(20):
            options = BatchOptions(build=None)
            ran = await run(kernel, mode="batch", options=options, answers=[None])
            assert (ran.stderr, ran.exit_code) == ("no name\n", 3), ran.stdout


@every_way
async def test_build_that_fails(client: Client, tmp_path: Path, c_compiler: str) -> None:
    paths = write(tmp_path, main_c="int main(void) { return nonsense; }\n")
    async with open_kernel(client, KernelSpec(runtime="c")) as kernel:
        await kernel.upload(plan_uploads(paths, base=tmp_path))
        ran = await run(kernel, mode="batch")
        assert "nonsense" in ran.stderr
        assert ran.events[-2:] == [BuildFinished(1), Finished(1)]
        assert ran.stdout == ""


async def test_query_of_c(client: Client, c_compiler: str) -> None:
    async with open_kernel(client, KernelSpec(runtime="c")) as kernel:
        code = '#include <stdio.h>\nint main() { printf("hello world\\n"); return 2; }'
        ran = await run(kernel, code)
        assert ran.events == [Stdout("hello world\n"), Finished(2)]


async def test_commands_of_a_batch(kernel: TrioKernel) -> None:
    options = BatchOptions(clean="echo c", build="echo b", exec="echo e; exit 9", build_log=True)
    ran = await run(kernel, mode="batch", options=options)
    assert ran.events == [
        Stdout("c\n"),
        CleanFinished(0),
        Stdout("b\n"),
        BuildFinished(0),
        Stdout("e\n"),
        Finished(9),
    ]
    ran = await run(kernel, mode="batch", options=BatchOptions(build="echo b", exec=None))
    assert ran.events == [BuildFinished(0), Finished(0)]


async def test_program_with_arguments(kernel: TrioKernel, tmp_path: Path) -> None:
    source = "import sys; print(sys.argv)"
    await kernel.upload(plan_uploads(write(tmp_path, main_py="", other_py=source)))
    options = BatchOptions(program="other.py", arguments=("a b", "$x"))
    ran = await run(kernel, mode="batch", options=options)
    assert ran.events == [Stdout("['other.py', 'a b', '$x']\n"), Finished(0)]


async def test_program_on_a_server_that_takes_none() -> None:
    async with (
        open_gateway(GatewayOptions(release="23.09")) as gateway,
        open_client(gateway.config) as client,
        open_kernel(client, KernelSpec(runtime="python")) as kernel,
    ):
        for options in (BatchOptions(program="x.py"), BatchOptions(arguments=("1",))):
            with pytest.raises(LocalProtocolError, match=r"BatchOptions\.exec"):
                kernel.execute(mode="batch", options=options)
            with pytest.raises(LocalProtocolError, match=r"BatchOptions\.exec"):
                await kernel.run(mode="batch", options=options)


async def test_batch_with_nothing_to_run(kernel: TrioKernel) -> None:
    ran = await run(kernel, mode="batch")
    assert "nothing to run: no main.py" in ran.stderr
    assert ran.exit_code == 127


async def test_many_files_at_once(kernel: TrioKernel, tmp_path: Path) -> None:
    paths = []
    for number in range(45):
        (tmp_path / f"file{number}").write_bytes(bytes([number]) * number)
        paths.append(tmp_path / f"file{number}")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    paths.append(tmp_path / "deep" / "er" / 'ünï code "quoted".txt')
    paths[-1].write_bytes(b"x" * 1_048_575)
    await kernel.upload(plan_uploads(paths, base=tmp_path))
    ran = await run(
        kernel,
        "from pathlib import Path\n"
        "print(all(Path(f'file{n}').read_bytes() == bytes([n]) * n for n in range(45)))\n"
        "for path in Path('deep').rglob('*.txt'): print(path, path.stat().st_size)\n",
    )
    assert ran.stdout == 'True\ndeep/er/ünï code "quoted".txt 1048575\n'


async def test_file_that_changes_while_it_is_sent(kernel: TrioKernel, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    for text in (b"1234", b"123456"):
        planned = plan_uploads([path])
        path.write_bytes(text)
        with pytest.raises(UploadError, match="changed its size"):
            await kernel.upload(planned)
    planned = plan_uploads([path])
    path.unlink()
    with pytest.raises(UploadError, match="cannot be read"):
        await kernel.upload(planned)
    assert (await run(kernel, "import os; print(os.listdir())")).stdout == "[]\n"
