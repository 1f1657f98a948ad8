"""Kernels of managers, where the gateway's are not like them: servers that say what those say."""

from __future__ import annotations

import json

import pytest
import trio
import trio.testing

from backendai_trio import (
    AuthError,
    Client,
    KernelLeftBehindWarning,
    NotFound,
    ServerError,
    attach_kernel,
    find_kernel,
    open_kernel,
)

from ..transport.servers import reply
from .one_session import (
    ENDED,
    FAILED,
    FAILURES,
    GONE,
    ID,
    IN_LATE_2023,
    NOT_NOW,
    PYTHON,
    REFUSED,
    Manager,
    client_of,
)


async def test_session_is_enqueued_and_waited_for() -> None:
    """A manager that holds its answer back until the session runs hides the session's id."""
    manager = Manager(states=["PENDING", "SCHEDULED", "PREPARING", "RUNNING"])
    async with client_of(manager) as client, open_kernel(client, PYTHON, token="abc") as kernel:
        assert kernel.kernel_id == ID
        assert len(manager.asked("POST")) == 1 + 4
    create = json.loads(manager.bodies[manager.heads.index("POST /session")])
    assert create["enqueueOnly"] is True
    assert manager.asked("DELETE") == [f"/session/{ID}"]


async def test_kernel_that_cannot_be_destroyed_is_told() -> None:
    manager = Manager("RUNNING", destroys=[NOT_NOW])
    async with client_of(manager, grace_seconds=0.3) as client:
        with pytest.warns(KernelLeftBehindWarning, match="Not now"):
            async with open_kernel(client, PYTHON, token="abc"):
                pass


@pytest.mark.parametrize("status", ["CANCELLED", "TERMINATED", "ERROR"])
@pytest.mark.parametrize("at_once", [True, False])
async def test_kernel_that_could_not_be_started(status: str, at_once: bool) -> None:
    """Managers up to 25.x answer 201 all the same. The server's reason is told."""
    created = status if at_once else "PENDING"
    manager = Manager(created, [status, status, "TERMINATED"], [GONE], "no-available-instances")
    async with client_of(manager) as client:
        with pytest.raises(
            ServerError, match=f"not start the kernel 'abc': it is {status}"
        ) as told:
            async with open_kernel(client, PYTHON, token="abc"):
                pass
    assert "no-available-instances" in str(told.value)


async def test_session_in_the_state_of_error_is_destroyed_by_force() -> None:
    """Without it a manager refuses the destroy for ever."""
    manager = Manager(
        states=["ERROR", "ERROR", "TERMINATING", "TERMINATED"], destroys=[GONE, ENDED]
    )
    async with client_of(manager) as client:
        with pytest.raises(ServerError, match="it is ERROR"):
            async with open_kernel(client, PYTHON, token="abc"):
                pass
    assert manager.asked("DELETE")[-1] == f"/session/{ID}?forced=true"


@pytest.mark.parametrize("failure", ["failure", "busy", "gone away"])
async def test_session_keeps_its_place_when_a_look_fails(failure: str) -> None:
    """500: two transactions met. 502: the manager restarts."""
    manager = Manager(states=["PENDING", failure, failure, "PENDING", failure, "RUNNING"])
    async with client_of(manager) as client, open_kernel(client, PYTHON, token="abc") as kernel:
        assert kernel.kernel_id == ID


@pytest.mark.parametrize("failure", ["failure", "busy", "gone away"])
async def test_destroy_whose_failure_may_pass_is_repeated(failure: str) -> None:
    failed = FAILURES[failure]
    manager = Manager("RUNNING", destroys=[failed, failed, ENDED])
    async with client_of(manager) as client, open_kernel(client, PYTHON, token="abc"):
        pass
    assert manager.asked("DELETE") == [f"/session/{ID}"] * 3


class Silent(Manager):
    """A manager that tells this user no states, one way or the other."""

    async def answer(self, head: str) -> bytes:
        return REFUSED if head.startswith("GET /session/") else await super().answer(head)


