"""The market after a scenario, values and profits: sections 3 and 4 of the page."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

from replication.export import HOURS_PER_YEAR, Array, Export, Rules

# --- 3. The market after a scenario -------------------------------------------------------------


def tenor_weights(days: float, grid: list[float]) -> tuple[int, int, float]:
    """Indices of the grid tenors around a tenor, and the weight of the later one, (10)."""
    if days <= grid[0]:
        return 0, 0, 0.0
    if days >= grid[-1]:
        return len(grid) - 1, len(grid) - 1, 0.0
    j = int(np.searchsorted(grid, days))
    w = (np.log(days) - np.log(grid[j - 1])) / (np.log(grid[j]) - np.log(grid[j - 1]))
    return j - 1, j, float(w)


def at_tenor(export: Export, days: float, column: Callable[[str], str]) -> Array:
    """A change of the surface, interpolated to a tenor by (10): one number per row."""
    grid = export.manifest["scenarios"]["tenors_days"]
    i, j, w = tenor_weights(days, grid)
    early, late = (export.scenarios[column(f"{grid[n]:g}d")].to_numpy() for n in (i, j))
    return (1.0 - w) * early + w * late


def svi_variance(smile: "pd.Series[Any]", k: Array) -> Array:
    """SVI of (16): w(k) = a + b (rho (k - m) + sqrt((k - m)^2 + sigma^2))."""
    y = k - smile["m"]
    return smile["a"] + smile["b"] * (smile["rho"] * y + np.sqrt(y * y + smile["sigma"] ** 2))


def sabr_variance(smile: "pd.Series[Any]", k: Array) -> Array:
    """SABR of (16): Hagan et al. (2002), formula 2.17 with f = 1 and K = e^k, squared times T."""
    alpha, beta, rho, nu = (float(smile[n]) for n in ("alpha", "beta", "rho", "nu"))
    power = np.exp(0.5 * (1.0 - beta) * k)  # (f K)^((1 - beta) / 2)
    z = -nu / alpha * power * k  # ln(f / K) = -k
    chi = np.log((np.sqrt(1.0 - 2.0 * rho * z + z * z) + z - rho) / (1.0 - rho))
    series = 1.0 - 0.5 * rho * z + (2.0 - 3.0 * rho**2) / 12.0 * z * z
    is_small = np.abs(z) < 1e-4
    ratio = np.where(is_small, series, z / np.where(is_small, 1.0, chi))
    c = (1.0 - beta) ** 2
    wings = power * (1.0 + c * k**2 / 24.0 + c**2 * k**4 / 1920.0)
    drift = (
        c / 24.0 * alpha**2 / power**2
        + 0.25 * rho * beta * nu * alpha / power
        + (2.0 - 3.0 * rho**2) / 24.0 * nu**2
    )
    vol = np.maximum(alpha / wings * ratio * (1.0 + drift * smile["tenor_years"]), 1e-8)
    return vol**2 * smile["tenor_years"]


VARIANCE = {"svi": svi_variance, "sabr": sabr_variance}


def black76(F: Array, K: Array, s: Array, is_call: NDArray[np.bool_]) -> Array:
    """(20), from the out-of-the-money side: intrinsic value + min(F, K) N(-u) - max(F, K) N(-v)."""
    h, s = np.abs(np.log(F / K)), np.maximum(s, 1e-100)
    u, v = h / s - 0.5 * s, h / s + 0.5 * s
    outer = np.maximum(np.minimum(F, K) * ndtr(-u) - np.maximum(F, K) * ndtr(-v), 0.0)
    return outer + np.maximum(np.where(is_call, F - K, K - F), 0.0)


def moved_forward(
    export: Export, curve: "pd.Series[Any]", rules: Rules, *, settles: bool
) -> tuple[Array, Array]:
    """S' and F' of one curve in each row, (11) to (13)."""
    u, S, F = curve["underlying"], float(curve["index_usd"]), float(curve["forward_usd"])
    T, rows = float(curve["tenor_years"]), export.scenarios
    r = rows[f"{u}.spot_return"].to_numpy()
    if settles:  # at the price of the path at the expiry, linear between its points
        hours = export.manifest["scenarios"]["path_hours"]
        steps = np.append(0.0, hours)
        path = [np.zeros(len(rows)), *(rows[f"{u}.path_return.{h:g}h"].to_numpy() for h in hours)]
        j = int(np.clip(np.searchsorted(steps, T * HOURS_PER_YEAR), 1, steps.size - 1))
        w = (T * HOURS_PER_YEAR - steps[j - 1]) / (steps[j] - steps[j - 1])
        settled = S * np.exp(path[j - 1] + w * (path[j] - path[j - 1]))
        return settled, settled
    if T == 0.0:
        change = f"{u}.perpetual_basis_change"
        moves = curve["kind"] == "perpetual" and change in rows
        return S * np.exp(r), F * np.exp(r + rows[change].to_numpy() if moves else r)
    beta = np.zeros(len(rows))
    if moves_volatility(export):
        change = at_tenor(export, T * 365.0, lambda d: f"{u}.basis_change.{d}")
        beta = change * min(T * 365.0 / 7.0, 1.0)
    minutes, window = T * HOURS_PER_YEAR * 60.0, float(rules["settlement_window_minutes"])
    rho = 1.0 if window <= 0.0 or minutes >= window else minutes / window
    return S * np.exp(r), F * (1.0 + rho * (np.exp(r + beta) - 1.0))


def moves_volatility(export: Export) -> bool:
    """Whether any row of the set moves volatilities."""
    names = [f"{u}.provenance" for u in export.manifest["scenarios"]["underlyings"]]
    return bool((export.scenarios[names] != "none").to_numpy().any())


def volatility_factor(export: Export, smile: "pd.Series[Any]", k: Array) -> Array:
    """f(k) of (15): linear in k between the nodes z s_0, constant outside; k is (options, rows)."""
    u, days = smile["underlying"], float(smile["tenor_years"]) * 365.0
    zs = export.manifest["scenarios"]["moneyness"]
    nodes = np.array(zs) * smile["at_money_deviation"]
    f = [np.exp(at_tenor(export, days, lambda d, z=z: f"{u}.vol_change.{d}.z{z:g}")) for z in zs]
    x = np.clip(k, nodes[0], nodes[-1])
    out = np.broadcast_to(f[0], k.shape).copy()
    for i in range(len(zs) - 1):
        slope = (f[i + 1] - f[i]) / (nodes[i + 1] - nodes[i])
        out += slope * np.clip(x - nodes[i], 0.0, nodes[i + 1] - nodes[i])
    return out


def deviations(
    export: Export, options: pd.DataFrame, curve: "pd.Series[Any]", after: Array, rules: Rules
) -> tuple[Array, Array]:
    """s today (n_options,) and s' (n_options, n_rows): sigma sqrt(T) by (17) to (19)."""
    mark = (options["mark_vol_annual"] * np.sqrt(options["tenor_years"])).to_numpy(float)
    K, F = options["strike_usd"].to_numpy(float), float(curve["forward_usd"])
    if rules["smile"] == "mark":
        return mark, np.broadcast_to(mark[:, None], (mark.size, after.size))
    chosen = export.smiles[
        (export.smiles["smile"] == rules["smile"])
        & (export.smiles["underlying"] == curve["underlying"])
        & (export.smiles["expiry"] == curve["expiry"])
    ]
    smile = chosen.iloc[0]
    variance = VARIANCE[rules["smile"]]
    today = np.sqrt(np.maximum(variance(smile, np.log(K / F)), 0.0))
    is_anchored = np.isfinite(mark) & (today > 0.0) & rules["anchor_to_marks"]
    if rules["dynamics"] == "frozen":
        s = np.where(np.isfinite(mark), mark, today)
        return s, np.broadcast_to(s[:, None], (s.size, after.size))
    A = np.where(is_anchored, mark / today, 1.0)
    u, days = curve["underlying"], float(curve["tenor_years"]) * 365.0
    if rules["dynamics"] == "sticky_strike":
        k = np.repeat(np.log(K / F)[:, None], after.size, axis=1)
    else:
        k = np.log(K[:, None] / after[None, :])
    if rules["dynamics"] == "sticky_delta" and moves_volatility(export):
        k = k * np.exp(-at_tenor(export, days, lambda d: f"{u}.vol_change.{d}.z0"))
    s = A[:, None] * np.sqrt(np.maximum(variance(smile, k), 0.0))
    if moves_volatility(export):
        s = s * volatility_factor(export, smile, k)
    return A * today, s


