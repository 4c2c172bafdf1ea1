"""The properties of a scenario set that the risk measures need, and the measures of accounts."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from margin_actors.arrays import FloatArray
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

    @cached_property
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


def sample_of(scenarios: ScenarioSet, model: ModelParameters) -> Sample:
    """Return the properties of a scenario set that the model's measures need."""
    core = scenarios.section(CORE)
    assert core.first == 0
    weight = scenarios.weight[core.rows]
    is_weighted = bool(np.any(weight != weight[0]))
    n_samples = 1
    if model.measure.overlap == "mean_of_sub_samples":
        n_samples = round(model.horizon_hours_total / model.scenarios.step_hours)
    return Sample(
        n_scenarios=core.count,
        effective_size=scenarios.effective_size,
        weight=weight if is_weighted else None,
        confidence=model.measure.confidence,
        n_samples=n_samples,
        n_rows=len(scenarios),
    )


def measures_of(profits: AccountProfits, sample: Sample) -> tuple[FloatArray, FloatArray]:
    """Return (VaR, ES) of the core rows, each (n_accounts,), US dollars; a loss is positive."""
    if sample.core_needs_all:
        assert profits.pnl_usd is not None
        return measures_over(profits.pnl_usd[:, : sample.n_scenarios], sample)
    tail, n = profits.tail_usd, sample.n_scenarios
    return (
        var_from_tail(tail, n_scenarios=n, confidence=sample.confidence),
        es_from_tail(tail, n_scenarios=n, confidence=sample.confidence),
    )


def measures_over(pnl_usd: FloatArray, sample: Sample) -> tuple[FloatArray, FloatArray]:
    """Return (VaR, ES), each float64 (n_accounts,), US dollars; a loss is positive.

    They are averaged over the sub-samples of every n_samples-th scenario.

    Parameters
    ----------
    pnl_usd : float64 (n_accounts, n_scenarios), US dollars
        Profits in all core rows; a profit is positive.
    sample : Sample
        Confidence level, weights and number of sub-samples.
    """
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
