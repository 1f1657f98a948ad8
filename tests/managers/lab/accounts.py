"""The users of every server: the example key pairs that Backend.AI publishes, no secrets."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ACCOUNTS", "Account"]


@dataclass(frozen=True)
class Account:
    """A user."""

    name: str
    role: str
    """As the servers call it."""
    user_id: str
    """UUID, where the server lets it be chosen."""
    password: str
    access_key: str
    secret_key: str

    @property
    def email(self) -> str:
        """The name to log in with."""
        return f"{self.name}@lablup.com"


ACCOUNTS = {
    account.name: account
    for account in (
        Account(
            "admin",
            "superadmin",
            "f38dea23-50fa-42a0-b5ae-338f5f4693f4",
            "wJalrXUt",
            "AKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        ),
        Account(
            "domain-admin",
            "admin",
            "4f13d193-f646-425a-a340-270c4d2b9860",
            "cWbsM_vB",
            "AKIAHUKCHDEZGEXAMPLE",
            "cWbsM_vBB4CzTW7JdORRMx8SjGI3-wEXAMPLEKEY",
        ),
        Account(
            "user",
            "user",
            "dfa9da54-4b28-432f-be29-c0d680c7a412",
            "C8qnIo29",
            "AKIANABBDUSEREXAMPLE",
            "C8qnIo29EZvXkPK_MXcuAakYTy4NYrxwmCEyNPlf",
        ),
        Account(
            "user2",
            "user",
            "009fb1a4-487c-4f6e-9b1b-228b94b1d040",
            "P7oxTDdz",
            "AKIANATWOUSEREXAMPLE",
            "P7oxTDdzHbEpUSs5v7r7EWj9yKstp8VpZ7SEyA-g",
        ),
    )
}
