"""Links of the documents lead to files, in a clone and on the pages of a code host.

`.ci/docs` checks the same links in the site, where documents of the root folder are pages below
docs/ (`docs/tools/generated_pages.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "benchmarks" / "README.md"]
#: Generated for the site; the texts around these links say so.
GENERATED = ROOT / "docs" / "reference" / "commands"

_FENCED = re.compile(r"^ *```.*?^ *```$", re.M | re.S)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.M)


def broken(path: Path, text: str) -> Iterator[str]:
    """The links of a document that lead nowhere."""
    for link in _LINK.findall(_FENCED.sub("", text)):
        address, _, anchor = link.partition("#")
        if "://" in address or address.startswith("mailto:"):
            continue
        target = (path.parent / address).resolve() if address else path
        if GENERATED in target.parents:
            continue
        leads = target.exists()
        if leads and anchor and target.suffix == ".md":
            leads = anchor in anchors(target)
        if not leads:
            yield f"{path.relative_to(ROOT)}: {link}"


def anchors(path: Path) -> set[str]:
    """What links can name in a document."""
    titles = _HEADING.findall(_FENCED.sub("", path.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links(path: Path) -> None:
    assert list(broken(path, path.read_text(encoding="utf-8"))) == []


def test_a_link_that_leads_nowhere_is_found() -> None:
    page = ROOT / "docs" / "index.md"
    wrong = ["contributing.md", "../CONTRIBUTING.md#no-such-heading", "#no-such-heading"]
    right = ["../CONTRIBUTING.md#add-an-era", "install.md", "https://example.com/no-file.md"]
    text = " ".join(f"[a]({link})" for link in wrong + right)
    assert list(broken(page, text)) == [f"docs/index.md: {link}" for link in wrong]
