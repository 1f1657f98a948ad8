"""Draw the architecture.

Usage: python docs/tools/draw_pictures.py    # writes docs/images/architecture.svg

It has a background of its own, so that it can be read on white and on dark pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

IMAGES = Path(__file__).resolve().parents[1] / "images"
WIDTH = 860

#: Rows of boxes, the highest first: name, what it is, color. A row imports from those below it.
LAYERS = (
    (("backendai_cli", "the commands", "face"),),
    (("asyncio", "AsyncKernel, and others to be awaited", "face"),),
    (
        ("faces", "Kernel; the thread that runs Trio", "face"),
        ("proxy", "signs for other programs", "face"),
        ("testing", "pytest plugin", "server"),
    ),
    (
        ("kernels", "sessions, runs, terminals", "client"),
        ("vfolders", "folders", "client"),
        ("admin", "lists, changes", "client"),
        ("login", "passwords", "client"),
        ("gateway", "the server in this package", "server"),
    ),
    (
        ("files", "archives, safe writes", "base"),
        ("transport", "HTTP, WebSockets, retries", "client"),
    ),
    (("wire", "messages and signatures in both directions; eras; no I/O", "base"),),
    (("config", "settings, profiles, journal of kernels", "base"),),
)
FILLS = {"face": "#dbeafe", "client": "#dcfce7", "server": "#ffedd5", "base": "#ede9fe"}
LEGEND = (
    ("face", "what users call"),
    ("client", "the client, in Trio"),
    ("server", "the gateway"),
    ("base", "shared by client and gateway"),
)


def text(x: float, y: float, words: str, *, size: int = 13, bold: bool = False, **more: str) -> str:
    weight = ' font-weight="bold"' if bold else ""
    others = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in more.items())
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="#1f2937"{weight}{others}>'
        f"{escape(words)}</text>"
    )


def box(x: float, y: float, width: float, height: float, fill: str, *, radius: int = 6) -> str:
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius}" '
        f'fill="{fill}" stroke="#94a3b8"/>'
    )


def picture(title: str, height: float, parts: Sequence[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" '
            f'font-family="system-ui, sans-serif" role="img">',
            f"<title>{escape(title)}</title>",
            box(1, 1, WIDTH - 2, height - 2, "#ffffff", radius=10),
            *parts,
            "</svg>\n",
        ]
    )


def architecture() -> str:
    return picture("The packages of backendai_trio", 555, list(_architecture()))


def _architecture() -> Iterator[str]:
    margin, gap, height = 20.0, 10.0, 50.0
    y = margin
    for layer in LAYERS:
        width = (WIDTH - 2 * margin - gap * (len(layer) - 1)) / len(layer)
        for number, (name, what, kind) in enumerate(layer):
            x = margin + number * (width + gap)
            yield box(x, y, width, height, FILLS[kind])
            yield text(x + width / 2, y + 21, name, bold=True, text_anchor="middle")
            yield text(x + width / 2, y + 39, what, size=11, text_anchor="middle")
        y += height + 15
    x = margin
    for kind, meaning in LEGEND:
        yield box(x, y, 14, 14, FILLS[kind], radius=3)
        yield text(x + 20, y + 12, meaning, size=12)
        x += 40 + 6.4 * len(meaning)
    yield text(margin, y + 44, "Imports go down only. The gateway runs each kernel as a group of "
               "local processes, and speaks HTTP to", size=12)  # fmt: skip
    yield text(
        margin, y + 61, "clients of any kind; a client speaks to it as to a manager.", size=12
    )


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    (IMAGES / "architecture.svg").write_text(architecture(), encoding="utf-8")


if __name__ == "__main__":
    main()
