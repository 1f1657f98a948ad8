"""A Trio-native client for Backend.AI compute sessions.

The names below are what this library promises. They are loaded on first use, so that the command
line's ``--help`` does not wait for an event loop it will not run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__ as __version__

if TYPE_CHECKING:
    from ._environment import read_config as read_config
    from ._environment import read_profile_name as read_profile_name
    from ._folders import data_folder as data_folder
    from ._folders import state_folder as state_folder
    from ._groups import one_error as one_error
    from ._logins import forget_login as forget_login
    from ._logins import save_login as save_login
    from ._profiles import DEFAULT_PROFILE as DEFAULT_PROFILE
    from ._profiles import profiles_file as profiles_file
    from ._profiles import read_profiles as read_profiles
    from ._profiles import save_setting as save_setting
    from ._version import API_VERSIONS as API_VERSIONS
    from .admin import authorize as authorize
    from .admin import list_kernels as list_kernels
    from .admin import list_rows as list_rows
    from .admin import query as query
    from .apps import App as App
    from .apps import AppStream as AppStream
    from .apps import list_apps as list_apps
    from .apps import open_app as open_app
    from .apps import open_app_stream as open_app_stream
    from .blocking import Admin as Admin
    from .blocking import Kernel as Kernel
    from .blocking import StreamExecute as StreamExecute
    from .blocking import StreamPty as StreamPty
    from .blocking import VFolder as VFolder
    from .cases import Case as Case
    from .cases import Range as Range
    from .cases import parse_range as parse_range
    from .cases import plan_cases as plan_cases
    from .config import SETTINGS as SETTINGS
    from .config import Config as Config
    from .config import Login as Login
    from .config import check_access_key as check_access_key
    from .config import check_secret_key as check_secret_key
    from .downloads import DownloadStream as DownloadStream
    from .errors import ApiError as ApiError
    from .errors import AuthError as AuthError
    from .errors import BackendError as BackendError
    from .errors import ConfigError as ConfigError
    from .errors import ConnectionFailed as ConnectionFailed
    from .errors import DownloadError as DownloadError
    from .errors import ExecutionError as ExecutionError
    from .errors import GatewayError as GatewayError
    from .errors import InsecureConnectionWarning as InsecureConnectionWarning
    from .errors import InvalidRequest as InvalidRequest
    from .errors import KernelLeftBehindWarning as KernelLeftBehindWarning
    from .errors import LocalProtocolError as LocalProtocolError
    from .errors import NotFound as NotFound
    from .errors import OtpNeeded as OtpNeeded
    from .errors import PortalError as PortalError
    from .errors import QuotaExceeded as QuotaExceeded
    from .errors import RemoteProtocolError as RemoteProtocolError
    from .errors import ServerError as ServerError
    from .errors import UploadError as UploadError
    from .events import EventStream as EventStream
    from .events import open_events as open_events
    from .executions import Execution as Execution
    from .gateway.companion import open_gateway_process as open_gateway_process
    from .gateway.faults import Faults as Faults
    from .gateway.server import Gateway as Gateway
    from .gateway.server import open_gateway as open_gateway
    from .gateway.server import serve_gateway as serve_gateway
    from .gateway.settings import Account as Account
    from .gateway.settings import GatewayOptions as GatewayOptions
    from .gateway.settings import stored_config as stored_config
    from .journal import Journal as Journal
    from .journal import LeftKernel as LeftKernel
    from .journal import journal_folder as journal_folder
    from .kernels import TrioKernel as TrioKernel
    from .kernels import attach_kernel as attach_kernel
    from .kernels import find_kernel as find_kernel
    from .kernels import new_token as new_token
    from .kernels import open_kernel as open_kernel
    from .kernels import run_kernel as run_kernel
    from .logins import log_in as log_in
    from .logins import log_out as log_out
    from .plain import ExecutionResult as ExecutionResult
    from .plain import PlainKernel as PlainKernel
    from .progress import Progress as Progress
    from .proxy.server import Proxy as Proxy
    from .proxy.server import ProxyOptions as ProxyOptions
    from .proxy.server import open_proxy as open_proxy
    from .proxy.server import serve_proxy as serve_proxy
    from .sweeps import CaseResult as CaseResult
    from .sweeps import open_sweep as open_sweep
    from .targets import open_default_client as open_default_client
    from .terminals import Terminal as Terminal
    from .terminals import open_terminal as open_terminal
    from .transport.client import Client as Client
    from .transport.client import open_client as open_client
    from .transport.connection import Connection as Connection
    from .uploads import Upload as Upload
    from .uploads import UploadStream as UploadStream
    from .uploads import plan_uploads as plan_uploads
    from .vfolders import TrioVFolder as TrioVFolder
    from .vfolders import accept_invitation as accept_invitation
    from .vfolders import create_vfolder as create_vfolder
    from .vfolders import decline_invitation as decline_invitation
    from .vfolders import find_vfolder as find_vfolder
    from .vfolders import list_invitations as list_invitations
    from .vfolders import list_vfolders as list_vfolders
    from .wire.events import SessionEvent as SessionEvent
    from .wire.execution import BatchOptions as BatchOptions
    from .wire.execution import BuildFinished as BuildFinished
    from .wire.execution import CleanFinished as CleanFinished
    from .wire.execution import Event as Event
    from .wire.execution import Finished as Finished
    from .wire.execution import Html as Html
    from .wire.execution import InputRequest as InputRequest
    from .wire.execution import Log as Log
    from .wire.execution import Media as Media
    from .wire.execution import Other as Other
    from .wire.execution import Stderr as Stderr
    from .wire.execution import Stdout as Stdout
    from .wire.execution import TimedOut as TimedOut
    from .wire.files import FileDigest as FileDigest
    from .wire.files import FileInfo as FileInfo
    from .wire.files import Listing as Listing
    from .wire.kernels import KernelInfo as KernelInfo
    from .wire.kernels import KernelSpec as KernelSpec
    from .wire.kernels import Statistics as Statistics
    from .wire.listings import KINDS as KINDS
    from .wire.listings import Kind as Kind
    from .wire.listings import SessionRow as SessionRow
    from .wire.services import AppInfo as AppInfo
    from .wire.vfolders import Invitation as Invitation
    from .wire.vfolders import VFolderInfo as VFolderInfo

_HOMES = {
    "_environment": ("read_config", "read_profile_name"),
    "_folders": ("data_folder", "state_folder"),
    "_groups": ("one_error",),
    "_logins": ("forget_login", "save_login"),
    "_version": ("API_VERSIONS",),
    "admin": ("authorize", "list_kernels", "list_rows", "query"),
    "blocking": ("Admin", "Kernel", "StreamExecute", "StreamPty", "VFolder"),
    "apps": ("App", "AppStream", "list_apps", "open_app", "open_app_stream"),
    "config": ("SETTINGS", "Config", "Login", "check_access_key", "check_secret_key"),
    "downloads": ("DownloadStream",),
    "_profiles": ("DEFAULT_PROFILE", "profiles_file", "read_profiles", "save_setting"),
    "cases": ("Case", "Range", "parse_range", "plan_cases"),
    "errors": (
        "ApiError",
        "AuthError",
        "BackendError",
        "ConfigError",
        "ConnectionFailed",
        "DownloadError",
        "ExecutionError",
        "GatewayError",
        "InsecureConnectionWarning",
        "InvalidRequest",
        "KernelLeftBehindWarning",
        "LocalProtocolError",
        "NotFound",
        "OtpNeeded",
        "PortalError",
        "QuotaExceeded",
        "RemoteProtocolError",
        "ServerError",
        "UploadError",
    ),
    "events": ("EventStream", "open_events"),
    "executions": ("Execution",),
    "gateway.companion": ("open_gateway_process",),
    "gateway.faults": ("Faults",),
    "gateway.server": ("Gateway", "open_gateway", "serve_gateway"),
    "gateway.settings": ("Account", "GatewayOptions", "stored_config"),
    "journal": ("Journal", "LeftKernel", "journal_folder"),
    "kernels": (
        "TrioKernel",
        "attach_kernel",
        "find_kernel",
        "new_token",
        "open_kernel",
        "run_kernel",
    ),
    "logins": ("log_in", "log_out"),
    "progress": ("Progress",),
    "plain": ("ExecutionResult", "PlainKernel"),
    "targets": ("open_default_client",),
    "proxy.server": ("Proxy", "ProxyOptions", "open_proxy", "serve_proxy"),
    "sweeps": ("CaseResult", "open_sweep"),
    "terminals": ("Terminal", "open_terminal"),
    "transport.client": ("Client", "open_client"),
    "transport.connection": ("Connection",),
    "vfolders": (
        "TrioVFolder",
        "accept_invitation",
        "create_vfolder",
        "decline_invitation",
        "find_vfolder",
        "list_invitations",
        "list_vfolders",
    ),
    "uploads": ("Upload", "UploadStream", "plan_uploads"),
    "wire.events": ("SessionEvent",),
    "wire.execution": (
        "BatchOptions",
        "BuildFinished",
        "CleanFinished",
        "Event",
        "Finished",
        "Html",
        "InputRequest",
        "Log",
        "Media",
        "Other",
        "Stderr",
        "Stdout",
        "TimedOut",
    ),
    "wire.files": ("FileDigest", "FileInfo", "Listing"),
    "wire.kernels": ("KernelInfo", "KernelSpec", "Statistics"),
    "wire.listings": ("KINDS", "Kind", "SessionRow"),
    "wire.vfolders": ("Invitation", "VFolderInfo"),
    "wire.services": ("AppInfo",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
