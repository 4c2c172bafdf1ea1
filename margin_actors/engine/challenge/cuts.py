"""Cutting planes of the requirement: linear functions of a portfolio that do not exceed it.

By Rockafellar and Uryasev, expected shortfall is the minimum over z of

    z + E[max(0, loss - z)] / (1 - confidence),

and by duality the largest of the expected losses under probabilities that exceed those of the
sample by at most the factor 1 / (1 - confidence). Each of these probabilities gives a linear lower
bound, which is exact at the portfolios whose worst rows they select. A linear program therefore
needs no constraint per row: it begins without any and receives the bound of the worst rows of each
portfolio that it finds (cutting planes). At every stage its value is a lower bound.

References
----------
Rockafellar, R. T. and Uryasev, S. (2000), "Optimization of conditional value-at-risk", Journal of
Risk 2, theorem 1.
Künzi-Bay, A. and Mayer, J. (2006), "Computational aspects of minimizing conditional value-at-risk",
Computational Management Science 3, section 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.challenge.board import Board
from margin_actors.engine.challenge.portfolios import Portfolio, book_of
from margin_actors.engine.measures import tail_shares
from margin_actors.engine.scenarios import CORE, LONG, STRESS_PERIOD

EXTENDED = "extended"
"""Section of extended rows, whose loss times its share is charged if the model enables them."""
_EXTENDED_CUTS = 3
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class MeasuredSection:
    """A section over which the model requires at least expected shortfall."""

    first: int
    """First row of the section in the scenario set."""
    count: int
    confidence: float
    weight: FloatArray | None
    """float64 (count,): probabilities of the rows; None if all are equal."""


@dataclass(frozen=True)
class LowerModel:
    """A convex lower bound on the requirement of a portfolio: the largest of its cuts, plus costs.

    The bound holds if `is_bound` is true; otherwise the cuts only guide the search, because the
    requirement of the model is not bounded below by expected shortfall.
    """

    board: Board
    sections: tuple[MeasuredSection, ...]
    extended: slice | None
    """Rows of the extended section; None if the model does not charge them."""
    cost_usd: FloatArray
    """float64 (2, n_contracts): charge per lot of long and of short positions, US dollars."""
    is_bound: bool

    def cuts(self, lots: FloatArray, above_usd: float) -> list[FloatArray]:
        """Return the cuts that a portfolio violates.

        Parameters
        ----------
        lots : float64 (n_contracts,)
            Positions, lots.
        above_usd : float
            Current value of the bound without costs, US dollars. Cuts that are not larger are left
            out; minus infinity for all cuts.

        Returns
        -------
        list of float64 (n_contracts,)
            US dollars per lot; a cut's value is its product with the positions.
        """
        profit = self.board.profits_usd(lots)
        smallest = above_usd
        if np.isfinite(above_usd):
            smallest += _TOLERANCE * max(abs(above_usd), 1.0)
        found: list[FloatArray] = []
        for item in self.sections:
            rows, share = tail_shares(
                profit[item.first : item.first + item.count],
                confidence=item.confidence,
                weight=item.weight,
            )
            rows = rows + item.first
            if -float(share @ profit[rows]) > smallest:
                found.append(-self.board.weighted_profits_usd(rows, share))
        return found + self._extended_cuts(profit, smallest)

    def _extended_cuts(self, profit: FloatArray, smallest: float) -> list[FloatArray]:
        """Return the cuts of the extended rows with the largest counted losses above a value."""
        if self.extended is None:
            return []
        scenarios = self.board.priced.scenarios
        share = np.ones(len(scenarios)) if scenarios.loss_share is None else scenarios.loss_share
        counted = -(profit * share)[self.extended]
        worst = np.argsort(-counted, kind="stable")[:_EXTENDED_CUTS]
        rows = [int(r) + self.extended.start for r in worst if counted[r] > smallest]
        return [-self.board.weighted_profits_usd(np.array([r]), share[[r]]) for r in rows]


def lower_model(board: Board) -> LowerModel:
    """Return the lower bound on the requirement that a board's model implies.

    A requirement is at least expected shortfall over the core, over the long lookback and over the
    stress period if these are floors, and at least each extended loss times its share; to this the
    liquidity charge is added, without any offset between long and short positions.
    """
    model, scenarios = board.priced.market.model, board.priced.scenarios
    sample, tools = board.priced.sample, model.procyclicality
    core = scenarios.section(CORE)
    sections = [MeasuredSection(core.first, core.count, sample.confidence, sample.weight)]
    is_es = model.measure.core == "es"
    names = scenarios.section_names
    if is_es and tools.long_floor.enabled and LONG in names:
        item = scenarios.section(LONG)
        sections.append(MeasuredSection(item.first, item.count, sample.confidence, None))
    confidence = scenarios.calibration.stress_confidence
    if is_es and tools.stress_period.floor and STRESS_PERIOD in names and confidence is not None:
        item = scenarios.section(STRESS_PERIOD)
        sections.append(MeasuredSection(item.first, item.count, confidence, None))
    has_floor = model.tails.extended_moves.enabled and EXTENDED in names
    return LowerModel(
        board=board,
        sections=tuple(sections),
        extended=scenarios.section(EXTENDED).rows if has_floor else None,
        cost_usd=_liquidity_costs(board),
        is_bound=is_es and sample.n_samples == 1,
    )


def _liquidity_costs(board: Board) -> FloatArray:
    """Return the smallest liquidity charge per lot, long and short, (2, n_contracts), US dollars.

    It is the charge of one lot alone, times the share that remains after the largest offset.
    """
    costs = np.zeros((2, len(board)))
    name, rules = "liquidity", board.priced.market.model.addons.liquidity
    singles: Sequence[Portfolio] = [
        Portfolio("single", "", np.array([c]), np.array([side]))
        for side in (1.0, -1.0)
        for c in board.held.tolist()
    ]
    if not rules.enabled or not singles:
        return costs
    margins = board.priced.margins(book_of(board, singles))
    costs[:, board.held] = margins.component_usd(name).reshape(2, -1) * (1.0 - rules.offset_share)
    return costs
