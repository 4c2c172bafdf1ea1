"""The rows of the transition table of a margin call that are about payments."""

from margin_calls import THOUSAND, Desk, overdue_desk

from margin_actors.clearing.calls import (
    Alarm,
    AlarmKind,
    Announcement,
    News,
    PaymentAllocated,
    PaymentPosted,
    TimerVoided,
    WithdrawalsAllowed,
)


def test_an_attested_payment_is_shown_and_not_credited() -> None:
    desk = Desk()
    desk.require(1300)
    desk.attest("p1", 300)
    assert (desk.status, desk.out) == ("issued", 300)
    assert [p.amount_cents for p in desk.state.attested] == [300 * THOUSAND]
    assert desk.news == [News.PAYMENT_UNDER_WAY]


def test_an_attestation_expires() -> None:
    desk = Desk()
    desk.require(1300)
    desk.attest("p1", 300, hours=0.5)
    desk.wait(minutes=29)
    assert desk.state.attested
    desk.wait(minutes=1)
    assert not desk.state.attested
    assert desk.news == [News.ATTESTATION_EXPIRED]


def test_payments_fill_the_oldest_due_time_first() -> None:
    desk = Desk()
    desk.require(1300)
    desk.wait(minutes=10)
    desk.require(1500)
    desk.pay("p1", 400)
    assert [t.unpaid_cents // THOUSAND for t in desk.state.tranches] == [0, 100]
    assert desk.kinds == [PaymentAllocated, PaymentAllocated, TimerVoided, Announcement]
    assert desk.status == "partly_met"
    desk.pay("p2", 150)
    assert (desk.status, desk.out, desk.timers) == ("met", 0, {})
    assert [e.amount_cents for e in desk.effects if isinstance(e, PaymentAllocated)] == [
        100 * THOUSAND
    ]


def test_a_posted_payment_is_no_longer_under_way() -> None:
    desk = Desk()
    desk.require(1300)
    desk.attest("p1", 300)
    desk.pay("p1", 290)
    assert (desk.status, desk.out) == ("partly_met", 10)
    assert not desk.state.attested
    assert len(desk.timers) == 1


def test_a_late_payment_that_covers_the_late_tranche_ends_the_overdue_state() -> None:
    desk = overdue_desk()
    desk.wait(minutes=5)
    desk.require(1500)
    desk.pay("p1", 300)
    assert desk.status == "partly_met"
    assert WithdrawalsAllowed in desk.kinds
    assert not desk.state.approvals
    desk.pay("p2", 200)
    assert desk.status == "met"


def test_a_late_payment_that_does_not_cover_the_late_tranche_leaves_it_overdue() -> None:
    desk = overdue_desk()
    desk.pay("p1", 299.99)
    assert desk.status == "overdue"
    assert WithdrawalsAllowed not in desk.kinds


def test_a_late_tranche_is_overdue_to_its_last_cent() -> None:
    desk = overdue_desk()
    desk.send(PaymentPosted("p1", "posted p1", 300 * THOUSAND - 1, desk.now))
    assert (desk.status, desk.state.out_cents) == ("overdue", 1)
    desk.send(PaymentPosted("p2", "posted p2", 1, desk.now))
    assert desk.status == "met"


def test_a_known_payment_changes_nothing_in_any_status() -> None:
    desk = Desk()
    desk.require(1300)
    desk.pay("p1", 100)
    for step in (lambda: None, lambda: desk.pay("p2", 200), lambda: desk.require(1600, 1300)):
        step()
        before = desk.state
        desk.pay("p1", 100)
        assert (desk.state, desk.effects) == (before, ())


def test_a_known_payment_with_another_content_raises_an_alarm() -> None:
    desk = Desk()
    desk.require(1300)
    desk.pay("p1", 100)
    before = desk.state
    desk.pay("p1", 200, content="another")
    assert desk.state == before
    assert desk.effects == (Alarm(AlarmKind.PAYMENT_CHANGED, desk.state.call_id, "p1"),)


def test_a_repeated_attestation_changes_nothing_and_another_content_raises_an_alarm() -> None:
    desk = Desk()
    desk.require(1300)
    desk.attest("p1", 300)
    before = desk.state
    desk.attest("p1", 300)
    assert (desk.state, desk.effects) == (before, ())
    desk.attest("p1", 200, content="another")
    assert desk.state == before
    assert desk.effects == (Alarm(AlarmKind.PAYMENT_CHANGED, desk.state.call_id, "p1"),)
    desk.pay("p1", 300)
    posted = desk.state
    desk.attest("p1", 300)
    assert (desk.state, desk.effects) == (posted, ())
