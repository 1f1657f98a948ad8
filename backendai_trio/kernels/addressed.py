"""What methods of `TrioKernel` that are written in modules of their own need of it."""

from __future__ import annotations

from typing import Protocol

from ..transport.client import Client

__all__ = ["AddressedKernel"]


class AddressedKernel(Protocol):
    """A kernel, as far as requests need it."""

    @property
    def client(self) -> Client:
        """The client of its server."""

    @property
    def address(self) -> str:
        """What stands for the kernel in paths."""
