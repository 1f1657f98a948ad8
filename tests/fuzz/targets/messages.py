"""JSON, events and messages of WebSockets, in both directions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from backendai_trio.errors import BackendError, LocalProtocolError, RemoteProtocolError
from backendai_trio.wire import (
    admin_lists,
    announcements,
    apps,
    background_tasks,
    batch_jobs,
    containers,
    dotfiles,
    events,
    execution,
    files,
    graphql,
    http,
    json_fields,
    kernel_names,
    kernel_states,
    kernels,
    logins,
    manager_streams,
    own_projects,
    resources,
    resumable,
    services,
    session_templates,
    ssh_keypair,
    status_details,
    vfolder_files,
    vfolder_requests,
    vfolder_sharing,
    vfolders,
)
from backendai_trio.wire.json_fields import Fields
from backendai_trio.wire.run_state import RunState
from backendai_trio.wire.versions import SESSION_6, Hello, choose_era

from ..choices import Choices, pieces
from ..hostile_json import HOSTILE, with_hostile_value


def _object(body: bytes) -> dict[str, Any]:
    return dict(Fields.parse(body, "fuzz").everything())


def _request_of_execution(body: bytes) -> object:
    request = execution.ExecuteRequest.decode(body)
    _ = request.window, request.stdio, request.shows_value
    return request.encode(), request.batch_options()


def _reply_of_execution(body: bytes) -> object:
    reply = execution.ExecuteReply.decode(body)
    return reply.encode(), RunState(execution.ExecuteRequest("query", "run")).feed(reply)


def _kernel_request(body: bytes) -> object:
    request = kernels.CreateRequest.decode(body)
    assert kernels.CreateRequest.decode(request.encode(SESSION_6)).token == request.token
    return request


def _query(body: bytes) -> object:
    return graphql.GraphQLQuery.decode(body).encode()


DECODERS: dict[str, Callable[[bytes], object]] = {
    # What clients send.
    "execute": _request_of_execution,
    "create": _kernel_request,
    "graphql": _query,
    "paths": lambda body: files.PathsRequest.decode(body, ()),
    "mkdir": lambda body: vfolder_files.MakeDirectory.decode(body, SESSION_6),
    "remove": vfolder_files.RemoveFiles.decode,
    "move": vfolder_files.MoveFile.decode,
    "rename": vfolder_files.RenameFile.decode,
    "file": vfolder_files.FileRequest.decode,
    "archive": vfolder_files.ArchiveRequest.decode,
    "create folder": vfolders.CreateVFolder.decode,
    "clone": vfolder_requests.CloneVFolder.decode,
    "options": vfolder_requests.ChangeOptions.decode,
    "invite": vfolder_sharing.Invite.decode,
    "login": logins.LoginRequest.decode,
    "service": services.StartService.decode,
    "template": session_templates.decode_payload,
    "batch job": lambda body: batch_jobs.BatchJob.decode(Fields.parse(body, "fuzz")),
    "service options": lambda body: services.ServiceOptions.decode(_object(body)),
    "shutdown": lambda body: services.decode_shutdown(_object(body)),
    # What servers send.
    "hello": lambda body: choose_era(Hello.decode(body)),
    "execution": _reply_of_execution,
    "created": lambda body: kernels.CreateReply.decode(body, "token"),
    "info": kernels.KernelInfo.decode,
    "statistics": kernels.Statistics.decode,
    "answer": lambda body: graphql.decode_answer(body, "fuzz"),
    "listing": files.Listing.decode,
    "digests": files.decode_digests,
    "ticket": vfolder_files.Ticket.decode,
    "cloned": vfolder_requests.Cloned.decode,
    "hosts": vfolder_requests.StorageHosts.decode,
    "types": vfolder_requests.decode_types,
    "apps": apps.decode_apps,
    "matches": kernel_names.decode_matches,
    "dotfiles": dotfiles.decode_dotfiles,
    "announcement": announcements.decode_announcement,
    "keypair": ssh_keypair.SSHKeyPair.decode,
    "login reply": logins.LoginReply.decode,
    "service address": services.ServiceAddress.decode,
    "presets": resources.CheckPresets.decode,
    "cluster": resources.ClusterResources.decode,
    "limits": lambda body: resources.KeyPairLimits.decode(_object(body)),
    "folder": lambda body: vfolders.VFolderInfo.decode(_object(body)),
    "invitation": lambda body: vfolder_sharing.Invitation.decode(_object(body)),
    "session": lambda body: admin_lists.SessionRow.decode(_object(body)),
    "state": lambda body: kernel_states.KernelState.decode(_object(body)),
    "containers": lambda body: containers.decode_containers(_object(body)),
    "projects": lambda body: own_projects.OwnProjects.decode(_object(body)),
    "status": lambda body: status_details.StatusDetails.decode(_object(body)),
    "templates": session_templates.decode_templates,
    "template made": session_templates.decode_created,
    "problem": lambda body: http.decode_problem(http.Response(400, http.PROBLEM, body, {})),
    "task": lambda body: background_tasks.TaskEvent.decode(
        events.Message("bgtask_done", body.decode("latin-1"))
    ),
}


def json(data: bytes) -> None:
    """Each message is read, or refused by an error of the library that says what was wrong."""
    choices = Choices(data)
    name, decode = choices.pick(list(DECODERS.items()))
    body = choices.rest()
    if place := choices.byte():
        body = with_hostile_value(body, place - 1, choices.pick(HOSTILE))
    try:
        decode(body)
    except BackendError as exc:
        assert str(exc), name
        str(exc).encode("utf-8", "surrogatepass")
    try:
        value = json_fields.decode_json(body, "fuzz")
    except RemoteProtocolError:
        return
    text = json_fields.encode_json(value)
    assert json_fields.encode_json(json_fields.decode_json(text, "fuzz")) == text


def websocket(data: bytes) -> None:
    """Messages of terminals, executions and resumable streams; what is read is written the same."""
    choices = Choices(data)
    kind, is_text = choices.below(8), choices.flag()
    raw = choices.rest()
    frame: str | bytes = raw.decode("utf-8", "replace") if is_text else raw
    try:
        match kind:
            case 0:
                message = resumable.decode_from_client(frame)
                assert resumable.decode_from_client(resumable.encode_frame(message)) == message
            case 1:
                sent = resumable.decode_from_server(frame)
                assert resumable.decode_from_server(resumable.encode_frame(sent)) == sent
            case 2:
                typed = manager_streams.decode_typed(frame)
                if typed is not None:
                    again = manager_streams.decode_typed(manager_streams.encode_typed(typed))
                    assert again == typed
            case 3:
                out = manager_streams.decode_typed_out(frame)
                again_out = manager_streams.decode_typed_out(manager_streams.encode_typed_out(out))
                assert again_out == out
            case 4:
                manager_streams.decode_start(frame)
            case 5:
                manager_streams.decode_reply(frame)
            case 6:
                apps.is_end_of_stream(frame if isinstance(frame, str) else "")
            case _:
                _records(raw, choices)
    except BackendError as exc:
        assert str(exc)


def _records(raw: bytes, choices: Choices) -> None:
    whole = resumable.RecordParser().feed(raw)
    parser = resumable.RecordParser()
    parts = pieces(raw, [len(raw) // 3, len(raw) // 2])
    assert [item for part in parts for item in parser.feed(part)] == whole


_LINE_END = re.compile(rb"\r\n|\r|\n")


def sse(data: bytes) -> None:
    """Events: the same however they are cut, once each and in order, as the standard reads them."""
    choices = Choices(data)
    cuts = choices.cuts()
    stream = choices.rest()
    try:
        whole = _events([stream])
    except RemoteProtocolError:
        return
    assert _events(pieces(stream, cuts)) == whole
    assert [(item.event, item.data) for item in whole] == _by_the_standard(stream)
    for item in whole:
        try:
            events.SessionEvent.decode(item)
            background_tasks.TaskEvent.decode(item)
        except RemoteProtocolError:
            pass
        try:
            written = events.encode_message(item)
        except LocalProtocolError:
            continue  # not Unicode
        assert _events([written]) == [item]


def _events(parts: list[bytes]) -> list[events.Message]:
    parser = events.EventParser()
    found = []
    for part in parts:
        parser.feed(part)
        while (message := parser.next_message()) is not None:
            found.append(message)
    return found


def _by_the_standard(stream: bytes) -> list[tuple[str, str]]:
    """A plain reading of the whole stream (HTML standard, section 9.2.6)."""
    stream = stream.removeprefix(b"\xef\xbb\xbf")
    found, event, lines = [], "", list[str]()
    for raw in _LINE_END.split(stream)[:-1]:
        line = raw.decode("utf-8", "replace")
        if not line:
            text = "\n".join(lines)
            if event or text:
                found.append((event or "message", text))
            event, lines = "", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            event = value
        elif name == "data":
            lines.append(value)
    return found
