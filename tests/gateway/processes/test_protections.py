"""What a gateway says of how its kernels are kept apart, and that clients can read it."""

from __future__ import annotations

import os
import sys

import pytest

from backendai_trio.gateway import KernelLimits
from backendai_trio.gateway.processes.isolation import PROCESS_GROUP, Isolation
from backendai_trio.gateway.processes.protections import protections_of
from backendai_trio.wire.versions import Hello

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels run on Linux only")

BUBBLEWRAP = Isolation("bubblewrap", "/usr/bin/bwrap")
ALL = KernelLimits(memory_bytes=1, cores=1, processes=1, open_files=1, cpu_seconds=1, file_bytes=1)


def _holding(isolation: Isolation, limits: KernelLimits) -> set[str]:
    return {item.what for item in protections_of(isolation, limits) if item.holds}


def test_what_holds() -> None:
    assert _holding(PROCESS_GROUP, KernelLimits()) == set()
    assert _holding(BUBBLEWRAP, KernelLimits()) == {"files", "processes"}
    assert _holding(PROCESS_GROUP, ALL) == {"memory", "open files", "CPU time"}
    without_network = Isolation("bubblewrap", "/usr/bin/bwrap", network="none")
    counted = set() if os.geteuid() == 0 else {"number of processes"}
    assert _holding(without_network, ALL) == counted | {
        "files", "processes", "network", "memory", "open files", "CPU time"
    }  # fmt: skip


@pytest.mark.parametrize("limits", [KernelLimits(), ALL])
def test_it_is_announced(limits: KernelLimits) -> None:
    hello = Hello("v6.20200815", protections=protections_of(BUBBLEWRAP, limits), isolation="x")
    assert Hello.decode(hello.encode()) == hello
