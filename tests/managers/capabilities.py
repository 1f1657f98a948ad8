"""What a release cannot do, as data: the table of `LIMITS`.

The contract suite asks for capabilities (`needs`), and is not run where one is missing; a test in
``test_limits.py`` holds that the release still cannot, and says so in the way that is noted here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from backendai_trio import (
    AuthError,
    BackendError,
    DownloadError,
    ExecutionError,
    LocalProtocolError,
    ServerError,
)

__all__ = ["CAPABILITIES", "GATEWAY", "LIMITS", "Limit", "limits_of"]

GATEWAY = "gateway"

CAPABILITIES = {
    "sessions": "sessions start",
    "restart": "a session is started anew",
    "rename": "a session gets another name",
    "complete": "code is completed",
    "exit-codes": "a batch run tells its exit code",
    "query-exit-code": "a query run tells its exit code, or shows that it failed",
    "query-exit": "code that calls sys.exit() in a query run tells its exit code",
    "batch-input": "a program that is run from files reads standard input",
    "syntax-errors": "a query run tells a syntax error as one",
    "wait-interrupts": "an interrupt reaches code that waits for the operating system",
    "batch-interrupts": "an interrupt reaches a program that is run from files",
    "pictures": "a query run shows pictures",
    "html": "a query run shows HTML",
    "resources": "a session is as large as it was asked for",
    "waiting": "a session for which there is no room waits, and something is told of that",
    "enqueue": "a session is known before it runs",
    "batch-sessions": "a batch session is followed to its result",
    "large-downloads": "files of over 1 MiB leave a session",
    "session-files": "files in a session are listed, downloaded and removed",
    "events": "session events are streamed",
    "apps": "services of a session are listed",
    "app-streams": "a service of a session is reached",
    "app-proxy": "a service is started for an app proxy",
    "ssh": "a session has an SSH server, and its key",
    "bootstrap-scripts": "a script runs in a session before all else",
    "terminal": "a session has a terminal",
    "folder-files": "files in a virtual folder are listed and made",
    "folder-downloads": "files leave a virtual folder",
    "folder-moves": "files in a virtual folder are moved",
    "folder-options": "options of a virtual folder are changed",
    "folder-clone": "a virtual folder is copied on the server",
    "folder-archives": "files leave a virtual folder as one archive",
    "folder-rename-file": "a file in a virtual folder gets another name",
    "folder-hosts": "storage hosts are listed",
    "folder-project-lists": "the folders of a project are listed",
    "folder-rename": "a virtual folder gets another name",
    "folder-invitations": "virtual folders are offered to other users",
    "folder-leave": "a user gives up a folder that somebody has shared",
    "folder-trash": "deleted virtual folders are restored, until they are purged",
    "folder-remount": "mounts outlive a restart",
    "admin-users": "users are listed",
    "admin-vfolders": "virtual folders are listed with the admin API",
    "admin-images": "images are listed",
    "admin-scaling-groups": "scaling groups are listed",
    "admin-resource-policies": "resource policies are listed",
    "list-filters": "lists are filtered, and sorted by any columns",
    "list-order": "lists are sorted by a column",
    "administration": "administrators make, change and remove users, projects and more",
    "administrators-only": "ordinary users administrate nothing",
    "resource-presets": "limits, presets and what is free are told",
    "projects": "users have projects",
    "dotfiles": "small files are kept that each new session gets",
    "templates": "templates of sessions are kept",
    "users-templates": "users make templates of sessions",
    "ssh-keypair": "a key pair is kept that lets a user into sessions over SSH",
    "ssh-upload": "users give the server their own SSH key pair",
    "announcements": "administrators announce something to all users",
    "everybodys-sessions": "administrators list the sessions of all users at once",
    "other-users": "there is more than one user",
    "login": "users log in with a password",
}


@dataclass(frozen=True)
class Limit:
    """Why a release cannot do something, and how that shows."""

    reason: str
    raises: type[BackendError] = BackendError
    """What our client raises."""
    match: str = ""
    """What the error's text holds: a regular expression."""
    absent: bool = False
    """Whether there is nothing to ask: the part that would do it is not among the servers here."""


_NO_AGENT = Limit(
    "no agent of that time runs without a container engine: sessions wait for one, or are refused"
)
_CLIENT = LocalProtocolError

_NO_TRASH = Limit("deleted folders go to a trash from 24.03 on", _CLIENT, "no trash")
_NO_INPUT = Limit("the kernel runner gives it the end of file at once; only input() asks")

