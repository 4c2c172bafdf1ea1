"""Recompute margin requirements from the files of `margin export`, without this project's code.

    margin export RUN --out EXPORT --member M000
    python examples/replicate.py EXPORT

Only numpy, scipy and pandas (with pyarrow) are imported. Every component is one function, with the
formulas numbered as on the page "How your margin is computed"; the columns of the files are on the
page "Files for members". The program prints each component recomputed and exported, and exits with
status 1 if one differs by more than 1e-6 relative, or 2 if the export contains something that
it does not know: an unknown component must not pass unnoticed.

Signs: a profit is positive, VaR and ES are positive losses, a long position is positive.
"""

import hashlib
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

Array = NDArray[np.float64]
Rules = dict[str, Any]
"""Revaluation rules: the section `revaluation` of the model."""
Bucket = tuple[str, str]
"""Underlying and expiry bucket."""
Exposures = dict[Bucket, tuple[float, float]]
"""Net delta in coins and vega in US dollars per 1.00 of volatility, by bucket."""
HedgeRates = dict[Bucket, dict[str, tuple[float, float, float]]]
"""Vega of the hedge per vega, spread and remaining risk per risk, by bucket and neighbour."""

FORM = "margin.export/1"
RELATIVE_MAX = 1e-6
"""Largest relative difference of a component."""
USD_MIN = 1.0
"""Differences of smaller components are compared with this amount."""
HOURS_PER_YEAR = 8760.0
ROUNDING = 1e-9
"""Relative tolerance for the rounding of payoffs."""


SECTIONS = {"core", "long", "stress_period", "stress", "extended"}
PARAMETERS = """
revaluation: smile sabr_beta anchor_to_marks dynamics time settlement_window_minutes
revaluation: shocked_surfaces unlisted_options pnl_quantum_usd lot_coins lot_usd
revaluation.rates: use treasury_sources overnight_sources age_days_max missing_forwards
measure: confidence core blend_var_share overlap
diversification: enabled reduction_max correlation_stress
procyclicality.buffer: enabled share fast_rise fast_days rebuild_days
procyclicality.stressed_weight: enabled weight form
procyclicality.long_floor: enabled years
procyclicality.stress_period: floor days confidence
tails.extended_moves: enabled jointly alone opposite rows vol_power
tails.short_option_minimum: enabled at_money half_distance least count
addons: bucket_days measure
addons.concentration: enabled participation outright_volume_coins volume_floor_coins
addons.concentration: open_interest_steps
addons.liquidity: enabled outright_half_spread vol_half_spread_default offset_share size_share
addons.liquidity: size_power size_factor_max
addons.model_risk: enabled alternatives share_min
addons.expiry_risk: enabled
addons.depth: days change_max
addons.members: enabled
addons.hedge: enabled crossings
addons.close_out: parity value_bound settling_share
addons.loss_bound: enabled
"""
"""Parameters of the sections that this program reads: the others determine its input files."""
CHOICES: dict[str, set[str]] = {
    "revaluation.smile": {"mark", "svi", "sabr"},
    "revaluation.dynamics": {"sticky_moneyness", "sticky_strike", "sticky_delta", "frozen"},
    "revaluation.time": {"instantaneous", "horizon", "settle_expiring"},
    "procyclicality.stressed_weight.form": {"blend", "observations"},
    "tails.short_option_minimum.count": {"larger_side", "sum"},
    "addons.measure": {"var", "core"},
}


class UnknownContentError(Exception):
    """The export contains something that this program does not recompute."""


