"""Input of runs: questions, answers, passwords and the end of input."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from backendai_trio import (
    Client,
    Event,
    ExecutionError,
    Finished,
    InputRequest,
    KernelSpec,
    LocalProtocolError,
    Stdout,
    TrioKernel,
    open_kernel,
)

from .runs import Ran, every_way, run


@every_way
async def test_password_after_other_input(client: Client) -> None:
    """A program that reads its terminal itself; the answer to one question brings the next."""
    code = "read -p 'name? ' name; read -s -p 'password? ' word; echo; echo $name-$word"
    questions: list[bool] = []
    async with (
        open_kernel(client, KernelSpec(runtime="bash")) as kernel,
        kernel.execute(code) as run,
    ):
        async for event in run:
            if isinstance(event, InputRequest):
                questions.append(event.is_password)
                await run.send_input(f"answer{len(questions)}")
        assert run.outcome == Finished(0)
    assert questions == [False, True]


async def test_input_and_password(kernel: TrioKernel) -> None:
    code = (
        "from getpass import getpass\n"
        "name = input('your name? ')\n"
        "word = getpass('password? ')\n"
        "print(f'hello, {name}: {word!r}')\n"
    )
    ran = await run(kernel, code, answers=["LABLUP", "pass wörd"])
    assert ran.events == [
        Stdout("your name? "),
        InputRequest(is_password=False),
        Stdout("password? "),
        InputRequest(is_password=True),
        Stdout("hello, LABLUP: 'pass wörd'\n"),
        Finished(0),
    ]


@pytest.mark.parametrize("answer", ["", " ", "ünï", "a\\nb", "x" * 100_000, "\udc80"])
async def test_answers_arrive_as_they_are(kernel: TrioKernel, answer: str) -> None:
    ran = await run(kernel, "print(ascii(input()))", answers=[answer])
    assert ran.stdout == ascii(answer) + "\n"


async def test_end_of_input_in_python(kernel: TrioKernel) -> None:
    ran = await run(kernel, "while True: print(input())", answers=["one", "two", None])
    assert ran.stdout == "one\ntwo\n"
    assert ran.stderr.endswith("EOFError: EOF when reading a line\n")
    assert ran.exit_code == 1
    ran = await run(kernel, "print(input())", answers=["three"])
    assert ran.stdout == "three\n"


async def test_questions_of_lua(client: Client) -> None:
    async with open_kernel(client, KernelSpec(runtime="lua")) as kernel:
        code = "io.write('name? '); print('<' .. io.read() .. '>'); print(io.read())"
        ran = await run(kernel, code, answers=["LABLUP", None])
        assert ran.stdout == "name? <LABLUP>\nnil\n"
        assert ran.exit_code == 0


@every_way
async def test_answer_needs_a_question(kernel: TrioKernel) -> None:
    async with kernel.execute("print(input())") as execution:
        with pytest.raises(LocalProtocolError, match="does not wait"):
            await execution.send_input("too early")
        assert await anext(execution) == InputRequest()
        await execution.send_input("now")
        with pytest.raises(LocalProtocolError, match="does not wait"):
            await execution.send_input("twice")
        assert await anext(execution) == Stdout("now\n")


@every_way
@pytest.mark.parametrize("over", ["answered", "interrupted"])
async def test_question_that_is_over_takes_no_answer(kernel: TrioKernel, over: str) -> None:
    """Else the answer would be taken for one to the next question."""
    code = (
        "try:\n    input()\nexcept KeyboardInterrupt:\n    pass\n"
        "print('next', flush=True)\nprint(input())\n"
    )
    async with kernel.execute(code) as execution:
        assert await anext(execution) == InputRequest()
        if over == "answered":
            await execution.send_stdin(b"yes\n")
        else:
            await execution.interrupt()
        with pytest.raises(LocalProtocolError, match="does not wait"):
            await execution.send_input("late")
        rest = Ran()
        async for event in execution:
            rest.add(event)
            if isinstance(event, InputRequest):
                await execution.send_input("mine")
    assert rest.stdout.endswith("next\nmine\n")


@every_way
async def test_half_a_line_is_no_answer(kernel: TrioKernel) -> None:
    async with kernel.execute("print(input())") as execution:
        assert await anext(execution) == InputRequest()
        await execution.send_stdin(b"wh")
        await execution.send_input("ole")
        assert [event async for event in execution] == [Stdout("whole\n"), Finished(0)]


@every_way
async def test_cancelled_receive_loses_no_answer(kernel: TrioKernel) -> None:
    """It is cancelled when it has the answer, and has not sent it."""
    events: list[Event] = []
    async with kernel.execute("print(input())") as execution, trio.open_nursery() as nursery:
        assert await anext(execution) == InputRequest()
        scope, ended = trio.CancelScope(), trio.Event()

        @nursery.start_soon
        async def receive() -> None:
            with scope:
                events.append(await anext(execution))
            ended.set()

        await trio.testing.wait_all_tasks_blocked()
        await execution.send_stdin(b"whole\n")
        scope.cancel()
        await ended.wait()
        events += [event async for event in execution]
    assert events == [Stdout("whole\n"), Finished(0)]


@pytest.mark.parametrize("way", ["socket", "polls"])
async def test_no_end_of_input_where_the_server_cannot(kernel: TrioKernel) -> None:
    with pytest.raises(ExecutionError, match="cannot tell"):
        async with kernel.execute("print(input())") as execution:
            assert await anext(execution) == InputRequest()
            await execution.send_input(None)
            await anext(execution)
    assert (await run(kernel, "print(1)")).stdout == "1\n"


@every_way
async def test_typing_ahead(kernel: TrioKernel) -> None:
    async with kernel.execute("print(input()); print(input())") as execution:
        await execution.send_stdin(b"one\ntw")
        assert await anext(execution) == Stdout("one\n")
        await execution.send_stdin(b"o\n")
        rest = Ran()
        async for event in execution:
            rest.add(event)
    assert rest.stdout == "two\n"
    assert rest.exit_code == 0
