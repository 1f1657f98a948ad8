"""Sixel pictures (https://vt100.net/docs/vt3xx-gp/chapter14.html), encoded by textual-image.

It and Pillow come with the extra `sixel` of this package, and are imported when the first picture
is to be drawn.
"""

from __future__ import annotations

import io
import sys

from .terminal_graphics import can_draw

__all__ = ["EXTRA", "sixel_picture", "window_pixels"]

EXTRA = "backendai-trio[sixel]"
"""What to install for it."""
_FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/gif": "GIF"}
_MAX_PIXELS = 50_000_000
"""Pictures of more pixels are not decoded: they may be small files that need all memory."""
_USUAL_PIXELS = 1000
"""Width and height that xterm draws in any case."""


def sixel_picture(mime_type: str, content: bytes, box: tuple[int, int]) -> bytes | None:
    """Encode a picture. Takes tenths of a second; runs in a thread.

    Args:
        mime_type: of the picture, in lower case and without parameters.
        content: the picture's file.
        box: width and height in pixels that it is shrunk to, if it is larger.

    Returns:
        What the terminal is sent; None if this is no such picture, or too large a one.

    Raises:
        ImportError: the extra is not installed.
    """
    from PIL import Image
    from textual_image._sixel import image_to_sixels  # its public modules ask the terminal

    if not can_draw("sixel", mime_type, content):
        return None
    Image.MAX_IMAGE_PIXELS = None  # which would only warn
    try:
        with Image.open(io.BytesIO(content), formats=[_FORMATS[mime_type]]) as image:
            if image.width * image.height > _MAX_PIXELS:
                return None
            picture = image.convert("RGBA")
    except Exception:  # decoders raise whatever they stumble upon in a broken file
        return None
    picture.thumbnail(box)
    # What is transparent was drawn for paper; the terminal's own background is not known.
    paper = Image.new("RGBA", picture.size, "white")
    paper.alpha_composite(picture)
    return image_to_sixels(paper.convert("RGB")).encode()


def window_pixels(fd: int = 1) -> tuple[int, int]:
    """Width and height of the window in pixels; 1,000 where the terminal does not tell.

    Args:
        fd: descriptor of the terminal.
    """
    if sys.platform == "win32":
        return _USUAL_PIXELS, _USUAL_PIXELS
    import fcntl
    import struct
    import termios

    try:
        size = fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8))
    except OSError:
        size = bytes(8)
    _, _, width, height = struct.unpack("HHHH", size)
    return width or _USUAL_PIXELS, height or _USUAL_PIXELS
