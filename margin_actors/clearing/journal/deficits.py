"""Deficits of accounts: an account's deficit is not offset by the excess of another account.

The exception are the house accounts of one member that may net: their excesses are added.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from margin_actors.errors import InvalidRequest, Problem, raise_if_any


class AccountType(StrEnum):
    """For whom a member holds a clearing account."""

    HOUSE = "house"
    """The member's own positions."""
    CLIENT = "client"
    """Positions of a client; never netted with another account."""


@dataclass(frozen=True)
class AccountExcess:
    """Resources less requirement of one clearing account."""

    account: str
    member: str
    type: AccountType
    excess_cents: int
    """US cents; negative for a deficit."""


@dataclass(frozen=True)
class NetExcess:
    """Resources less requirement of one account, or of the netted house accounts of a member."""

    member: str
    accounts: tuple[str, ...]
    """In the order of their names."""
    excess_cents: int
    """US cents; negative for a deficit."""

    @property
    def deficit_cents(self) -> int:
        """What has to be paid, US cents, at least 0."""
        return max(0, -self.excess_cents)


def net_excesses(
    accounts: Iterable[AccountExcess], *, netting_members: Collection[str] = ()
) -> tuple[NetExcess, ...]:
    """Return the excess of each account or netted set of accounts.

    Parameters
    ----------
    accounts : iterable of AccountExcess
    netting_members : collection of str
        Members whose house accounts may net.

    Returns
    -------
    tuple of NetExcess
        Ordered by member and accounts; each account is part of exactly one.

    Raises
    ------
    InvalidRequest
        If an account is given twice.
    """
    sets: dict[tuple[str, str], list[AccountExcess]] = {}
    seen: set[str] = set()
    problems: list[Problem] = []
    for one in accounts:
        if one.account in seen:
            problems.append(Problem(f"account {one.account}", "it is given more than once"))
        seen.add(one.account)
        nets = one.type is AccountType.HOUSE and one.member in netting_members
        sets.setdefault((one.member, "" if nets else one.account), []).append(one)
    raise_if_any(problems, InvalidRequest, "the excesses cannot be netted")
    found = [
        NetExcess(
            member,
            tuple(sorted(one.account for one in members)),
            sum(one.excess_cents for one in members),
        )
        for (member, _), members in sets.items()
    ]
    return tuple(sorted(found, key=lambda net: (net.member, net.accounts)))
