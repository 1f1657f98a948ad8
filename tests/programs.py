"""Programs that tests start: what surrounds them."""

from __future__ import annotations

import os

__all__ = ["bare_environ"]

# With them, the program's coverage is measured along with that of the tests.
_MEASURING = ("COVERAGE_FILE", "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")


def bare_environ(**variables: str) -> dict[str, str]:
    """An environment in which nothing is set but the search path, and what a test sets."""
    measuring = {name: os.environ[name] for name in _MEASURING if name in os.environ}
    return {"PATH": "/usr/bin:/bin", **measuring, **variables}
