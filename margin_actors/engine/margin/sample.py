"""The properties of a scenario set that the risk measures need, and the measures of accounts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.measures import (
    es_from_tail,
    expected_shortfall,
    tail_count,
    tail_size,
    value_at_risk,
    var_from_tail,
)
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.revaluation import AccountProfits, TailRows
from margin_actors.engine.scenarios import CORE, EXTENDED, LONG, STRESS, STRESS_PERIOD, ScenarioSet


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
    section_tails: Mapping[str, TailRows] = field(default_factory=dict[str, TailRows])
    """Rows of each section besides the core, with the number of least profits that it needs."""
    all_profits: bool = False
    """True if a component needs the profits in all rows."""

    @cached_property
    def n_tail(self) -> int:
        """Number of an account's worst core scenarios that the measures need."""
        return tail_size(self.n_scenarios, self.confidence, self.effective_size)

    @cached_property
    def tails(self) -> tuple[TailRows, ...]:
        """Rows of the core and of the other sections, of which the least profits are kept."""
        core = TailRows(0, self.n_scenarios, self.n_tail)
        return (core, *self.section_tails.values())

    def tail_place(self, section: str) -> int | None:
        """Return the index in `tails` of a section besides the core; None if the set lacks it."""
        names = tuple(self.section_tails)
        return 1 + names.index(section) if section in names else None

    @property
    def core_needs_all(self) -> bool:
        """True if the measures need all core rows: rows are weighted, or there are sub-samples."""
        return self.weight is not None or self.n_samples > 1

    @property
    def needs_all(self) -> bool:
        """True if the measures or a component need the profits in all rows."""
        return self.core_needs_all or self.all_profits


def sample_of(
    scenarios: ScenarioSet, model: ModelParameters, *, all_profits: bool = False
) -> Sample:
    """Return the properties of a scenario set that the model's measures need.

    `all_profits` states that a component of the model needs the profits in all rows.
    """
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
        section_tails=_section_tails(scenarios, model.measure.confidence),
        all_profits=all_profits,
    )


def _section_tails(scenarios: ScenarioSet, confidence: float) -> dict[str, TailRows]:
    """Return the rows of each section besides the core and how many least profits it needs."""
    levels = {
        LONG: confidence,
        STRESS_PERIOD: scenarios.calibration.stress_confidence,
        STRESS: None,
    }
    out: dict[str, TailRows] = {}
    for section in scenarios.sections:
        if section.name == CORE:
            continue
        level = levels.get(section.name)
        n_tail = 1 if level is None else tail_count(section.count, level)[1] + 1
        share = None
        if section.name == EXTENDED and scenarios.loss_share is not None:
            share = scenarios.loss_share[section.rows]
        out[section.name] = TailRows(section.first, section.count, n_tail, share)
    return out


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
