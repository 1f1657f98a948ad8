"""Every saved input through its target: real messages, and what has broken a property before."""

from __future__ import annotations

import pytest

from .registry import CORPUS, TARGETS, corpus_of, target_named
from .seeds import SEEDS, seeds

# What zlib makes of a text differs from one version to the next.
_COMPRESSED = {"content_coding", "parts"}


@pytest.mark.parametrize("name", TARGETS)
def test_saved_inputs(name: str) -> None:
    target = target_named(name)
    saved = corpus_of(name)
    assert saved, f"{name} has no corpus; write it with: python -m tests.fuzz.seeds"
    for path in saved:
        try:
            target(path.read_bytes())
        except BaseException as exc:
            exc.add_note(f"the input is {path.relative_to(CORPUS)}")
            raise


def test_each_corpus_has_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
    assert all(path.name.startswith(("seed-", "found-")) for path in CORPUS.glob("*/*"))


def test_seeds_are_what_the_library_writes() -> None:
    """A message that has changed is a seed that has."""
    assert set(SEEDS) == set(TARGETS)
    for path, content in seeds():
        if path.parent.name not in _COMPRESSED:
            assert path.read_bytes() == content, f"{path}; write it: python -m tests.fuzz.seeds"
