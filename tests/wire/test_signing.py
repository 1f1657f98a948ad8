"""Signatures: recorded vectors of official clients, and round trips."""

from __future__ import annotations

import hmac
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backendai_trio.wire.signing import Credential, Signed, parse_authorization, sign

from .signature_vectors import (
    ACCESS,
    HASHES,
    KEYS,
    SECRET,
    VECTORS,
    Vector,
    check,
    each_vector,
    requests,
)
from .strategies import quick


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


@given(requests, st.sampled_from(HASHES), st.text(st.characters(codec="ascii"), min_size=1))
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
