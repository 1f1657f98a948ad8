from ..wire.vfolders import Invitation as Invitation
from ..wire.vfolders import VFolderInfo as VFolderInfo
from .vfolder import accept_invitation as accept_invitation
from .vfolder import decline_invitation as decline_invitation
from .vfolder import list_invitations as list_invitations
