"""The file of a sweep's results: a JSON object a line, in the order in which the cases ended."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import click

from backendai_trio import Case
from backendai_trio.kernels import CaseResult

__all__ = ["Outcome", "ResultsFile", "read_successes"]

Values = frozenset[tuple[str, str]]


class Outcome:
    """What the program of one case has printed and how it ended, as far as it is known."""

    KEPT_CHARACTERS = 65536
    """Of each stream its end is kept, so that a talkative case does not fill memory."""

    def __init__(self) -> None:
        self.exit_code: int | None = None
        self.timed_out = False
        self.truncated = False
        self._kept = {"stdout": "", "stderr": ""}

    def printed(self, stream: str, text: str) -> None:
        """Remember some output."""
        kept = self._kept[stream] + text
        if len(kept) > self.KEPT_CHARACTERS:
            self.truncated = True
        self._kept[stream] = kept[-self.KEPT_CHARACTERS :]

    @property
    def problem(self) -> str:
        """Why this is no success; ``""`` if it is one."""
        if self.timed_out:
            return "the server ended it: it took too long"
        return f"exit code {self.exit_code}" if self.exit_code else ""

    def as_json(self) -> dict[str, object]:
        """What stands in the results of it."""
        return {
            "exit_code": self.exit_code,
            **{name: _readable(text) for name, text in self._kept.items()},
            "truncated": self.truncated,
        }


class ResultsFile:
    """A file that is open to be added to. Made by `ResultsFile.opened`."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    @contextmanager
    def opened(cls, path: Path | None, *, resumed: bool) -> Iterator[ResultsFile | None]:
        """Open it, or make it; None without a path. Results that are there are not overwritten.

        Raises:
            click.ClickException: it cannot be written, or it exists and is not `resumed`.
        """
        if path is None:
            yield None
            return
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | (0 if resumed else os.O_EXCL)
        try:
            fd = os.open(path, flags, 0o666)
        except FileExistsError:
            raise click.ClickException(
                f"{path} exists and is not overwritten; name another file, or go on with its "
                f"sweep with --resume {path}"
            ) from None
        except OSError as exc:
            raise click.ClickException(f"{path} cannot be written: {exc.strerror}") from None
        try:
            _end_the_last_line(fd)
            yield cls(fd)
        finally:
            os.close(fd)

    def add(self, result: CaseResult[Outcome], problem: str) -> None:
        """Add a line; one write, so that no crash of ours leaves half of it."""
        outcome = result.value or Outcome()
        line = {
            "case": dict(result.case.values),
            "succeeded": not problem,
            "problem": problem or None,
            **outcome.as_json(),
            "seconds": round(result.seconds, 3),
            "statistics": asdict(result.statistics) if result.statistics else None,
            "ended_at": datetime.now().astimezone().isoformat(timespec="seconds"),
        }
        data = json.dumps(line).encode() + b"\n"
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as exc:
            raise click.ClickException(f"the results cannot be written: {exc.strerror}") from None


def read_successes(path: Path, cases: Sequence[Case]) -> set[Values]:
    """The values of the cases that have succeeded according to a file; its last word counts.

    A last line that was cut short is passed over: its case runs again.

    Raises:
        click.ClickException: it cannot be read, or holds something else than results of this sweep.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return set()
    except (OSError, UnicodeDecodeError) as exc:
        raise click.ClickException(f"{path} cannot be read: {exc}") from None
    names = set(cases[0].values)
    succeeded: set[Values] = set()
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        values, success = _read_line(line)
        if values is None:
            if number == len(lines):
                break
            raise click.ClickException(f"{path}, line {number}: this is no result of a sweep")
        if set(values) != names:
            raise click.ClickException(
                f"{path}, line {number}: it is of another sweep; its cases have the values "
                f"{', '.join(values)}, these have {', '.join(sorted(names))}"
            )
        key = frozenset(values.items())
        if success:
            succeeded.add(key)
        else:
            succeeded.discard(key)
    return succeeded


def _read_line(line: str) -> tuple[Mapping[str, str] | None, bool]:
    try:
        read = json.loads(line)
    except ValueError:
        return None, False
    match read:
        case {"case": dict(values), "succeeded": bool(success)} if all(
            isinstance(value, str) for value in values.values()
        ):
            return values, success
    return None, False


def _end_the_last_line(fd: int) -> None:
    """After a crash, what is added must not continue a line that was cut short.

    What was cut short goes: a file of results has nothing but whole lines.
    """
    size = os.fstat(fd).st_size
    if size == 0 or os.pread(fd, 1, size - 1) == b"\n":
        return
    end = size
    while end > 0:
        start = max(0, end - 65536)
        at = os.pread(fd, end - start, start).rfind(b"\n")
        if at >= 0:
            os.ftruncate(fd, start + at + 1)
            return
        end = start
    os.ftruncate(fd, 0)


def _readable(text: str) -> str:
    """Text for other programs' JSON parsers: bytes that are no UTF-8 came as lone surrogates."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
