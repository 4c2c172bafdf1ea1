"""Risk arrays of contracts over the prescribed moves of SPAN and of the venue grid."""

from margin_actors.arrays import FloatArray
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.revaluation import Contracts, build_cube
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.engine.scenarios.prescribed import venue_grid_rows
from margin_actors.engine.span import RiskArrays, risk_arrays, scan_ranges
from margin_actors.engine.span.arrays import Price, span_set, tenors_of, with_basis_charge
from margin_actors.engine.span.basis import basis_rates
from margin_actors.market.snapshots import MarketSnapshot


def span_arrays(
    snapshot: MarketSnapshot,
    contracts: Contracts,
    scenarios: ScenarioSet,
    model: ModelParameters,
    base_value: FloatArray,
) -> tuple[RiskArrays, tuple[str, ...]]:
    """Return (SPAN risk arrays of the contracts, descriptions of the scan ranges).

    `base_value`, float64 (n_contracts,), is the value of one unit today in US dollars.
    """
    ranges = scan_ranges(scenarios, model)
    rows = span_set(contracts, ranges, scenarios.underlyings, model.span)
    arrays = risk_arrays(
        contracts,
        snapshot.index_usd,
        rows,
        _pricer(snapshot, contracts, model, base_value),
        tier_days=model.span.tier_days,
        scan=(ranges, model.span),
    )
    arrays = with_basis_charge(arrays, contracts, basis_rates(scenarios, model))
    return arrays, (*ranges.notes, *_basis_notes(arrays))


def grid_arrays(
    snapshot: MarketSnapshot,
    contracts: Contracts,
    scenarios: ScenarioSet,
    model: ModelParameters,
    base_value: FloatArray,
) -> RiskArrays:
    """Return the venue grid's risk arrays of the contracts.

    `base_value`, float64 (n_contracts,), is the value of one unit today in US dollars.
    """
    rows = venue_grid_rows(scenarios.underlyings, tenors_of(contracts), model.venue_grid)
    price = _pricer(snapshot, contracts, model, base_value)
    arrays = risk_arrays(contracts, snapshot.index_usd, rows, price, tier_days=model.span.tier_days)
    return with_basis_charge(arrays, contracts, basis_rates(scenarios, model), price)


def _basis_notes(arrays: RiskArrays) -> tuple[str, ...]:
    """Return the rates of the basis charge in words, one note per underlying."""
    if arrays.basis is None:
        return ()
    return tuple(
        f"basis charge of {u}: {1e4 * rate:.1f} bp of the index per coin of perpetual delta"
        for u, rate in zip(arrays.underlyings, arrays.basis.rate.tolist(), strict=True)
    )


def _pricer(
    snapshot: MarketSnapshot,
    contracts: Contracts,
    model: ModelParameters,
    base_value: FloatArray,
) -> Price:
    """Return a function that prices contracts over a prescribed set of scenarios; see `Price`."""
    # Prescribed moves are instantaneous, whatever the model assumes over its horizon.
    rules = model.revaluation.model_copy(update={"time": "instantaneous"})

    def price(rows: ScenarioSet) -> FloatArray:
        cube = build_cube(contracts, snapshot, rows, rules, base_value=base_value)
        ticks = cube.values.transpose(1, 0, 2).reshape(len(contracts), -1)
        return ticks[:, : len(rows)] / contracts.ticks_per_usd[:, None]

    return price
