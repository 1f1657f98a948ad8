"""Virtual folders and other users."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from backendai_trio import (
    AuthError,
    InvalidRequest,
    NotFound,
    TrioVFolder,
    UploadError,
    create_vfolder,
    list_vfolders,
    open_client,
)
from backendai_trio.files import plan_uploads
from backendai_trio.vfolders import accept_invitation, decline_invitation, list_invitations

from .folders import opened

FIRST, SECOND = "AKIAFIRSTFIRSTFIRST1", "AKIASECONDSECONDSEC2"


async def test_sharing(data: Path, local: Path) -> None:
    async with opened(data=data, access_key=FIRST) as (gateway, _):
        first = gateway.config
    async with opened(data=data, access_key=SECOND) as (gateway, theirs):
        ours = replace(first, endpoint=gateway.config.endpoint)
        async with open_client(ours) as client:
            folder = await create_vfolder(client, "data")
            await folder.upload(plan_uploads([local / "a.txt"], base=local))
            their = TrioVFolder(theirs, "data")
            with pytest.raises(NotFound):
                await their.info()
            assert await folder.invite(["nobody", SECOND.lower()], permission="ro") == [SECOND]
            assert await folder.invite([SECOND]) == []  # asked already
            (invitation,) = await list_invitations(theirs)
            assert (invitation.folder_name, invitation.permission) == ("data", "ro")
            await accept_invitation(theirs, invitation.invitation_id)
            assert await list_invitations(theirs) == []
            assert not (await their.info()).is_owner
            assert [file.name for file in await their.list_files()] == ["a.txt"]
            for refused in (
                their.remove(["a.txt"]),
                their.mkdir("x"),
                their.upload(plan_uploads([local / "none"], base=local)),
                their.delete(),
                their.rename("mine"),
            ):
                with pytest.raises((AuthError, UploadError)):
                    await refused
            assert await folder.share([SECOND], permission="rw") == [SECOND]
            await their.mkdir("x")
            await their.leave()
            with pytest.raises(NotFound):
                await their.info()
            await folder.invite([SECOND])
            (invitation,) = await list_invitations(theirs)
            await decline_invitation(theirs, invitation.invitation_id)
            assert await list_invitations(theirs) == []
            await folder.share([SECOND])
            assert await folder.unshare([SECOND]) == [SECOND]
            assert await list_vfolders(theirs) == []
            with pytest.raises(InvalidRequest, match="owner"):
                await folder.leave()
