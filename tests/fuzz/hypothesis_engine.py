"""Fuzzing with hypothesis: ``python -m tests.fuzz.hypothesis_engine TARGET SECONDS FOLDER``."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from .registry import corpus_of, target_named

_AT_ONCE = 500


def mutated(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    """Inputs: any bytes, and seeds with some of them replaced, inserted or removed.

    Args:
        seeds: the corpus.
    """

    def change(seed: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
        data = bytearray(seed)
        for at, removed, put in edits:
            start = at % (len(data) + 1)
            data[start : start + removed] = put
        return bytes(data)

    edits = st.tuples(st.integers(0, 65_535), st.integers(0, 4), st.binary(max_size=4))
    whole = st.binary(max_size=400)
    if not seeds:
        return whole
    return whole | st.builds(change, st.sampled_from(seeds), st.lists(edits, max_size=6))


def main(name: str, seconds: str, folder: str) -> None:
    """Fuzz until the time is up.

    Raises:
        Exception: what the target has raised; the input is saved.
    """
    logging.disable()
    target = target_named(name)
    seeds = [path.read_bytes() for path in corpus_of(name)]
    last, count = b"", 0

    @settings(
        max_examples=_AT_ONCE,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(mutated(seeds))
    def run(data: bytes) -> None:
        nonlocal last, count
        last, count = data, count + 1
        target(data)

    end = time.monotonic() + float(seconds)
    try:
        while time.monotonic() < end:
            run()
    except BaseException:  # whatever a target raises is a finding; raised again
        Path(folder, "found-by-hypothesis").write_bytes(last)
        raise
    print(f"{count} executions")


if __name__ == "__main__":
    main(*sys.argv[1:])
