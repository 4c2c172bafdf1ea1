"""Use cases of ReservationService: margin set aside for quotes, priced on what is reserved already.

Margin does not add up: a quote is priced on the positions of the account and all its open
reservations. The clearing house refuses a reservation if either has changed after it was priced;
it is then priced again. Hence no margin is reserved twice, whatever quotes are made at once.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from margin_actors.actors.generation import ResidentGeneration
from margin_actors.clearing.amounts import requirement_units
from margin_actors.clearing.house import HouseRule, HouseState
from margin_actors.clearing.house.account_events import QuotedTrade
from margin_actors.clearing.house.commands import (
    CancelReservation,
    FireTimers,
    PricingBasis,
    Reserve,
)
from margin_actors.clearing.house.queries import quoted_reservations, require_account
from margin_actors.clearing.journal.reservations import Reservation
from margin_actors.errors import KeyReused, Overloaded, Problem
from margin_cluster.gateway.account_margins import AccountMargins
from margin_cluster.gateway.call import Call
from margin_cluster.gateway.clearing import Clearing, Done
from margin_cluster.gateway.convert.margin import Subject
from margin_cluster.gateway.portfolios import Portfolios

TRIES = 20
"""Most attempts to price a reservation on a book that changes."""


@dataclass(frozen=True)
class Quote:
    """A quoted trade of one account."""

    key: str
    """Idempotency key."""
    account: str
    quote: str
    trades: Mapping[str, float]
    """Change of quantity by instrument, bought positive."""
    expires: datetime
    """UTC."""

    @property
    def quoted(self) -> tuple[QuotedTrade, ...]:
        """The trades as the log records them, in the order of the instruments."""
        return tuple(QuotedTrade(n, Decimal(repr(q))) for n, q in sorted(self.trades.items()))


@dataclass(frozen=True)
class Reserved:
    """A reservation that was made now, or by an earlier request with the same key."""

    done: Done
    reservation: Reservation | None
    """None if a repeated request's reservation is no longer open."""
    incremental_cents: int
    generation: ResidentGeneration | None
    """None for a repetition."""


class Reservations:
    """Use cases of reservations; belongs to one event loop."""

    def __init__(
        self, clearing: Clearing, accounts: AccountMargins, portfolios: Portfolios
    ) -> None:
        self._clearing, self._accounts, self._portfolios = clearing, accounts, portfolios
        self._locks: dict[str, asyncio.Lock] = {}
        self._users: Counter[str] = Counter()

    async def reserve(self, quote: Quote, call: Call) -> Reserved:
        """Price a quote and set its incremental margin aside.

        Raises
        ------
        RefusedByRule
            If free margin does not cover it, positions changed after the last cycle, or the account
            is frozen.
        Overloaded
            If positions or reservations change faster than the quote can be priced.
        KeyReused
            If the key was used for another quote.
        UnknownAccount, InvalidPortfolio, MissingMarketData, NotReady, LedgerUnavailable
            As `AccountMargins.simulate` and `Clearing.submit`.
        """
        async with self._alone(quote.account):
            for _ in range(TRIES):
                found = await self._tried(quote, call)
                if found is not None:
                    return found
        problem = Problem(f"account {quote.account}", f"changed {TRIES} times while it was priced")
        raise Overloaded("the quote could not be priced", [problem])

    async def cancel(self, command: CancelReservation) -> Done:
        """Release the margin of a quote; raises the errors of `Clearing.submit`."""
        return await self._clearing.submit(command)

    async def _tried(self, quote: Quote, call: Call) -> Reserved | None:
        """Return the reservation; None if it has to be priced again."""
        committed = await self._clearing.refreshed()
        state, name = committed.state, f"reserve:{quote.key}"
        known = state.commands.get(name)
        if known is not None:
            return self._repeated(quote, Done(known.reply, True, committed))
        require_account(state, quote.account)
        opened = quoted_reservations(state, quote.account)
        now = datetime.now(UTC)
        if any(one.expires_at <= now for one, _ in opened):
            await self._clearing.decided(FireTimers(f"timers:{quote.key}", call.caller))
            committed = self._clearing.committed
            state = committed.state
            opened = quoted_reservations(state, quote.account)
        generation, cents = await self._priced(quote, state, call)
        basis = PricingBasis(committed.at.number, tuple(one.quote for one, _ in opened))
        reservation = Reservation(quote.quote, cents, quote.expires)
        command = Reserve(name, call.caller, quote.account, reservation, quote.quoted, basis)
        try:
            decision = await self._clearing.decided(command)
        except KeyReused:
            return None  # another attempt of the same request has been committed
        refusal = decision.refusal
        if refusal is not None and refusal.rule == HouseRule.PRICE_OUTDATED.value:
            return None
        return Reserved(self._clearing.done(decision), reservation, cents, generation)

    async def _priced(
        self, quote: Quote, state: HouseState, call: Call
    ) -> tuple[ResidentGeneration, int]:
        """Return the incremental margin on positions and open reservations, US cents."""
        before: dict[str, float] = {}
        for _, trades in quoted_reservations(state, quote.account):
            _add(before, {trade.instrument: float(trade.quantity) for trade in trades})
        after = dict(before)
        _add(after, quote.trades)
        is_known = await self._portfolios.is_known(quote.account)
        positions = None if is_known else dict[str, float]()
        subject = Subject(quote.account, positions, "")
        generation, margins = await self._accounts.simulate(
            subject, [("reserved", before), ("quoted", after)], call
        )
        _, reserved, quoted = (requirement_units(m.initial_margin_usd) for m in margins)
        return generation, quoted - reserved

    def _repeated(self, quote: Quote, done: Done) -> Reserved:
        """Return the reservation of a repeated request; raise if the request was another one."""
        state = done.committed.state
        recorded = [one for one in state.quotes.get(quote.account, ()) if one.quote == quote.quote]
        is_other = recorded and recorded[-1].trades != quote.quoted
        if done.reply.subjects != (quote.quote,) or is_other:
            problem = Problem("idempotency_key", f"{quote.key!r} was used for another quote")
            raise KeyReused("the idempotency key was used with other content", [problem])
        opened = [one for one, _ in quoted_reservations(state, quote.account)]
        found = next((one for one in opened if one.quote == quote.quote), None)
        return Reserved(done, found, 0, None)

    @asynccontextmanager
    async def _alone(self, account: str) -> AsyncGenerator[None]:
        """Price the quotes of one account one after the other in this gateway."""
        self._users[account] += 1
        lock = self._locks.setdefault(account, asyncio.Lock())
        try:
            async with lock:
                yield
        finally:
            self._users[account] -= 1
            if not self._users[account]:
                del self._users[account], self._locks[account]


def _add(quantities: dict[str, float], trades: Mapping[str, float]) -> None:
    for name, quantity in trades.items():
        quantities[name] = round(quantities.get(name, 0.0) + quantity, 9)
