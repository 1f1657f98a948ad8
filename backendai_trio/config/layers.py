"""Sources of settings, one above the other. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from shlex import quote
from typing import NamedTuple

from ..errors import ConfigError

__all__ = ["ENVIRONMENT", "Found", "Layer", "find_setting"]

# What says who talks to whom: none of them is taken from elsewhere by accident.
_IDENTIFYING = frozenset({"endpoint", "access_key", "secret_key"})
_PREFIXES = ("BACKEND", "SORNA")
_OF_A_SERVER = frozenset(
    f"{prefix}_{name.upper()}"
    for prefix in _PREFIXES
    for name in (
        *_IDENTIFYING,
        "endpoint_type",
        "override_storage_proxy",
        "skip_sslcert_validation",
    )
)


class Layer(NamedTuple):
    """Variables of one source. A layer counts where the layers above it do not set a variable."""

    variables: Mapping[str, str]
    origin: str = ""
    """The source, for messages, e.g. ``.env``; ``""`` for the environment."""
    profile: str = ""
    """The name of the profile that the layer is; ``""`` if it is none."""

    def __repr__(self) -> str:
        # No values: among them are keys, and whatever else an environment holds.
        return f"<{type(self).__name__} {self.origin or self.profile or 'environment'!r}>"

    def without_server(self) -> Layer:
        """The same layer without the variables that are of one server: its address, type and key
        pair, where its storage is, and that its certificate is not checked."""
        kept = {name: text for name, text in self.variables.items() if name not in _OF_A_SERVER}
        return self._replace(variables=kept)

    def name_of(self, setting: str, variable: str = "") -> str:
        """A setting as its user knows it, for messages.

        Args:
            setting: its name in a profile.
            variable: the variable that sets it; the usual one if empty.
        """
        if self.profile:
            return f"{setting} of the profile {self.profile!r}"
        variable = variable or f"BACKEND_{setting.upper()}"
        return f"{variable} in {self.origin}" if self.origin else variable

    def how_to_set(self, *settings: str) -> str:
        """What to do to set settings here, for messages.

        Args:
            settings: their names in a profile.
        """
        if self.profile:
            program = f"backend.ai --profile {quote(self.profile)} config set"
            return " and ".join(f"'{program} {setting}'" for setting in settings)
        return "set " + " and ".join(f"BACKEND_{setting.upper()}" for setting in settings)


ENVIRONMENT = Layer({})
"""The environment, with nothing in it."""


class Found(NamedTuple):
    """A setting that was looked up."""

    where: str
    """The setting as its user knows it, for messages."""
    text: str
    """Its value; ``""`` if it is not set."""
    layer: Layer = ENVIRONMENT
    """The layer that sets it."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.where!r}>"  # its value may be a secret key


def find_setting(layers: Sequence[Layer], name: str, explicit: str | None = None) -> Found:
    """Look a setting up.

    Args:
        layers: the sources, highest first.
        name: the setting's name in a profile.
        explicit: a value that wins over all layers.

    Raises:
        ConfigError: the setting says who talks to whom, and is empty in a layer above the value.
    """
    if explicit:
        return Found(ENVIRONMENT.name_of(name), explicit)
    empty = ""
    for layer in layers:
        empty_here = ""
        for variable in (f"{prefix}_{name.upper()}" for prefix in _PREFIXES):
            where = layer.name_of(name, variable)
            if text := layer.variables.get(variable, "").strip():
                if empty:
                    raise ConfigError(
                        empty, f"empty; set it, or unset it to use the value of {where}"
                    )
                return Found(where, text, layer)
            if variable in layer.variables and name in _IDENTIFYING:
                empty_here = empty_here or where
        empty = empty or empty_here
    return Found(ENVIRONMENT.name_of(name), "")
