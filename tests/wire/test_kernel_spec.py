"""What a kernel shall be: mounts, and the keys of a create request, in both directions."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendai_trio.errors import LocalProtocolError, RemoteProtocolError
from backendai_trio.wire.kernel_spec import WORK_FOLDER, KernelSpec, Mount, check_spec
from backendai_trio.wire.kernels import CreateRequest
from backendai_trio.wire.versions import SEED, SESSION_5, SESSION_6, TRANSITION, Era, Hello

PYTHON = KernelSpec(runtime="python")
FULL = KernelSpec(
    runtime="python",
    environ={"A": "1"},
    mounts=("data", "more:/mnt/more:ro", f"big/part:{WORK_FOLDER}/part"),
    resources={"cpu": "2", "mem": "4g", "cuda.shares": "0.5"},
    resource_opts={"shmem": "1g"},
    project="physics",
    domain="science",
    resource_group="gpus",
    architecture="aarch64",
    cluster_size=2,
    cluster_mode="multi-node",
    preopen_ports=(8080, 9000),
    bootstrap_script="pip install x\n",
    tag="night",
    priority=5,
    dependencies=("0f1f2b1c-6a5d-4c1e-9c8f-2b7f4f1f8d11",),
    callback_url="http://127.0.0.1/told",
    agents=("i-1",),
    owner="AKIAOTHER",
)


# -- mounts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("data", Mount("data")),
        ("data:/mnt/data", Mount("data", "/mnt/data")),
        ("data:sub:ro", Mount("data", "sub", "ro")),
        ("data:rw", Mount("data", permission="rw")),
        ("data/a/b", Mount("data", subpath="a/b")),
        ("data/a:/x:wd", Mount("data", "/x", "wd", "a")),
    ],
)
def test_mounts_are_read(text: str, mount: Mount) -> None:
    assert Mount.parse(text) == mount
    assert str(mount) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":/x",
        "/a",
        "data/",
        "data:",
        "data::",
        "a:b:c",
        "a:b:c:ro",
        "a:ro:rw",
        "a:rw:ro",
        "a/b:wd:x:ro",
    ],
)
def test_malformed_mounts_are_refused(text: str) -> None:
    with pytest.raises(LocalProtocolError, match="write it as NAME"):
        KernelSpec(runtime="python", mounts=(text,))


def test_a_folder_is_mounted_once() -> None:
    """A create request has one path and one permission for each."""
    with pytest.raises(LocalProtocolError, match="'data': a folder can be mounted once"):
        KernelSpec(runtime="python", mounts=("data:/a:ro", "other", "data:/b"))
    KernelSpec(runtime="python", mounts=("data/x:/a", "data/y:/b"))


# -- on the wire ----------------------------------------------------------------------------------


def test_every_key() -> None:
    body = json.loads(CreateRequest("lab1", FULL).encode(SESSION_6))
    assert body == {
        "name": "lab1",
        "image": "python",
        "reuseIfExists": True,
        "group": "physics",
        "domain": "science",
        "architecture": "aarch64",
        "bootstrap_script": "pip install x\n",
        "tag": "night",
        "dependencies": ["0f1f2b1c-6a5d-4c1e-9c8f-2b7f4f1f8d11"],
        "callback_url": "http://127.0.0.1/told",
        "owner_access_key": "AKIAOTHER",
        "cluster_size": 2,
        "cluster_mode": "multi-node",
        "priority": 5,
        "config": {
            "mounts": ["data", "more", "big/part"],
            "mount_map": {"more": "/mnt/more", "big/part": f"{WORK_FOLDER}/part"},
            "mount_options": {"more": {"type": "bind", "permission": "ro"}},
            "environ": {"A": "1"},
            "resources": {"cpu": "2", "mem": "4g", "cuda.shares": "0.5"},
            "resource_opts": {"shmem": "1g"},
            "scaling_group": "gpus",
            "preopen_ports": [8080, 9000],
            "agent_list": ["i-1"],
        },
    }


@pytest.mark.parametrize("era", [SEED, TRANSITION, SESSION_5, SESSION_6], ids=lambda era: era.name)
def test_what_is_not_asked_for_is_not_sent(era: Era) -> None:
    """Managers refuse keys that they do not know."""
    body = json.loads(CreateRequest("lab1", PYTHON).encode(era))
    resources = {} if era is SEED else {"resources": {}}
    assert body["config"] == resources
    known = {"lang", "clientSessionToken", "name", "image", "reuseIfExists", "config"}
    assert set(body) <= known


@given(
    st.builds(
        KernelSpec,
        runtime=st.just("python"),
        environ=st.just({"A": "1"}),
        mounts=st.lists(
            st.sampled_from(("data", "more:/mnt/more:ro", "big/part:wd")), unique=True
        ).map(tuple),
        resources=st.dictionaries(st.sampled_from(("cpu", "mem", "x.y")), st.just("1g")),
        resource_opts=st.dictionaries(st.just("shmem"), st.just("64m")),
        project=st.sampled_from(("", "a")),
        domain=st.sampled_from(("", "b")),
        resource_group=st.sampled_from(("", "c")),
        architecture=st.sampled_from(("", "aarch64")),
        cluster_size=st.integers(1, 9),
        cluster_mode=st.sampled_from(("single-node", "multi-node")),
        preopen_ports=st.lists(st.integers(1024, 65535), max_size=3).map(tuple),
        bootstrap_script=st.text(max_size=20),
        tag=st.text(max_size=5),
        priority=st.none() | st.integers(-100, 100),
        dependencies=st.sampled_from(((), ("x", "y"))),
        callback_url=st.sampled_from(("", "http://127.0.0.1/")),
        agents=st.sampled_from(((), ("i-1",))),
        owner=st.sampled_from(("", "AKIA")),
    )
)
def test_round_trip(spec: KernelSpec) -> None:
    request = CreateRequest("lab1", spec)
    assert CreateRequest.decode(request.encode(SESSION_6)) == request


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": "a", "image": "python", "bootstrap_script": 5}',
        b'{"name": "a", "image": "python", "config": {"preopen_ports": ["x"]}}',
        b'{"name": "a", "image": "python", "config": {"preopen_ports": [1]}}',
        b'{"name": "a", "image": "python", "config": {"mounts": ["a:b:c:d"]}}',
        b'{"name": "a", "image": "python", "cluster_size": 0}',
    ],
)
def test_malformed_requests_are_refused(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        CreateRequest.decode(body)


def test_ports_of_official_clients_are_read() -> None:
    body = b'{"name": "a", "image": "python", "config": {"preopen_ports": ["8080", 9000]}}'
    assert CreateRequest.decode(body).spec.preopen_ports == (8080, 9000)


def test_a_bootstrap_script_has_to_be_text() -> None:
    with pytest.raises(LocalProtocolError, match="bootstrap script is not text in UTF-8"):
        KernelSpec(runtime="python", bootstrap_script="gr\udcfc")


def test_a_bare_number_of_memory_counts_mebibytes() -> None:
    spec = replace(PYTHON, resources={"mem": "512", "cpu": "2"}, resource_opts={"shmem": "64"})
    config = json.loads(CreateRequest("a", spec).encode(SESSION_6))["config"]
    assert config["resources"] == {"mem": "512m", "cpu": "2"}
    assert config["resource_opts"] == {"shmem": "64m"}


# -- what a release can do ------------------------------------------------------------------------

NEWEST = Hello("v9.20250722", "26.9.6")


@pytest.mark.parametrize(
    ("asked", "before", "since"),
    [
        ({"resources": {"cpu": "1"}}, "v3.20170615", Hello("v4.20181215")),
        ({"resource_opts": {"shmem": "1g"}}, "v4.20181215", Hello("v4.20190315", "19.03.0")),
        ({"resource_group": "a"}, "v4.20181215", Hello("v4.20190315", "19.03.0")),
        ({"tag": "a"}, "v3.20170615", Hello("v4.20190315", "19.03.0")),
        ({"project": "a"}, "v4.20190315", Hello("v4.20190615", "19.06.0")),
        ({"domain": "a"}, "v4.20190315", Hello("v4.20190615", "19.06.0")),
        ({"owner": "a"}, "v4.20190315", Hello("v4.20190615", "19.06.0")),
        ({"mounts": ("a:/b",)}, "v4.20190615", Hello("v5.20191215", "20.03.0")),
        ({"preopen_ports": (8080,)}, "v4.20190615", Hello("v5.20191215", "20.03.0")),
        ({"bootstrap_script": "a"}, "v4.20190615", Hello("v5.20191215", "20.03.0")),
        ({"mounts": ("a:ro",)}, "v7.20230615", Hello("v8.20240315", "24.03.0")),
        ({"cluster_size": 2}, "v5.20191215", Hello("v6.20200815", "20.09.0")),
        ({"cluster_mode": "multi-node"}, "v5.20191215", Hello("v6.20200815", "20.09.0")),
        ({"dependencies": ("a",)}, "v5.20191215", Hello("v6.20200815", "20.09.0")),
        ({"agents": ("a",)}, "v5.20191215", Hello("v6.20200815", "20.09.0")),
        ({"architecture": "aarch64"}, "v6.20210815", Hello("v6.20220315", "22.03.0")),
        ({"callback_url": "a"}, "v6.20220315", Hello("v6.20220615", "22.09.0")),
        ({"priority": 1}, "v8.20240315", Hello("v8.20240915", "24.09.0")),
        ({"mounts": ("a/b",)}, "v9.20250722", Hello("v9.20250722", "26.4.4")),
    ],
    ids=str,
)
def test_what_a_release_cannot_do_is_refused(
    asked: dict[str, object], before: str, since: Hello
) -> None:
    spec = replace(PYTHON, **asked)  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError, match="managers can from"):
        check_spec(Hello(before), spec)
    check_spec(since, spec)
    check_spec(NEWEST, spec)


def test_the_newest_can_do_all_of_it() -> None:
    check_spec(NEWEST, FULL)
    check_spec(Hello("v3.20170615"), replace(PYTHON, mounts=("data",), environ={"A": "1"}))
