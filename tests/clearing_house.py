"""A clearing house for tests: it checks every decision against the log that the decision writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count

from margin_actors.clearing.amounts import ASSETS, Asset
from margin_actors.clearing.calls import Action, CallClass, CallState
from margin_actors.clearing.house import (
    EMPTY_HOUSE,
    Command,
    Decision,
    HouseEvent,
    HouseState,
    decide,
    event_of,
    fold,
    payload_of,
)
from margin_actors.clearing.house.account_events import CallChanged, ClearingAccount
from margin_actors.clearing.house.acts import Act
from margin_actors.clearing.house.commands import (
    BookTrades,
    Deposit,
    FireTimers,
    OpenAccount,
    RecordCycle,
    RecordParameters,
    TradeBooking,
)
from margin_actors.clearing.house.parameters import CollateralParameters, HouseParameters
from margin_actors.clearing.house.people_commands import (
    ApproveAct,
    ApproveAction,
    ExecuteAct,
    ExecuteAction,
    ProposeAct,
    ProposeAction,
)
from margin_actors.clearing.house.queries import call_state
from margin_actors.clearing.journal import Group
from margin_actors.clearing.journal.deficits import AccountType
from margin_actors.clearing.journal.reservations import Execution, Reservation
from margin_actors.clearing.settlement import Trade

USDC, BTC = ASSETS["USDC"], ASSETS["BTC"]
T0 = datetime(2026, 5, 15, 6, tzinfo=UTC)
"""A Friday."""
PERPETUAL = "BTC_USDC-PERPETUAL"
MILLION = 1_000_000
PARAMETERS = HouseParameters(
    collateral=CollateralParameters(haircuts={"USDC": Decimal(0), "BTC": Decimal("0.1")})
)


@dataclass
class House:
    """Runs commands one after the other, at times that a test advances."""

    state: HouseState = EMPTY_HOUSE
    now: datetime = T0
    log: list[tuple[str, str, datetime]] = field(default_factory=list[tuple[str, str, datetime]])
    """(kind, payload, time of recording) of every entry."""
    events: list[HouseEvent] = field(default_factory=list[HouseEvent])
    numbers: count = field(default_factory=lambda: count(1))  # type: ignore[type-arg]

    def do(self, command: Command) -> Decision:
        """Decide and record; the events are read back through the codec before they are folded."""
        decision = decide(self.state, command, self.now)
        assert (decision.reply is None) != (decision.refusal is None)
        if decision.refusal is not None or decision.is_repeat:
            assert not decision.events
            assert decision.state is self.state
        folded = self.state
        for event in decision.events:
            payload = payload_of(event)
            read = event_of(event.log_kind, payload)
            assert read == event
            assert (read.id, read.payload_hash) == (event.id, event.payload_hash)
            assert payload_of(read) == payload
            folded = fold(folded, read, self.now)
            self.log.append((event.log_kind, payload, self.now))
        assert folded == decision.state
        self.events += decision.events
        self.state = decision.state
        return decision

    def accept(self, command: Command) -> Decision:
        """Decide; the command must be accepted."""
        decision = self.do(command)
        assert decision.refusal is None, decision.refusal
        return decision

    def refused(self, command: Command) -> str:
        """Decide; return the rule by which the command is refused."""
        decision = self.do(command)
        assert decision.refusal is not None, decision.events
        return decision.refusal.rule

    def replayed(self) -> HouseState:
        """Return the fold of the whole log, read from its payloads."""
        state = EMPTY_HOUSE
        for kind, payload, at in self.log:
            state = fold(state, event_of(kind, payload), at)
        return state

    def id(self) -> str:
        return f"c{next(self.numbers)}"

    def step(self, minutes: float, *, every: float = 4) -> None:
        """Let time pass, firing timers as the loop does, so that no jump of the clock appears."""
        until = self.now + timedelta(minutes=minutes)
        while self.now < until:
            self.now = min(until, self.now + timedelta(minutes=every))
            self.do(FireTimers(self.id(), "loop"))

    def open(self, *accounts: str, parameters: HouseParameters = PARAMETERS) -> "House":
        self.accept(RecordParameters(self.id(), "setup", parameters))
        for name in accounts:
            self.open_account(name)
        return self

    def open_account(
        self, name: str, *, kind: AccountType = AccountType.CLIENT, nets: bool = False
    ) -> None:
        account = ClearingAccount(name, "M1", kind, nets)
        self.accept(OpenAccount(self.id(), "setup", account))

    def deposit(
        self, account: str, whole: int, *, payment: str = "", asset: Asset = USDC, late: float = 0
    ) -> Decision:
        name = self.id()
        received = self.now - timedelta(minutes=late)
        units = whole * 10**asset.decimals
        return self.do(
            Deposit(name, "bank", account, payment or name, asset, units, "bank", received)
        )

    def cycle(
        self,
        requirements: Mapping[str, int],
        *,
        unsettled: Mapping[str, int] | None = None,
        age_minutes: float = 0,
        read_number: int | None = None,
        mark: int = 50_000,
        reservations: Mapping[str, Sequence[Reservation]] | None = None,
        number: int = 0,
    ) -> Decision:
        """Record requirements in whole US dollars."""
        last = 0 if self.state.cycle is None else self.state.cycle.number
        name = self.id()
        gains = unsettled or {}
        return self.do(
            RecordCycle(
                name,
                "loop",
                number or last + 1,
                f"calculation-{name}",
                "snapshot",
                "generation",
                "model",
                self.now - timedelta(minutes=age_minutes),
                self.state.number if read_number is None else read_number,
                {"BTC": Decimal(mark)},
                {PERPETUAL: Decimal(mark)},
                tuple(requirements),
                tuple(100 * usd for usd in requirements.values()),
                tuple(100 * gains.get(account, 0) for account in requirements),
                {},
                {a: tuple(given) for a, given in (reservations or {}).items()},
            )
        )

    def trade(
        self,
        buyer: str,
        seller: str,
        quantity: int,
        *,
        price: int = 50_000,
        name: str = "",
        executions: Sequence[Execution] = (),
    ) -> Decision:
        name = name or self.id()
        trade = Trade(
            name, buyer, seller, Decimal(quantity), Decimal(price), Decimal(price), self.now
        )
        booking = TradeBooking(PERPETUAL, trade, tuple(executions))
        return self.do(BookTrades(self.id(), "matching", (booking,)))

    def call(self, account: str) -> CallState:
        return call_state(self.state, account, CallClass.INITIAL)

    def four_eyes(self, account: str, action: Action, *, people: str = "AB") -> Decision:
        """Propose, approve and execute an action on a call."""
        kind = CallClass.INITIAL
        proposed = self.accept(ProposeAction(self.id(), people[0], account, kind, action))
        assert proposed.reply is not None
        (name,) = proposed.reply.subjects
        self.accept(ApproveAction(self.id(), people[1], account, kind, name))
        return self.do(ExecuteAction(self.id(), people[0], account, kind, action))

    def enact(self, act: Act, *, people: str = "AB") -> Decision:
        """Propose, approve and execute an act."""
        proposed = self.accept(ProposeAct(self.id(), people[0], act))
        assert proposed.reply is not None
        (name,) = proposed.reply.subjects
        self.accept(ApproveAct(self.id(), people[1], name))
        return self.do(ExecuteAct(self.id(), people[0], name))

    def calls_changed(self) -> list[CallChanged]:
        return [event for event in self.events if isinstance(event, CallChanged)]

    def groups(self) -> list[Group]:
        return [event for event in self.events if isinstance(event, Group)]
