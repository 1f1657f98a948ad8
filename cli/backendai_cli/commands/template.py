"""`backend.ai template`."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import click

from backendai_trio import Client

from ..console import Status
from ..groups import Group
from ..kernel_options import GroupedCommand, KernelOptions, kernel_options
from ..list_options import Columns, column_options
from ..options import quiet_option
from ..parameters import NAME
from ..runtime_argument import RUNTIME
from ..server import call_server, configured_server
from ..tables import title_of

if TYPE_CHECKING:
    from backendai_trio import KernelSpec

__all__ = ["command"]

_COLUMNS = ("name", "id", "image", "project", "owner", "is_own", "created_at", "definition")
_USUAL = ("name", "image", "project", "owner", "id")


@click.group("template", cls=Group)
def command() -> None:
    """Manage templates: what kernels get, kept on the server under a name. Managers from 20.03 on
    have them.

    \b
    Examples:
      backend.ai template create lab python -r cpu=2 -r mem=4g -m data -e DEBUG=1
      backend.ai create - --template lab -t mine
      backend.ai run python --template lab -c 'print(1)'
      backend.ai template list
    """


@command.command("list")
@column_options
def list_command(columns: Columns) -> None:
    """List the templates that you may use.

    Columns are name, id, image, project, owner, is_own, created_at and definition.

    \b
    Examples:
      backend.ai template list
      backend.ai template list --json
    """
    from backendai_trio.kernels import list_templates

    columns.check(_COLUMNS)
    found = call_server(configured_server("list templates"), list_templates)
    rows = [
        {
            "name": item.name,
            "id": item.template_id,
            "image": item.image,
            "project": item.project,
            "owner": item.owner,
            "is_own": item.is_own,
            "created_at": item.created_at,
            "definition": dict(item.definition),
        }
        for item in found
    ]
    columns.show(rows, {name: title_of(name) for name in _USUAL}, empty="There are no templates.")


@command.command("get")
@click.argument("name", type=NAME)
def get_command(name: str) -> None:
    """Print what the template NAME says, as JSON. NAME may be its id.

    \b
    Examples:
      backend.ai template get lab
    """
    from backendai_trio.kernels import get_template

    config = configured_server(f"get the template {name}")
    found = call_server(config, partial(get_template, template=name))
    click.echo(json.dumps(dict(found.definition), indent=2, ensure_ascii=False))


@command.command("create", cls=GroupedCommand)
@click.argument("name", type=NAME)
@click.argument("lang", type=RUNTIME)
@quiet_option
@kernel_options
def create_command(name: str, lang: str, quiet: bool, kernel: KernelOptions) -> None:
    """Create the template NAME for kernels of the runtime LANG, and print its id.

    A template holds variables, mounts, resources, architecture, resource group, tag, agents and a
    bootstrap script; its kernels belong to its project.

    \b
    Examples:
      backend.ai template create lab python -r cpu=2 -r mem=4g -m data -e DEBUG=1
    """
    from backendai_trio.kernels import create_template

    spec = _spec(lang, kernel)
    config = configured_server(f"create the template {name}")
    made = call_server(config, partial(create_template, name=name, spec=spec))
    Status(quiet=quiet).done(f"The template {name} is created.")
    click.echo(made)


@command.command("update", cls=GroupedCommand)
@click.argument("name", type=NAME)
@click.argument("lang", type=RUNTIME)
@quiet_option
@kernel_options
def update_command(name: str, lang: str, quiet: bool, kernel: KernelOptions) -> None:
    """Replace what your template NAME says: all of it, as if it were created anew. Kernels that
    exist stay as they are.

    \b
    Examples:
      backend.ai template update lab python -r cpu=4 -r mem=8g -m data
    """
    from backendai_trio.kernels import replace_template

    spec = _spec(lang, kernel)
    config = configured_server(f"update the template {name}")
    call_server(config, partial(replace_template, template=name, spec=spec))
    Status(quiet=quiet).done(f"The template {name} is replaced.")


@command.command("delete")
@click.argument("names", metavar="NAME...", nargs=-1, required=True, type=NAME)
@quiet_option
def delete_command(names: tuple[str, ...], quiet: bool) -> None:
    """Delete your templates NAME. Kernels that exist stay.

    \b
    Examples:
      backend.ai template delete lab
    """
    from backendai_trio.kernels import delete_template

    async def delete(client: Client) -> None:
        for name in names:
            await delete_template(client, name)
            Status(quiet=quiet).done(f"The template {name} is deleted.")

    call_server(configured_server("delete templates"), delete)


def _spec(lang: str, kernel: KernelOptions) -> KernelSpec:
    if kernel.max_wait is not None or kernel.no_reuse:
        raise click.UsageError("a template does not hold --max-wait and --no-reuse")
    return kernel.spec(lang)