async def test_wait_that_is_refused_destroys_the_session() -> None:
    """It may come into being yet, whatever ends the wait."""
    manager = Silent(states=["forbidden"])
    async with client_of(manager) as client:
        with pytest.raises(AuthError), pytest.warns(KernelLeftBehindWarning, match="abc"):
            async with open_kernel(client, PYTHON, token="abc"):
                pass
    assert manager.asked("DELETE") == [f"/session/{ID}"]


async def cancel_while_it_waits(client: Client, manager: Manager, *, reuse: bool = False) -> None:
    """Cancel a create when its session is seen for the first time."""
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def cancel() -> None:
                await manager.seen_look.wait()
                scope.cancel()

            if reuse:
                await attach_kernel(client, PYTHON, token="abc")
            else:
                async with open_kernel(client, PYTHON, token="abc"):
                    pytest.fail("it never runs")
    assert scope.cancelled_caught


@pytest.mark.parametrize("reuse", [False, True])
async def test_destroy_is_believed_when_it_is_seen(reuse: bool) -> None:
    """A session that is being prepared cannot be destroyed: it is asked for when that changes."""
    states = ["PREPARING", "PREPARING", "failure", "PREPARING", "RUNNING", "TERMINATING"]
    destroys = [NOT_NOW, NOT_NOW, FAILED, ENDED]
    manager = Manager(states=[*states, "TERMINATED"], destroys=destroys)
    async with client_of(manager) as client:
        await cancel_while_it_waits(client, manager, reuse=reuse)
    assert destroys == [ENDED]
    assert manager.states == ["TERMINATED"]


async def test_session_that_is_started_after_its_destroy_is_destroyed_again() -> None:
    """Up to 25.x the scheduler starts sessions that were destroyed while they waited."""
    states = ["PENDING", "CANCELLED", "SCHEDULED", "RUNNING", "TERMINATING", "TERMINATED"]
    manager = Manager(states=states, destroys=[ENDED, NOT_NOW, ENDED], hello=IN_LATE_2023)
    async with client_of(manager) as client:
        await cancel_while_it_waits(client, manager)
    assert manager.asked("DELETE") == [f"/session/{ID}"] * 3
    assert manager.states == ["TERMINATED"]


async def test_session_that_is_stuck_is_destroyed_by_force() -> None:
    """A destroy that met the scheduler: the container is cancelled, the session "prepares"."""
    states = ["PENDING", "PREPARING", "PREPARING of CANCELLED", "TERMINATING", "TERMINATED"]
    manager = Manager(states=states, destroys=[ENDED, NOT_NOW, ENDED], hello=IN_LATE_2023)
    async with client_of(manager) as client:
        await cancel_while_it_waits(client, manager)
    plain = f"/session/{ID}"
    assert manager.asked("DELETE") == [plain, plain, f"{plain}?forced=true"]


async def test_session_that_was_cancelled_for_good() -> None:
    """From 26 on a cancelled session stays cancelled: one look is enough."""
    manager = Manager(states=["PENDING", "CANCELLED", "not to be asked for"])
    async with client_of(manager) as client:
        await cancel_while_it_waits(client, manager)
    assert manager.states == ["not to be asked for"]


async def test_session_that_does_not_end_is_told() -> None:
    manager = Manager(states=["PREPARING"], destroys=[NOT_NOW])
    async with client_of(manager, grace_seconds=0.1) as client:
        with pytest.warns(KernelLeftBehindWarning, match=r"abc .* backend.ai rm abc"):
            await cancel_while_it_waits(client, manager)