@dataclass
class Export:
    """The files of an export, and what has been computed from them."""

    manifest: dict[str, Any]
    model: dict[str, Any]
    contracts: pd.DataFrame
    smiles: pd.DataFrame
    scenarios: pd.DataFrame
    depth: pd.DataFrame
    positions: pd.DataFrame
    components: pd.DataFrame
    measures: pd.DataFrame
    member_sizes: pd.DataFrame
    accounts: list[str]
    profits: dict[str, Array] = field(default_factory=dict)
    """By rules, as JSON: profit of one lot in ticks, (n_contracts, n_rows)."""

    @cached_property
    def hedges(self) -> HedgeRates:
        """Rates of hedges, if they bound the concentration charge."""
        return hedge_rates(self)

    @property
    def horizon_hours(self) -> float:
        """Margin period of risk."""
        return float(self.manifest["scenarios"]["horizon_hours"])

    @property
    def rules(self) -> Rules:
        """The model's own revaluation rules."""
        return self.model["revaluation"]

    def rows(self, section: str) -> NDArray[np.int64]:
        """Rows of a section of the scenario set."""
        return np.flatnonzero((self.scenarios["section"] == section).to_numpy())


def load(folder: Path) -> Export:
    """Read an export after checking every file against the manifest."""
    manifest = json.loads((folder / "manifest.json").read_text())
    if manifest["schema"] != FORM:
        raise UnknownContentError(f"the export has the form {manifest['schema']}, not {FORM}")
    for entry in manifest["files"]:
        found = hashlib.sha256((folder / entry["name"]).read_bytes()).hexdigest()
        if found != entry["sha256"]:
            raise UnknownContentError(f"{entry['name']} was changed: its sha256 is {found}")
    listed = {entry["name"] for entry in manifest["files"]}

    def table(name: str) -> pd.DataFrame:
        file = f"{name}.parquet"
        return pd.read_parquet(folder / file) if file in listed else pd.DataFrame()

    model = json.loads((folder / "model.json").read_text())
    export = Export(
        manifest=manifest,
        model=model,
        contracts=table("contracts"),
        smiles=table("smiles"),
        scenarios=table("scenarios"),
        depth=table("depth"),
        positions=table("positions"),
        components=table("components"),
        measures=table("measures"),
        member_sizes=table("member_sizes"),
        accounts=manifest["accounts"],
    )
    held = set(export.positions["instrument_name"])
    export.contracts = export.contracts[export.contracts["instrument_name"].isin(held)]
    export.contracts = export.contracts.reset_index(drop=True)
    refuse_unknown_moves(export)
    refuse_unknown_parameters(model)
    return export


def refuse_unknown_moves(export: Export) -> None:
    """Refuse scenarios that move something, or have a section, that is not priced here."""
    common = "scenario|section|window_start|window_end|weight|loss_share|name"
    moves = r"(spot_return|path_return\..*h|basis_change\..*d|vol_change\..*d\.z.*)"
    perpetual = r"perpetual_basis_(change|provenance)"
    known = re.compile(rf"({common})|[^.]+\.({moves}|{perpetual}|provenance|repair)")
    unknown = [c for c in export.scenarios.columns if not known.fullmatch(c)]
    sections = set(export.scenarios["section"]) - SECTIONS
    if unknown or sections:
        raise UnknownContentError(
            f"unknown columns {unknown} or sections {sorted(sections)} of scenarios"
        )
    values = re.compile(r"stress_period\.confidence|buffer\.share\..*|depth\..*")
    unknown = [v for v in export.manifest["scenarios"]["calibration"] if not values.fullmatch(v)]
    if unknown:
        raise UnknownContentError(f"unknown calibrated values {unknown}")


def refuse_unknown_parameters(model: dict[str, Any]) -> None:
    """Refuse a parameter that may change what is computed here, or an unknown choice for one."""
    known = {
        f"{section}.{name}"
        for section, names in (line.split(":") for line in PARAMETERS.strip().splitlines())
        for name in names.split()
    }
    found = {
        name: value
        for section in sorted({name.partition(".")[0] for name in known})
        for name, value in parameters_of(model[section], section)
    }
    unknown = sorted(set(found) - known)
    unknown += [f"{n} = {found[n]!r}" for n, known in CHOICES.items() if found[n] not in known]
    unknown += sorted(known - set(found))
    if unknown:
        raise UnknownContentError(f"unknown or missing parameters of the model: {unknown}")


