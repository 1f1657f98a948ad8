"""Record a terminal session: run the commands in a pseudo-terminal, and draw what they show.

Usage: python docs/tools/record_terminal.py    # writes docs/images/terminal.svg

Tokens and ids, which are others each time, are replaced, so that the picture of the same session is
the same file.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

TARGET = Path(__file__).resolve().parents[1] / "images" / "terminal.svg"
COLUMNS, ROWS = 88, 40
FILES = {
    "main.c": """\
#include <stdio.h>
#include "mylib.h"
int main(void) {
    char name[64];
    printf("myvalue is %d\\nyour name? ", myvalue());
    if (scanf("%63s", name) != 1) return 4;
    printf("hello, %s!\\n", name);
}
""",
    "mylib.c": "int myvalue(void) { return 42; }\n",
    "mylib.h": "int myvalue(void);\n",
    "main.py": 'import os\nprint("learning rate", os.environ["LR"])\n',
}
#: Commands, each with what is typed once it has shown the first of the two.
SESSION = (
    ("""backend.ai run python -c "print('hello world')\"""", ("", "")),
    ("backend.ai run c main.c mylib.c mylib.h", ("your name? ", "LABLUP\n")),
    (
        "backend.ai run -q python main.py --env-range LR=linspace:0.1,0.5,3 --max-parallel 1",
        ("", ""),
    ),
)
CHANGING = (
    (re.compile(r"bt-[0-9a-f]{32}"), "bt-d3694dda6e5a9f1e5c718e07bba291a9"),
    (
        re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
        "5d40c8a1-5f4e-4a38-8f0c-1f6ad3b5a4de",
    ),
    (re.compile(r"\.\.\.\.+"), "..."),
)
#: rich's own template, without the fonts that it fetches.
TEMPLATE = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<title>A recorded terminal session</title>
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
}}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def record(command: str, expected: str, typed: str, folder: Path) -> str:
    """Run a command in a terminal.

    Args:
        command: for the shell.
        expected: what it shows before something is typed; empty if nothing is.
        typed: what is typed then.
        folder: where it runs.

    Returns:
        All that it showed, with its escape sequences.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environ = {
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "TERM": "xterm-256color",
    }
    program = subprocess.Popen(
        ["bash", "-c", command],
        stdin=theirs, stdout=theirs, stderr=theirs,
        cwd=folder, env=environ, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while True:
        try:
            data = os.read(ours, 65_536)
        except OSError:  # the program has closed its terminal
            break
        if not data:
            break
        shown += data
        if expected and expected.encode() in shown:
            os.write(ours, typed.encode())
            expected = ""
    os.close(ours)
    if program.wait() != 0:
        raise SystemExit(f"{command} failed:\n{shown.decode()}")
    return shown.decode()


def lines_of(shown: str) -> str:
    """What stays on the screen: a line that was written over shows what came last."""
    kept = []
    for line in shown.replace("\r\n", "\n").split("\n"):
        last = re.split(r"\r|\x1b\[[0-9;]*G", line)[-1]
        kept.append(re.sub(r"\x1b\[\??[0-9;]*[A-HJKSTfhl]", "", last))
    return "\n".join(kept)


def session_svg() -> str:
    """Run the session, and draw it."""
    console = Console(
        record=True,
        width=COLUMNS,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in FILES.items():
            (folder / file).write_text(text, encoding="utf-8")
        for command, (expected, typed) in SESSION:
            shown = lines_of(record(command, expected, typed, folder))
            for changing, constant in CHANGING:
                shown = changing.sub(constant, shown)
            console.print(Text("$ ", "green") + Text(command, "bold"), soft_wrap=True)
            console.print(Text.from_ansi(shown.rstrip("\n")), soft_wrap=True)
    svg = console.export_svg(
        title="backend.ai", theme=MONOKAI, code_format=TEMPLATE, unique_id="terminal"
    )
    return re.sub(r"[ \t]+\n", "\n", svg)


def main() -> None:
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(session_svg(), encoding="utf-8")


if __name__ == "__main__":
    main()
