"""Every rule by which a group is refused, and that a refused group changes nothing."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest
from journal_world import (
    BANK,
    BTC,
    LIMIT,
    MARGIN,
    SETTLEMENT,
    T0,
    USDC,
    K,
    account,
    applied,
    at,
    deposit,
    opened,
    transfer,
)

from margin_actors.clearing.amounts import UNITS_MAX
from margin_actors.clearing.journal.accounts import (
    Account,
    AccountFlag,
    Balance,
    open_account,
)
from margin_actors.clearing.journal.applying import apply, due_expiries, expire, expiry_of
from margin_actors.clearing.journal.integrity import integrity_findings
from margin_actors.clearing.journal.outcomes import Applied, Refused, Rule
from margin_actors.clearing.journal.positions import PositionEntry
from margin_actors.clearing.journal.state import JournalState
from margin_actors.clearing.journal.transfers import (
    Group,
    Phase,
    Transfer,
    TransferKind,
    resolution,
)
from margin_actors.errors import InvalidRequest, KeyReused

COLLATERAL, CASH = account(K.COLLATERAL, "fund"), account(K.CASH, "fund")
TRANSIT = account(K.IN_TRANSIT, "fund")
PENDING = transfer(
    "p", COLLATERAL, TRANSIT, 60, TransferKind.WITHDRAWAL, phase=Phase.PENDING, expires_at=at(10)
)
ENTRY = PositionEntry("trade-1", "fund", "BTC-PERPETUAL", Decimal(10), Decimal(50_000))


def state() -> JournalState:
    return applied(opened("fund", "other"), Group("fund", (deposit("d", "fund", 100), PENDING)))


def posted(amount: int = 60, name: str = "post", phase: Phase = Phase.POST) -> Transfer:
    return resolution(PENDING, phase, transfer_id=name, valid_time=T0, amount=amount)


def variation(amount: int, name: str = "v") -> Transfer:
    return transfer(name, CASH, SETTLEMENT, amount, TransferKind.VARIATION)


def overdrawn_by_pending_payouts() -> Group:
    """Two payouts that wait, each within what the custodian holds."""
    moves = (
        transfer("g", SETTLEMENT, CASH, 600, TransferKind.VARIATION),
        transfer("s", CASH, COLLATERAL, 500, TransferKind.SWEEP),
        transfer("w", COLLATERAL, TRANSIT, 400, TransferKind.WITHDRAWAL),
        *(
            transfer(name, TRANSIT, BANK, amount, TransferKind.PAYOUT, phase=Phase.PENDING)
            for name, amount in (("o", 60), ("o2", 41))
        ),
    )
    return Group("overdrawn", moves)


def huge() -> Group:
    to_cash = [
        transfer(f"h{n}", SETTLEMENT, CASH, UNITS_MAX, TransferKind.VARIATION) for n in range(10)
    ]
    return Group("huge", tuple(to_cash))


def overdrawn_custodian() -> Group:
    """A gain that no custodian holds yet becomes collateral and is paid out."""
    moves = (
        transfer("g", SETTLEMENT, CASH, 600, TransferKind.VARIATION),
        transfer("s", CASH, COLLATERAL, 500, TransferKind.SWEEP),
        transfer("w", COLLATERAL, TRANSIT, 400, TransferKind.WITHDRAWAL),
        transfer("o", TRANSIT, BANK, 101, TransferKind.PAYOUT),
    )
    return Group("overdrawn", moves)


RETURNED = {"debit": TRANSIT.id, "credit": COLLATERAL.id, "kind": TransferKind.RETURN}
CASES: list[tuple[Rule, str, Callable[[], Group]]] = [
    (
        Rule.ACCOUNT_DIFFERS,
        COLLATERAL.id,
        lambda: Group("g", accounts=(replace(COLLATERAL, flags=AccountFlag.NONE),)),
    ),
    (
        Rule.UNKNOWN_ACCOUNT,
        "d2",
        lambda: Group("g", (deposit("d1", "fund", 1), deposit("d2", "nowhere", 1))),
    ),
    (
        Rule.UNKNOWN_ACCOUNT,
        replace(ENTRY, account="nowhere").id,
        lambda: Group("g", positions=(replace(ENTRY, account="nowhere"),)),
    ),
    (Rule.ASSET_DIFFERS, "v", lambda: Group("g", (replace(variation(1), asset=BTC),))),
    (
        Rule.ASSET_DIFFERS,
        "x",
        lambda: Group("g", (transfer("x", LIMIT, CASH, 1, TransferKind.LIMIT),)),
    ),
    (
        Rule.ROUTE_NOT_ALLOWED,
        "x",
        lambda: Group("g", (transfer("x", COLLATERAL, BANK, 1, TransferKind.WITHDRAWAL),)),
    ),
    (
        Rule.OWNER_DIFFERS,
        "x",
        lambda: Group(
            "g", (transfer("x", COLLATERAL, account(K.CASH, "other"), 1, TransferKind.SWEEP),)
        ),
    ),
    (Rule.TRANSFER_ID_USED, "d", lambda: Group("g", (deposit("d", "fund", 100),))),
    (Rule.TRANSFER_ID_USED, "v", lambda: Group("g", (variation(1), variation(1)))),
    (
        Rule.INSUFFICIENT_FUNDS,
        "x",
        lambda: Group("g", (transfer("x", COLLATERAL, CASH, 41, TransferKind.SWEEP),)),
    ),
    (
        Rule.INSUFFICIENT_FUNDS,
        "x",
        lambda: Group("g", (transfer("x", CASH, COLLATERAL, 1, TransferKind.SWEEP),)),
    ),
    (Rule.INSUFFICIENT_FUNDS, "o", overdrawn_custodian),
    (Rule.INSUFFICIENT_FUNDS, "o2", overdrawn_by_pending_payouts),
    (Rule.BALANCE_TOO_LARGE, "h9", huge),
    (
        Rule.EXPIRY_IN_THE_PAST,
        "q",
        lambda: Group("g", (replace(PENDING, id="q", amount=1, expires_at=at(5)),)),
    ),
    (Rule.UNKNOWN_PENDING, "post", lambda: Group("g", (replace(posted(), pending_id="d"),))),
    (Rule.PENDING_RESOLVED, "again", lambda: Group("g", (posted(20), posted(40, "again")))),
    (Rule.PENDING_DIFFERS, "post", lambda: Group("g", (posted(61),))),
    (Rule.PENDING_DIFFERS, "post", lambda: Group("g", (posted(59, phase=Phase.VOID),))),
    (
        Rule.PENDING_DIFFERS,
        "post",
        lambda: Group(
            "g",
            (replace(posted(), debit=TRANSIT.id, credit=COLLATERAL.id, kind=TransferKind.RETURN),),
        ),
    ),
    (Rule.NOT_YET_EXPIRED, expiry_of(PENDING).id, lambda: Group("g", (expiry_of(PENDING),))),
    (Rule.POSITION_ENTRY_USED, ENTRY.id, lambda: Group("g", positions=(ENTRY, ENTRY))),
    (
        Rule.POSITION_TOO_LARGE,
        replace(ENTRY, event="b").id,
        lambda: Group(
            "g",
            positions=tuple(replace(ENTRY, event=e, quantity=Decimal(6 * 10**17)) for e in "ab"),
        ),
    ),
]


@pytest.mark.parametrize(("rule", "item", "group"), CASES, ids=[case[0].value for case in CASES])
def test_a_group_that_violates_a_rule_is_refused_as_a_whole(
    rule: Rule, item: str, group: Callable[[], Group]
) -> None:
    before = state()
    good = Group("first", (variation(7, "good"), *group().transfers), group().positions)
    for offered in (group(), replace(good, accounts=group().accounts)):
        outcome = apply(before, offered, at(5))
        assert isinstance(outcome, Refused)
        assert (outcome.rule, outcome.item) == (rule, item)
        assert outcome.what
    assert before == state()


def test_a_pending_transfer_can_only_expire_once_its_time_has_passed() -> None:
    before = state()
    for phase in (Phase.POST, Phase.VOID):
        outcome = apply(before, Group("g", (posted(phase=phase),)), at(10))
        assert isinstance(outcome, Refused)
        assert outcome.rule is Rule.PENDING_EXPIRED
    assert due_expiries(before, at(9.99)) is None
    assert expire(before, at(9.99)) is None
    outcome = expire(before, at(10))
    assert isinstance(outcome, Applied)
    assert outcome.state.balances[COLLATERAL.id] == Balance(0, 100, 0, 0, 3)
    again = apply(outcome.state, Group("g", (posted(),)), at(11))
    assert isinstance(again, Refused)
    assert again.rule is Rule.PENDING_RESOLVED


def test_time_does_not_run_backwards() -> None:
    later = applied(state(), Group("later", (variation(1),)), at(3))
    outcome = apply(later, Group("g", (variation(1, "w"),)), at(2.99))
    assert isinstance(outcome, Refused)
    assert outcome.rule is Rule.TIME_BEFORE_LAST
    assert isinstance(apply(later, Group("g", (variation(1, "w"),)), at(3)), Applied)


def test_every_rule_has_a_case() -> None:
    elsewhere = {Rule.PENDING_EXPIRED, Rule.TIME_BEFORE_LAST}
    assert {case[0] for case in CASES} | elsewhere == set(Rule)


def test_transfers_expire_by_time_and_then_by_id() -> None:
    minutes = {"u": 3, "v": 1, "w": 1, "x": 4, "y": 2}
    pending = [replace(PENDING, id=n, amount=1, expires_at=at(m)) for n, m in minutes.items()]
    waiting = applied(state(), Group("waiting", tuple(pending)))
    due = due_expiries(waiting, at(3))
    assert due is not None
    assert [t.pending_id for t in due.transfers] == ["v", "w", "y", "u"]
    assert [t.valid_time for t in due.transfers] == [at(1), at(1), at(2), at(3)]


def test_posting_a_part_releases_the_rest() -> None:
    after = applied(state(), Group("g", (posted(25),)))
    assert after.balance(K.COLLATERAL, USDC, "fund") == Balance(25, 100, 0, 0, 3)
    assert after.balance(K.IN_TRANSIT, USDC, "fund") == Balance(0, 25, 0, 0, 2)
    assert after.pending == {}
    assert after.open_pending(COLLATERAL.id) == ()


def test_a_group_id_with_other_content_is_an_error() -> None:
    before = state()
    with pytest.raises(KeyReused, match="was applied with other content"):
        apply(before, Group("fund", (deposit("d", "fund", 101), PENDING)), at(1))
    again = apply(before, Group("fund", (deposit("d", "fund", 100), PENDING)), at(1))
    assert again == Applied(before, again.group, 2, is_repeat=True)


def test_opening_an_open_account_again_does_no_harm() -> None:
    before = state()
    after = applied(before, Group("again", accounts=(COLLATERAL, account(K.CASH, "new"))))
    assert set(after.accounts) - set(before.accounts) == {account(K.CASH, "new").id}
    assert after.balances == before.balances


@pytest.mark.parametrize(
    ("name", "balance", "finding"),
    [
        (COLLATERAL.id, Balance(0, 99, 60, 0), "posted balances of USDC sum to -1"),
        (COLLATERAL.id, Balance(0, 100, 59, 0), "pending balances of USDC sum to 1"),
        (COLLATERAL.id, Balance(41, 141, 60, 0), ""),
        (COLLATERAL.id, Balance(0, 100, 61, 1), "its open transfers give 60 and 0"),
        ("cash:USDC:lost", Balance(1, 1), "has no account"),
        (TRANSIT.id, Balance(1, 1, 0, 60), ""),
        (COLLATERAL.id, Balance(50, 150, 160, 0), "above credits"),
        (BANK.id, Balance(100, 200), "above debits"),
    ],
)
def test_modified_balances_are_found(name: str, balance: Balance, finding: str) -> None:
    assert integrity_findings(state()) == ()
    modified = replace(state(), balances=state().balances.with_items({name: balance}))
    found = integrity_findings(modified)
    assert any(finding in text for text in found) if finding else found == ()


@pytest.mark.parametrize(
    "make",
    [
        lambda: variation(0),
        lambda: variation(-1),
        lambda: variation(UNITS_MAX + 1),
        lambda: transfer("x", CASH, CASH, 1, TransferKind.SWEEP),
        lambda: replace(variation(1), id="two\nlines"),
        lambda: replace(variation(1), id=""),
        lambda: replace(variation(1), valid_time=T0.replace(tzinfo=None)),
        lambda: replace(variation(1), expires_at=at(1)),
        lambda: replace(variation(1), pending_id="p"),
        lambda: replace(posted(), pending_id=""),
        lambda: Group("g"),
        lambda: Group("", (variation(1),)),
        lambda: open_account(K.CASH, USDC),
        lambda: open_account(K.FEES, USDC, "fund"),
        lambda: open_account(K.CASH, MARGIN, "fund"),
        lambda: open_account(K.RESERVED, USDC, "fund"),
        lambda: Account("fund", K.CASH, replace(USDC, name="US:DC"), AccountFlag.NONE),
        lambda: apply(state(), Group("g", (variation(1),)), T0.replace(tzinfo=None)),
    ],
)
def test_what_is_not_valid_cannot_be_made(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidRequest):
        make()
