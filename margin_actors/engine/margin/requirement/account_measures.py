"""The measures of accounts that components and results share, each computed at most once."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from margin_actors.arrays import FloatArray, IndexArray, IntArray
from margin_actors.engine.addons import BucketExposures, GroupKind, bucket_exposures
from margin_actors.engine.margin.prepared_book import BookPnl, PreparedBook
from margin_actors.engine.margin.risk_inputs import RiskInputs
from margin_actors.engine.margin.sample import measures_of
from margin_actors.engine.measures import (
    es_from_tail,
    es_standard_error_from_tail,
    expected_shortfall,
    value_at_risk,
    var_from_tail,
    var_interval_from_tail,
)
from margin_actors.engine.revaluation import Tail
from margin_actors.engine.scenarios import LONG, STRESS, STRESS_PERIOD
from margin_actors.engine.span import SpanCharges, grid_charges, span_charges


@dataclass(frozen=True)
class Undiversified:
    """The core's measure of each underlying on its own; US dollars."""

    total_usd: FloatArray
    """float64 (n_accounts,): sum over underlyings, each at least 0."""
    owner: IntArray
    """int64 (n_groups,): account of each measured underlying."""
    underlying: IndexArray
    """int32 (n_groups,): index of the underlying."""
    alone_usd: FloatArray
    """float64 (n_groups,): its measure, at least 0. Accounts in one underlying have no group."""


