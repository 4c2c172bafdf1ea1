"""State of each curve in each scenario, prepared for the pricing kernel."""

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.parameters import RevaluationParameters
from margin_actors.engine.pricing import FIELDS, N_FIELDS, TILE
from margin_actors.engine.revaluation.contracts import Contracts
from margin_actors.engine.revaluation.curves import Curve
from margin_actors.engine.scenarios import AT_MONEY, MONEYNESS, TENORS_DAYS, ScenarioSet
from margin_actors.errors import InvalidScenario, Problem
from margin_actors.market.snapshots import HOURS_PER_YEAR, MarketSnapshot
from margin_actors.numerics.elementary import exponentials, logarithms


def remaining_share(tenor: float, window_minutes: float) -> float:
    """Return the share of the settlement average that is not yet fixed, in (0, 1].

    `tenor` is the positive time to expiry in years, `window_minutes` the averaging window.
    """
    minutes = tenor * HOURS_PER_YEAR * 60.0
    if window_minutes <= 0.0 or minutes >= window_minutes:
        return 1.0
    return minutes / window_minutes


def deviation_factor(curve: Curve, horizon_hours: float, time: str) -> float:
    """Return sqrt(T' / T), with T' the time to expiry that remains when the profit is measured.

    1 for an instantaneous move and for the index; otherwise 0 for an expiry within the horizon.
    With `time` "settle_expiring" the factor is 1 for later expiries.
    """
    if time == "instantaneous" or curve.tenor_years <= 0.0:
        return 1.0
    if time == "settle_expiring":
        return 0.0 if curve.expires_within(horizon_hours) else 1.0
    left = curve.tenor_years - horizon_hours / HOURS_PER_YEAR
    return float(np.sqrt(max(left, 0.0) / curve.tenor_years))


