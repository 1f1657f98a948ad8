"""Options of every command that creates a kernel, and the kernel that they ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeVar

import click

from .options import parse_pairs
from .parameters import NAME

if TYPE_CHECKING:
    from backendai_trio import KernelSpec

__all__ = ["GroupedCommand", "KernelOptions", "kernel_options"]

R = TypeVar("R")

TITLE = "Kernel options"


class _KernelOption(click.Option):
    """An option that help shows in a section of its own."""


class GroupedCommand(click.Command):
    """A command whose help has the options of the kernel below its own."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in two sections."""
        own: list[tuple[str, str]] = []
        kernel: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            if isinstance(parameter, click.Argument):
                continue  # the usage has them; click of some versions lists them, too
            if (record := parameter.get_help_record(ctx)) is not None:
                (kernel if isinstance(parameter, _KernelOption) else own).append(record)
        for title, records in (("Options", own), (TITLE, kernel)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


@dataclass(frozen=True, kw_only=True)
class KernelOptions:
    """What the options say."""

    env: tuple[str, ...]
    mount: tuple[str, ...]
    resources: tuple[str, ...]
    resource_opts: tuple[str, ...]
    project: str | None
    domain: str | None
    resource_group: str | None
    architecture: str | None
    cluster_size: int
    cluster_mode: Literal["single-node", "multi-node"]
    preopen: tuple[str, ...]
    bootstrap_script: str
    tag: str | None
    priority: int | None
    depends: tuple[str, ...]
    callback_url: str | None
    assign_agent: tuple[str, ...]
    owner: str | None
    template: str | None
    max_wait: float | None
    no_reuse: bool

    @property
    def environ(self) -> dict[str, str]:
        """Variables of the kernel's programs.

        Raises:
            click.UsageError: one is malformed.
        """
        return parse_pairs(self.env)

    def spec(self, lang: str, *, environ: dict[str, str] | None = None) -> KernelSpec:
        """The kernel to create.

        Args:
            lang: its runtime; ``-`` for that of the template.
            environ: variables, in place of those of the options.

        Raises:
            click.UsageError: an option is malformed.
        """
        from backendai_trio import KernelSpec, LocalProtocolError

        if lang == "-" and not self.template:
            raise click.UsageError(
                "the runtime '-' is that of a template; name the template with --template"
            )
        try:
            return KernelSpec(
                runtime="" if lang == "-" else lang,
                environ=self.environ if environ is None else environ,
                mounts=self.mount,
                resources=parse_pairs(self.resources, option="-r", form="SLOT=AMOUNT"),
                resource_opts=parse_pairs(
                    self.resource_opts, option="--resource-opts", form="NAME=VALUE"
                ),
                project=self.project or "",
                domain=self.domain or "",
                resource_group=self.resource_group or "",
                architecture=self.architecture or "",
                cluster_size=self.cluster_size,
                cluster_mode=self.cluster_mode,
                preopen_ports=_ports(self.preopen),
                bootstrap_script=self.bootstrap_script,
                tag=self.tag or "",
                priority=self.priority,
                dependencies=self.depends,
                callback_url=self.callback_url or "",
                agents=self.assign_agent,
                owner=self.owner or "",
                template=self.template or "",
            )
        except LocalProtocolError as exc:
            raise click.UsageError(str(exc)) from None


def _ports(texts: tuple[str, ...]) -> tuple[int, ...]:
    found: list[int] = []
    for text in ",".join(texts).split(",") if texts else ():
        if not text.strip().isdecimal():
            raise click.UsageError(f"--preopen {text}: write ports as numbers, with commas between")
        found.append(int(text))
    return tuple(found)


def _read_script(_context: click.Context, _option: click.Parameter, file: BinaryIO | None) -> str:
    """The text of a script.

    Raises:
        click.BadParameter: it is not in UTF-8, in which requests carry it.
    """
    try:
        return "" if file is None else file.read().decode()
    except UnicodeDecodeError:
        raise click.BadParameter("the script is not text in UTF-8") from None


def _option(*names: str, **attributes: Any) -> Callable[[Callable[..., R]], Callable[..., R]]:
    return click.option(*names, cls=_KernelOption, **attributes)


_OPTIONS = (
    _option(
        "-e", "--env", multiple=True, metavar="KEY=VALUE",
        help="Environment variable of the kernel; may be repeated.",
    ),
    _option(
        "-m", "--mount", "--volume", multiple=True, metavar="FOLDER", type=NAME,
        help="Virtual folder to mount: NAME, NAME:PATH or NAME/SUBFOLDER, perhaps with :ro or :rw "
        "behind; may be repeated. Those of BACKEND_VFOLDER_MOUNTS are mounted, too.",
    ),
    _option(
        "-r", "--resources", "--resource", multiple=True, metavar="SLOT=AMOUNT",
        help="Resource, e.g. cpu=2, mem=4g or cuda.shares=0.5; a bare number of mem counts MiB; "
        "may be repeated.",
    ),
    _option(
        "--resource-opts", multiple=True, metavar="NAME=VALUE",
        help="Option of resources, e.g. shmem=1g; may be repeated.",
    ),
    _option(
        "-g", "--project", "--group", metavar="NAME", type=NAME,
        help="Project of the kernel [default: BACKEND_GROUP, or the one called default, or your "
        "only one].",
    ),
    _option(
        "-d", "--domain", metavar="NAME", type=NAME,
        help="Domain of the project [default: BACKEND_DOMAIN, or the one called default].",
    ),
    _option(
        "--resource-group", "--scaling-group", "--sgroup", metavar="NAME", type=NAME,
        help="Resource group that runs it [default: the server chooses].",
    ),
    _option(
        "--arch", "--architecture", "architecture", metavar="NAME", type=NAME,
        help="Architecture of the image, e.g. aarch64 [default: x86_64].",
    ),
    _option(
        "--cluster-size", type=click.IntRange(min=1), default=1, metavar="N",
        help="Number of containers [default: 1].",
    ),
    _option(
        "--cluster-mode", type=click.Choice(["single-node", "multi-node"]), default="single-node",
        help="Containers on one machine or several [default: single-node].",
    ),
    _option(
        "--preopen", multiple=True, metavar="PORT,...",
        help="TCP ports on which programs in the kernel will serve, 1024 to 65535.",
    ),
    _option(
        "--bootstrap-script", type=click.File("rb"), metavar="FILE", callback=_read_script,
        help="Shell script that the kernel runs before all else.",
    ),
    _option(
        "--max-wait", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
        help="Give the kernel up if it does not run by then [default: wait for it].",
    ),
    _option(
        "--no-reuse", is_flag=True, help="Fail if there is a kernel with the token of -t already."
    ),
    _option(
        "--template", metavar="NAME", type=NAME,
        help="Template, by name or id, for what is not said here; the runtime '-' is its image.",
    ),
    _option("--tag", metavar="TEXT", help="Tag of the kernel in lists."),
    _option("--priority", type=int, metavar="N", help="Priority among kernels that wait."),
    _option(
        "--depends", multiple=True, metavar="ID", type=NAME,
        help="Session that must have succeeded before; may be repeated.",
    ),
    _option("--callback-url", metavar="URL", help="Where the server tells of the kernel's states."),
    _option(
        "--assign-agent", multiple=True, metavar="AGENT", type=NAME,
        help="Agent that runs it, for administrators; may be repeated.",
    ),
    _option(
        "-o", "--owner", "--owner-access-key", metavar="ACCESS_KEY", type=NAME,
        help="Whom it belongs to, for administrators.",
    ),
)  # fmt: skip

_NAMES = tuple(KernelOptions.__dataclass_fields__)


def kernel_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add the options to a command, which gets them as its argument `kernel`."""

    @wraps(command)
    def collect(*args: Any, **parameters: Any) -> R:
        chosen = {name: parameters.pop(name) for name in _NAMES}
        return command(*args, **parameters, kernel=KernelOptions(**chosen))

    decorated: Callable[..., R] = collect
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated
