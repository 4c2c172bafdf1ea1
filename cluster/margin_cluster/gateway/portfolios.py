"""Use cases of PortfolioService: upload positions, apply trades, and read an account's positions.

Every change is validated against the market in use before anything is stored. A refused request
changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

import pyarrow as pa
import structlog

from margin_actors.actors.cluster import Cluster
from margin_actors.actors.generation import ResidentGeneration
from margin_actors.engine.margin import (
    BookAssessment,
    PricedMarket,
    assess_book,
    overdue_instruments,
)
from margin_actors.errors import InvalidPortfolio, Problem, raise_if_any
from margin_actors.market.books import Book
from margin_actors.market.portfolios import book_from_table
from margin_cluster.archive import StoreArchive
from margin_cluster.gateway.call import Call
from margin_cluster.gateway.threads import GatewayThreads
from margin_cluster.ledger import ChangeResult, Origin, PositionChange, Trade
from margin_cluster.positions import Holding, Positions, trades_id

_NAMES_LOGGED = 20


@dataclass(frozen=True)
class Upload:
    """The outcome of an upload."""

    book: Book
    change: ChangeResult
    expired_positions: int
    """Uploaded positions that have expired; 0 if the upload was a repetition."""


class PositionGuard(Protocol):
    """Protects positions that the clearing house records, while the writer's lock is held."""

    def require_unchanged(self, book: Book) -> None:
        """Raise InvalidPortfolio if an upload would change one of them."""
        ...

    def require_outside(self, trades: Sequence[Trade]) -> None:
        """Raise InvalidPortfolio if a trade would change one of them."""
        ...


class Portfolios:
    """Use cases of positions; belongs to one event loop."""

    def __init__(
        self,
        cluster: Cluster,
        archive: StoreArchive,
        positions: Positions,
        threads: GatewayThreads,
        cleared: PositionGuard,
    ) -> None:
        self._cluster, self._archive = cluster, archive
        self._positions, self._threads = positions, threads
        self._cleared = cleared

    async def held(self, account: str) -> tuple[Holding, int]:
        """Return an account's positions after all changes committed so far, and their version.

        Raises
        ------
        UnknownAccount
            If the account has never held a position.
        MissingMarketData
            If the stored positions cannot be read.
        LedgerUnavailable
            If the ledger cannot be read.
        """
        await self._follow()
        return self._positions.held(account)

    async def is_known(self, account: str) -> bool:
        """Return whether an account is in the last upload or in a later trade."""
        await self._follow()
        return self._positions.is_known(account)

    async def held_with_fellows(self, account: str) -> tuple[Holding, Book | None, int]:
        """Return an account's positions, the other accounts of its member, and their version.

        Raises
        ------
        UnknownAccount, MissingMarketData, LedgerUnavailable
            As `held`.
        """
        await self._follow()
        return await self._threads.run_io(self._positions.held_with_fellows, account)

    async def _follow(self) -> None:
        """Apply the changes committed so far to the positions."""
        if not (self._archive.ledger.reads_at_once and self._positions.is_current()):
            await self._threads.run_io(self._positions.follow)

    async def upload(self, table: pa.Table, key: str, call: Call) -> Upload:
        """Replace the positions of all accounts by those of a table.

        Raises
        ------
        InvalidPortfolio
            If rows are malformed, or positions cannot be margined on the market in use; names every
            one. Positions that have expired are accepted.
        KeyReused
            If the key was used with other positions.
        """
        run_io, ledger = self._threads.run_io, self._archive.ledger
        book = await run_io(partial(book_from_table, table, where="upload"))
        before = await run_io(ledger.repeated_change, "upload", key, book.id)
        if before is not None:
            return Upload(book, before, 0)
        generation = await self._cluster.generation(until=call.until)
        origin = Origin(call.request_id, call.caller)
        return await run_io(
            partial(
                replace_positions,
                self._archive,
                self._positions,
                generation.priced,
                book,
                key,
                origin,
                cleared=self._cleared,
            )
        )

    async def apply_trades(self, key: str, trades: tuple[Trade, ...], call: Call) -> ChangeResult:
        """Add trades to positions.

        Raises
        ------
        InvalidPortfolio
            If trades cannot be applied; names every one. See `Positions.check_trades`.
        KeyReused
            If the key was used with other trades.
        """
        run_io, content = self._threads.run_io, trades_id(trades)
        # The content id covers the trades as sent, before their members are filled in.
        before = await run_io(self._archive.ledger.repeated_change, "trades", key, content)
        if before is not None:
            return before
        generation = await self._cluster.generation(until=call.until)
        origin = Origin(call.request_id, call.caller)
        return await run_io(self._apply, generation, key, content, trades, origin)

    def _apply(
        self,
        generation: ResidentGeneration,
        key: str,
        content: str,
        trades: tuple[Trade, ...],
        origin: Origin,
    ) -> ChangeResult:
        def decide() -> PositionChange:
            eligibility = partial(ineligible_positions, generation.priced)
            self._cleared.require_outside(trades)
            checked = self._positions.check_trades(trades, eligibility)
            return PositionChange(accounts=0, positions=0, trades=checked)

        return self._archive.ledger.change_positions(
            "trades",
            key=key,
            content=content,
            origin=origin,
            now=datetime.now(UTC),
            decide=decide,
        )


