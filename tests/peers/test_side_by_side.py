"""Every command of client 1.1.1 and ours, run side by side on one gateway.

What the original tells must be told by ours, too: ids, names, states, times, the program's output.
The layout is ours, and so are the exit codes of `run`, which is 0 in 1.1.1 whatever happens.
`proxy` is in `test_proxies`, next to this.
"""

from __future__ import annotations

import re
import shlex
from ast import literal_eval
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..cli.commands import ACCESS_KEY, SECRET_KEY, Commands, Result, variables_of
from .seed import open_seed_gateway

FILES = {
    "main.c": '#include <stdio.h>\nint main(void) { printf("%d\\n", VALUE); return 0; }\n',
    "plain.c": '#include <stdio.h>\nint main(void) { puts("plain"); return 0; }\n',
    "main.py": "import sys\nprint('out')\nprint('err', file=sys.stderr)\n",
    "notes.txt": "notes\n",
}
#: Nobody listens there: what fails in the same way without a server does not fail for its sake.
NOWHERE = {"BACKEND_ENDPOINT": "http://127.0.0.1:1"}

Run = Callable[..., Result]


@dataclass(frozen=True)
class World:
    """A gateway with some kernels and folders on it, and both clients.

    Attributes:
        theirs: runs a command line of 1.1.1.
        ours: runs one of ours.
    """

    theirs: Run
    ours: Run


@contextmanager
def _served(commands: Commands) -> Iterator[Mapping[str, str]]:
    secret = {"BACKEND_SECRET_KEY": SECRET_KEY}
    with commands.serve("--access-key", ACCESS_KEY, env=secret) as gateway:
        yield variables_of(gateway)


GATEWAYS = {"all eras": _served, "seed era": open_seed_gateway}


