"""The pictures of the documents are those that their scripts make."""

from __future__ import annotations

import html
import re
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

from ..test_architecture import FLOORS
from .blocks import ROOT

IMAGES = ROOT / "docs" / "images"


def script(name: str) -> ModuleType:
    """A script of docs/tools, imported."""
    spec = spec_from_file_location(name, ROOT / "docs" / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def words_of(svg: str) -> list[str]:
    """What a reader of a picture reads, a line each."""
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    return [html.unescape(text).replace("\xa0", " ").rstrip() for text in texts]


def test_drawn_pictures() -> None:
    drawing = script("draw_pictures")
    assert (IMAGES / "architecture.svg").read_text(encoding="utf-8") == drawing.architecture()


def test_the_architecture_is_that_of_the_code() -> None:
    """The rows of the picture are the floors of the packages, the lowest last."""
    drawn = [{name for name, _, _ in layer} for layer in script("draw_pictures").LAYERS]
    packages = {
        name: floor
        for name, floor in FLOORS.items()
        if name and not name.startswith("_") and name != "errors"
    }
    floors = sorted(set(packages.values()), reverse=True)
    assert drawn == [{name for name in packages if packages[name] == floor} for floor in floors]


def test_recorded_session() -> None:
    """The commands show today what they showed when the picture was made."""
    recorded = (IMAGES / "terminal.svg").read_text(encoding="utf-8")
    assert words_of(script("record_terminal").session_svg()) == words_of(recorded)


def test_no_picture_fetches_anything() -> None:
    for path in IMAGES.glob("*.svg"):
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|@import|@font-face", text), path.name
