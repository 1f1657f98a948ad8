"""Amounts of resources: how they are written, and how much of them the machine has.

Amounts are exact: ``0.1`` ten times is ``1``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import TypeAlias

from ..errors import GatewayError
from ..wire.kernel_spec import encode_amount
from .kernel_limits import parse_bytes

__all__ = [
    "SLOTS",
    "Amounts",
    "encode_amounts",
    "format_amount",
    "parse_amounts",
    "subtract",
    "sum_of",
    "total_amounts",
]

Amounts: TypeAlias = Mapping[str, Decimal]
"""Amounts by slot: cores of ``cpu``, bytes of ``mem``."""
SLOTS = ("cpu", "mem")
"""The slots of a gateway."""
_AMOUNTS = {
    "cpu": re.compile(r"\d+(\.\d+)?", re.ASCII),
    "mem": re.compile(r"\d+(\.\d+)?([kmgtpe]i?)?b?", re.ASCII | re.IGNORECASE),
}
_MAX_CHARS = 40
_EXACT = Context(prec=4 * _MAX_CHARS, traps=[Inexact, InvalidOperation])
"""Holds sums of amounts to the last digit."""
_MIB = 1 << 20
_UNITS = {"g": 1 << 30, "m": _MIB, "k": 1 << 10}


def parse_amounts(texts: Mapping[str, str]) -> dict[str, Decimal]:
    """Read amounts as a server gets them: a bare number of ``mem`` counts bytes.

    Args:
        texts: amounts by slot, such as ``0.5`` and ``4g``.

    Returns:
        The amounts; slots of which nothing is asked for are left out.

    Raises:
        ValueError: there is no such slot, or an amount is malformed.
    """
    found: dict[str, Decimal] = {}
    for slot, text in texts.items():
        if slot not in _AMOUNTS:
            slots = " and ".join(SLOTS)
            raise ValueError(f"There is no resource slot {slot!r}; this machine has {slots}")
        if len(text) > _MAX_CHARS or not _AMOUNTS[slot].fullmatch(text):
            raise ValueError(f"{text[:_MAX_CHARS]!r} is no amount of {slot}")
        amount = Decimal(parse_bytes(text)) if slot == "mem" else Decimal(text)
        if amount:
            found[slot] = amount
    return found


def encode_amounts(amounts: Amounts) -> dict[str, str]:
    """The amounts as texts, as managers tell them: memory in bytes."""
    return {slot: _text(amount) for slot, amount in amounts.items()}


def format_amount(slot: str, amount: Decimal) -> str:
    """An amount for people, as it can be asked for. Odd amounts of memory are rounded down to MiB.

    Args:
        slot: its slot.
        amount: the amount.
    """
    if slot != "mem":
        return _text(amount)
    size = int(amount)
    if size > _MIB:
        size -= size % _MIB
    unit = next((unit for unit in _UNITS if size and size % _UNITS[unit] == 0), "")
    return f"{size // _UNITS.get(unit, 1)}{unit}"


def sum_of(items: Iterable[Amounts]) -> dict[str, Decimal]:
    """The sum of amounts, with all slots."""
    found = dict.fromkeys(SLOTS, Decimal(0))
    for amounts in items:
        for slot, amount in amounts.items():
            found[slot] = _EXACT.add(found[slot], amount)
    return found


def subtract(amounts: Amounts, taken: Amounts) -> dict[str, Decimal]:
    """What is left of amounts.

    Args:
        amounts: how much there is.
        taken: how much of it is taken, of each slot.
    """
    return {slot: _EXACT.subtract(amount, taken[slot]) for slot, amount in amounts.items()}


def total_amounts(texts: Mapping[str, str]) -> dict[str, Decimal]:
    """What kernels may ask for together.

    Args:
        texts: `GatewayOptions.resources`. For slots that are not in it, all of the machine counts:
            the cores that the gateway may use, and the physical memory.

    Raises:
        GatewayError: there is no such slot, or an amount is malformed.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    machine = {"cpu": Decimal(len(os.sched_getaffinity(0))), "mem": Decimal(memory)}
    try:
        chosen = parse_amounts({slot: encode_amount(slot, text) for slot, text in texts.items()})
    except ValueError as exc:
        raise GatewayError(f"{exc}; give --resources such as cpu=4 or mem=8g") from None
    return machine | dict.fromkeys(texts, Decimal(0)) | chosen


def _text(amount: Decimal) -> str:
    return f"{_EXACT.normalize(amount):f}" if amount else "0"