_NO_PAGES = {
    "everybodys-sessions": Limit("lists are those of one key pair", _CLIENT, "one key pair"),
    "list-filters": Limit("lists come in one piece", _CLIENT, "does not filter"),
    "list-order": Limit("lists come in one piece", _CLIENT, "does not sort"),
}
_NO_PRESETS = {
    "resource-presets": Limit("there are no presets before 19.03", _CLIENT, r"19\.03"),
}
_NO_SETTINGS = {
    "administration": Limit("there is none before 19.09", _CLIENT, r"19\.09"),
    "announcements": Limit("there are none before 19.09", _CLIENT, r"19\.09"),
    "dotfiles": Limit("there are no dotfiles before 19.09", _CLIENT, r"19\.09"),
    "ssh-keypair": Limit("there is no SSH key pair before 19.09", _CLIENT, r"19\.09"),
}
_NO_SSH_UPLOAD = {
    "ssh-upload": Limit("SSH key pairs are uploaded from 23.03 on", _CLIENT, r"23\.03"),
}
_NO_FILTERS = {
    "list-filters": Limit("lists are filtered from 20.09.21 on", _CLIENT, r"20\.09\.21"),
}

_NO_SCRIPTS = {
    "bootstrap-scripts": Limit("sessions have them from 20.03 on", _CLIENT, r"20\.03"),
}
_NO_PROXY = Limit("there is no app proxy among the servers here", ServerError, "oordinator")
_NO_TEMPLATES = {
    name: Limit("there are none before 20.03", _CLIENT, r"20\.03")
    for name in ("templates", "users-templates")
}
_NO_STARTS = Limit("services are started from 21.09.3 on", _CLIENT, r"21\.09\.3")

_NO_ARCHIVES = {
    "folder-archives": Limit("archives are made from 26.3 on", _CLIENT, r"26\.3"),
}
_NO_OPTIONS = {
    **_NO_ARCHIVES,
    "folder-options": Limit("options are changed from 20.09 on", _CLIENT, r"20\.09"),
    "folder-clone": Limit("folders are cloned from 20.09 on", _CLIENT, r"20\.09"),
    "folder-project-lists": Limit("projects are told apart from 20.09 on", _CLIENT, r"20\.09"),
}
_NO_HOSTS = {
    "folder-rename-file": Limit("files are renamed from 19.09 on", _CLIENT, r"19\.09"),
    "folder-hosts": Limit("hosts are listed from 19.03 on", _CLIENT, r"19\.03"),
}

_SEED = {
    **_NO_SCRIPTS,
    **_NO_TEMPLATES,
    **_NO_OPTIONS,
    **_NO_HOSTS,
    "projects": Limit("there are no projects before 19.03", absent=True),
    **_NO_PAGES,
    **_NO_PRESETS,
    **_NO_SETTINGS,
    **_NO_SSH_UPLOAD,
    "app-proxy": _NO_STARTS,
    "ssh": Limit("services are reached from 18.12 on", absent=True),
    "folder-trash": _NO_TRASH,
    "batch-input": _NO_INPUT,
    "rename": Limit("sessions are renamed from 21.09.3 on", _CLIENT, "21.09.3"),
    "complete": Limit("the agent always fails to complete"),
    "session-files": Limit("files in a session are listed and downloaded from 1.4 on"),
    "large-downloads": Limit("nothing is downloaded before 1.4"),
    "query-exit": Limit("the interpreter ends without a word, and answers no later run"),
    "syntax-errors": Limit("the kernel runner fails on it itself, with a TypeError"),
    "wait-interrupts": Limit("the interrupt comes when the call that waits has returned"),
    "batch-interrupts": Limit("the interrupt goes to the shell that waits for the program"),
    "pictures": Limit("the kernel runner of that time shows values only as text"),
    "html": Limit("the kernel runner of that time shows values only as text"),
    "resources": Limit("sessions are as large as their image says", absent=True),
    "waiting": Limit("a session for which there is no room is refused", absent=True),
    "enqueue": Limit("a create is answered when the session runs", _CLIENT, r"from 20\.09 on"),
    "batch-sessions": Limit("none is known before it runs", _CLIENT, r"from 20\.09 on"),
    "events": Limit("session events are streamed from 19.06 on"),
    "apps": Limit("services are listed from 20.03 on", _CLIENT, "20.03"),
    "app-streams": Limit("services are reached from 18.12 on"),
    "folder-files": Limit("files in folders are listed from 1.4 on", _CLIENT, "1.4"),
    "folder-downloads": Limit("files leave folders from 1.4 on", _CLIENT, "1.4"),
    "folder-moves": Limit("files in folders are moved from 22.03 on", _CLIENT, "22.03"),
    "folder-rename": Limit("folders are renamed from 19.03 on", _CLIENT, "19.03"),
    "folder-invitations": Limit("folders are shared from 1.4 on", _CLIENT, "1.4"),
    "folder-leave": Limit("folders are left from 20.03 on", _CLIENT, "leave folders"),
    "folder-remount": Limit("a restart does not mount folders again"),
    "admin-users": Limit("there are only key pairs", _CLIENT),
    "admin-images": Limit("images are listed from 19.03 on", _CLIENT),
    "admin-scaling-groups": Limit("there are none", _CLIENT),
    "admin-resource-policies": Limit("there are none", _CLIENT),
    "login": Limit("there is no web server for it", absent=True),
}

