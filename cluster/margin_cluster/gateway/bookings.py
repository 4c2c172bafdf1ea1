"""Use case of BookTrades: trades between clearing accounts, in the clearing house and margin book.

The positions of both sides are checked on the current market as those of ApplyTrades are, while the
head of the ledger is locked. The clearing house then decides, and its positions are recorded in the
margin book in the same transaction (`operations.positions_projection`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

from margin_actors.actors.cluster import Cluster
from margin_actors.clearing.house import Command, HouseState
from margin_actors.clearing.house.commands import BookTrades, TradeBooking
from margin_actors.clearing.house.queries import quantities, require_account
from margin_actors.clearing.journal.reservations import Execution
from margin_actors.clearing.settlement import Trade
from margin_actors.engine.margin import PreparedMarket
from margin_actors.errors import InvalidPortfolio, KeyReused, MissingMarketData, Problem
from margin_actors.market.books import Book
from margin_actors.market.instruments import Instrument, Kind, instrument_from_name
from margin_cluster.gateway.call import Call
from margin_cluster.gateway.clearing import Clearing, Done
from margin_cluster.gateway.portfolios import ineligible_positions
from margin_cluster.ledger import Trade as Change
from margin_cluster.positions import EligibilityCheck, Positions

_USD_DECIMALS, _COIN_DECIMALS = 4, 8
_LEG = re.compile(r"trades\[(\d+)\]\.(\w+)")


@dataclass(frozen=True)
class AskedTrade:
    """A trade as requested."""

    id: str
    instrument: str
    buyer: str
    seller: str
    quantity: Decimal
    """Positive, in the unit of the contract."""
    price: Decimal | None
    """None: the price in the current snapshot."""
    buyer_quote: str = ""
    seller_quote: str = ""


class Bookings:
    """The use case of trades between clearing accounts; belongs to one event loop."""

    def __init__(self, cluster: Cluster, clearing: Clearing, positions: Positions) -> None:
        self._cluster, self._clearing, self._positions = cluster, clearing, positions

    async def book(self, key: str, trades: Sequence[AskedTrade], call: Call) -> Done:
        """Book trades, all or none.

        Raises
        ------
        InvalidPortfolio
            If positions after the trades cannot be margined, or an account holds positions that the
            clearing house does not record; names every trade concerned.
        RefusedByRule, UnknownAccount
            If the clearing house refuses a trade.
        MissingMarketData
            If a trade has no price, and the current snapshot has none either.
        KeyReused
            If the key was used with other trades.
        LedgerUnavailable
            If the ledger cannot be written.
        """
        name = f"book:{key}"
        committed = await self._clearing.refreshed()
        known = committed.state.commands.get(name)
        if known is not None:
            _require_same(committed.state, trades, known.reply.subjects, key)
            return Done(known.reply, True, committed)
        generation = await self._cluster.generation(until=call.until)
        market = generation.priced.market
        now = datetime.now(UTC)
        booked = tuple(booking(market, trade, now) for trade in trades)
        command = BookTrades(name, call.caller, booked)
        eligibility = partial(ineligible_positions, generation.priced)
        try:
            return await self._clearing.run(self._committed, command, trades, eligibility)
        except KeyReused:
            # An attempt of the same request was committed in the meantime.
            again = await self._clearing.refreshed()
            known = again.state.commands.get(name)
            if known is None:
                raise
            _require_same(again.state, trades, known.reply.subjects, key)
            return Done(known.reply, True, again)

    def _committed(
        self, command: BookTrades, trades: Sequence[AskedTrade], eligibility: EligibilityCheck
    ) -> Done:
        commands: list[Command] = [command]
        check = partial(self._check, command.id, trades, eligibility)
        (decision,) = self._clearing.log.commit(commands, check=check)
        return self._clearing.done(decision)

    def _check(
        self,
        command_id: str,
        trades: Sequence[AskedTrade],
        eligibility: EligibilityCheck,
        state: HouseState,
    ) -> None:
        """Check trades on the committed positions; the head of the ledger is locked."""
        if command_id in state.commands:
            return
        changes: list[Change] = []
        for trade in trades:
            for account, sign in ((trade.buyer, 1), (trade.seller, -1)):
                require_account(state, account)
                member = state.accounts[account].member
                changes.append(
                    Change(account, member, trade.instrument, sign * float(trade.quantity))
                )
        try:
            self._positions.check_trades(tuple(changes), eligibility)
        except InvalidPortfolio as error:
            problems = [replace(p, location=_located(p.where)) for p in error.problems]
            raise InvalidPortfolio(error.summary, problems) from error
        require_agreement(state, self._positions, {change.account_id for change in changes})


def require_agreement(state: HouseState, positions: Positions, accounts: set[str]) -> None:
    """Raise unless the margin book holds for accounts exactly what the clearing house records.

    Raises
    ------
    InvalidPortfolio
        With the accounts that hold uploaded positions which the clearing house does not record.
    """
    problems: list[Problem] = []
    for account in sorted(accounts):
        held = positions.held(account)[0].positions if positions.is_known(account) else {}
        if not agree(held, quantities(state, account)):
            what = "holds positions that the clearing house does not record"
            problems.append(
                Problem(f"account {account}", what, "close them before its first trade")
            )
    if problems:
        raise InvalidPortfolio("the trades cannot be booked", problems)


def agree(held: Mapping[str, float], recorded: Mapping[str, Decimal]) -> bool:
    """Return whether quantities of the margin book equal those of the clearing house.

    The margin book keeps billionths.
    """
    return {n: round(q, 9) for n, q in held.items() if q} == {
        n: round(float(q), 9) for n, q in recorded.items() if round(float(q), 9)
    }


class ClearedPositions:
    """Protects the positions of clearing accounts from changes outside the clearing house.

    Parameters
    ----------
    clearing : Clearing
    """

    def __init__(self, clearing: Clearing) -> None:
        self._clearing = clearing

    def require_unchanged(self, book: Book) -> None:
        """Check an upload; the writer's lock of the ledger is held.

        Raises
        ------
        InvalidPortfolio
            If the book has other positions of an account than the clearing house records.
        """
        state = self._clearing.log.refresh().state
        rows = {account: row for row, account in enumerate(book.accounts)}
        problems: list[Problem] = []
        for account in kept_accounts(state):
            recorded = quantities(state, account)
            row = rows.get(account)
            held = {} if row is None else _row(book, row)
            if not agree(held, recorded):
                what = "the clearing house records other positions"
                problems.append(Problem(f"account {account}", what, "upload those of GetResources"))
        if problems:
            raise InvalidPortfolio("the positions cannot be replaced", problems)

    def require_outside(self, trades: Sequence[Change]) -> None:
        """Check trades of the margin book; the writer's lock of the ledger is held.

        Raises
        ------
        InvalidPortfolio
            If a trade changes an account whose positions the clearing house keeps.
        """
        kept = set(kept_accounts(self._clearing.log.refresh().state))
        problems = [
            Problem(
                f"trades[{number}].account_id",
                f"the clearing house keeps the positions of {trade.account_id}",
                "book the trade with BookTrades",
            )
            for number, trade in enumerate(trades)
            if trade.account_id in kept
        ]
        if problems:
            raise InvalidPortfolio("the trades cannot be applied", problems)


def kept_accounts(state: HouseState) -> list[str]:
    """Return the accounts that have ever traded in the clearing house."""
    return [name for name, change in state.last_changes.items() if change.valuation]


def booking(market: PreparedMarket, trade: AskedTrade, now: datetime) -> TradeBooking:
    """Return a trade with its price, the index of the current snapshot, and its reservations."""
    item = instrument_from_name(trade.instrument)
    price = current_price(market, trade.instrument) if trade.price is None else trade.price
    index = _rounded(_index(market, item), _USD_DECIMALS)
    quotes = ((trade.buyer, trade.buyer_quote), (trade.seller, trade.seller_quote))
    executions = tuple(Execution(owner, quote) for owner, quote in quotes if quote)
    made = Trade(trade.id, trade.buyer, trade.seller, trade.quantity, price, index, now)
    return TradeBooking(trade.instrument, made, executions)


def current_price(market: PreparedMarket, instrument: str) -> Decimal:
    """Return the price of a contract in the current snapshot, as `settlement.Trade.price`.

    Raises
    ------
    MissingMarketData, InvalidPortfolio
        If the snapshot has no price of it.
    """
    item, snapshot = instrument_from_name(instrument), market.snapshot
    if item.kind is Kind.OPTION:
        value = market.with_contracts([instrument]).unit_values[instrument]
        if item.is_inverse:
            return _rounded(value / _index(market, item), _COIN_DECIMALS)
        return _rounded(value, _USD_DECIMALS)
    if item.kind is Kind.PERPETUAL:
        return _rounded(
            snapshot.perpetual_usd.get(item.underlying, _index(market, item)), _USD_DECIMALS
        )
    for one in snapshot.expiries:
        if (one.underlying, one.expiry) == (item.underlying, item.expiry):
            return _rounded(one.forward_usd, _USD_DECIMALS)
    problem = Problem(instrument, "has no price in the current snapshot", "state a price")
    raise MissingMarketData("the trade has no price", [problem])


def _index(market: PreparedMarket, item: Instrument) -> float:
    found = market.snapshot.index_usd.get(item.underlying)
    if found is None:
        problem = Problem(item.underlying, "has no index in the current snapshot")
        raise MissingMarketData("the trade cannot be booked", [problem])
    return found


def _rounded(value: float, decimals: int) -> Decimal:
    return round(Decimal(value), decimals)


def _row(book: Book, row: int) -> dict[str, float]:
    held = slice(int(book.start[row]), int(book.start[row + 1]))
    names = [book.instruments[i] for i in book.instrument_index[held].tolist()]
    return dict(zip(names, book.quantity[held].tolist(), strict=True))


def _located(location: str) -> str:
    """Return the location of a problem of one side as that of its trade."""
    found = _LEG.fullmatch(location)
    if found is None:
        return location
    side = ("buyer", "seller")[int(found[1]) % 2]
    return f"trades[{int(found[1]) // 2}], {side}"


def _require_same(
    state: HouseState, trades: Sequence[AskedTrade], booked: Sequence[str], key: str
) -> None:
    """Raise `KeyReused` unless the trades are those that were booked under the key."""
    if tuple(trade.id for trade in trades) == tuple(booked) and all(
        _is_booked(state, trade) for trade in trades
    ):
        return
    problem = Problem("idempotency_key", f"{key!r} was used with other trades")
    raise KeyReused("the idempotency key was used with other content", [problem])


def _is_booked(state: HouseState, trade: AskedTrade) -> bool:
    entries = {
        (entry.account, entry.instrument, entry.quantity)
        for entry in state.trades[trade.id].group.positions
    }
    return entries == {
        (trade.buyer, trade.instrument, trade.quantity),
        (trade.seller, trade.instrument, -trade.quantity),
    }
