"""Monte Carlo: rows drawn from a Student-t copula with marginals, fitted to historical rows.

There are two factors per underlying: the log return of the index and the log move of its 30-day
volatility at the money. If the rows move the basis of perpetuals, that move is a third one. Their
dependence is a t copula: correlations sin(pi tau / 2) from Kendall's
tau, shrunk towards zero and made positive definite, and degrees of freedom by maximum likelihood.
The marginal of each factor is Student-t, or empirical with Pareto tails. All other moves (the rest
of the surface, the forward curve) follow from the two factors by regression, plus the residuals of
one historical row drawn at random. The path inside the window is a straight line plus one normal
variate per underlying, times the historical standard deviation around that line.

A row is a function of (seed, row number); see `draws`.

References
----------
Demarta, S. and McNeil, A. (2005), "The t copula and related copulas", International Statistical
Review 73.
Hill, B. (1975), "A simple general approach to inference about the tail of a distribution", Annals
of Statistics 3.
"""

from dataclasses import dataclass, replace

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.parameters import MonteCarloParameters
from margin_actors.engine.scenarios.engines.draws import (
    MAP_POINTS,
    MAP_REACH,
    MAP_STEP,
    draw_rows,
)
from margin_actors.engine.scenarios.sets.perpetual_basis import (
    BasisProvenance,
    PerpetualBasisMoves,
)
from margin_actors.engine.scenarios.sets.scenario_set import (
    AT_MONEY,
    MONEYNESS,
    MONTH,
    NEVER,
    TENORS_DAYS,
    Provenance,
    ScenarioSet,
)
from margin_actors.engine.scenarios.surface_moves import WINDOWS_MIN, design_matrix, fit_proxy
from margin_actors.errors import InvalidScenario, Problem

_DOF = (2, 3, 4, 5, 6, 8, 10, 14, 20, 30, 60)
_EIGENVALUE_MIN = 1e-6
_N_TENORS, _N_Z = len(TENORS_DAYS), len(MONEYNESS)
_LEVEL = _N_TENORS + MONTH * _N_Z + AT_MONEY


def _rounded(values: FloatArray) -> FloatArray:
    """Round to ten significant digits, so that last-bit differences of libraries have no effect."""
    scale = 10.0 ** (9 - np.floor(np.log10(np.maximum(np.abs(values), 1e-290))))
    return np.round(values * scale) / scale


@dataclass(frozen=True)
class MonteCarloModel:
    """A fitted joint distribution; `rows` returns any slice of its draws."""

    underlyings: tuple[str, ...]
    horizon_hours: float
    path_hours: FloatArray
    """float64 (n_path,): hours since the start of the window, up to its end."""
    seed: int
    copula_dof: int
    lower: FloatArray
    """float64 (d, d): Cholesky factor of the correlations of the copula. The d factors are the spot
    returns of all underlyings, then, if volatility moves, their 30-day volatility moves, then, if
    the basis of perpetuals moves, its moves."""
    maps: FloatArray
    """float64 (d, MAP_POINTS): log move of each factor by t variate of the copula."""
    coefficients: FloatArray
    """float64 (n_underlyings, 4, n_nodes): regression coefficients of each node on 1, r,
    max(-r, 0) and the move of the 30-day volatility."""
    residuals: FloatArray
    """float64 (n_history, n_underlyings, n_nodes): residuals of the regressions; n_history is 0 if
    volatility does not move."""
    bridge: FloatArray
    """float64 (n_underlyings, n_path): root mean square deviation of the log path from the straight
    line."""
    is_synthetic: bool
    notes: tuple[str, ...]
    moves_perpetual_basis: bool = False

    def rows(self, first: int, last: int, *, total: int) -> ScenarioSet:
        """Return the rows [first, last) of `total`; they do not depend on how rows are sliced."""
        n, nu, n_path = last - first, len(self.underlyings), self.path_hours.size
        spot = np.empty((n, nu))
        path = np.empty((n, nu, n_path))
        basis = np.empty((n, nu, _N_TENORS))
        vol = np.empty((n, nu, _N_TENORS * _N_Z))
        moves = bool(self.residuals.size)
        perpetual = np.empty((n, nu if self.moves_perpetual_basis else 0))
        draw_rows(
            self.seed,
            first,
            self.copula_dof,
            self.lower,
            self.maps,
            self.coefficients,
            self.residuals if moves else np.zeros((1, nu, _N_TENORS + _N_TENORS * _N_Z)),
            moves,
            self.path_hours / self.path_hours[-1],
            self.bridge,
            spot,
            path,
            basis,
            vol,
            perpetual,
        )
        made = np.full((n, nu), BasisProvenance.MADE, np.uint8)
        return ScenarioSet(
            engine="monte_carlo",
            underlyings=self.underlyings,
            horizon_hours=self.horizon_hours,
            start_time=np.full(n, NEVER),
            end_time=np.full(n, NEVER),
            spot_return=spot,
            path_hours=self.path_hours,
            path_return=path,
            basis_change=basis,
            vol_change=vol.reshape(n, nu, _N_TENORS, _N_Z),
            weight=np.full(n, 1.0 / total),
            provenance=np.full((n, nu), Provenance.MADE if moves else Provenance.NONE, np.uint8),
            is_synthetic=self.is_synthetic,
            notes=self.notes,
            perpetual_basis=(
                PerpetualBasisMoves(perpetual, made) if self.moves_perpetual_basis else None
            ),
        )