# --- 4. Values and profits ----------------------------------------------------------------------


def profits_of(export: Export, rules: Rules) -> Array:
    """Profit of one lot of each contract in each row, in ticks: the summands of (26).

    Without rounding (`pnl_quantum_usd` = null), the profit of one unit in US dollars.
    """
    key = json.dumps(rules, sort_keys=True)
    if key in export.profits:
        return export.profits[key]
    contracts = export.contracts
    out = np.full((len(contracts), len(export.scenarios)), np.nan)
    is_perpetual = contracts["kind"] == "perpetual"
    keys = [contracts["underlying"], contracts["expiry"], contracts["is_inverse"], is_perpetual]
    for _, group in contracts.groupby(keys, sort=False, dropna=False):
        at, curve = group.index.to_numpy(), group.iloc[0]
        hours = float(curve["tenor_years"]) * HOURS_PER_YEAR
        settles = rules["time"] != "instantaneous" and 0.0 < hours <= export.horizon_hours
        S1, F1 = moved_forward(export, curve, rules, settles=settles)
        is_option = (group["kind"] == "option").to_numpy()
        if is_option.any():
            options, after = group[is_option], (S1, F1, settles)
            out[at[is_option]] = option_profits(export, options, curve, after, rules)
        # (23) F' - F per coin; (24) F'/F - 1 per US dollar of notional. Spot is always per coin.
        per_dollar = (~is_option) & group["is_inverse"].to_numpy() & (group["kind"] != "spot")
        F = float(curve["forward_usd"])
        out[at[per_dollar]] = F1 / F - 1.0
        out[at[~is_option & ~per_dollar]] = F1 - F
    if rules["pnl_quantum_usd"] is not None:  # (26): a whole number of ticks per lot
        out = np.round(out * (contracts["lot"].to_numpy(float) / rules["pnl_quantum_usd"])[:, None])
    export.profits[key] = out
    return out


