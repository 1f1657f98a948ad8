"""Pages of the site that are not written below docs/: a hook of MkDocs.

The reference of the commands is made from the commands themselves, and that of a package from its
stub, the list of its public names. SECURITY.md, CONTRIBUTING.md and CHANGELOG.md are pages, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import resolve_name
from inspect import cleandoc, isfunction, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backendai_cli.main import cli
from backendai_trio._lazy import public_names

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
#: Documents beside docs/, and their pages.
DOCUMENTS = {
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
COMMANDS = "reference/commands"
#: Links of pages below docs/ to these documents; the first group leads from the page to docs/.
LINK_TO_DOCUMENT = re.compile(
    rf"\]\(((?:\.\./)*)\.\./({'|'.join(map(re.escape, DOCUMENTS))})(?=[#)])"
)
#: Links of these documents to files: their texts and paths.
LINK_TO_FILE = re.compile(r"\[([^]]*)\]\(([^):#]+)(?:#[^)]*)?\)")
#: Where a page says so, a table of a class' methods is to stand.
METHODS = re.compile(r"^<!-- methods of ([.\w]+) -->$", re.MULTILINE)
#: Where a page names a package, its public names are to stand.
PACKAGE = re.compile(r"^::: (backendai_trio[.\w]*)$", re.MULTILINE)


# --- what MkDocs calls ----------------------------------------------------------------------------


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put a page for each command in the place of the entry `COMMANDS`."""
    pages: list[Any] = [f"{COMMANDS}/index.md"]
    pages += [{name: f"{COMMANDS}/{name}.md"} for name in _names()]
    config.nav = _replaced(config.nav, pages)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    from mkdocs.structure.files import File

    pages = {page: _document(ROOT / name) for name, page in DOCUMENTS.items()}
    pages[f"{COMMANDS}/index.md"] = _index()
    pages |= {f"{COMMANDS}/{name}.md": _page(name) for name in _names()}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the public names of packages where a page names a package, and lead links to documents
    of the root folder to their pages."""
    markdown = LINK_TO_DOCUMENT.sub(lambda match: f"]({match[1]}{DOCUMENTS[match[2]]}", markdown)
    return METHODS.sub(_methods, PACKAGE.sub(_package, markdown))


# --- the Python names -----------------------------------------------------------------------------


def _package(match: re.Match[str]) -> str:
    package = match[1]
    stub = ROOT.joinpath(*package.split("."), "__init__.pyi")
    if not stub.exists():
        return match[0]
    parts = []
    for name, module in sorted(public_names(str(stub)).items()):
        home = resolve_name(module, package)
        parts.append(f"::: {home}.{name}\n    options: {{show_root_heading: true}}\n")
        parts += _adopted(getattr(import_module(home), name))
    return "\n".join(parts)


def _adopted(value: object) -> Iterator[str]:
    """The methods of a class that are functions of other modules: no parser of its source sees
    that they are methods."""
    if not isinstance(value, type) or value.__module__.startswith("backendai_trio.faces"):
        return  # the classes of the faces have tables
    members = vars(value).items()
    for name, member in sorted(members):
        if isfunction(member) and not name.startswith("_") and "." not in member.__qualname__:
            path = f"{member.__module__}.{member.__qualname__}"
            options = "{heading_level: 3, show_root_heading: true}"
            yield f"::: {path}\n    options: {options}\n"


def _methods(match: re.Match[str]) -> str:
    """A table of the methods of a class, made for it from those of another class."""
    module, _, name = match[1].rpartition(".")
    found = getattr(import_module(module), name)
    rows = ["| | |", "|---|---|"]
    for method in sorted(dir(found)):
        value = getattr(found, method)
        if method.startswith("_") or not value.__doc__ or not callable(value):
            continue
        words = [str(parameter) for parameter in signature(value).parameters.values()]
        words = [word.partition(":")[0].partition(" =")[0] for word in words if word != "self"]
        first = " ".join(value.__doc__.strip().partition("\n\n")[0].split())
        rows.append(f"| `{method}({', '.join(words)})` | {first} |")
    return "\n".join(rows)


# --- the pages of MkDocs --------------------------------------------------------------------------


def _replaced(nav: Any, pages: list[Any]) -> Any:
    if isinstance(nav, list):
        return [_replaced(entry, pages) for entry in nav]
    if isinstance(nav, dict):
        return {name: _replaced(value, pages) for name, value in nav.items()}
    return pages if nav == COMMANDS else nav


def _document(path: Path) -> str:
    """A document of the root folder, with the links that it has as a page."""
    text = LINK_TO_FILE.sub(_link_or_text, path.read_text(encoding="utf-8"))
    text = text.replace("](docs/", "](")
    for name, page in DOCUMENTS.items():
        text = text.replace(f"]({name}", f"]({page}")
    return text


def _link_or_text(match: re.Match[str]) -> str:
    """The link if the site has its file, else the text of the link."""
    return match[0] if match[2] in DOCUMENTS or match[2].startswith("docs/") else match[1]


# --- the commands ---------------------------------------------------------------------------------


def _names() -> list[str]:
    return cli.list_commands(click.Context(cli))


def _command(group: click.Group, context: click.Context, name: str) -> click.Command:
    command = group.get_command(context, name)
    assert command is not None
    return command


def _index() -> str:
    context = click.Context(cli, info_name="backend.ai")
    rows = [
        f"| [`{name}`]({name}.md) | {_prose(summary)} |"
        for name, summary in cli.summaries(context).items()
    ]
    table = "\n".join(["| command | what it does |", "|---|---|", *rows])
    return (
        f"# Commands\n\n{''.join(_body(cli, context))}\n"
        f"`lcc` is `backend.ai run c`, and `lpython` is `backend.ai run python`.\n\n{table}\n"
    )


def _page(name: str) -> str:
    parent = click.Context(cli, info_name="backend.ai")
    return "".join(_sections(_command(cli, parent, name), parent, name, level=1))


def _sections(
    command: click.Command, parent: click.Context, name: str, *, level: int
) -> Iterator[str]:
    """A command and all below it, each with a heading."""
    context = click.Context(command, info_name=name, parent=parent)
    yield f"{'#' * level} {context.command_path}\n\n"
    yield from _body(command, context)
    if isinstance(command, click.Group) and name != "session":
        for inner in command.list_commands(context):
            yield from _sections(_command(command, context, inner), context, inner, level=level + 1)


def _body(command: click.Command, context: click.Context) -> Iterator[str]:
    usage = command.get_usage(context).removeprefix("Usage: ")
    yield f"```text\n{usage}\n```\n\n"
    yield from _help(command.help or "")
    # Options of a command come before those that all commands of its kind have.
    shown = [param.get_help_record(context) for param in command.get_params(context)]
    records = [record for record in shown if record is not None]
    if records:
        yield "| option | |\n|---|---|\n"
        for option, text in filter(all, records):
            cell = option.replace("|", "\\|")
            yield f"| `{cell}` | {_prose(text)} |\n"
        yield "\n"
    if isinstance(command, click.Group) and command.name == "session":
        formatter = click.HelpFormatter(width=100)
        command.format_commands(context, formatter)
        yield f"```text\n{formatter.getvalue()}```\n\n"


def _help(text: str) -> Iterator[str]:
    """Help as Markdown. A paragraph that begins with ``\\b`` keeps its lines."""
    for paragraph in re.split(r"\n{2,}", re.sub(r"(?m)^ +$", "", cleandoc(text))):
        title, _, body = paragraph.partition("\n")
        if title.strip() != "\b":
            yield _prose(" ".join(paragraph.split())) + "\n\n"
            continue
        title, _, body = body.partition("\n")
        language = "sh" if title.strip() == "Examples:" else "text"
        lines = "\n".join(line.removeprefix("  ") for line in body.splitlines())
        yield f"{_prose(title)}\n\n```{language}\n{lines}\n```\n\n"


def _prose(text: str) -> str:
    """Text in which nothing is markup."""
    return re.sub(r"([\\`*_<>\[\]|#])", r"\\\1", text)
