from .exclusions import Exclusions as Exclusions
from .paths import link_target as link_target
from .pending import PendingFile as PendingFile
from .progress import Progress as Progress
from .sources import Links as Links
from .sources import Upload as Upload
from .sources import UploadStream as UploadStream
from .upload_plan import plan_uploads as plan_uploads
