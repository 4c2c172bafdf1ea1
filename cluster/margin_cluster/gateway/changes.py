"""What callers change: the market snapshot, the scenario set, and the positions.

Everything is validated before it is stored, against the market in use; a refused request leaves
nothing behind.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import pyarrow as pa

from margin_actors.actors.generation import Published, ResidentGeneration
from margin_actors.engine.margin import BookAssessment, PricedMarket, assess_book
from margin_actors.errors import InvalidMarketData, InvalidPortfolio, Problem, raise_if_any
from margin_actors.market.portfolios import Book, book_from_table
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


class Changes:
    """Use cases that change something; belongs to one event loop."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def publish(
        self, snapshot: MarketSnapshot, *, key: str, allow_older: bool, call: Call
    ) -> Published:
        """Make a snapshot the one in use.

        Raises
        ------
        InvalidMarketData
            Naming everything that keeps the snapshot from being used.
        OutdatedSnapshot
            If a later snapshot is in use and `allow_older` is False.
        """
        # Whether it is older than the one in use is decided when it is recorded.
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
        """Make a stored scenario set the one in use."""
        return await self._desk.cluster.activate(
            scenarios_id,
            key=key,
            request_id=call.request_id,
            caller=call.caller,
            until=call.until,
        )

    async def upload(self, table: pa.Table, key: str, call: Call) -> Upload:
        """Replace all positions.

        Raises
        ------
        InvalidPortfolio
            Naming every row that is malformed, and every position that cannot be margined on the
            market in use. Positions that have expired are accepted.
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
            Naming every trade that cannot be applied; see `Positions.check_trades`.
        """
        desk, content = self._desk, trades_id(trades)
        # The content is that of the trades as they were sent: members are filled in below.
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
    """Return why positions of a book cannot be margined, by (account, instrument).

    Expired positions are included. The instrument is empty if the reason concerns the account.
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
        Naming every position that cannot be margined.
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
