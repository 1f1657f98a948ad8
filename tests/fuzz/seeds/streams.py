"""Seeds of resumable streams."""

from __future__ import annotations

from .chosen import Seeds


def streams() -> Seeds:
    # Number of writes; for each its kind and size; then the choices of the connections.
    return {
        "plain": bytes([3, 0, 50, 1, 20, 3, 0]),
        "breaks": bytes([4, 0, 50, 0, 9, 4, 0, 2, 30, 5, 10, 0, 10, 1, 7, 9, 2, 3, 30]),
        "again": bytes([2, 0, 59, 0, 59, 0, 20, 4, 50, 20, 2, 9, 4, 99, 0]),
    }


def hostile_streams() -> Seeds:
    return {
        "gap": bytes(40) + bytes([0, 10, 0, 10, 0, 90, 0, 5]),
        "lost-mark": bytes(40) + bytes([0, 10, 0, 10, 3, 90, 0]),
        "backwards": bytes(40) + bytes([0, 50, 0, 50, 3, 9, 0, 4, 1, 0, 5]),
        "text": b'{"end": -1, "mark": {}}'.ljust(40) + bytes([6, 2, 0]),
    }
