"""Variation: the profit of futures and perpetuals since their base prices becomes cash.

A position consists of one lot per base price: the last settlement price, and the prices of trades
since then. No mean base price is kept, because that of an inverse contract is harmonic and is in
general not a finite decimal; the lots are exact, and both sides of a trade have the same lot. After
a settlement one lot remains.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction

from margin_actors.clearing.settlement.contracts import Contract, require_price
from margin_actors.clearing.settlement.events import Inputs, SettlementEvent, Subject
from margin_actors.clearing.settlement.exact import canonical, rounded_units, utc_text
from margin_actors.clearing.settlement.positions import (
    Cutoff,
    Lots,
    PositionChange,
    lots_by_account,
    net_quantity,
    require_balanced_lots,
)
from margin_actors.clearing.settlement.rounding import Posting, rounded_events
from margin_actors.errors import InvalidRequest, Problem, raise_if_any
from margin_actors.market.instruments import Kind


def variation_value(
    contract: Contract, quantity: Decimal, base_price: Decimal, price: Decimal
) -> Fraction:
    """Return the variation of one lot, exactly, in whole units of the contract's asset.

    Parameters
    ----------
    contract : Contract
        A future or perpetual.
    quantity : Decimal
        Long is positive.
    base_price, price : Decimal, US dollars per coin
        S₀ and S₁.

    Returns
    -------
    Fraction
        N (1/S₀ − 1/S₁) coins for an inverse contract with notional N, q (S₁ − S₀) for a linear one
        with q coins; positive if received.

    Raises
    ------
    InvalidMarketData
        If a price cannot be used, see `require_price`.

    Examples
    --------
    >>> from margin_actors.clearing.settlement.contracts import contract_from_name
    >>> perpetual = contract_from_name("BTC-PERPETUAL")
    >>> variation_value(perpetual, Decimal(100_000), Decimal(50_000), Decimal(48_000))
    Fraction(-1, 12)
    """
    S0 = require_price(contract, base_price, "base price")
    S1 = require_price(contract, price, "price")
    return _profit(contract, contract.size(quantity), S0, S1)


def unsettled_variation(
    contract: Contract, changes: Iterable[PositionChange], price: Decimal
) -> Mapping[str, int]:
    """Return the profit of each account since its base prices, in smallest units of the asset.

    It counts as equity at once and can be withdrawn only after settlement. The book need not be
    balanced; amounts are rounded half to even and positive for a profit.

    Raises
    ------
    InvalidPortfolio, InvalidMarketData, InvalidRequest
        As `variation`.
    """
    S1 = _require_marked(contract, price)
    book = lots_by_account(contract, changes)
    return {
        account: rounded_units(_account_value(contract, lots, S1), contract.asset)
        for account, lots in book.items()
    }


def variation(
    contract: Contract, changes: Iterable[PositionChange], price: Decimal, cutoff: Cutoff
) -> tuple[SettlementEvent, ...]:
    """Return the events that turn variation into cash and set the base of all lots to `price`.

    Parameters
    ----------
    contract : Contract
        A future or perpetual.
    changes : iterable of PositionChange
        All changes of the contract up to `cutoff`, see `changes_until`, in any order.
    price : Decimal
        Settlement price, US dollars per coin.
    cutoff : Cutoff

    Returns
    -------
    tuple of SettlementEvent
        One per account with lots, and at most one for the rounding account; units sum to zero.

    Raises
    ------
    InvalidPortfolio
        If a change is unusable or the book is not balanced.
    InvalidMarketData
        If the price is unusable, or not positive for an inverse contract.
    InvalidRequest
        If the contract is an option, which is paid by its premium, or expires at the time of the
        cutoff or before: its delivery includes the variation.
    """
    S1 = _require_marked(contract, price)
    _require_unexpired(contract, cutoff)
    book = lots_by_account(contract, changes)
    require_balanced_lots(contract, book)
    postings = [
        Posting(
            account,
            _account_value(contract, lots, S1),
            _rebased(contract, account, lots, price, cutoff),
        )
        for account, lots in book.items()
    ]
    subject = Subject("variation", contract.name, cutoff.time, cutoff.version)
    return rounded_events(subject, contract.asset, postings, _inputs(price, cutoff))


def lots_value(contract: Contract, lots: Lots, price: Decimal) -> Fraction:
    """Return the variation of all lots of a position, exactly; see `variation_value`."""
    return _account_value(contract, lots, require_price(contract, price, "price"))


def _inputs(price: Decimal, cutoff: Cutoff) -> Inputs:
    return (("price", canonical(price)), ("entry_number", str(cutoff.entry_number)))


def _account_value(contract: Contract, lots: Lots, S1: Fraction) -> Fraction:
    return sum(
        (
            _profit(
                contract, contract.size(quantity), require_price(contract, base, "base price"), S1
            )
            for base, quantity in lots.items()
        ),
        Fraction(0),
    )


def _profit(contract: Contract, size: Fraction, S0: Fraction, S1: Fraction) -> Fraction:
    if contract.is_inverse:
        return size * (S1 - S0) / (S0 * S1)
    return size * (S1 - S0)


def _rebased(
    contract: Contract, account: str, lots: Lots, price: Decimal, cutoff: Cutoff
) -> tuple[PositionChange, ...]:
    moved = {base: quantity for base, quantity in lots.items() if base != price}
    changes = [
        PositionChange(account, contract.name, -quantity, base, cutoff.time)
        for base, quantity in moved.items()
    ]
    if net := net_quantity(moved):
        changes.append(PositionChange(account, contract.name, net, price, cutoff.time))
    return tuple(changes)


def _require_marked(contract: Contract, price: Decimal) -> Fraction:
    problems: list[Problem] = []
    if contract.kind is Kind.OPTION:
        problems.append(Problem(contract.name, "is an option, which is paid by its premium"))
    raise_if_any(problems, InvalidRequest, "there is no variation")
    return require_price(contract, price, "price")


def _require_unexpired(contract: Contract, cutoff: Cutoff) -> None:
    problems: list[Problem] = []
    if contract.expiry is not None and contract.expiry <= cutoff.time:
        what = f"expires at {utc_text(contract.expiry)}"
        problems.append(Problem(contract.name, what, "deliver it; this includes the variation"))
    raise_if_any(problems, InvalidRequest, "there is no daily settlement")
