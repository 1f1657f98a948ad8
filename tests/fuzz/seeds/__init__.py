"""The seeds of the corpus: messages as the library, its clients and its servers write them.

``python -m tests.fuzz.seeds`` saves them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..registry import CORPUS
from .archives import tar_archives, tar_headers, zip_archives
from .gateway import filters, queries, requests
from .http import content_codings, http_responses, signatures
from .messages import event_streams, json_bodies, websocket_messages
from .paths import names
from .settings import dotenvs, profile_files
from .streams import hostile_streams, streams
from .uploads import downloads, forms, tus_headers, tus_uploads

__all__ = ["SEEDS", "seeds", "write_seeds"]

SEEDS = {
    "http_response": http_responses,
    "signatures": signatures,
    "content_coding": content_codings,
    "json": json_bodies,
    "websocket": websocket_messages,
    "sse": event_streams,
    "tar": tar_archives,
    "tar_header": tar_headers,
    "zip_archive": zip_archives,
    "multipart": forms,
    "parts": downloads,
    "tus": tus_uploads,
    "tus_headers": tus_headers,
    "paths": names,
    "resumable": streams,
    "resumable_hostile": hostile_streams,
    "dotenv": dotenvs,
    "profiles": profile_files,
    "requests": requests,
    "graphql": queries,
    "graphql_filter": filters,
}


def seeds() -> Iterator[tuple[Path, bytes]]:
    """Path and content of each seed."""
    for target, made in SEEDS.items():
        for name, content in made().items():
            yield CORPUS / target / f"seed-{name}", content


def write_seeds() -> None:
    """Write the seeds. Inputs that have been found are kept."""
    for old in CORPUS.glob("*/seed-*"):
        old.unlink()
    for path, content in seeds():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
