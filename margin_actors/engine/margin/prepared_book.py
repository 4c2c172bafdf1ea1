"""A book prepared for the kernels, and its profits: what the requirement is computed from."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from margin_actors.arrays import FloatArray, IntArray
from margin_actors.engine.addons import AccountGroups, MemberSizes
from margin_actors.engine.margin.risk_inputs import RiskInputs
from margin_actors.engine.revaluation import AccountProfits, Holdings


@dataclass(frozen=True)
class PreparedBook:
    """A book's positions in the contracts of a prepared market, with their risk inputs."""

    accounts: tuple[str, ...]
    """Account ids."""
    holdings: Holdings
    """Positions of the accounts, in lots."""
    quantity: FloatArray
    """float64 (n_positions,): units; long is positive."""
    groups: AccountGroups | None
    """Position groups that components measure separately; None if there are no such components."""
    value_usd: FloatArray
    """float64 (n_accounts,): value of options and spot, US dollars."""
    inputs: RiskInputs
    """Inputs of requirements other than profits."""
    members: MemberSizes | None = None
    """Sizes of the net positions of the accounts' members; None if the model does not use them."""
    loss_max_usd: FloatArray | None = None
    """float64 (n_accounts,): largest possible loss, US dollars, infinite without a bound; None if
    the model does not use it."""

    @cached_property
    def positions(self) -> IntArray:
        """int64 (n_accounts,): number of positions."""
        return np.diff(self.holdings.start)

    def select(self, first: int, last: int) -> "PreparedBook":
        """Return the positions of accounts [first, last)."""
        begin, end = (int(self.holdings.start[a]) for a in (first, last))
        return PreparedBook(
            self.accounts[first:last],
            self.holdings.part(first, last),
            self.quantity[begin:end],
            None if self.groups is None else self.groups.select(first, last),
            self.value_usd[first:last],
            self.inputs,
            None
            if self.members is None
            else self.members.select(slice(first, last), slice(begin, end)),
            None if self.loss_max_usd is None else self.loss_max_usd[first:last],
        )


@dataclass(frozen=True)
class BookPnl:
    """Profits of a book's accounts, of account groups, and of accounts under each alternative."""

    accounts: AccountProfits
    """With the least profits over `Sample.tails`, and the profit in every row if
    `Sample.needs_all` is true."""
    groups: AccountProfits | None
    """Profits of `PreparedBook.groups`; None if there are no groups."""
    alternatives: tuple[tuple[str, AccountProfits], ...] = ()
    """Pairs (label, profits under the alternative revaluation rules of that label)."""
