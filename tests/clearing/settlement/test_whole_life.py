"""Several days from the first trade to the delivery: what each account received is its profit."""

from collections import defaultdict
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from settlement_books import EXPIRY, TWO_PEOPLE, cash, cutoff, final, moves

from margin_actors.clearing.settlement import (
    Contract,
    Held,
    PositionChange,
    SettlementGroup,
    SettlementParameters,
    Trade,
    contract_from_name,
    correction,
    daily_group,
    expiry_group,
    folded,
    trade_group,
)
from margin_actors.clearing.settlement.parameters import (
    DeliveryParameters,
    FeeParameters,
    FeeRule,
)

ACCOUNTS = ["a", "b", "c", "d"]
DAYS = 4
near = st.decimals(40_000, 60_000, places=1)


def rules(*, two_step: bool) -> SettlementParameters:
    return SettlementParameters(
        delivery=DeliveryParameters(two_step_inverse=two_step, two_step_linear=two_step),
        fees=FeeParameters(option_delivery=FeeRule()),
    )


@st.composite
def trades(draw: st.DrawFn, contract: Contract) -> list[Trade]:
    """Return trades of one contract over the days before its expiry."""
    found: list[Trade] = []
    for k in range(draw(st.integers(0, 5))):
        buyer, seller = draw(st.permutations(ACCOUNTS))[:2]
        hours = draw(st.integers(1, 24 * DAYS))
        price = draw(st.decimals(0, 1, places=4) if contract.strike else near)
        quantity = draw(st.decimals(Decimal("0.1"), 5_000, places=1))
        time = EXPIRY - timedelta(hours=hours, minutes=1)
        found.append(
            Trade(f"{contract.name} {k}", buyer, seller, quantity, price, Decimal(50_000), time)
        )
    return found


def profit(contract: Contract, trade: Trade, D: Fraction) -> Fraction:
    """Return what the buyer of a trade gains until delivery, by the textbook formulas."""
    q, p = Fraction(trade.quantity), Fraction(trade.price)
    if contract.strike is None:
        return q * (1 / p - 1 / D) if contract.is_inverse else q * (D - p)
    K = Fraction(contract.strike)
    value = max(Fraction(0), D - K if contract.is_call else K - D)
    return q * ((value / D if contract.is_inverse else value) - p)


def days_of_future(
    future: Contract, booked: list[SettlementGroup], data: st.DataObject
) -> list[SettlementGroup]:
    """Return the daily settlements of a future, some of them corrected at the following day."""
    found: list[SettlementGroup] = []
    for day in range(DAYS, 0, -1):
        now = EXPIRY - timedelta(days=day)
        held = [c for g in (*booked, *found) for c in moves(g.events) if c.time < now]
        held = [c for c in held if c.instrument == future.name]
        group = daily_group(Held(future, tuple(held)), data.draw(near), cutoff(now))
        found.append(group)
        if data.draw(st.booleans()):
            again = Held(future, tuple(held))
            right = daily_group(again, data.draw(near), cutoff(now, version=2))
            found.append(correction(group, right, TWO_PEOPLE))
    return found


@settings(max_examples=25)
@given(st.data(), st.sampled_from(["", "_USDC"]), near, st.booleans())
def test_every_account_receives_its_profit_and_everything_sums_to_zero(
    data: st.DataObject, linear: str, price: Decimal, two_step: bool
) -> None:
    names = [f"BTC{linear}-26JUN26{suffix}" for suffix in ("", "-45000-C", "-55000-P")]
    contracts = [contract_from_name(name) for name in names]
    traded = [(c, trade) for c in contracts for trade in data.draw(trades(c))]
    parameters = rules(two_step=two_step)
    booked = [trade_group(c, trade, parameters) for c, trade in traded]
    booked += days_of_future(contracts[0], booked, data)
    changes = [c for group in booked for c in moves(group.events)]

    def held(contract: Contract) -> Held:
        own: list[PositionChange] = [c for c in changes if c.instrument == contract.name]
        return Held(contract, folded(contract, own, EXPIRY))

    future, *options = map(held, contracts)
    booked.append(expiry_group(future, options, final(price), cutoff(EXPIRY), parameters))
    events = [event for group in booked for event in group.events]
    received = cash(events)
    assert sum(received.values()) == 0
    expected: dict[str, Fraction] = defaultdict(Fraction)
    for contract, trade in traded:
        gain = profit(contract, trade, Fraction(price)) * 10**contract.asset.decimals
        expected[trade.buyer] += gain
        expected[trade.seller] -= gain
    for account in ACCOUNTS:
        roundings = sum(event.account == account for event in events)
        assert abs(received.get(account, 0) - expected[account]) <= Fraction(roundings, 2)
    remaining = moves(events)
    for contract in contracts:
        own = [c for c in remaining if c.instrument == contract.name]
        assert folded(contract, own, EXPIRY) == ()
