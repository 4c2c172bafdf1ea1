"""The archive: stored objects and the ledger, shared by the coordinator and every gateway."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from margin_actors.actors.inputs import ActiveInputs
from margin_actors.engine.scenarios import (
    ScenarioSet,
    scenario_set_from_table,
    scenario_set_to_table,
)
from margin_actors.errors import (
    InvalidMarketData,
    LedgerUnavailable,
    Problem,
    UnknownScenarioSet,
)
from margin_actors.market.books import Book, book_of_grouped_rows
from margin_actors.market.portfolios import book_from_table
from margin_actors.market.snapshot_table import snapshot_from_table, snapshot_to_table
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.tables import text_codes
from margin_cluster.ledger import Ledger, Origin, ScenarioSetRecord, SnapshotRecord
from margin_cluster.sources import ParquetStore


@dataclass(frozen=True)
class StoreArchive:
    """The archive of a service: a folder that all nodes can access, and the ledger's address.

    Only these values are pickled; every process opens its own connections.
    """

    root: Path
    ledger_url: str
    is_inspection: bool = False
    """True to open the ledger only for reading; it must exist and have the current version."""

    def __getstate__(self) -> dict[str, object]:
        return {
            "root": self.root,
            "ledger_url": self.ledger_url,
            "is_inspection": self.is_inspection,
        }

    @cached_property
    def store(self) -> ParquetStore:
        """The store of content-addressed objects."""
        return ParquetStore(self.root)

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger."""
        return Ledger(self.ledger_url, is_inspection=self.is_inspection)

    def put(self, kind: str, object_id: str, table: pa.Table) -> None:
        """Store a table durably under its object id.

        Raises
        ------
        LedgerUnavailable
            If the store cannot be written, for example because the disk is full.
        """
        try:
            self.store.put(kind, object_id, table)
        except OSError as fault:
            raise LedgerUnavailable(
                f"the store of the service cannot be written: {fault.strerror or fault}",
                [Problem(str(self.root), str(fault), "free space, or correct the permissions")],
            ) from fault

    def active_inputs(self) -> ActiveInputs:
        """Return the market snapshot and the scenario set in use."""
        return self.ledger.active_inputs()

    def repeated_generation(
        self, kind: Literal["publish", "activate"], key: str, content_id: str
    ) -> int | None:
        """Return the generation number that an idempotency key produced.

        None if the key is new or empty.

        Raises
        ------
        KeyReused
            If the key was used with other content.
        """
        return self.ledger.repeated_generation(kind, key, content_id)

    def publish_snapshot(
        self,
        snapshot: MarketSnapshot,
        *,
        key: str,
        request_id: str,
        caller: str,
        allow_older: bool,
    ) -> tuple[ActiveInputs, int]:
        """Store a snapshot and put it in use.

        The object is stored before the ledger refers to it; a stored object without a ledger entry
        has no effect.

        Returns
        -------
        inputs : ActiveInputs
            The snapshot and the scenario set in use after the call.
        number : int
            Number of the generation that holds the snapshot.

        Raises
        ------
        OutdatedSnapshot
            If the snapshot in use is of a later time and `allow_older` is False.
        KeyReused
            If the key was used with other content.
        LedgerUnavailable
            If the store or the ledger cannot be written.
        """
        self.put("market_snapshots", snapshot.id, snapshot_to_table(snapshot))
        now = datetime.now(UTC)
        record = SnapshotRecord(
            snapshot.id, snapshot.time, len(snapshot.options), snapshot.is_synthetic, now
        )
        return self.ledger.publish_snapshot(
            record,
            key=key,
            origin=Origin(request_id, caller),
            allow_older=allow_older,
            now=now,
        )

    def activate_scenarios(
        self, scenarios_id: str, *, key: str, request_id: str, caller: str
    ) -> tuple[ActiveInputs, int]:
        """Put a recorded scenario set in use; return (inputs, number) as `publish_snapshot` does.

        Raises
        ------
        UnknownScenarioSet
            If the ledger has no record of the set.
        KeyReused
            If the key was used with another set.
        """
        return self.ledger.activate_scenarios(
            scenarios_id, key=key, origin=Origin(request_id, caller), now=datetime.now(UTC)
        )

    def load_snapshot(self, snapshot_id: str) -> MarketSnapshot:
        """Return a stored snapshot.

        Raises
        ------
        InvalidMarketData
            If the snapshot is not stored, or its content does not match its id.
        """
        table = self.store.get("market_snapshots", snapshot_id)
        snapshot = snapshot_from_table(table, where=f"snapshot {snapshot_id}")
        _require_id(snapshot.id, snapshot_id)
        return snapshot

    def save_scenarios(self, scenarios: ScenarioSet) -> ScenarioSetRecord:
        """Store a scenario set under its id and return its record in the ledger."""
        self.put("scenarios", scenarios.id, scenario_set_to_table(scenarios))
        record = scenario_set_record(scenarios)
        self.ledger.add_scenario_set(record)
        return record

    def load_scenarios(self, scenarios_id: str) -> ScenarioSet:
        """Return a stored scenario set.

        Raises
        ------
        UnknownScenarioSet
            If no set is stored under the id.
        InvalidMarketData
            If its content does not match the id.
        """
        if not is_object_id(scenarios_id) or not self.store.has("scenarios", scenarios_id):
            raise UnknownScenarioSet(
                "there is no such scenario set",
                [
                    Problem(
                        "scenarios_id",
                        scenarios_id[:80],
                        "ListScenarioSets returns the stored sets",
                    )
                ],
            )
        table = self.store.get("scenarios", scenarios_id)
        scenarios = scenario_set_from_table(table, where=f"scenario set {scenarios_id}")
        _require_id(scenarios.id, scenarios_id)
        return scenarios

    def save_book(self, book: Book) -> None:
        """Store a book under its id."""
        self.put("books", book.id, book_to_table(book))

    def load_book(self, book_id: str) -> Book:
        """Return a stored book.

        Raises
        ------
        InvalidMarketData
            If the book is not stored, or its content does not match its id.
        """
        table = self.store.get("books", book_id)
        book = book_from_table(table, where=f"book {book_id}")
        if book.id != book_id:
            _require_id(book_in_stored_order(table).id, book_id)
        return book


