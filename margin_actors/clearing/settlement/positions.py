"""Positions as the sum of signed changes, each at its base price.

A trade adds a change at the trade price. A settlement replaces the lots of a position by one lot
at the settlement price, as changes that sum to zero. Positions are therefore a fold of changes,
and the reversal of a change is the change with the opposite quantity.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from margin_actors.clearing.settlement.contracts import Contract
from margin_actors.clearing.settlement.exact import EXACT, number_problems, time_problems
from margin_actors.errors import InvalidPortfolio, Problem, raise_if_any
from margin_actors.market.instruments import Kind

ROUNDING_ACCOUNT = "house:rounding"
"""Account that receives the residuals of rounding."""
FEE_ACCOUNT = "house:fees"
"""Account that receives fees."""
RESERVED_ACCOUNTS = frozenset({ROUNDING_ACCOUNT, FEE_ACCOUNT})
"""Accounts that hold no positions."""

Lots = Mapping[Decimal, Decimal]
"""Quantity by base price of one position; long is positive; no quantity is 0."""


@dataclass(frozen=True)
class PositionChange:
    """A signed quantity of one contract that is added to the position of one account."""

    account: str
    instrument: str
    quantity: Decimal
    """In the unit of the contract; a purchase is positive."""
    base_price: Decimal | None
    """Price from which the next variation is computed, US dollars per coin: the trade price or the
    last settlement price. None for options, which have no variation."""
    time: datetime
    """Time of the trade or settlement, UTC."""

    def reversed(self) -> "PositionChange":
        """Return the change that undoes this one."""
        return PositionChange(
            self.account, self.instrument, self.quantity.copy_negate(), self.base_price, self.time
        )


@dataclass(frozen=True)
class Cutoff:
    """The point at which a settlement reads positions."""

    time: datetime
    """The time for which the settlement is made, UTC; part of the id of its events."""
    entry_number: int
    """Number of the last entry of the log that counts. Later entries belong to the next session,
    whatever their time."""
    version: int = 1
    """1, and one more with each correction."""


def changes_until(
    numbered: Iterable[tuple[int, PositionChange]], cutoff: Cutoff
) -> tuple[PositionChange, ...]:
    """Return the changes of a log up to the entry of `cutoff`.

    Parameters
    ----------
    numbered : iterable of (entry number, PositionChange)
    cutoff : Cutoff
    """
    return tuple(change for number, change in numbered if number <= cutoff.entry_number)


def lots_by_account(contract: Contract, changes: Iterable[PositionChange]) -> Mapping[str, Lots]:
    """Return the lots of every account in a future or perpetual, in the order of account ids.

    Accounts whose changes cancel at every base price are left out.

    Raises
    ------
    InvalidPortfolio
        If a change is of another contract, of a reserved account or has an unusable number or time.
    """
    sums: dict[str, dict[Decimal, Decimal]] = {}
    for change in _usable(contract, changes):
        base = change.base_price
        assert base is not None, "options have no lots"
        lots = sums.setdefault(change.account, {})
        lots[base] = EXACT.add(lots.get(base, Decimal(0)), change.quantity)
    open_lots = {
        account: {base: quantity for base, quantity in sorted(lots.items()) if quantity}
        for account, lots in sorted(sums.items())
    }
    return {account: lots for account, lots in open_lots.items() if lots}


def quantities_by_account(
    contract: Contract, changes: Iterable[PositionChange]
) -> Mapping[str, Decimal]:
    """Return the net quantity of every account that has one, in the order of account ids.

    Raises
    ------
    InvalidPortfolio
        As `lots_by_account`.
    """
    net: dict[str, Decimal] = {}
    for change in _usable(contract, changes):
        net[change.account] = EXACT.add(net.get(change.account, Decimal(0)), change.quantity)
    return {account: quantity for account, quantity in sorted(net.items()) if quantity}


def folded(
    contract: Contract, changes: Iterable[PositionChange], time: datetime
) -> tuple[PositionChange, ...]:
    """Return the fewest changes that give the same positions: one per account and base price.

    Parameters
    ----------
    contract : Contract
    changes : iterable of PositionChange
        In any order, none after `time`.
    time : datetime, UTC
        Time of the result. Funding since then, and every variation, is that of `changes`.

    Raises
    ------
    InvalidPortfolio
        As `lots_by_account`.
    """
    if contract.kind is Kind.OPTION:
        return tuple(
            PositionChange(account, contract.name, quantity, None, time)
            for account, quantity in quantities_by_account(contract, changes).items()
        )
    return tuple(
        PositionChange(account, contract.name, quantity, base, time)
        for account, lots in lots_by_account(contract, changes).items()
        for base, quantity in lots.items()
    )


def net_quantity(lots: Lots) -> Decimal:
    """Return the sum of the quantities of lots, exactly."""
    return _sum(lots.values())


def require_balanced(contract: Contract, quantities: Mapping[str, Decimal]) -> None:
    """Check that quantities by account sum to zero, so that what is paid per unit does too.

    Raises
    ------
    InvalidPortfolio
        With the net quantity.
    """
    net = _sum(quantities.values())
    problems = [Problem(contract.name, f"the net quantity is {net}")] if net else []
    raise_if_any(problems, InvalidPortfolio, "the book is not balanced")


def require_balanced_lots(contract: Contract, book: Mapping[str, Lots]) -> None:
    """Check that quantities sum to zero at every base price, so that the variation does too.

    They do because both sides of a trade, and all positions at a settlement, have the same base.

    Raises
    ------
    InvalidPortfolio
        With the net quantity at each base price that has one.
    """
    net: dict[Decimal, Decimal] = {}
    for lots in book.values():
        for base, quantity in lots.items():
            net[base] = EXACT.add(net.get(base, Decimal(0)), quantity)
    problems = [
        Problem(contract.name, f"the net quantity is {quantity} at {base}")
        for base, quantity in net.items()
        if quantity
    ]
    raise_if_any(problems, InvalidPortfolio, "the book is not balanced")


def _sum(quantities: Iterable[Decimal]) -> Decimal:
    total = Decimal(0)
    for quantity in quantities:
        total = EXACT.add(total, quantity)
    return total


def _usable(contract: Contract, changes: Iterable[PositionChange]) -> list[PositionChange]:
    held = list(changes)
    problems = [problem for change in held for problem in _change_problems(contract, change)]
    raise_if_any(problems, InvalidPortfolio, f"positions of {contract.name} cannot be settled")
    return held


def _change_problems(contract: Contract, change: PositionChange) -> list[Problem]:
    where = f"position of account {change.account!r}"
    problems = number_problems(change.quantity, f"{where}, quantity")
    problems += time_problems(change.time, f"{where}, time")
    if change.base_price is not None:
        problems += number_problems(change.base_price, f"{where}, base price")
    if change.instrument != contract.name:
        problems.append(Problem(where, f"is in {change.instrument}, not in {contract.name}"))
    elif (change.base_price is None) != (contract.kind is Kind.OPTION):
        what = f"is {change.base_price} in {contract.name}"
        problems.append(Problem(f"{where}, base price", what, "only options have none"))
    if change.account in RESERVED_ACCOUNTS or not change.account:
        problems.append(Problem(where, "is not an account that can hold positions"))
    return problems
