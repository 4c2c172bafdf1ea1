"""Recorded calculations: the record of a new one, and the reading of stored ones."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

import pyarrow as pa

from margin_actors.actors.generation import ResidentGeneration
from margin_actors.engine.margin import Margins
from margin_actors.errors import Problem, UnknownAccount
from margin_actors.market.identity import content_id
from margin_cluster.archive import StoreArchive
from margin_cluster.gateway.call import Call
from margin_cluster.gateway.convert.generations import summary_of_generation
from margin_cluster.gateway.margin_records import margin_record_from_row
from margin_cluster.gateway.threads import GatewayThreads
from margin_cluster.ledger import AccountMarginRecord, CalculationKind, CalculationRecord, InputIds


@dataclass(frozen=True)
class StoredCalculation:
    """A recorded calculation with the margins that were requested."""

    record: CalculationRecord
    margins: list[AccountMarginRecord]
    """The margin of an account or portfolio, or those of the requested accounts of a book."""


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


def calculation_record(
    generation: ResidentGeneration,
    margins: Margins,
    call: Call,
    *,
    kind: CalculationKind,
    inputs: InputIds,
    digest: str,
    key: str,
    account_id: str,
    portfolio_version: int,
    expired_positions: int,
) -> CalculationRecord:
    """Return the record of a calculation.

    Its id depends on the method, the caller's idempotency key and the inputs, so that a repeated
    call with the same key and inputs gets the same id. Without a key every call gets a new id.
    """
    named = {"method": call.method, "key": key or uuid4().hex, "inputs": inputs.independent}
    return CalculationRecord(
        calculation_id=content_id("calculation", named),
        kind=kind,
        create_time=datetime.now(UTC),
        request_id=call.request_id,
        account_id=account_id,
        generation=summary_of_generation(generation),
        inputs=inputs,
        digest=digest,
        accounts=margins.positions.size,
        positions=int(margins.positions.sum()),
        initial_margin_usd=float(margins.initial_margin_usd.sum()),
        portfolio_version=portfolio_version,
        expired_positions=expired_positions,
        idempotency_key=key,
    )