def parameters_of(section: dict[str, Any], prefix: str) -> list[tuple[str, Any]]:
    """Names and values of the parameters of a section; lists and mappings by coin are values."""
    found: list[tuple[str, Any]] = []
    for name, value in section.items():
        whole = f"{prefix}.{name}"
        if isinstance(value, dict) and name != "outright_volume_coins":
            found += parameters_of(value, whole)
        else:
            found.append((whole, value))
    return found


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
    names = pd.Index(export.contracts["instrument_name"])
    place = names.get_indexer(pd.Index(positions["instrument_name"]))
    lots, quantum = positions["lots"].to_numpy(float), rules["pnl_quantum_usd"]
    return (lots @ profits_of(export, rules)[place]) * (1.0 if quantum is None else quantum)


# --- 5. VaR and expected shortfall --------------------------------------------------------------


def var_and_es(pnl: Array, confidence: float, weight: Array | None = None) -> tuple[float, float]:
    """(27) and (28) with equal weights, (29) otherwise."""
    order = np.argsort(pnl, kind="stable")
    x, n = pnl[order], pnl.size
    if weight is None or np.all(weight == weight[0]):
        m = round(n * (1.0 - confidence), 9)
        k = min(int(np.floor(m)), n - 1)
        return -x[k], -(x[:k].sum() + (m - k) * x[k]) / m
    w, tail = weight[order], 1.0 - confidence
    W = np.cumsum(w)
    k = min(int(np.searchsorted(W, tail + 1e-12, side="right")), n - 1)
    before = W[k - 1] if k > 0 else 0.0
    return -x[k], -((w[:k] * x[:k]).sum() + (tail - before) * x[k]) / tail


def core_measures(export: Export, pnl: Array) -> tuple[float, float]:
    """VaR and ES over the core rows; (30) averages over sub-samples."""
    rows, g = export.rows("core"), int(export.manifest["scenarios"]["sub_samples"])
    weight = export.scenarios["weight"].to_numpy()
    found = []
    for start in range(g):
        part = rows[start::g]
        own = weight[part] / weight[part].sum()
        found.append(var_and_es(pnl[part], export.model["measure"]["confidence"], own))
    return sum(v for v, _ in found) / g, sum(e for _, e in found) / g


def measure(export: Export, pnl: Array) -> float:
    """The core's measure: ES if `measure.core` is "es", else VaR."""
    return core_measures(export, pnl)[export.model["measure"]["core"] == "es"]


def add_on_measure(export: Export, pnl: Array) -> float:
    """The measure on which the add-ons are based: the core's if `addons.measure` is "core"."""
    if export.model["addons"]["measure"] == "core":
        return measure(export, pnl)
    return core_measures(export, pnl)[0]


def section_measure(export: Export, pnl: Array, section: str) -> float:
    """R_long or R_stress of (41), with equal weights."""
    confidence = export.model["measure"]["confidence"]
    if section == "stress_period":
        confidence = export.manifest["scenarios"]["calibration"]["stress_period.confidence"]
    found = var_and_es(pnl[export.rows(section)], confidence)
    return found[export.model["measure"]["core"] == "es"]


# --- 6. The components: each from the account and the components so far --------------------------


@dataclass
class Account:
    """One account with the components computed so far."""

    export: Export
    positions: pd.DataFrame
    """With the columns of its contracts."""
    pnl: Array
    """x_s in every row."""
    member: Exposures
    """Net exposures of the account's member, if the model measures size by member."""
    amounts: dict[str, float] = field(default_factory=dict)

    @property
    def model(self) -> dict[str, Any]:
        """Parameters of the model."""
        return self.export.model

    @property
    def base(self) -> float:
        """The measure on which the add-ons are based, of the account."""
        return add_on_measure(self.export, self.pnl)

    def so_far(self, before: str = "") -> float:
        """Sum of the components up to `before`; of all so far by default."""
        total = 0.0
        for name, amount in self.amounts.items():
            if name == before:
                break
            total += amount
        return total

    def base_of(self, part: pd.DataFrame) -> float:
        """The measure on which the add-ons are based, of some positions alone, at least 0."""
        return max(0.0, add_on_measure(self.export, pnl_of(self.export, part, self.export.rules)))


