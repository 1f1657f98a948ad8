"""Authorization headers: those of requests that follow each other, as well."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backendai_trio.config.endpoints import parse_endpoint
from backendai_trio.config.settings import Config, Endpoint
from backendai_trio.transport.auth import authorization_of
from backendai_trio.wire.http import JSON, OCTETS, Request
from backendai_trio.wire.signing import Signed, sign

ENDPOINTS = (parse_endpoint("http://127.0.0.1:8081/base"), parse_endpoint("https://a.example"))
CONFIG = Config(ENDPOINTS[0], "AKIA" + "X" * 16, "secret" * 7, other_endpoints=ENDPOINTS[1:])
DATES = ("2026-11-29T10:00:00+00:00", "2026-11-29T10:00:01+00:00")
FORM = "multipart/form-data; boundary=x"

requests = st.tuples(
    st.builds(
        Request,
        st.sampled_from(("GET", "POST")),
        st.sampled_from(("/v2/kernel/a", "/v2/kernel/b")),
        st.just(()),
        st.sampled_from((b"", b"{}", b"[1]")),
        st.sampled_from((JSON, OCTETS, FORM)),
    ),
    st.sampled_from(ENDPOINTS),
    st.sampled_from(DATES),
    st.sampled_from(("v2.20170315", "v4.20190615")),
    st.sampled_from((None, "0" * 64, "1" * 64)),
)


@given(st.lists(requests, max_size=8))
def test_each_request_is_signed_for_itself(
    sequence: list[tuple[Request, Endpoint, str, str, str]],
) -> None:
    """Whatever came before it, also within the same second."""
    authorization = authorization_of(CONFIG)
    for request, endpoint, date, version, digest in sequence:
        signed = Signed(
            request.method,
            endpoint.base_path + request.target,
            date,
            endpoint.host_header,
            request.content_type,
            version,
            body=request.body,
            body_digest=digest,
        )
        headers = authorization.headers(
            request, endpoint, date=date, version=version, body_digest=digest
        )
        expected = sign(signed, access_key=CONFIG.access_key, secret_key=CONFIG.secret_key)
        assert headers == {"Authorization": expected}
