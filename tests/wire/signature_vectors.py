"""Recorded signatures of official clients, any requests, and how the tests check signatures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta, timezone
from typing import NamedTuple

import pytest
from hypothesis import strategies as st

from backendai_trio.wire.signing import SignatureRefused, Signed, parse_date, verify

ACCESS = "AKIAEXAMPLE000000000"
SECRET = "exampleSecretKey0123456789abcdefghijklmn"
HASHES = sorted(name for name in hashlib.algorithms_guaranteed if not name.startswith("shake"))
EARLY = "2017-11-22T09:30:15.123456+00:00"
MIDDLE = "2018-11-22T09:30:15.123456+00:00"
TODAY = "2026-08-23T02:14:19.654321+00:00"
HASH_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
CREATE = (
    b'{"lang": "python3", "clientSessionToken": "mysession01", '
    b'"config": {"mounts": null, "envs": null}}'
)
EXECUTE = b'{"mode": "query", "code": "1+1", "runId": null}'
FORM = b"--x\r\nnot hashed\r\n--x--\r\n"


class Vector(NamedTuple):
    name: str
    method: str
    target: str
    date: str
    host: str
    content_type: str
    version: str
    body: bytes
    signature: str
    hash_name: str = "sha256"
    body_hash: str = HASH_OF_NOTHING

    @property
    def request(self) -> Signed:
        return Signed(
            method=self.method,
            target=self.target,
            date=self.date,
            host=self.host,
            content_type=self.content_type,
            version=self.version,
            body=self.body,
        )


VECTORS = [
    Vector(
        "A1",
        "POST",
        "/v2/kernel/create",
        EARLY,
        "api.backend.ai",
        "application/json",
        "v2.20170315",
        CREATE,
        "34507b8c38ca5615bcd35a732fe5eddc1b5a22a1293323d24f9676f644c1f69c",
        body_hash="84e7206a72db5281492b8eb6202a1fcf1d2c1668821f122bfa68ac78e0ac8420",
    ),
    Vector(
        "A2",
        "GET",
        "/v2/kernel/mysession01",
        EARLY,
        "api.backend.ai",
        "application/octet-stream",
        "v2.20170315",
        b"",
        "148c5e2fea044f9f6e27ad0fd17b4ee75a87dd175a6dbf57a2719aef602ae67c",
    ),
    Vector(
        "A3",
        "POST",
        "/v2/kernel/mysession01/upload",
        EARLY,
        "api.backend.ai",
        "multipart/form-data",
        "v2.20170315",
        FORM,
        "99533f0b865a0f61ecac00ba92682c1973b076d878d15cbfe1ccd22091c314de",
    ),
    Vector(
        "A4",
        "DELETE",
        "/v2/kernel/mysession01",
        EARLY,
        "127.0.0.1:8081",
        "application/octet-stream",
        "v2.20170315",
        b"",
        "d07da265884ece20888e6a1e89062e143ddb1b3537211bd67322c814281b5164"
        "d68026af57de241bd56c7a377fda73dc37093bfb39a682cf3a3221464da82e90",
        "sha512",
        hashlib.sha512().hexdigest(),
    ),
    Vector(
        "A5",
        "PATCH",
        "/v2/kernel/mysession01",
        "2017-11-23T00:30:15+09:00",
        "api.backend.ai",
        "application/octet-stream",
        "v2.20170315",
        b"",
        "bc0b265ddb0d14f64e14329656cb9b4abdb51c406d9426d0f2bc50b925b48c8f",
    ),
    Vector(
        "B1",
        "POST",
        "/kernel/mysession01",
        MIDDLE,
        "api.backend.ai",
        "application/json",
        "v3.20170615",
        EXECUTE,
        "d50dc6ccf7d0f859bb477e5852734be43cb864474422c865ac376ea1331164be",
        body_hash="c4d04181b09b048e31e844835d41127cb096bff38729bc4edda8e16d74b064e4",
    ),
    Vector(
        "B2",
        "POST",
        "/kernel/mysession01/upload",
        MIDDLE,
        "127.0.0.1:8081",
        "multipart/form-data",
        "v3.20170615",
        FORM,
        "ba91fa25daae4d3adf4e4881bc5e46399f6d8bb41c7781f46082ddf3f2ec4e4d",
    ),
    Vector(
        "B3",
        "POST",
        "/kernel/mysession01",
        MIDDLE,
        "api.backend.ai",
        "application/json",
        "v4.20181215",
        EXECUTE,
        "3e51dc81212bb0351d39d0bb670962106af80cf9a2e95738a2e60fd5a0c82412",
    ),
    Vector(
        "C1",
        "POST",
        "/session",
        TODAY,
        "api.example.com",
        "application/json",
        "v9.20250722",
        b'{"name": "not hashed"}',
        "53243e92b95d352ca52f5959342888fe54d0655b5a5b48042075979dda0a9b59",
    ),
    Vector(
        "C2",
        "GET",
        "/session/my-session/files?path=a+b/%C3%BC&owner_access_key=AKIAOTHER",
        TODAY,
        "api.example.com",
        "text/plain",
        "v9.20250722",
        b"",
        "630bcf39104ca281fb4ace5e01e10bb49840961529ba8bd1c13e0e872f53b8e6",
    ),
    Vector(
        "C3",
        "POST",
        "/session/my-session/upload",
        TODAY,
        "127.0.0.1:8081",
        "multipart/form-data",
        "v5.20191215",
        FORM,
        "0a13cf33682afa7699b1a52597875188489d021cd9a58956656d99ad13e98024",
    ),
    Vector(
        "C4",
        "GET",
        "/stream/session/my-session/pty",
        TODAY,
        "127.0.0.1:8081",
        "application/octet-stream",
        "v5.20191215",
        b"",
        "2602e958faafe67b2ab2249774c2ed5fb2c57e94f36532968e8fb22b592d278a",
    ),
    Vector(
        "C5",
        "POST",
        "/backend/admin/gql",
        TODAY,
        "proxy.example.com",
        "application/json",
        "v6.20200815",
        b'{"query": "not hashed"}',
        "9280ffd6c03b6f7eb5d2149347bf94973b593a2a77a2807006f141aef8a280a2"
        "605d5776946bf919d874c99bf0abfc7b94fb43de509da063fceb1c13d1258668",
        "sha512",
        hashlib.sha512().hexdigest(),
    ),
]
each_vector = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
# Keys that were published beside some of the vectors: name -> (day, k1, k2).
KEYS = {
    "A1": (
        "20171122",
        "40d74004c02cfd9b1741f19fe0937d52db51da5f4c1815f9ff593d69df62abf2",
        "71d71a7826a2c52e3f945089dc4fb1391c5a496a60bc24ac201e88f5adfa91d4",
    ),
    "A5": (
        "20171123",
        "a269bd8a516f4db9805468a3acca4d695361dfc1a5f8e9a1949b551f44bccde0",
        "beb8a93a52b62e16b1aa11f259ad256253d4d3a7afb126ee36121913fea66f51",
    ),
    "B1": (
        "20181122",
        "549b02d19b499e63c73c45ca6ab4e785da6a56272178c10e75dc665dd02ab2b3",
        "d0d7db818eb9a2a8e20291bfc93cd0aae3d96d5bb0911573136eaffa6e15fe6d",
    ),
    "C1": (
        "20260823",
        "877568115ed52c55cc9b0588b20dc7d3abd11edc14071d5d9ddad67df9640f25",
        "3e79bb04928ce7d08788c1b8951846c7853972e1ab6f1bbbac5d9e3e53829653",
    ),
    "C3": (
        "20260823",
        "877568115ed52c55cc9b0588b20dc7d3abd11edc14071d5d9ddad67df9640f25",
        "eb3ffe8b6f327c8568bf0b1c5f60936f64253119fa85ad56f64b4dc23ce414f0",
    ),
}


def known(access_key: str) -> str | None:
    return SECRET if access_key == ACCESS else None


def check(
    request: Signed,
    authorization: str | None,
    *,
    after: timedelta = timedelta(0),
    secret_key_of: Callable[[str], str | None] = known,
) -> str:
    """Verify at the moment the request was dated, or some time after."""
    now = parse_date(request.date) + after
    return verify(request, authorization, now=now, secret_key_of=secret_key_of)


def refusal(
    request: Signed, authorization: str | None, *, after: timedelta = timedelta(0)
) -> SignatureRefused:
    with pytest.raises(SignatureRefused) as caught:
        check(request, authorization, after=after)
    return caught.value


# Strategies: any request that can be signed.
header_lines = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"), max_size=30
)
_zones = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
dates = st.builds(lambda date, zone: date.replace(tzinfo=zone).isoformat(), st.datetimes(), _zones)
requests = st.builds(
    Signed,
    method=st.sampled_from(["GET", "POST", "PATCH", "DELETE", "PUT"]),
    target=header_lines,
    date=dates,
    host=header_lines,
    content_type=st.sampled_from(
        ["application/json", "multipart/form-data; boundary=x", "text/plain", ""]
    )
    | header_lines,
    version=st.sampled_from(["v2.20170315", "v3.20170615", "v4.20181215", "v9.20250722"])
    | header_lines,
    version_header=st.sampled_from(["x-backendai-version", "x-sorna-version"]),
    body=st.binary(max_size=40),
)
