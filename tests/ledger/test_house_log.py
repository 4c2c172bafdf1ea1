"""The clearing house on the ledger: the margin book follows it in the same transactions."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from clearing_house import PARAMETERS, PERPETUAL, T0, USDC
from clearing_logs import log_url  # noqa: F401
from margin_cluster.archive import StoreArchive
from margin_cluster.ledger import Ledger
from margin_cluster.operations import HouseLog, clearing_log
from margin_cluster.operations.machine import account_of
from margin_cluster.positions import Positions

from margin_actors.clearing.house import Command
from margin_actors.clearing.house.account_events import ClearingAccount
from margin_actors.clearing.house.acts import CancelTrades, act_hash
from margin_actors.clearing.house.commands import (
    BookTrades,
    Deposit,
    OpenAccount,
    RecordParameters,
    TradeBooking,
)
from margin_actors.clearing.house.people_commands import ApproveAct, ExecuteAct, ProposeAct
from margin_actors.clearing.house.queries import quantities
from margin_actors.clearing.journal.deficits import AccountType
from margin_actors.clearing.settlement import Trade
from margin_actors.errors import InvalidPortfolio


@dataclass
class Booked:
    """A log with a margin book beside it."""

    log: HouseLog
    positions: Positions
    now: datetime = T0

    def do(self, *commands: Command) -> None:
        for decision in self.log.commit(commands):
            assert decision.refusal is None, decision.refusal

    def trade(self, name: str, quantity: str, buyer: str = "a", seller: str = "b") -> BookTrades:
        price = Decimal(50_000)
        trade = Trade(name, buyer, seller, Decimal(quantity), price, price, self.now)
        return BookTrades(f"book-{name}", "matching", (TradeBooking(PERPETUAL, trade),))

    def require_agreement(self) -> None:
        """The margin book holds exactly what the clearing house records."""
        self.positions.follow()
        for account in self.log.state.accounts:
            if not self.positions.is_known(account):
                assert not quantities(self.log.state, account)
                continue
            held, _ = self.positions.held(account)
            recorded = {k: float(v) for k, v in quantities(self.log.state, account).items()}
            assert dict(held.positions) == recorded


@pytest.fixture
def booked(log_url: str, tmp_path: Path) -> Iterator[Booked]:  # noqa: F811
    archive = StoreArchive(tmp_path, log_url)
    log = clearing_log(archive.ledger.database, lambda: T0)
    found = Booked(log, Positions(archive))
    found.do(RecordParameters("p", "setup", PARAMETERS))
    for name in "abc":
        found.do(OpenAccount(f"o-{name}", "setup", ClearingAccount(name, "M", AccountType.CLIENT)))
    yield found
    log.close()
    archive.ledger.close()


def test_the_margin_book_follows_every_change_of_quantities(booked: Booked) -> None:
    booked.do(booked.trade("t1", "10"))
    booked.require_agreement()
    booked.do(booked.trade("t2", "0.3", "b", "c"), booked.trade("t3", "2.5", "c", "a"))
    booked.require_agreement()
    assert booked.positions.version == 2, "one change of the margin book per transaction"
    act = CancelTrades(("t1",), "error")
    name = act_hash(act)
    booked.do(ProposeAct("x1", "ann", act), ApproveAct("x2", "bob", name))
    assert booked.positions.follow() == 2, "nothing changed yet"
    booked.do(ExecuteAct("x3", "ann", name))
    booked.require_agreement()
    assert booked.positions.held("a")[0].positions == {PERPETUAL: -2.5}


def test_a_repeated_booking_changes_neither(booked: Booked) -> None:
    booked.do(booked.trade("t1", "10"))
    booked.do(booked.trade("t1", "10"))
    assert booked.positions.follow() == 1
    booked.require_agreement()


def test_a_check_refuses_before_anything_is_recorded(booked: Booked) -> None:
    before = booked.log.committed.at

    def refuse(_state: object) -> None:
        raise InvalidPortfolio("no")

    with pytest.raises(InvalidPortfolio):
        booked.log.commit([booked.trade("t1", "10")], check=refuse)
    assert booked.log.refresh().at == before
    assert booked.positions.follow() == 0


def test_a_failed_transaction_leaves_log_and_margin_book_as_they_were(booked: Booked) -> None:
    unknown = Trade("t9", "a", "nobody", Decimal(1), Decimal(1), Decimal(1), T0)
    refused = BookTrades("b9", "m", (TradeBooking(PERPETUAL, unknown),))
    (decision,) = booked.log.commit([refused])
    assert decision.refusal is not None
    assert booked.positions.follow() == 0


def test_another_process_continues_after_a_change_of_the_margin_book(booked: Booked) -> None:
    """The entries of the margin book between those of the log do not disturb the chain."""
    booked.do(booked.trade("t1", "10"))
    token = booked.log.committed.at.token
    booked.do(booked.trade("t2", "1"))
    other = Ledger(booked.log._database.address.url)
    try:
        again = clearing_log(other.database, lambda: T0 + timedelta(seconds=1))
        assert again.state == booked.log.state
        assert again.committed.at == booked.log.committed.at
        first = again.events_after(token).events[0]
        assert first.number == int(token.split(":")[0]) + 1
    finally:
        other.close()


def test_events_are_filed_under_the_account_that_they_concern(booked: Booked) -> None:
    booked.do(Deposit("d", "bank", "a", "p1", USDC, 10, "bank", T0))
    booked.do(booked.trade("t1", "10"))
    groups = booked.log.events_after(0, kinds=["group"]).events
    owners = {event.event.id: event.account for event in groups}
    assert owners["deposit:p1:received"] == "a"
    assert {account for name, account in owners.items() if "t1" in name} == {""}
    assert all(account_of(event.event) == event.account for event in groups)