def build_monte_carlo(history: ScenarioSet, parameters: MonteCarloParameters) -> ScenarioSet:
    """Return `parameters.rows` rows drawn from the distribution fitted to `history`."""
    n = parameters.rows
    drawn = fit_monte_carlo(history, parameters).rows(0, n, total=n)
    return replace(drawn, notes=(f"{n:,} rows drawn from {len(history):,} windows", *drawn.notes))


def fit_monte_carlo(history: ScenarioSet, parameters: MonteCarloParameters) -> MonteCarloModel:
    """Return the joint distribution fitted to historical or filtered rows.

    Raises
    ------
    InvalidScenario
        If `history` moves volatility and has fewer rows than `WINDOWS_MIN`.
    """
    moves = history.has_surface_moves
    if moves and len(history) < WINDOWS_MIN:
        raise InvalidScenario(
            "the Monte Carlo model cannot be fitted",
            [Problem("scenarios.windows", f"{len(history)} windows", f"at least {WINDOWS_MIN}")],
        )
    level = history.vol_change[:, :, MONTH, AT_MONEY]
    factors, names = _factors(history, level, moves)
    lower, ranks = _dependence(factors, parameters.correlation_shrinkage)
    dof = parameters.copula_dof or _fit_dof(ranks, lower)
    maps = np.array([_map(column, dof, parameters) for column in factors.T])
    coefficients, residuals = _followers(history, level, moves)
    share = history.path_hours / history.path_hours[-1]
    off_line = history.path_return - history.spot_return[:, :, None] * share
    correlation = lower @ lower.T
    pairs = ", ".join(
        f"{names[i]} and {names[j]} {correlation[i, j]:.2f}"
        for i in range(len(names))
        for j in range(i)
    )
    return MonteCarloModel(
        underlyings=history.underlyings,
        horizon_hours=history.horizon_hours,
        path_hours=history.path_hours,
        seed=parameters.seed,
        copula_dof=dof,
        lower=lower,
        maps=maps,
        coefficients=coefficients,
        residuals=residuals,
        bridge=_rounded(np.sqrt(np.mean(off_line * off_line, axis=0))),
        is_synthetic=history.is_synthetic,
        notes=(
            f"t copula of {dof} degrees of freedom; correlations: {pairs}",
            f"marginals: {parameters.marginals.replace('_', '-')}, fitted to {history.engine} rows",
            *history.notes,
        ),
        moves_perpetual_basis=history.perpetual_basis is not None,
    )


def _factors(history: ScenarioSet, level: FloatArray, moves: bool) -> tuple[FloatArray, list[str]]:
    """Return the factors of the copula, float64 (n_history, d), and their names."""
    columns, names = [history.spot_return], [f"{u} spot" for u in history.underlyings]
    if moves:
        columns.append(level)
        names += [f"{u} volatility" for u in history.underlyings]
    if history.perpetual_basis is not None:
        columns.append(history.perpetual_basis.change)
        names += [f"{u} perpetual basis" for u in history.underlyings]
    return np.hstack(columns), names


def _dependence(factors: FloatArray, shrinkage: float) -> tuple[FloatArray, FloatArray]:
    """Return the Cholesky factor of the shrunk correlations (d, d) and ranks (n, d) in (0, 1).

    `factors` has shape (n, d).
    """
    from scipy.stats import kendalltau, rankdata

    n, d = factors.shape
    correlation = np.eye(d)
    for i in range(d):
        for j in range(i):
            tau = np.asarray(kendalltau(factors[:, i], factors[:, j]), np.float64)[0]
            rho = (1.0 - shrinkage) * np.sin(0.5 * np.pi * np.nan_to_num(tau))
            correlation[i, j] = correlation[j, i] = rho
    value, vector = np.linalg.eigh(correlation)
    if value.min() < _EIGENVALUE_MIN:  # pairwise estimates may be inconsistent
        mended = vector * np.maximum(value, _EIGENVALUE_MIN) @ vector.T
        scale = np.sqrt(np.diag(mended))
        correlation = mended / np.outer(scale, scale)
    ranks = np.column_stack([rankdata(column) / (n + 1.0) for column in factors.T])
    lower = np.linalg.cholesky(np.round(correlation, 9))
    return np.asarray(lower, np.float64), np.asarray(ranks, np.float64)


