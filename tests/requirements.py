"""What tests need of the machine that runs them."""

from __future__ import annotations

import os

import pytest

__all__ = ["lacking"]


def lacking(reason: str) -> BaseException:
    """The skip of a test for which something is missing that could be installed; to raise.

    So a contributor without it can still run the other tests. Where all must run (in CI),
    BACKENDAI_TESTS_REQUIRE_ALL is set, and the test fails: one that is skipped there looks like one
    that passes.

    Args:
        reason: what is missing.
    """
    if os.environ.get("BACKENDAI_TESTS_REQUIRE_ALL"):
        return pytest.fail.Exception(f"{reason}, and BACKENDAI_TESTS_REQUIRE_ALL is set")
    return pytest.skip.Exception(reason)