_TRANSITION = {
    **_NO_OPTIONS,
    "waiting": Limit("there is no agent to wait for", absent=True),
    "enqueue": Limit("a create is answered when the session runs", _CLIENT, r"from 20\.09 on"),
    **_NO_SSH_UPLOAD,
    "app-proxy": _NO_AGENT,
    "ssh": _NO_AGENT,
    "batch-sessions": Limit("none is known before it runs", _CLIENT, r"from 20\.09 on"),
    "folder-trash": _NO_TRASH,
    "sessions": _NO_AGENT,
    "login": Limit("there is no web server for it", absent=True),
    "folder-moves": Limit("files in folders are moved from 22.03 on", _CLIENT, "22.03"),
}

LIMITS: Mapping[str, Mapping[str, Limit]] = {
    GATEWAY: {
        "administration": Limit("its one user is an ordinary one", AuthError, "no permission"),
        "bootstrap-scripts": Limit("a gateway runs none", match="a bootstrap script"),
        "folder-project-lists": Limit("folders belong to users", absent=True),
        "app-proxy": Limit("there is none", absent=True),
        "ssh": Limit("only some machines have an SSH server", absent=True),
        "folder-trash": Limit("delete is final on a gateway", _CLIENT, "no trash"),
        "projects": Limit("a gateway takes any name of a project", absent=True),
        "other-users": Limit("a gateway has one key pair", absent=True),
        "pictures": Limit("its Python interpreter knows no IPython"),
        "html": Limit("its Python interpreter knows no IPython"),
    },
    "1.1.0": _SEED
    | {
        "exit-codes": Limit("the reply that ends a run has none"),
        "admin-vfolders": Limit("the list fails once there is a folder", ServerError, "column"),
    },
    "1.3.12": _SEED,
    "18.12.0": _TRANSITION
    | _NO_PAGES
    | _NO_PRESETS
    | _NO_SETTINGS
    | _NO_SCRIPTS
    | _NO_TEMPLATES
    | {
        "events": Limit("session events are streamed from 19.06 on"),
        "folder-rename": Limit("folders are renamed from 19.03 on", _CLIENT, "19.03"),
        "folder-invitations": Limit("to accept an invitation fails", ServerError, "accept"),
        "folder-leave": Limit("folders are left from 20.03 on", _CLIENT, "20.03"),
        "admin-users": Limit("there are only key pairs", _CLIENT, "no list of users"),
        "admin-scaling-groups": Limit("there are none", _CLIENT, "no list"),
        "admin-resource-policies": Limit("there are none", _CLIENT, "no list"),
    },
    "19.9.27": _TRANSITION
    | _NO_FILTERS
    | _NO_SCRIPTS
    | _NO_TEMPLATES
    | {"folder-leave": Limit("folders are left from 20.03 on", _CLIENT, "20.03")},
    "20.3.19": _TRANSITION
    | _NO_FILTERS
    | {"bootstrap-scripts": Limit("there is no agent to run them", absent=True)},
    "23.9.10": {
        "administrators-only": Limit("mutations of any user are executed", absent=True),
        **_NO_ARCHIVES,
        "app-proxy": _NO_PROXY,
        "folder-trash": _NO_TRASH,
        "batch-input": _NO_INPUT,
        "complete": Limit("the published kernel runner never answers"),
        "html": Limit("HTML is sent as what is no JSON, and the session hangs from then on"),
        "large-downloads": Limit("1 MiB at most", DownloadError, "1 MiB"),
        "terminal": Limit("the Python runtime has none"),
        "login": Limit("there is no web server for it", absent=True),
    },
    "26.9.6": {
        "app-proxy": _NO_PROXY,
        "html": Limit(
            "HTML is sent as what is no JSON, the agent fails on it, and the session is busy from "
            "then on",
            ExecutionError,
            "HTML",
        ),
        "batch-input": _NO_INPUT,
        "restart": Limit("the manager has no such call any more", ServerError, "501"),
        "complete": Limit("it always answers an empty list"),
        "folder-leave": Limit("a guest lacks the permission for it", AuthError, "HARD_DELETE"),
        "large-downloads": Limit("1 MiB at most", DownloadError, "1 MiB"),
        "users-templates": Limit("administrators make them", AuthError, "session_template"),
        "terminal": Limit("the Python runtime has none"),
    },
}


def limits_of(target: str) -> Mapping[str, Limit]:
    """What a target cannot do."""
    return LIMITS[target]


assert all(set(limits) <= set(CAPABILITIES) for limits in LIMITS.values())