def ineligible_positions(priced: PricedMarket, book: Book) -> dict[tuple[str, str], str]:
    """Return the reason why a position cannot be margined, by (account, instrument).

    Expired positions are included, positions that can be margined are not. The instrument is empty
    if the reason concerns the account as a whole.
    """
    assessment = assess_book(priced, book)
    out = {
        (failure.account_id, problem.instrument_name): problem.description
        for failure in assessment.failures
        for problem in failure.problems
    }
    time = priced.market.snapshot.time
    for account, names in assessment.expired.items():
        for name in names:
            out[account, name] = (
                f"{name} has expired; the time of the current snapshot is {time:%Y-%m-%d %H:%M} UTC"
            )
    return out


def replace_positions(
    archive: StoreArchive,
    positions: Positions,
    priced: PricedMarket,
    book: Book,
    key: str,
    origin: Origin,
    *,
    cleared: PositionGuard | None = None,
) -> Upload:
    """Validate a book, store it, make it the positions of all accounts, and take it in.

    The book is not read back from the store.

    Raises
    ------
    InvalidPortfolio
        If positions cannot be margined, or differ from those that the clearing house records; names
        every one.
    KeyReused
        If the key was used with other positions.
    """
    assessment = assess_book(priced, book)
    raise_if_any(_failures(assessment), InvalidPortfolio, "the positions cannot be margined")
    _warn_of_overdue(assessment, priced)
    archive.save_book(book)
    held = PositionChange(accounts=len(book.accounts), positions=book.n_positions, trades=())

    def decide() -> PositionChange:
        if cleared is not None:
            cleared.require_unchanged(book)
        return held

    change = archive.ledger.change_positions(
        "upload",
        key=key,
        content=book.id,
        origin=origin,
        now=datetime.now(UTC),
        decide=decide,
    )
    if not change.was_repeated:
        positions.take_in(change.version, book)
    return Upload(book, change, assessment.expired_positions)


def _warn_of_overdue(assessment: BookAssessment, priced: PricedMarket) -> None:
    """Log a warning that names contracts whose expiry is so long ago that it may be mistyped."""
    days_max = priced.market.model.quality.expired_days_max
    if days_max is None or not assessment.expired:
        return
    expired = {name for names in assessment.expired.values() for name in names}
    overdue = overdue_instruments(expired, priced.market.snapshot.time, days_max)
    if overdue:
        structlog.get_logger("gateway").warning(
            "uploaded positions expired long ago",
            days_max=days_max,
            instruments=sorted(overdue)[:_NAMES_LOGGED],
            count=len(overdue),
        )


def _failures(assessment: BookAssessment) -> list[Problem]:
    return [
        Problem(f"account {f.account_id}, {p.instrument_name}".rstrip(", "), p.description)
        for f in assessment.failures
        for p in f.problems
    ]
