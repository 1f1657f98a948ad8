"""The fenced blocks of Markdown documents, and what is said about each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PAGES", "ROOT", "Block", "read_blocks"]

ROOT = Path(__file__).resolve().parents[2]

#: What a reader walks through, in the order of the site. The other documents have no commands, or
#: are generated.
PAGES = (
    "README.md",
    "docs/index.md",
    "docs/install.md",
    "docs/tutorial.md",
    "docs/guides/from-the-official-client.md",
    "docs/guides/command-line.md",
    "docs/guides/files.md",
    "docs/guides/folders.md",
    "docs/guides/sweeps.md",
    "docs/guides/batch.md",
    "docs/guides/terminals.md",
    "docs/guides/ports.md",
    "docs/guides/proxy.md",
    "docs/guides/scripts.md",
    "docs/guides/trio.md",
    "docs/guides/asyncio.md",
    "docs/guides/notebooks.md",
    "docs/testing.md",
    "docs/guides/settings.md",
    "docs/guides/administration.md",
    "docs/guides/local-kernels.md",
    "docs/faq.md",
    "docs/how-it-works.md",
    "docs/cancellation.md",
    "docs/dependencies.md",
    "CONTRIBUTING.md",
)

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w+)(?P<attributes>[^\n`]*)\n(?P<body>.*?)^ *```$", re.M | re.S
)
_MARK = re.compile(r"<!-- not run: (?P<reason>[^>]*?) ?-->\s*\Z", re.S)
_TITLE = re.compile(r'title="([^"]+)"')
#: What may stand between a block and the text that it prints.
_BETWEEN = re.compile(r"\s*(?:[^\n]*:\s*)?")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: the document, from the root folder.
        line: where it begins in that document.
        language: the word behind its fence.
        body: what is in it.
        title: name of the file whose content it is; empty if it is none.
        reason: why it is not run, from the mark before it; None without a mark.
        prints: what the next block says that this one prints; None if it says nothing.
    """

    page: str
    line: int
    language: str
    body: str
    title: str = ""
    reason: str | None = None
    prints: str | None = None

    @property
    def is_action(self) -> bool:
        """Whether it tells the reader to do something: to run it, or to save it as a file."""
        return bool(self.title) or self.language in ("sh", "console", "python")

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def read_blocks(page: str, text: str) -> Sequence[Block]:
    """The blocks of a document, in order.

    Args:
        page: its name, for messages.
        text: its text.
    """
    return list(_blocks(page, text))


def _blocks(page: str, text: str) -> Iterator[Block]:
    matches = list(_FENCE.finditer(text))
    for number, match in enumerate(matches):
        after = matches[number + 1] if number + 1 < len(matches) else None
        prints = None
        if after and after["language"] == "text" and match["language"] in ("sh", "python"):
            between = text[match.end() : after.start()]
            prints = _body(after) if _BETWEEN.fullmatch(between) else None
        mark = _MARK.search(text, 0, match.start())
        title = _TITLE.search(match["attributes"])
        yield Block(
            page,
            text.count("\n", 0, match.start()) + 1,
            match["language"],
            _body(match),
            title[1] if title else "",
            " ".join(mark["reason"].split()) if mark else None,
            prints,
        )


def _body(match: re.Match[str]) -> str:
    return re.sub(rf"(?m)^{match['indent']}", "", match["body"])
