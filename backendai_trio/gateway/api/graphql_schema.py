"""The schema of the gateway's admin API: the fields that clients from 1.1.1 to 23.9.10 ask for.

Names are those of docs/protocol.md, section 8.2 (seed era) and 8.3 (20.03 on). One schema serves
both, because their root fields have different names, or types with the fields of both.
"""

from __future__ import annotations

from ...wire.admin_settings import Release
from .graphql_mutations import mutations_schema

__all__ = ["schema_of"]

_FILTER = "filter: String, order: String"
_ORDER_KEY = "order_key: String, order_asc: Boolean"


def schema_of(*, filters: bool = True, order_keys: bool = True, release: Release = ()) -> str:
    """The schema.

    Args:
        release: of the manager that has these mutations; empty for the gateway's own.
        filters: whether lists take a filter and an order, as from 20.09.21 on.
        order_keys: whether they are ordered by one column, as up to 20.09.20.
    """
    chosen = [_FILTER] * filters + [_ORDER_KEY] * order_keys
    return _SCHEMA.replace("SELECTION", ", ".join(chosen)) + mutations_schema(release)


_SCHEMA = '''
scalar UUID
"""A type and an id in Base64, or an id as it is."""
scalar GlobalIDField
scalar DateTime
"""JSON as text: managers use it for values without a fixed structure."""
scalar JSONString
"""A number that may need more than 32 bits."""
scalar BigInt

"""Key pairs of this gateway may see everything: they belong to its one user."""
type Query {
  """Kernels as the seed era lists them, newest first, with those that have ended."""
  compute_sessions(access_key: String, status: String): [SeedSession]
  compute_session_list(
    limit: Int!, offset: Int!, SELECTION, domain_name: String, group_id: String,
    access_key: String, status: String
  ): SessionList
  compute_session(id: UUID, sess_id: String): Session
  """What newer managers tell of a session besides."""
  compute_session_node(id: GlobalIDField!): SessionNode
  legacy_compute_session_list(
    limit: Int!, offset: Int!, order_key: String, order_asc: Boolean, domain_name: String,
    group_id: String, access_key: String, status: String
  ): SessionList

  agents(status: String, scaling_group: String): [Agent]
  agent(agent_id: String): Agent
  agent_list(
    limit: Int!, offset: Int!, SELECTION, scaling_group: String, status: String
  ): AgentList
  agent_summary_list(
    limit: Int!, offset: Int!, SELECTION, scaling_group: String, status: String
  ): AgentList

  images(is_installed: Boolean, is_operation: Boolean): [Image]
  image(reference: String!, architecture: String): Image

  keypairs(user_id: Int, domain_name: String, email: String, is_active: Boolean): [KeyPair]
  keypair(domain_name: String, access_key: String): KeyPair
  keypair_list(
    limit: Int!, offset: Int!, SELECTION, domain_name: String, email: String,
    is_active: Boolean
  ): KeyPairList
  keypair_resource_policies: [ResourcePolicy]
  keypair_resource_policy(name: String): ResourcePolicy
  resource_presets: [ResourcePreset]
  resource_preset(name: String): ResourcePreset

  users(domain_name: String, group_id: UUID, is_active: Boolean, status: String): [User]
  user(domain_name: String, email: String): User
  user_from_uuid(domain_name: String, user_id: ID): User
  user_list(
    limit: Int!, offset: Int!, SELECTION, domain_name: String, group_id: UUID,
    is_active: Boolean, status: String
  ): UserList

  scaling_groups(name: String, is_active: Boolean): [ScalingGroup]
  scaling_group(name: String): ScalingGroup
  domains(is_active: Boolean): [Domain]
  domain(name: String): Domain
  groups(domain_name: String, is_active: Boolean, type: [String]): [Group]
  group(id: UUID!, domain_name: String, type: [String]): Group
  groups_by_name(name: String!, domain_name: String): [Group]

  vfolders(access_key: String): [VirtualFolder]
  vfolder_list(
    limit: Int!, offset: Int!, SELECTION, domain_name: String, group_id: UUID,
    access_key: String
  ): VirtualFolderList
  vfolder_own_list(
    limit: Int!, offset: Int!, SELECTION, domain_name: String,
    access_key: String
  ): VirtualFolderList
  vfolder_invited_list(
    limit: Int!, offset: Int!, SELECTION, domain_name: String,
    access_key: String
  ): VirtualFolderList
}

type SeedSession {
  sess_id: String, id: ID, role: String, lang: String, status: String, status_info: String,
  created_at: String, terminated_at: String, agent: String, container_id: String,
  mem_slot: Int, cpu_slot: Int, gpu_slot: Int, num_queries: Int, cpu_used: Int,
  mem_max_bytes: BigInt, mem_cur_bytes: BigInt, net_rx_bytes: BigInt, net_tx_bytes: BigInt,
  io_read_bytes: BigInt, io_write_bytes: BigInt, io_max_scratch_size: BigInt,
  io_cur_scratch_size: BigInt
}

type SessionList { items: [Session], total_count: Int }
type Session {
  id: ID, session_id: ID, main_kernel_id: ID, sess_id: String, name: String, tag: String,
  type: String, sess_type: String, image: String, lang: String, registry: String,
  cluster_template: String, cluster_mode: String, cluster_size: Int, domain_name: String,
  group_name: String, group_id: UUID, agent: String, agent_ids: [ID], agents: [ID],
  user_email: String, user_id: ID, access_key: String, created_user_email: String,
  created_user_id: ID, status: String, status_info: String, status_data: JSONString,
  status_changed: DateTime, created_at: DateTime, terminated_at: DateTime, starts_at: DateTime,
  scheduled_at: DateTime, startup_command: String, result: String, resource_opts: JSONString,
  scaling_group: String, service_ports: JSONString, mounts: [String], occupied_slots: JSONString,
  occupying_slots: JSONString, requested_slots: JSONString, num_queries: BigInt,
  containers: [Container], dependencies: [Session], abusing_reports: [JSONString],
  idle_checks: JSONString
}
type SessionNode {
  id: ID, row_id: UUID, name: String, status: String, status_info: String,
  status_data: JSONString, queue_position: Int, result: String
}
type Container {
  id: ID, idx: Int, role: String, hostname: String, cluster_role: String, cluster_idx: Int,
  cluster_hostname: String, session_id: ID, image: String, registry: String, status: String,
  status_info: String, status_data: JSONString, status_changed: DateTime, created_at: DateTime,
  terminated_at: DateTime, agent: String, container_id: ID, resource_opts: JSONString,
  occupied_slots: JSONString, preopen_ports: [Int], live_stat: JSONString, last_stat: JSONString
}

type AgentList { items: [Agent], total_count: Int }
type Agent {
  id: ID, status: String, status_changed: DateTime, region: String, architecture: String,
  scaling_group: String, schedulable: Boolean, available_slots: JSONString,
  occupied_slots: JSONString, addr: String, first_contact: DateTime, lost_at: DateTime,
  live_stat: JSONString, version: String, compute_plugins: JSONString,
  hardware_metadata: JSONString, local_config: JSONString, cpu_cur_pct: Float,
  mem_cur_bytes: Float, compute_containers(status: String): [Container],
  mem_slots: BigInt, cpu_slots: BigInt, gpu_slots: BigInt, used_mem_slots: BigInt,
  used_cpu_slots: BigInt, used_gpu_slots: BigInt, computations(status: String): [SeedSession]
}

type Image {
  id: ID, name: String, humanized_name: String, registry: String, architecture: String,
  tag: String, digest: String, hash: String, size_bytes: BigInt, aliases: [String],
  labels: [Label], installed: Boolean, supported_accelerators: [String]
}
type Label { key: String, value: String }

type KeyPairList { items: [KeyPair], total_count: Int }
type KeyPair {
  id: ID, user_id: String, user_info: UserInfo, projects: [String], access_key: String,
  secret_key: String, is_active: Boolean, is_admin: Boolean, created_at: DateTime,
  modified_at: DateTime, last_used: DateTime, resource_policy: String, rate_limit: Int,
  concurrency_limit: Int, concurrency_used: Int, num_queries: Int, ssh_public_key: String,
  ssh_private_key: String, dotfiles: String, bootstrap_script: String,
  vfolders: [VirtualFolder], compute_sessions(status: String): [SeedSession]
}
type UserInfo { email: String, full_name: String }
type ResourcePolicy {
  name: String, created_at: DateTime, default_for_unspecified: String,
  total_resource_slots: JSONString, max_session_lifetime: Int, max_concurrent_sessions: Int,
  max_containers_per_session: Int, idle_timeout: BigInt, max_vfolder_count: Int,
  max_vfolder_size: BigInt, allowed_vfolder_hosts: JSONString,
  max_concurrent_sftp_sessions: Int, max_pending_session_count: Int,
  max_pending_session_resource_slots: JSONString
}
type ResourcePreset {
  name: String, resource_slots: JSONString, shared_memory: BigInt, scaling_group_name: String
}

type UserList { items: [User], total_count: Int }
type User {
  id: ID, uuid: UUID, username: String, email: String, need_password_change: Boolean,
  full_name: String, description: String, is_active: Boolean, status: String,
  status_info: String, created_at: DateTime, modified_at: DateTime, domain_name: String,
  role: String, groups: [UserGroup], allowed_client_ip: [String], totp_activated: Boolean,
  sudo_session_enabled: Boolean, main_access_key: String, resource_policy: String,
  container_uid: Int, container_main_gid: Int, container_gids: [Int]
}
type UserGroup { id: UUID, name: String }

type ScalingGroup {
  name: String, description: String, is_active: Boolean, is_public: Boolean,
  created_at: DateTime, driver: String, driver_opts: JSONString, scheduler: String,
  scheduler_opts: JSONString, use_host_network: Boolean, wsproxy_addr: String,
  wsproxy_api_token: String
}
type Domain {
  name: String, description: String, is_active: Boolean, created_at: DateTime,
  modified_at: DateTime, total_resource_slots: JSONString, allowed_vfolder_hosts: JSONString,
  allowed_docker_registries: [String], integration_id: String, scaling_groups: [String]
}
type Group {
  id: UUID, name: String, description: String, is_active: Boolean, created_at: DateTime,
  modified_at: DateTime, domain_name: String, total_resource_slots: JSONString,
  allowed_vfolder_hosts: JSONString, integration_id: String, scaling_groups: [String],
  resource_policy: String, type: String
}

type VirtualFolderList { items: [VirtualFolder], total_count: Int }
type VirtualFolder {
  id: ID, host: String, name: String, user: String, group: String, creator: String,
  status: String, unmanaged_path: String, usage_mode: String, permission: String,
  ownership_type: String, max_files: Int, max_size: Int, created_at: String,
  last_used: String, num_files: Int, cur_size: BigInt, cloneable: Boolean
}
'''