def option_profits(
    export: Export,
    options: pd.DataFrame,
    curve: "pd.Series[Any]",
    after: tuple[Array, Array, bool],
    rules: Rules,
) -> Array:
    """V' - V of the options of one curve, (n_options, n_rows), by (20) to (22)."""
    S1, F1, settles = after
    S, F, T = (float(curve[n]) for n in ("index_usd", "forward_usd", "tenor_years"))
    K = options["strike_usd"].to_numpy(float)[:, None]
    is_call = options["is_call"].to_numpy(bool)[:, None]
    s, s1 = deviations(export, options, curve, F1, rules)
    scale, scale1 = S / F, S1 / F1
    if not curve["is_inverse"]:
        scale = float(curve["discount"])
        scale1 = np.full(F1.size, scale)
    if settles:
        s1, scale1 = np.zeros_like(s1), np.ones(F1.size)
    elif rules["time"] == "horizon":
        s1 = s1 * np.sqrt(max(T - export.horizon_hours / HOURS_PER_YEAR, 0.0) / T)
    today = scale * black76(np.array([[F]]), K, s[:, None], is_call)
    return scale1 * black76(F1[None, :], K, s1, is_call) - today


def pnl_of(export: Export, positions: pd.DataFrame, rules: Rules) -> Array:
    """x_s of (26): profit of positions in each row, US dollars."""
    place = positions["place"].to_numpy()
    lots, quantum = positions["lots"].to_numpy(float), rules["pnl_quantum_usd"]
    return (lots @ profits_of(export, rules)[place]) * (1.0 if quantum is None else quantum)
