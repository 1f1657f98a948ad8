"""Seeds of files on their way."""

from __future__ import annotations

import gzip
import zlib

from backendai_trio.wire.multipart import encode_part_head, part_end
from backendai_trio.wire.storage_proxy import PatchHead

from ..targets.archives import BOUNDARY
from ..targets.uploads import TAIL_BYTES as TUS_BYTES
from .chosen import Seeds, chosen


def forms() -> Seeds:
    def form(*files: tuple[str, bytes]) -> bytes:
        body = b""
        for number, (name, content) in enumerate(files, start=1):
            body += encode_part_head(name, BOUNDARY) + content
            body += part_end(BOUNDARY, last=number == len(files))
        return body

    climbing = form(("a/b", b"x")).replace(b"a/b", b"../../outside/secret")
    encoded = form(("a/b", b"x")).replace(b'"a/b"', b'"..%2Fb"')
    extended = form(("a", b"x")).replace(b'filename="a"', b"filename*=utf-8''%2e%2e%2fb")
    return {
        "two": chosen(form(("a", b"hello"), ("folder/b", b"\r\n--XX")), 0),
        "limited": chosen(form(("a", b"x" * 150)), 1),
        "replaces": chosen(form(("file", b"new"), ("file", b"newer")), 0, 1, 40),
        "climbs": chosen(climbing, 0),
        "encoded": chosen(encoded, 0),
        "extended": chosen(extended, 0),
        "through-a-link": chosen(form(("out/x", b"x")), 0),
        "clash": chosen(form(("b", b"x"), ("b/c", b"x")), 0),
    }


def downloads() -> Seeds:
    packed = gzip.compress(b"hello", mtime=0)
    head = f"--{BOUNDARY}\r\nContent-Type: application/x-tar\r\nContent-Encoding: ".encode()
    end = f"\r\n--{BOUNDARY}--\r\n".encode()
    return {
        "identity": chosen(head + b"identity\r\n\r\nhello" + end),
        "gzip": chosen(head + b"gzip\r\n\r\n" + packed + end, 2, 60, 0, 90, 0),
        "two": chosen(head + b"deflate\r\n\r\n" + zlib.compress(b"a") + end[:-4] + b"\r\n" + end),
    }


def tus_uploads() -> Seeds:
    # Size, number of steps, and for each step its kind, start and length.
    def upload(path: str, content: bytes, *steps: tuple[int, int, int]) -> bytes:
        numbers = [len(content), 0, len(steps)]
        for kind, start, length in steps:
            numbers += [kind, start, 0, length, 0]
        return path.encode() + b"\n" + content + bytes(numbers).ljust(TUS_BYTES, b"\0")

    return {
        "whole": upload("a/b", b"hello", (0, 0, 5)),
        "parts": upload("a", b"hello world", (0, 0, 5), (2, 0, 3)),
        "damaged": upload("a", b"hello world", (4, 0, 5), (3, 2, 5), (6, 0, 2)),
        "wrong-place": upload("a", b"hello", (0, 0, 2), (1, 9, 3)),
        "too-much": upload("a", b"hello", (5, 0, 0)),
        "empty": upload("a", b""),
        "climbs": upload("../outside/secret", b"hello", (0, 0, 5)),
    }


def tus_headers() -> Seeds:
    digest = PatchHead(3, bytes(32)).encode()["Upload-Checksum"]
    return {
        "patch": chosen(f"3\n{digest}", 0),
        "state": chosen("3\n100", 1),
        "content-range": chosen("bytes 0-99/100", 2),
        "range": chosen("bytes=10-19", 3, 100),
        "suffix": chosen("bytes=-5", 3, 100),
    }
