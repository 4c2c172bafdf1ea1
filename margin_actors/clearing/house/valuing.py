"""What an account has: its holdings with the figures of the last calculation.

A calculation states option value and unsettled variation as of one entry of the log. For an account
whose positions or cash changed after it, both are computed again from the marks, so that a premium
or a settlement is not counted twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import floor

from margin_actors.clearing.amounts import ASSETS, USD
from margin_actors.clearing.house.state import AccountMargin, HouseState
from margin_actors.clearing.journal import MARGIN, AccountKind, Position, holdings
from margin_actors.clearing.journal.resources import Resources, Valuation, resources
from margin_actors.clearing.settlement import Contract, contract_from_name
from margin_actors.clearing.settlement.variation import lots_value
from margin_actors.engine.margin.collateral import USD_ASSETS
from margin_actors.market.instruments import Kind

_CENTS = 10**USD.decimals
_NO_VALUES: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class PositionValue:
    """Values of the positions of one account, US cents, rounded down."""

    option_values_cents: Mapping[str, int] = field(default_factory=dict[str, int])
    """Net option value by settlement asset, before the de-peg scenarios."""
    unsettled_cents: int = 0
    """Unsettled variation, a profit positive."""
    missing: tuple[str, ...] = ()
    """Instruments without a mark, or assets without a price, because of which the values are those
    of the last calculation."""


def position_value(
    state: HouseState,
    account: str,
    margin: AccountMargin | None,
    *,
    prices: Mapping[str, Decimal],
    marks: Mapping[str, Decimal],
) -> PositionValue:
    """Return the option value and unsettled variation of an account now.

    Parameters
    ----------
    state : HouseState
    account : str
    margin : AccountMargin or None
        What the calculation gave; None if it does not include the account.
    prices, marks : mapping of str to Decimal
        See `CycleRecorded`.
    """
    if margin is not None and state.last_change(account).valuation <= margin.read_number:
        return PositionValue(margin.option_values_cents, margin.unsettled_cents)
    options: dict[str, Fraction] = {}
    unsettled = Fraction(0)
    missing: list[str] = []
    for instrument in state.held.get(account, ()):
        contract = contract_of(state, instrument)
        mark, price = marks.get(instrument), asset_price(contract.asset.name, prices)
        if mark is None or price is None:
            missing.append(instrument if mark is None else contract.asset.name)
            continue
        position = state.journal.position(account, instrument)
        if contract.kind is Kind.OPTION:
            value = contract.size(position.quantity) * Fraction(mark) * price
            options[contract.asset.name] = options.get(contract.asset.name, Fraction(0)) + value
        else:
            unsettled += lots_value(contract, _lots(position), mark) * price
    if missing:
        values = _NO_VALUES if margin is None else margin.option_values_cents
        cents = 0 if margin is None else margin.unsettled_cents
        return PositionValue(values, cents, tuple(missing))
    return PositionValue({a: _cents(v) for a, v in options.items() if v}, _cents(unsettled))


def current_value(state: HouseState, account: str) -> PositionValue:
    """Return the values of the positions of an account at the last marks."""
    margin = state.margin(account)
    return position_value(state, account, margin, prices=state.prices, marks=state.marks)


def valuation(state: HouseState, value: PositionValue, prices: Mapping[str, Decimal]) -> Valuation:
    """Return the valuation from which the journal computes resources."""
    options = {a: Decimal(cents).scaleb(-2) for a, cents in value.option_values_cents.items()}
    unsettled = Decimal(value.unsettled_cents).scaleb(-2)
    return Valuation(state.parameters.rules, prices, options, unsettled)


def account_resources(state: HouseState, account: str) -> Resources:
    """Return the resources of an account at the last prices and marks.

    Raises
    ------
    MissingMarketData
        If an asset that it holds has no price.
    """
    held = holdings(state.journal, account, ASSETS)
    return resources(held, valuation(state, current_value(state, account), state.prices))


def requirement_cents(state: HouseState, account: str) -> int:
    """Return the requirement of the last calculation, US cents; 0 if there was none."""
    margin = state.margin(account)
    return 0 if margin is None else margin.requirement_cents


def reserved_cents(state: HouseState, account: str) -> int:
    """Return the margin of open reservations and of executed block trades, US cents.

    Margin of executed trades that the last requirement includes is not counted, although it is
    released only when the next reservation or cycle is recorded.
    """
    reserved = state.journal.balance(AccountKind.RESERVED, MARGIN, account)
    included = max(0, included_cents(state, account) - reserved.debits_posted)
    quoted = state.journal.balance(AccountKind.FREE_MARGIN, MARGIN, account).debits_pending
    return quoted + reserved.net - included


def included_cents(state: HouseState, account: str, read_number: int | None = None) -> int:
    """Return all reserved margin ever credited at the entry that a requirement includes, US cents.

    Parameters
    ----------
    state : HouseState
    account : str
    read_number : int, optional
        Number of the entry; by default that of the last calculation of the account.
    """
    margin = state.margin(account)
    number = read_number
    if number is None:
        number = 0 if margin is None else margin.read_number
    sums = [cents for entry, cents in state.reserved.get(account, ()) if entry <= number]
    return sums[-1] if sums else 0


def others_deficit_cents(state: HouseState, account: str) -> int:
    """Return what the other accounts that net with this one lack, US cents, at least 0.

    Their unsettled profit is not counted, because this account is asked to cover them when it
    withdraws or reserves.
    """
    others = [name for name in state.netted(account) if name != account]
    excess = sum(
        account_resources(state, name).settled_cents - requirement_cents(state, name)
        for name in others
    )
    return max(0, -excess)


def excess_cents(state: HouseState, account: str) -> int:
    """Return resources less requirement of an account and the deficit of those it nets with."""
    own = account_resources(state, account).excess_cents(requirement_cents(state, account))
    return own - others_deficit_cents(state, account)


def contract_of(state: HouseState, instrument: str) -> Contract:
    """Return a contract with its listed multiplier; 1 if it is not listed."""
    listed = state.contracts.get(instrument)
    return _contract(instrument, Decimal(1) if listed is None else listed.multiplier)


@lru_cache(maxsize=16_384)
def _contract(instrument: str, multiplier: Decimal) -> Contract:
    return contract_from_name(instrument, multiplier)


def asset_price(asset: str, prices: Mapping[str, Decimal]) -> Fraction | None:
    """Return the price of an asset in US dollars per coin; None if it is not known."""
    if asset in USD_ASSETS:
        return Fraction(1)
    price = prices.get(asset)
    return None if price is None else Fraction(price)


def _lots(position: Position) -> dict[Decimal, Decimal]:
    return {lot.base_price: lot.quantity for lot in position.lots if lot.base_price is not None}


def _cents(usd: Fraction) -> int:
    return floor(usd * _CENTS)