def core(account: Account) -> float:
    """(35) for the cores VaR, ES and blend."""
    var, es = core_measures(account.export, account.pnl)
    kind = account.model["measure"]["core"]
    if kind == "blend":
        y = account.model["measure"]["blend_var_share"]
        stress = section_measure(account.export, account.pnl, "stress_period")
        return max(0.0, y * var + (1.0 - y) * stress)
    if kind not in ("var", "es"):
        raise UnknownContentError(f"the core {kind!r} is recomputed from its own arrays, not here")
    return max(0.0, es if kind == "es" else var)


def benefit(account: Account) -> float:
    """B of (36): the sum of the measures of each underlying, less the core."""
    if account.model["measure"]["core"] not in ("var", "es"):
        return 0.0
    groups = [part for _, part in account.positions.groupby("underlying")]
    if len(groups) == 1:
        return max(0.0, max(0.0, measure(account.export, account.pnl)) - account.amounts["core"])
    alone = [pnl_of(account.export, part, account.export.rules) for part in groups]
    total = sum(max(0.0, measure(account.export, pnl)) for pnl in alone)
    return max(0.0, total - account.amounts["core"])


def diversification_cap(account: Account) -> float:
    """(37) = (1 - reduction_max) B."""
    return (1.0 - account.model["diversification"]["reduction_max"]) * benefit(account)


def correlation_stress(account: Account) -> float:
    """(38) = correlation_stress * reduction_max * B."""
    rules = account.model["diversification"]
    return rules["correlation_stress"] * rules["reduction_max"] * benefit(account)


def buffer(account: Account) -> float:
    """(39) = the largest b_u of the underlyings held, times the components so far."""
    shares = account.export.manifest["scenarios"]["calibration"]
    held = account.positions["underlying"].unique()
    return max((shares[f"buffer.share.{u}"] for u in held), default=0.0) * account.so_far()


def stressed_weight(account: Account) -> float:
    """(40) = max(0, X - M), M the components before the buffer."""
    rules, export = account.model["procyclicality"]["stressed_weight"], account.export
    w, M = rules["weight"], account.so_far(before="buffer")
    if rules["form"] == "blend":
        return max(
            0.0, (1.0 - w) * M + w * section_measure(export, account.pnl, "stress_period") - M
        )
    rows, stress = export.rows("core"), export.rows("stress_period")
    weight = np.append(
        (1.0 - w) * export.scenarios["weight"].to_numpy()[rows],
        np.full(stress.size, w / stress.size),
    )
    found = var_and_es(
        account.pnl[np.append(rows, stress)], account.model["measure"]["confidence"], weight
    )
    return max(0.0, found[account.model["measure"]["core"] == "es"] - M)


def floor(account: Account) -> float:
    """(41) = max(0, R - so far), R the larger of the enabled floors."""
    tools, levels = account.model["procyclicality"], [0.0]
    if tools["long_floor"]["enabled"]:
        levels.append(section_measure(account.export, account.pnl, "long"))
    if tools["stress_period"]["floor"]:
        levels.append(section_measure(account.export, account.pnl, "stress_period"))
    return max(0.0, max(levels) - account.so_far())


def extended_moves(account: Account) -> float:
    """max(0, largest share * loss over the extended rows - so far)."""
    rows = account.export.rows("extended")
    share = account.export.scenarios["loss_share"].to_numpy()[rows]
    return max(0.0, float((-share * account.pnl[rows]).max()) - account.so_far())


