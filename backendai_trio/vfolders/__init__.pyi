from ..wire.vfolder_requests import StorageHosts as StorageHosts
from ..wire.vfolder_sharing import Invitation as Invitation
from ..wire.vfolders import VFolderInfo as VFolderInfo
from .hosts import list_folder_types as list_folder_types
from .hosts import list_hosts as list_hosts
from .sharing import accept_invitation as accept_invitation
from .sharing import decline_invitation as decline_invitation
from .sharing import list_invitations as list_invitations
