"""Check the built site: each link within it leads to a file and an anchor, and none is fetched.

Usage: python docs/tools/check_site.py build/site
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: What a browser fetches by itself, by the attribute that names it.
FETCHED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src")}
FETCHED_LINKS = {"stylesheet", "icon", "preload", "preconnect"}


class Page(HTMLParser):
    """The links and the anchors of a page.

    Attributes:
        links: what its links lead to.
        fetched: what a browser fetches to show it.
        anchors: the places in it that links can name.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.anchors: set[str] = {"", "__top"}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "link" and FETCHED_LINKS & set(values.get("rel", "").split()):
            self.fetched.append(values["href"])
        self.fetched += [values[name] for name in values if (tag, name) in FETCHED]


def problems(site: Path) -> Iterator[str]:
    """What is wrong with a site, a line each."""
    pages = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        where = path.relative_to(site)
        if where.name == "404.html":  # its links are absolute: it is shown for any address
            continue
        for address in page.fetched:
            if urlsplit(address).netloc:
                yield f"{where}: fetches {address}"
        for address in page.links + page.fetched:
            url = urlsplit(address)
            if url.scheme or url.netloc:
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                yield f"{where}: {address} leads to no file"
            elif target in pages and unquote(url.fragment) not in pages[target].anchors:
                yield f"{where}: {address} leads to no place in that page"


def main() -> int:
    site = Path(sys.argv[1]).resolve()
    found = list(problems(site))
    sys.stderr.write("\n".join(found or ["All links of the site lead somewhere."]) + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
