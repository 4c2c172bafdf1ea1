"""A clearing day against a running service: accounts of a test, cycles, the state of the log."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from uuid import uuid4

from clearing_house import PARAMETERS
from margin_client import ClearedTrade, MarginClient
from margin_client.results import ReceivedDeposit
from margin_cluster.operations import HouseLog
from service_world import Running, World

from margin_actors.clearing.house import HouseState
from margin_actors.clearing.house.commands import FireTimers, RecordCycle, RecordParameters
from margin_actors.clearing.house.queries import quantities, quoted_reservations
from margin_actors.clearing.journal.reservations import Reservation

PERPETUAL, LINEAR = "BTC-PERPETUAL", "BTC_USDC-PERPETUAL"
DOLLAR = 1_000_000
"""Units of USDC in one US dollar."""


class Desk:
    """Commands of a test on accounts of its own, whose names no other test uses."""

    def __init__(self, running: Running, names: str) -> None:
        self.running = running
        self.prefix = uuid4().hex[:8]
        self.accounts = tuple(f"{name}-{self.prefix}" for name in names)
        self._numbers = count(1)

    @property
    def log(self) -> HouseLog:
        return self.running.gateway.clearing.log

    @property
    def state(self) -> HouseState:
        return self.log.refresh().state

    def name(self) -> str:
        return f"{self.prefix}-{next(self._numbers)}"

    def open(self, client: MarginClient, dollars: int = 0) -> None:
        """Open the accounts with a deposit each, and record the parameters once."""
        if not self.state.are_parameters_recorded:
            self.log.commit([RecordParameters("parameters", "setup", PARAMETERS)])
        for account in self.accounts:
            client.open_account(account, f"M-{self.prefix}")
            if dollars:
                self.deposit(client, account, dollars)

    def deposit(
        self, client: MarginClient, account: str, dollars: int, key: str = ""
    ) -> ReceivedDeposit:
        name = key or self.name()
        received = datetime(2026, 5, 15, 6, tzinfo=UTC)
        return client.deposit(
            account,
            name,
            "USDC",
            dollars * DOLLAR,
            custodian="bank",
            receive_time=received,
            idempotency_key=name,
        )

    def cycle(
        self,
        requirements: Mapping[str, int] | None = None,
        *,
        reservations: Mapping[str, tuple[Reservation, ...]] | None = None,
    ) -> None:
        """Record a cycle with requirements in whole US dollars; 0 for all other accounts."""
        self.log.commit([FireTimers(self.name(), "loop")])
        state = self.state
        wanted = dict.fromkeys(self.accounts, 0) | dict(requirements or {})
        marks = {LINEAR: Decimal(50_000), PERPETUAL: Decimal(50_000)}
        cycle = RecordCycle(
            self.name(),
            "loop",
            1 if state.cycle is None else state.cycle.number + 1,
            f"calculation-{self.name()}",
            "snapshot",
            "generation",
            "model",
            datetime.now(UTC) - timedelta(seconds=1),
            state.number,
            {"BTC": Decimal(50_000)},
            marks,
            tuple(wanted),
            tuple(100 * dollars for dollars in wanted.values()),
            tuple(0 for _ in wanted),
            reservations=reservations or {},
        )
        (decision,) = self.log.commit([cycle])
        assert decision.refusal is None, decision.refusal

    def trade(
        self, buyer: str, seller: str, quantity: str, *, price: str = "50000", **quotes: str
    ) -> ClearedTrade:
        return ClearedTrade(self.name(), LINEAR, buyer, seller, quantity, price, **quotes)

    def flatten(self, client: MarginClient) -> None:
        """Close all positions and reservations of the accounts."""
        for account in self.accounts:
            for one, _ in quoted_reservations(self.state, account):
                client.cancel_reservation(account, one.quote)
        while True:
            held = {a: quantities(self.state, a) for a in self.accounts}
            names = {name for positions in held.values() for name in positions}
            if not names:
                return
            name = min(names)
            amounts = {a: p[name] for a, p in held.items() if name in p}
            long = max(amounts, key=lambda a: amounts[a])
            short = min(amounts, key=lambda a: amounts[a])
            size = min(amounts[long], -amounts[short])
            trade = ClearedTrade(self.name(), name, short, long, f"{size:f}", "50000")
            client.book_trades([trade])


@contextmanager
def desk(running: Running, world: World, names: str = "ab", dollars: int = 0) -> Iterator[Desk]:
    """Accounts of a test; afterwards the service has the positions of the world."""
    found = Desk(running, names)
    with MarginClient(running.target) as client:
        found.open(client, dollars)
        version = client.get_status().portfolio_version
        try:
            yield found
        finally:
            found.flatten(client)
            if client.get_status().portfolio_version != version:
                client.upload_positions(world.table.to_pandas())
