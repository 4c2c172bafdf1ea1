"""Margins of accounts as arrays, computed from their worst profits.

Nothing here knows where the profits came from: one cube in one process, or slices that were
revalued by many. The same profits give the same bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IndexArray, IntArray
from margin_actors.engine.measures import (
    es_from_tail,
    es_standard_error_from_tail,
    expected_shortfall,
    tail_size,
    value_at_risk,
    var_from_tail,
    var_interval_from_tail,
)
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.revaluation import AccountProfits
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.identity import content_id


@dataclass(frozen=True)
class Sample:
    """What the measures need to know of a scenario set."""

    n_scenarios: int
    effective_size: float
    """Windows that do not overlap."""
    weight: FloatArray | None
    """float64 (n_scenarios,); None where all weigh the same."""
    confidence: float
    n_samples: int
    """Sub-samples over whose measures the mean is taken; 1 for one sample of all."""

    @property
    def n_tail(self) -> int:
        """How many of an account's worst scenarios the measures need."""
        return tail_size(self.n_scenarios, self.confidence, self.effective_size)

    @property
    def needs_all(self) -> bool:
        """True where the worst few do not do: weights, or each sub-sample, choose their own."""
        return self.weight is not None or self.n_samples > 1


def sample_of(scenarios: ScenarioSet, parameters: ModelParameters) -> Sample:
    """Return what the model's measures need to know of a scenario set."""
    is_weighted = bool(np.any(scenarios.weight != scenarios.weight[0]))
    n_samples = 1
    if parameters.measure.overlap == "mean_of_sub_samples":
        n_samples = round(parameters.horizon_hours_total / parameters.scenarios.step_hours)
    return Sample(
        n_scenarios=len(scenarios),
        effective_size=scenarios.effective_size,
        weight=scenarios.weight if is_weighted else None,
        confidence=parameters.measure.confidence,
        n_samples=n_samples,
    )


@dataclass(frozen=True, kw_only=True)
class Margins:
    """Margins of n_accounts accounts; arrays of shape (n_accounts,), US dollars."""

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
    """Loss in the worst scenario."""
    worst_scenario: IndexArray
    core_usd: FloatArray
    """The measure that the model names as core; not below 0."""
    initial_margin_usd: FloatArray
    rounding_bound_usd: FloatArray
    """Most that rounding to ticks can have moved any of an account's profits."""
    tail_usd: FloatArray
    """(n_accounts, n_tail): worst profits, ascending."""
    tail_scenario: IndexArray


MARGIN_FIELDS: tuple[str, ...] = tuple(f.name for f in fields(Margins))


def margins_from_profits(
    profits: AccountProfits,
    sample: Sample,
    parameters: ModelParameters,
    *,
    positions: IntArray,
    value_usd: FloatArray,
) -> Margins:
    """Return the margins of accounts from their profits over all scenarios."""
    tail, n, confidence = profits.tail_usd, sample.n_scenarios, sample.confidence
    if sample.needs_all:
        assert profits.pnl_usd is not None
        var, es = _mean_over_samples(profits.pnl_usd, sample)
    else:
        var = var_from_tail(tail, n_scenarios=n, confidence=confidence)
        es = es_from_tail(tail, n_scenarios=n, confidence=confidence)
    low, high = var_interval_from_tail(
        tail, n_scenarios=n, confidence=confidence, effective_size=sample.effective_size
    )
    core = np.maximum(var if parameters.measure.core == "var" else es, 0.0)
    return Margins(
        positions=positions,
        value_usd=value_usd,
        var_usd=var,
        var_low_usd=low,
        var_high_usd=high,
        es_usd=es,
        es_standard_error_usd=es_standard_error_from_tail(
            tail, n_scenarios=n, confidence=confidence, effective_size=sample.effective_size
        ),
        worst_usd=-tail[:, 0],
        worst_scenario=profits.tail_scenario[:, 0].copy(),
        core_usd=core,
        initial_margin_usd=core.copy(),
        rounding_bound_usd=profits.rounding_bound_usd,
        tail_usd=tail,
        tail_scenario=profits.tail_scenario,
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


def select_margins(margins: Margins, chosen: IntArray | BoolArray | slice) -> Margins:
    """Return the margins of some accounts."""
    return Margins(**{name: getattr(margins, name)[chosen] for name in MARGIN_FIELDS})


def concatenate_margins(parts: Sequence[Margins]) -> Margins:
    """Return the margins of all accounts of the parts, in their order."""
    return Margins(
        **{name: np.concatenate([getattr(p, name) for p in parts]) for name in MARGIN_FIELDS}
    )


def result_digest(
    margins: Margins, *, snapshot_id: str, scenarios_id: str, model_id: str, book_id: str
) -> str:
    """Return the hash of every account's result to the bit, whatever machine made it."""
    return content_id(
        "result",
        {
            "inputs": [snapshot_id, scenarios_id, model_id, book_id],
            "arrays": [
                margins.value_usd,
                margins.var_usd,
                margins.es_usd,
                margins.worst_usd,
                margins.worst_scenario,
                margins.initial_margin_usd,
            ],
        },
    )
