"""The story of an account: what it says about a day in which every kind of event occurred."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

import pytest
from clearing_house import MILLION, House
from house_days import full_day

from margin_actors.clearing.house import EMPTY_HOUSE, HouseEvent, fold
from margin_actors.clearing.house.account_events import CallChanged
from margin_actors.clearing.journal.deficits import AccountType
from margin_actors.clearing.story import Story, Tone, account_story


@dataclass(frozen=True)
class Entry:
    number: int
    event: HouseEvent
    actor: str
    recorded_at: datetime
    hash: str


def entries(house: House) -> list[Entry]:
    times = [at for _, _, at in house.log]
    return [
        Entry(number, event, "someone", at, f"hash-{number}")
        for number, (event, at) in enumerate(zip(house.events, times, strict=True), 1)
    ]


@cache
def day() -> House:
    return full_day()


def story(house: House, account: str) -> Story:
    return account_story(EMPTY_HOUSE, account, entries(house))


def titles(found: Story) -> list[str]:
    return [line.statement.title for line in found.lines]


def texts(found: Story, title: str) -> list[str]:
    return [line.statement.text for line in found.lines if line.statement.title == title]


def in_order(wanted: Sequence[str], found: Sequence[str]) -> bool:
    rest = iter(found)
    return all(title in rest for title in wanted)


def test_a_call_is_told_from_its_issue_to_its_late_payment() -> None:
    found = story(day(), "a")
    assert in_order(
        ["Account opened", "Deposit received", "Account is short", "Margin call issued",
         "Call acknowledged", "Payment under way", "Call held", "Hold ended", "Deadline extended",
         "Margin call reduced", "Attestation expired", "Reminder sent", "Margin call overdue",
         "Margin call met late"],
        titles(found),
    )  # fmt: skip
    (issued, _) = texts(found, "Margin call issued")
    assert issued == (
        "The requirement of USD 3,000,000.00 exceeds the resources of USD 2,000,000.00 by "
        "USD 1,000,000.00, and is above 110 % of the resources. USD 1,000,000.00 is due at "
        "2026-05-15 07:00:00 UTC, payable in USD, USDC, USDT, BTC and ETH. The amount is the "
        "deficit rounded up to a multiple of USD 10,000.00."
    )
    (met,) = texts(found, "Margin call met late")
    assert "USD 700,000.00 to tranche call/a/initial/1/1, after its deadline" in met
    assert "USD 2,300,000.00 remains a deposit" in met


def test_a_default_names_the_two_people_who_declared_it() -> None:
    found = story(day(), "b")
    (line,) = [line for line in found.lines if line.statement.title == "Default declared"]
    assert line.statement.people == ("proposed by A", "approved by B")
    assert line.statement.tone is Tone.BAD
    assert "not paid" in line.statement.text
    assert in_order(["Margin call increased", "Margin call overdue"], titles(found))
    assert "default declared" in found.closing.call


def test_withdrawals_trades_reservations_and_settlements_are_told_with_their_amounts() -> None:
    found = story(day(), "a")
    assert in_order(
        ["Withdrawal requested", "Withdrawal approved", "Withdrawal paid", "Margin reserved",
         "Trade cancelled", "Reservation ended", "Delivery price", "Expiry settled"],
        titles(found),
    )  # fmt: skip
    (approved,) = [line for line in found.lines if line.statement.title == "Withdrawal approved"]
    assert approved.statement.people == ("requested by ann", "approved by bob")
    assert texts(found, "Trade booked")[0] == "The account bought 4 BTC_USDC-15MAY26 at 50,000."
    (expired,) = texts(found, "Expiry settled")
    assert "paid USDC 16,000.00 payoff" in expired
    assert found.closing.balances == ("collateral USDC 4,983,999.00",)


def test_the_expiry_of_a_short_option_states_payoff_and_fees() -> None:
    (expired,) = texts(story(day(), "b"), "Expiry settled")
    assert "The settlement closed the positions of −2 BTC_USDC-15MAY26-44000-C" in expired
    assert "received USDC 12,000.00 payoff" in expired
    assert "paid USDC 13.80 fees" in expired


@pytest.mark.parametrize("account", ["a", "b", "c"])
def test_every_line_names_the_entry_that_proves_it(account: str) -> None:
    house = day()
    found = story(house, account)
    numbers = [line.number for line in found.lines]
    assert numbers == sorted(numbers)
    for line in found.lines:
        assert line.event_id == house.events[line.number - 1].id
        assert line.entry_hash == f"hash-{line.number}"
        assert line.at == house.log[line.number - 1][2]


@pytest.mark.parametrize("account", ["a", "b", "c"])
def test_every_change_of_a_call_of_the_account_has_a_line(account: str) -> None:
    house = day()
    changed = [
        number
        for number, event in enumerate(house.events, 1)
        if isinstance(event, CallChanged) and event.account == account
    ]
    found = Counter(line.number for line in story(house, account).lines)
    assert set(changed) <= set(found)
    assert (account == "c") == (not changed)


def test_a_story_does_not_mention_calls_of_other_accounts() -> None:
    for account, others in (("a", "bc"), ("b", "ac"), ("c", "ab")):
        for line in story(day(), account).lines:
            named = set(re.findall(r"call/(\w)/", line.statement.text))
            assert not named & set(others), line


@pytest.mark.parametrize("cut", [12, 30, 60, 90, 140])
def test_a_story_in_two_parts_has_the_lines_of_the_whole(cut: int) -> None:
    house = day()
    whole, logged = story(house, "a"), entries(house)
    first = account_story(EMPTY_HOUSE, "a", logged[:cut])
    state = EMPTY_HOUSE
    for one in logged[:cut]:
        state = fold(state, one.event, one.recorded_at)
    second = account_story(state, "a", logged[cut:])
    proofs = [line.number for line in (*first.lines, *second.lines)]
    assert proofs == [line.number for line in whole.lines]
    assert first.closing == second.opening
    assert (second.closing, first.cycles + second.cycles) == (whole.closing, whole.cycles)


def test_a_quiet_cycle_has_no_line_and_a_change_of_the_index_has_one() -> None:
    house = House().open("a")
    house.deposit("a", 2 * MILLION)
    for mark in (50_000, 50_100, 50_200, 48_900):
        house.cycle({"a": MILLION}, mark=mark)
        house.step(1)
    found = story(house, "a")
    assert found.cycles == 4
    lines = [line for line in found.lines if line.statement.topic == "requirement"]
    assert [line.statement.title for line in lines] == [
        "Requirement calculated",
        "Requirement changed",
    ]
    assert "BTC index −2.2 %, 50,000 to 48,900" in lines[1].statement.text


def test_accounts_that_net_share_the_call_of_the_first() -> None:

    house = House().open()
    for name in ("h1", "h2"):
        house.open_account(name, kind=AccountType.HOUSE, nets=True)
    house.cycle({"h1": 0, "h2": 3 * MILLION})
    found = story(house, "h2")
    assert found.call_account == "h1"
    assert texts(found, "Margin call issued")


def test_a_payment_in_time_is_said_to_be_in_time() -> None:
    house = House().open("a")
    house.cycle({"a": 2 * MILLION})
    house.step(59)
    house.deposit("a", MILLION)
    house.now += timedelta(seconds=30)
    house.deposit("a", MILLION)
    found = story(house, "a")
    (part,) = texts(found, "Part of the call paid")
    assert "in time" in part
    assert "USD 1,000,000.00 of USD 2,000,000.00 remains to be paid" in part
    assert titles(found)[-1] == "Margin call met"
