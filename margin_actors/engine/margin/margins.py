"""Margins of accounts as arrays.

The functions of this module depend on profits alone, not on whether these were computed from one
cube in one process or from slices revalued by many: equal profits give equal results, bit for bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IndexArray, IntArray
from margin_actors.engine.margin.failures import AccountFailure, failures_content
from margin_actors.engine.margin.parts import NO_INPUTS, PartInputs, join_inputs
from margin_actors.engine.measures import (
    es_from_tail,
    expected_shortfall,
    tail_size,
    value_at_risk,
    var_from_tail,
)
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.revaluation import AccountProfits
from margin_actors.engine.scenarios import CORE, ScenarioSet
from margin_actors.market.identity import content_id


@dataclass(frozen=True)
class Sample:
    """Properties of a scenario set that the risk measures need; its core rows come first."""

    n_scenarios: int
    """Number of core rows."""
    effective_size: float
    """Number of core windows that do not overlap."""
    weight: FloatArray | None
    """float64 (n_scenarios,): probabilities that sum to 1; None if all are equal."""
    confidence: float
    n_samples: int
    """Number of sub-samples over which the measures are averaged; 1 for one pooled sample."""
    n_rows: int
    """Number of rows of the whole set."""

    @property
    def n_tail(self) -> int:
        """Number of an account's worst core scenarios that the measures need."""
        return tail_size(self.n_scenarios, self.confidence, self.effective_size)

    @property
    def core_needs_all(self) -> bool:
        """True if the measures need all core rows: rows are weighted, or there are sub-samples."""
        return self.weight is not None or self.n_samples > 1

    @property
    def needs_all(self) -> bool:
        """True if profits in all rows are needed: `core_needs_all`, or sections beyond the core."""
        return self.core_needs_all or self.n_rows > self.n_scenarios


def sample_of(scenarios: ScenarioSet, parameters: ModelParameters) -> Sample:
    """Return the properties of a scenario set that the model's measures need."""
    core = scenarios.section(CORE)
    assert core.first == 0
    weight = scenarios.weight[core.rows]
    is_weighted = bool(np.any(weight != weight[0]))
    n_samples = 1
    if parameters.measure.overlap == "mean_of_sub_samples":
        n_samples = round(parameters.horizon_hours_total / parameters.scenarios.step_hours)
    return Sample(
        n_scenarios=core.count,
        effective_size=scenarios.effective_size,
        weight=weight if is_weighted else None,
        confidence=parameters.measure.confidence,
        n_samples=n_samples,
        n_rows=len(scenarios),
    )


@dataclass(frozen=True, kw_only=True)
class Margins:
    """Margins of n_accounts accounts.

    Unless stated otherwise, arrays are float64 (n_accounts,) in US dollars and losses are positive.
    Amounts that the model does not require are NaN, scenario numbers -1.
    """

    positions: IntArray
    """int64: number of positions."""
    value_usd: FloatArray
    """Value of options and spot; 0 for futures and perpetuals, which are settled daily."""
    var_usd: FloatArray
    """Value at risk of the core rows."""
    var_low_usd: FloatArray
    """Lower end of the 95 % confidence interval of VaR."""
    var_high_usd: FloatArray
    """Upper end of the interval."""
    es_usd: FloatArray
    """Expected shortfall of the core rows."""
    es_standard_error_usd: FloatArray
    worst_usd: FloatArray
    """Loss in the worst scenario of the core."""
    worst_scenario: IndexArray
    """int32: row of that scenario in the set."""
    undiversified_usd: FloatArray
    """Sum over underlyings of ES if the core is ES, else of VaR, each at least 0."""
    span_usd: FloatArray
    """SPAN requirement."""
    venue_grid_usd: FloatArray
    """Requirement of the venue grid."""
    long_usd: FloatArray
    """Measure over the long lookback: ES if the core is ES, else VaR."""
    stress_period_usd: FloatArray
    """The same measure over the stress days, at the scenario set's confidence for them."""
    stress_usd: FloatArray
    """Largest loss in the rows of the stress section, at least 0."""
    stress_scenario: IndexArray
    """int32: row of that loss in the scenario set."""
    core_usd: FloatArray
    """The core measure that the model selects, at least 0."""
    parts_usd: FloatArray
    """float64 (n_accounts, len(PARTS)): requirement components; they sum to the requirement."""
    initial_margin_usd: FloatArray
    """The requirement."""
    rounding_bound_usd: FloatArray
    """Bound on the effect of rounding to ticks on any of an account's profits."""
    tail_usd: FloatArray
    """float64 (n_accounts, n_tail): least profits of the core rows, ascending."""
    tail_scenario: IndexArray
    """int32 (n_accounts, n_tail): rows of these profits in the set."""
    inputs: PartInputs = NO_INPUTS
    """Figures from which each requirement component can be recomputed."""