def curve_states(
    contracts: Contracts,
    snapshot: MarketSnapshot,
    scenarios: ScenarioSet | None,
    parameters: RevaluationParameters,
) -> FloatArray:
    """Return the states of all curves, shape (n_tiles, n_curves, N_FIELDS, TILE).

    Rows of the third axis are `FIELDS`. Without scenarios the result is one tile of today's market.
    The last tile is padded with scenarios that move nothing.

    Raises
    ------
    InvalidScenario
        If the scenario set does not move an underlying of the curves.
    """
    n = len(scenarios) if scenarios is not None else 1
    n_tiles = -(-n // TILE)
    padded = n_tiles * TILE
    moves_vol = scenarios is not None and scenarios.has_surface_moves
    state = np.zeros((N_FIELDS, padded))
    delta = np.zeros((len(MONEYNESS), padded))
    by_underlying: dict[str, FloatArray] = {}
    out = np.empty((n_tiles, len(contracts.curves), N_FIELDS, TILE))
    for c, curve in enumerate(contracts.curves):
        spot_move, forward_move, settled = _moves(
            curve, scenarios, parameters, n, padded, moves_vol
        )
        _fill_curve(state, curve, snapshot, spot_move, forward_move, settled)
        if curve.slice_index >= 0:
            if scenarios is not None and moves_vol:
                if curve.underlying not in by_underlying:
                    by_underlying[curve.underlying] = _rows_last(scenarios, curve.underlying)
                _vol_moves(curve, scenarios, by_underlying[curve.underlying], delta[:, :n])
            _fill_smile(state, contracts.at_money_deviation[c], curve, delta, parameters)
        else:
            state[FIELDS.smile_scale :] = 0.0
        out[:, c] = state.reshape(N_FIELDS, n_tiles, TILE).transpose(1, 0, 2)
    return out


def factor_nodes(contracts: Contracts) -> FloatArray:
    """Return the log-moneyness of the nodes of the factor grid at each curve, (n_curves, 7)."""
    return np.outer(contracts.at_money_deviation, np.array(MONEYNESS))


def _moves(
    curve: Curve,
    scenarios: ScenarioSet | None,
    parameters: RevaluationParameters,
    n: int,
    padded: int,
    moves_surface: bool,
) -> tuple[FloatArray, FloatArray, bool]:
    """Return (log return of the index, of the curve, whether the curve settles in the horizon).

    The returns are float64 (padded,), of which the first n are scenarios and the others 0.
    """
    spot, forward = np.zeros(padded), np.zeros(padded)
    if scenarios is None:
        return spot, forward, False
    if curve.underlying not in scenarios.underlyings:
        raise InvalidScenario(
            f"the scenarios do not move {curve.underlying}",
            [
                Problem(
                    f"scenario set {scenarios.id}",
                    f"it moves only {', '.join(scenarios.underlyings)}",
                    f"add {curve.underlying} to scenarios.underlyings and rebuild the set",
                )
            ],
        )
    u = scenarios.underlyings.index(curve.underlying)
    if parameters.time != "instantaneous" and curve.expires_within(scenarios.horizon_hours):
        hours = curve.tenor_years * HOURS_PER_YEAR
        steps = np.append(0.0, scenarios.path_hours)
        right = int(np.clip(np.searchsorted(steps, hours), 1, steps.size - 1))
        weight = (hours - steps[right - 1]) / (steps[right] - steps[right - 1])
        before = scenarios.path_return[:, u, right - 2] if right > 1 else np.zeros(n)
        after = scenarios.path_return[:, u, right - 1]
        forward[:n] = before + weight * (after - before)
        spot[:n] = forward[:n]
        return spot, forward, True
    spot[:n] = scenarios.spot_return[:, u]
    share = 1.0
    if curve.expiry is not None:
        share = remaining_share(curve.tenor_years, parameters.settlement_window_minutes)
    forward[:] = spot
    if curve.is_perpetual and scenarios.perpetual_basis is not None:
        forward[:n] = spot[:n] + scenarios.perpetual_basis.change[:, u]
    if moves_surface and curve.expiry is not None:
        forward[:n] = spot[:n] + _basis_move(curve, scenarios, u)
    if share < 1.0:  # part of the settlement average is already fixed
        forward[:] = logarithms(1.0 + share * (exponentials(forward) - 1.0))[0]
    return spot, forward, False


def tenor_weights(tenor_days: float, grid: FloatArray) -> tuple[int, int, float]:
    """Return (i, j, weight of j) for interpolation at a tenor between the maturities of a grid.

    Interpolation is linear in ln T and flat outside the grid. At a maturity of the grid the weight
    is exactly 0 or 1.

    Parameters
    ----------
    tenor_days : float
    grid : float64 (n_tenors,)
        Constant maturities in days, ascending.
    """
    if tenor_days <= grid[0]:
        return 0, 0, 0.0
    if tenor_days >= grid[-1]:
        return grid.size - 1, grid.size - 1, 0.0
    j = int(np.searchsorted(grid, tenor_days))
    ln = logarithms(np.array([tenor_days, grid[j - 1], grid[j]]))[0]
    return j - 1, j, float((ln[0] - ln[1]) / (ln[2] - ln[1]))


def _basis_move(curve: Curve, scenarios: ScenarioSet, u: int) -> FloatArray:
    days = curve.tenor_years * 365.0
    i, j, weight = tenor_weights(days, scenarios.tenors_days)
    move = (1.0 - weight) * scenarios.basis_change[:, u, i] + weight * scenarios.basis_change[
        :, u, j
    ]
    return move * min(days / TENORS_DAYS[0], 1.0)  # the basis vanishes at expiry


def _rows_last(scenarios: ScenarioSet, underlying: str) -> FloatArray:
    """Return the volatility moves of an underlying, (n_tenors, n_moneyness, n_scenarios)."""
    u = scenarios.underlyings.index(underlying)
    return np.ascontiguousarray(scenarios.vol_change[:, u].transpose(1, 2, 0))


def _vol_moves(curve: Curve, scenarios: ScenarioSet, moves: FloatArray, out: FloatArray) -> None:
    """Write the change of ln(volatility) at the curve's maturity, (n_moneyness, n_scenarios)."""
    i, j, weight = tenor_weights(curve.tenor_years * 365.0, scenarios.tenors_days)
    out[:] = (1.0 - weight) * moves[i] + weight * moves[j]


def _fill_curve(
    state: FloatArray,
    curve: Curve,
    snapshot: MarketSnapshot,
    spot_move: FloatArray,
    forward_move: FloatArray,
    settled: bool,
) -> None:
    index = snapshot.index_usd[curve.underlying]
    forward = (index if settled else curve.level_usd) * exponentials(forward_move)
    state[FIELDS.forward] = forward
    state[FIELDS.ln_forward], state[FIELDS.ln_forward_low] = logarithms(forward)
    if curve.discount is not None:
        state[FIELDS.value_scale] = 1.0 if settled else curve.discount
    elif settled:
        state[FIELDS.value_scale] = 1.0
    else:
        state[FIELDS.value_scale] = (index * exponentials(spot_move)) / forward


def _fill_smile(
    state: FloatArray,
    at_money_deviation: float,
    curve: Curve,
    delta: FloatArray,
    parameters: RevaluationParameters,
) -> None:
    ln_forward = state[FIELDS.ln_forward]
    ln_now = logarithms(np.array([curve.level_usd]))[0][0]
    if parameters.dynamics == "sticky_strike":
        state[FIELDS.smile_scale] = 1.0
        state[FIELDS.smile_offset] = -ln_now
    elif parameters.dynamics == "sticky_delta":
        shrink = exponentials(-delta[AT_MONEY])
        state[FIELDS.smile_scale] = shrink
        state[FIELDS.smile_offset] = -shrink * ln_forward
    else:
        state[FIELDS.smile_scale] = 1.0
        state[FIELDS.smile_offset] = -ln_forward
    value = exponentials(delta)
    nodes = np.array(MONEYNESS) * at_money_deviation
    slope = (value[1:] - value[:-1]) / (nodes[1:] - nodes[:-1])[:, None]
    state[FIELDS.factor] = value[0]
    state[FIELDS.slope] = slope[0]
    state[FIELDS.bends :] = slope[1:] - slope[:-1]
