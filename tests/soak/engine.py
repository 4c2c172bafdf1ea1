"""What the engine itself answers, computed in the harness's process for the model's positions."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from margin_actors.engine.margin import (
    MarginResult,
    calculate_margin,
    fit_model_surfaces,
    prepare_market,
)
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.errors import MarginError
from margin_actors.market.books import Book
from margin_actors.market.instruments import Kind, instrument_from_name
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.surfaces import VolatilitySurface

FIELDS = (
    "value_usd",
    "var_usd",
    "var_low_usd",
    "var_high_usd",
    "es_usd",
    "es_standard_error_usd",
    "worst_usd",
    "worst_scenario",
    "core_usd",
    "initial_margin_usd",
    "positions",
)
"""Compared bit for bit with what the service returns."""
_LOT_TOLERANCE = Decimal("1.1e-6")
_KEPT_RESULTS, _KEPT_MARKETS = 2_000, 16
Holdings = Mapping[str, tuple[str, Mapping[str, float]]]
"""(member, quantity by instrument) by account."""


def canonical_book(positions: Holdings) -> Book:
    """Return the book in canonical order: sorted accounts that hold something, sorted names."""
    accounts = sorted(a for a, (_, held) in positions.items() if held)
    names = sorted({name for a in accounts for name in positions[a][1]})
    place = {name: i for i, name in enumerate(names)}
    start, index, quantity = [0], list[int](), list[float]()
    for account in accounts:
        held = positions[account][1]
        for name in sorted(held):
            index.append(place[name])
            quantity.append(held[name])
        start.append(len(index))
    return Book(
        accounts=tuple(accounts),
        members=tuple(positions[a][0] for a in accounts),
        instruments=tuple(names),
        start=np.array(start, np.int64),
        instrument_index=np.array(index, np.int32),
        quantity=np.array(quantity, np.float64),
    )


def is_expired(name: str, snapshot: MarketSnapshot) -> bool:
    try:
        expiry = instrument_from_name(name).expiry
    except ValueError:
        return False
    return expiry is not None and expiry <= snapshot.time


def is_whole_lots(name: str, quantity: float) -> bool | None:
    """Return whether a quantity is a multiple of the default model's lot.

    None where it is not one exactly, but so close that the engine may take it for one.
    """
    item = instrument_from_name(name)
    in_usd = item.is_inverse and item.kind in (Kind.FUTURE, Kind.PERPETUAL)
    lots = Decimal(repr(quantity)) / (Decimal(10) if in_usd else Decimal("0.01"))
    rest = abs(lots - lots.to_integral_value())
    if rest == 0:
        return True
    return None if rest < _LOT_TOLERANCE * max(Decimal(1), abs(lots)).sqrt() else False


@dataclass(frozen=True)
class Expected:
    """What a book run must return."""

    book_id: str
    """Of all positions as held."""
    accounts: tuple[str, ...]
    """Accounts that can be margined, in order; one that holds nothing live has a margin of 0."""
    failed: frozenset[str]
    expired_positions: int
    result: MarginResult | None
    """Of the whole book; its rows are those of `accounts`."""
    digest: str
    """Empty if no account can be margined."""


class Engine:
    """The engine with a cache of markets and results."""

    def __init__(self, parameters: ModelParameters) -> None:
        self.parameters = parameters
        self._surfaces: OrderedDict[str, dict[str, VolatilitySurface]] = OrderedDict()
        self._faults: dict[tuple[str, str], str] = {}
        self._results: OrderedDict[tuple[str, str, str], MarginResult | MarginError] = OrderedDict()

    def surfaces(self, snapshot: MarketSnapshot) -> dict[str, VolatilitySurface]:
        found = self._surfaces.get(snapshot.id)
        if found is None:
            found = fit_model_surfaces(snapshot, self.parameters)
            self._surfaces[snapshot.id] = found
            if len(self._surfaces) > _KEPT_MARKETS:
                self._surfaces.popitem(last=False)
        return found

    def fault(self, snapshot: MarketSnapshot, name: str) -> str:
        """Return why a contract cannot be priced on a snapshot; empty if it can."""
        key = (snapshot.id, name)
        if key not in self._faults:
            try:
                prepare_market(
                    snapshot, self.parameters, names=[name], surfaces=self.surfaces(snapshot)
                )
                self._faults[key] = ""
            except MarginError as error:
                self._faults[key] = str(error)
        return self._faults[key]

    def margin(
        self, snapshot: MarketSnapshot, scenarios: ScenarioSet, book: Book
    ) -> MarginResult | MarginError:
        """Return the margins of a book, or the error that the engine raises."""
        key = (snapshot.id, scenarios.id, book.id)
        found = self._results.get(key)
        if found is None:
            try:
                found = calculate_margin(
                    snapshot,
                    scenarios,
                    book,
                    self.parameters,
                    surfaces=self.surfaces(snapshot),
                )
            except MarginError as error:
                found = error
            self._results[key] = found
            if len(self._results) > _KEPT_RESULTS:
                self._results.popitem(last=False)
        return found

    def live(self, snapshot: MarketSnapshot, held: Mapping[str, float]) -> dict[str, float]:
        """Return the positions that have not expired."""
        return {n: q for n, q in held.items() if not is_expired(n, snapshot)}

    def account(
        self,
        snapshot: MarketSnapshot,
        scenarios: ScenarioSet,
        account: str,
        member: str,
        held: Mapping[str, float],
    ) -> MarginResult | MarginError | None:
        """Return one account's margin, the engine's error, or None if nothing live is held."""
        live = self.live(snapshot, held)
        if not live:
            return None
        return self.margin(snapshot, scenarios, canonical_book({account: (member, live)}))

    def book(
        self, snapshot: MarketSnapshot, scenarios: ScenarioSet, positions: Holdings
    ) -> Expected:
        """Return what a run over all these accounts must return.

        Which accounts fail is decided account by account, and must be what the engine's own run
        over the whole book finds.
        """
        whole = canonical_book(positions)
        failed = {
            account
            for account in whole.accounts
            if isinstance(
                self.account(snapshot, scenarios, account, *positions[account]), MarginError
            )
        }
        expired = sum(is_expired(n, snapshot) for a in whole.accounts for n in positions[a][1])
        result = self.margin(snapshot, scenarios, whole)
        if isinstance(result, MarginError):
            if failed != set(whole.accounts):
                raise result
            return Expected(whole.id, (), frozenset(failed), expired, None, "")
        found = {failure.account_id for failure in result.failures}
        assert found == failed, f"the engine fails {found} in the book, {failed} alone"
        return Expected(
            book_id=whole.id,
            accounts=result.book.accounts,
            failed=frozenset(failed),
            expired_positions=expired,
            result=result,
            digest=result.digest,
        )
