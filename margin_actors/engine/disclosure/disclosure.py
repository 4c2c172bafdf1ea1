"""What members recompute requirements from: the market, the scenarios as used, the profits."""

from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray, IntArray
from margin_actors.engine.addons import BucketExposures, days_to_close
from margin_actors.engine.disclosure.repairs import RowRepairs, row_repairs
from margin_actors.engine.margin import (
    BookPnl,
    Margins,
    PreparedBook,
    PreparedMarket,
    RiskInputs,
    applied_scenarios,
    prepare_book,
    prepare_inputs,
    price_slice,
    requirements,
    slice_pnl,
)
from margin_actors.engine.pricing import TILE
from margin_actors.engine.revaluation import (
    AccountProfits,
    Holdings,
    RiskCube,
    anchor_factors,
    contracts_from_names,
    join_profits,
    slice_profits,
)
from margin_actors.engine.scenarios import CORE, ScenarioSet
from margin_actors.market.books import Book


@dataclass(frozen=True)
class Disclosure:
    """A market with its model and scenarios, and the margins of accounts with every profit."""

    market: PreparedMarket
    """All contracts that are listed or held."""
    inputs: RiskInputs
    """Risk inputs of these contracts."""
    scenarios: ScenarioSet
    """As built."""
    applied: ScenarioSet
    """As used: after the repair of rows that admit arbitrage."""
    repairs: RowRepairs
    book: Book
    """The accounts, without expired positions."""
    others: Book | None
    """Further accounts of their members, whose positions are not disclosed; None without any, or if
    the model does not measure size by member."""
    prepared: PreparedBook
    """The same positions in lots, with the position groups that components measure."""
    pnl: BookPnl
    """Profits in every row, those of groups and alternatives in every core row."""
    margins: Margins

    @property
    def anchors(self) -> dict[str, FloatArray]:
        """Factor on each smile at each contract of `market`, by smile model; NaN for no option."""
        found: dict[str, FloatArray] = {}
        for smile, surfaces in self.market.other_surfaces.items():
            rules = self.market.model.revaluation.model_copy(update={"smile": smile})
            names = self.market.contracts.names
            contracts = contracts_from_names(names, self.market.snapshot, surfaces, rules)
            found[smile] = anchor_factors(contracts, rules)
        return found

    @property
    def closed_per_day(self) -> tuple[FloatArray, FloatArray] | None:
        """Delta in coins and vega in US dollars per 1.00 of volatility that may be closed per day.

        Each float64 (n_underlyings, n_buckets), in the order of `inputs.risk.depth`; None if the
        model does not need market depth.
        """
        risk = self.inputs.risk
        if risk is None:
            return None
        shape = (1, len(risk.depth.underlyings), len(risk.depth.buckets))
        units = BucketExposures(*(np.ones(shape) for _ in range(6)))
        days = days_to_close(units, risk, self.market.model)
        return 1.0 / days.delta[0], 1.0 / days.vega[0]


def disclose(
    market: PreparedMarket, scenarios: ScenarioSet, book: Book, others: Book | None = None
) -> Disclosure:
    """Return everything from which the requirements of accounts can be recomputed.

    Parameters
    ----------
    market : PreparedMarket
        All listed contracts; contracts that are only held are added.
    scenarios : ScenarioSet
        As built.
    book : Book
        Accounts that can be margined, without expired positions.
    others : Book, optional
        Further accounts of the same members that can be margined, without expired positions. Used
        only if the model measures size by member.

    Raises
    ------
    InvalidPortfolio, MissingMarketData
        If an instrument cannot be priced; names all of them.
    InvalidScenario
        If the scenario set lacks a section that the model needs.
    """
    names = tuple(sorted({*market.contracts.names, *book.instruments}))
    listing = market if names == market.contracts.names else market.with_contracts(names)
    applied, _ = applied_scenarios(market, scenarios)
    is_checked = applied is not scenarios or market.model.revaluation.shocked_surfaces == "repair"
    if not market.model.addons.members.enabled:
        others = None
    prepared, pnl, margins = _profits_and_margins(market, scenarios, book, others)
    return Disclosure(
        market=listing,
        inputs=prepare_inputs(listing, scenarios),
        scenarios=scenarios,
        applied=applied,
        repairs=row_repairs(scenarios, applied, market.surfaces if is_checked else {}),
        book=book,
        others=others,
        prepared=prepared,
        pnl=pnl,
        margins=margins,
    )


def _profits_and_margins(
    market: PreparedMarket, scenarios: ScenarioSet, book: Book, others: Book | None
) -> tuple[PreparedBook, BookPnl, Margins]:
    """Return the book in its own contracts, its profits in every row, and its margins."""
    own = market.with_contracts(book.instruments or market.contracts.names[:1])
    inputs = prepare_inputs(own, scenarios)
    prepared = prepare_book(own, book, inputs, others)
    n_core = scenarios.section(CORE).count
    priced = price_slice(own, scenarios, 0, n_core=n_core)
    groups = None
    if prepared.groups is not None:
        owners = [book.accounts[owner] for owner in prepared.groups.owner.tolist()]
        groups = _kept(priced.cube, prepared.groups.holdings, n_core, inputs, owners)
    whole = slice_pnl(priced, prepared, keep_pnl=True).accounts
    pnl = BookPnl(
        join_profits([whole], prepared.holdings, tails=inputs.sample.tails, accounts=book.accounts),
        groups,
        tuple(
            (label, _kept(cube, prepared.holdings, n_core, inputs, book.accounts))
            for label, cube in priced.alternatives
        ),
    )
    return prepared, pnl, requirements(pnl, prepared)


def _kept(
    cube: RiskCube,
    holdings: Holdings,
    n_core: int,
    inputs: RiskInputs,
    names: list[str] | tuple[str, ...],
) -> AccountProfits:
    """Return profits over the core rows with the profit in every row; `names` are for messages."""
    profits = slice_profits(
        cube.values[: -(-n_core // TILE)],
        holdings,
        n_scenarios=n_core,
        tails=inputs.sample.tails[:1],
        largest_move=cube.largest_move,
        keep_pnl=True,
    )
    return join_profits([profits], holdings, tails=inputs.sample.tails[:1], accounts=names)


def group_labels(disclosure: Disclosure) -> tuple[list[str], list[str], IntArray]:
    """Return (kind, label, account) of each position group, in the order of its profits.

    The kind is ``underlying``, ``bucket`` or ``strike``; the account is an index, int64
    (n_groups,).
    """
    groups, risk = disclosure.prepared.groups, disclosure.prepared.inputs.risk
    if groups is None or risk is None:
        return [], [], np.empty(0, np.int64)
    tables = (risk.depth.underlyings, risk.depth.bucket_labels, risk.strike_names)
    names = ("underlying", "bucket", "strike")
    kinds = groups.kind.tolist()
    labels = [tables[kind][key] for kind, key in zip(kinds, groups.key.tolist(), strict=True)]
    return [names[kind] for kind in kinds], labels, groups.owner
