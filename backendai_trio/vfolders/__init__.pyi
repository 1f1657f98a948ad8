from ..wire.vfolder_sharing import Invitation as Invitation
from ..wire.vfolders import VFolderInfo as VFolderInfo
from .sharing import accept_invitation as accept_invitation
from .sharing import decline_invitation as decline_invitation
from .sharing import list_invitations as list_invitations
