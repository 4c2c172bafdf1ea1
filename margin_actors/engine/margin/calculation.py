"""Initial margin of every account of a book, from a market snapshot and a scenario set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.margin.chain_gates import quarantine_faults, screened_snapshot
from margin_actors.engine.margin.cube_slice import CubeSlice, price_own_slice
from margin_actors.engine.margin.eligibility import (
    TOO_LARGE,
    BookAssessment,
    assess_unpriced_book,
    unmoved_instruments,
)
from margin_actors.engine.margin.failures import AccountFailure
from margin_actors.engine.margin.margins import Margins, concatenate_margins, result_digest
from margin_actors.engine.margin.pnl import alternative_pnl, book_pnl, slice_pnl
from margin_actors.engine.margin.preparation import prepare_book, prepare_inputs
from margin_actors.engine.margin.prepared_book import PreparedBook
from margin_actors.engine.margin.prepared_market import (
    PreparedMarket,
    fit_smiles,
    model_faults,
    prepare_market,
)
from margin_actors.engine.margin.requirement.summation import requirements
from margin_actors.engine.margin.risk_inputs import RiskInputs
from margin_actors.engine.measures import Attribution, attribute
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.revaluation import (
    RiskCube,
    ShockCheck,
    contracts_from_names,
    listed_names,
    of_accounts,
)
from margin_actors.engine.scenarios import CORE, ScenarioSet
from margin_actors.errors import (
    InvalidPortfolio,
    InvalidScenario,
    Location,
    MarginError,
    MissingMarketData,
    Problem,
    raise_if_any,
)
from margin_actors.market.books import Book
from margin_actors.market.chain_quality import ChainFinding
from margin_actors.market.instruments import has_expired
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.surfaces import VolatilitySurface

PROFIT_BYTES_MAX = 512 * 2**20
"""Most bytes of profits held at once when an account's profit in every scenario is needed."""


@dataclass(frozen=True, kw_only=True)
class MarginResult:
    """Margins of all accounts of a book that can be margined, with the calculation's inputs."""

    margins: Margins
    """Margins in the order of `book.accounts`."""
    book: Book
    """The margined accounts, in the order of the results, with their unexpired positions."""
    assessment: BookAssessment
    """The whole book, the accounts that could not be margined, and the expired positions."""
    snapshot_id: str
    scenarios_id: str
    model_id: str
    surface_ids: tuple[str, ...]
    shock_checks: tuple[ShockCheck, ...]
    """Arbitrage found in the shocked surfaces and repaired, by underlying."""
    pnl_usd: FloatArray | None
    """float64 (n_accounts, n_scenarios): profit in every row of the scenario set; None unless
    requested with `keep_pnl`."""
    cube: RiskCube
    """Prices of the contracts of `market` over all rows of the scenario set."""
    market: PreparedMarket
    risk_inputs: RiskInputs

    @property
    def failures(self) -> tuple[AccountFailure, ...]:
        """Accounts that could not be margined, ordered by account id."""
        return self.assessment.failures

    @property
    def findings(self) -> tuple[ChainFinding, ...]:
        """Findings on the option chain: failed quality gates, and expiries without a smile."""
        return self.market.findings

    def complete(self) -> "MarginResult":
        """Return this result unchanged if every account of the book was margined.

        Raises
        ------
        InvalidPortfolio
            If some account could not be margined; names all of them.
        """
        problems = [
            Problem(f"account {failure.account_id}", problem.description)
            for failure in self.failures
            for problem in failure.problems
        ]
        raise_if_any(problems, InvalidPortfolio, "some accounts cannot be margined")
        return self

    @cached_property
    def digest(self) -> str:
        """Hash of the bits of every account's result; independent of machine and sharding."""
        return result_digest(
            self.margins,
            snapshot_id=self.snapshot_id,
            scenarios_id=self.scenarios_id,
            model_id=self.model_id,
            book_id=self.assessment.book_id,
            failures=self.failures,
        )