def short_option_minimum(account: Account) -> float:
    """max(0, minimum of the short options that no long option covers - so far)."""
    rules, held = account.model["tails"]["short_option_minimum"], account.positions
    by_side: dict[Any, float] = {
        (u, is_call): 0.0 for u in held["underlying"] for is_call in (True, False)
    }
    options = held[held["kind"] == "option"]
    for (u, _, is_call), part in options.groupby(["underlying", "expiry", "is_call"]):
        free = 0.0  # long options that may cover a less valuable short one
        # From the most valuable strike on: calls with low strikes, puts with high ones.
        strikes = [same for _, same in part.groupby("strike_usd")]
        for same in strikes if is_call else strikes[::-1]:
            quantity, first = same["quantity"], same.iloc[0]
            free += quantity.clip(lower=0.0).sum()
            short = -quantity.clip(upper=0.0).sum()
            used = min(free, short)
            free -= used
            d = max(
                (1.0 if is_call else -1.0) * np.log(first["strike_usd"] / first["forward_usd"]), 0.0
            )
            fraction = max(rules["at_money"] * 2.0 ** (-d / rules["half_distance"]), rules["least"])
            by_side[u, is_call] += (short - used) * first["index_usd"] * fraction
    total = 0.0
    for u in sorted(set(held["underlying"])):
        sides = by_side[u, True], by_side[u, False]
        total += sum(sides) if rules["count"] == "sum" else max(sides)
    return max(0.0, total - account.so_far())


def net_exposures(held: pd.DataFrame) -> Exposures:
    """Delta in coins and vega in US dollars by underlying and expiry bucket, (42)."""
    delta, vega = held["quantity"] * held["delta_coins"], held["quantity"] * held["vega_usd"]
    sums = held.assign(delta=delta, vega=vega).groupby(["underlying", "tier"])[["delta", "vega"]]
    rows = sums.sum().reset_index().to_dict("records")
    return {(r["underlying"], r["tier"]): (r["delta"], r["vega"]) for r in rows}


def hedge_rates(export: Export) -> HedgeRates:
    """Vega ratio, spread and remaining risk of a hedge, by bucket and neighbouring bucket."""
    rates: HedgeRates = {}
    confidence, rows = export.model["measure"]["confidence"], export.rows("core")
    crossings = export.model["addons"]["hedge"]["crossings"]
    weight = export.scenarios["weight"].to_numpy()[rows]
    for u, buckets in export.depth.groupby("underlying"):
        if f"{u}.vol_change.{export.manifest['scenarios']['tenors_days'][0]:g}d.z0" not in (
            export.scenarios
        ):
            continue
        tiers = [bucket for _, bucket in buckets[buckets["days_over"].notna()].iterrows()]
        moves = [at_money_moves(export, str(u), bucket)[rows] for bucket in tiers]
        for b, n in [(b, b + step) for b in range(len(tiers)) for step in (-1, 1)]:
            if not 0 <= n < len(tiers):
                continue
            x, y, other = moves[b], moves[n], tiers[n]
            risk = var_and_es(-np.abs(x), confidence, weight)[0]
            if not ((y * y).sum() > 0.0 and risk > 0.0 and other["typical_vol"] > 0.0):
                continue
            beta = (x * y).sum() / (y * y).sum()
            left = var_and_es(-np.abs(x - beta * y), confidence, weight)[0]
            spread = crossings * other["half_spread_vol"] * abs(beta)
            rates.setdefault((str(u), tiers[b]["tier"]), {})[other["tier"]] = (
                abs(beta) * tiers[b]["typical_vol"] / other["typical_vol"],
                spread / (other["typical_vol"] * risk),
                left / risk,
            )
    return rates


def at_money_moves(export: Export, u: str, bucket: "pd.Series[Any]") -> Array:
    """Relative moves of the volatility in the middle of a bucket, linear in days."""
    over, up_to = float(bucket["days_over"]), float(bucket["days_up_to"])
    days = 0.5 * (over + up_to) if np.isfinite(up_to) else 1.5 * over
    grid = export.manifest["scenarios"]["tenors_days"]
    j = int(np.clip(np.searchsorted(grid, days), 1, len(grid) - 1))
    w = float(np.clip((days - grid[j - 1]) / (grid[j] - grid[j - 1]), 0.0, 1.0))
    early, late = (export.scenarios[f"{u}.vol_change.{grid[n]:g}d.z0"] for n in (j - 1, j))
    return ((1.0 - w) * early + w * late).to_numpy()


