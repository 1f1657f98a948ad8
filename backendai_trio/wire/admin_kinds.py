"""The objects that administrators make and change: one table of kinds and of their settings.

Names, types and releases are those of docs/protocol.md, section 8.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from ..errors import LocalProtocolError
from .admin_settings import Action, ManagedKind, Release, Setting

__all__ = ["MANAGED_KINDS", "ManagedKindName", "kind_of"]

ManagedKindName = Literal[
    "users",
    "keypairs",
    "projects",
    "domains",
    "resource-policies",
    "resource-presets",
    "scaling-groups",
]
MANAGED_KINDS: tuple[ManagedKindName, ...] = get_args(ManagedKindName)
_ONLY_CREATE: tuple[Action, ...] = ("create",)
_ONLY_UPDATE: tuple[Action, ...] = ("update",)


def kind_of(name: str) -> ManagedKind:
    """The kind of this name.

    Args:
        name: such as ``"users"``.

    Raises:
        LocalProtocolError: there is none.
    """
    if name not in _BY_NAME:
        raise LocalProtocolError(f"{name!r} cannot be changed; use one of {', '.join(_BY_NAME)}")
    return _BY_NAME[name]


_HOST_PERMISSIONS = 'Storage hosts, and what may be done there: {"local": ["create-vfolder"]}'
_SLOTS = 'Most resources at a time: {"cpu": "8", "mem": "32g"}'
_DESCRIPTION = Setting("description", "text", "Description.", default="")
_IS_ACTIVE = Setting("is_active", "flag", "Whether it can be used.", default=True)
_HOSTS = Setting("allowed_vfolder_hosts", "hosts", _HOST_PERMISSIONS, default={})
_TOTAL_SLOTS = Setting("total_resource_slots", "object", _SLOTS, default={})
_SINCE_POLICIES: Release = (23, 3, 7)
_SINCE_CONTAINER_IDS: Release = (25, 2)
_PURGE_SINCE: Release = (19, 9, 27)

_USERS = ManagedKind(
    name="users",
    noun="user",
    suffix="user",
    key="email",
    item="user",
    inputs={"create": "UserInput", "update": "ModifyUserInput", "purge": "PurgeUserInput"},
    root="user",
    root_key="email",
    identity=("uuid", "email"),
    purge_since=_PURGE_SINCE,
    deletes="The account becomes inactive, and so do its key pairs.",
    purges="The user is removed with its key pairs, sessions and folders.",
    settings=(
        Setting("username", "text", "Name of the user.", named=True),
        Setting("password", "text", "Password.", required=True, secret=True),
        Setting(
            "need_password_change", "flag", "Whether the user has to change the password.",
            default=False,
        ),
        Setting("full_name", "text", "Full name.", default=""),
        _DESCRIPTION,
        Setting(
            "is_active", "flag", "Whether the user may log in.", default=True, until=(20, 3)
        ),
        Setting(
            "status", "text", "active, inactive, deleted or before-verification.",
            default="active", since=(20, 3), kept=True,
        ),
        Setting("domain_name", "text", "Domain.", default="default"),
        Setting("role", "text", "user, admin, superadmin or monitor.", default="user"),
        Setting("group_ids", "texts", "Projects, instead of those before.", shown=False),
        Setting(
            "allowed_client_ip", "texts", "Addresses that requests may come from.",
            since=(22, 9), clears=True,
        ),
        Setting(
            "resource_policy", "text", "Resource policy for users.",
            default="default", since=_SINCE_POLICIES,
        ),
        Setting(
            "sudo_session_enabled", "flag", "Whether sudo works in sessions without a password.",
            default=False, since=(23, 9),
        ),
        Setting(
            "totp_activated", "flag", "Whether logins ask for a one-time password.",
            since=(22, 9, 17),
        ),
        Setting(
            "main_access_key", "text", "Key pair that counts when the user logs in.",
            _ONLY_UPDATE, since=(23, 9, 8),
        ),
        Setting(
            "container_uid", "number", "User number of processes in sessions.",
            since=_SINCE_CONTAINER_IDS, clears=True,
        ),
        Setting(
            "container_main_gid", "number", "Group number of processes in sessions.",
            since=_SINCE_CONTAINER_IDS, clears=True,
        ),
        Setting(
            "container_gids", "numbers", "Further group numbers of processes in sessions.",
            since=_SINCE_CONTAINER_IDS, clears=True,
        ),
        Setting(
            "purge_shared_vfolders", "flag",
            "Remove also folders that others share; otherwise they become the administrator's.",
            ("purge",), default=False,
        ),
        Setting(
            "delegate_endpoint_ownership", "flag",
            "Take over the user's model services; otherwise they end.",
            ("purge",), default=False, since=(25, 4),
        ),
    ),
)  # fmt: skip
_KEYPAIRS = ManagedKind(
    name="keypairs",
    noun="key pair",
    suffix="keypair",
    key="access_key",
    create_key="user_id",
    item="keypair",
    inputs={"create": "KeyPairInput", "update": "ModifyKeyPairInput"},
    root="keypair",
    root_key="access_key",
    # From 23.03.7 on the query for one does not find those of users without a project.
    list_root="keypairs",
    identity=("access_key", "user_id"),
    told_once=("secret_key",),
    settings=(
        Setting("resource_policy", "text", "Resource policy.", default="default"),
        Setting("is_active", "flag", "Whether it lets requests in.", default=True),
        Setting("is_admin", "flag", "Whether it is an administrator's.", default=False),
        Setting("rate_limit", "number", "Requests in 15 minutes.", default=30_000),
    ),
)
_PROJECTS = ManagedKind(
    name="projects",
    noun="project",
    suffix="group",
    key="gid",
    create_key="name",
    key_type="UUID!",
    early_key_types={
        "read": ((20, 3), "String!"),
        "update": ((20, 3), "String!"),
        "delete": (_PURGE_SINCE, "String!"),
    },
    item="group",
    inputs={"create": "GroupInput", "update": "ModifyGroupInput"},
    root="group",
    root_key="id",
    identity=("id", "name", "domain_name"),
    purge_since=_PURGE_SINCE,
    deletes="The project becomes inactive.",
    purges="The project is removed with its sessions and folders.",
    settings=(
        Setting("name", "text", "New name.", _ONLY_UPDATE),
        Setting("domain_name", "text", "Domain.", _ONLY_CREATE, default="default"),
        _DESCRIPTION,
        _IS_ACTIVE,
        _TOTAL_SLOTS,
        _HOSTS,
        Setting(
            "resource_policy", "text", "Resource policy for projects.",
            default="default", since=_SINCE_POLICIES,
        ),
        Setting("integration_id", "text", "Id that another system has for it."),
        Setting(
            "type", "text", "GENERAL or MODEL_STORE.", _ONLY_CREATE, since=(24, 3)
        ),
        Setting("user_update_mode", "text", "add or remove.", _ONLY_UPDATE, shown=False),
        Setting("user_uuids", "texts", "Users to add or remove.", _ONLY_UPDATE, shown=False),
    ),
)  # fmt: skip
_DOMAINS = ManagedKind(
    name="domains",
    noun="domain",
    suffix="domain",
    key="name",
    item="domain",
    inputs={"create": "DomainInput", "update": "ModifyDomainInput"},
    root="domain",
    root_key="name",
    identity=("name",),
    purge_since=_PURGE_SINCE,
    deletes="The domain becomes inactive.",
    purges="The domain is removed with its sessions; it must have no users and no projects.",
    settings=(
        Setting("name", "text", "New name.", _ONLY_UPDATE),
        _DESCRIPTION,
        _IS_ACTIVE,
        _TOTAL_SLOTS,
        _HOSTS,
        Setting(
            "allowed_docker_registries", "texts", "Registries whose images may be used.",
            default=(),
        ),
        Setting("integration_id", "text", "Id that another system has for it."),
    ),
)  # fmt: skip
_POLICIES = ManagedKind(
    name="resource-policies",
    noun="resource policy",
    suffix="keypair_resource_policy",
    key="name",
    item="resource_policy",
    inputs={
        "create": "CreateKeyPairResourcePolicyInput",
        "update": "ModifyKeyPairResourcePolicyInput",
    },
    root="keypair_resource_policy",
    root_key="name",
    identity=("name",),
    settings=(
        Setting(
            "default_for_unspecified", "text", "LIMITED or UNLIMITED: resources not named below.",
            default="UNLIMITED",
        ),
        _TOTAL_SLOTS,
        Setting(
            "max_session_lifetime", "number", "Seconds that a session may live; 0 for no limit.",
            default=0, since=(22, 3),
        ),
        Setting("max_concurrent_sessions", "number", "Sessions at a time.", default=30),
        Setting(
            "max_concurrent_sftp_sessions", "number", "Upload sessions at a time.",
            default=10, since=(23, 9, 6), shown_since=(24, 3, 4),
        ),
        Setting("max_containers_per_session", "number", "Containers of a session.", default=1),
        Setting(
            "idle_timeout", "large", "Seconds without a request that end a session; 0 for none.",
            default=1800,
        ),
        _HOSTS,
        Setting(
            "max_vfolder_count", "number", "Virtual folders.", default=10, until=(24, 3)
        ),
        Setting(
            "max_vfolder_size", "large", "Bytes in a virtual folder; 0 for no limit.",
            default=0, until=(24, 3),
        ),
        Setting(
            "max_pending_session_count", "number", "Sessions that wait.", since=(24, 3, 4)
        ),
        Setting(
            "max_pending_session_resource_slots", "object",
            'Most resources of sessions that wait: {"cpu": "8"}', since=(24, 3, 4),
        ),
    ),
)  # fmt: skip
_PRESETS = ManagedKind(
    name="resource-presets",
    noun="resource preset",
    suffix="resource_preset",
    key="name",
    item="resource_preset",
    inputs={"create": "CreateResourcePresetInput", "update": "ModifyResourcePresetInput"},
    root="resource_preset",
    root_key="name",
    identity=("name",),
    settings=(
        Setting("name", "text", "New name.", _ONLY_UPDATE, since=(25, 4)),
        Setting(
            "resource_slots", "object", 'Resources: {"cpu": "2", "mem": "4g"}', required=True
        ),
        Setting("shared_memory", "text", "Shared memory, e.g. 1g.", since=(19, 9, 21)),
        Setting(
            "scaling_group_name", "text", "Resource group that it is for.", since=(25, 4)
        ),
    ),
)  # fmt: skip
_SCALING_GROUPS = ManagedKind(
    name="scaling-groups",
    noun="resource group",
    suffix="scaling_group",
    key="name",
    item="scaling_group",
    inputs={"create": "CreateScalingGroupInput", "update": "ModifyScalingGroupInput"},
    early_input=((20, 9, 11), "ScalingGroupInput"),
    root="scaling_group",
    root_key="name",
    identity=("name",),
    settings=(
        _DESCRIPTION,
        _IS_ACTIVE,
        Setting(
            "is_public", "flag", "Whether users may choose it for sessions.",
            default=True, since=(22, 9, 22),
        ),
        Setting("driver", "text", "Driver of its agents.", default="static"),
        Setting("driver_opts", "object", "Options of the driver.", default={}),
        Setting("scheduler", "text", "Scheduler: fifo, lifo or drf.", default="fifo"),
        Setting("scheduler_opts", "object", "Options of the scheduler.", default={}),
        Setting(
            "use_host_network", "flag", "Whether sessions share the network of the machine.",
            default=False, since=(22, 9, 8),
        ),
        Setting("wsproxy_addr", "text", "Address of its app proxy.", since=(21, 9, 3)),
        Setting(
            "wsproxy_api_token", "text", "Token of its app proxy.",
            since=(23, 3, 11), secret=True,
        ),
    ),
)  # fmt: skip
_BY_NAME: Mapping[str, ManagedKind] = {
    kind.name: kind
    for kind in (
        _USERS, _KEYPAIRS, _PROJECTS, _DOMAINS, _POLICIES, _PRESETS, _SCALING_GROUPS,
    )
}  # fmt: skip
