"""Regression proxy of surface moves for windows without a recorded option chain.

    move = a + b r + c max(-r, 0) [+ d * change of ln(volatility index)] + residual

is fitted by least squares to each node of the surface and of the basis curve, over the windows of
the chain history; r is the log return of the index over the window. Volatility responds more to a
fall than to a rise, hence the third term. A proxy without residual understates volatility risk, so
each proxied row adds the residuals of one fitted window (all nodes of all underlyings together),
chosen by a random number that depends on the end time of the row.

The normal equations are summed exactly (math.fsum) and solved by Cholesky decomposition, so that a
scenario set has the same bits, and hence the same id, on every machine.
"""

from dataclasses import dataclass
from math import fsum, sqrt

import numpy as np

from margin_actors.arrays import FloatArray

WINDOWS_MIN = 30
"""Smallest number of windows to which a proxy is fitted."""
WITHOUT_SURFACE_MOVES = (
    "use a model that needs no chains, such as the preset plain-hs, or write a model file with "
    '[scenarios] surface_moves = "none", [revaluation] smile = "mark", dynamics = "sticky_strike", '
    "[addons.model_risk] enabled = false, and [tails.extended_moves] enabled = false"
)
"""Remedy if the data do not suffice for moves of the volatility surface."""


@dataclass(frozen=True)
class Proxy:
    """Fitted regressions of all nodes of one underlying."""

    underlying: str
    regressors: tuple[str, ...]
    coefficients: FloatArray
    """float64 (n_regressors, n_nodes)."""
    residuals: FloatArray
    """float64 (n_windows, n_nodes): residuals of the fit; changes of logarithms."""
    r_squared: FloatArray
    """float64 (n_nodes,): coefficient of determination."""
    residual_deviation: FloatArray
    """float64 (n_nodes,): root mean square of the residuals; change of the logarithm."""

    def moves(self, design: FloatArray) -> FloatArray:
        """Return the fitted moves without residuals.

        Parameters
        ----------
        design : float64 (n_rows, n_regressors)
            Regressors of each row, log returns and functions of them, as `design_matrix` returns
            them.

        Returns
        -------
        float64 (n_rows, n_nodes)
        """
        out = np.zeros((design.shape[0], self.coefficients.shape[1]))
        for j in range(design.shape[1]):  # a fixed order of summation, unlike BLAS
            out += design[:, j : j + 1] * self.coefficients[j]
        return out


def design_matrix(spot_return: FloatArray, index_change: FloatArray | None = None) -> FloatArray:
    """Return the regressors of each row: 1, r, max(-r, 0) and, if given, the index change.

    Parameters
    ----------
    spot_return : float64 (n_rows,)
        Log return of the underlying's index.
    index_change : float64 (n_rows,), optional
        Change of ln(volatility index).

    Returns
    -------
    float64 (n_rows, 3) or (n_rows, 4)
    """
    columns = [np.ones_like(spot_return), spot_return, np.maximum(-spot_return, 0.0)]
    if index_change is not None:
        columns.append(index_change)
    return np.column_stack(columns)


def fit_proxy(
    underlying: str, design: FloatArray, moves: FloatArray, *, names: tuple[str, ...]
) -> Proxy:
    """Return the least-squares fit of the moves on the regressors.

    Parameters
    ----------
    underlying : str
    design : float64 (n_windows, n_regressors)
        Regressors of each window, as `design_matrix` returns them: log returns and their
        functions.
    moves : float64 (n_windows, n_nodes)
        Changes of logarithms of the nodes.
    names : tuple of str
        Names of the regressors.

    Raises
    ------
    ValueError
        If there are fewer than `WINDOWS_MIN` windows or the regressors are linearly dependent.
    """
    n_windows, n_regressors = design.shape
    if n_windows < WINDOWS_MIN:
        raise ValueError(f"a proxy requires at least {WINDOWS_MIN} windows, got {n_windows}")
    normal = np.array(
        [
            [fsum((design[:, i] * design[:, j]).tolist()) for j in range(n_regressors)]
            for i in range(n_regressors)
        ]
    )
    right = np.array(
        [
            [fsum((design[:, i] * moves[:, m]).tolist()) for m in range(moves.shape[1])]
            for i in range(n_regressors)
        ]
    )
    coefficients = _cholesky_solve(normal, right)
    fitted = np.zeros_like(moves)
    for j in range(n_regressors):
        fitted += design[:, j : j + 1] * coefficients[j]
    residuals = moves - fitted
    total = moves - moves.mean(axis=0)
    unexplained = (residuals**2).sum(axis=0)
    return Proxy(
        underlying=underlying,
        regressors=names,
        coefficients=coefficients,
        residuals=residuals,
        r_squared=1.0 - unexplained / np.maximum((total**2).sum(axis=0), 1e-300),
        residual_deviation=np.sqrt(unexplained / n_windows),
    )


def _cholesky_solve(matrix: FloatArray, right: FloatArray) -> FloatArray:
    """Return the solution of matrix @ x = right for a positive definite matrix (n, n).

    LAPACK's result depends on the machine in the last bits; here every sum is exact. The Cholesky
    factors of the engines are of correlations instead: those of the filter scale the rows, those of
    the Monte Carlo model are taken of correlations that are rounded first.
    """
    n = matrix.shape[0]
    lower = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            total = fsum([matrix[i, j], *(-lower[i, q] * lower[j, q] for q in range(j))])
            if i == j:
                if total <= 1e-14 * matrix[i, i]:
                    raise ValueError("the regressors of the proxy are linearly dependent")
                lower[i, i] = sqrt(total)
            else:
                lower[i, j] = total / lower[j, j]
    out = np.array(right)
    for i in range(n):
        for q in range(i):
            out[i] -= lower[i, q] * out[q]
        out[i] /= lower[i, i]
    for i in reversed(range(n)):
        for q in range(i + 1, n):
            out[i] -= lower[q, i] * out[q]
        out[i] /= lower[i, i]
    return out
