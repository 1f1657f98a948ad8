"""Once: tables, and one domain, group and resource policy with the users' key pairs.

populate.py DATABASE_URL
"""

import json
import os
import sys
from pathlib import Path

import sqlalchemy as sa
from ai.backend.manager import models
from ai.backend.manager.models.base import metadata

GROUP = "2de2b969-1d04-48a6-af16-0bc8adb3c831"
USERS = json.loads(Path(os.environ["LAB_ACCOUNTS"]).read_text())
ROWS = [
    (
        "domains",
        [
            {
                "name": "default",
                "description": "",
                "is_active": True,
                "total_resource_slots": {},
                "allowed_vfolder_hosts": ["local"],
                "allowed_docker_registries": ["lab.invalid"],
            }
        ],
    ),
    (
        "groups",
        [
            {
                "id": GROUP,
                "name": "default",
                "description": "",
                "is_active": True,
                "domain_name": "default",
                "total_resource_slots": {},
                "allowed_vfolder_hosts": ["local"],
            }
        ],
    ),
    (
        "scaling_groups",
        [
            {
                "name": "default",
                "description": "",
                "is_active": True,
                "driver": "static",
                "driver_opts": {},
                "scheduler": "fifo",
                "scheduler_opts": {},
            }
        ],
    ),
    ("sgroups_for_domains", [{"scaling_group": "default", "domain": "default"}]),
    (
        "users",
        [
            {
                "uuid": user["user_id"],
                "username": user["name"],
                "email": user["email"],
                "password": user["password"],
                "need_password_change": False,
                "full_name": user["name"],
                "description": "",
                "is_active": True,
                "status": "active",
                "domain_name": "default",
                "role": user["role"],
            }
            for user in USERS
        ],
    ),
    (
        "association_groups_users",
        [{"group_id": GROUP, "user_id": user["user_id"]} for user in USERS],
    ),
    (
        "keypair_resource_policies",
        [
            {
                "name": "default",
                "default_for_unspecified": "UNLIMITED",
                "total_resource_slots": {},
                "max_concurrent_sessions": 30,
                "max_containers_per_session": 1,
                "max_vfolder_count": 100,
                "max_vfolder_size": 0,
                "idle_timeout": 86400,
                "allowed_vfolder_hosts": ["local"],
            }
        ],
    ),
    (
        "keypairs",
        [
            {
                "user_id": user["email"],
                "access_key": user["access_key"],
                "secret_key": user["secret_key"],
                "is_active": True,
                "is_admin": user["role"] != "user",
                "resource_policy": "default",
                "concurrency_limit": 30,
                "concurrency_used": 0,
                "rate_limit": 30000,
                "num_queries": 0,
                "user": user["user_id"],
            }
            for user in USERS
        ],
    ),
    ("resource_presets", [{"name": "small", "resource_slots": {"cpu": "1", "mem": "2147483648"}}]),
]


def fit(table, row):
    """What the release's table has, with enumerations as it wants them."""
    out = {}
    for name, value in row.items():
        if name in table.c:
            kind = getattr(table.c[name].type, "_enum_cls", None)
            by_name = type(table.c[name].type).__name__ == "EnumType"
            out[name] = value if kind is None else kind[value] if by_name else kind(value)
    return out


engine = sa.create_engine(sys.argv[1])
engine.execute('CREATE EXTENSION IF NOT EXISTS "uuid-ossp"')
metadata.create_all(engine, checkfirst=False)
for name, rows in ROWS:
    table = getattr(models, name, None)
    if table is None:  # before 19.06 there is little but key pairs
        continue
    engine.execute(table.insert(), [fit(table, row) for row in rows])
