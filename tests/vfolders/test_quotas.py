"""Quotas of virtual folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from backendai_trio import Client, QuotaExceeded, create_vfolder
from backendai_trio.files import plan_uploads
from backendai_trio.wire.versions import SEED, SESSION_6, Era

from .folders import files_in, opened, tree
from .tus import begun


@pytest.mark.parametrize("era", [SEED, SESSION_6], ids=lambda e: e.name)
async def test_quota_of_the_gateway(era: Era, data: Path, local: Path) -> None:
    async with opened(era, data=data, max_vfolder_bytes=1_000_000) as (_, client):
        folder = await create_vfolder(client, "data")
        await folder.upload(plan_uploads([local / "a.txt"], base=local))
        with pytest.raises(QuotaExceeded, match="quota"):
            await folder.upload(plan_uploads([local / "sub" / "zwei ü.bin"], base=local))
        assert set(tree(files_in(data))) == {"a.txt"}


async def test_quota_of_a_folder(client: Client, local: Path) -> None:
    folder = await create_vfolder(client, "data", max_bytes=10)
    (local / "ten").write_bytes(b"x" * 10)
    uploads = plan_uploads([local / "ten"], base=local)
    await folder.upload(uploads)
    await folder.upload(uploads)  # what it replaces makes room
    with pytest.raises(QuotaExceeded, match="10 bytes"):
        await folder.upload(plan_uploads([local / "a.txt"], base=local))
    assert (await folder.info()).max_bytes == 10


async def test_an_upload_that_was_given_up_takes_no_room_from_its_repetition(
    client: Client, local: Path
) -> None:
    folder = await create_vfolder(client, "data", max_bytes=10)
    await begun(client, "ten", 10)
    with pytest.raises(QuotaExceeded):
        await folder.upload(plan_uploads([local / "a.txt"], base=local))
    (local / "ten").write_bytes(b"x" * 10)
    await folder.upload(plan_uploads([local / "ten"], base=local))
    assert [file.size for file in await folder.list_files()] == [10]