@pytest.fixture(scope="module")
def world(
    request: pytest.FixtureRequest, client_1_1_1: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    commands = Commands(tmp_path_factory.mktemp("side-by-side"))
    for name, text in FILES.items():
        (commands.work / name).write_text(text)
    with GATEWAYS[request.param](commands) as env:
        # Times are shown as local ones, which the original does not do.
        env = dict(env) | {"TZ": "UTC", "COLUMNS": "200"}

        def theirs(line: str, stdin: bytes = b"", **other: str) -> Result:
            program, *words = shlex.split(line)
            env_of_it = env | {"PYTHONWARNINGS": "ignore"} | other
            return commands.run(
                *words, stdin=stdin, env=env_of_it, program=str(client_1_1_1 / program)
            )

        def ours(line: str, stdin: bytes = b"", **other: str) -> Result:
            program, *words = shlex.split(line)
            return commands.run(*words, stdin=stdin, env=env | other, program=program)

        (commands.work.parent / "side.txt").write_text("from above\n")
        for line in (
            "backend.ai run -q -t kernel-of-mine python -c 'x = 42'",
            "backend.ai run -q lua -c 'print(1)'",
            "backend.ai vfolder create data",
            "backend.ai vfolder upload data notes.txt",
            *(
                f"backend.ai vfolder create {action}-of-{who}"
                for action in ("upload", "delete")
                for who in ("theirs", "ours")
            ),
        ):
            done = ours(line)
            assert done.code == 0, (line, done.stderr)
        yield World(theirs, ours)
    assert commands.nothing_is_left(), (commands.kernel_processes(), commands.kernel_files())


# -- what the original tells ----------------------------------------------------------------------


def cells(text: str) -> list[list[str]]:
    """The rows of a table of 1.1.1, under its line of dashes."""
    lines = text.splitlines()
    rule = next(at for at, line in enumerate(lines) if re.fullmatch(r"[- ]*--[- ]*", line))
    spans = [match.span() for match in re.finditer("-+", lines[rule])]
    # The last column may be wider than its dashes.
    spans[-1] = (spans[-1][0], max(map(len, lines)))
    return [[line[a:b].strip() for a, b in spans] for line in lines[rule + 1 :]]


def moments(text: str) -> str:
    """Times as ours shows them: to the second."""
    return re.sub(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d+)?(\+00:00|Z)?", r"\1 \2", text)


# -- how to compare -------------------------------------------------------------------------------


def program(theirs: Result, ours: Result) -> None:
    """What ran: the same bytes; and the lines of success, without ids."""
    assert ours.stdout == theirs.stdout, ours.stderr

    def successes(result: Result) -> set[str]:
        found = re.findall(r"✔ ([^\r\n]*)", result.stderr)
        return {re.sub(r"ID: [\w-]+", "ID", line) for line in found}

    assert successes(ours) >= successes(theirs)
    tokens = re.findall(r"Client session token: (\S+)", theirs.stderr)
    assert all(token in ours.stderr for token in tokens)
    if not successes(theirs):  # quiet: the rest is what the program wrote there
        assert ours.stderr == theirs.stderr


def table(theirs: Result, ours: Result) -> None:
    """Each row of theirs is one of ours, with every value that is not nothing."""
    assert (theirs.code, ours.code) == (0, 0), ours.stderr
    rows = [re.split(r"[\s,]+", line) for line in moments(ours.text).splitlines()]
    for row in cells(theirs.text):
        words = {word for cell in row for word in moments(cell).split() if cell != "0"}
        assert any(words <= set(line) for line in rows), (words, ours.text)
    assert cells(theirs.text)


def nothing(theirs: Result, ours: Result) -> None:
    """Both say that there is nothing."""
    assert (theirs.code, ours.code) == (0, 0), ours.stderr
    assert re.search("There is no|^\\[\\]$", theirs.text) and "There are no" in ours.text


def values(theirs: Result, ours: Result) -> None:
    """All values of the mappings that theirs prints."""
    assert (theirs.code, ours.code) == (0, 0), ours.stderr
    found = re.findall(r"\('\w+', (.*?)\)(?=[,\]])", theirs.text)
    assert len(found) >= 2
    for text in found:
        assert moments(str(literal_eval(text))) in moments(ours.text), text


def created(theirs: Result, ours: Result) -> None:
    """Name and id of what is new."""
    assert (theirs.code, ours.code) == (0, 0), ours.stderr
    assert re.search(r"'name', 'new-of-theirs'.*'id', '[0-9a-f]{32}'", theirs.text)
    assert re.search(r"new-of-ours .*ID: [0-9a-f]{32}", ours.stderr)


def done(theirs: Result, ours: Result) -> None:
    """It succeeds in both, and in theirs there is nothing to learn from it but an HTTP status."""
    assert (theirs.code, ours.code) == (0, 0), ours.stderr
    assert theirs.text.strip() in ("", "201")


def refused(theirs: Result, ours: Result) -> None:
    """The server's reason."""
    assert theirs.code != 0 and ours.code in (126, 127)
    match = re.search(r"BackendAPIError: \((\d+), .*'title': (\"[^\"]*\"|'[^']*')", theirs.stderr)
    assert match is not None, theirs.stderr
    for word in re.findall(r"[\w-]+", literal_eval(match[2])):
        assert word in ours.stderr


def only_a_number(theirs: Result, ours: Result) -> None:
    """Of a refused upload theirs tells the HTTP status alone, as a success."""
    assert (theirs.code, theirs.text) == (0, "404\n")
    assert ours.code == 126 and "No such virtual folder" in ours.stderr


def statistics(theirs: Result, ours: Result) -> None:
    """Both name the same things; the figures are of different runs."""
    rows = cells(theirs.text)[:-1]
    assert len(rows) >= 5
    for name, _figure in rows:
        assert re.search(rf"\b{name} +[\d.,]+", ours.stderr), name


def settings(theirs: Result, ours: Result) -> None:
    """Line by line; our mask hides more of the secret key, and the API version is a range."""

    def lines(result: Result) -> dict[str, str]:
        return dict(re.findall(r'^([\w ]+): "(.*)"$', result.text, re.MULTILINE))

    their_lines, our_lines = lines(theirs), lines(ours)
    assert our_lines.keys() == their_lines.keys() and len(their_lines) == 5
    for name in ("API endpoint", "Access key", "Signature hash type"):
        assert our_lines[name] == their_lines[name]
    assert their_lines["API version"] in our_lines["API version"]
    begin, end = re.split(r"\*+", our_lines["Secret key"])
    assert SECRET_KEY.startswith(begin) and SECRET_KEY.endswith(end) and begin and end
    assert len(our_lines["Secret key"]) == len(their_lines["Secret key"]) == len(SECRET_KEY)


def usage(theirs: Result, ours: Result) -> None:
    """All commands, options and choices that their help names."""
    assert (theirs.code, ours.code) == (0, 0), ours.stderr
    listed = " ".join(re.findall(r"^ {2}(-.*?)(?: {2}|$)", theirs.text, re.MULTILINE))
    options = set(re.findall(r"--?[a-z][\w-]*", listed))
    choices = re.findall(r"{([\w,\s-]+)}", theirs.text)
    names = options | {name.strip() for text in choices for name in text.split(",")}
    missing = names - set(re.findall(r"[\w-]+", ours.text))
    assert len(names) >= 2 and not missing, missing


def points_to_help(theirs: Result, ours: Result) -> None:
    """Where theirs names its help, ours shows it."""
    assert "-h/--help" in theirs.text
    assert ours.code == 0 and "Commands:" in ours.text


def wrong_usage(theirs: Result, ours: Result) -> None:
    """Both refuse; ours says it in a line, on standard error."""
    assert theirs.code == 2
    assert "error" in theirs.stderr and ours.problem(125)


@dataclass(frozen=True)
class Row:
    """A command line for both; ``{who}`` stands for ``theirs`` or ``ours``."""

    line: str
    compare: Callable[[Result, Result], None]
    stdin: bytes = b""

    def __str__(self) -> str:
        return self.line


HELP = ["help", "--help", "help --help", "run --help", "config --help", "ps --help", "proxy --help"]
HELP += ["admin --help", "admin sessions --help", "admin vfolders --help", "vfolder --help"]
HELP += [f"vfolder {name} --help" for name in ("list", "create", "delete", "info", "upload")]

ROWS = [
    *(Row(f"backend.ai {words}", usage) for words in ("", *HELP)),
    Row("lcc --help", usage),
    Row("lpython --help", usage),
    Row("backend.ai nonsense", wrong_usage),
    Row("backend.ai config", settings),
    Row("backend.ai admin", points_to_help),
    Row("backend.ai vfolder", points_to_help),
    # run
    Row("backend.ai run python3 -c \"print('hello world')\"", program),
    Row("backend.ai run --quiet lua5 --code 'print(\"hello world\")'", program),
    Row("backend.ai run -q python -c \"print(input('a? ') + input('b? '))\"", program, b"1\n2\n"),
    Row("backend.ai run -t kernel-of-mine python -c 'print(x)'", program),
    Row("backend.ai run -q --client-token kernel-of-mine python -c 'print(x)'", program),
    Row(
        "backend.ai run -q -e A=1 --env B=2=3 python -c 'import os; print(os.environ[\"B\"])'",
        program,
    ),
    Row("backend.ai run -q -m data python -c 'print(open(\"data/notes.txt\").read())'", program),
    Row(
        "backend.ai run -q --mount data python -c 'print(open(\"data/notes.txt\").read())'", program
    ),
    Row("backend.ai run -q python -c '1/0'", program),
    Row("backend.ai run python main.py", program),
    Row("backend.ai run c plain.c", program),
    Row(
        "backend.ai run c main.c --build 'cc -DVALUE=7 -o it main.c' --exec './it; echo two'",
        program,
    ),
    Row("lcc plain.c", program),
    Row("lpython main.py", program),
    Row("backend.ai run -q -s python -c 'sum(range(9))'", statistics),
    Row("backend.ai run --stats python -c 'sum(range(9))'", statistics),
    Row("backend.ai run nosuchlang -c x", refused),
    Row("backend.ai run -m nope python -c x", refused),
    Row("backend.ai run -t kernel-of-mine lua -c x", refused),
    # ps and admin
    Row("backend.ai ps", table),
    Row("backend.ai admin sessions", table),
    Row("backend.ai admin sessions --status RUNNING", table),
    Row("backend.ai admin sessions --status TERMINATED", table),
    Row("backend.ai admin sessions --status ALL", table),
    Row(f"backend.ai admin sessions --access-key {ACCESS_KEY} --status ALL", table),
    Row("backend.ai admin sessions --access-key AKIANOBODYSNOBODYSNO", nothing),
    *(
        Row(f"backend.ai admin sessions --status {name}", nothing)
        for name in ("PREPARING", "ERROR")
    ),
    Row("backend.ai admin sessions --status RUNING", wrong_usage),
    Row("backend.ai admin vfolders", table),
    # vfolder
    Row("backend.ai vfolder list", values),
    Row("backend.ai vfolder info data", values),
    Row("backend.ai vfolder create new-of-{who}", created),
    Row("backend.ai vfolder upload upload-of-{who} notes.txt", done),
    Row("backend.ai vfolder delete delete-of-{who}", done),
    Row("backend.ai vfolder create data", refused),
    Row("backend.ai vfolder info nope", refused),
    Row("backend.ai vfolder delete nope", refused),
    Row("backend.ai vfolder upload nope notes.txt", only_a_number),
]


def compare(world: World, row: Row) -> None:
    row.compare(
        world.theirs(row.line.format(who="theirs"), row.stdin),
        world.ours(row.line.format(who="ours"), row.stdin),
    )


def world_of(eras: str) -> pytest.MarkDecorator:
    """Tests in a world with these eras; they share one, and so come one after another."""
    return pytest.mark.parametrize("world", [eras], indirect=True, scope="module")


@world_of("all eras")
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_ours_tells_what_theirs_tells(world: World, row: Row) -> None:
    compare(world, row)


# With all eras, ours speaks the newest API and 1.1.1 its own; with the seed era both speak that.
# There, only what is listed is compared again: of `run`, other tests see each era.
@world_of("seed era")
@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.compare in (table, nothing, values, created)], ids=str
)
def test_it_does_on_a_server_of_its_time(world: World, row: Row) -> None:
    compare(world, row)


