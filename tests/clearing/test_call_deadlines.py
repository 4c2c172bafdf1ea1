"""Due times of tranches: outages, calendars of payment, and the limits of events."""

from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from margin_calls import HOUR, MINUTE, START, Desk, overdue_desk

from margin_actors.clearing.calls import (
    CallParameters,
    Outage,
    PaymentPending,
    PaymentPosted,
    RefusalRule,
    RequirementCycle,
    WithdrawalsAllowed,
    payment_hash,
    transition,
)
from margin_actors.errors import InvalidRequest


def test_an_outage_extends_the_due_times_by_its_length() -> None:
    desk = Desk()
    desk.require(1300)
    desk.now = START + 30 * MINUTE
    desk.report_outage(START + 10 * MINUTE, START + 30 * MINUTE)
    assert desk.timer().at == desk.state.tranches[0].due == START + 80 * MINUTE


def test_an_outage_of_five_minutes_extends_nothing() -> None:
    desk = Desk()
    desk.require(1300)
    desk.now = START + 30 * MINUTE
    before = desk.state
    desk.report_outage(START, START + 5 * MINUTE)
    assert (desk.state, desk.effects) == (before, ())
    desk.report_outage(START, START + 5 * MINUTE + timedelta(seconds=1))
    assert desk.state.tranches[0].due == START + HOUR + 5 * MINUTE + timedelta(seconds=1)


def test_a_tranche_is_extended_by_the_part_of_the_outage_after_its_issue() -> None:
    desk = Desk()
    desk.require(1300)
    desk.now = START + 20 * MINUTE
    desk.require(1600)
    desk.now = START + 30 * MINUTE
    desk.report_outage(START + 10 * MINUTE, START + 30 * MINUTE)
    first, second = desk.state.tranches
    assert (first.due, second.due) == (START + 80 * MINUTE, START + 90 * MINUTE)


def test_a_deadline_that_passed_in_an_outage_is_no_longer_late_after_it() -> None:
    desk = overdue_desk()
    desk.wait(minutes=5)
    desk.report_outage(START + 45 * MINUTE, START + 65 * MINUTE)
    assert (desk.status, desk.timer().at) == ("issued", START + 80 * MINUTE)
    assert WithdrawalsAllowed("C1", desk.state.call_id) in desk.effects


def test_a_deadline_that_passed_before_an_outage_stays_late() -> None:
    desk = overdue_desk()
    desk.wait(minutes=60)
    before = desk.state
    desk.report_outage(START + HOUR, START + 2 * HOUR)
    assert (desk.status, desk.state.tranches, desk.effects) == ("overdue", before.tranches, ())


def test_a_late_report_of_an_outage_leaves_a_tranche_late_whose_new_due_time_has_passed() -> None:
    desk = overdue_desk()
    desk.wait(hours=2)
    desk.report_outage(START + 45 * MINUTE, START + 65 * MINUTE)
    assert desk.status == "overdue"
    assert desk.state.tranches[0].due == START + 80 * MINUTE
    assert not desk.timers


def test_an_outage_during_a_hold_sets_the_timer_again() -> None:
    desk = Desk()
    desk.require(1300)
    desk.hold()
    desk.wait(minutes=65)
    assert not desk.timers
    desk.report_outage(START + 45 * MINUTE, START + 65 * MINUTE)
    desk.release()
    desk.wait(minutes=14)
    assert desk.status == "issued"
    desk.wait(minutes=1)
    assert desk.status == "overdue"


def test_a_repeated_report_and_an_overlapping_outage_extend_once() -> None:
    desk = Desk()
    desk.require(1300)
    desk.now = START + 40 * MINUTE
    desk.report_outage(START + 10 * MINUTE, START + 30 * MINUTE)
    before = desk.state
    desk.report_outage(START + 10 * MINUTE, START + 30 * MINUTE)
    assert desk.state == before
    desk.report_outage(START + 20 * MINUTE, START + 40 * MINUTE)
    assert desk.state.tranches[0].due == START + 90 * MINUTE


def test_an_outage_that_has_not_ended_is_refused() -> None:
    desk = Desk()
    desk.require(1300)
    desk.report_outage(START, START + HOUR)
    assert desk.outcome.refusal is not None
    assert desk.outcome.refusal.rule is RefusalRule.NOT_ENDED


def test_an_outage_of_five_hours_leaves_the_time_that_remained() -> None:
    desk = Desk()
    desk.require(1300)
    desk.now = START + 5 * HOUR + 10 * MINUTE
    desk.report_outage(START + 10 * MINUTE, desk.now)
    desk.wait(minutes=49)
    assert desk.status == "issued"
    desk.wait(minutes=1)
    assert desk.status == "overdue"


def test_an_outage_reported_after_a_later_one_counts_as_if_reported_before_it() -> None:
    earlier = (START + 50 * MINUTE, START + 80 * MINUTE)
    later = (START + 65 * MINUTE, START + 90 * MINUTE)
    for reports in ((earlier, later), (later, earlier)):
        desk = Desk()
        desk.require(1300)
        desk.now = START + 95 * MINUTE
        for began, ended in reports:
            desk.report_outage(began, ended)
        assert desk.timer().at == START + 100 * MINUTE


def test_an_outage_before_an_extension_does_not_extend_it() -> None:
    desk = Desk()
    desk.require(1300)
    desk.now = START + 40 * MINUTE
    desk.extend(1, START + 3 * HOUR)
    desk.now = START + 50 * MINUTE
    desk.report_outage(START + 20 * MINUTE, START + 50 * MINUTE)
    assert desk.state.tranches[0].due == START + 3 * HOUR + 10 * MINUTE


