"""The log of the journal: the hash chain, replay, and states as of an entry."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from journal_world import BANK, T0, USDC, K, accounts_of, at, deposit

from margin_actors.clearing.journal.accounts import open_account
from margin_actors.clearing.journal.log import (
    BrokenLink,
    Entry,
    Journal,
    LogHead,
    Recorded,
    following_entry,
    record,
    replay,
    state_at,
    verify,
)
from margin_actors.clearing.journal.outcomes import Refused
from margin_actors.clearing.journal.state import EMPTY, JournalState
from margin_actors.clearing.journal.transfers import Group, TransferKind
from margin_actors.errors import InvalidRequest, LedgerDamaged
from margin_actors.hash_chain import FIRST_HASH, content_hash

N = 6
HEAD = "48276f449db0ef870f42266224a5193f3596f0922aaa0a87e4870eb3eea15dfe"
"""Hash of the last entry when the form of entries was fixed."""


@dataclass(frozen=True)
class OtherEvent:
    """An event of another part of the clearing day."""

    id: str
    log_kind: str = "call"

    @property
    def payload_hash(self) -> str:
        return content_hash(self.log_kind, {"id": self.id})


def day() -> tuple[list[Entry], list[JournalState]]:
    """Return a log of deposits with an event that is not a group as entry 3, and its states."""
    journal, entries, states = Journal(), list[Entry](), [EMPTY]
    opening = Group("open", accounts=(BANK, *accounts_of("fund")))
    groups = [opening, *(Group(f"g{n}", (deposit(f"d{n}", "fund", n),)) for n in range(2, N))]
    for number, group in enumerate(groups):
        if len(entries) == 2:
            entry = following_entry(journal.head, OtherEvent("call-1"), at(number), actor="clock")
            journal = replace(journal, head=entry.head)
            entries.append(entry)
            states.append(journal.state)
        found = record(journal, group, at(number), actor="officer")
        assert isinstance(found, Recorded)
        assert found.entry is not None
        journal = found.journal
        entries.append(found.entry)
        states.append(journal.state)
    return entries, states


ENTRIES, STATES = day()


def test_numbers_are_gapless_and_each_entry_names_the_one_before() -> None:
    assert [e.number for e in ENTRIES] == list(range(1, N + 1))
    assert [e.previous_hash for e in ENTRIES] == [FIRST_HASH, *(e.hash for e in ENTRIES[:-1])]
    assert verify(ENTRIES) is None
    assert verify(ENTRIES[3:], after=ENTRIES[2].head) is None
    assert verify(iter([])) is None


def test_the_hashes_of_a_log_do_not_depend_on_the_process() -> None:
    assert [e.hash for e in day()[0]] == [e.hash for e in ENTRIES]
    assert ENTRIES[-1].hash == HEAD


OTHER = Group("g3", (deposit("d3", "fund", 4),))


def test_the_hash_of_an_entry_can_be_computed_by_hand() -> None:
    transfer = ["d2", BANK.id, "collateral:USDC:fund", "USDC", 6, 2, "deposit"]
    transfer += [1778832000000000, "direct", "", None]
    row = {"accounts": [], "id": "g2", "positions": [], "transfers": [transfer]}
    payload = hashlib.sha256(json.dumps(["group", row], separators=(",", ":")).encode()).hexdigest()
    entry = ENTRIES[1]
    assert entry.payload_hash == payload
    lines = ["2", "group", "g2", payload, ENTRIES[0].hash, "1778832060000000", "officer"]
    assert entry.hash == hashlib.sha256("\n".join(lines).encode()).hexdigest()


TAMPERED: list[tuple[str, int, Callable[[list[Entry]], list[Entry]]]] = [
    ("amount", 4, lambda e: [*e[:3], replace(e[3], event=OTHER), *e[4:]]),
    (
        "amount and payload hash",
        4,
        lambda e: [*e[:3], replace(e[3], event=OTHER, payload_hash=OTHER.payload_hash), *e[4:]],
    ),
    ("actor", 2, lambda e: [e[0], replace(e[1], actor="another"), *e[2:]]),
    ("time", 2, lambda e: [e[0], replace(e[1], recorded_at=at(1.5)), *e[2:]]),
    ("kind", 3, lambda e: [*e[:2], replace(e[2], event=OtherEvent("call-1", "hold")), *e[3:]]),
    ("lost", 3, lambda e: [*e[:2], *e[3:]]),
    ("first lost", 1, lambda e: e[1:]),
    ("repeated", 3, lambda e: [*e[:2], e[1], *e[2:]]),
    ("swapped", 5, lambda e: [*e[:4], e[5], e[4]]),
    (
        "rewritten with a hash of its own",
        3,
        lambda e: [
            e[0],
            following_entry(e[0].head, OTHER, e[1].recorded_at, actor=e[1].actor),
            *e[2:],
        ],
    ),
    (
        "id recorded twice",
        2,
        lambda e: [e[0], following_entry(e[0].head, e[0].event, at(1), actor="x")],
    ),
    (
        "time before the previous entry",
        2,
        lambda e: [
            e[0],
            following_entry(replace(e[0].head, recorded_at=None), OTHER, at(-1), actor="x"),
        ],
    ),
]


@pytest.mark.parametrize(("what", "number", "change"), TAMPERED, ids=[t[0] for t in TAMPERED])
def test_the_first_entry_that_was_modified_is_named(
    what: str, number: int, change: Callable[[list[Entry]], list[Entry]]
) -> None:
    broken = verify(change(ENTRIES))
    assert isinstance(broken, BrokenLink)
    assert broken.number == number
    assert broken.what


def test_a_state_as_of_an_entry_equals_the_replay_cut_there() -> None:
    assert list(replay(ENTRIES)) == STATES[1:]
    for number, state in enumerate(STATES):
        assert state_at(ENTRIES, number) == state
    for number in range(3, N + 1):
        assert state_at(ENTRIES[2:], number, STATES[2]) == STATES[number]
    assert STATES[-1].balance(K.COLLATERAL, USDC, "fund").net == sum(range(2, N))


def test_a_state_beyond_the_log_is_not_known() -> None:
    for number in (N + 1, -1):
        with pytest.raises(InvalidRequest, match="the log has no entry"):
            state_at(ENTRIES, number)


def test_entries_that_cannot_apply_are_reported_as_damage() -> None:
    with pytest.raises(LedgerDamaged, match="unknown_account"):
        list(replay(ENTRIES[1:]))
    with pytest.raises(LedgerDamaged, match="recorded twice"):
        list(replay([*ENTRIES, ENTRIES[-1]]))


def test_refused_groups_are_not_recorded() -> None:
    journal = Journal(STATES[-1], ENTRIES[-1].head)
    outcome = record(journal, Group("g", (deposit("d2", "fund", 1),)), at(N), actor="officer")
    assert isinstance(outcome, Refused)


@pytest.mark.parametrize(
    ("actor", "now", "event"),
    [
        ("", at(N), OtherEvent("e")),
        ("two\nlines", at(N), OtherEvent("e")),
        ("clock", at(N), OtherEvent("e\n")),
        ("clock", at(N).replace(tzinfo=None), OtherEvent("e")),
        ("clock", ENTRIES[-1].recorded_at - timedelta(microseconds=1), OtherEvent("e")),
    ],
)
def test_what_is_not_valid_cannot_be_recorded(actor: str, now: object, event: OtherEvent) -> None:
    with pytest.raises(InvalidRequest):
        following_entry(ENTRIES[-1].head, event, now, actor=actor)  # type: ignore[arg-type]
    assert following_entry(ENTRIES[-1].head, OtherEvent("e"), at(N), actor="clock").number == N + 1


def group_of() -> Group:
    one = deposit("d", "fund", 5)
    return Group("g", (one,), accounts=(BANK,))


@pytest.mark.parametrize(
    "change",
    [
        {"id": "other"},
        {"debit": "custodian:USDC:another"},
        {"credit": "collateral:USDC:another"},
        {"asset": replace(USDC, decimals=2)},
        {"amount": 6},
        {"kind": TransferKind.PAYOUT},
        {"valid_time": T0 + timedelta(microseconds=1)},
    ],
)
def test_every_field_of_a_transfer_is_part_of_the_hash(change: dict[str, object]) -> None:
    group = group_of()
    (one,) = group.transfers
    other = replace(group, transfers=(replace(one, **change),))  # type: ignore[arg-type]
    assert other.payload_hash != group.payload_hash
    assert group_of().payload_hash == group.payload_hash


def test_accounts_and_the_id_of_a_group_are_part_of_its_hash() -> None:
    group = group_of()
    others = [
        replace(group, id="h"),
        replace(group, accounts=()),
        replace(group, accounts=(open_account(K.CUSTODIAN, USDC, "vault"),)),
        replace(group, transfers=(), accounts=group.accounts),
    ]
    assert len({group.payload_hash, *(other.payload_hash for other in others)}) == 5


def test_a_head_without_entries_is_that_of_the_ledger() -> None:
    assert LogHead() == LogHead(0, FIRST_HASH, None)
