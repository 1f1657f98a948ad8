"""Wall time of whole commands on a running manager, ours beside the official client's.

README.md beside this file says how to read it.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from setting import backend_ai, clean_environment

OUTPUT = "for _ in range(5 << 10): print('x' * 1023)"
FOLDER_FILES, FOLDER_BYTES = 50, 200 << 20
OURS, OFFICIAL = "ours", "official"
AT_ONCE = 20
"""Most files of an upload to a session (docs/protocol.md, section 5)."""


@dataclass
class Client:
    """One of the two commands."""

    name: str
    command: str
    env: dict[str, str]
    work: Path

    def run(self, *arguments: str) -> float:
        """Run it, and return how many seconds that took.

        Raises:
            RuntimeError: it failed.
        """
        begun = time.perf_counter()
        done = subprocess.run(
            [self.command, *arguments],
            env=self.env,
            cwd=self.work,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        seconds = time.perf_counter() - begun
        if done.returncode:
            said = (done.stderr or done.stdout)[-500:]
            raise RuntimeError(f"{self.name}: {' '.join(arguments[:3])}: {said}")
        return seconds


class Jobs:
    """What is measured: each job is done by one client, and prepared and cleaned up by ours."""

    def __init__(self, ours: Client, work: Path) -> None:
        self._ours = ours
        self._small = [f"small-{number}.txt" for number in range(100)]
        for name in self._small:
            (work / name).write_bytes(os.urandom(1000))
        (work / "large").mkdir()
        for number in range(FOLDER_FILES):
            data = os.urandom(FOLDER_BYTES // FOLDER_FILES)
            (work / "large" / f"{number}.bin").write_bytes(data)
        self.all: dict[str, Callable[[Client], float]] = {
            "print(1)": lambda client: self._code(client, "print(1)"),
            "5 MB output": lambda client: self._code(client, OUTPUT),
            "100 files to a session": self._files,
            "200 MB to a virtual folder": self._folder,
        }

    def _code(self, client: Client, code: str) -> float:
        ends = ["--rm"] if client.name == OFFICIAL else []
        return client.run("run", "-q", *ends, "python", "-c", code)

    def _files(self, client: Client) -> float:
        token = f"bench-{secrets.token_hex(4)}"
        self._ours.run("create", "-q", "-t", token, "python")
        try:
            if client.name == OURS:
                return client.run("upload", token, *self._small)
            # A manager takes no more at once, and the official client leaves that to its user.
            parts = [self._small[at : at + AT_ONCE] for at in range(0, len(self._small), AT_ONCE)]
            return sum(client.run("session", "upload", token, *part) for part in parts)
        finally:
            self._ours.run("rm", "-q", token)

    def _folder(self, client: Client) -> float:
        name = f"bench-{secrets.token_hex(4)}"
        self._ours.run("vfolder", "create", name)
        try:
            return client.run("vfolder", "upload", name, "-r", "large")
        finally:
            self._ours.run("vfolder", "delete", name)


def measure(clients: Sequence[Client], job: Callable[[Client], float], rounds: int) -> list[float]:
    """The medians of the clients, who take turns; who begins changes with each round."""
    times: dict[str, list[float]] = {client.name: [] for client in clients}
    for number in range(rounds):
        for client in clients if number % 2 == 0 else clients[::-1]:
            times[client.name].append(job(client))
    return [statistics.median(times[client.name]) for client in clients]


def main() -> int:
    """Measure and print. The exit code says whether all went well, not whether we are faster."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--official", required=True, metavar="PATH", help="its backend.ai")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", metavar="JOB", help="part of a job's name")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    settings = {name: text for name, text in os.environ.items() if name.startswith("BACKEND_")}
    if "BACKEND_ENDPOINT" not in settings:
        parser.error("name a manager: BACKEND_ENDPOINT, BACKEND_ACCESS_KEY, BACKEND_SECRET_KEY")
    before = os.getloadavg()[0]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "work"
        work.mkdir()
        env = clean_environment(Path(folder)) | settings
        ours = Client(OURS, backend_ai(), env, work)
        official = Client(OFFICIAL, options.official, env, work)
        for title, job in Jobs(ours, work).all.items():
            if options.only and not any(part in title for part in options.only):
                continue
            mine, theirs = measure([ours, official], job, options.rounds)
            rows.append((title, mine, theirs))
            if not options.json:
                print(
                    f"{title:<28} {mine:6.2f} s {theirs:6.2f} s   {mine / theirs:.2f}", flush=True
                )
    load = [before, os.getloadavg()[0]]
    if options.json:
        keys = ("job", OURS, OFFICIAL)
        print(
            json.dumps({"load": load, "rows": [dict(zip(keys, row, strict=True)) for row in rows]})
        )
    else:
        print(f"load before and after: {load[0]:.1f} {load[1]:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
