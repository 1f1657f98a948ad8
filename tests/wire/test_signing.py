"""Signatures: recorded vectors of official clients, round trips, and everything that is refused."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from backendai_trio.wire.signing import (
    Credential,
    SignatureRefused,
    Signed,
    body_is_signed,
    parse_authorization,
    parse_date,
    sign,
    verify,
)

quick = settings(deadline=None, max_examples=50)

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


# --- vectors -------------------------------------------------------------------------------------


@each_vector
def test_signature_of_official_clients(vector: Vector) -> None:
    header = sign(vector.request, access_key=ACCESS, secret_key=SECRET, hash_name=vector.hash_name)
    assert header == (
        f"BackendAI signMethod=HMAC-{vector.hash_name.upper()}, "
        f"credential={ACCESS}:{vector.signature}"
    )


@each_vector
def test_string_to_sign(vector: Vector) -> None:
    assert vector.request.text(vector.hash_name) == "\n".join(
        (
            vector.method,
            vector.target,
            vector.date,
            f"host:{vector.host}",
            f"content-type:{vector.content_type}",
            f"x-backendai-version:{vector.version}",
            vector.body_hash,
        )
    )


@pytest.mark.parametrize("name", sorted(KEYS))
def test_signing_keys(name: str) -> None:
    """The published k1 and k2 stand between the secret key and the signature."""
    vector = next(vector for vector in VECTORS if vector.name == name)
    day, k1, k2 = KEYS[name]
    assert hmac.digest(SECRET.encode(), day.encode(), "sha256").hex() == k1
    assert hmac.digest(bytes.fromhex(k1), vector.host.encode(), "sha256").hex() == k2
    text = vector.request.text("sha256").encode()
    signature = hmac.digest(bytes.fromhex(k2), text, "sha256").hex()
    assert signature == vector.signature
    assert sign(vector.request, access_key=ACCESS, secret_key=SECRET).endswith(f":{signature}")


@each_vector
def test_vectors_verify(vector: Vector) -> None:
    header = Credential(ACCESS, vector.signature, vector.hash_name).header()
    assert check(vector.request, header) == ACCESS


@each_vector
def test_wire_form_of_the_media_type_is_reduced_before_signing(vector: Vector) -> None:
    """What stands on the wire may have parameters and capitals; the signature does not change."""
    wire = replace(
        vector.request,
        method=vector.method.lower(),
        content_type=f"{vector.content_type.title()}; charset=utf-8; boundary=x",
    )
    header = sign(wire, access_key=ACCESS, secret_key=SECRET, hash_name=vector.hash_name)
    assert parse_authorization(header).signature == vector.signature


# --- round trips ---------------------------------------------------------------------------------

_line = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"), max_size=30)
_zones = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
_dates = st.builds(lambda date, zone: date.replace(tzinfo=zone).isoformat(), st.datetimes(), _zones)
_requests = st.builds(
    Signed,
    method=st.sampled_from(["GET", "POST", "PATCH", "DELETE", "PUT"]),
    target=_line,
    date=_dates,
    host=_line,
    content_type=st.sampled_from(
        ["application/json", "multipart/form-data; boundary=x", "text/plain", ""]
    )
    | _line,
    version=st.sampled_from(["v2.20170315", "v3.20170615", "v4.20181215", "v9.20250722"]) | _line,
    version_header=st.sampled_from(["x-backendai-version", "x-sorna-version"]),
    body=st.binary(max_size=40),
)


@given(_requests, st.sampled_from(HASHES), st.text(st.characters(codec="ascii"), min_size=1))
@settings(deadline=None, max_examples=80)
def test_what_is_signed_verifies(request: Signed, hash_name: str, secret: str) -> None:
    header = sign(request, access_key=ACCESS, secret_key=secret, hash_name=hash_name)
    assert check(request, header, secret_key_of=lambda _: secret) == ACCESS


@pytest.mark.parametrize("hash_name", HASHES)
def test_every_hash(hash_name: str) -> None:
    request = VECTORS[0].request
    header = sign(request, access_key=ACCESS, secret_key=SECRET, hash_name=hash_name)
    assert f"signMethod=HMAC-{hash_name.upper()}, " in header
    assert check(request, header) == ACCESS
    assert parse_authorization(header).hash_name == hash_name


@given(st.sampled_from(HASHES), st.from_regex(r"[0-9a-f]{1,128}", fullmatch=True))
@quick
def test_credential_round_trip(hash_name: str, signature: str) -> None:
    credential = Credential(ACCESS, signature, hash_name)
    assert parse_authorization(credential.header()) == credential


# --- what a signature holds fast -----------------------------------------------------------------

SEED = VECTORS[0].request
SEED_HEADER = Credential(ACCESS, VECTORS[0].signature).header()
MODERN = VECTORS[8].request
MODERN_HEADER = Credential(ACCESS, VECTORS[8].signature).header()


@pytest.mark.parametrize(
    "change",
    [
        {"body": CREATE + b" "},
        {"body": b""},
        {"target": "/v2/kernel/create?x=1"},
        {"target": "/v2/kernel/"},
        {"host": "api.backend.ai:443"},
        {"host": "evil.example.com"},
        {"method": "PUT"},
        {"content_type": "text/plain"},
        {"content_type": "multipart/form-data"},
        {"version": "v3.20170615"},
        {"version_header": "x-sorna-version"},
        {"date": "2017-11-22T09:30:15.123457+00:00"},
        {"date": "2017-11-22T09:30:15.123456"},
        {"date": "2017-11-22T09:30:15.123456Z"},
        {"date": "2017-11-22T18:30:15.123456+09:00"},
    ],
    ids=str,
)
def test_changed_request_is_refused(change: dict[str, str]) -> None:
    refused = refusal(replace(SEED, **change), SEED_HEADER)  # type: ignore[arg-type]
    assert (refused.status, refused.kind) == (401, "auth-failed")


def test_body_stands_under_the_signature_only_where_its_version_says_so() -> None:
    changed = replace(MODERN, body=b"another")
    assert check(changed, MODERN_HEADER) == ACCESS
    form = VECTORS[2]
    changed = replace(form.request, body=b"another")
    assert check(changed, Credential(ACCESS, form.signature).header()) == ACCESS


@pytest.mark.parametrize(
    ("version", "media_type", "signed"),
    [
        ("v1.20160915", "application/json", True),
        ("v2.20170315", "application/json", True),
        ("v3.20170615", "application/octet-stream", True),
        ("v2.20170315", "multipart/form-data", False),
        ("v2.20170315", "multipart/mixed", False),
        ("v4.20181214", "application/json", True),
        ("v4.20181215", "application/json", False),
        ("v6.20200815", "application/json", False),
        ("v9.20250722", "application/json", False),
        # Compared as text, as managers do.
        ("v10.20300101", "application/json", True),
    ],
)
def test_body_is_signed(version: str, media_type: str, signed: bool) -> None:
    assert body_is_signed(version, media_type) is signed


@given(_requests, st.sampled_from(["method", "target", "host", "version"]), _line)
@quick
def test_any_other_text_is_refused(request: Signed, name: str, other: str) -> None:
    assume(other.upper() != getattr(request, name).upper())
    header = sign(request, access_key=ACCESS, secret_key=SECRET)
    changed = replace(request, **{name: other})  # type: ignore[arg-type]
    assert refusal(changed, header).status == 401


# --- clocks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign_of", [1, -1])
def test_skew(sign_of: int) -> None:
    limit = sign_of * timedelta(minutes=15)
    assert check(SEED, SEED_HEADER, after=limit) == ACCESS
    refused = refusal(SEED, SEED_HEADER, after=limit + sign_of * timedelta(microseconds=1))
    assert (refused.status, refused.kind) == (400, "invalid-auth-params")
    assert "Date/time sync error" in refused.reason


def test_skew_tells_the_servers_clock_in_utc() -> None:
    refused = refusal(SEED, SEED_HEADER, after=timedelta(hours=2))
    assert "2017-11-22T11:30:15Z" in refused.reason


@pytest.mark.parametrize("date", ["", "yesterday", "2017-13-40T00:00:00", "0", "T", "2017"])
def test_unreadable_date_is_refused(date: str) -> None:
    with pytest.raises(SignatureRefused) as caught:
        verify(
            replace(SEED, date=date),
            SEED_HEADER,
            now=datetime(2017, 11, 22, 9, 30, tzinfo=UTC),
            secret_key_of=known,
        )
    assert (caught.value.status, caught.value.kind) == (400, "invalid-auth-params")


@pytest.mark.parametrize("date", ["", "yesterday", "Wed, 99 Nov 2017 09:30:15 GMT"])
def test_signing_without_a_date_is_a_value_error(date: str) -> None:
    with pytest.raises(ValueError):
        sign(replace(SEED, date=date), access_key=ACCESS, secret_key=SECRET)


@pytest.mark.parametrize(
    "text",
    [
        "2017-11-22T09:30:15+00:00",
        "2017-11-22T09:30:15Z",
        "2017-11-22T09:30:15",  # no zone means UTC
        "2017-11-22T18:30:15+09:00",
        "20171122T093015Z",
        "Wed, 22 Nov 2017 09:30:15 GMT",
        "Wed, 22 Nov 2017 18:30:15 +0900",
        "Wed, 22 Nov 2017 09:30:15 -0000",
    ],
)
def test_forms_of_a_date(text: str) -> None:
    date = parse_date(text)
    assert date.tzinfo is not None
    assert date == datetime(2017, 11, 22, 9, 30, 15, tzinfo=UTC)


# --- headers -------------------------------------------------------------------------------------


def test_missing_header() -> None:
    refused = refusal(SEED, None)
    assert (refused.status, refused.kind) == (401, "auth-failed")


def test_unknown_key_and_wrong_signature_cannot_be_told_apart() -> None:
    signature = VECTORS[0].signature
    unknown = refusal(SEED, Credential("AKIA" + "Z" * 16, signature).header())
    wrong = refusal(SEED, Credential(ACCESS, signature[::-1]).header())
    assert (unknown.status, unknown.kind) == (401, "auth-failed")
    assert (unknown.status, unknown.kind, unknown.reason, str(unknown)) == (
        wrong.status,
        wrong.kind,
        wrong.reason,
        str(wrong),
    )


def test_signature_made_with_the_stand_in_key_is_refused() -> None:
    """An unknown key is compared with some key or other; knowing that one must not help."""
    for stand_in in ("0" * 40, "", "None"):
        header = sign(SEED, access_key="AKIA" + "Z" * 16, secret_key=stand_in)
        assert refusal(SEED, header).status == 401


@pytest.mark.parametrize("signature", ["0", "0" * 63, "0" * 65, "0" * 10_000, "é", "", " ", "\0"])
def test_signature_of_any_other_shape_is_refused(signature: str) -> None:
    assert refusal(SEED, Credential(ACCESS, signature).header()).status in (400, 401)


@pytest.mark.parametrize(
    "form",
    [
        "BackendAI signMethod=HMAC-SHA256, credential={0}:{1}",
        "Sorna signMethod=HMAC-SHA256, credential={0}:{1}",
        "BackendAI credential={0}:{1}, signMethod=HMAC-SHA256",
        "BackendAI credential={0}:{1},signMethod=hmac-sha256",
        "  BackendAI   signMethod = HMAC-SHA256 ,  credential = {0}:{1}  ",
        "BackendAI signMethod=HMAC-SHA256, credential={0}:{1}, more=of this",
    ],
)
def test_forms_of_the_header(form: str) -> None:
    assert check(SEED, form.format(ACCESS, VECTORS[0].signature)) == ACCESS
    assert check(SEED, form.format(ACCESS, VECTORS[0].signature.upper())) == ACCESS


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "BackendAI",
        "BackendAI ",
        "BackendAIsignMethod=HMAC-SHA256, credential={0}:{1}",
        "backendai signMethod=HMAC-SHA256, credential={0}:{1}",
        "Bearer {1}",
        "Basic QUtJQTpzZWNyZXQ=",
        "BackendAI credential={0}:{1}",
        "BackendAI signMethod=HMAC-SHA256",
        "BackendAI signMethod=HMAC-SHA256, credential={0}{1}",
        "BackendAI signMethod=HMAC-SHA256, credential=:{1}",
        "BackendAI signMethod=SHA256, credential={0}:{1}",
        "BackendAI signMethod=HMACSHA256, credential={0}:{1}",
        "BackendAI signMethod=XMAC-SHA256, credential={0}:{1}",
        "BackendAI signMethod=HMAC-, credential={0}:{1}",
        "BackendAI signMethod=HMAC-SHA256-SHA256, credential={0}:{1}",
        "BackendAI signMethod=HMAC-SHA-256, credential={0}:{1}",
        "BackendAI signMethod=HMAC-NONE, credential={0}:{1}",
        "BackendAI signMethod=HMAC-SHAKE_128, credential={0}:{1}",
        "BackendAI signMethod=HMAC-SHAKE_256, credential={0}:{1}",
        "BackendAI signMethod=HMAC-SHA256; credential={0}:{1}",
    ],
)
def test_malformed_header_is_refused(value: str) -> None:
    refused = refusal(SEED, value.format(ACCESS, VECTORS[0].signature))
    assert (refused.status, refused.kind) == (400, "invalid-auth-params")


def test_header_of_the_old_name() -> None:
    request = replace(SEED, version_header="x-sorna-version")
    assert "\nx-sorna-version:v2.20170315\n" in request.text("sha256")
    header = sign(request, access_key=ACCESS, secret_key=SECRET)
    assert check(request, header) == ACCESS
    assert check(request, header.replace("BackendAI", "Sorna", 1)) == ACCESS
    assert refusal(SEED, header).status == 401


# --- hostile text --------------------------------------------------------------------------------

_pieces = st.lists(
    st.sampled_from(
        [
            "BackendAI ",
            "Sorna ",
            "signMethod=",
            "HMAC-SHA256",
            "HMAC-",
            "SHAKE_128",
            "MD5",
            ", ",
            "credential=",
            ACCESS,
            ":",
            VECTORS[0].signature,
            "=",
        ]
    )
    | st.text(max_size=5),
    max_size=10,
).map("".join)


@given(st.text() | _pieces)
@settings(deadline=None, max_examples=80)
def test_any_authorization_is_a_refusal(value: str) -> None:
    assume(value.lower().count(VECTORS[0].signature) == 0)
    assert refusal(SEED, value).status in (400, 401)


@given(
    st.text()
    | st.text("0123456789-+:TZ. ", max_size=40)
    | st.from_regex(r"[A-Z][a-z]{2}, \d{1,5} [A-Z][a-z]{2} \d{1,9} \d\d:\d\d:\d\d \S{1,9}")
    | st.builds(lambda text, separator: text[:10] + separator + text[11:], _dates, st.characters())
)
@settings(deadline=None, max_examples=250)
@example("2017-11-22\ud80009:30:15")  # datetime takes any separator, this one cannot be encoded
@example("0001-01-01T00:00:00+14:00")
@example("9999-12-31T23:59:59-14:00")
@example("Wed, 22 Nov 2017 09:30:15 +9999999999")
@example("Wed, 22 Nov 99999999999 09:30:15 GMT")
def test_any_date_is_a_refusal(date: str) -> None:
    request = replace(SEED, date=date)
    for now in (datetime(2017, 11, 22, 9, 30, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)):
        with pytest.raises(SignatureRefused):
            verify(request, SEED_HEADER, now=now, secret_key_of=known)


@given(st.sampled_from(["target", "host", "content_type", "version", "method"]), st.text())
@quick
@example("host", "\udcff")
@example("target", "/\ud800")
def test_any_header_text_is_a_refusal(name: str, text: str) -> None:
    assume(text.strip().lower() != getattr(SEED, name).lower())
    request = replace(SEED, **{name: text})  # type: ignore[arg-type]
    assume(request.text("sha256") != SEED.text("sha256"))
    assert refusal(request, SEED_HEADER).status in (400, 401)
