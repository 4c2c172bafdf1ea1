"""Everything beside profits that decides requirements: what is fixed for a market and a model."""

from collections.abc import Mapping
from dataclasses import dataclass

from margin_actors.arrays import FloatArray
from margin_actors.engine.addons import ContractRisk, MarketDepth, contract_risk, market_depth
from margin_actors.engine.margin.margins import Sample, sample_of
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.revaluation import Contracts, build_cube
from margin_actors.engine.scenarios import LONG, STRESS, STRESS_PERIOD, ScenarioSet, Section
from margin_actors.engine.scenarios.rules import venue_grid_rows
from margin_actors.engine.span import RiskArrays, risk_arrays, scan_ranges
from margin_actors.engine.span.arrays import Price, span_set, tenors_of
from margin_actors.errors import InvalidScenario, Problem, raise_if_any
from margin_actors.market.snapshots import MarketSnapshot


@dataclass(frozen=True)
class Terms:
    """What requirements need beside profits; plain arrays, in the order of some contracts."""

    parameters: ModelParameters
    sample: Sample
    sections: tuple[Section, ...]
    """Of the scenario set; the core first."""
    underlyings: tuple[str, ...]
    """Of the scenario set."""
    figures: Mapping[str, float]
    """Calibrated with the scenario set."""
    row_names: tuple[str, ...]
    """Of the stress rows."""
    risk: ContractRisk | None
    """None where no add-on needs it."""
    span: RiskArrays | None
    grid: RiskArrays | None
    notes: tuple[str, ...] = ()

    @property
    def is_core_only(self) -> bool:
        """True where a requirement is VaR or expected shortfall and nothing else."""
        return (
            self.risk is None
            and self.span is None
            and self.grid is None
            and len(self.sections) == 1
            and not self.parameters.addons.model_risk.enabled
        )

    def section(self, name: str) -> Section | None:
        """Return a section of the scenario set, None without it."""
        return next((s for s in self.sections if s.name == name), None)


def needs_contract_risk(parameters: ModelParameters) -> bool:
    """Return whether some part needs greeks, spreads or groups."""
    addons = parameters.addons
    return (
        addons.concentration.enabled
        or addons.liquidity.enabled
        or addons.expiry_risk.enabled
        or parameters.diversification.enabled
        or parameters.procyclicality.buffer.enabled
    )


def require_sections(scenarios: ScenarioSet, parameters: ModelParameters) -> None:
    """Raise InvalidScenario for a scenario set that was built for a model with fewer tools."""
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
    if tools.buffer.enabled and not any(n.startswith("buffer.share.") for n in scenarios.figures):
        problems.append(Problem(f"scenario set {scenarios.id}", "has no state of the buffer"))
    raise_if_any(
        problems, InvalidScenario, "the scenario set was built for another model; build it again"
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

    `base_value` are the contracts' `values_today`; `depth` the market's, if known.
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
        figures=dict(scenarios.figures),
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
    """Return SPAN's risk arrays of contracts, and their scan ranges in words."""
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
    """Return the venue grid's risk arrays of contracts."""
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
    """Return what prices contracts over a written-down set."""
    # Such moves are taken at once, whatever the model does over its horizon.
    rules = parameters.revaluation.model_copy(update={"time": "instantaneous"})

    def price(rows: ScenarioSet) -> FloatArray:
        cube = build_cube(contracts, snapshot, rows, rules, base_value=base_value)
        ticks = cube.values.transpose(1, 0, 2).reshape(len(contracts), -1)
        return ticks[:, : len(rows)] / contracts.ticks_per_usd[:, None]

    return price
