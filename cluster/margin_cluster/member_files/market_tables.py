"""Tables of an export that are equal for all members: contracts, smiles, scenarios and depth."""

from itertools import pairwise

import numpy as np
import pyarrow as pa

from margin_actors.arrays import FloatArray
from margin_actors.engine.disclosure import REPAIRS, Disclosure
from margin_actors.engine.margin import PreparedMarket
from margin_actors.engine.revaluation import discount_factor, total_deviations, unit_values
from margin_actors.engine.scenarios import scenario_set_to_table
from margin_actors.market.instruments import Kind, instrument_from_name
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.surfaces import SabrSlice, SviSlice, VolatilitySurface

_TIME = pa.timestamp("ms", "UTC")


def contracts_table(disclosure: Disclosure) -> pa.Table:
    """Return one row per contract; the columns are described in `columns.FILES`."""
    market = disclosure.market
    contracts, snapshot = market.contracts, market.snapshot
    items = [instrument_from_name(name) for name in contracts.names]
    curves = [contracts.curves[c] for c in contracts.curve.tolist()]
    is_option = np.array([i.kind is Kind.OPTION for i in items], np.bool_)
    quote = np.array([snapshot.option_row.get(name, -1) for name in contracts.names], np.int64)
    deviation = total_deviations(contracts, market.model.revaluation)
    columns: dict[str, pa.Array] = {
        "instrument_name": pa.array(contracts.names),
        "kind": pa.array([i.kind.name.lower() for i in items]),
        "underlying": pa.array([i.underlying for i in items]),
        "expiry": pa.array([i.expiry for i in items], _TIME),
        "is_inverse": pa.array([i.is_inverse for i in items]),
        "strike_usd": pa.array([i.strike for i in items], pa.float64()),
        "is_call": pa.array([i.is_call for i in items], pa.bool_()),
        "index_usd": pa.array([snapshot.index_usd[i.underlying] for i in items]),
        "forward_usd": pa.array([c.level_usd for c in curves]),
        "tenor_years": pa.array([c.tenor_years for c in curves]),
        "discount": pa.array([c.discount for c in curves], pa.float64()),
        "mark_vol_annual": _known(_quoted(snapshot, "mark_vol", quote)),
        "deviation": _known(np.where(is_option, deviation, np.nan)),
        **{
            f"anchor_{s}": _known(values) for s, values in disclosure.anchors.items() if s != "mark"
        },
        "lot": pa.array(contracts.lot),
        "value_usd": pa.array(market.value_today),
        "settled_value_usd": pa.array(unit_values(contracts, market.value_today)),
    }
    risk = disclosure.inputs.risk
    if risk is not None:
        names, interest = risk.strike_names, risk.strike_interest
        columns |= {
            "tier": pa.array([risk.depth.buckets[b] for b in risk.bucket.tolist()]),
            "strike_name": pa.array([names[k] if k >= 0 else None for k in risk.strike.tolist()]),
            "strike_open_interest_coins": pa.array(
                [interest[k] if k >= 0 else None for k in risk.strike.tolist()], pa.float64()
            ),
            "open_interest_coins": _known(risk.open_interest),
            "delta_coins": pa.array(risk.delta),
            "vega_usd": pa.array(risk.vega),
            "bid": _known(_quoted(snapshot, "bid", quote)),
            "ask": _known(_quoted(snapshot, "ask", quote)),
            "half_spread_usd": pa.array(risk.half_spread),
            "expires_within_horizon": pa.array(risk.expires_within),
        }
    return pa.table(columns)


def _quoted(snapshot: MarketSnapshot, name: str, row: np.ndarray) -> FloatArray:
    """Return a column of the chain at `row`, int64 (n_contracts,), NaN where it is -1."""
    values = np.append(getattr(snapshot.options, name), np.nan)
    return values[row]


def _known(values: FloatArray) -> pa.Array:
    """Return an array whose NaN are null."""
    return pa.array(values, pa.float64(), from_pandas=True)


def smiles_table(disclosure: Disclosure) -> pa.Table | None:
    """Return one row per smile model, underlying and expiry; None if the model prices on marks."""
    market = disclosure.market
    rows: list[dict[str, object]] = []
    for smile, surfaces in market.other_surfaces.items():
        for surface in surfaces.values():
            rows += [{"smile": smile, **row} for row in _slices(surface, market)]
    if not rows:
        return None
    texts = ("smile", "surface_id", "underlying")
    types: dict[str, pa.DataType] = dict.fromkeys(texts, pa.string())
    types |= {"expiry": _TIME, "is_arbitrage_free": pa.bool_()}
    return pa.table(
        {n: pa.array([r[n] for r in rows], types.get(n, pa.float64())) for n in rows[0]}
    )


