"""Inputs of requirements other than profits, fixed for a market and a model."""

from dataclasses import dataclass

from margin_actors.arrays import FloatArray
from margin_actors.engine.addons import ContractRisk, MarketDepth, contract_risk, market_depth
from margin_actors.engine.margin.margins import Sample, sample_of
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.revaluation import Contracts, build_cube
from margin_actors.engine.scenarios import (
    LONG,
    STRESS,
    STRESS_PERIOD,
    Calibration,
    ScenarioSet,
    Section,
)
from margin_actors.engine.scenarios.prescribed import venue_grid_rows
from margin_actors.engine.span import RiskArrays, risk_arrays, scan_ranges
from margin_actors.engine.span.arrays import Price, span_set, tenors_of
from margin_actors.errors import InvalidScenario, Problem, raise_if_any
from margin_actors.market.snapshots import MarketSnapshot


@dataclass(frozen=True)
class Terms:
    """Inputs of requirements other than profits; arrays follow the order of the contracts."""

    parameters: ModelParameters
    sample: Sample
    sections: tuple[Section, ...]
    """Sections of the scenario set, the core first."""
    underlyings: tuple[str, ...]
    """Underlyings of the scenario set."""
    calibration: Calibration
    """Values calibrated with the scenario set."""
    row_names: tuple[str, ...]
    """Name of each row of the scenario set, "" for rows without one; empty if no row has a name."""
    risk: ContractRisk | None
    """Greeks, spreads and market depth; None if the model does not need them."""
    span: RiskArrays | None
    """SPAN risk arrays; None unless the core is SPAN or hybrid."""
    grid: RiskArrays | None
    """Risk arrays of the venue grid; None unless it is the core."""
    notes: tuple[str, ...] = ()
    """Descriptions of the SPAN scan ranges."""

    @property
    def is_core_only(self) -> bool:
        """True if the requirement is VaR or expected shortfall alone."""
        return (
            self.risk is None
            and self.span is None
            and self.grid is None
            and len(self.sections) == 1
            and not self.parameters.addons.model_risk.enabled
        )

    def section(self, name: str) -> Section | None:
        """Return a section of the scenario set by name, or None if the set lacks it."""
        return next((s for s in self.sections if s.name == name), None)


def needs_contract_risk(parameters: ModelParameters) -> bool:
    """Return whether a requirement component needs greeks, spreads or account groups."""
    addons = parameters.addons
    return (
        addons.concentration.enabled
        or addons.liquidity.enabled
        or addons.expiry_risk.enabled
        or parameters.diversification.enabled
        or parameters.procyclicality.buffer.enabled
    )


def require_sections(scenarios: ScenarioSet, parameters: ModelParameters) -> None:
    """Check that a scenario set has the sections and calibrated values that the model needs.

    Raises
    ------
    InvalidScenario
        If something is missing; names all of it.
    """
    tools = parameters.procyclicality
    wanted = {
        LONG: tools.long_floor.enabled,
        STRESS_PERIOD: parameters.needs_stress_period,
        STRESS: parameters.scenarios.stress.enabled,
    }
    problems = [
        Problem(f"scenario set {scenarios.id}", f"has no section {name!r}")
        for name, needed in wanted.items()
        if needed and name not in scenarios.section_names
    ]
    calibration = scenarios.calibration
    if STRESS_PERIOD in scenarios.section_names and calibration.stress_confidence is None:
        problem = f"has no confidence for the section {STRESS_PERIOD!r}"
        problems.append(Problem(f"scenario set {scenarios.id}", problem))
    without = [u for u in scenarios.underlyings if u not in calibration.buffer_shares]
    if tools.buffer.enabled and without:
        problem = f"has no calibrated buffer shares of {', '.join(without)}"
        problems.append(Problem(f"scenario set {scenarios.id}", problem))
    raise_if_any(
        problems, InvalidScenario, "the scenario set was built for a different model; rebuild it"
    )


