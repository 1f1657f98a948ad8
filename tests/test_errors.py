"""The tree of exceptions, and how answers of a server map onto it."""

from __future__ import annotations

import inspect

import pytest

from backendai_trio import errors
from backendai_trio.errors import (
    ApiError,
    AuthError,
    BackendError,
    ConfigError,
    InvalidRequest,
    NotFound,
    QuotaExceeded,
    ServerError,
    UploadError,
    api_error,
)


@pytest.mark.parametrize(
    ("status", "kind", "title", "unknown"),
    [
        (404, "image-not-found", "No such runtime", True),
        (500, "image-not-found", "", True),
        (404, "object-not-found", "No such environment image", True),
        (404, "entity-not-found", "No such Image", True),
        (404, "object-not-found", "No such virtual folder", False),
        (400, "object-not-found", "an image", False),
        (404, "", "no such image", False),
    ],
)
def test_unknown_runtimes(status: int, kind: str, title: str, unknown: bool) -> None:
    assert api_error(status, kind=kind, title=title).is_unknown_image == unknown


def test_every_exception_reaches_the_root() -> None:
    classes = [
        value
        for _, value in inspect.getmembers(errors, inspect.isclass)
        if issubclass(value, BaseException) and not issubclass(value, Warning)
    ]
    assert len(classes) >= 14
    for cls in classes:
        assert issubclass(cls, BackendError), cls
        assert cls.__name__ in errors.__all__


def test_every_class_is_exported_and_described() -> None:
    classes = {name for name, _ in inspect.getmembers(errors, inspect.isclass)}
    assert classes == set(errors.__all__)
    for name in classes:
        assert inspect.getdoc(getattr(errors, name)), name


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (400, "", InvalidRequest),
        (400, "generic-bad-request", InvalidRequest),
        (400, "invalid-api-params", InvalidRequest),
        (400, "graphql-error", InvalidRequest),
        (400, "kernel-already-exists", InvalidRequest),
        (400, "session-already-exists", InvalidRequest),
        (400, "invalid-auth-params", AuthError),
        (400, "quota-exceeded", QuotaExceeded),
        (401, "auth-failed", AuthError),
        (401, "", AuthError),
        (403, "generic-forbidden", AuthError),
        (403, "insufficient-privilege", AuthError),
        (404, "", NotFound),
        (404, "image-not-found", NotFound),
        (404, "kernel-not-found", NotFound),
        (404, "session-not-found", NotFound),
        (405, "method-not-allowed", InvalidRequest),
        (409, "vfolder-already-exists", InvalidRequest),
        (410, "vfolder-gone", NotFound),
        (412, "quota-exceeded", QuotaExceeded),
        (412, "", InvalidRequest),
        (429, "rate-limit-exceeded", QuotaExceeded),
        (429, "", QuotaExceeded),
        (500, "kernel-execution-failed", ServerError),
        (501, "not-implemented", ServerError),
        (502, "", ServerError),
        (503, "instance-not-available", ServerError),
        (504, "storage-proxy-timeout", ServerError),
        (302, "", InvalidRequest),
    ],
)
def test_mapping(status: int, kind: str, expected: type[ApiError]) -> None:
    error = api_error(
        status, kind=kind, title="T", detail="D", data={"a": [1]}, request="GET /session"
    )
    assert type(error) is expected
    assert (error.status, error.kind, error.title) == (status, kind, "T")
    assert (error.detail, error.data, error.request) == ("D", {"a": [1]}, "GET /session")


def test_every_status_has_a_class() -> None:
    for status in range(300, 600):
        error = api_error(status)
        assert type(error) in ApiError.__subclasses__()
        assert str(status) in str(error)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            api_error(404, kind="image-not-found", title="No such image", request="POST /session"),
            "No such image [POST /session -> 404 image-not-found]",
        ),
        (
            api_error(500, title="Failed", detail="disk full", request="GET /"),
            "Failed: disk full [GET / -> 500]",
        ),
        # A detail that the title repeats (seed servers put it there) is not said twice.
        (
            api_error(500, title="Failed (disk full)", detail="disk full"),
            "Failed (disk full) [500]",
        ),
        (api_error(503, kind="server-frozen"), "server-frozen [503 server-frozen]"),
        (api_error(502), "the server gave no reason [502]"),
    ],
)
def test_text_of_an_api_error(error: ApiError, text: str) -> None:
    assert str(error) == text


def test_errors_name_what_is_at_fault() -> None:
    config = ConfigError("BACKEND_ENDPOINT", "not a URL")
    assert config.variable == "BACKEND_ENDPOINT"
    assert str(config) == "BACKEND_ENDPOINT: not a URL"
    upload = UploadError("data/a.txt", "too large")
    assert upload.path == "data/a.txt"
    assert str(upload) == "data/a.txt: too large"


def test_warnings_are_no_errors() -> None:
    assert issubclass(errors.KernelLeftBehindWarning, RuntimeWarning)
    assert issubclass(errors.InsecureConnectionWarning, UserWarning)