def _slices(surface: VolatilitySurface, market: PreparedMarket) -> list[dict[str, object]]:
    snapshot, rates = market.snapshot, market.model.revaluation.rates
    rows: list[dict[str, object]] = []
    slices = zip(surface.expiries, surface.slices, surface.diagnostics, strict=True)
    for item, smile, fit in slices:
        svi = smile if isinstance(smile, SviSlice) else None
        sabr = smile if isinstance(smile, SabrSlice) else None
        rows.append(
            {
                "surface_id": surface.id,
                "underlying": surface.underlying,
                "expiry": item.expiry,
                "forward_usd": item.forward_usd,
                "tenor_years": item.tenor_years,
                "discount": discount_factor(item.tenor_years, snapshot, rates),
                "a": svi and svi.a,
                "b": svi and svi.b,
                "rho": smile.rho,
                "m": svi and svi.m,
                "sigma": svi and svi.sigma,
                "alpha": sabr and sabr.alpha,
                "beta": sabr and sabr.beta,
                "nu": sabr and sabr.nu,
                "at_money_deviation": float(np.sqrt(smile.total_variance(np.zeros(1))[0])),
                "is_arbitrage_free": fit.is_arbitrage_free,
            }
        )
    return rows


def scenarios_table(disclosure: Disclosure) -> pa.Table:
    """Return one row per scenario, as used, with its section and the result of its check."""
    applied = disclosure.applied
    table = scenario_set_to_table(applied).replace_schema_metadata(None)
    section = np.full(len(applied), applied.section_names[0], object)
    for item in applied.sections:
        section[item.rows] = item.name
    table = table.add_column(1, "section", pa.array(section.tolist()))
    for u, name in enumerate(applied.underlyings):
        words = [REPAIRS[k] for k in disclosure.repairs.outcome[:, u].tolist()]
        table = table.append_column(f"{name}.repair", pa.array(words))
    return table


def repairs_table(disclosure: Disclosure) -> pa.Table:
    """Return one row per expiry that admitted arbitrage in one row before the repair."""
    found: list[tuple[int, str, object, bool, bool, str]] = []
    for u, name in enumerate(disclosure.applied.underlyings):
        if name not in disclosure.repairs.butterfly:
            continue
        expiries = disclosure.market.surfaces[name].expiries
        butterfly = disclosure.repairs.butterfly[name]
        calendar = disclosure.repairs.calendar[name]
        for row, e in np.argwhere(butterfly | calendar).tolist():
            kinds = bool(butterfly[row, e]), bool(calendar[row, e])
            word = REPAIRS[disclosure.repairs.outcome[row, u]]
            found.append((row, name, expiries[e].expiry, *kinds, word))
    columns = list(zip(*sorted(found, key=lambda r: r[:2]), strict=True)) or [()] * 6
    names = ("scenario", "underlying", "expiry", "butterfly", "calendar", "repair")
    types = (pa.int32(), pa.string(), _TIME, pa.bool_(), pa.bool_(), pa.string())
    return pa.table(
        {n: pa.array(list(c), t) for n, c, t in zip(names, columns, types, strict=True)}
    )


def depth_table(disclosure: Disclosure) -> pa.Table | None:
    """Return one row per underlying and expiry bucket; None if the model needs no depth."""
    risk, closed = disclosure.inputs.risk, disclosure.closed_per_day
    if risk is None or closed is None:
        return None
    depth, edges = risk.depth, (0.0, *disclosure.market.model.addons.bucket_days)
    ends: list[tuple[float | None, float | None]] = [(None, None), *pairwise(edges)]
    ends.append((edges[-1], None))
    cells = [(u, b) for u in depth.underlyings for b in range(len(depth.buckets))]
    return pa.table(
        {
            "underlying": pa.array([u for u, _ in cells]),
            "tier": pa.array([depth.buckets[b] for _, b in cells]),
            "days_over": pa.array([ends[b][0] for _, b in cells], pa.float64()),
            "days_up_to": pa.array([ends[b][1] for _, b in cells], pa.float64()),
            "delta_volume_coins": pa.array(depth.delta_volume.ravel()),
            "vega_volume_usd": pa.array(depth.vega_volume.ravel()),
            "delta_closed_per_day_coins": pa.array(closed[0].ravel()),
            "vega_closed_per_day_usd": pa.array(closed[1].ravel()),
            "half_spread_vol": pa.array(depth.half_spread_vol.ravel()),
            "typical_vol": _known(depth.typical_vol.ravel()),
        }
    )
