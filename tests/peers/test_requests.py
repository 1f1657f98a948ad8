"""The requests of one scenario, sent by the official clients and by ours, field by field.

Each client has a gateway of its own, which behaves as the manager of that release, and a proxy
before it that records. Every difference is listed in `request_reasons`, with its reason.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from backendai_trio.wire.kernel_spec import WORK_FOLDER

from ..cli.commands import ACCESS_KEY, SECRET_KEY, Commands, variables_of
from .conftest import YARL, install_client
from .recorder import Recorded, open_recorder
from .request_differences import ABSENT, Difference, differences
from .request_reasons import reasons


@dataclass(frozen=True)
class Peer:
    """An official client."""

    version: str
    python: str
    era: str
    """The manager that it was made for (`serve --era`)."""
    pins: tuple[str, ...]
    multi_node: str
    """How it writes the cluster mode."""


@dataclass(frozen=True)
class Step:
    """A command of each client that does the same."""

    theirs: str
    ours: str
    refused: bool = False
    """Whether a gateway refuses it, which takes requests as managers do, but cannot do it all."""
    era: str = ""
    """The only one in which it can be done."""


PEERS = (
    Peer("23.9.10", "3.11", "23.09", (YARL,), "multi-node"),
    Peer("26.9.6", "3.13", "26.9", (), "multi_node"),
)

ONE = (
    "-g default -d default -r cpu=1 -r mem=256 --resource-opts shmem=64m --scaling-group default "
    f"-m data:{WORK_FOLDER}/in -m models --tag night -e A=1 --max-wait 30"
)
REST = (
    "--arch aarch64 --cluster-size 2 --preopen 9000,9001 --bootstrap-script script.sh "
    "--callback-url http://127.0.0.1:9/done --depends 11111111-2222-3333-4444-555555555555 "
    "--assign-agent i-local -o AKIAIOSFODNN7EXAMPLE --enqueue-only"
)
BATCH = "--starts-at 2030-01-01T00:00:00+00:00 --enqueue-only"

STEPS = (
    Step(
        "vfolder create -m general -p rw data local",
        "vfolder create --usage-mode general -p rw data local",
    ),
    Step("vfolder create models local", "vfolder create models local"),
    Step("vfolder upload data notes.txt", "vfolder upload data notes.txt"),
    Step(f"session create python -t lab-one {ONE}", f"create python -t lab-one {ONE}"),
    Step(
        "session create python -t lab-two --priority 7 --enqueue-only "
        "-m type=bind,source=data,target=in,permission=ro",
        "create python -t lab-two --priority 7 -m data:in:ro --enqueue-only",
        era="26.9",
    ),
    Step(
        f"session create python -t lab-all --cluster-mode MULTI {REST}",
        f"create python -t lab-all --cluster-mode multi-node {REST}",
        refused=True,
    ),
    Step(
        "session create python -t lab-job --type batch -c 'sleep 60' --enqueue-only",
        "batch python -t lab-job --enqueue-only -- 'sleep 60'",
    ),
    Step(
        "session create python -t lab-late --type batch -c 'echo x' --timeout 60 " + BATCH,
        "batch python -t lab-late --timeout 60 " + BATCH + " -- 'echo x'",
        refused=True,
        era="26.9",
    ),
    Step("session destroy lab-one", "rm lab-one"),
    Step("session destroy -f -r lab-job", "rm -f -r lab-job"),
    Step("vfolder delete models", "vfolder delete models"),
    Step("vfolder restore models", "vfolder restore models", era="26.9"),
    Step("vfolder delete models", "vfolder delete models", era="26.9"),
    Step("vfolder delete-trash models", "vfolder purge --yes models", era="26.9"),
)


def record(folder: Path, peer: Peer, program: str) -> Iterator[list[Recorded]]:
    """Run the scenario with a client; gives the requests of each step.

    Args:
        folder: for the client's account.
        peer: the official client of the scenario.
        program: of the client that runs it; empty for ours.
    """
    folder.mkdir()
    commands = Commands(folder)
    (commands.work / "notes.txt").write_text("notes\n")
    (commands.work / "script.sh").write_text("echo hi\n")
    options = ("--access-key", ACCESS_KEY, "--era", peer.era)
    with (
        commands.serve(*options, env={"BACKEND_SECRET_KEY": SECRET_KEY}) as gateway,
        open_recorder(variables_of(gateway)["BACKEND_ENDPOINT"]) as recorder,
    ):
        env = variables_of(gateway) | {"BACKEND_ENDPOINT": recorder.url, "PYTHONWARNINGS": "ignore"}
        for step in STEPS:
            if step.era not in ("", peer.era):
                continue
            line = step.theirs.replace("MULTI", peer.multi_node) if program else step.ours
            result = commands.run(
                *shlex.split(line), env=env, program=program or "backend.ai", seconds=180
            )
            assert (result.code != 0) == step.refused, (line, result.text, result.stderr)
            yield recorder.take()
    assert commands.nothing_is_left(10), (commands.kernel_processes(), commands.kernel_files())


def test_what_a_comparison_finds() -> None:
    def create(name: str, body: object, at: str = "/session") -> Recorded:
        headers = {"date": name, "x-of": name, "content-type": "application/json"}
        return Recorded("POST", at, (("page", "1"),), headers, json.dumps(body).encode())

    one = create("a", {"tag": None, "ports": [2, 1]})
    other = create("b", {"ports": [1, 2], "config": {"x": {}}})
    assert differences([one], [other]) == {
        Difference("*", "header x-of", "a", "b"),
        Difference("POST /session", "body.tag", "null", ABSENT),
        Difference("POST /session", "body.config.x", ABSENT, "{}"),
    }
    assert differences([one, one], [one]) == {Difference("POST /session", "only", "sent", ABSENT)}
    # Values in the body are not those of the request, whatever their names.
    folder, same = (
        create("a", {"path": "x"}, at=f"/folders/{name}/ls") for name in ("f" * 32, "data")
    )
    assert differences([folder], [same]) == {
        Difference("POST /folders/{folders}/ls", "path", "/folders/ID/ls", "/folders/data/ls")
    }


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.version)
def test_each_difference_has_a_reason(
    peer: Peer, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    scripts = install_client(tmp_path_factory, peer.version, peer.python, peer.pins)
    theirs = record(tmp_path / "theirs", peer, str(scripts / "backend.ai"))
    ours = record(tmp_path / "ours", peer, "")
    found: set[Difference] = set()
    for one, other in zip(list(theirs), list(ours), strict=True):
        found |= differences(one, other)
    expected = reasons(peer.era)
    unknown = "\n".join(map(str, sorted(found - expected.keys())))
    gone = "\n".join(map(str, sorted(expected.keys() - found)))
    assert not unknown and not gone, f"without a reason:\n{unknown}\nnot there any more:\n{gone}"