# -- what 1.1.1 cannot do -------------------------------------------------------------------------


@dataclass(frozen=True)
class Failure:
    """What 1.1.1 fails at by itself, whatever the server: it ends alike where there is none."""

    line: str
    error: str
    """The last line of its traceback."""
    why: str
    ours: str
    """What ours writes, on either stream."""

    def __str__(self) -> str:
        return self.line


FAILURES = [
    Failure(
        "lcc -q plain.c",
        "error: unrecognized arguments: plain.c",
        "its parser takes no files after an option",
        "plain\n",
    ),
    Failure(
        "backend.ai run -q -t short python -c 'print(6*7)'",
        "AssertionError",
        "it wants tokens of more than 8 characters, which servers do not",
        "42",
    ),
    Failure(
        "backend.ai run -q -e NAME python -c 'print(1)'",
        "ValueError: not enough values to unpack (expected 2, got 1)",
        "it does not check what -e is given",
        "-e NAME: write it as KEY=VALUE",
    ),
    Failure(
        "backend.ai vfolder upload data nowhere.txt",
        "FileNotFoundError: [Errno 2] No such file or directory: 'nowhere.txt'",
        "no such file",
        "nowhere.txt: cannot be uploaded: No such file or directory",
    ),
    Failure(
        "backend.ai vfolder upload data ../side.txt",
        "is not in the subpath of",
        "it takes files of the current folder alone",
        "Uploaded 1 file to data.",
    ),
]