def hedged_factor(
    account: Account, of: Exposures, key: Bucket, per_day: dict[Bucket, "pd.Series[Any]"]
) -> float:
    """phi: what the vega of a bucket adds at most to its factor, the least of its neighbours."""
    h, least = account.export.horizon_hours / 24.0, np.inf
    vega = of.get(key, (0.0, 0.0))[1]
    days = abs(vega) / per_day[key]["vega_closed_per_day_usd"]
    left = 1.0 - h / max(days, h)
    for tier, (ratio, spread, basis) in account.export.hedges.get(key, {}).items():
        other = (key[0], tier)
        hedge = ratio * left * abs(vega)
        same_way = max(np.sign(vega) * of.get(other, (0.0, 0.0))[1] + hedge, 0.0)
        wait = np.sqrt(max(same_way / (per_day[other]["vega_closed_per_day_usd"] * h), 1.0)) - 1.0
        cost = left * (spread + basis * np.sqrt(max(days / h, 1.0)))
        least = min(least, cost + (wait if hedge > 0.0 else 0.0))
    return least


def concentration(account: Account) -> float:
    """(45), buckets and strikes, with the days to close (44); sizes are those of the member."""
    rules, held = account.model["addons"]["concentration"], account.positions
    per_day = {(row["underlying"], row["tier"]): row for _, row in account.export.depth.iterrows()}
    h, charge, own = account.export.horizon_hours / 24.0, 0.0, net_exposures(held)
    for _, part in held.groupby(["underlying", "tier"]):
        key = (str(part["underlying"].iloc[0]), str(part["tier"].iloc[0]))
        sizes = np.abs([own[key], account.member.get(key, (0.0, 0.0))]).max(axis=0)
        delta_days = sizes[0] / per_day[key]["delta_closed_per_day_coins"]
        vega_days = sizes[1] / per_day[key]["vega_closed_per_day_usd"]
        if max(delta_days, vega_days) <= h:
            continue
        factor = np.sqrt(max(delta_days, vega_days) / h) - 1.0
        if account.model["addons"]["hedge"]["enabled"]:
            found = [hedged_factor(account, own, key, per_day)]
            if account.model["addons"]["members"]["enabled"]:
                found.append(hedged_factor(account, account.member, key, per_day))
            factor = min(factor, np.sqrt(max(delta_days / h, 1.0)) - 1.0 + max(found))
        charge += account.base_of(part) * factor
    for _, part in held[held["kind"] == "option"].groupby("strike_name"):
        interest = part["strike_open_interest_coins"].iloc[0]
        coins = part["strike_size_coins"].max()
        share = min(1.0, coins / interest) if interest > 0.0 else 1.0
        rates = [rate for edge, rate in rules["open_interest_steps"] if share >= edge]
        if rates:
            charge += rates[-1] * account.base_of(part)
    return charge


def liquidity(account: Account) -> float:
    """(46): half the bid-ask spread, grown with the size, less what opposite vegas offset."""
    rules, charge = account.model["addons"]["liquidity"], 0.0
    for _, part in account.positions.groupby(["underlying", "tier"]):
        size, vega = part["quantity"].abs(), part["quantity"] * part["vega_usd"]
        usual = rules["size_share"] * part["open_interest_coins"].fillna(0.0)
        ratio = np.where(usual > 0.0, part["size"] / usual.where(usual > 0.0, 1.0), np.inf)
        growth = np.minimum(np.maximum(ratio, 1.0) ** rules["size_power"], rules["size_factor_max"])
        growth = np.where(part["vega_usd"] > 0.0, growth, 1.0)
        costs = size * part["half_spread_usd"] * growth
        if account.model["addons"]["close_out"]["value_bound"]:
            is_bounded = (part["kind"] == "option") & (part["quantity"] > 0.0)
            value = size * part["settled_value_usd"].clip(lower=0.0)
            costs = costs.where(~is_bounded, np.minimum(costs, value))
        cost = float(costs.sum())
        long, short = float(vega.clip(lower=0.0).sum()), float(-vega.clip(upper=0.0).sum())
        offset = 2.0 * min(long, short) / (long + short) if long + short > 0.0 else 0.0
        charge += cost * (1.0 - rules["offset_share"] * offset)
    return charge


