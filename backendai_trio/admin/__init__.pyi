from ..wire.admin_lists import KINDS as KINDS
from ..wire.admin_lists import Kind as Kind
from ..wire.admin_lists import SessionRow as SessionRow
from ..wire.kernel_states import LIVE as LIVE
from .lists import authorize as authorize
from .lists import list_rows as list_rows
