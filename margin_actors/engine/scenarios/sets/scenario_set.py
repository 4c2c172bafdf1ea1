"""The scenario set: an immutable set of joint moves of all underlyings, identified by content."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property

import numpy as np

from margin_actors.arrays import FloatArray, TimeArray
from margin_actors.engine.scenarios.sets.calibration import Calibration
from margin_actors.engine.scenarios.sets.perpetual_basis import (
    PerpetualBasisMoves,
    join_moves,
)
from margin_actors.market.identity import content_id

TENORS_DAYS: tuple[float, ...] = (7.0, 14.0, 30.0, 60.0, 90.0, 180.0, 365.0)
"""Tenors of the factor grid, days, unless a set has its own."""
MONEYNESS: tuple[float, ...] = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)
"""Standardised moneyness z = ln(K / F) / (sigma_atm * sqrt(T)) of the factor grid."""
AT_MONEY = MONEYNESS.index(0.0)
MONTH = TENORS_DAYS.index(30.0)
NEVER = np.datetime64("NaT", "ms")
"""Start and end time of rows without a historical window."""

CORE = "core"
"""Section of the rows for VaR and expected shortfall; without sections, all rows are core."""
LONG = "long"
"""Section of the long lookback, for the floor of procyclicality tool (c)."""
STRESS_PERIOD = "stress_period"
"""Section of the stress period."""
STRESS = "stress"
"""Section of named events and hypothetical moves; its rows are not a sample of a distribution."""
EXTENDED = "extended"
"""Section of the extended moves, of which a share of the loss counts; they are not a sample."""


class Provenance(IntEnum):
    """Source of the volatility moves of a row."""

    NONE = 0
    """The row does not move volatility."""
    OBSERVED = 1
    """Measured between two chain snapshots."""
    PROXIED_BY_VOL_INDEX = 2
    """From the volatility index, or a regression on it and the spot return."""
    PROXIED_BY_SPOT = 3
    """Regression on the spot return alone."""
    MADE = 4
    """Drawn from a fitted distribution, or prescribed."""
    PRESCRIBED = 5
    """Prescribed by the model and priced without repair, even if the surface admits arbitrage."""


@dataclass(frozen=True, slots=True)
class Section:
    """A range of consecutive rows that serve one purpose."""

    name: str
    first: int
    count: int

    @property
    def rows(self) -> slice:
        """Slice of the rows in the set."""
        return slice(self.first, self.first + self.count)


def _standard_tenors() -> FloatArray:
    return np.array(TENORS_DAYS)


@dataclass(frozen=True)
class ScenarioSet:
    """Moves over the margin period of risk; each row moves all underlyings jointly."""

    engine: str
    underlyings: tuple[str, ...]
    horizon_hours: float
    start_time: TimeArray
    """datetime64[ms] (n_scenarios,): start of the window of each row; NaT without a window."""
    end_time: TimeArray
    """datetime64[ms] (n_scenarios,): end of the window of each row; NaT without a window."""
    spot_return: FloatArray
    """float64 (n_scenarios, n_underlyings): log return of the index; a rise is positive."""
    path_hours: FloatArray
    """float64 (n_path,): hours since the start of the window at which `path_return` is given, up to
    its end."""
    path_return: FloatArray
    """float64 (n_scenarios, n_underlyings, n_path): log return since the start of the window."""
    basis_change: FloatArray
    """float64 (n_scenarios, n_underlyings, n_tenors): change of ln(F / S) at constant tenor."""
    vol_change: FloatArray
    """float64 (n_scenarios, n_underlyings, n_tenors, n_moneyness): change of ln(volatility) at
    constant tenor and log-moneyness; the standardised moneyness z refers to the surface at the
    start of the window."""
    weight: FloatArray
    """float64 (n_scenarios,): weights, which sum to 1 over each section."""
    provenance: np.ndarray
    """uint8 (n_scenarios, n_underlyings): values of `Provenance`."""
    is_synthetic: bool = False
    notes: tuple[str, ...] = ()
    """Notes for readers of results, for example on the fit of proxies; not part of the id."""
    tenors_days: FloatArray = field(default_factory=_standard_tenors)
    """float64 (n_tenors,): tenors of the volatility and basis changes, days, ascending."""
    loss_share: FloatArray | None = None
    """float64 (n_scenarios,): share of the profit or loss that is counted, 1 in sections without
    shares; None: all of it."""
    sections: tuple[Section, ...] = ()
    """Sections in the order of the rows; if empty, every row is core."""
    row_names: tuple[str, ...] = ()
    """Names of the rows; empty, or one per row (an empty string for a window)."""
    calibration: Calibration = field(default_factory=Calibration)
    """Calibrated values that requirements depend on."""
    perpetual_basis: PerpetualBasisMoves | None = None
    """Moves of the basis of perpetuals; None: perpetuals move as the index."""

    def __len__(self) -> int:
        """Return the number of scenarios."""
        return int(self.weight.size)

    @property
    def month(self) -> int:
        """Index of the first tenor of at least 30 days, or of the last tenor."""
        return int(min(np.searchsorted(self.tenors_days, 30.0), self.tenors_days.size - 1))

    @property
    def has_surface_moves(self) -> bool:
        """True if any row moves volatilities."""
        return bool(np.any(self.provenance != Provenance.NONE))

    @property
    def section_names(self) -> tuple[str, ...]:
        """Names of the sections, or of the core alone."""
        return tuple(s.name for s in self.sections) or (CORE,)

    def section(self, name: str) -> Section:
        """Return a section by name.

        Raises
        ------
        KeyError
            If the set has no such section.
        """
        if not self.sections and name == CORE:
            return Section(CORE, 0, len(self))
        for item in self.sections:
            if item.name == name:
                return item
        raise KeyError(f"the scenario set has no section {name!r}, only {self.section_names}")

    @property
    def core(self) -> "ScenarioSet":
        """The core rows as a set of their own, with the calibration of the whole set."""
        if not self.sections:
            return self
        return replace(self.select(self.section(CORE).rows), calibration=self.calibration)

    @property
    def effective_size(self) -> float:
        """Number of core windows that do not overlap: the effective sample size of the tail.

        It is the time that the windows span divided by the horizon, at least 1 and at most the
        number of core rows; for rows without windows, the number of core rows.
        """
        core = self.section(CORE)
        first, last = self.start_time[core.rows], self.end_time[core.rows]
        if np.isnat(first).any():  # drawn rows do not overlap
            return float(core.count)
        span = (last.max() - first.min()) / np.timedelta64(1, "h")
        return float(min(core.count, max(1.0, span / self.horizon_hours)))

    def row_name(self, row: int) -> str:
        """Return the display name of a row: its name, else the end date of its window."""
        if self.row_names and self.row_names[row]:
            return self.row_names[row]
        if np.isnat(self.end_time[row]):
            return f"row {row}"
        return str(self.end_time[row].astype("datetime64[D]"))

    @cached_property
    def id(self) -> str:
        """Content id; it does not depend on the notes."""
        basis = self.perpetual_basis
        return content_id(
            "scenarios",
            {
                "engine": self.engine,
                "underlyings": self.underlyings,
                "horizon": self.horizon_hours,
                "tenors": self.tenors_days,
                "moneyness": MONEYNESS,
                "arrays": [
                    self.start_time,
                    self.end_time,
                    self.spot_return,
                    self.path_hours,
                    self.path_return,
                    self.basis_change,
                    self.vol_change,
                    self.weight,
                    self.provenance,
                ],
                "loss_share": self.loss_share,
                "sections": [[s.name, s.first, s.count] for s in self.sections],
                "names": self.row_names,
                "figures": self.calibration.named_values(),
                "synthetic": self.is_synthetic,
                **({} if basis is None else {"perpetual_basis": basis.content()}),
            },
        )

    def select(self, chosen: slice | np.ndarray) -> "ScenarioSet":
        """Return the selected rows, with unchanged weights and without sections and calibration.

        `chosen` is a slice, int64 indices (n_selected,) of rows, or a bool mask (n_rows,).
        """
        names, basis = self.row_names, self.perpetual_basis
        if names:
            names = tuple(names[row] for row in np.arange(len(self))[chosen].tolist())
        return replace(
            self,
            start_time=self.start_time[chosen],
            end_time=self.end_time[chosen],
            spot_return=self.spot_return[chosen],
            path_return=self.path_return[chosen],
            basis_change=self.basis_change[chosen],
            vol_change=self.vol_change[chosen],
            weight=self.weight[chosen],
            provenance=self.provenance[chosen],
            loss_share=None if self.loss_share is None else self.loss_share[chosen],
            sections=(),
            row_names=names,
            calibration=Calibration(),
            perpetual_basis=basis if basis is None else basis.select(chosen),
        )

    def rows(self, start: int, stop: int) -> "ScenarioSet":
        """Return the rows [start, stop), with unchanged weights; see `select`."""
        return self.select(slice(start, stop))


def with_short_tenors(scenarios: ScenarioSet, tenors_days: Sequence[float]) -> ScenarioSet:
    """Return the same moves with further tenors before the first one.

    The moves at the added tenors are those at the first: the change of volatility is constant below
    it, and the basis vanishes towards the expiry wherever it is interpolated.

    Parameters
    ----------
    scenarios : ScenarioSet
    tenors_days : sequence of float
        Tenors to add, days, ascending and below the first tenor of the set.
    """
    n = len(tenors_days)
    if n == 0:
        return scenarios
    assert tenors_days[-1] < scenarios.tenors_days[0]
    basis, vol = scenarios.basis_change, scenarios.vol_change
    return replace(
        scenarios,
        basis_change=np.concatenate([np.repeat(basis[:, :, :1], n, axis=2), basis], axis=2),
        vol_change=np.concatenate([np.repeat(vol[:, :, :1], n, axis=2), vol], axis=2),
        tenors_days=np.concatenate([np.array(tenors_days), scenarios.tenors_days]),
    )


def join_sections(sets: Sequence[tuple[str, ScenarioSet]]) -> ScenarioSet:
    """Return one set whose sections are the given sets, in their order.

    The engine is that of the first set; a single core set is returned unchanged. All sets must have
    the same underlyings, horizon, tenors and path hours, and no calibration. The loss share is 1 in
    sections without one; if no section has one, the set has none.
    """
    lead = sets[0][1]
    if len(sets) == 1 and sets[0][0] == CORE:
        return lead
    members = [member for _, member in sets]
    for member in members:
        assert member.underlyings == lead.underlyings
        assert member.horizon_hours == lead.horizon_hours
        assert np.array_equal(member.tenors_days, lead.tenors_days)
        assert np.array_equal(member.path_hours, lead.path_hours)
        assert member.calibration == Calibration()
    sections: list[Section] = []
    for name, member in sets:
        first = sections[-1].first + sections[-1].count if sections else 0
        sections.append(Section(name, first, len(member)))
    names: tuple[str, ...] = ()
    if any(member.row_names for member in members):
        names = tuple(n for m in members for n in m.row_names or ("",) * len(m))
    shares = None
    if any(member.loss_share is not None for member in members):
        shares = np.concatenate(
            [np.ones(len(m)) if m.loss_share is None else m.loss_share for m in members]
        )
    return replace(
        lead,
        start_time=np.concatenate([m.start_time for m in members]),
        end_time=np.concatenate([m.end_time for m in members]),
        spot_return=np.concatenate([m.spot_return for m in members]),
        path_return=np.concatenate([m.path_return for m in members]),
        basis_change=np.concatenate([m.basis_change for m in members]),
        vol_change=np.concatenate([m.vol_change for m in members]),
        weight=np.concatenate([m.weight for m in members]),
        provenance=np.concatenate([m.provenance for m in members]),
        is_synthetic=any(m.is_synthetic for m in members),
        notes=tuple(note for m in members for note in m.notes),
        loss_share=shares,
        sections=tuple(sections),
        row_names=names,
        perpetual_basis=join_moves(
            [m.perpetual_basis for m in members], [len(m) for m in members], len(lead.underlyings)
        ),
    )
