"""Recorded calculations computed again: their inputs as recorded, and their results.

Everything is read from the ledger and the objects of the state folder and computed by the engine in
this process; neither a service nor Ray is required. Objects are verified against their ids.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa

from margin_actors.engine.margin import (
    TOO_LARGE,
    BookAssessment,
    Margins,
    PricedMarket,
    assess_book,
    book_content_id,
    prepare_market,
    result_digest,
)
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.errors import InvalidMarketData, InvalidPortfolio, MissingInput, Problem
from margin_actors.market.books import Book, other_accounts, select_positions
from margin_actors.market.snapshots import MarketSnapshot
from margin_cluster.archive import StoreArchive, is_object_id
from margin_cluster.ledger import CalculationRecord
from margin_cluster.positions import Holding, Positions
from margin_cluster.recorded_models import recorded_model
from margin_cluster.sources import ModelRegistry

T = TypeVar("T")
_RESTORE = "restore it from a backup"


@dataclass(frozen=True)
class RecordedPositions:
    """The positions of a recorded calculation."""

    book: Book
    """The accounts that were to be margined."""
    others: Book | None
    """Further accounts of their members, if the model measures size by member."""


@dataclass(frozen=True)
class Recalculation:
    """The result of a recorded calculation, computed again."""

    margins: Margins
    """Of the accounts that can be margined, in the order of `assessment.book`."""
    assessment: BookAssessment
    book_id: str
    """Content id of all positions on which the result depends."""
    surface_ids: tuple[str, ...]
    """Ids of the smiles as fitted again."""
    digest: str


class RecordedInputs:
    """Loads the inputs of recorded calculations; those of the last calculation are kept.

    Parameters
    ----------
    archive : StoreArchive
    registry : ModelRegistry, optional
        As for `recorded_model`.

    Notes
    -----
    The methods raise MissingInput if an input is not stored, and InvalidMarketData if a stored
    object is not the one that its id names.
    """

    def __init__(self, archive: StoreArchive, registry: ModelRegistry | None = None) -> None:
        self._archive, self._registry = archive, registry
        self._priced: tuple[tuple[str, str, str], PricedMarket] | None = None
        self._positions = Positions(archive)

    def model(self, record: CalculationRecord) -> ModelParameters:
        """Return the parameters of the model."""
        return recorded_model(self._archive, record.inputs.model_id, self._registry)

    def market(self, record: CalculationRecord) -> PricedMarket:
        """Return the market with its scenarios and fitted smiles; prices are computed on demand."""
        ids = record.inputs
        key = (ids.snapshot_id, ids.scenarios_id, ids.model_id)
        if self._priced is None or self._priced[0] != key:
            market = prepare_market(self.snapshot(record), self.model(record))
            self._priced = (key, PricedMarket(market, self.scenarios(record), None))
        return self._priced[1]

    def snapshot(self, record: CalculationRecord) -> MarketSnapshot:
        """Return the market snapshot as published."""
        name = record.inputs.snapshot_id
        return self._stored("market_snapshots", name, self._archive.load_snapshot)

    def scenarios(self, record: CalculationRecord) -> ScenarioSet:
        """Return the scenario set."""
        return self._stored("scenarios", record.inputs.scenarios_id, self._archive.load_scenarios)

    def is_known(self, record: CalculationRecord, account_id: str) -> bool:
        """Return whether an account existed at the version of the positions of a calculation."""
        return self._positions_at(record).is_known(account_id)

    def contains(self, record: CalculationRecord, account_id: str) -> bool:
        """Return whether an account was to be margined by a calculation of a book."""
        return account_id in self.book(record).book.accounts

    def account(self, record: CalculationRecord, account_id: str) -> RecordedPositions:
        """Return the positions of one account of a calculation, as its margin depended on them.

        Raises
        ------
        MissingInput
            Also if the account held no positions at the recorded version, or the calculation was
            recorded by a version of the service that did not record its positions.
        """
        if record.portfolio is not None:
            return RecordedPositions(Holding("", "", record.portfolio).book, None)
        positions = self._positions_at(record)
        if not positions.is_known(account_id):
            what = f"it has no positions at version {record.portfolio_version}"
            raise _missing(f"account {account_id}", what, "name an account of the calculation")
        if not self.model(record).addons.members.enabled:
            return RecordedPositions(positions.held(account_id)[0].book, None)
        holding, fellows, _ = positions.held_with_fellows(account_id)
        return RecordedPositions(holding.book, fellows)

    def book(self, record: CalculationRecord) -> RecordedPositions:
        """Return the accounts of a calculation of a book.

        The choice of accounts is not recorded; it follows from the accounts of the stored result
        and from the recorded failures.
        """
        whole, _ = self._positions_at(record).known_book()
        if whole is None:
            what = f"there are none at version {record.portfolio_version}"
            raise _missing("positions", what, "check the ledger with `margin ledger verify`")
        if whole.id == record.inputs.book_id:
            return RecordedPositions(whole, None)
        chosen = self._accounts(record)
        if chosen >= set(whole.accounts):
            return RecordedPositions(whole, None)
        rows = np.array([a in chosen for a in whole.accounts], np.bool_)
        part = select_positions(whole, rows, np.ones(whole.n_positions, np.bool_))
        if not self.model(record).addons.members.enabled:
            return RecordedPositions(part, None)
        return RecordedPositions(part, other_accounts(whole, part.accounts))

    def result(self, record: CalculationRecord) -> pa.Table:
        """Return the stored result of a book, as `margins_to_table` wrote it."""
        name = record.calculation_id
        return self._stored(
            "calculations", name, lambda _: self._archive.store.get("calculations", name)
        )

    def _accounts(self, record: CalculationRecord) -> set[str]:
        if record.accounts_failed > len(record.failures):
            what = f"{record.accounts_failed:,} accounts failed, {len(record.failures):,} are named"
            raise _missing("positions", what, "the choice of accounts cannot be reconstructed")
        margined = self.result(record).column("account_id").to_pylist()
        return {*margined, *(failure.account_id for failure in record.failures)}

    def _positions_at(self, record: CalculationRecord) -> Positions:
        """Return all positions as of the recorded version."""
        version = record.portfolio_version
        if version == 0:
            what = "an earlier version of the service recorded the calculation without them"
            raise _missing("positions", what, "calculate it again")
        if self._positions.version > version:
            self._positions = Positions(self._archive)
        positions = self._positions
        for change in self._archive.ledger.changes_since(positions.version, until=version):
            if change.kind == "upload":
                book = self._stored("books", change.content, self._archive.load_book)
                positions.take_in(change.version, book)
            else:
                positions.trade(change.version, change.trades)
        return positions

    def _stored(self, kind: str, object_id: str, load: Callable[[str], T]) -> T:
        where = f"objects/{kind}/{object_id}.parquet"
        if not is_object_id(object_id) or not self._archive.store.has(kind, object_id):
            raise _missing(where, "the object is not in the state folder", _RESTORE)
        try:
            return load(object_id)
        except InvalidMarketData:
            raise
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as fault:
            problem = Problem(where, f"it cannot be read: {fault}", _RESTORE)
            raise InvalidMarketData(
                f"the stored object {object_id} is damaged", [problem]
            ) from fault


def _missing(where: str, what: str, remedy: str) -> MissingInput:
    return MissingInput(
        "an input of the recorded calculation is missing", [Problem(where, what, remedy)]
    )


def recalculate(inputs: RecordedInputs, record: CalculationRecord) -> Recalculation:
    """Return the result of a recorded calculation, computed again from its inputs.

    Raises
    ------
    MissingInput, InvalidMarketData
        As the methods of `RecordedInputs`.
    """
    priced = inputs.market(record)
    is_book = record.kind == "book"
    held = inputs.book(record) if is_book else inputs.account(record, record.account_id)
    assessment, margins = _margins(priced, held)
    # The id of a book covers only those of the other accounts that can be margined.
    book_id = assessment.book_id if is_book else book_content_id(held.book, held.others)
    ids = record.inputs
    return Recalculation(
        margins,
        assessment,
        book_id,
        tuple(priced.market.surface_ids),
        result_digest(
            margins,
            snapshot_id=ids.snapshot_id,
            scenarios_id=ids.scenarios_id,
            model_id=ids.model_id,
            book_id=book_id,
            failures=assessment.failures,
        ),
    )


def _margins(priced: PricedMarket, held: RecordedPositions) -> tuple[BookAssessment, Margins]:
    assessment = assess_book(priced, held.book, held.others)
    while True:
        try:
            return assessment, priced.margins(assessment.book, assessment.others)
        except InvalidPortfolio as error:
            if not error.too_large:
                raise
            assessment = assessment.excluding(error.too_large, TOO_LARGE)


__all__ = ["Recalculation", "RecordedInputs", "RecordedPositions", "recalculate"]