@world_of("all eras")
@pytest.mark.parametrize("failure", FAILURES, ids=str)
def test_what_theirs_cannot_do_by_itself(world: World, failure: Failure) -> None:
    with_server, without = world.theirs(failure.line), world.theirs(failure.line, **NOWHERE)
    for theirs in (with_server, without):
        assert theirs.code != 0
        assert failure.error in theirs.stderr.splitlines()[-1], theirs.stderr
    ours = world.ours(failure.line)
    assert failure.ours in ours.text + ours.stderr
    assert "Traceback" not in ours.stderr


@world_of("all eras")
def test_a_file_that_is_not_there(world: World) -> None:
    """Theirs has made a kernel by then, and calls it a success."""
    theirs = world.theirs("backend.ai run python nowhere.py")
    assert theirs.code == 0 and "No such file or directory: 'nowhere.py'" in theirs.stderr
    ours = world.ours("backend.ai run python nowhere.py")
    assert "nowhere.py: cannot be uploaded: No such file" in ours.problem(125)


@world_of("all eras")
@pytest.mark.parametrize("words", ["run python", "run python main.py -c x"])
def test_nothing_or_too_much_to_run(world: World, words: str) -> None:
    """Theirs says what is wrong and calls it a success."""
    theirs = world.theirs(f"backend.ai {words}")
    assert theirs.code == 0 and ("-c" in theirs.stderr or "only either" in theirs.stderr)
    assert "-c" in world.ours(f"backend.ai {words}").problem(125)


@world_of("all eras")
def test_folders_of_somebody_else(world: World) -> None:
    """1.1.1 never sends the access key that `admin vfolders` takes: its list is that without it."""
    line = "backend.ai admin vfolders --access-key AKIANOBODYSNOBODYSNO"
    theirs = world.theirs(line)
    assert theirs.code == 0
    assert theirs.text == world.theirs("backend.ai admin vfolders").text != ""
    ours = world.ours(line)
    assert ours.code == 0 and "There are no" in ours.text
    own = world.ours(line.replace("AKIANOBODYSNOBODYSNO", ACCESS_KEY))
    assert own == world.ours("backend.ai admin vfolders") and "data" in own.text
