"""Writes the seeds of the corpus: ``python -m tests.fuzz.seeds``."""

from __future__ import annotations

from . import write_seeds

if __name__ == "__main__":
    write_seeds()
