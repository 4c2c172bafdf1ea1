"""Deposits, withdrawals and sweeps."""

from dataclasses import replace
from decimal import Decimal

import pytest
from journal_world import (
    BTC,
    MARGIN,
    SETTLEMENT,
    T0,
    USDC,
    K,
    account,
    applied,
    at,
    transfer,
)

from margin_actors.clearing.amounts import USD
from margin_actors.clearing.journal.applying import apply, expire
from margin_actors.clearing.journal.integrity import held_at_custodians, integrity_findings
from margin_actors.clearing.journal.movements import (
    CollateralMovement,
    Coverage,
    announced_deposit,
    approved_withdrawal,
    cancelled_withdrawal,
    paid_withdrawal,
    received_deposit,
    requested_withdrawal,
    returned_withdrawal,
    sweep,
    withdrawable,
)
from margin_actors.clearing.journal.outcomes import Applied, Refused, Rule
from margin_actors.clearing.journal.reservations import (
    Execution,
    MarginStatus,
    Reservation,
    executed_trade,
    free_margin_cents,
    reserved,
)
from margin_actors.clearing.journal.resources import CollateralRules, Valuation
from margin_actors.clearing.journal.state import EMPTY, JournalState, holdings
from margin_actors.clearing.journal.transfers import Group, Transfer, TransferKind
from margin_actors.errors import InvalidRequest, KeyReused

DOLLAR = 10**6
ASSETS = {"USDC": USDC, "BTC": BTC}
VALUES = Valuation(
    CollateralRules({"USDC": Decimal("0.01"), "BTC": Decimal("0.15")}), {"BTC": Decimal(50_000)}
)


def movement(name: str, units: int, owner: str = "fund") -> CollateralMovement:
    return CollateralMovement(name, owner, USDC, units, "bank", T0)


def coverage(requirement_cents: int, unsettled: int = 0) -> Coverage:
    return Coverage(replace(VALUES, unsettled_usd=Decimal(unsettled)), requirement_cents, ASSETS)


def funded(dollars: int = 1_000) -> JournalState:
    return applied(EMPTY, received_deposit(EMPTY, movement("d", dollars * DOLLAR), now=T0))


def test_an_announced_deposit_is_shown_and_credited_when_it_is_received() -> None:
    announced = applied(EMPTY, announced_deposit(movement("d", 100), expires_at=at(60)))
    assert announced.balance(K.COLLATERAL, USDC, "fund").credits_pending == 100
    assert holdings(announced, "fund", ASSETS) == {}
    for arrived in (60, 100, 130):
        group = received_deposit(announced, movement("d", arrived), now=at(5))
        after = applied(announced, group, at(5))
        assert holdings(after, "fund", ASSETS) == {USDC: arrived}
        assert held_at_custodians(after) == {USDC: arrived}
        assert after.pending == {}
        again = apply(after, received_deposit(after, movement("d", arrived), now=at(6)), at(6))
        assert isinstance(again, Applied)
        assert again.is_repeat
        with pytest.raises(KeyReused):
            apply(after, received_deposit(after, movement("d", 99), now=at(6)), at(6))


def test_a_deposit_is_credited_once_and_another_amount_is_an_error() -> None:
    state = funded()
    group = received_deposit(EMPTY, movement("d", 1_000 * DOLLAR), now=T0)
    again = apply(state, group, at(1))
    assert isinstance(again, Applied)
    assert again.is_repeat
    with pytest.raises(KeyReused):
        apply(state, received_deposit(state, movement("d", 1), now=at(1)), at(1))


def test_a_deposit_that_arrives_after_its_attestation_expired_is_credited() -> None:
    announced = applied(EMPTY, announced_deposit(movement("d", 100), expires_at=at(60)))
    late = applied(announced, received_deposit(announced, movement("d", 100), now=at(60)), at(60))
    assert holdings(late, "fund", ASSETS) == {USDC: 100}
    gone = expire(late, at(61))
    assert isinstance(gone, Applied)
    for state in (late, gone.state):
        again = apply(state, received_deposit(state, movement("d", 100), now=at(61)), at(61))
        assert isinstance(again, Applied)
        assert again.is_repeat
    assert holdings(gone.state, "fund", ASSETS) == {USDC: 100}
    with pytest.raises(InvalidRequest, match="differs from its announcement"):
        received_deposit(announced, movement("d", 100, "another"), now=at(1))