MINUTES = st.integers(0, 200)
SPANS = st.lists(st.tuples(MINUTES, MINUTES).filter(lambda x: x[1] - x[0] > 5), max_size=6)


@given(SPANS, st.permutations(range(6)), st.sampled_from(["open_assets", "extend"]))
def test_a_due_time_is_reached_after_an_hour_without_outage_in_any_order_of_reports(
    spans: list[tuple[int, int]], order: list[int], rule: Literal["open_assets", "extend"]
) -> None:
    dues: list[datetime] = []
    for chosen in (range(len(spans)), [n for n in order if n < len(spans)]):
        desk = Desk(CallParameters(closed_rule=rule))
        desk.require(1300)
        desk.now = START + 200 * MINUTE
        for number in chosen:
            began, ended = spans[number]
            desk.report_outage(START + began * MINUTE, START + ended * MINUTE)
        dues.append(desk.state.tranches[0].due)
    out = {minute for began, ended in spans for minute in range(began, ended)}
    usable = [minute for minute in range(500) if minute not in out]
    assert dues == [START + (usable[59] + 1) * MINUTE] * 2


# -- calendars -------------------------------------------------------------------------------------

FRIDAY = datetime(2026, 6, 12, 15, 30, tzinfo=UTC)


def test_while_banks_are_open_a_call_can_be_paid_in_every_asset() -> None:
    desk = Desk()
    desk.require(1300)
    assert desk.state.tranches[0].assets == ("USD", "USDC", "USDT", "BTC", "ETH")


def test_when_banks_close_before_the_due_time_only_assets_around_the_clock_are_called() -> None:
    for now in (FRIDAY, FRIDAY + 24 * HOUR, datetime(2026, 12, 25, 12, 0, tzinfo=UTC)):
        desk = Desk(now=now)
        desk.require(1300)
        (tranche,) = desk.state.tranches
        assert tranche.assets == ("USDC", "USDT", "BTC", "ETH")
        assert tranche.due == now + HOUR


def test_under_the_rule_extend_a_deadline_in_fiat_extends_over_the_weekend() -> None:
    desk = Desk(CallParameters(closed_rule="extend"), now=FRIDAY)
    desk.require(1300)
    (tranche,) = desk.state.tranches
    assert tranche.due == datetime(2026, 6, 15, 2, 30, tzinfo=UTC)
    assert "USD" in tranche.assets


def test_under_the_rule_extend_an_outage_does_not_end_in_closed_time() -> None:
    desk = Desk(CallParameters(closed_rule="extend"), now=FRIDAY - 30 * MINUTE)
    desk.require(1300)
    assert desk.state.tranches[0].due == FRIDAY + 30 * MINUTE  # the bank closes then
    desk.now = FRIDAY
    desk.report_outage(FRIDAY - 20 * MINUTE, FRIDAY)
    assert desk.state.tranches[0].due == datetime(2026, 6, 15, 2, 20, tzinfo=UTC)


# -- forms of events -------------------------------------------------------------------------------


def test_amounts_of_events_are_limited() -> None:
    with pytest.raises(InvalidRequest, match="amount: 0 cents"):
        PaymentPosted("p1", "h", 0, START)
    with pytest.raises(InvalidRequest, match="payment_id: is empty"):
        PaymentPending("", "h", 1, START)
    with pytest.raises(InvalidRequest, match="2 problems"):
        RequirementCycle(1, -1, 2 * 10**18, START)


def test_times_of_events_are_in_utc() -> None:
    local = START.replace(tzinfo=None)
    for create in (
        lambda: PaymentPosted("p1", "h", 1, local),
        lambda: PaymentPending("p1", "h", 1, local),
        lambda: RequirementCycle(1, 1, 1, local),
        lambda: Outage(local, local),
        lambda: transition(Desk().state, RequirementCycle(1, 1, 1, START), local, CallParameters()),
    ):
        with pytest.raises(InvalidRequest, match="is not a time in UTC"):
            create()
    with pytest.raises(InvalidRequest, match="not after its beginning"):
        Outage(START, START)


def test_the_hash_of_a_payment_depends_on_every_field_of_the_custodian_s_record() -> None:
    def hashed(
        name: str = "p1",
        account: str = "C1",
        asset: str = "USDC",
        units: int = 5,
        at: datetime = START,
    ) -> str:
        return payment_hash(name, account=account, asset=asset, units=units, received_at=at)

    known = hashed()
    assert hashed() == known
    others = [hashed("p2"), hashed(account="C2"), hashed(asset="USDT"), hashed(units=6)]
    others.append(hashed(at=START + MINUTE))
    assert len({known, *others}) == 6


def test_an_attestation_that_has_expired_is_ignored() -> None:
    desk = Desk()
    desk.require(1300)
    before = desk.state
    desk.attest("p1", 300, hours=0)
    assert (desk.state, desk.effects) == (before, ())


def test_an_attestation_can_precede_the_call() -> None:
    desk = Desk()
    desk.attest("p1", 300, hours=5)
    desk.require(1300)
    desk.wait(hours=1)
    desk.declare()
    assert desk.outcome.refusal is not None
    assert desk.outcome.refusal.rule is RefusalRule.PAYMENT_UNDER_WAY
