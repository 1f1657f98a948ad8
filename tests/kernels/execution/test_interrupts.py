"""Interrupts of runs, and which run they hit."""

from __future__ import annotations

import trio
import trio.testing

from backendai_trio import Event, Finished, InputRequest, Stdout, TrioKernel

from .runs import FOR_EVER, Ran, every_way, run


@every_way
async def test_interrupt_from_another_task(kernel: TrioKernel) -> None:
    ran = Ran()
    async with kernel.execute(FOR_EVER) as execution, trio.open_nursery() as nursery:
        async for event in execution:
            ran.add(event)
            if isinstance(event, Stdout):
                nursery.start_soon(execution.interrupt)
    assert ran.events[0] == Stdout("up\n")
    assert ran.stderr.endswith("KeyboardInterrupt\n")
    assert ran.exit_code == 130


@every_way
async def test_interrupt_of_the_kernel(kernel: TrioKernel) -> None:
    async with kernel.execute(FOR_EVER) as execution:
        async for event in execution:
            if isinstance(event, Stdout):
                await kernel.interrupt()
        assert execution.outcome == Finished(130)


@every_way
async def test_interrupt_that_overtakes_its_run(kernel: TrioKernel) -> None:
    async with kernel.execute("while True: pass") as execution:
        await execution.interrupt()
        async for _ in execution:
            pass
        assert execution.outcome == Finished(130)
    assert (await run(kernel, "print(1)")).stdout == "1\n"


async def test_interrupt_of_a_run_that_has_ended_hits_no_other(kernel: TrioKernel) -> None:
    async with kernel.execute("pass") as first:
        async for _ in first:
            pass
        async with kernel.execute("print(input())") as second:
            assert await anext(second) == InputRequest()
            await first.interrupt()
            await second.send_input("not hit")
            assert [event async for event in second] == [Stdout("not hit\n"), Finished(0)]


@every_way
async def test_interrupt_while_it_waits_for_input(kernel: TrioKernel) -> None:
    async with kernel.execute("input()") as execution:
        assert await anext(execution) == InputRequest()
        await execution.interrupt()
        events = [event async for event in execution]
        assert events[-1] == Finished(130)
    assert (await run(kernel, "print(1)")).stdout == "1\n"


@every_way
async def test_interrupt_while_somebody_waits_for_the_next_event(kernel: TrioKernel) -> None:
    """As at a terminal: one task iterates, and another hears of Ctrl-C."""
    events: list[Event] = []
    async with kernel.execute("input()") as execution, trio.open_nursery() as nursery:

        async def iterate() -> None:
            async for event in execution:
                events.append(event)

        nursery.start_soon(iterate)
        while not events:
            await trio.testing.wait_all_tasks_blocked(0.01)
        await trio.testing.wait_all_tasks_blocked(0.01)
        await execution.interrupt()
    assert (events[0], events[-1]) == (InputRequest(), Finished(130))
    assert (await run(kernel, "print(1)")).stdout == "1\n"


@every_way
async def test_answer_after_an_interrupt_is_for_the_next_question(kernel: TrioKernel) -> None:
    """What has to be said to end the first one is none, nor is what was typed meanwhile lost."""
    code = (
        "try:\n    input()\nexcept KeyboardInterrupt:\n    print('caught', flush=True)\n"
        "print(input(), input())\n"
    )
    ran = Ran()
    async with kernel.execute(code) as execution:
        assert await anext(execution) == InputRequest()
        await execution.interrupt()
        async for event in execution:
            ran.add(event)
            if event == Stdout("caught\n"):
                await execution.send_stdin(b"one\ntwo\n")
    assert ran.stdout == "caught\none two\n"
    assert ran.exit_code == 0


@every_way
async def test_program_that_minds_no_interrupt_goes_on(kernel: TrioKernel) -> None:
    code = (
        "try:\n    print('up', flush=True)\n    while True: pass\n"
        "except KeyboardInterrupt:\n    print('caught')\n"
    )
    async with kernel.execute(code) as execution:
        assert await anext(execution) == Stdout("up\n")
        await execution.interrupt()
        assert [event async for event in execution] == [Stdout("caught\n"), Finished(0)]