def model_risk(account: Account) -> float:
    """(47): the largest increase of the measure under another smile or other dynamics."""
    rules, own = account.model["addons"]["model_risk"], account.export.rules
    charge = rules["share_min"] * max(0.0, account.base)
    for item in rules["alternatives"]:
        other = {**own, "smile": item["smile"], "dynamics": item["dynamics"]}
        if other != own:
            pnl = pnl_of(account.export, account.positions, other)
            charge = max(charge, add_on_measure(account.export, pnl) - account.base)
    return charge


def expiry_risk(account: Account) -> float:
    """(48): the increase of the measure if contracts that expire within the horizon are settled."""
    own = account.export.rules
    if own["time"] != "instantaneous" or not account.positions["expires_within_horizon"].any():
        return 0.0
    pnl = pnl_of(account.export, account.positions, {**own, "time": "settle_expiring"})
    return max(0.0, add_on_measure(account.export, pnl) - account.base)


def loss_max(account: Account) -> float:
    """The value of an account that owes nothing at any settlement price; else infinite."""
    held = account.positions
    is_option, is_short = held["kind"] == "option", held["quantity"] < 0.0
    if (~is_option & ((held["kind"] != "spot") | is_short)).any():
        return np.inf
    for _, part in held[is_option].groupby(["underlying", "expiry"]):
        q, K = part["quantity"].to_numpy(float), part["strike_usd"].to_numpy(float)
        is_call = part["is_call"].to_numpy(bool)
        least = -ROUNDING * np.abs(q).sum()
        at_zero, slope = (q * K)[~is_call].sum(), q[is_call].sum()
        payoff = np.maximum(np.where(is_call, K[:, None] - K, K - K[:, None]), 0.0) @ q
        if slope < least or (np.minimum(payoff, at_zero) < least * K).any():
            return np.inf
    return max(0.0, float((held["quantity"] * held["settled_value_usd"]).sum()))


COMPONENTS: dict[str, Callable[[Account], float]] = {
    "core": core,
    "diversification_cap": diversification_cap,
    "correlation_stress": correlation_stress,
    "buffer": buffer,
    "stressed_weight": stressed_weight,
    "floor": floor,
    "extended_moves": extended_moves,
    "short_option_minimum": short_option_minimum,
    "concentration": concentration,
    "liquidity": liquidity,
    "model_risk": model_risk,
    "expiry_risk": expiry_risk,
}
"""A further component is one more function here; the order is that of the export."""


# --- Comparison ---------------------------------------------------------------------------------


def with_sizes(export: Export, held: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Exposures]]:
    """Positions with their sizes, and the net exposures of each account's member.

    The sizes of members whose accounts are all in the export are recomputed from the positions,
    those of the other members are read: their further accounts are not disclosed.
    """
    if "strike_name" not in held:  # no component of the model uses sizes
        return held, {}
    size = held["quantity"].abs()
    strikes = size.groupby([held["account_id"], held["strike_name"]]).transform("sum")
    if not export.model["addons"]["members"]["enabled"]:
        return held.assign(size=size, strike_size_coins=strikes), {}
    member = held["member_id"].where(held["member_id"] != "", "account " + held["account_id"])
    lots = held.groupby([member, "instrument_name"])["lots"].transform("sum")
    net = (lots * held["lot"]).abs()
    once = held.assign(member=member, net=net).drop_duplicates(["member", "instrument_name"])
    gross = once.groupby(["member", "strike_name"])["net"].sum()
    of_strike = gross.reindex(pd.MultiIndex.from_arrays([member, held["strike_name"]])).to_numpy()
    is_read = held["member_id"].isin(export.manifest["incomplete_members"])
    held = held.assign(
        size=held["size"].where(is_read, np.maximum(size, net)),
        strike_size_coins=held["strike_size_coins"].where(is_read, np.maximum(strikes, of_strike)),
    )
    read = {
        str(name): {(r["underlying"], r["tier"]): (r["delta_coins"], r["vega_usd"]) for r in rows}
        for name, rows in (
            (name, part.to_dict("records"))
            for name, part in export.member_sizes.groupby("account_id")
        )
    }
    summed = {name: net_exposures(part) for name, part in held.groupby(member)}
    accounts = held.assign(member=member, is_read=is_read).drop_duplicates("account_id")
    return held, {
        row["account_id"]: read[row["account_id"]] if row["is_read"] else summed[row["member"]]
        for row in accounts.to_dict("records")
    }


