"""Batch jobs in create requests, and the marks around their output in a log."""

from __future__ import annotations

import string
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendai_trio.errors import LocalProtocolError
from backendai_trio.wire.batch_jobs import BatchJob, JobLog, check_job, guarded_command
from backendai_trio.wire.containers import Container, decode_containers, encode_containers
from backendai_trio.wire.json_fields import Fields
from backendai_trio.wire.kernel_spec import KernelSpec
from backendai_trio.wire.kernels import CreateRequest
from backendai_trio.wire.log_text import new_text
from backendai_trio.wire.versions import ERAS, SESSION_6, Hello

_jobs = st.builds(
    BatchJob,
    st.text(min_size=1).filter(str.strip),
    st.none() | st.floats(0.001, 1e9),
    st.text(max_size=5),
)


@given(_jobs)
def test_job_round_trip(job: BatchJob) -> None:
    assert BatchJob.decode(Fields(job.encode(), "create")) == job
    request = CreateRequest("abcd", KernelSpec(runtime="c"), job=job)
    assert CreateRequest.decode(request.encode(SESSION_6)) == request


@pytest.mark.parametrize(
    ("keys", "seconds"),
    [
        ({"type": "batch", "startup_command": "x"}, None),
        ({"session_type": "BATCH", "startupCommand": "x", "batch_timeout": 30}, 30.0),
        ({"sessionType": "batch", "startupCommand": "x", "batch_timeout": "30s"}, 30.0),
        ({"type": "batch", "startupCommand": "x", "batch_timeout": "1.5h"}, 5400.0),
        ({"type": "batch", "startupCommand": "x", "batchTimeout": "2d"}, 172800.0),
        ({"type": "batch", "startupCommand": "x", "batch_timeout": "7"}, 7.0),
    ],
)
def test_spellings(keys: dict[str, Any], seconds: float | None) -> None:
    assert BatchJob.decode(Fields(keys, "create")) == BatchJob("x", seconds)


def test_other_types_are_no_jobs() -> None:
    for keys in ({}, {"type": "interactive"}, {"type": "system", "startupCommand": "x"}):
        assert BatchJob.decode(Fields(keys, "create")) is None


@pytest.mark.parametrize(
    "keys",
    [{}, {"startupCommand": " "}, {"startupCommand": "x", "batch_timeout": "soon"}]
    + [{"startupCommand": "x", "batch_timeout": bad} for bad in (0, -1, True, [1])],
    ids=str,
)
def test_job_that_is_none_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        BatchJob.decode(Fields({"type": "batch"} | keys, "create"))


def test_what_a_release_cannot_do() -> None:
    plain, limited = BatchJob("x"), BatchJob("x", 5)
    for era in ERAS[:-1]:
        with pytest.raises(LocalProtocolError, match=r"from 20\.09 on"):
            check_job(Hello(era.version), era, plain)
    old, new = Hello("v7.20230615", "24.09.14"), Hello("v8.20240915", "24.12.0")
    check_job(old, SESSION_6, plain)
    check_job(new, SESSION_6, limited)
    with pytest.raises(LocalProtocolError, match=r"from 24\.12 on"):
        check_job(old, SESSION_6, limited)


# --- the log -------------------------------------------------------------------------------------


def run(command: str) -> tuple[int, str]:
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    "command",
    [
        "echo a; echo b >&2",
        "printf x; exit 3",
        "false",
        "cd /; pwd",
        """echo 'a b' "c" $((1 + 1)) `echo d`\n# end""",
        "cat <<E\n$PWD's\nE",
        "echo a (",
    ],
)
def test_guarded_command_does_the_same(command: str) -> None:
    code, log = run(guarded_command(command, "n1"))
    plain = subprocess.run(
        ["/bin/sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    read = JobLog("n1")
    assert read.feed(f"[kernel runner] hello\n{log}[kernel runner] bye\n") == plain.stdout.decode()
    assert code == plain.returncode == read.exit_code


@given(st.text(string.ascii_letters + string.digits, min_size=1, max_size=12), st.booleans())
def test_command_in_the_log_is_no_mark(name: str, pauses: bool) -> None:
    """Kernel runners log the command that they run: measured on 26.9.6."""
    command = guarded_command("echo a", name, pauses=pauses)
    noise = f"[DEBUG] run shell command {command!r}\n{command}\n"
    read = JobLog(name)
    assert read.feed(noise) == ""
    assert read.feed(f"{noise}::job {name} begins::\na\n::job {name} ends::3\n{noise}") == "a\n"
    assert read.exit_code == 3


@pytest.mark.parametrize("signal", [9, 15, 11])
def test_command_that_a_signal_ends(signal: int) -> None:
    code, log = run(guarded_command(f"echo a; kill -{signal} $$; echo b", "n1"))
    read = JobLog("n1")
    assert read.feed(log).startswith("a\n")
    assert code == 128 + signal == read.exit_code


def test_command_without_a_guard_is_itself() -> None:
    assert guarded_command("a b", "n1", marks=False) == "a b"
    assert "until [ -s .order ]" in guarded_command("a b", "n1", marks=False, waits_for=".order")


@given(st.lists(st.text(max_size=6), max_size=5), st.data())
def test_log_is_shown_as_it_grows(pieces: list[str], data: st.DataObject) -> None:
    """However it is cut when it is looked at, each character comes once, and no mark."""
    output = "".join(pieces)
    log = f"noise\n::job n1 begins::\n{output}::job n1 ends::4\nnoise"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(log)), max_size=6)))
    read = JobLog("n1")
    shown = [read.feed(log[:cut]) for cut in cuts] + [read.feed(log)]
    assert "".join(shown) == output
    assert read.exit_code == 4


@given(st.text(), st.text())
def test_what_was_added(before: str, more: str) -> None:
    assert new_text(before, before + more) == more


def test_log_that_lost_its_beginning() -> None:
    lines = [f"line {number}\n" for number in range(2000)]
    before, now = "".join(lines[:1500]), "".join(lines[500:])
    assert new_text(before, now) == "".join(lines[1500:])
    read = JobLog("n1")
    assert read.feed("::job n1 begins::\n" + before) == before
    assert read.feed(now) == "".join(lines[1500:])


@pytest.mark.parametrize(
    ("before", "now", "new"),
    [
        ("", "", ""),
        ("", "a", "a"),
        ("ab", "abc", "c"),
        ("ab", "ab", ""),
        ("0123456789", "3456789x", None),  # shorter than the overlap: told anew
        ("a" * 5000 + "end", "a" * 4500 + "end" + "more", "more"),
        ("a" * 5000 + "end", "other", "other"),
    ],
)
def test_new_text_of_a_log(before: str, now: str, new: str | None) -> None:
    assert new_text(before, now) == (now if new is None else new)


# --- containers ----------------------------------------------------------------------------------


@given(st.lists(st.builds(Container, st.text(), st.text(), st.sampled_from(["", "RUNNING"]))))
def test_containers_round_trip(containers: list[Container]) -> None:
    assert decode_containers(encode_containers(containers)) == containers
