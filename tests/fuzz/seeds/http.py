"""Seeds of what HTTP servers and clients send."""

from __future__ import annotations

import gzip
import zlib

from ..targets.http import ACCESS_KEY
from .chosen import Seeds, chosen


def http_responses() -> Seeds:
    ok = b"HTTP/1.1 200 OK\r\n"
    chunked = b"Transfer-Encoding: chunked\r\n"
    reply = ok + b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    return {
        "length": chosen(reply),
        "chunks": chosen(ok + chunked + b"\r\n5;a=b\r\nhello\r\n0\r\nETag: x\r\n\r\n"),
        "until-close": chosen(b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhello", 0, 1),
        "early-hints": chosen(b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + reply),
        "head": chosen(b"HTTP/1.1 404 Not Found\r\nContent-Length: 20\r\n\r\n", 1),
        "no-content": chosen(b"HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n"),
        "two-at-once": chosen(reply + reply),
        "both-framings": chosen(ok + b"Content-Length: 5\r\n" + chunked + b"\r\n0\r\n\r\n"),
    }


def signatures() -> Seeds:
    signature = "0" * 64
    header = f"BackendAI signMethod=HMAC-SHA256, credential={ACCESS_KEY}:{signature}"
    return {
        "header": chosen(header, 0),
        "sorna": chosen(header.replace("BackendAI", "Sorna"), 0),
        "sha512": chosen(header.replace("SHA256", "SHA512"), 0),
        "method": chosen("post", 1),
        "target": chosen("/session?a=b&c=d", 2),
        "date": chosen("Mon, 30 Nov 2026 12:00:00 GMT", 3),
        "date-zone": chosen("2026-11-30T21:00:00.123456+09:00", 3),
        "host": chosen("manager.example.com", 4),
        "type": chosen("multipart/form-data", 5),
        "version": chosen("v6.20200815", 6),
        "body": chosen('{"a": 2}', 7),
        "key": chosen("AKIAIOSFODNN7EXAMPLF", 8),
    }


def content_codings() -> Seeds:
    text = b"hello " * 20
    raw = zlib.compressobj(wbits=-15)
    return {
        "gzip": chosen(gzip.compress(text, mtime=0), 0),
        "members": chosen(gzip.compress(b"a", mtime=0) + gzip.compress(b"b", mtime=0), 0, 1, 9),
        "zlib": chosen(zlib.compress(text), 1),
        "deflate": chosen(raw.compress(text) + raw.flush(), 1),
        "bomb": chosen(gzip.compress(bytes(2_000_000), mtime=0), 0),
        "identity": chosen(text, 2),
    }