async def test_create_that_is_answered_late_is_undone_by_its_id() -> None:
    manager = Manager(states=["CANCELLED"], answers_create=trio.Event())
    async with client_of(manager) as client, trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        @nursery.start_soon
        async def cancel() -> None:
            await manager.seen_create.wait()
            scope.cancel()
            await trio.testing.wait_all_tasks_blocked()
            assert manager.answers_create is not None
            manager.answers_create.set()

        with scope:
            async with open_kernel(client, PYTHON, token="abc"):
                pytest.fail("it was cancelled")
        assert scope.cancelled_caught
    assert manager.asked("DELETE") == [f"/session/{ID}"]


async def test_found_session_that_waits_is_followed_to_its_end() -> None:
    """So that 'rm' does not say "Ended" of what the scheduler is about to start."""
    states = ["CANCELLED", "RUNNING", "TERMINATED"]
    manager = Manager(states=states, hello=IN_LATE_2023)
    async with client_of(manager) as client:
        await (await find_kernel(client, "abc")).destroy()
    assert len(manager.asked("DELETE")) == 2


@pytest.mark.parametrize("refusal", [AuthError, NotFound])
async def test_destroy_that_is_refused_for_good(refusal: type[Exception]) -> None:
    denied = reply(403, b'{"type": "not-yours", "title": "Not yours"}', "application/problem+json")
    answer, states = (denied, ["RUNNING"]) if refusal is AuthError else (GONE, ["TERMINATED"])
    manager = Manager(states=["RUNNING"], destroys=[answer])
    async with client_of(manager) as client:
        kernel = await find_kernel(client, "abc")
        manager.states = states
        if refusal is AuthError:
            with pytest.raises(AuthError, match="Not yours"):
                await kernel.destroy()
        else:
            await kernel.destroy()


async def test_destroy_is_not_believed_while_the_server_fails_to_say() -> None:
    """404 by a manager that restarts, then 502 by what stands before it: it may run on."""
    manager = Manager("RUNNING", states=["gone away"], destroys=[GONE])
    async with client_of(manager, grace_seconds=0.2) as client:
        with pytest.warns(KernelLeftBehindWarning, match=r"backend.ai rm abc"):
            async with open_kernel(client, PYTHON, token="abc"):
                manager.created = "TERMINATED"


async def test_destroy_by_force_is_asked_for_in_each_request() -> None:
    """Also of a session that waits, which is followed to its end."""
    states = ["CANCELLED", "RUNNING", "TERMINATED"]
    manager = Manager(states=states, hello=IN_LATE_2023)
    async with client_of(manager) as client:
        await (await find_kernel(client, "abc")).destroy(force=True, recursive=True)
    path = manager.asked("DELETE")[0].partition("?")[0]
    assert manager.asked("DELETE") == [f"{path}?forced=true&recursive=true"] * 2


@pytest.mark.parametrize("last", ["TERMINATING", "CREATING", "PREPARING", "PENDING"])
async def test_session_that_its_manager_is_ending_gets_more_time(last: str) -> None:
    """As long as an agent hangs at its start, the session does not end (26.9.6: 85 s). It may then
    be listed as being started again."""
    manager = Manager(states=["PREPARING", "TERMINATING", last], destroys=[ENDED])
    async with client_of(manager, grace_seconds=0.1) as client:
        began = trio.current_time()
        with pytest.warns(KernelLeftBehindWarning, match=f"lists it as {last}"):
            await cancel_while_it_waits(client, manager)
    assert trio.current_time() - began >= 12 * 0.1
    assert len(manager.asked("DELETE")) == 1 + (last != "TERMINATING")


async def test_destroy_that_is_not_answered_is_given_up() -> None:
    manager = Manager(states=["PREPARING"], destroys=[b""])
    forever = trio.Event()

    async def serve(stream: trio.SocketStream, head: str) -> bool:
        if head.startswith("DELETE"):
            await forever.wait()
        return await Manager.serve(manager, stream, head)

    manager.serve = serve  # type: ignore[method-assign]
    async with client_of(manager, grace_seconds=0.1) as client:
        with pytest.warns(KernelLeftBehindWarning, match="abc"):
            await cancel_while_it_waits(client, manager)
