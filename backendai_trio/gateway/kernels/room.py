"""What is free for kernels that wait to be started."""

from __future__ import annotations

from dataclasses import dataclass

from ..refusals import Refused
from ..resource_slots import Amounts, format_amount

__all__ = ["Room"]


@dataclass(frozen=True, slots=True)
class Room:
    """What is free for kernels that wait to be started."""

    sessions: int
    """How many more may run."""
    max_sessions: int
    """How many may run at once."""
    free: Amounts
    """The resources that no kernel occupies."""
    total: Amounts
    """All resources."""

    def missing_for(self, amounts: Amounts) -> list[str]:
        """The slots of which there is not enough.

        Args:
            amounts: what a kernel asks for.
        """
        return [slot for slot, amount in amounts.items() if amount > self.free[slot]]

    def reason(self, amounts: Amounts) -> str:
        """Why a kernel waits for resources.

        Args:
            amounts: what it asks for.
        """
        reasons = [
            f"not enough {slot}: {format_amount(slot, amounts[slot])} asked for, "
            f"{format_amount(slot, self.free[slot])} of {format_amount(slot, self.total[slot])} "
            "free"
            for slot in self.missing_for(amounts)
        ]
        if not reasons:
            return f"kernels that are before it wait for {' and '.join(amounts)}"
        return "; ".join(reasons)

    def refusal(self, amounts: Amounts, max_waiting: int) -> Refused:
        """The answer to a create for which there is no room, not even to wait.

        Args:
            amounts: what the kernel asks for.
            max_waiting: how many others wait; 0 if none may.
        """
        title, detail = "Too many kernels", f"this gateway runs at most {self.max_sessions}"
        if self.sessions:
            title, detail = "Too few resources", self.reason(amounts)
        if max_waiting:
            detail += f", and {max_waiting} more wait"
        return Refused(412, "quota-exceeded", title, f"{detail}; destroy one first")
