"""Margins of accounts as arrays.

Nothing here knows where the profits came from: one cube in one process, or slices that were
revalued by many. The same profits give the same bits.
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
    """What the measures need to know of a scenario set; its core rows come first."""

    n_scenarios: int
    """Rows of the core."""
    effective_size: float
    """Windows that do not overlap."""
    weight: FloatArray | None
    """float64 (n_scenarios,); None where all weigh the same."""
    confidence: float
    n_samples: int
    """Sub-samples over whose measures the mean is taken; 1 for one sample of all."""
    n_rows: int
    """Rows of the whole set."""

    @property
    def n_tail(self) -> int:
        """How many of an account's worst scenarios the measures need."""
        return tail_size(self.n_scenarios, self.confidence, self.effective_size)

    @property
    def core_needs_all(self) -> bool:
        """True where the worst few do not do: weights, or each sub-sample, choose their own."""
        return self.weight is not None or self.n_samples > 1

    @property
    def needs_all(self) -> bool:
        """True where an account's profit in every row is needed: other sections follow the core."""
        return self.core_needs_all or self.n_rows > self.n_scenarios


def sample_of(scenarios: ScenarioSet, parameters: ModelParameters) -> Sample:
    """Return what the model's measures need to know of a scenario set."""
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
    """Margins of n_accounts accounts; arrays of shape (n_accounts,), US dollars.

    What the model does not ask for is NaN (or -1, for places).
    """

    positions: IntArray
    """int64: number of positions."""
    value_usd: FloatArray
    """Value of options and spot; futures and perpetuals are paid daily."""
    var_usd: FloatArray
    """A loss is positive."""
    var_low_usd: FloatArray
    """Lower end of VaR's 95 % interval."""
    var_high_usd: FloatArray
    es_usd: FloatArray
    es_standard_error_usd: FloatArray
    worst_usd: FloatArray
    """Loss in the worst scenario of the core."""
    worst_scenario: IndexArray
    undiversified_usd: FloatArray
    """Sum over underlyings of the measure that the core is."""
    span_usd: FloatArray
    venue_grid_usd: FloatArray
    long_usd: FloatArray
    """The measure over the long lookback."""
    stress_period_usd: FloatArray
    """The measure over the stress days."""
    stress_usd: FloatArray
    """Largest loss in the stress rows, at least 0."""
    stress_scenario: IndexArray
    """Its row in the scenario set."""
    core_usd: FloatArray
    """The measure that the model names as core; not below 0."""
    parts_usd: FloatArray
    """(n_accounts, n_parts): see PARTS; adds up to the requirement."""
    initial_margin_usd: FloatArray
    rounding_bound_usd: FloatArray
    """Most that rounding to ticks can have moved any of an account's profits."""
    tail_usd: FloatArray
    """(n_accounts, n_tail): worst profits of the core, ascending."""
    tail_scenario: IndexArray
    inputs: PartInputs = NO_INPUTS
    """Figures from which each part can be recomputed."""


MARGIN_FIELDS: tuple[str, ...] = tuple(f.name for f in fields(Margins) if f.name != "inputs")


def measures_of(profits: AccountProfits, sample: Sample) -> tuple[FloatArray, FloatArray]:
    """Return (VaR, ES) of the core rows."""
    if sample.core_needs_all:
        assert profits.pnl_usd is not None
        return _mean_over_samples(profits.pnl_usd[:, : sample.n_scenarios], sample)
    tail, n = profits.tail_usd, sample.n_scenarios
    return (
        var_from_tail(tail, n_scenarios=n, confidence=sample.confidence),
        es_from_tail(tail, n_scenarios=n, confidence=sample.confidence),
    )


def _mean_over_samples(pnl_usd: FloatArray, sample: Sample) -> tuple[FloatArray, FloatArray]:
    """Return (VaR, ES), the mean over every n_samples-th scenario from each start."""
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
    """Return the sum of quantity x per_unit of each account, in the order of its positions."""
    n_accounts = start.size - 1
    account = np.repeat(np.arange(n_accounts), np.diff(start))
    summed = np.bincount(account, weights=quantity * per_unit[index], minlength=n_accounts)
    return summed.astype(np.float64)


def select_margins(margins: Margins, chosen: IntArray | BoolArray) -> Margins:
    """Return the margins of some accounts, in the order chosen."""
    places = np.arange(margins.positions.size)[chosen]
    inputs = [(place, margins.inputs.of(int(a))) for place, a in enumerate(places)]
    return Margins(
        **{name: getattr(margins, name)[chosen] for name in MARGIN_FIELDS},
        inputs=join_inputs(inputs) if len(margins.inputs) else NO_INPUTS,
    )


def concatenate_margins(parts: Sequence[Margins]) -> Margins:
    """Return the margins of all accounts of the parts, in their order."""
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
    """Return the hash of every account's result to the bit, whatever machine made it.

    Parameters
    ----------
    margins : Margins
        Of the accounts that were margined.
    snapshot_id, scenarios_id, model_id, book_id : str
        Ids of the inputs; the book's is that of the whole book as held.
    failures : sequence of AccountFailure
        Accounts that could not be margined. Without any, the digest is that of the margins alone.
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
