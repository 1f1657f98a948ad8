"""Pictures as sixels: what a terminal draws, and which pictures are not encoded."""

from __future__ import annotations

import io
import os
import struct
import sys
import zlib
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from backendai_cli.run.sixel import sixel_picture, window_pixels

from .graphics import sixel_pictures, without_pictures

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)
BOX = (1000, 1000)


def file_of(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def percent(color: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(round(value * 100 / 255) for value in color)


@given(st.integers(1, 40), st.integers(1, 40), st.data())
@settings(max_examples=50)
def test_each_pixel_is_drawn_in_its_color(width: int, height: int, data: st.DataObject) -> None:
    palette = [RED, BLUE, WHITE, (0, 0, 0), (128, 64, 32)]
    size = width * height
    chosen = data.draw(st.lists(st.sampled_from(palette), min_size=size, max_size=size))
    image = Image.new("RGB", (width, height))
    image.putdata(chosen)
    written = sixel_picture("image/png", file_of(image), BOX)
    assert written is not None
    (picture,) = sixel_pictures(written)
    assert without_pictures(written) == b""
    assert picture.size == (width, height)
    assert len(picture.pixels) == size
    for number, color in enumerate(chosen):
        drawn = picture.pixels[number % width, number // width]
        assert max(abs(a - b) for a, b in zip(drawn, percent(color), strict=True)) <= 1


def test_many_colors() -> None:
    image = Image.radial_gradient("L").convert("RGB")
    (picture,) = sixel_pictures(sixel_picture("image/png", file_of(image), BOX) or b"")
    assert picture.size == (256, 256) and len(picture.pixels) == 256 * 256
    assert len(set(picture.pixels.values())) <= 256
    for place in [(0, 0), (128, 128), (30, 200)]:
        expected = percent(image.getpixel(place))  # type: ignore[arg-type]
        assert abs(picture.pixels[place][0] - expected[0]) <= 5


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(mode: str) -> None:
    """As paper: a figure is black on nothing, and so are terminals."""
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 4, 8))
    (picture,) = sixel_pictures(
        sixel_picture("image/png", file_of(image.convert(mode)), BOX) or b""
    )
    assert picture.pixels[0, 0] == (0, 0, 0)
    assert picture.pixels[7, 7] == (100, 100, 100)


@pytest.mark.parametrize(("mime_type", "kind"), [("image/jpeg", "JPEG"), ("image/gif", "GIF")])
def test_other_types(mime_type: str, kind: str) -> None:
    image = Image.new("RGB", (16, 8), RED)
    (picture,) = sixel_pictures(sixel_picture(mime_type, file_of(image, kind), BOX) or b"")
    assert picture.size == (16, 8)
    assert set(picture.pixels.values()) <= {(100, 0, 0), (99, 0, 0)}


@pytest.mark.parametrize(
    ("size", "box", "drawn"),
    [
        ((300, 200), (150, 1000), (150, 100)),
        ((300, 200), (1000, 50), (75, 50)),
        ((30, 20), (1000, 1000), (30, 20)),
    ],
)
def test_pictures_fit_into_the_window(
    size: tuple[int, int], box: tuple[int, int], drawn: tuple[int, int]
) -> None:
    written = sixel_picture("image/png", file_of(Image.new("RGB", size, BLUE)), box)
    assert [picture.size for picture in sixel_pictures(written or b"")] == [drawn]


def _huge() -> bytes:
    """A small PNG file of 10,000 by 10,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 10_000, 10_000, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(10_000 * (10_000 // 8 + 1)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


_PNG = file_of(Image.new("RGB", (20, 20), RED))


@pytest.mark.parametrize(
    ("mime_type", "content"),
    [
        ("image/svg+xml", b"<svg/>"),
        ("image/png", b"no PNG"),
        ("image/png", b"\x89PNG\r\n\x1a\n" + bytes(5000)),
        ("image/png", _PNG[:-30]),
        ("image/jpeg", b"\xff\xd8\xff"),
        ("image/jpeg", _PNG),
        ("image/gif", b"GIF8"),
        ("image/png", _huge()),
    ],
)
def test_what_is_not_encoded(mime_type: str, content: bytes) -> None:
    assert sixel_picture(mime_type, content, BOX) is None


_FILES = {
    f"image/{kind.lower()}": file_of(Image.radial_gradient("L").resize((24, 24)), kind)
    for kind in ("PNG", "JPEG", "GIF")
}


@given(st.sampled_from(sorted(_FILES)), st.binary(max_size=40), st.integers(0, 1000))
@settings(max_examples=300)
def test_broken_files_break_nothing(mime_type: str, noise: bytes, at: int) -> None:
    content = _FILES[mime_type]
    at %= len(content)
    sixel_picture(mime_type, content[:at] + noise + content[at + len(noise) :], BOX)


def test_size_of_the_window(tmp_path: Path) -> None:
    master, slave = os.openpty()
    try:
        assert window_pixels(slave) == (1000, 1000)
        ioctl(slave, TIOCSWINSZ, struct.pack("HHHH", 24, 80, 640, 480))
        assert window_pixels(slave) == (640, 480)
    finally:
        os.close(master)
        os.close(slave)
    with (tmp_path / "file").open("wb") as file:
        assert window_pixels(file.fileno()) == (1000, 1000)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "textual_image._sixel", None)
    with pytest.raises(ImportError):
        sixel_picture("image/png", _PNG, BOX)
