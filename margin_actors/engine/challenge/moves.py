"""Plausible moves: the losses against which a requirement is judged.

They do not depend on what a model considers likely: a grid of spot and volatility, the largest
recorded changes of the basis, and past days.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.challenge.settings import MoveSettings
from margin_actors.engine.parameters import RevaluationParameters
from margin_actors.engine.revaluation import Contracts, build_cube, values_today
from margin_actors.engine.scenarios import STRESS, Provenance, ScenarioSet
from margin_actors.engine.scenarios.prescribed.rows import prescribed_set, tenors_of_expiries
from margin_actors.engine.scenarios.sets.scenario_set import NEVER
from margin_actors.market.identity import content_id
from margin_actors.market.instruments import Kind, instrument_from_name
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.numerics.elementary import exponentials

_VOLATILITY_CHANGE_MIN = -0.95
"""Volatility falls at most by this share at any expiry, as in the venue grid."""


@dataclass(frozen=True)
class PlausibleMoves:
    """Moves of the market in which every portfolio is revalued."""

    sets: tuple[ScenarioSet, ...]
    """Moves of index, basis and volatility, with named rows; the moves are their rows in order."""
    perpetual: Mapping[str, FloatArray]
    """float64 (n_moves,) by underlying: change of ln(perpetual / index)."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the moves."""
        return tuple(s.row_name(row) for s in self.sets for row in range(len(s)))

    def __len__(self) -> int:
        """Return the number of moves."""
        return sum(len(s) for s in self.sets)

    @cached_property
    def id(self) -> str:
        """Content id."""
        sets = [s.id for s in self.sets]
        return content_id("moves", {"sets": sets, "perpetual": dict(self.perpetual)})


def plausible_moves(
    snapshot: MarketSnapshot,
    scenarios: ScenarioSet,
    settings: MoveSettings,
    *,
    events: ScenarioSet | None = None,
    perpetual_basis: Mapping[str, tuple[float, float]] | None = None,
) -> PlausibleMoves:
    """Return the plausible moves at a snapshot.

    Parameters
    ----------
    snapshot : MarketSnapshot
        Its expiries are the tenors of the grid.
    scenarios : ScenarioSet
        Its underlyings are moved; its observed rows give the largest changes of the dated basis.
    settings : MoveSettings
        Settings of the grid.
    events : ScenarioSet, optional
        Set whose stress section has the past days; `scenarios` by default. Without such a section
        no past day is used.
    perpetual_basis : mapping, optional
        Largest recorded fall and rise of ln(perpetual / index) over two days, by underlying; the
        fall is negative.
    """
    sets = [_grid(snapshot, scenarios.underlyings, settings)]
    basis = _dated_basis(scenarios)
    if len(basis):
        sets.append(basis)
    past = _past_days(events or scenarios)
    if past is not None:
        sets.append(past)
    before = sum(len(s) for s in sets)
    still, rows = _perpetual_rows(sets[0], perpetual_basis or {})
    if len(still):
        sets.append(still)
    perpetual = {u: np.concatenate([np.zeros(before), row]) for u, row in rows.items()}
    return PlausibleMoves(tuple(sets), perpetual)


def _grid(
    snapshot: MarketSnapshot, underlyings: tuple[str, ...], settings: MoveSettings
) -> ScenarioSet:
    """Return each change of spot with each change of volatility, with term structure.

    All underlyings move by the same relative amount.
    """
    tenors = tenors_of_expiries([e.tenor_years * 365.0 for e in snapshot.expiries])
    growth = (30.0 / np.maximum(tenors, 1.0)) ** settings.term_power
    spot: list[float] = []
    vol: list[FloatArray] = []
    names: list[str] = []
    for change in settings.spot:
        for factor in settings.volatility:
            shapes = [(growth, "")]
            if settings.parallel and factor != 1.0:
                shapes.append((np.ones(tenors.size), " at all expiries"))
            for shape, remark in shapes:
                spot.append(change)
                vol.append(np.maximum((factor - 1.0) * shape, _VOLATILITY_CHANGE_MIN))
                names.append(f"spot {100 * change:+g} %, volatility x {factor:g}{remark}")
    nu = len(underlyings)
    return prescribed_set(
        "challenge",
        underlyings,
        tenors,
        np.repeat(np.array(spot)[:, None], nu, axis=1),
        np.repeat(np.array(vol)[:, None, :], nu, axis=1),
        np.ones(len(spot)),
        names,
    )


