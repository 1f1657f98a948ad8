"""`rescan_images` without progress reports, which only Trio's channels can carry."""

from __future__ import annotations

from ..admin import images
from ..transport.client import Client
from ..wire.background_tasks import TaskEvent
from .binding import without_progress

__all__ = ["rescan_images"]


@without_progress(images.rescan_images)
async def rescan_images(client: Client, *, registry: str = "", project: str = "") -> TaskEvent:
    return await images.rescan_images(client, registry=registry, project=project)
