"""The file of a sweep's results: a line with a JSON object for each case that has ended."""

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

from .. import exit_codes
from ..errors import read_failure

__all__ = ["Outcome", "ResultsFile", "read_successes"]

Values = frozenset[tuple[str, str]]
_BEGIN = '{"case": '
"""Of the line of a result."""


class Outcome:
    """Output and end of one case."""

    KEPT_CHARACTERS = 65536
    """How much of the end of each stream is kept, so that memory stays flat."""

    def __init__(self) -> None:
        self.exit_code: int | None = None
        self.timed_out = False
        self.truncated = False
        self._output = {"stdout": "", "stderr": ""}

    def add_output(self, stream: str, text: str) -> None:
        """Keep some output of ``stdout`` or ``stderr``."""
        output = self._output[stream] + text
        if len(output) > self.KEPT_CHARACTERS:
            self.truncated = True
        self._output[stream] = output[-self.KEPT_CHARACTERS :]

    @property
    def problem(self) -> str:
        """Why the case failed; ``""`` if it succeeded."""
        if self.timed_out:
            return "the server ended it because it took too long"
        if not self.exit_code:
            return ""
        cause = exit_codes.cause_of(self.exit_code)
        return f"exit code {self.exit_code}" + (f", {cause}" if cause else "")

    def as_json(self) -> dict[str, object]:
        """The keys of this outcome in the file."""
        return {
            "exit_code": self.exit_code,
            **{name: _readable(text) for name, text in self._output.items()},
            "truncated": self.truncated,
        }


class ResultsFile:
    """A file of results, open for appending. Made by `ResultsFile.opened`."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    @contextmanager
    def opened(cls, path: Path | None, *, resumed: bool) -> Iterator[ResultsFile | None]:
        """Open or create the file; None without a path. Results are never overwritten.

        Raises:
            click.ClickException: it cannot be written, or it exists and `resumed` is false.
        """
        if path is None:
            yield None
            return
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | (0 if resumed else os.O_EXCL)
        try:
            fd = os.open(path, flags, 0o666)
        except FileExistsError:
            raise click.ClickException(
                f"--results {path}: the file exists, and is not overwritten; name another file, or "
                f"continue its sweep with --resume {path}"
            ) from None
        except OSError as exc:
            raise click.ClickException(
                f"--results {path}: cannot be written: {exc.strerror}"
            ) from None
        try:
            _end_the_last_line(fd)
            yield cls(fd)
        finally:
            os.close(fd)

    def add(self, result: CaseResult[Outcome], problem: str) -> None:
        """Append a line. It is written at once, so that a crash leaves no half of it."""
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
    """The values of the cases that a file calls succeeded. The last line of a case counts.

    A last line that was cut short is skipped, and its case runs again.

    Raises:
        click.ClickException: it cannot be read, or holds anything but results of this sweep.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return set()
    except (OSError, UnicodeDecodeError) as exc:
        raise click.ClickException(
            f"--resume {path}: cannot be read: {read_failure(exc)}"
        ) from None
    lines = text.splitlines()
    names = set(cases[0].values)
    succeeded: set[Values] = set()
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        values, success = _read_line(line)
        if values is None and number == len(lines) and _is_cut_short(text, line):
            break
        if values is None:
            raise click.ClickException(f"--resume {path}: line {number} is not a result of a sweep")
        if set(values) != names:
            raise click.ClickException(
                f"--resume {path}: line {number} is of another sweep, over {', '.join(values)}; "
                f"this sweep is over {', '.join(sorted(names))}"
            )
        key = frozenset(values.items())
        if success:
            succeeded.add(key)
        else:
            succeeded.discard(key)
    return succeeded


def _is_cut_short(text: str, last: str) -> bool:
    """Whether the last line of a text is the beginning of a result, and not a line of another file,
    which would be lost."""
    return not text.endswith("\n") and (last.startswith(_BEGIN) or _BEGIN.startswith(last))


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
    """End the last line, which the next result would continue, or remove it if it is cut short."""
    size = os.fstat(fd).st_size
    if size == 0 or os.pread(fd, 1, size - 1) == b"\n":
        return
    end = size
    while end > 0:
        start = max(0, end - 65536)
        at = os.pread(fd, end - start, start).rfind(b"\n")
        if at >= 0:
            end = start + at + 1
            break
        end = start
    line = os.pread(fd, size - end, end).decode("utf-8", "replace")
    if _read_line(line)[0] is None:
        os.ftruncate(fd, end)
    else:
        os.write(fd, b"\n")  # appends


def _readable(text: str) -> str:
    """Text without lone surrogates, which stand for bytes that are not UTF-8."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
