"""Media of a run at the command line: drawn, saved or named, and never the end of the run."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from backendai_cli.console import Status
from backendai_cli.run.media_files import MediaFiles
from backendai_cli.run.media_options import MediaOptions
from backendai_cli.run.output import Output
from backendai_cli.run.terminal_graphics import drawn, protocol_of
from backendai_trio import Event, Html, Media, Stdout
from backendai_trio.wire.media import encode_media
from backendai_trio.wire.run_events import event_of

from .graphics import CHUNK_BYTES, iterm2_pictures, kitty_pictures, without_pictures

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"


# --- protocols -----------------------------------------------------------------------------------


@given(st.binary(max_size=100) | st.binary(min_size=3050, max_size=9300))
def test_kittys_protocol(tail: bytes) -> None:
    written = drawn("kitty", "image/png", PNG + tail)
    assert written is not None
    assert kitty_pictures(written) == [PNG + tail]
    assert without_pictures(written) == b""


@given(st.sampled_from([("image/png", PNG), ("image/jpeg", JPEG)]), st.binary(max_size=9000))
def test_iterm2s_protocol(kind: tuple[str, bytes], tail: bytes) -> None:
    mime_type, start = kind
    written = drawn("iterm2", mime_type, start + tail)
    assert written is not None
    assert iterm2_pictures(written) == [start + tail]
    assert without_pictures(written) == b""


@pytest.mark.parametrize(
    "size", [CHUNK_BYTES // 4 * 3 * n + more for n in (1, 2) for more in (-1, 0, 1)]
)
def test_chunks_at_their_limit(size: int) -> None:
    content = PNG + bytes(size - len(PNG))
    assert kitty_pictures(drawn("kitty", "image/png", content) or b"") == [content]


@pytest.mark.parametrize(
    ("protocol", "mime_type", "content"),
    [
        ("kitty", "image/jpeg", JPEG),
        ("kitty", "image/svg+xml", b"<svg/>"),
        ("iterm2", "image/svg+xml", b"<svg/>"),
        ("kitty", "image/png", b"no PNG"),
        ("iterm2", "image/png", b""),
        ("iterm2", "image/jpeg", PNG),
    ],
)
def test_what_cannot_be_drawn(protocol: Any, mime_type: str, content: bytes) -> None:
    assert drawn(protocol, mime_type, content) is None


@pytest.mark.parametrize(
    ("environ", "protocol"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm2"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "iterm2"),
        ({"TERM": "xterm", "TERM_PROGRAM": "mintty"}, "iterm2"),
        # Started in a terminal that can, but something else is between.
        ({"TERM": "screen-256color", "LC_TERMINAL": "iTerm2"}, None),
        ({"TERM": "tmux-256color", "TERM_PROGRAM": "tmux"}, None),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux-0/default,1,0"}, None),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm", "STY": "1.x"}, None),
        ({"TERM": "xterm-kitty", "ZELLIJ": "0"}, None),
        ({"TERM": "dumb", "TERM_PROGRAM": "iTerm.app"}, None),
        ({"TERM": "xterm", "KITTY_WINDOW_ID": "1"}, None),  # xterm, started from kitty
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "Apple_Terminal"}, None),
        ({"TERM_PROGRAM": "vscode", "TERM": "xterm-256color"}, None),
        ({}, None),
    ],
)
def test_detection(environ: Mapping[str, str], protocol: str | None) -> None:
    assert protocol_of(environ) == protocol


# --- files ---------------------------------------------------------------------------------------


def test_names_of_files(tmp_path: Path) -> None:
    (tmp_path / "picture-1.png").write_bytes(b"mine")
    (tmp_path / "picture-2.png").symlink_to("nowhere")
    files = MediaFiles(tmp_path)
    saved = [
        files.save(Media(mime_type, ""), b"x").name
        for mime_type in [
            "image/png", "image/png", "image/svg+xml", "image/jpeg", "text/html",
            "application/vnd.plotly.v1+json", "image/x-nobody-knows", "../../etc/passwd", "",
            "IMAGE/PNG; q=1", "text/json",
        ]
    ]  # fmt: skip
    assert saved == [
        "picture-3.png", "picture-4.png", "picture-1.svg", "picture-1.jpg", "output-1.html",
        "output-1.json", "picture-1.bin", "output-1.bin", "output-2.bin",
        "picture-5.png", "output-2.json",
    ]  # fmt: skip
    assert (tmp_path / "picture-1.png").read_bytes() == b"mine"
    assert not (tmp_path / "nowhere").exists()
    assert files.save(Html("<b>"), b"x").name == "output-2.html"
    assert MediaFiles(tmp_path).save(Media("image/png", ""), b"y").name == "picture-6.png"


# --- the output of a run -------------------------------------------------------------------------


class Stream(io.TextIOWrapper):
    """A standard stream."""

    def __init__(self, *, is_terminal: bool) -> None:
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding="utf-8", write_through=True)
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@contextmanager
def standard_streams(term: str | None) -> Iterator[tuple[Stream, Stream]]:
    """Standard output and standard error on a terminal, or (without `term`) on pipes.

    No fixture: pytest captures anew after those.
    """
    with pytest.MonkeyPatch.context() as patch:
        streams = tuple(Stream(is_terminal=term is not None) for _ in range(2))
        for name, stream in zip(("stdout", "stderr"), streams, strict=True):
            patch.setattr(sys, name, stream)
        patch.setenv("TERM", term or "dumb")
        patch.setenv("NO_COLOR", "1")
        for name in ("TMUX", "STY", "ZELLIJ", "TERM_PROGRAM", "LC_TERMINAL"):
            patch.delenv(name, raising=False)
        yield streams[0], streams[1]


def shown(
    *events: Event, term: str | None = None, quiet: bool = False, **options: Any
) -> tuple[bytes, str]:
    """What the events of a run become on standard output and standard error."""
    with standard_streams(term) as (stdout, stderr):
        output = Output(Status(quiet=quiet), MediaOptions(**options))

        async def show() -> None:
            for event in events:
                await output.show(event)

        trio.run(show)
        return stdout.bytes.getvalue(), stderr.bytes.getvalue().decode()


def media(mime_type: str, content: bytes) -> Media:
    return Media(mime_type, encode_media(mime_type, content))


def test_picture_in_a_pipe_is_saved(tmp_path: Path) -> None:
    stdout, stderr = shown(Stdout("a"), media("image/png", PNG), Stdout("b"), media_dir=tmp_path)
    assert stdout == b"ab"
    assert stderr == f"∙ Saved image/png: {tmp_path / 'picture-1.png'}\n"
    assert (tmp_path / "picture-1.png").read_bytes() == PNG


def test_picture_on_a_terminal(tmp_path: Path) -> None:
    events = Stdout("50%\r"), media("image/png; x=y", PNG), media("image/png", PNG), Stdout("b\n")
    stdout, stderr = shown(*events, term="xterm-kitty", media_dir=tmp_path)
    assert kitty_pictures(stdout) == [PNG, PNG]
    assert without_pictures(stdout) == b"50%\r\n\n\nb\n"
    assert (stderr, list(tmp_path.iterdir())) == ("", [])


@pytest.mark.parametrize(
    ("texts", "line_end"),
    [
        (["50%\r"], "\n"),
        (["50%\x1b[2K"], "\n"),
        (["\x1b[2K\r"], ""),  # IPython's clear_output
        (["50%\r\x1b[K"], ""),
        (["50%\r\x1b[0K"], ""),
        (["50%", "\r\x1b[2K"], ""),
        (["50%\n", ""], ""),
        (["50%", ""], "\n"),
    ],
)
def test_picture_begins_on_an_empty_line(tmp_path: Path, texts: list[str], line_end: str) -> None:
    events = [*map(Stdout, texts), media("image/png", PNG)]
    stdout, _ = shown(*events, term="xterm-kitty", media_dir=tmp_path)
    assert without_pictures(stdout).decode() == "".join(texts) + line_end + "\n"


@pytest.mark.parametrize("term", ["xterm", "dumb", "screen"])
def test_terminal_that_cannot_draw(tmp_path: Path, term: str) -> None:
    stdout, stderr = shown(Stdout("50%\r"), media("image/png", PNG), term=term, media_dir=tmp_path)
    assert stdout == b"50%\r\n"
    assert stderr == f"∙ Saved image/png: {tmp_path / 'picture-1.png'}\n"


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (media("image/svg+xml", b"<svg/>"), "picture-1.svg"),
        (media("image/jpeg", JPEG), "picture-1.jpg"),
        (media("image/png", b"no PNG"), "picture-1.png"),
        (media("text/html", b"<b>"), "output-1.html"),
        (Html("<b>\udcff"), "output-1.html"),
        (media("application/pdf", b"%PDF"), "output-1.pdf"),
    ],
)
def test_what_kitty_does_not_draw_is_saved(tmp_path: Path, event: Event, name: str) -> None:
    stdout, stderr = shown(event, term="xterm-kitty", media_dir=tmp_path)
    assert stdout == b""
    assert stderr.endswith(f": {tmp_path / name}\n")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_text_is_printed_on_terminals_only(tmp_path: Path) -> None:
    events = media("application/json", b'{"a":\n1}'), media("text/plain", b"x\n")
    assert shown(*events, term="xterm", media_dir=tmp_path) == (b'{"a":\n1}\nx\n', "")
    assert shown(*events, media_dir=tmp_path)[0] == b""
    assert {path.name for path in tmp_path.iterdir()} == {"output-1.json", "output-1.txt"}


@pytest.mark.parametrize("quiet", [False, True])
def test_choices(tmp_path: Path, quiet: bool) -> None:
    picture = media("image/png", PNG)

    def choose(choice: str, term: str | None) -> tuple[bytes, str]:
        return shown(picture, term=term, quiet=quiet, media=choice, media_dir=tmp_path)

    skipped = "" if quiet else "∙ Skipped image/png (8 bytes).\n"
    assert choose("skip", "xterm-kitty") == (b"", skipped)
    assert choose("skip", None) == (b"", skipped)
    assert iterm2_pictures(choose("iterm2", "xterm")[0]) == [PNG]
    assert kitty_pictures(choose("kitty", "xterm")[0]) == [PNG]
    assert list(tmp_path.iterdir()) == []
    # The name of a file is told even with -q: nobody would look for it.
    for number, (choice, term) in enumerate([("save", "xterm-kitty"), ("kitty", None)], start=1):
        path = tmp_path / f"picture-{number}.png"
        assert choose(choice, term) == (b"", f"∙ Saved image/png: {path}\n")


def test_folder_is_made_when_it_is_needed(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    shown(Stdout("x"), media_dir=folder)
    assert not folder.exists()
    shown(media("image/png", PNG), media_dir=folder)
    assert (folder / "picture-1.png").read_bytes() == PNG


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/1/nowhere")):
        stdout, stderr = shown(
            media("image/png", PNG), Stdout("on\n"), quiet=True, media_dir=folder
        )
        assert stdout == b"on\n"
        assert stderr.startswith(f"! Cannot save image/png in the folder {folder}: ")
        assert stderr.endswith(
            "; name another one with --media-dir, or leave media out with --media skip.\n"
        )
        assert stderr.count("\n") == 1


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left of a file that could not be written as a whole."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        _, stderr = shown(media("image/png", PNG + bytes(20_000)), media_dir=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "File too large" in stderr
    assert list(tmp_path.iterdir()) == []


def test_malformed_media(tmp_path: Path) -> None:
    stdout, stderr = shown(
        Media("image/png", "\x1b]0;title\x07 no base64"), Stdout("on\n"), media_dir=tmp_path
    )
    assert stdout == b"on\n"
    assert stderr.startswith("! Skipped malformed media: output of type 'image/png'")
    assert "\x1b" not in stderr and stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


_types = (
    st.sampled_from(["image/png", "image/svg+xml", "application/json", "text/html"]) | st.text()
)
_data = st.text() | st.none() | st.integers() | st.dictionaries(st.text(), st.text())


@given(
    st.tuples(st.just("media"), st.tuples(_types, _data).map(list) | st.lists(_data))
    | st.tuples(st.sampled_from(["html", "log", "odd"]), _data),
    st.sampled_from([None, "xterm", "xterm-kitty", "dumb"]),
)
@settings(max_examples=200)
def test_no_record_of_a_server_breaks_a_run(record: tuple[str, object], term: str | None) -> None:
    with TemporaryDirectory() as folder:
        stdout, _ = shown(event_of(*record), Stdout("on\n"), term=term, media_dir=Path(folder))
    assert stdout.endswith(b"on\n")