def test_a_withdrawal_is_set_aside_then_in_transit_then_paid_or_returned() -> None:
    state, request = funded(), movement("w", 300 * DOLLAR)
    asked = applied(state, requested_withdrawal(state, request, coverage(0), expires_at=at(60)))
    assert holdings(asked, "fund", ASSETS) == {USDC: 700 * DOLLAR}
    group = approved_withdrawal(asked, request, coverage(0), valid_time=at(1))
    sent = applied(asked, group, at(1))
    repeated = approved_withdrawal(sent, request, coverage(10**9), valid_time=at(1))
    assert repeated.payload_hash == group.payload_hash
    assert sent.balance(K.IN_TRANSIT, USDC, "fund").net == 300 * DOLLAR
    assert held_at_custodians(sent) == {USDC: 1_000 * DOLLAR}
    paid = applied(sent, paid_withdrawal(request, valid_time=at(2)), at(2))
    assert held_at_custodians(paid) == {USDC: 700 * DOLLAR}
    back = applied(sent, returned_withdrawal(request, valid_time=at(2)), at(2))
    assert holdings(back, "fund", ASSETS) == {USDC: 1_000 * DOLLAR}
    for state_, other in ((paid, returned_withdrawal), (back, paid_withdrawal)):
        outcome = apply(state_, other(request, valid_time=at(3)), at(3))
        assert isinstance(outcome, Refused)
        assert outcome.rule is Rule.TRANSFER_ID_USED
        assert state_.balance(K.IN_TRANSIT, USDC, "fund").net == 0
        assert integrity_findings(state_) == ()


def test_a_request_below_the_requirement_is_refused_to_the_last_unit() -> None:
    state = funded()
    terms = coverage(50_000)
    limit = withdrawable(state, "fund", USDC, terms)
    # 500 dollars must remain after the haircut of 1 %: 505.050506 USDC, less the part of a unit
    # that does not lower the value by a cent.
    assert limit == 1_000 * DOLLAR - 505_050_506
    requested_withdrawal(state, movement("w", limit), terms, expires_at=at(60))
    with pytest.raises(InvalidRequest, match="exceeds the withdrawable"):
        requested_withdrawal(state, movement("w", limit + 1), terms, expires_at=at(60))


def test_unsettled_profit_cannot_be_withdrawn() -> None:
    state = funded()
    with_profit, without = coverage(50_000, unsettled=400), coverage(50_000)
    assert withdrawable(state, "fund", USDC, with_profit) == withdrawable(
        state, "fund", USDC, without
    )
    assert withdrawable(state, "fund", USDC, coverage(100_000, unsettled=400)) == 0
    assert withdrawable(state, "fund", USDC, coverage(50_000, unsettled=-400)) < withdrawable(
        state, "fund", USDC, without
    )


def test_reserved_margin_is_not_withdrawable_and_a_request_lowers_free_margin() -> None:
    state = funded()
    status = MarginStatus("fund", "c1", 49_000, 0, T0)
    state = applied(state, reserved(state, status, Reservation("q", 20_000, at(60))))
    assert free_margin_cents(state, "fund") == 29_000
    limit = withdrawable(state, "fund", USDC, coverage(50_000))
    assert limit == 1_000 * DOLLAR - 707_070_708
    trade = executed_trade(state, "t", [Execution("fund", "q")], [], valid_time=T0)
    assert withdrawable(applied(state, trade), "fund", USDC, coverage(50_000)) == limit
    request = movement("w", limit)
    group = requested_withdrawal(state, request, coverage(50_000), expires_at=at(60))
    asked = applied(state, group)
    assert free_margin_cents(asked, "fund") == 0
    assert asked.balance(K.FREE_MARGIN, MARGIN, "fund").debits_pending == 20_000


