"""A session's life, from create to destroy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
import trio

from backendai_trio import (
    BackendError,
    Client,
    InvalidRequest,
    KernelSpec,
    LocalProtocolError,
    NotFound,
    QuotaExceeded,
    ServerError,
    TrioKernel,
    attach_kernel,
    find_kernel,
    list_kernels,
    new_token,
    open_client,
    open_kernel,
    query,
    run_kernel,
)
from backendai_trio.kernels import KernelState, enqueue_kernel
from backendai_trio.wire.kernel_spec import WORK_FOLDER, check_spec
from backendai_trio.wire.kernel_states import STATES

from .runs import chunks, open_folder, run
from .targets import ManagerTarget, Target

pytestmark = pytest.mark.needs("sessions")


async def test_session_lives_as_long_as_its_block(client: Client, target: Target) -> None:
    async with open_kernel(client, target.python) as kernel:
        assert kernel.created
        assert kernel.token in await target.live_sessions()
        assert (await run(kernel, "print('hello')")).stdout == "hello\n"
    with trio.fail_after(target.session_seconds):
        while kernel.token in await target.live_sessions():  # noqa: ASYNC110
            await trio.sleep(0.2)
    if not isinstance(target, ManagerTarget):  # of short sessions managers tell nothing
        assert kernel.statistics is not None


async def test_session_of_each_kind_of_user(target: Target) -> None:
    """Create, use and destroy as the super-administrator, a domain administrator and a user."""
    for account in target.accounts:
        async with (
            open_client(target.config(account)) as client,
            open_kernel(client, target.python) as kernel,
        ):
            assert (await run(kernel, "print(6 * 7)")).stdout == "42\n"
            await kernel.upload_stream("a.txt", chunks(b"A"), size=1)
            assert kernel.token in [row.token for row in await list_kernels(client)]
            assert (await find_kernel(client, kernel.token)).token == kernel.token


async def test_session_is_reused_by_its_token(client: Client, python: KernelSpec) -> None:
    async with open_kernel(client, python) as kernel:
        await run(kernel, "x = 42")
        again = await attach_kernel(client, python, token=kernel.token)
        assert not again.created
        assert (await run(again, "print(x)")).stdout == "42\n"
        found = await find_kernel(client, kernel.token)
        assert (await run(found, "print(x + 1)")).stdout == "43\n"


async def test_token_that_is_taken_is_refused(client: Client, python: KernelSpec) -> None:
    async with open_kernel(client, python) as kernel:
        with pytest.raises(InvalidRequest):
            async with open_kernel(client, python, token=kernel.token):
                pass
        assert (await run(kernel, "print('still here')")).stdout == "still here\n"


async def test_two_sessions_at_a_time(client: Client, python: KernelSpec) -> None:
    async with trio.open_nursery() as nursery:
        one: TrioKernel = await nursery.start(run_kernel, client, python)
        two: TrioKernel = await nursery.start(run_kernel, client, python)
        await run(one, "x = 1")
        assert (await run(two, "print('x' in globals())")).stdout == "False\n"
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "shape",
    ["short", "longest", "dots", "hexadecimal", "uuid"],
)
async def test_names_of_each_shape(client: Client, target: Target, shape: str) -> None:
    """A session of any name that the server takes can be used and ended by it."""
    digits = uuid4().hex
    token = {
        "short": f"s{digits[:3]}",
        "longest": f"long-{digits}-{'x' * 26}",
        "dots": f"a.b_c-{digits[:8]}",
        "hexadecimal": digits,
        "uuid": str(uuid4()),
    }[shape]
    try:
        async with open_kernel(client, target.python, token=token) as kernel:
            assert (await run(kernel, "print(1)")).stdout == "1\n"
            assert (await kernel.info()).status in ("RUNNING", "")
    except BackendError as exc:
        # From 26.4.4 on such a name would be one that nobody can reach.
        assert target.name == "26.9.6" and shape in ("hexadecimal", "uuid"), exc
        assert await target.live_sessions() == {}


@pytest.mark.needs("rename")
async def test_session_is_renamed(kernel: TrioKernel, client: Client) -> None:
    await run(kernel, "x = 42")
    old, new = kernel.token, new_token()
    await kernel.rename(new)
    assert kernel.token == new
    assert (await run(kernel, "print(x)")).stdout == "42\n"
    assert (await run(await find_kernel(client, new), "print(x)")).stdout == "42\n"
    with pytest.raises(NotFound):
        await find_kernel(client, old)


@pytest.mark.needs("restart")
async def test_session_is_restarted(kernel: TrioKernel) -> None:
    await run(kernel, "x = 42; open('kept.txt', 'w').write('kept')")
    await kernel.restart()
    code = "print('x' in globals(), open('kept.txt').read())"
    assert (await run(kernel, code)).stdout == "False kept\n"


async def test_variables_of_a_session(client: Client, python: KernelSpec) -> None:
    spec = replace(python, environ={"COLOUR": "blue ß"})
    async with open_kernel(client, spec) as kernel:
        code = "import os; print(os.environ['COLOUR'])"
        assert (await run(kernel, code)).stdout == "blue ß\n"


async def test_logs_and_description(kernel: TrioKernel) -> None:
    await run(kernel, "print('logged')")
    assert isinstance(await kernel.logs(), str)
    info = await kernel.info()
    assert "python" in info.runtime
    assert info.age_ms >= 0


async def test_destroy_may_be_repeated(client: Client, python: KernelSpec) -> None:
    async with open_kernel(client, python) as kernel:
        await kernel.destroy()
        await kernel.destroy()
        with pytest.raises(BackendError):
            await run(kernel, "print(1)")


async def test_session_that_is_not_there(client: Client) -> None:
    with pytest.raises(NotFound):
        await find_kernel(client, new_token())


async def test_unknown_image(client: Client, target: Target) -> None:
    spec = replace(target.python, runtime="nonesuch")
    with pytest.raises((NotFound, InvalidRequest)):
        async with open_kernel(client, spec):
            pass


@pytest.mark.needs("resources")
async def test_session_gets_what_it_was_asked_for(client: Client, target: Target) -> None:
    """Its place in the cluster, and its folders where they were asked for."""
    async with open_folder(client) as folder:
        newer = client.hello.features or client.hello.key >= (8, "20240315")
        mount = f"{folder.name}:{WORK_FOLDER}/given"
        spec = replace(
            target.python,
            mounts=(f"{mount}:ro" if newer else mount,),
            resource_opts={"shmem": "64m"},
            project="default",
            domain="default",
            resource_group="default",
            tag="of-a-test",
            preopen_ports=(8080,),
        )
        async with open_kernel(client, spec) as kernel:
            result = await run(kernel, f"import os; print(os.path.isdir('{WORK_FOLDER}/given'))")
            assert result.stdout == "True\n"
            rows = {row["name"]: row for row in await sessions_with_tags(client)}
            assert rows[kernel.token]["tag"] == "of-a-test"
            assert rows[kernel.token]["group_name"] == "default"


@pytest.mark.needs("bootstrap-scripts")
async def test_bootstrap_script_runs_first(client: Client, target: Target) -> None:
    """The manager has it as it was written."""
    script = f"printf 'grüße' > {WORK_FOLDER}/greeting\n"
    async with open_kernel(client, replace(target.python, bootstrap_script=script)) as kernel:
        read = f"print(open('{WORK_FOLDER}/greeting', encoding='utf-8').read() == 'gr\\xfc\\xdfe')"
        assert (await run(kernel, read)).stdout == "True\n"


async def test_what_a_release_cannot_do_creates_nothing(client: Client, target: Target) -> None:
    """The manager is not asked: it would leave the wish out, or fail."""
    wishes: list[dict[str, Any]] = [
        {"priority": 1}, {"architecture": "x86_64"}, {"mounts": ("a/b",)}, {"project": "default"},
    ]  # fmt: skip
    for wish in wishes:
        spec = replace(target.python, **wish)
        try:
            check_spec(client.hello, spec)
        except LocalProtocolError:
            with pytest.raises(LocalProtocolError, match="managers can from"):
                async with open_kernel(client, spec):
                    pytest.fail("it was created")
    assert await target.live_sessions() == {}


async def sessions_with_tags(client: Client) -> list[dict[str, Any]]:
    fields = "items { name tag group_name }"
    page = "limit: 20, offset: 0"
    answer = await query(client, f"query {{ compute_session_list({page}) {{ {fields} }} }}")
    rows: list[dict[str, Any]] = answer["compute_session_list"]["items"]
    return rows


@pytest.mark.needs("resources")
async def test_session_that_cannot_start_is_not_left(client: Client, target: Target) -> None:
    """More than the server has: it is refused, or waits until the caller gives up."""
    spec = replace(target.python, resources={"cpu": "99", "mem": "128m"})
    with trio.move_on_after(5):
        with pytest.raises((InvalidRequest, QuotaExceeded, ServerError)):
            async with open_kernel(client, spec):
                raise AssertionError("there are not so many cores")
    assert await target.live_sessions() == {}


@pytest.mark.needs("waiting")
async def test_session_that_waits_says_why(client: Client, target: Target) -> None:
    """The reason up to 25.x, the place in the queue from 25.13 on; then it is given up."""
    send, states = trio.open_memory_channel[KernelState](0)

    async def wait(spec: KernelSpec) -> None:
        async with open_kernel(client, spec, progress=send):
            raise AssertionError("there are not so many cores")

    with trio.fail_after(target.session_seconds + 60):
        async with target.without_room(client) as spec, trio.open_nursery() as nursery:
            nursery.start_soon(wait, spec)
            async for state in states:
                assert state.is_coming
                assert state.status in STATES
                if state.details.text or state.ahead is not None:
                    break
            nursery.cancel_scope.cancel()
    assert await target.live_sessions() == {}


@pytest.mark.needs("enqueue")
async def test_session_is_left_in_the_queue(client: Client, target: Target) -> None:
    kernel = await enqueue_kernel(client, target.python, token=new_token())
    try:
        assert kernel.created
        assert (await kernel.info()).status in STATES
        again = await attach_kernel(client, target.python, token=kernel.token)
        assert again.kernel_id == kernel.kernel_id
        assert (await run(again, "print(1)")).stdout == "1\n"
    finally:
        with trio.move_on_after(60, shield=True):
            await kernel.destroy()
    assert await target.live_sessions() == {}
