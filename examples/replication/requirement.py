"""Measures, and the components up to the floors: sections 5 and 6 of the page."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from replication.export import Array, Export, Exposures, UnknownContentError
from replication.revaluation import pnl_of

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
    """(54) = max(0, largest share * loss over the extended rows - so far)."""
    rows = account.export.rows("extended")
    share = account.export.scenarios["loss_share"].to_numpy()[rows]
    return max(0.0, float((-share * account.pnl[rows]).max()) - account.so_far())


def short_option_minimum(account: Account) -> float:
    """(56) = max(0, minimum of the short options that no long option covers - so far)."""
    rules, held = account.model["tails"]["short_option_minimum"], account.positions
    options = held[held["kind"] == "option"]
    quantity, is_call = options["quantity"], options["is_call"].astype(bool)
    # From the most valuable strike on: calls with low strikes, puts with high ones.
    order = options["strike_usd"].where(is_call, -options["strike_usd"])
    strikes = options.assign(
        is_call=is_call, order=order, long=quantity.clip(lower=0.0), short=-quantity.clip(upper=0.0)
    ).groupby(["underlying", "expiry", "is_call", "order"])
    first = strikes[["strike_usd", "forward_usd", "index_usd"]].first()
    series, free = None, 0.0  # long options that may cover a less valuable short one
    by_side: dict[Any, float] = {}
    for row in first.join(strikes[["long", "short"]].sum()).reset_index().to_dict("records"):
        if series != (row["underlying"], row["expiry"], row["is_call"]):
            series, free = (row["underlying"], row["expiry"], row["is_call"]), 0.0
        free += row["long"]
        used = min(free, row["short"])
        free -= used
        d = np.log(row["strike_usd"] / row["forward_usd"]) * (1.0 if row["is_call"] else -1.0)
        fading = 2.0 ** (-max(d, 0.0) / rules["half_distance"])
        minimum = row["index_usd"] * max(rules["at_money"] * fading, rules["least"])
        side = row["underlying"], row["is_call"]
        by_side[side] = by_side.get(side, 0.0) + (row["short"] - used) * minimum
    total = 0.0
    for u in sorted(set(held["underlying"])):
        sides = by_side.get((u, True), 0.0), by_side.get((u, False), 0.0)
        total += sum(sides) if rules["count"] == "sum" else max(sides)
    return max(0.0, total - account.so_far())
