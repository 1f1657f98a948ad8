"""What tests of `backend.ai run` run, and what that says of its kernels."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .commands import Commands, Result

GREETING_C = {
    "main.c": r"""
        #include <stdio.h>
        #include "mylib.h"
        int main(void) {
            char name[64];
            printf("myvalue is %d\n", myvalue());
            printf("your name? ");
            if (scanf("%63s", name) != 1) { printf("no name\n"); return 4; }
            printf("hello, %s!\n", name);
            return 0;
        }
    """,
    "mylib.c": '#include "mylib.h"\nint myvalue(void) { return 42; }\n',
    "mylib.h": "int myvalue(void);\n",
}
STATUS = re.compile(
    r"∙ Client session token: bt-[0-9a-f]{32}\n"
    r"✔ Kernel \(ID: [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\) is ready\.\n"
    r"(?P<between>(.*\n)*?)"
    r"✔ Cleaned up the kernel\.\n"
)
FOREVER = "print('started', flush=True)\nwhile True: pass"


def write(commands: Commands, files: Mapping[str, str]) -> list[str]:
    for name, text in files.items():
        (commands.work / name).write_text(text)
    return list(files)


def python(commands: Commands, code: str, *options: str) -> Result:
    """Run code quietly on this machine."""
    return commands.run("run", "-q", "python3", *options, "-c", code)
