"""Use cases that change state: the market snapshot, the scenario set, and the positions.

Every request is validated before anything is stored, positions against the market in use. A refused
request changes nothing.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import pyarrow as pa

from margin_actors.actors.generation import ResidentGeneration
from margin_actors.actors.inputs import Published
from margin_actors.engine.margin import BookAssessment, PricedMarket, assess_book
from margin_actors.errors import InvalidMarketData, InvalidPortfolio, Problem, raise_if_any
from margin_actors.market.books import Book
from margin_actors.market.portfolios import book_from_table
from margin_actors.market.snapshots import MarketSnapshot, publishable_faults
from margin_cluster.archive import StoreArchive
from margin_cluster.gateway.call import Call
from margin_cluster.gateway.desk import Desk
from margin_cluster.ledger import ChangeResult, Origin, PositionChange, Trade
from margin_cluster.positions import Positions, trades_id


@dataclass(frozen=True)
class Upload:
    """The outcome of an upload."""

    book: Book
    change: ChangeResult
    expired_positions: int
    """Uploaded positions that have expired; 0 if the upload was a repetition."""


class Changes:
    """Use cases that change state; belongs to one event loop."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def publish(
        self, snapshot: MarketSnapshot, *, key: str, allow_older: bool, call: Call
    ) -> Published:
        """Store a snapshot and put it in use.

        Raises
        ------
        InvalidMarketData
            If the snapshot cannot be used; names every reason.
        OutdatedSnapshot
            If a later snapshot is in use and `allow_older` is False.
        KeyReused
            If the key was used with another snapshot.
        """
        # Its age is compared with the snapshot in use when it is recorded, under the ledger's lock.
        problems = publishable_faults(snapshot, None, datetime.now(UTC))
        raise_if_any(problems, InvalidMarketData, "the snapshot cannot be used")
        return await self._desk.cluster.publish(
            snapshot,
            key=key,
            request_id=call.request_id,
            caller=call.caller,
            allow_older=allow_older,
            until=call.until,
        )

    async def activate(self, scenarios_id: str, *, key: str, call: Call) -> Published:
        """Put a stored scenario set in use.

        Raises
        ------
        UnknownScenarioSet
            If no such set is recorded.
        KeyReused
            If the key was used with another set.
        """
        return await self._desk.cluster.activate(
            scenarios_id,
            key=key,
            request_id=call.request_id,
            caller=call.caller,
            until=call.until,
        )

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
        desk = self._desk
        book = await desk.store(partial(book_from_table, table, where="upload"))
        before = await desk.store(desk.archive.ledger.repeated_change, "upload", key, book.id)
        if before is not None:
            return Upload(book, before, 0)
        generation = await desk.cluster.generation(until=call.until)
        origin = Origin(call.request_id, call.caller)
        work = partial(replace_positions, desk.archive, generation.priced, book, key, origin)
        return await desk.store(work)

    async def apply_trades(self, key: str, trades: tuple[Trade, ...], call: Call) -> ChangeResult:
        """Add trades to positions.

        Raises
        ------
        InvalidPortfolio
            If trades cannot be applied; names every one. See `Positions.check_trades`.
        KeyReused
            If the key was used with other trades.
        """
        desk, content = self._desk, trades_id(trades)
        # The content id covers the trades as sent, before their members are filled in.
        before = await desk.store(desk.archive.ledger.repeated_change, "trades", key, content)
        if before is not None:
            return before
        generation = await desk.cluster.generation(until=call.until)
        origin = Origin(call.request_id, call.caller)
        return await desk.store(self._apply, generation, key, content, trades, origin)

    def _apply(
        self,
        generation: ResidentGeneration,
        key: str,
        content: str,
        trades: tuple[Trade, ...],
        origin: Origin,
    ) -> ChangeResult:
        positions: Positions = self._desk.positions

        def decide() -> PositionChange:
            eligibility = partial(ineligible_positions, generation.priced)
            checked = positions.check_trades(trades, eligibility)
            return PositionChange(accounts=0, positions=0, trades=checked)

        return self._desk.archive.ledger.change_positions(
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
    archive: StoreArchive, priced: PricedMarket, book: Book, key: str, origin: Origin
) -> Upload:
    """Validate a book, store it, and make it the positions of all accounts.

    Raises
    ------
    InvalidPortfolio
        If positions cannot be margined; names every one.
    KeyReused
        If the key was used with other positions.
    """
    assessment = assess_book(priced, book)
    raise_if_any(_failures(assessment), InvalidPortfolio, "the positions cannot be margined")
    archive.save_book(book)
    held = PositionChange(accounts=len(book.accounts), positions=book.n_positions, trades=())
    change = archive.ledger.change_positions(
        "upload",
        key=key,
        content=book.id,
        origin=origin,
        now=datetime.now(UTC),
        decide=lambda: held,
    )
    return Upload(book, change, assessment.expired_positions)


def _failures(assessment: BookAssessment) -> list[Problem]:
    return [
        Problem(f"account {f.account_id}, {p.instrument_name}".rstrip(", "), p.description)
        for f in assessment.failures
        for p in f.problems
    ]