def terms_of(
    snapshot: MarketSnapshot,
    contracts: Contracts,
    scenarios: ScenarioSet,
    parameters: ModelParameters,
    *,
    base_value: FloatArray,
    depth: MarketDepth | None = None,
) -> Terms:
    """Return the terms of contracts in a market under a model.

    Parameters
    ----------
    snapshot, contracts, scenarios, parameters
    base_value : float64 (n_contracts,)
        Value of one unit of each contract today, US dollars; see `values_today`.
    depth : MarketDepth, optional
        The snapshot's market depth; computed here if needed and not given.

    Raises
    ------
    InvalidScenario
        As `require_sections`.
    InvalidParameters
        As `scan_ranges`, if the core is SPAN or hybrid.
    """
    require_sections(scenarios, parameters)
    risk = None
    if needs_contract_risk(parameters):
        risk = contract_risk(
            contracts,
            snapshot,
            parameters.revaluation,
            parameters.addons,
            horizon_hours=parameters.horizon_hours_total,
            depth=depth or market_depth(snapshot, parameters.addons),
        )
    span = grid = None
    notes: tuple[str, ...] = ()
    if parameters.measure.core in ("span", "hybrid"):
        span, notes = span_arrays(snapshot, contracts, scenarios, parameters, base_value)
    if parameters.measure.core == "venue_grid":
        grid = grid_arrays(snapshot, contracts, scenarios, parameters, base_value)
    return Terms(
        parameters=parameters,
        sample=sample_of(scenarios, parameters),
        sections=scenarios.sections or (scenarios.section("core"),),
        underlyings=scenarios.underlyings,
        calibration=scenarios.calibration,
        row_names=scenarios.row_names,
        risk=risk,
        span=span,
        grid=grid,
        notes=notes,
    )


def span_arrays(
    snapshot: MarketSnapshot,
    contracts: Contracts,
    scenarios: ScenarioSet,
    parameters: ModelParameters,
    base_value: FloatArray,
) -> tuple[RiskArrays, tuple[str, ...]]:
    """Return (SPAN risk arrays of the contracts, descriptions of the scan ranges).

    `base_value`, float64 (n_contracts,), is the value of one unit today in US dollars.
    """
    ranges = scan_ranges(scenarios, parameters)
    rows = span_set(contracts, ranges, scenarios.underlyings, parameters.span)
    arrays = risk_arrays(
        contracts,
        snapshot.index_usd,
        rows,
        _pricer(snapshot, contracts, parameters, base_value),
        tier_days=parameters.span.tier_days,
        scan=(ranges, parameters.span),
    )
    return arrays, ranges.notes


def grid_arrays(
    snapshot: MarketSnapshot,
    contracts: Contracts,
    scenarios: ScenarioSet,
    parameters: ModelParameters,
    base_value: FloatArray,
) -> RiskArrays:
    """Return the venue grid's risk arrays of the contracts.

    `base_value`, float64 (n_contracts,), is the value of one unit today in US dollars.
    """
    rows = venue_grid_rows(scenarios.underlyings, tenors_of(contracts), parameters.venue_grid)
    price = _pricer(snapshot, contracts, parameters, base_value)
    return risk_arrays(
        contracts, snapshot.index_usd, rows, price, tier_days=parameters.span.tier_days
    )


def _pricer(
    snapshot: MarketSnapshot,
    contracts: Contracts,
    parameters: ModelParameters,
    base_value: FloatArray,
) -> Price:
    """Return a function that prices contracts over a prescribed set of scenarios; see `Price`."""
    # Prescribed moves are instantaneous, whatever the model assumes over its horizon.
    rules = parameters.revaluation.model_copy(update={"time": "instantaneous"})

    def price(rows: ScenarioSet) -> FloatArray:
        cube = build_cube(contracts, snapshot, rows, rules, base_value=base_value)
        ticks = cube.values.transpose(1, 0, 2).reshape(len(contracts), -1)
        return ticks[:, : len(rows)] / contracts.ticks_per_usd[:, None]

    return price
