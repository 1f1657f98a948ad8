"""Writing TOML, as far as the servers' settings need it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["toml_of"]


def toml_of(settings: Mapping[str, Any], prefix: str = "") -> str:
    """A TOML document of nested mappings, strings, numbers, flags and lists."""
    lines, tables = [], []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            path = f"{prefix}{_key(name)}"
            tables.append(f"[{path}]\n{toml_of(value, path + '.')}")
        else:
            lines.append(f"{_key(name)} = {_value(value)}\n")
    return "".join(lines + tables)


def _key(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").isalnum() else json.dumps(name)


def _value(value: object) -> str:
    if isinstance(value, str | bool | int | float):
        return json.dumps(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(str(value))
