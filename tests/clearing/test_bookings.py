"""Settlement groups booked in the journal: balances, positions and clearing accounts."""

from datetime import timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from settlement_books import EXPIRY, TWO_PEOPLE, cash, cutoff, final, moves

from margin_actors.clearing.amounts import ASSETS
from margin_actors.clearing.bookings import booking
from margin_actors.clearing.journal import (
    EMPTY,
    AccountKind,
    Applied,
    Group,
    JournalState,
    apply,
    asset_sums,
    integrity_findings,
    margin_accounts,
)
from margin_actors.clearing.settlement import (
    Held,
    SettlementGroup,
    SettlementParameters,
    Trade,
    contract_from_name,
    correction,
    daily_group,
    expiry_group,
    folded,
    lots_by_account,
    trade_group,
)

NAMES = ("BTC-26JUN26", "BTC-26JUN26-45000-C", "BTC-26JUN26-55000-P")
FUTURE, *OPTIONS = (contract_from_name(name) for name in NAMES)
ACCOUNTS = ("a", "b", "c")
PARAMETERS = SettlementParameters()
BEGIN = EXPIRY - timedelta(hours=40)
BTC = ASSETS["BTC"]
near = st.decimals(40_000, 60_000, places=1)


def opened() -> JournalState:
    """Return a journal that knows the clearing accounts."""
    accounts = [account for owner in ACCOUNTS for account in margin_accounts(owner)]
    outcome = apply(EMPTY, Group("open accounts", accounts=tuple(accounts)), BEGIN)
    assert isinstance(outcome, Applied)
    return outcome.state


def booked(state: JournalState, group: SettlementGroup) -> JournalState:
    booked_group = booking(group)
    if booked_group is None:
        assert cash(group.events) == {}
        return state
    outcome = apply(state, booked_group, group.time)
    assert isinstance(outcome, Applied)
    assert not outcome.is_repeat
    return outcome.state


def changes_of(groups: list[SettlementGroup], name: str):
    return [c for group in groups for c in moves(group.events) if c.instrument == name]


@st.composite
def days(draw: st.DrawFn) -> list[SettlementGroup]:
    """Return trades, a daily settlement, its correction, and the expiry."""
    groups: list[SettlementGroup] = []
    for k in range(draw(st.integers(1, 5))):
        buyer, seller = draw(st.permutations(ACCOUNTS))[:2]
        contract = draw(st.sampled_from([FUTURE, *OPTIONS]))
        price = draw(st.decimals("0.001", 1, places=4) if contract.strike else near)
        quantity = draw(st.decimals(Decimal("0.1"), 5_000, places=1))
        time = BEGIN + timedelta(minutes=k)
        trade = Trade(f"trade {k}", buyer, seller, quantity, price, Decimal(50_000), time)
        groups.append(trade_group(contract, trade, PARAMETERS))
    now = EXPIRY - timedelta(days=1)
    held = Held(FUTURE, folded(FUTURE, changes_of(groups, FUTURE.name), now))
    if held.changes:
        first = daily_group(held, draw(near), cutoff(now))
        second = daily_group(held, draw(near), cutoff(now, version=2))
        groups += [first, correction(first, second, TWO_PEOPLE)]
    at_expiry = [Held(c, folded(c, changes_of(groups, c.name), EXPIRY)) for c in (FUTURE, *OPTIONS)]
    groups.append(
        expiry_group(at_expiry[0], at_expiry[1:], final(draw(near)), cutoff(EXPIRY), PARAMETERS)
    )
    return groups


@settings(max_examples=30)
@given(days())
def test_the_journal_agrees_with_the_settlement_after_every_group(
    groups: list[SettlementGroup],
) -> None:
    state = opened()
    for number, group in enumerate(groups, 1):
        state = booked(state, group)
        assert integrity_findings(state) == ()
        assert all(sums == (0, 0) for sums in asset_sums(state).values())
        received = cash(event for done in groups[:number] for event in done.events)
        for account in ACCOUNTS:
            held = state.balance(AccountKind.CASH, BTC, account)
            assert held.net == received.get(account, 0)
        for kind, name in (
            (AccountKind.ROUNDING, "house:rounding"),
            (AccountKind.FEES, "house:fees"),
        ):
            assert state.balance(kind, BTC).net == received.get(name, 0)
        for kind in (AccountKind.SETTLEMENT, AccountKind.FUNDING):
            assert state.balance(kind, BTC).net == 0
        for contract in (FUTURE, *OPTIONS):
            changes = changes_of(groups[:number], contract.name)
            lots = lots_by_account(contract, changes) if contract is FUTURE else {}
            for account in ACCOUNTS:
                position = state.position(account, contract.name)
                wanted = sum(c.quantity for c in changes if c.account == account)
                assert position.quantity == wanted
                if contract is FUTURE:
                    own = {lot.base_price: lot.quantity for lot in position.lots_by_price.values()}
                    assert own == dict(lots.get(account, {}))


@settings(max_examples=10)
@given(days())
def test_a_group_that_is_computed_again_is_not_booked_again(groups: list[SettlementGroup]) -> None:
    state = opened()
    for group in groups:
        state = booked(state, group)
        computed_again = booking(group)
        if computed_again is None:
            continue
        again = apply(state, computed_again, group.time)
        assert isinstance(again, Applied)
        assert again.is_repeat
        assert again.state == state


def test_a_settlement_at_an_unchanged_price_books_nothing() -> None:
    trade = Trade("t", "a", "b", Decimal(100), Decimal(50_000), Decimal(50_000), BEGIN)
    traded = trade_group(FUTURE, trade, PARAMETERS)
    now = EXPIRY - timedelta(days=1)
    held = Held(FUTURE, folded(FUTURE, moves(traded.events), now))
    assert booking(daily_group(held, Decimal(50_000), cutoff(now))) is None
    moved = booking(daily_group(held, Decimal(48_000), cutoff(now)))
    assert moved is not None
    assert {t.amount for t in moved.transfers} == {8_333}
    assert [(p.account, p.base_price) for p in moved.positions] == [
        ("a", Decimal(50_000)), ("a", Decimal(48_000)),
        ("b", Decimal(50_000)), ("b", Decimal(48_000)),
    ]  # fmt: skip


def test_quantities_with_many_digits_are_booked_exactly() -> None:
    quantity = Decimal("123456789012345.123456789012345678")
    contract = contract_from_name("BTC_USDC-PERPETUAL")
    trade = Trade("t", "a", "b", quantity, Decimal(1), Decimal(1), EXPIRY)
    group = trade_group(contract, trade, PARAMETERS)
    state = booked(opened(), group)
    assert state.position("a", contract.name).quantity == quantity
    assert state.position("b", contract.name).quantity == quantity.copy_negate()
    for event in group.events:
        for change in event.changes:
            assert change.reversed().reversed() == change
