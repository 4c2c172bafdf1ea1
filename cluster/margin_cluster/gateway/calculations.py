"""Recorded calculations: the record of a new one, and the reading of stored ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

import pyarrow as pa

from margin_actors.engine.margin import Margins
from margin_actors.errors import Problem, UnknownAccount
from margin_actors.market.identity import content_id
from margin_cluster.archive import StoreArchive
from margin_cluster.gateway.call import Call
from margin_cluster.gateway.threads import GatewayThreads
from margin_cluster.ledger import (
    AccountFailureRecord,
    AccountMarginRecord,
    CalculationKind,
    CalculationRecord,
    GenerationSummary,
    InputIds,
)
from margin_cluster.margin_records import margin_record_from_row


@dataclass(frozen=True)
class StoredCalculation:
    """A recorded calculation with the margins that were requested."""

    record: CalculationRecord
    margins: list[AccountMarginRecord]
    """The margin of an account or portfolio, or those of the requested accounts of a book."""


@dataclass(frozen=True, kw_only=True)
class FinishedCalculation:
    """The result of a calculation, with everything of it that its record states."""

    kind: CalculationKind
    generation: GenerationSummary
    inputs: InputIds
    margins: Margins
    """Of all accounts that were margined."""
    digest: str
    """Hash of the result."""
    portfolio_version: int
    """Version of the positions; 0 for a portfolio in the request."""
    expired_positions: int
    """Number of positions that had expired at the snapshot's time."""
    account_id: str = ""
    """Empty for books and for portfolios of requests."""
    margin: AccountMarginRecord | None = None
    """The margin of an account or portfolio; None for books."""
    accounts_failed: int = 0
    """Number of accounts of a book that could not be margined."""
    failures: tuple[AccountFailureRecord, ...] = ()
    """The first of these accounts, with reasons."""
    portfolio: Mapping[str, float] | None = None
    """The positions of a portfolio in the request; None for positions of the ledger."""


class Calculations:
    """Use cases of recorded calculations; belongs to one event loop."""

    def __init__(self, archive: StoreArchive, threads: GatewayThreads) -> None:
        self._archive, self._threads = archive, threads

    async def get(self, calculation_id: str, accounts: list[str]) -> StoredCalculation:
        """Return a calculation, for a book with the margins of `accounts` in that order.

        Raises
        ------
        UnknownCalculation
            If no calculation is recorded under the id.
        UnknownAccount
            If a book has no margin of an account; names every such account.
        """
        record = await self._threads.run_io(self._archive.ledger.calculation, calculation_id)
        margins = [record.margin] if record.margin else []
        if record.kind == "book" and accounts:
            margins = await self._threads.run_io(self._margins_of, calculation_id, accounts)
        return StoredCalculation(record, margins)

    async def list_records(
        self, size: int, token: str, *, account_id: str, kind: CalculationKind | None
    ) -> tuple[list[CalculationRecord], str]:
        """Return (up to `size` calculations, latest first; token of the next page).

        An empty `account_id` and a `kind` of None select all.

        Raises
        ------
        InvalidRequest
            If the token is not valid.
        """
        read = partial(self._archive.ledger.list_calculations, account_id=account_id, kind=kind)
        return await self._threads.run_io(read, size, token)

    def _margins_of(self, calculation_id: str, accounts: list[str]) -> list[AccountMarginRecord]:
        table = self._archive.store.get("calculations", calculation_id)
        row_of = {a: i for i, a in enumerate(table.column("account_id").to_pylist())}
        unknown = [a for a in accounts if a not in row_of]
        if unknown:
            raise UnknownAccount(
                "the calculation does not contain these accounts",
                [Problem("account_ids", a[:128], "not in the calculation") for a in unknown],
            )
        rows = table.take(pa.array([row_of[a] for a in accounts], pa.int64())).to_pylist()
        return [margin_record_from_row(row) for row in rows]


def calculation_record(finished: FinishedCalculation, call: Call, *, key: str) -> CalculationRecord:
    """Return the record of a calculation that a call requested.

    Its id depends on the method, the caller's idempotency key `key` (empty for none) and the
    inputs, so that a repeated call with the same key and inputs gets the same id. Without a key
    every call gets a new id.
    """
    inputs, margins = finished.inputs, finished.margins
    named = {"method": call.method, "key": key or uuid4().hex, "inputs": inputs.independent}
    return CalculationRecord(
        calculation_id=content_id("calculation", named),
        kind=finished.kind,
        create_time=datetime.now(UTC),
        request_id=call.request_id,
        account_id=finished.account_id,
        generation=finished.generation,
        inputs=inputs,
        digest=finished.digest,
        accounts=margins.positions.size,
        positions=int(margins.positions.sum()),
        initial_margin_usd=float(margins.initial_margin_usd.sum()),
        margin=finished.margin,
        portfolio_version=finished.portfolio_version,
        accounts_failed=finished.accounts_failed,
        expired_positions=finished.expired_positions,
        failures=finished.failures,
        idempotency_key=key,
        caller=call.caller,
        portfolio=finished.portfolio,
    )
