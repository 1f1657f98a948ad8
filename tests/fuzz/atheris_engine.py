"""Fuzzing with atheris: ``python -m tests.fuzz.atheris_engine TARGET SECONDS FOLDER``."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["backendai_trio", "python_multipart", "graphql"]):
    from .registry import CORPUS, corpus_of, target_named

    target = target_named(sys.argv[1])

INPUT_BYTES = 4096
"""Longest input that is tried, unless the corpus has a longer one."""


def main(name: str, seconds: str, folder: str) -> None:
    """Fuzz until the time is up or a property is broken, and end the process."""
    logging.disable()
    kept = Path(folder, "corpus")
    kept.mkdir(exist_ok=True)
    longest = max([INPUT_BYTES, *(path.stat().st_size for path in corpus_of(name))])
    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={seconds}",
            f"-max_len={longest}",
            f"-artifact_prefix={folder}/found-",
            "-timeout=30",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
            "-verbosity=1",
            str(kept),
            str(CORPUS / name),
        ],
        target,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
