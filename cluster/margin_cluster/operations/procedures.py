"""The procedures of the clearing day: settlement, delivery prices, expiries, corrections.

What is due follows from the state of the house and the time. Each step is one command with an id
that follows from what it settles, computed from entries that never change, so that a procedure can
be cut off anywhere and be repeated by any process.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import structlog
from pydantic import Field

from margin_actors.clearing.house import Command, HouseState
from margin_actors.clearing.house.commands import (
    ArchiveContract,
    BookSettlement,
    RaiseAlarm,
    ReadClock,
    RecordDeliveryPrice,
)
from margin_actors.clearing.house.events import HouseAlarm
from margin_actors.clearing.house.folding import clock_reading
from margin_actors.clearing.house.valuing import contract_of
from margin_actors.clearing.settlement import (
    Cutoff,
    DeliveryPrice,
    SettlementGroup,
    delivery_price,
    next_settlement,
    settlement_batch,
)
from margin_actors.clearing.settlement.exact import utc_text
from margin_actors.errors import InvalidRequest, KeyReused, MissingMarketData, Problem
from margin_actors.parameter_section import ParameterSection
from margin_cluster.operations.cycle import ACTOR
from margin_cluster.operations.funding import MINUTE, SessionFunding, read_session, session_funding
from margin_cluster.operations.machine import HouseLog
from margin_cluster.operations.settlement import (
    Expiry,
    booked_version,
    contracts_to_archive,
    corrected_settlement,
    daily_groups,
    expiries_to_book,
    expiries_to_price,
    expiry_id,
    expiry_settlement,
    is_settled_daily,
    lots_of,
    price_of,
    settlement_id,
)
from margin_cluster.operations.ticks import TickSource


class ProcedureParameters(ParameterSection):
    """Rules of the procedures that have a number."""

    mark_seconds_max: float = Field(default=300.0, gt=0.0)
    """Largest age of the marks at which positions are settled; with older ones, the settlement
    waits for the next cycle and is made at its marks."""
    carry_seconds: float = Field(default=300.0, gt=0.0)
    """Longest time for which the prices of a cycle count for funding; beyond it nothing accrues,
    and an alarm says for how many minutes."""
    archive_hours: float = Field(default=24.0 * 30, ge=0.0)
    """Hours after its expiry at which a delivered contract is archived; until then its price can
    be corrected."""


@dataclass(frozen=True, slots=True)
class Position:
    """A state of the house and the number of its last entry."""

    state: HouseState
    number: int


class Procedures:
    """Carries out what is due; methods block. Any number of processes may do so at once.

    Parameters
    ----------
    log : HouseLog
    ticks : TickSource
        Recorded values of the index.
    parameters : ProcedureParameters, optional
    """

    def __init__(
        self,
        log: HouseLog,
        ticks: TickSource,
        parameters: ProcedureParameters | None = None,
    ) -> None:
        self._log, self._ticks = log, ticks
        self._parameters = parameters or ProcedureParameters()
        self._events = structlog.get_logger("procedures")
        self._first: datetime | None = None
        self._empty: set[datetime] = set()

    def is_due(self, now: datetime) -> bool:
        """Return whether anything is due at a time (UTC), by the state in memory."""
        state = self._log.state
        now = clock_reading(state, now).clock.now
        return (
            self._settlement_due(state, now) is not None
            or bool(expiries_to_price(state, now))
            or bool(expiries_to_book(state))
            or bool(contracts_to_archive(state, now, self._parameters.archive_hours))
        )

    def next_time(self, now: datetime) -> datetime:
        """Return the next time at which something becomes due, UTC."""
        state = self._log.state
        settlement = next_settlement(now, state.parameters.settlement)
        lives = [c.life for c in state.contracts.values() if c.life is not None]
        return min([settlement, *(life.expiry for life in lives if life.expiry > now)])

    def carry_out(self, now: datetime) -> list[str]:
        """Carry out everything that is due, in order; return the ids of what was committed.

        Parameters
        ----------
        now : datetime
            The wall clock, UTC. While the ledger clock does not follow it, nothing becomes due.

        Raises
        ------
        LedgerUnavailable
            If a commit failed; what was committed before remains, and the rest is done next time.
        """
        state = self._log.refresh().state
        done: list[str] = []
        now = clock_reading(state, now).clock.now
        if not self._has_begun(now):
            return done
        steps: list[Callable[[datetime], list[str]]] = [
            self._price_expiries,
            self._settle,
            self._book_expiries,
            self._archive,
        ]
        for work in steps:
            done += work(now)
        return done

    # -- delivery prices -----------------------------------------------------------------------

    def _price_expiries(self, now: datetime) -> list[str]:
        done: list[str] = []
        for underlying, expiry in expiries_to_price(self._log.state, now):
            price = self._computed(underlying, expiry)
            name = f"price:{underlying}:{utc_text(expiry)}"
            done += self._commit(RecordDeliveryPrice(name, ACTOR, price))
            if price.status == "provisional":
                share = f"{float(price.missing_share):.1%} of the window has no index value"
                what = f"the delivery price is provisional: {share}; two people must decide"
                subject = f"{underlying} {utc_text(expiry)}"
                done += self._alarm(f"{name}:provisional", subject, what)
        return done

    def _computed(self, underlying: str, expiry: datetime) -> DeliveryPrice:
        rules = self._log.state.parameters.settlement
        window = timedelta(minutes=rules.delivery.window_minutes)
        carry = timedelta(seconds=rules.delivery.carry_seconds)
        ticks = self._ticks.ticks(underlying, expiry - window - carry, expiry)
        return delivery_price(underlying, expiry, ticks, rules.delivery, rules.id)

    # -- daily settlement ----------------------------------------------------------------------

    def _settlement_due(self, state: HouseState, now: datetime) -> datetime | None:
        """Return the last settlement time if it is not booked and positions existed; else None."""
        time = _last_settlement(state, now)
        is_done = settlement_id(time) in state.commands or time in self._empty
        return None if is_done or not self._has_begun(time) else time

    def _has_begun(self, time: datetime) -> bool:
        """Return whether the log has an entry before a time."""
        if self._first is None:
            page = self._log.events_after(0, limit=1)
            if not page.events:
                return False
            self._first = page.events[0].recorded_at
        return self._first < time

    def _settle(self, now: datetime) -> list[str]:
        time = self._settlement_due(self._log.state, now)
        if time is None:
            return []
        at = self._at(time)
        try:
            groups = self._daily(time, at)
        except MissingMarketData as error:
            return self._alarm(f"{settlement_id(time)}:waits", "settlement", str(error))
        groups += [
            expiry_settlement(at.state, expiry, price, at.number)
            for expiry, price in expiries_to_book(self._log.state).items()
            if expiry.time == time and booked_version(self._log.state, expiry) == 0
        ]
        if not groups:
            self._empty.add(time)
            return []
        return self._commit(BookSettlement(settlement_id(time), ACTOR, settlement_batch(groups)))

    def _daily(self, time: datetime, at: Position) -> list[SettlementGroup]:
        since = self._since(at.state, time)
        first = self._at(since).number
        record = read_session(self._log, since, first, at.number)
        held = sorted(lots_of(at.state, time))
        names = [n for n in held if is_settled_daily(contract_of(at.state, n), time)]
        if not names and not record.changes:
            return []
        funding = session_funding(
            record,
            held,
            time,
            at.state.parameters.settlement,
            at.state,
            carry_seconds=self._parameters.carry_seconds,
        )
        changes = {name: tuple(some) for name, some in record.changes.items()}
        needed = {*names, *funding.sessions}
        marks = self._marks(time, at.state, needed)
        groups = daily_groups(at.state, Cutoff(time, at.number), marks, funding.sessions, changes)
        self._report_missing(time, funding)
        return groups

    def _marks(self, time: datetime, state: HouseState, needed: set[str]) -> dict[str, Decimal]:
        """Return marks of the last cycle before a time, or else those of the last cycle of all.

        Raises
        ------
        MissingMarketData
            If neither is recent enough.
        """
        age = timedelta(seconds=self._parameters.mark_seconds_max)
        for cycle in (state.cycle, self._log.state.cycle):
            is_recent = cycle is not None and time - cycle.valued_at <= age
            if cycle is not None and is_recent and needed <= cycle.marks.keys():
                return dict(cycle.marks)
        what = f"no cycle since {utc_text(time - age)} marks all of {len(needed)} contracts"
        raise MissingMarketData("the settlement waits for marks", [Problem("marks", what)])

    def _since(self, state: HouseState, time: datetime) -> datetime:
        """Return the time of the last booked settlement before a time, or of the first entry."""
        assert self._first is not None
        begin = self._first.replace(second=0, microsecond=0)
        earlier = _last_settlement(state, time - MINUTE)
        while earlier > begin:
            if settlement_id(earlier) in self._log.state.commands:
                return earlier
            earlier = _last_settlement(state, earlier - MINUTE)
        return begin

    def _report_missing(self, time: datetime, funding: SessionFunding) -> None:
        for name, minutes in funding.missing.items():
            what = f"{minutes} minutes have no price and no funding"
            self._alarm(f"{settlement_id(time)}:funding:{name}", f"funding of {name}", what)

    # -- expiries ------------------------------------------------------------------------------

    def _book_expiries(self, _: datetime) -> list[str]:
        """Book expiries whose price was final too late for the settlement, or was corrected."""
        done: list[str] = []
        for expiry, price in expiries_to_book(self._log.state).items():
            name = expiry_id(expiry, price.version)
            if name in self._log.state.commands:
                continue
            try:
                group = self._expiry_group(expiry, price)
            except InvalidRequest as error:
                done += self._alarm(f"{name}:refused", expiry.scope, str(error))
                continue
            done += self._commit(BookSettlement(name, ACTOR, settlement_batch([group])))
        return done

    def _expiry_group(self, expiry: Expiry, price: DeliveryPrice) -> SettlementGroup:
        at = self._at(expiry.time)
        version = booked_version(self._log.state, expiry)
        if version == 0:
            return expiry_settlement(at.state, expiry, price, at.number)
        former = self._former_price(expiry, version)
        return corrected_settlement(at.state, expiry, former, price, at.number)

    def _former_price(self, expiry: Expiry, version: int) -> DeliveryPrice:
        """Return the price at which an expiry was booked, from the state just after that."""
        commands = self._log.state.commands
        for name in (expiry_id(expiry, version), settlement_id(expiry.time)):
            if name in commands:
                state = self._log.state_at(commands[name].reply.last_number)
                price = price_of(state, expiry)
                if price is not None and price.version == version:
                    return price
        what = f"version {version} of the price was not booked by a settlement of this service"
        raise InvalidRequest("the correction is not possible", [Problem(expiry.scope, what)])

    def _archive(self, now: datetime) -> list[str]:
        names = contracts_to_archive(self._log.state, now, self._parameters.archive_hours)
        return [
            done
            for name in names
            for done in self._commit(ArchiveContract(f"archive:{name}", ACTOR, name))
        ]

    # -- commits -------------------------------------------------------------------------------

    def _at(self, time: datetime) -> Position:
        """Return the state at a past time, which a later entry has made final."""
        last = self._log.committed.at.recorded_at
        if last is None or last <= time:
            self._log.commit([ReadClock(f"clock:{utc_text(time)}", ACTOR, None)])
        state = self._log.state_at(time)
        return Position(state, state.number)

    def _alarm(self, name: str, subject: str, what: str) -> list[str]:
        """Raise an alarm once per id."""
        if name in self._log.state.commands:
            return []
        return self._commit(RaiseAlarm(name, ACTOR, HouseAlarm.OTHER, subject, what))

    def _commit(self, command: Command) -> list[str]:
        """Commit a command; one that another process committed differently is left as it is."""
        try:
            decision = self._log.commit([command])[0]
        except KeyReused as error:
            self._events.warning("done by another process", command=command.id, why=str(error))
            return []
        if decision.refusal is not None:
            why = decision.refusal.reason
            self._events.error("refused", command=command.id, why=why)
            return self._alarm(f"{command.id}:refused", command.id, why[:400])
        if not decision.is_repeat:
            self._events.info("committed", command=command.id)
        return [command.id]


def _last_settlement(state: HouseState, now: datetime) -> datetime:
    """Return the last settlement time at or before a time, UTC."""
    rules = state.parameters.settlement
    following = next_settlement(now - timedelta(days=1), rules)
    while (later := next_settlement(following, rules)) <= now:
        following = later
    return following


__all__ = ["ProcedureParameters", "Procedures"]