def _fit_dof(ranks: FloatArray, lower: FloatArray) -> int:
    """Return the maximum likelihood degrees of freedom of the t copula among `_DOF`."""
    from scipy.special import gammaln
    from scipy.stats import t as student

    n, d = ranks.shape
    if d == 1:
        return _DOF[-1]
    ln_det = 2.0 * float(np.log(np.diag(lower)).sum())
    best, chosen = -np.inf, _DOF[-1]
    for nu in _DOF:
        x = student.ppf(ranks, nu)
        z = np.linalg.solve(lower, x.T)
        joint = gammaln(0.5 * (nu + d)) + (d - 1) * gammaln(0.5 * nu) - d * gammaln(0.5 * (nu + 1))
        value = n * (joint - 0.5 * ln_det)
        value -= 0.5 * (nu + d) * float(np.log1p((z * z).sum(axis=0) / nu).sum())
        value += 0.5 * (nu + 1) * float(np.log1p(x * x / nu).sum())
        if value > best:
            best, chosen = value, nu
    return chosen


def _map(column: FloatArray, dof: int, parameters: MonteCarloParameters) -> FloatArray:
    """Return the moves (MAP_POINTS,) of a factor at the t variates sinh(-12), ..., sinh(12)."""
    from scipy.stats import t as student

    grid = np.sinh(MAP_STEP * (np.arange(MAP_POINTS) - MAP_REACH))
    lower_tail = student.cdf(-np.abs(grid), dof)  # both tails, without cancellation
    if parameters.marginals == "student_t":
        own, location, scale = student.fit(column)
        own = float(np.clip(own, 2.05, 200.0))
        moves = location + scale * np.copysign(student.isf(lower_tail, own), grid)
    else:
        moves = np.where(
            grid <= 0.0,
            _empirical(column, lower_tail, parameters),
            -_empirical(-column, lower_tail, parameters),
        )
    worst, best = parameters.reach * column.min(), parameters.reach * column.max()
    return _rounded(np.maximum.accumulate(np.clip(moves, worst, best)))


def _empirical(column: FloatArray, p: FloatArray, parameters: MonteCarloParameters) -> FloatArray:
    """Return the quantiles at p <= 1/2 of the empirical distribution with a lower Pareto tail."""
    ordered = np.sort(column)
    n = ordered.size
    k = max(5, int(parameters.tail_share * n))
    centre = float(np.median(ordered))
    threshold = ordered[k] - centre  # negative unless the moves are degenerate
    inside = np.interp(p, (np.arange(n) + 1.0) / (n + 1.0), ordered)
    if threshold >= 0.0:
        return inside
    shape = float(np.mean(np.log((ordered[:k] - centre) / threshold)))
    shape = min(max(shape, 1e-3), parameters.tail_index_max)
    edge = (k + 1.0) / (n + 1.0)
    tail = centre + threshold * (edge / np.maximum(p, 1e-300)) ** shape
    return np.where(p < edge, tail, inside)


def _followers(
    history: ScenarioSet, level: FloatArray, moves: bool
) -> tuple[FloatArray, FloatArray]:
    """Return the regressions of all nodes on the factors; see `MonteCarloModel`.

    Parameters
    ----------
    history : ScenarioSet
    level : float64 (n_history, n_underlyings)
        Log moves of the 30-day volatility at the money.
    moves : bool
        Whether the volatility surface moves.

    Returns
    -------
    coefficients : float64 (n_underlyings, 4, n_nodes)
    residuals : float64 (n_history, n_underlyings, n_nodes)
    """
    n, nu = history.spot_return.shape
    n_nodes = _N_TENORS + _N_TENORS * _N_Z
    coefficients = np.zeros((nu, 4, n_nodes))
    if not moves:
        return coefficients, np.empty((0, nu, n_nodes))
    residuals = np.empty((n, nu, n_nodes))
    for u, name in enumerate(history.underlyings):
        nodes = np.hstack([history.basis_change[:, u], history.vol_change[:, u].reshape(n, -1)])
        proxy = fit_proxy(
            name,
            design_matrix(history.spot_return[:, u], level[:, u]),
            nodes,
            names=("1", "r", "max(-r, 0)", "30-day volatility"),
        )
        coefficients[u] = proxy.coefficients
        residuals[:, u] = proxy.residuals
        coefficients[u, :, _LEVEL] = (0.0, 0.0, 0.0, 1.0)  # this node is the factor, exactly
        residuals[:, u, _LEVEL] = 0.0
    return coefficients, residuals