MARGIN_FIELDS: tuple[str, ...] = tuple(f.name for f in fields(Margins) if f.name != "inputs")


def measures_of(profits: AccountProfits, sample: Sample) -> tuple[FloatArray, FloatArray]:
    """Return (VaR, ES) of the core rows, each (n_accounts,), US dollars; a loss is positive."""
    if sample.core_needs_all:
        assert profits.pnl_usd is not None
        return _mean_over_samples(profits.pnl_usd[:, : sample.n_scenarios], sample)
    tail, n = profits.tail_usd, sample.n_scenarios
    return (
        var_from_tail(tail, n_scenarios=n, confidence=sample.confidence),
        es_from_tail(tail, n_scenarios=n, confidence=sample.confidence),
    )


def _mean_over_samples(pnl_usd: FloatArray, sample: Sample) -> tuple[FloatArray, FloatArray]:
    """Return (VaR, ES) averaged over the sub-samples of every n_samples-th scenario."""
    var, es = np.zeros(pnl_usd.shape[0]), np.zeros(pnl_usd.shape[0])
    step = sample.n_samples
    for start in range(step):
        part = pnl_usd[:, start::step]
        share = None
        if sample.weight is not None:
            share = sample.weight[start::step] / sample.weight[start::step].sum()
        var += value_at_risk(part, confidence=sample.confidence, weight=share) / step
        es += expected_shortfall(part, confidence=sample.confidence, weight=share) / step
    return var, es


def position_sums(
    per_unit: FloatArray, start: IntArray, index: IndexArray, quantity: FloatArray
) -> FloatArray:
    """Return the sum of quantity * per_unit over each account's positions, in their order.

    Parameters
    ----------
    per_unit : float64 (n_contracts,)
        Amount for one unit of each contract, in any currency.
    start : int64 (n_accounts + 1,)
        Account a owns positions start[a] to start[a + 1].
    index : int32 (n_positions,)
        Contract of each position.
    quantity : float64 (n_positions,)
        Units; long is positive.

    Returns
    -------
    float64 (n_accounts,)
        In the currency of `per_unit`.
    """
    n_accounts = start.size - 1
    account = np.repeat(np.arange(n_accounts), np.diff(start))
    summed = np.bincount(account, weights=quantity * per_unit[index], minlength=n_accounts)
    return summed.astype(np.float64)


def select_margins(margins: Margins, chosen: IntArray | BoolArray) -> Margins:
    """Return the margins of the chosen accounts.

    `chosen` is either an int64 array of account indices, whose order is kept, or a bool mask of
    shape (n_accounts,).
    """
    places = np.arange(margins.positions.size)[chosen]
    inputs = [(place, margins.inputs.of(int(a))) for place, a in enumerate(places)]
    return Margins(
        **{name: getattr(margins, name)[chosen] for name in MARGIN_FIELDS},
        inputs=join_inputs(inputs) if len(margins.inputs) else NO_INPUTS,
    )


def concatenate_margins(parts: Sequence[Margins]) -> Margins:
    """Return the margins of all accounts of `parts`, one after another."""
    firsts = np.cumsum([0, *(p.positions.size for p in parts)])
    inputs = [(int(first), p.inputs) for first, p in zip(firsts, parts, strict=False)]
    return Margins(
        **{name: np.concatenate([getattr(p, name) for p in parts]) for name in MARGIN_FIELDS},
        inputs=join_inputs(inputs),
    )


def result_digest(
    margins: Margins,
    *,
    snapshot_id: str,
    scenarios_id: str,
    model_id: str,
    book_id: str,
    failures: Sequence[AccountFailure] = (),
) -> str:
    """Return a hash of the bits of every account's result; it does not depend on the machine.

    Parameters
    ----------
    margins : Margins
        Margins of the accounts that were margined.
    snapshot_id, scenarios_id, model_id, book_id : str
        Content ids of the inputs; `book_id` is that of the whole book, failures included.
    failures : sequence of AccountFailure
        Accounts that could not be margined; if empty, only the margins are hashed.
    """
    margined = content_id(
        "result",
        {
            "inputs": [snapshot_id, scenarios_id, model_id, book_id],
            "arrays": [
                margins.value_usd,
                margins.var_usd,
                margins.es_usd,
                margins.worst_usd,
                margins.worst_scenario,
                margins.parts_usd,
                margins.initial_margin_usd,
            ],
        },
    )
    if not failures:
        return margined
    return content_id("result", {"margined": margined, "failures": failures_content(failures)})