def calculate_margin(
    snapshot: MarketSnapshot,
    scenarios: ScenarioSet,
    book: Book,
    model: ModelParameters,
    *,
    surfaces: dict[str, VolatilitySurface] | None = None,
    others: Book | None = None,
    keep_pnl: bool = False,
    threads: int = 1,
    expired_days_max: float | None = None,
) -> MarginResult:
    """Return the initial margin of every account of a book that can be margined.

    An account with a position that cannot be priced, for example in an expiry that the model's
    quality gates quarantine, is listed in the result's `failures`; other accounts are not affected.
    Expired positions are removed and listed in its `assessment`.

    Parameters
    ----------
    snapshot, scenarios, book, model
        The inputs that determine the result.
    surfaces : dict of VolatilitySurface by underlying, optional
        The model's smiles if already fitted to the snapshot; fitted here by default.
    others : Book, optional
        Further accounts of the book's members, which are not margined; see `assess_book`.
    keep_pnl : bool
        Return every account's profit in every scenario as `pnl_usd`.
    threads : int
        Number of threads; the result is the same, bit for bit, for any number.
    expired_days_max : float, optional
        Accounts with a position that expired more days ago are among the failures, because its
        expiry is likely to be mistyped; by default every expired position is removed.

    Raises
    ------
    InvalidPortfolio, MissingMarketData, InvalidScenario
        If no account can be margined; names every problem at once. InvalidScenario also if the
        scenario set lacks a section that the model needs, MissingMarketData also if no smile
        can be fitted.
    InvalidParameters
        As `scan_ranges`, if the core is SPAN or hybrid.
    """
    _require_positions(book)
    snapshot = screened_snapshot(snapshot, model)
    smiles = fit_smiles(snapshot, model, surfaces=surfaces)
    assessment = assess_unpriced_book(
        book, snapshot, scenarios, model, smiles, others, expired_days_max=expired_days_max
    )
    _require_accounts(assessment, snapshot, scenarios, model, smiles)
    own = smiles[model.revaluation.smile]
    # If every position has expired, the market still needs at least one contract.
    names = assessment.book.instruments or listed_names(snapshot, own, model.revaluation)[:1]
    market = prepare_market(snapshot, model, names=names, smiles=smiles)
    # Alternatives are priced and summed one at a time, in one buffer: `alternative_pnl`.
    n_core = scenarios.section(CORE).count
    priced = price_own_slice(market, scenarios, 0, n_core=n_core, threads=threads)
    margin = partial(margin_from_slice, market, priced, scenarios, keep_pnl=keep_pnl)
    return _without_too_large(partial(margin, threads=threads), assessment)


def _require_positions(book: Book) -> None:
    """Raise InvalidPortfolio if a book contains no positions."""
    if book.n_positions == 0:
        empty = Problem(Location("book"), "the book is empty", "add positions")
        raise InvalidPortfolio("the book contains no positions", [empty])


def _without_too_large(
    margin: Callable[[BookAssessment], MarginResult], assessment: BookAssessment
) -> MarginResult:
    """Return `margin` of the assessed book, without the accounts that turn out to be too large.

    Raises
    ------
    InvalidPortfolio
        If every account is too large to be summed exactly.
    """
    while True:
        try:
            return margin(assessment)
        except InvalidPortfolio as error:
            if not error.too_large:
                raise
            assessment = assessment.excluding(error.too_large, TOO_LARGE)
            if not assessment.book.accounts:
                raise


def _require_accounts(
    assessment: BookAssessment,
    snapshot: MarketSnapshot,
    scenarios: ScenarioSet,
    model: ModelParameters,
    smiles: Mapping[str, Mapping[str, VolatilitySurface]],
) -> None:
    """Raise an error that names every problem of the book if no account can be margined."""
    if assessment.book.accounts:
        return
    live = [n for n in assessment.held.instruments if not has_expired(n, snapshot.time)]
    unpriced = model_faults(live, snapshot, model, smiles)
    unmoved = unmoved_instruments(live, unpriced, scenarios)
    kind: type[MarginError] = InvalidScenario if unmoved else InvalidPortfolio
    problems = [replace(fault, location=Location("book")) for fault in unmoved.values()]
    quarantined = quarantine_faults(live, snapshot)
    if quarantined and not unmoved:
        kind = MissingMarketData
    problems += [replace(fault, location=Location("book")) for fault in quarantined.values()]
    try:
        own = smiles[model.revaluation.smile]
        names = [name for name in live if name not in unmoved and name not in quarantined]
        contracts_from_names(names, snapshot, own, model.revaluation)
    except MarginError as error:
        kind, problems = type(error), [*error.problems, *problems]
    problems += [
        Problem(Location("book", failure.account_id), problem.description)
        for failure in assessment.failures
        for problem in failure.problems
        if problem.instrument_name not in unpriced and problem.instrument_name not in unmoved
    ]
    raise_if_any(problems, kind, "no account of the book can be margined")


