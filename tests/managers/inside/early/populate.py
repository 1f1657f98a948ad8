"""Once: tables, the users' key pairs and images, as the manager's own commands make them.

(`schema oneshot` needs the migration scripts, which the wheels do not have; the commands for etcd
cannot be told an address before 1.3.)

    populate.py DATABASE_URL ETCD_ADDRESS FOLDER
"""

import asyncio
import json
import os
import sys
from pathlib import Path

import sqlalchemy as sa
from ai.backend.common.argparse import host_port_pair
from ai.backend.gateway.etcd import ConfigServer
from ai.backend.manager import models
from ai.backend.manager.models import fixtures
from ai.backend.manager.models.base import metadata

database, etcd, folder = sys.argv[1], host_port_pair(sys.argv[2]), Path(sys.argv[3])
engine = sa.create_engine(database)
engine.execute('CREATE EXTENSION IF NOT EXISTS "uuid-ossp"')
metadata.create_all(engine, checkfirst=False)
(example,) = [rows[0] for table, rows in fixtures.example_keypair if table == "keypairs"]
for number, user in enumerate(json.loads(Path(os.environ["LAB_ACCOUNTS"]).read_text()), 2):
    row = dict(
        example,
        user_id=number,
        access_key=user["access_key"],
        secret_key=user["secret_key"],
        is_admin=user["role"] != "user",
    )
    values = {key: value for key, value in row.items() if key in models.keypairs.c}
    engine.execute(models.keypairs.insert(), [values])
engine.execute("update keypairs set rate_limit = 30000, concurrency_limit = 30")

config = ConfigServer(etcd, "lab")
loop = asyncio.get_event_loop()
loop.run_until_complete(config.update_kernel_images_from_file(folder / "images.yml"))
loop.run_until_complete(config.update_aliases_from_file(folder / "aliases.yml"))