@dataclass(frozen=True)
class AccountMeasures:
    """Measures of the accounts of a book.

    Arrays are float64 (n_accounts,) in US dollars, and a loss is positive, unless stated otherwise.
    Measures that the model does not require are NaN.
    """

    book: PreparedBook
    pnl: BookPnl

    @property
    def inputs(self) -> RiskInputs:
        """Inputs of requirements other than profits."""
        return self.book.inputs

    @cached_property
    def tails(self) -> tuple[FloatArray, IndexArray]:
        """Least core profits, ascending, and their rows: float64 and int32 (n_accounts, n_tail)."""
        return self.pnl.accounts.tail_usd, self.pnl.accounts.tail_scenario

    @cached_property
    def _var_and_es(self) -> tuple[FloatArray, FloatArray]:
        return measures_of(self.pnl.accounts, self.inputs.sample)

    @property
    def var_usd(self) -> FloatArray:
        """Value at risk of the core rows."""
        return self._var_and_es[0]

    @property
    def es_usd(self) -> FloatArray:
        """Expected shortfall of the core rows."""
        return self._var_and_es[1]

    @property
    def core_measure_usd(self) -> FloatArray:
        """Expected shortfall if the core is ES, else VaR."""
        return self.es_usd if self.inputs.model.measure.core == "es" else self.var_usd

    @property
    def add_on_kind(self) -> Literal["var", "es"]:
        """``es`` if the add-ons are based on expected shortfall, else ``var``."""
        model = self.inputs.model
        return "es" if model.addons.measure == "core" and model.measure.core == "es" else "var"

    def for_add_ons(self, var_and_es: tuple[FloatArray, FloatArray]) -> FloatArray:
        """Return the measure on which the add-ons are based: one of the two arrays.

        Parameters
        ----------
        var_and_es : pair of float64 arrays of shape (n,), USD
            VaR and expected shortfall of accounts or groups; a loss is positive.
        """
        return var_and_es[self.add_on_kind == "es"]

    @property
    def add_on_base_usd(self) -> FloatArray:
        """The measure of the core rows on which the add-ons are based."""
        return self.for_add_ons(self._var_and_es)

    @cached_property
    def var_interval_usd(self) -> tuple[FloatArray, FloatArray]:
        """Ends of the 95 % confidence interval of VaR."""
        sample = self.inputs.sample
        return var_interval_from_tail(
            self.tails[0],
            n_scenarios=sample.n_scenarios,
            confidence=sample.confidence,
            effective_size=sample.effective_size,
        )

    @cached_property
    def es_standard_error_usd(self) -> FloatArray:
        """Standard error of expected shortfall."""
        sample = self.inputs.sample
        return es_standard_error_from_tail(
            self.tails[0],
            n_scenarios=sample.n_scenarios,
            confidence=sample.confidence,
            effective_size=sample.effective_size,
        )

    @cached_property
    def long_usd(self) -> FloatArray:
        """The core's measure over the long lookback."""
        return self._over_section(LONG, self.inputs.sample.confidence)

    @cached_property
    def stress_period_usd(self) -> FloatArray:
        """The core's measure over the stress period, at the confidence calibrated for it."""
        if self.inputs.section(STRESS_PERIOD) is None:
            return self.unknown_usd
        confidence = self.inputs.calibration.stress_confidence
        assert confidence is not None  # see `require_sections`
        return self._over_section(STRESS_PERIOD, confidence)

    @cached_property
    def stress(self) -> tuple[FloatArray, IndexArray]:
        """Largest loss in the stress rows, at least 0, and its row, int32; (NaN, -1) if none."""
        tail = self.tail_of(STRESS)
        if tail is None or tail.profit.shape[1] == 0:
            return self.unknown_usd, np.full(self.book.holdings.n_accounts, -1, np.int32)
        return np.maximum(-tail.profit[:, 0], 0.0), tail.scenario[:, 0]

    @cached_property
    def span(self) -> SpanCharges | None:
        """SPAN charges; None if the core does not use SPAN."""
        if self.inputs.span is None:
            return None
        holdings = self.book.holdings
        return span_charges(
            holdings.start,
            holdings.index,
            self.book.quantity,
            self.inputs.span,
            self.inputs.model.span,
        )

    @cached_property
    def grid(self) -> tuple[FloatArray, IndexArray] | None:
        """Worst loss per underlying and its grid row, (n_accounts, n_underlyings); None if unused.

        The loss is float64, US dollars, the row int32.
        """
        if self.inputs.grid is None:
            return None
        holdings = self.book.holdings
        return grid_charges(holdings.start, holdings.index, self.book.quantity, self.inputs.grid)

    @cached_property
    def span_usd(self) -> FloatArray:
        """SPAN requirement."""
        return self.unknown_usd if self.span is None else self.span.total

    @cached_property
    def venue_grid_usd(self) -> FloatArray:
        """Requirement of the venue grid: the sum over underlyings."""
        if self.grid is None:
            return self.unknown_usd
        worst, _ = self.grid
        total = np.zeros(worst.shape[0])
        for u in range(worst.shape[1]):
            total += worst[:, u]
        return total

    @cached_property
    def exposures(self) -> BucketExposures:
        """Exposures by underlying and expiry bucket; only if the model needs contract risk."""
        assert self.inputs.risk is not None
        book = self.book
        return bucket_exposures(
            book.holdings, book.quantity, self.inputs.risk, self.inputs.model, book.members
        )

    @cached_property
    def groups(self) -> tuple[FloatArray, FloatArray]:
        """(VaR, ES) of the position groups, each float64 (n_groups,), US dollars."""
        if self.pnl.groups is None:
            return np.empty(0), np.empty(0)
        return measures_of(self.pnl.groups, self.inputs.sample)

    @cached_property
    def undiversified(self) -> Undiversified | None:
        """The core's measure by underlying; None if the model does not measure it."""
        inputs, groups = self.inputs, self.book.groups
        if not inputs.model.diversification.enabled:
            return None
        assert groups is not None
        measure = self.core_measure_usd
        own = self.groups[inputs.model.measure.core == "es"]
        chosen = np.flatnonzero(groups.kind == GroupKind.UNDERLYING)
        alone = np.maximum(own[chosen], 0.0)
        owner = groups.owner[chosen]
        summed = np.bincount(owner, weights=alone, minlength=measure.size).astype(np.float64)
        several = np.zeros(measure.size, np.bool_)
        several[owner] = True
        total = np.where(several, summed, np.maximum(measure, 0.0))
        return Undiversified(total, owner, groups.key[chosen], alone)

    @property
    def undiversified_usd(self) -> FloatArray:
        """Sum over underlyings of the core's measure, each at least 0."""
        found = self.undiversified
        return self.unknown_usd if found is None else found.total_usd

    def measure_usd(
        self, pnl_usd: FloatArray, confidence: float, weight: FloatArray | None = None
    ) -> FloatArray:
        """Return ES over the given rows if the core is ES, else VaR, float64 (n_accounts,).

        Parameters
        ----------
        pnl_usd : float64 (n_accounts, n_rows), US dollars
            A profit is positive.
        confidence : float in (0, 1)
        weight : float64 (n_rows,), optional
            Probabilities that sum to 1; equal by default.
        """
        is_es = self.inputs.model.measure.core == "es"
        measure = expected_shortfall if is_es else value_at_risk
        return measure(pnl_usd, confidence=confidence, weight=weight)

    @cached_property
    def unknown_usd(self) -> FloatArray:
        """An amount that the model does not require: NaN."""
        return np.full(self.book.holdings.n_accounts, np.nan)

    def _over_section(self, name: str, confidence: float) -> FloatArray:
        section, tail = self.inputs.section(name), self.tail_of(name)
        if section is None or tail is None:
            return self.unknown_usd
        is_es = self.inputs.model.measure.core == "es"
        measure = es_from_tail if is_es else var_from_tail
        return measure(tail.profit, n_scenarios=section.count, confidence=confidence)

    def tail_of(self, name: str) -> Tail | None:
        """Return the least profits over a section besides the core, US dollars.

        In the extended rows these are the least products of profit and share.
        """
        place = self.inputs.sample.tail_place(name)
        return None if place is None else self.pnl.accounts.tails[place]
