"""Methods of the faces, made of functions of the Trio library.

A face's method keeps the function's parameters and docstring, without what the face knows itself:
the object that it is a method of, and, where the function takes a client, the client. The latter
become class methods with a keyword `config`, which says which server's client to use.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from ..config.settings import Config

__all__ = ["ClassCall", "Maker", "adopt_function", "adopt_method", "without_progress"]

P = ParamSpec("P")
T_co = TypeVar("T_co", covariant=True)
F = TypeVar("F")

_SECTION = r"^(?:Args|Returns|Raises|Cancellation|Endpoint):"
_CONFIG = """\
    config: settings of the server, as `read_config` finds them; default: those of the environment,
        and with none there, a gateway in this process.
"""


class WithConfig(Protocol[P, T_co]):
    """A function with a keyword `config` added, as type checkers can be told of it.

    They check the other arguments only where `config` is left out.
    """

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T_co: ...
    @overload
    def __call__(self, *args: Any, config: Config | None, **kwargs: Any) -> T_co: ...


class ClassCall(Protocol[P, T_co]):
    """A class method that asks a server."""

    def __get__(self, instance: object, owner: type, /) -> WithConfig[P, T_co]: ...


class Maker(Protocol[P]):
    """A class method of a blocking face that gives an object of the class."""

    def __get__(self, instance: object, owner: type[F], /) -> WithConfig[P, F]: ...


def adopt_method(
    call: Callable[..., Any], function: Callable[..., Any], *, returns: object = None
) -> None:
    """Give a method the signature and the docstring of a function, but for its first parameter.

    Args:
        call: the method of the face; its first parameter is the face's object.
        function: of the Trio library; its first parameter is the object there.
        returns: annotation of what `call` returns; default: that of `function`.
    """
    _adopt(call, function, "self", config=False, returns=returns)


def adopt_function(
    call: Callable[..., Any], function: Callable[..., Any], *, returns: object = None
) -> None:
    """Give a class method the signature and the docstring of a function that takes a client first.

    Args:
        call: the class method of the face, as a function with the class as its first parameter.
        function: of the Trio library.
        returns: annotation of what `call` returns; default: that of `function`.
    """
    _adopt(call, function, "cls", config=True, returns=returns)


def without_progress(function: Callable[..., Any], *left_out: str) -> Callable[[F], F]:
    """Decorate a function that does the same as another one, but reports no progress.

    Args:
        function: whose docstring to take, without the entry of `progress`.
        left_out: further arguments that it has and the decorated one has not.
    """

    def decorate(plain: F) -> F:
        plain.__doc__ = _docstring(function, "progress", *left_out, config=False)
        return plain

    return decorate


def _adopt(
    call: Callable[..., Any],
    function: Callable[..., Any],
    first: str,
    *,
    config: bool,
    returns: object,
) -> None:
    signature = inspect.signature(function)
    left_out, *parameters = signature.parameters.values()
    hints = dict(function.__annotations__)
    hints.pop(left_out.name, None)
    owner = inspect.Parameter(first, inspect.Parameter.POSITIONAL_ONLY)
    if all(item.kind is not inspect.Parameter.POSITIONAL_ONLY for item in parameters):
        owner = owner.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters.insert(0, owner)
    if config:
        kind = inspect.Parameter.KEYWORD_ONLY
        hints["config"] = Config | None
        parameters.append(
            inspect.Parameter("config", kind, default=None, annotation=hints["config"])
        )
    if returns is not None:
        hints["return"] = returns
    for name in ("__name__", "__qualname__", "__module__"):
        setattr(call, name, getattr(function, name))
    call.__annotations__ = hints
    call.__doc__ = _docstring(function, left_out.name, config=config)
    vars(call)["__wrapped__"] = function
    vars(call)["__signature__"] = signature.replace(
        parameters=parameters, return_annotation=hints.get("return", signature.empty)
    )


def _docstring(function: Callable[..., Any], *left_out: str, config: bool) -> str:
    """A function's docstring without the entries of some arguments, and with that of `config`."""
    doc = inspect.getdoc(function) or ""
    before, found, rest = doc.partition("Args:\n")
    if not found:
        place = re.search(_SECTION, doc, re.MULTILINE)
        end = place.start() if place else len(doc)
        before, rest = doc[:end].rstrip() + "\n\n", "\n" + doc[end:]
    length = re.match(r"(?: +.*\n?)*", rest)
    assert length is not None
    entries, after = rest[: length.end()], rest[length.end() :]
    names = "|".join(left_out)
    entries = re.sub(rf"^    (?:{names}):.*\n?(?:     +.*\n?)*", "", entries, flags=re.MULTILINE)
    if config:
        entries = entries.rstrip("\n") + "\n" if entries else ""
        entries += _CONFIG
    section = f"Args:\n{entries}" if entries else ""
    return f"{before}{section}{after if entries else after.lstrip()}".rstrip()