def margin_from_slice(
    market: PreparedMarket,
    priced: CubeSlice,
    scenarios: ScenarioSet,
    assessment: BookAssessment,
    *,
    keep_pnl: bool = False,
    threads: int = 1,
) -> MarginResult:
    """Return the margins of an assessed book from prices that are already computed.

    Parameters
    ----------
    market : PreparedMarket
        With at least the book's instruments.
    priced : CubeSlice
        The market's prices over all rows of `scenarios`; alternatives in it are ignored.
    scenarios : ScenarioSet
    assessment : BookAssessment
        Its `book` is margined.
    keep_pnl, threads
        As in `calculate_margin`.

    Raises
    ------
    InvalidPortfolio
        If accounts are too large to be summed exactly; names all of them.
    InvalidScenario
        If the scenario set lacks a section that the model needs.
    """
    inputs = prepare_inputs(market, scenarios)
    whole = prepare_book(market, assessment.book, inputs, assessment.others)
    others = alternative_pnl(market, scenarios.core, priced.cube, whole, threads=threads)
    margins: list[Margins] = []
    profits: list[FloatArray] = []
    for first, last in _batches(whole):
        book = whole.select(first, last)
        pnl = slice_pnl(priced, book, keep_pnl=keep_pnl, threads=threads)
        own_others = tuple((label, of_accounts(p, first, last)) for label, p in others)
        found = book_pnl([replace(pnl, alternatives=own_others)], book)
        margins.append(requirements(found, book))
        if keep_pnl and found.accounts.pnl_usd is not None:
            profits.append(found.accounts.pnl_usd)
    return MarginResult(
        margins=margins[0] if len(margins) == 1 else concatenate_margins(margins),
        book=assessment.book,
        assessment=assessment,
        snapshot_id=market.snapshot.id,
        scenarios_id=scenarios.id,
        model_id=market.model.id,
        surface_ids=market.surface_ids,
        shock_checks=priced.checks,
        pnl_usd=np.concatenate(profits) if profits else None,
        cube=priced.cube,
        market=market,
        risk_inputs=inputs,
    )


def _batches(book: PreparedBook) -> list[tuple[int, int]]:
    """Return ranges [first, last) of accounts whose kept profits fit into PROFIT_BYTES_MAX."""
    n, sample = book.holdings.n_accounts, book.inputs.sample
    if not sample.needs_all:
        return [(0, n)]
    step = max(1, PROFIT_BYTES_MAX // (8 * sample.n_rows))
    return [(first, min(first + step, n)) for first in range(0, n, step)]


def attribute_account(result: MarginResult, account: int) -> Attribution:
    """Return what each position of one account contributes to its VaR and ES.

    The measures are those of all core rows with their weights, pooled even if the model averages
    over sub-samples. `account` is the index of the account in `result.book`; the arrays of the
    attribution follow the order of the account's positions.
    """
    book, cube, sample = result.book, result.cube, result.risk_inputs.sample
    listing = result.market.contracts
    held = slice(int(book.start[account]), int(book.start[account + 1]))
    index, quantity = book.instrument_index[held], book.quantity[held]
    # The cube may have more contracts than the book, for example those of an excluded account.
    contracts = [listing.place[book.instruments[i]] for i in index.tolist()]
    rows = np.array(
        [q * cube.profits_usd(listing, c) for c, q in zip(contracts, quantity, strict=True)]
    )
    return attribute(
        rows[:, : sample.n_scenarios],
        quantity,
        confidence=sample.confidence,
        weight=sample.weight,
    )