def test_an_approval_is_refused_if_the_requirement_has_risen() -> None:
    state, request = funded(), movement("w", 300 * DOLLAR)
    asked = applied(
        state, requested_withdrawal(state, request, coverage(69_300), expires_at=at(60))
    )
    approved_withdrawal(asked, request, coverage(69_300), valid_time=at(1))
    approved_withdrawal(asked, request, coverage(69_300, unsettled=5), valid_time=at(1))
    with pytest.raises(InvalidRequest, match="69300 cents would remain, 69301 are needed"):
        approved_withdrawal(asked, request, coverage(69_301, unsettled=5), valid_time=at(1))
    with pytest.raises(InvalidRequest, match="69300 cents would remain, 69301 are needed"):
        approved_withdrawal(asked, request, coverage(69_301), valid_time=at(1))
    with pytest.raises(InvalidRequest, match="differ from"):
        approved_withdrawal(asked, movement("w", 1), coverage(0), valid_time=at(1))
    cancelled = applied(asked, cancelled_withdrawal(asked, request, valid_time=at(1)), at(1))
    assert holdings(cancelled, "fund", ASSETS) == {USDC: 1_000 * DOLLAR}
    with pytest.raises(InvalidRequest, match="no open request"):
        approved_withdrawal(cancelled, request, coverage(0), valid_time=at(2))


def with_cash(units: int) -> JournalState:
    state = applied(funded(), Group("open", accounts=(SETTLEMENT, account(K.CASH, "fund"))), at(0))
    ends = (SETTLEMENT, account(K.CASH, "fund"))
    debit, credit = ends if units > 0 else ends[::-1]
    paid = transfer("v", debit, credit, abs(units), TransferKind.VARIATION)
    return applied(state, Group("v", (paid,)))


@pytest.mark.parametrize(
    ("cash", "left", "collateral"),
    [
        (200 * DOLLAR, 0, 1_200 * DOLLAR),
        (-200 * DOLLAR, 0, 800 * DOLLAR),
        (-1_500 * DOLLAR, -500 * DOLLAR, 0),
    ],
)
def test_a_sweep_returns_cash_to_zero_as_far_as_collateral_permits(
    cash: int, left: int, collateral: int
) -> None:
    state = with_cash(cash)
    moved = sweep(state, "fund", USDC, event="s1", valid_time=T0)
    assert moved is not None
    after = applied(state, Group("sweep", (moved,)))
    assert after.balance(K.CASH, USDC, "fund").net == left
    assert after.balance(K.COLLATERAL, USDC, "fund").net == collateral
    assert holdings(after, "fund", ASSETS) == holdings(state, "fund", ASSETS)
    assert sweep(after, "fund", USDC, event="s2", valid_time=T0) is None
    assert sweep(after, "fund", USD, event="s2", valid_time=T0) is None


def test_a_sweep_leaves_what_is_set_aside_for_withdrawals() -> None:
    state, request = with_cash(-200 * DOLLAR), movement("w", 700 * DOLLAR)
    state = applied(state, requested_withdrawal(state, request, coverage(0), expires_at=at(60)))
    state = applied(state, Group("loss", (loss(200),)))
    moved = sweep(state, "fund", USDC, event="s1", valid_time=T0)
    assert moved is not None
    assert moved.amount == 300 * DOLLAR


def loss(dollars: int) -> Transfer:
    cash = account(K.CASH, "fund")
    return transfer("loss", cash, SETTLEMENT, dollars * DOLLAR, TransferKind.VARIATION)


def test_a_debt_in_cash_lowers_what_can_be_withdrawn() -> None:
    state = with_cash(-200 * DOLLAR)
    assert withdrawable(state, "fund", USDC, coverage(0)) == 800 * DOLLAR
    assert withdrawable(with_cash(200 * DOLLAR), "fund", USDC, coverage(0)) == 1_000 * DOLLAR
