"""Why the requests of ours are not those of the official clients, field by field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backendai_trio.wire.kernel_spec import WORK_FOLDER

from .request_differences import ABSENT, EVERYWHERE, Difference

__all__ = ["reasons"]

CREATE = "POST /session"


@dataclass(frozen=True)
class Reason:
    """Why some fields differ."""

    text: str
    differences: Sequence[Difference]
    era: str = ""
    """The only one where they do."""


def _only(client: str, *requests: str) -> list[Difference]:
    values = ("sent", ABSENT) if client == "theirs" else (ABSENT, "sent")
    return [Difference(where, "only", *values) for where in requests]


def _created(*fields: tuple[str, str, str]) -> list[Difference]:
    return [Difference(CREATE, f"body.{key}", theirs, ours) for key, theirs, ours in fields]


def _unasked(value: str, *keys: str) -> list[Difference]:
    return _created(*((key, value, ABSENT) for key in keys))


REASONS = (
    Reason(
        "the requests of ours mean the same in every version from v6.20200815 on, and a manager "
        "that does not know a newer one refuses it",
        [Difference(EVERYWHERE, "header x-backendai-version", "v7.20230615", "v6.20200815")],
        era="23.09",
    ),
    Reason(
        "as before",
        [Difference(EVERYWHERE, "header x-backendai-version", "v9.20250722", "v6.20200815")],
        era="26.9",
    ),
    Reason(
        "managers do not read it (read in 23.9.10 and 26.9.6)",
        [Difference(EVERYWHERE, "header x-backendai-domain", "default", ABSENT)],
    ),
    Reason(
        "a type is signed with each request; of one without a body it tells nothing",
        [Difference(EVERYWHERE, "header content-type", "text/plain", "application/octet-stream")],
    ),
    Reason(
        "ours takes answers as they are, and servers send them so where these headers are missing",
        [
            Difference(EVERYWHERE, "header accept", "*/*", ABSENT),
            Difference(EVERYWHERE, "header accept-encoding", "gzip, deflate", ABSENT),
        ],
    ),
    Reason(
        "ours sends what is asked for, and no more: managers up to 26.2 refuse keys that they do "
        "not know, and all of them know what is meant where there is none",
        [
            *_unasked("null", "bootstrap_script", "callback_url", "owner_access_key", "starts_at"),
            *_unasked("null", "startupCommand", "tag", "config.preopen_ports"),
            *_unasked("null", "config.scalingGroup"),
            *_unasked("[]", "dependencies", "config.mounts"),
            *_unasked("{}", "config.environ", "config.mount_map", "config.resource_opts"),
            *_unasked('"default"', "domain", "group"),
            *_unasked('"interactive"', "type"),
            *_unasked('"x86_64"', "architecture"),
            *_unasked('"single-node"', "clusterMode"),
            *_unasked("1", "clusterSize"),
            *_unasked("0", "maxWaitSeconds"),
        ],
    ),
    Reason(
        "as before; the client of 26.9.6 sends more keys",
        [
            *_unasked("null", "config.attach_network"),
            *_unasked("[]", "config.mount_ids"),
            *_unasked("{}", "config.mount_id_map", "config.mount_options"),
            *_unasked(
                '"bind"',
                "config.mount_options.data.type",
                "config.mount_options.models.type",
            ),
        ],
        era="26.9",
    ),
    Reason(
        "another spelling, which managers read as well: ours has one for all keys",
        _created(
            ("clusterMode", '"multi-node"', ABSENT),
            ("cluster_mode", ABSENT, '"multi-node"'),
            ("clusterSize", "2", ABSENT),
            ("cluster_size", ABSENT, "2"),
            ("config.agentList", '["i-local"]', ABSENT),
            ("config.agent_list", ABSENT, '["i-local"]'),
            ("config.scalingGroup", '"default"', ABSENT),
            ("config.scaling_group", ABSENT, '"default"'),
        ),
    ),
    Reason(
        "ports are numbers; 26.9.6 reads texts as well, 23.9.10 does not (read in both)",
        _created(("config.preopen_ports", '["9000", "9001"]', "[9000, 9001]")),
    ),
    Reason(
        "ours is answered at once, follows the session while it waits, and counts the time itself; "
        "when there is no such image, it asks which ones there are",
        [
            *_created(("enqueueOnly", "false", "true"), ("maxWaitSeconds", "30", ABSENT)),
            *_only("ours", "POST /admin/gql"),
        ],
    ),
    Reason(
        "a batch session is never somebody's that is there already, whose command is another one",
        _created(("reuseIfExists", "true", "false")),
    ),
    Reason(
        "the same number; managers read both",
        _created(("batch_timeout", '"60"', "60.0")),
        era="26.9",
    ),
    Reason(
        "ours says the whole path; managers put one that is relative below the work folder",
        _created(("config.mount_map.data", '"in"', f'"{WORK_FOLDER}/in"')),
        era="26.9",
    ),
    Reason(
        "a session is looked up by its name first and ended by its id, so that it is no other one: "
        "managers from 20.09 to 22.09 take a name for the beginning of others",
        [
            *_only("ours", "GET /session/{session}", "GET /session/_/match"),
            Difference("DELETE /session/{session}", "path", "/session/lab-one", "/session/UUID"),
            Difference("DELETE /session/{session}", "path", "/session/lab-job", "/session/UUID"),
        ],
    ),
    Reason(
        "the answer to a create leaves out what ours shows of a new folder",
        _only("ours", "GET /folders/{folders}"),
    ),
    Reason(
        "the client of 23.9.10 asks for no limit, and that is the default",
        [Difference("POST /folders", "body.quota", '"0"', ABSENT)],
        era="23.09",
    ),
    Reason(
        "a name in a path leads to a folder of the user's own, as the id does",
        [
            Difference(
                "POST /folders/{folders}/request-upload",
                "path",
                "/folders/ID/request-upload",
                "/folders/data/request-upload",
            )
        ],
        era="26.9",
    ),
    Reason(
        "for an administrator the official look-up of an id finds folders of other users; ours "
        "looks into the list of the user's own",
        [*_only("theirs", "GET /folders/_/id"), *_only("ours", "GET /folders")],
        era="26.9",
    ),
)


def reasons(era: str) -> dict[Difference, str]:
    """The differences that are known for a manager, and why they are there.

    Args:
        era: as `serve --era` names it.
    """
    found: dict[Difference, str] = {}
    for reason in REASONS:
        if reason.era in ("", era):
            found |= dict.fromkeys(reason.differences, reason.text)
    return found
