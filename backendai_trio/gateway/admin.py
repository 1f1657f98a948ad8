"""The admin API: a GraphQL schema over the gateway's kernels.

Field names are those of contract section 8.2 (seed era) and 8.3 (20.03 on); one schema has both,
since their root fields have different names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphql import GraphQLSchema, build_schema, graphql_sync

from ..wire.graphql import GraphQLQuery
from .folder_index import Folder
from .sessions import Session, Sessions
from .store import EndedSession
from .vfolder_files import measure
from .vfolders import HOST, VFolders

__all__ = ["answer"]

_SCHEMA: GraphQLSchema = build_schema(
    """
    type Query {
      compute_sessions(access_key: String, status: String): [SeedSession]
      compute_session_list(
        limit: Int!, offset: Int!, access_key: String, status: String, domain_name: String,
        group_id: String, order_key: String, order_asc: Boolean, filter: String, order: String
      ): SessionList
      vfolders(access_key: String): [VirtualFolder]
      vfolder_list(
        limit: Int!, offset: Int!, access_key: String, domain_name: String, group_id: UUID,
        filter: String, order: String
      ): VirtualFolderList
      vfolder_own_list(
        limit: Int!, offset: Int!, access_key: String, domain_name: String, filter: String,
        order: String
      ): VirtualFolderList
      vfolder_invited_list(
        limit: Int!, offset: Int!, access_key: String, domain_name: String, filter: String,
        order: String
      ): VirtualFolderList
    }
    scalar UUID
    type SeedSession {
      sess_id: String, id: ID, role: String, lang: String, status: String, status_info: String,
      created_at: String, terminated_at: String, agent: String, container_id: String,
      mem_slot: Int, cpu_slot: Int, gpu_slot: Int, num_queries: Int, cpu_used: Int
    }
    type SessionList { items: [Session], total_count: Int }
    type Session {
      id: ID, session_id: ID, name: String, type: String, image: String, tag: String,
      domain_name: String, group_name: String, access_key: String, status: String,
      status_info: String, status_changed: String, result: String, created_at: String,
      terminated_at: String, occupied_slots: String, occupying_slots: String, num_queries: Int,
      sess_id: String, lang: String
    }
    type VirtualFolder {
      id: ID, host: String, name: String, max_files: Int, max_size: Int, created_at: String,
      last_used: String, num_files: Int, cur_size: Float, user: String, group: String,
      creator: String, status: String, unmanaged_path: String, usage_mode: String,
      permission: String, ownership_type: String, cloneable: Boolean
    }
    type VirtualFolderList { items: [VirtualFolder], total_count: Int }
    """
)
_PAGE_LIMIT = 100


def answer(
    question: GraphQLQuery, sessions: Sessions, access_key: str
) -> tuple[dict[str, Any], list[str]]:
    """The data of a query and what went wrong with it. A key pair sees its own kernels."""

    def wanted(asked: str | None, status: str | None) -> list[dict[str, Any]]:
        if asked not in (None, access_key):
            return []
        rows = [_row(item) for item in sessions.running(access_key)]
        rows += [_ended_row(item) for item in sessions.store.ended(access_key)]
        names = {name.strip() for name in status.split(",")} if status else None
        return [row for row in rows if names is None or row["status"] in names]

    def compute_sessions(_info: object, **asked: Any) -> list[dict[str, Any]]:
        return wanted(asked.get("access_key"), asked.get("status"))

    def compute_session_list(
        _info: object, limit: int, offset: int, **asked: Any
    ) -> dict[str, Any]:
        rows = wanted(asked.get("access_key"), asked.get("status"))
        page = rows[max(offset, 0) :][: min(limit, _PAGE_LIMIT)]
        return {"items": page, "total_count": len(rows)}

    def listed(which: Callable[[Folder], bool]) -> Callable[..., dict[str, Any]]:
        def resolve(_info: object, limit: int, offset: int, **asked: Any) -> dict[str, Any]:
            rows = folders(asked.get("access_key"), which)
            page = rows[max(offset, 0) :][: min(limit, _PAGE_LIMIT)]
            return {"items": page, "total_count": len(rows)}

        return resolve

    def folders(asked: str | None, which: Callable[[Folder], bool]) -> list[dict[str, Any]]:
        if asked not in (None, access_key):
            return []
        found = sessions.folders.of_user(access_key)
        return [_folder_row(item, sessions.folders) for item in found if which(item)]

    root = {
        "compute_sessions": compute_sessions,
        "compute_session_list": compute_session_list,
        "vfolders": lambda _info, access_key=None: folders(access_key, lambda item: item.is_owner),
        "vfolder_list": listed(lambda _item: True),
        "vfolder_own_list": listed(lambda item: item.is_owner),
        "vfolder_invited_list": listed(lambda item: not item.is_owner),
    }
    # Variables that the query does not declare are passed over: client 1.1.1 always sends one.
    result = graphql_sync(
        _SCHEMA, question.text, root_value=root, variable_values=dict(question.variables)
    )
    return result.data or {}, [error.message for error in result.errors or ()]


def _row(session: Session) -> dict[str, Any]:
    return _common(session.session_id, session.token, session.access_key, session.runtime.name) | {
        "created_at": session.created_at.isoformat(),
        "status": "RUNNING",
        "status_changed": session.created_at.isoformat(),
        "num_queries": session.queries,
        "cpu_used": 0,
    }


def _ended_row(session: EndedSession) -> dict[str, Any]:
    return _common(session.session_id, session.token, session.access_key, session.runtime) | {
        "created_at": session.created_at,
        "terminated_at": session.terminated_at,
        "status": "TERMINATED",
        "status_changed": session.terminated_at,
        "cpu_used": session.cpu_ms,
    }


def _folder_row(folder: Folder, folders: VFolders) -> dict[str, Any]:
    def measured(which: int) -> Callable[..., int]:
        # Called only when the field is asked for: it looks at every file.
        return lambda _info: measure(folders.files_of(folder))[which]

    return {
        "id": folder.folder_id,
        "host": HOST,
        "name": folder.name,
        "user": folder.owner,
        "creator": folder.owner,
        "status": "ready",
        "usage_mode": folder.usage_mode,
        "permission": folder.permission,
        "ownership_type": "user",
        "max_files": 0,
        "max_size": folders.quota_of(folder) // 1024,  # KiB (section 8.2)
        "created_at": folder.created_at,
        "num_files": measured(0),
        "cur_size": measured(1),
        "cloneable": folder.cloneable,
    }


def _common(session_id: str, token: str, access_key: str, runtime: str) -> dict[str, Any]:
    return {
        "id": session_id,
        "session_id": session_id,
        "sess_id": token,
        "name": token,
        "lang": runtime,
        "image": runtime,
        "access_key": access_key,
        "role": "master",
        "type": "INTERACTIVE",
        "agent": "local",
        "domain_name": "default",
        "group_name": "default",
        "result": "UNDEFINED",
        "mem_slot": 0,
        "cpu_slot": 1,
        "gpu_slot": 0,
        "occupied_slots": "{}",
        "occupying_slots": "{}",
    }