def _dated_basis(scenarios: ScenarioSet) -> ScenarioSet:
    """Return two rows per underlying: at each tenor its largest observed fall and rise of basis.

    Rows without a move are left out.
    """
    shape = scenarios.basis_change.shape[1:]
    changes: list[FloatArray] = []
    names: list[str] = []
    for u, underlying in enumerate(scenarios.underlyings):
        seen = scenarios.basis_change[scenarios.provenance[:, u] == Provenance.OBSERVED, u]
        if not seen.size:
            continue
        for what, extreme in (("falls", seen.min(axis=0)), ("rises", seen.max(axis=0))):
            if not np.any(extreme):
                continue
            change = np.zeros(shape)
            change[u] = extreme
            changes.append(change)
            largest = 100 * float(np.abs(extreme).max())
            names.append(f"dated basis of {underlying} {what} by up to {largest:.1f} %")
    still = _still(scenarios, len(changes), tuple(names))
    basis = np.array(changes).reshape(len(changes), *shape)
    made = np.full((len(changes), shape[0]), Provenance.MADE, np.uint8)
    return replace(still, basis_change=basis, provenance=made)


def _still(like: ScenarioSet, n: int, names: tuple[str, ...]) -> ScenarioSet:
    """Return n rows without any move, with the underlyings and tenors of another set."""
    nu, n_tenors, n_moneyness = like.vol_change.shape[1:]
    return ScenarioSet(
        engine="challenge",
        underlyings=like.underlyings,
        horizon_hours=like.horizon_hours,
        start_time=np.full(n, NEVER),
        end_time=np.full(n, NEVER),
        spot_return=np.zeros((n, nu)),
        path_hours=like.path_hours,
        path_return=np.zeros((n, nu, like.path_hours.size)),
        basis_change=np.zeros((n, nu, n_tenors)),
        vol_change=np.zeros((n, nu, n_tenors, n_moneyness)),
        weight=np.full(n, 1.0 / max(n, 1)),
        provenance=np.full((n, nu), Provenance.NONE, np.uint8),
        tenors_days=like.tenors_days,
        row_names=names,
    )


def _past_days(scenarios: ScenarioSet) -> ScenarioSet | None:
    """Return the rows of the stress section that are past windows; None if there are none."""
    if STRESS not in scenarios.section_names:
        return None
    section = scenarios.select(scenarios.section(STRESS).rows)
    rows = np.flatnonzero(~np.isnat(section.start_time))
    if rows.size == 0:
        return None
    past = section.select(rows)
    return replace(past, weight=np.full(rows.size, 1.0 / rows.size), loss_share=None)


def _perpetual_rows(
    like: ScenarioSet, basis: Mapping[str, tuple[float, float]]
) -> tuple[ScenarioSet, dict[str, FloatArray]]:
    """Return rows in which only perpetuals move, and their moves by underlying."""
    moves = [
        (u, change)
        for u in like.underlyings
        for change in basis.get(u, (0.0, 0.0))
        if change != 0.0
    ]
    names = tuple(
        f"{u} perpetual {100 * abs(change):.1f} % {'below' if change < 0.0 else 'above'} the index"
        for u, change in moves
    )
    rows = {
        u: np.array([change if u == moved else 0.0 for moved, change in moves])
        for u in like.underlyings
    }
    return _still(like, len(moves), names), rows


def unit_losses(
    moves: PlausibleMoves,
    contracts: Contracts,
    snapshot: MarketSnapshot,
    rules: RevaluationParameters,
) -> FloatArray:
    """Return the loss of one unit of each contract in each move.

    The moves are instantaneous. `contracts` must have been prepared under `rules`.

    Returns
    -------
    float64 (n_moves, n_contracts), US dollars
        A loss is positive.
    """
    today = values_today(contracts, snapshot, rules)
    parts: list[FloatArray] = []
    for rows in moves.sets:
        cube = build_cube(contracts, snapshot, rows, rules, base_value=today)
        ticks = cube.values.transpose(0, 2, 1).reshape(-1, len(contracts))[: len(rows)]
        parts.append(-ticks / contracts.ticks_per_usd)
    losses = np.concatenate(parts)
    level = np.array([c.level_usd for c in contracts.curves])[contracts.curve]
    for c, name in enumerate(contracts.names):
        item = instrument_from_name(name)
        change = moves.perpetual.get(item.underlying)
        if item.kind is Kind.PERPETUAL and change is not None:
            unit = contracts.unit_value[c] * level[c]
            losses[:, c] -= unit * (exponentials(change) - 1.0)
    return losses
