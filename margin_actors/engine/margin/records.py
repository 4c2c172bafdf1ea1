"""What the requirement of a book is computed from: its positions, and its profits."""

from dataclasses import dataclass

from margin_actors.arrays import FloatArray, IntArray
from margin_actors.engine.addons import AccountGroups
from margin_actors.engine.revaluation import AccountProfits, Holdings

EXPIRING = "expiring options settled"
"""Label of the alternative in which options that expire within the horizon are settled."""


@dataclass(frozen=True)
class BookProfits:
    """Profits of a book's accounts, of account groups, and of accounts under each alternative."""

    accounts: AccountProfits
    """With the profit in every row if `Sample.needs_all` is true."""
    groups: AccountProfits | None
    alternatives: tuple[tuple[str, AccountProfits], ...] = ()
    """Pairs (label, profits)."""


@dataclass(frozen=True)
class HeldPositions:
    """A book's positions in the contracts of a `Terms`."""

    holdings: Holdings
    quantity: FloatArray
    """float64 (n_positions,): units; long is positive."""
    groups: AccountGroups | None
    value_usd: FloatArray
    """float64 (n_accounts,): value of options and spot, US dollars."""
    positions: IntArray
    """int64 (n_accounts,): number of positions."""

    def part(self, first: int, last: int) -> "HeldPositions":
        """Return the positions of accounts [first, last)."""
        begin, end = (int(self.holdings.start[a]) for a in (first, last))
        return HeldPositions(
            self.holdings.part(first, last),
            self.quantity[begin:end],
            None if self.groups is None else self.groups.part(first, last),
            self.value_usd[first:last],
            self.positions[first:last],
        )
