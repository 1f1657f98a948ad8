"""The targets by name. A target is a function of bytes that raises when a property is broken."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

__all__ = ["CORPUS", "TARGETS", "Target", "corpus_of", "target_named"]

Target = Callable[[bytes], None]

CORPUS = Path(__file__).parent / "corpus"
"""A folder for each target: messages of the protocol (``seed-*``), and inputs that have broken a
property once (``found-*``)."""

TARGETS = {
    "http_response": "http",
    "signatures": "http",
    "content_coding": "http",
    "json": "messages",
    "websocket": "messages",
    "sse": "messages",
    "tar": "archives",
    "tar_header": "archives",
    "zip_archive": "archives",
    "multipart": "archives",
    "parts": "archives",
    "tus": "uploads",
    "tus_headers": "uploads",
    "paths": "paths",
    "resumable": "streams",
    "resumable_hostile": "streams",
    "dotenv": "settings",
    "profiles": "settings",
    "requests": "gateway",
    "graphql": "graphql",
    "graphql_filter": "graphql",
}
"""The module of each target."""


def target_named(name: str) -> Target:
    """Import a target.

    Args:
        name: a key of `TARGETS`.
    """
    module = import_module(f"{__package__}.targets.{TARGETS[name]}")
    target: Target = getattr(module, name)
    return target


def corpus_of(name: str) -> list[Path]:
    """The saved inputs of a target, sorted by name."""
    return sorted((CORPUS / name).glob("*"))