def recompute(export: Export) -> pd.DataFrame:
    """Every component of every account, recomputed and exported, US dollars."""
    unknown = [name for name in export.manifest["components"] if name not in COMPONENTS]
    if unknown:
        raise UnknownContentError(
            f"unknown components: {', '.join(unknown)}; add one function for each"
        )
    held = export.positions.merge(export.contracts, on="instrument_name", how="left")
    held, members = with_sizes(export, held)
    by_account = dict(iter(held.groupby("account_id")))
    found: list[tuple[str, str, float]] = []
    for name in export.accounts:
        positions = by_account.get(name, held.iloc[:0])
        pnl = pnl_of(export, positions, export.rules)
        account = Account(export, positions, pnl, members.get(name, {}))
        bound = loss_max(account) if export.model["addons"]["loss_bound"]["enabled"] else np.inf
        for component in export.manifest["components"]:
            amount = COMPONENTS[component](account)
            account.amounts[component] = min(amount, max(0.0, bound - account.so_far()))
        found += [(name, c, float(a)) for c, a in account.amounts.items()]
        found.append((name, "initial_margin", float(account.so_far())))
    mine = pd.DataFrame(found, columns=["account_id", "component", "recomputed_usd"])
    total = export.measures[["account_id", "initial_margin_usd"]].assign(component="initial_margin")
    exported = pd.concat(
        [export.components, total.rename(columns={"initial_margin_usd": "amount_usd"})]
    )
    table = mine.merge(exported, on=["account_id", "component"], how="outer")
    size = table["amount_usd"].abs().clip(lower=USD_MIN)
    table["difference"] = (table["recomputed_usd"] - table["amount_usd"]).abs() / size
    return table


def main(folder: Path) -> int:
    """Print the comparison; return 0 if every component agrees, 1 if not, 2 if unknown."""
    try:
        table = recompute(load(folder))
    except UnknownContentError as reason:
        print(f"cannot recompute: {reason}", file=sys.stderr)
        return 2
    order = list(dict.fromkeys(table["component"]))
    parts = table.groupby("component").agg(
        recomputed_usd=("recomputed_usd", "sum"),
        exported_usd=("amount_usd", "sum"),
        largest_difference=("difference", "max"),
    )
    print(f"{table['account_id'].nunique()} accounts; sums over accounts, US dollars\n")
    print(f"{'component':22} {'recomputed':>20} {'exported':>20} {'largest difference':>20}")
    for name, row in parts.loc[order].iterrows():
        print(
            f"{name!s:22} {row['recomputed_usd']:20,.2f} {row['exported_usd']:20,.2f}"
            f" {row['largest_difference']:20.1e}"
        )
    # A comparison with NaN is false, so that a missing amount counts as different.
    wrong = table[~(table["difference"] <= RELATIVE_MAX)]
    if len(wrong):
        print(f"\n{len(wrong)} amounts differ by more than {RELATIVE_MAX:g}:")
        print(wrong.sort_values("difference", ascending=False).head(20).to_string(index=False))
        return 1
    print(f"\nEvery amount agrees within {RELATIVE_MAX:g}, relative to at least {USD_MIN:g} USD.")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print("usage: replicate.py EXPORT", file=sys.stderr)
        raise SystemExit(2)
    raise SystemExit(main(Path(sys.argv[1])))