def _require_id(found: str, wanted: str) -> None:
    if found != wanted:
        raise InvalidMarketData(
            f"the stored object {wanted} is damaged",
            [Problem(wanted, f"its content is that of {found}", "restore it from a backup")],
        )


def book_in_stored_order(table: pa.Table) -> Book:
    """Return a book with its accounts in the order of the table's rows.

    Books of earlier versions were stored, and identified, in the order of the uploaded rows. Each
    row of the table is one position; the rows of one account are adjacent.
    """
    codes, accounts = text_codes(table, "account_id")
    member_codes, members = text_codes(table, "member_id")
    names, instruments = text_codes(table, "instrument_name")
    firsts = np.searchsorted(codes, np.arange(len(accounts)))
    return book_of_grouped_rows(
        accounts,
        [members[m] for m in member_codes[firsts].tolist()],
        instruments,
        codes,
        names,
        table.column("quantity").to_numpy(),
    )


def is_object_id(text: str) -> bool:
    """Return whether a text has the form of a content id and is therefore safe in a file name."""
    kind, _, digest = text.partition("-")
    return kind.isalpha() and len(digest) == 32 and all(c in "0123456789abcdef" for c in digest)


def scenario_set_record(scenarios: ScenarioSet) -> ScenarioSetRecord:
    """Return the ledger's record of a scenario set, with the current time as its creation time."""
    return ScenarioSetRecord(
        scenarios_id=scenarios.id,
        engine=scenarios.engine,
        underlyings=scenarios.underlyings,
        scenarios=len(scenarios),
        horizon_hours=scenarios.horizon_hours,
        first_window_end=_moment(np.fmin.reduce(scenarios.end_time)),
        last_window_end=_moment(np.fmax.reduce(scenarios.end_time)),
        is_synthetic=scenarios.is_synthetic,
        create_time=datetime.now(UTC),
    )


def _moment(stamp: np.datetime64) -> datetime | None:
    if np.isnat(stamp):
        return None
    return datetime.fromtimestamp(int(stamp.astype("datetime64[ms]").astype(np.int64)) / 1000, UTC)


def book_to_table(book: Book) -> pa.Table:
    """Return a table with one row per position; text columns are dictionary-encoded."""
    account = np.repeat(np.arange(len(book.accounts)), np.diff(book.start))
    return pa.table(
        {
            "member_id": _coded(book.members, account),
            "account_id": _coded(book.accounts, account),
            "instrument_name": _coded(book.instruments, book.instrument_index),
            "quantity": book.quantity,
        }
    )


def _coded(values: tuple[str, ...], codes: np.ndarray) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(
        pa.array(codes.astype(np.int32)), pa.array(values, pa.string())
    )
