"""Once, on 26.9: a domain, project and resource group, the users, and an image.

A row is only half of an entity there: the other half is its place in a graph of permissions (and a
user's personal project). No fixture of that shape is published, so the rows are made by the
release's own write operations.

    populate_26.py MANAGER_TOML REGISTRY IMAGE:TAG RUNTIME_PATH
"""

import asyncio
import json
import os
import sys
from pathlib import Path

import sqlalchemy as sa
from ai.backend.common.container_registry import ContainerRegistryType
from ai.backend.common.data.entity.container_registry import ContainerRegistryID
from ai.backend.common.data.entity.domain import DomainID
from ai.backend.common.data.entity.image import ImageID
from ai.backend.common.data.entity.project import ProjectID
from ai.backend.common.data.entity.resource_group import ResourceGroupID
from ai.backend.common.data.entity.user import UserID
from ai.backend.common.types import AccessKey, VFolderHostPermissionMap
from ai.backend.manager.config.bootstrap import BootstrapConfig
from ai.backend.manager.data.image.types import ImageType
from ai.backend.manager.data.keypair.types import KeyPairSecrets
from ai.backend.manager.models.base import ensure_all_tables_registered
from ai.backend.manager.models.container_registry.creators import ContainerRegistryCreator
from ai.backend.manager.models.domain.creators import DomainCreator
from ai.backend.manager.models.hasher.types import PasswordHashAlgorithm, PasswordInfo
from ai.backend.manager.models.image.creators import ImageAliasCreator, ImageCreator
from ai.backend.manager.models.keypair import generate_ssh_keypair
from ai.backend.manager.models.project.creators import ProjectCreator
from ai.backend.manager.models.project.row import ProjectType
from ai.backend.manager.models.resource_group.creators import ResourceGroupCreator
from ai.backend.manager.models.user import UserRole, UserStatus
from ai.backend.manager.models.user.creators import UserCreator
from ai.backend.manager.repositories.db.engine import connect_database
from ai.backend.manager.repositories.global_entity.loader import GlobalEntityIDLoader
from ai.backend.manager.repositories.ops.v2.domain.provider import DomainOpsProvider
from ai.backend.manager.repositories.ops.v2.user.provider import UserOpsProvider
from ai.backend.manager.repositories.ops.v2.user.write import FullUserCreator
from ai.backend.manager.secret.types import SecretValue

HOSTS = {
    "local:volume1": [
        "create-vfolder",
        "modify-vfolder",
        "delete-vfolder",
        "mount-in-session",
        "upload-file",
        "download-file",
        "invite-others",
        "set-user-specific-permission",
    ]
}
RESOURCES = {"cpu": {"min": "1", "max": None}, "mem": {"min": "67108864", "max": None}}
USERS = json.loads(Path(os.environ["LAB_ACCOUNTS"]).read_text())


def labels(runtime):
    """What the image says of itself."""
    return {
        "ai.backend.kernelspec": "1",
        "ai.backend.features": "batch query uid-match user-input",
        "ai.backend.role": "COMPUTE",
        "ai.backend.base-distro": "ubuntu20.04",
        "ai.backend.runtime-type": "python",
        "ai.backend.runtime-path": runtime,
        "ai.backend.resource.min.cpu": "1",
        "ai.backend.resource.min.mem": "64m",
        "ai.backend.envs.corecount": "OMP_NUM_THREADS",
        "ai.backend.service-ports": "echo:preopen:8089",
    }


async def main(config, registry, tag, runtime):
    """Make all of it."""
    cfg = await BootstrapConfig.load_from_file(Path(config))
    ensure_all_tables_registered()
    async with connect_database(cfg.db) as db:
        await GlobalEntityIDLoader(db).load()
        async with DomainOpsProvider(db).write_ops() as w:
            group = await w.create_role_managed_entity(
                ResourceGroupCreator(
                    name="default",
                    driver="static",
                    scheduler="fifo",
                    is_default=True,
                    description="The default agent group",
                )
            )
            made = await w.create_domain(
                DomainCreator(
                    name="default",
                    description="The default domain",
                    allowed_vfolder_hosts=VFolderHostPermissionMap(HOSTS),
                    allowed_docker_registries=[registry],
                ),
                [ResourceGroupID(group.id)],
            )
            domain = DomainID(made.domain.id)
            project = await w.create_role_managed_entity(
                ProjectCreator(
                    name="default",
                    domain_id=domain,
                    domain_name="default",
                    type=ProjectType.GENERAL,
                    description="The default project",
                    resource_policy="default",
                    allowed_vfolder_hosts=VFolderHostPermissionMap(HOSTS),
                )
            )
            await w.restate_project_resource_policy_share(ProjectID(project.id))
            reg = await w.create_entity(
                ContainerRegistryCreator(
                    url="http://127.0.0.1:1",
                    type=ContainerRegistryType.DOCKER,
                    registry_name=registry,
                    project="lab",
                )
            )
            name, _, version = tag.partition(":")
            image = await w.create_entity(
                ImageCreator(
                    name=f"{registry}/lab/{tag}",
                    project="lab",
                    architecture="x86_64",
                    registry_id=ContainerRegistryID(reg.id),
                    registry_is_global=True,
                    is_local=True,
                    registry=registry,
                    image=f"lab/{name}",
                    tag=version,
                    config_digest="sha256:" + "0" * 64,
                    size_bytes=1048576,
                    type=ImageType.COMPUTE,
                    labels=labels(runtime),
                )
            )
            await w.create_field(ImageID(image.id), ImageAliasCreator(alias="python"))
            await w._sess.execute(
                sa.text("update images set resources = cast(:r as jsonb) where id = :i"),
                {
                    "i": image.id,
                    "r": json.dumps(RESOURCES),
                },
            )
        async with UserOpsProvider(db).write_ops() as w:
            for user in USERS:
                public, private = generate_ssh_keypair()
                made = await w.create_user(
                    FullUserCreator(
                        user=UserCreator(
                            email=user["email"],
                            username=user["name"],
                            need_password_change=False,
                            password=PasswordInfo(
                                user["password"], PasswordHashAlgorithm.PBKDF2_SHA256, 1000, 32
                            ),
                            domain_id=domain,
                            full_name=user["name"],
                            status=UserStatus.ACTIVE,
                            role=UserRole(user["role"]),
                            resource_policy="default",
                            sudo_session_enabled=False,
                        ),
                        keypair_secrets=KeyPairSecrets(
                            AccessKey(user["access_key"]),
                            SecretValue(user["secret_key"]),
                            public,
                            private,
                        ),
                        keypair_resource_policy="default",
                        keypair_rate_limit=30000,
                    )
                )
                await w.join_projects(UserID(made.user.id), domain, [ProjectID(project.id)])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
