"""The worked account of docs/how-your-margin-is-computed.md, recomputed without the engine.

Reads the input tables of the page and computes every number that the page derives from them, with
numpy and scipy.stats.norm alone. Nothing of the engine is imported.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
from scipy.stats import norm

PAGE = Path(__file__).resolve().parents[1] / "docs" / "how-your-margin-is-computed.md"
CALL, LINEAR, INVERSE = "BTC-27MAR26-110000-C", "BTC_USDC-PERPETUAL", "ETH-PERPETUAL"
INPUTS = ("W1", "W2", "W3", "W4", "W11")
COMPONENTS = (
    "core", "diversification_cap", "correlation_stress", "buffer", "stressed_weight", "floor",
    "concentration", "liquidity", "model_risk", "expiry_risk",
)  # fmt: skip
TICK = 1e-6
Z = np.array([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0])

Row: TypeAlias = dict[str, str]
Expected: TypeAlias = dict[str, dict[str, dict[str, float]]]
"""Values by table, label of the row, and column."""


def read_tables(text: str) -> dict[str, list[Row]]:
    """Return the tables whose captions are ``**Table W...``, by name; one dict per row."""
    found: dict[str, list[Row]] = {}
    for name, body in re.findall(r"^\*\*Table (W\d+)\..*?\n\n((?:\|[^\n]*\n)+)", text, re.M | re.S):
        cells = [[c.strip() for c in line.strip("|\n").split("|")] for line in body.splitlines()]
        found[name] = [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]
    return found


TEXT = PAGE.read_text()
TABLES = read_tables(TEXT)


def number(cell: str) -> float | None:
    """Return the number that a cell prints, or None if it is not a number."""
    plain = cell.replace(",", "").strip("*` ")
    return float(plain) if re.fullmatch(r"-?\d+(\.\d+)?", plain) else None


def decimals(cell: str) -> int:
    return len(cell.strip("*` ").partition(".")[2])


def given(table: str, column: str = "value") -> dict[str, float]:
    """Return the numbers of one column of a table of inputs, by the label of the row."""
    out = {next(iter(row.values())).strip("`"): number(row[column]) for row in TABLES[table]}
    return {label: value for label, value in out.items() if value is not None}


def black(forward: np.ndarray, strike: float, deviation: np.ndarray) -> np.ndarray:
    d1 = np.log(forward / strike) / deviation + 0.5 * deviation
    return forward * norm.cdf(d1) - strike * norm.cdf(d1 - deviation)


def var_es(profit: np.ndarray, confidence: float) -> tuple[float, float]:
    x = np.sort(profit)
    m = round(x.size * (1.0 - confidence), 9)
    k = int(m)
    return -x[k], -(x[:k].sum() + (m - k) * x[k]) / m


def weighted_var_es(
    profit: np.ndarray, weight: np.ndarray, confidence: float
) -> tuple[float, float]:
    order = np.argsort(profit, kind="stable")
    x, w = profit[order], weight[order]
    tail, running = 1.0 - confidence, np.cumsum(w)
    k = int((running <= tail + 1e-12).sum())
    before = running[k - 1] if k else 0.0
    return -x[k], -((x[:k] * w[:k]).sum() + (tail - before) * x[k]) / tail


class Inputs:
    """The input tables of the page as numbers."""

    def __init__(self) -> None:
        self.market, self.limit = given("W1"), given("W2")
        rows = TABLES["W3"]
        self.label = [row["row"] for row in rows]
        self.core = np.array([row["section"] == "core" for row in rows])

        def column(name: str) -> np.ndarray:
            return np.array([float(row[name] or 0.0) for row in rows])

        self.spot = {"BTC": column("r BTC"), "ETH": column("r ETH")}
        self.basis = np.column_stack([column("Δb 30 d"), column("Δb 60 d")])
        self.level = np.column_stack([column("Δv 30 d"), column("Δv 60 d")])
        self.tilt, self.weight = column("tilt"), column("aged weight")[self.core]
        self.quantity = given("W4", "quantity")

    @property
    def nodes(self) -> np.ndarray:
        """Changes of ln(volatility), (rows, 2 tenors, 7 nodes)."""
        return self.level[:, :, None] + self.tilt[:, None, None] * Z


def shocked(inputs: Inputs) -> dict[str, np.ndarray]:
    """Return the state of the option in every row, under both dynamics."""
    m = inputs.market
    years = m["T"] / 365.0
    share = np.log(m["T"] / 30.0) / np.log(60.0 / 30.0)
    mix = np.array([1.0 - share, share])
    index = m["S BTC"] * np.exp(inputs.spot["BTC"])
    basis = inputs.basis @ mix
    forward = m["F"] * np.exp(inputs.spot["BTC"] + basis)
    node_factor = np.exp(np.einsum("stz,t->sz", inputs.nodes, mix))

    def smile(k: np.ndarray) -> np.ndarray:
        y = k - m["m"]
        w = m["a"] + m["b"] * (m["rho"] * y + np.sqrt(y * y + m["sigma"] ** 2))
        return np.sqrt(np.maximum(w, 0.0))

    at_money = smile(np.zeros(1))[0]
    node_k = at_money * Z
    today_k = np.log(m["K"] / m["F"])
    own = m["mark volatility"] * np.sqrt(years)
    anchor = own / smile(np.array([today_k]))[0]
    out = {"w": share, "basis": basis, "S'": index, "F'": forward, "anchor": anchor, "s now": own}
    out |= {"atm": at_money, "k now": today_k, "smile now": own / anchor}
    out["V now"] = m["S BTC"] / m["F"] * black(np.array(m["F"]), m["K"], np.array(own))
    for way, k in (
        ("", np.log(m["K"] / forward)),
        (" strike", np.full(forward.size, today_k)),
    ):
        factor = np.array(
            [np.interp(x, node_k, row) for x, row in zip(k, node_factor, strict=True)]
        )
        deviation = anchor * smile(k) * factor
        value = index / forward * black(forward, m["K"], deviation)
        ticks = np.rint((value - out["V now"]) * inputs.limit["lot, coins"] / TICK)
        out |= {f"k{way}": k, f"factor{way}": factor, f"s{way}": deviation}
        out |= {f"V{way}": value, f"ticks{way}": ticks}
    return out


def profits(
    inputs: Inputs, state: Mapping[str, np.ndarray], way: str = ""
) -> dict[str, np.ndarray]:
    """Return the profit of each position in every row, US dollars, through whole ticks."""
    coins, dollars = inputs.limit["lot, coins"], inputs.limit["lot, USD"]
    rise = {u: np.exp(r) - 1.0 for u, r in inputs.spot.items()}
    ticks = {
        CALL: state[f"ticks{way}"],
        LINEAR: np.rint(inputs.market["S BTC"] * rise["BTC"] * coins / TICK),
        INVERSE: np.rint(rise["ETH"] * dollars / TICK),
    }
    lot = {CALL: coins, LINEAR: coins, INVERSE: dollars}
    return {n: np.rint(inputs.quantity[n] / lot[n]) * ticks[n] * TICK for n in ticks}


def recompute() -> Expected:
    """Return every number of the worked account, from the page's input tables alone."""
    inputs = Inputs()
    market, limit, core = inputs.market, inputs.limit, inputs.core
    state, alpha = shocked(inputs), limit["confidence"]
    own = profits(inputs, state)
    total = own[CALL] + own[LINEAR] + own[INVERSE]
    btc, eth = (own[CALL] + own[LINEAR])[core], own[INVERSE][core]
    out: Expected = {"W5": {}, "W6": {}}
    for label, name in (
        ("√w at the money", "atm"), ("k today", "k now"), ("√w at the strike", "smile now"),
        ("s today", "s now"), ("anchor A", "anchor"), ("weight of 60 d", "w"), ("V today", "V now"),
    ):  # fmt: skip
        out["W5"][label] = {"value": float(state[name])}
    for i, label in enumerate(inputs.label):
        columns = ("S'", "F'", "k", "factor", "s", "V", "ticks", "ticks strike")
        out["W6"][label] = {c: float(state[c][i]) for c in columns}
    sticky = sum(profits(inputs, state, " strike").values())
    out["W7"] = {
        label: {"option": own[CALL][i], "BTC perpetual": own[LINEAR][i],
                "ETH perpetual": own[INVERSE][i], "account": total[i],
                "BTC alone": own[CALL][i] + own[LINEAR][i],
                "account, sticky strike": sticky[i]}
        for i, label in enumerate(inputs.label)
    }  # fmt: skip

    x, n, effective = np.sort(total[core]), int(core.sum()), limit["n_eff"]
    m = n * (1.0 - alpha)
    k = int(m)
    var, es = var_es(total[core], alpha)
    reach = 1.959963984540054 * np.sqrt(n * alpha * (1.0 - alpha)) * np.sqrt(n / effective)
    error = np.sqrt((x[:k].var() + alpha * (es - var) ** 2) / (m * effective / n))
    aged = weighted_var_es(total[core], inputs.weight, alpha)
    out["W8"] = {label: {"value": value} for label, value in {
        "m": m, "k": k, "VaR": var, "ES": es, "worst": -x[0],
        "VaR, low": -x[int(np.ceil(m + reach))], "VaR, high": -x[max(0, int(m - reach))],
        "ES, standard error": error, "VaR with aged weights": aged[0],
        "ES with aged weights": aged[1], "k-th worst loss": -x[k - 1],
        "numpy.quantile": -np.quantile(x, 1.0 - alpha),
        "option value": inputs.quantity[CALL] * float(state["V now"]),
        "rounding bound": 0.5 * TICK * (1000 + 300 + 15_000),
    }.items()}  # fmt: skip
    figures, parts = _components(inputs, state, own, total, (var, es, btc, eth, sticky))
    margin = sum(parts)
    out["W9"] = {label: {"value": float(value)} for label, value in figures.items()}
    named = zip(COMPONENTS, parts, strict=True)
    out["W10"] = {f"`{name}`": {"USD": float(value)} for name, value in named}
    out["W10"]["initial margin"] = {"USD": margin}
    deposits, haircut = given("W11", "amount"), given("W11", "haircut")
    price = {"BTC": market["S BTC"], "USDC": 1.0}
    worth = {a: deposits[a] * price[a] for a in deposits}
    counted = sum(worth[a] * (1.0 - haircut[a]) for a in worth)
    value = out["W8"]["option value"]["value"]
    out["W12"] = {
        "market value of the collateral": {"USD": sum(worth.values())},
        "collateral after haircuts": {"USD": counted},
        "option value": {"USD": value},
        "initial margin": {"USD": margin},
        "excess": {"USD": counted + value - margin},
    }
    return out


def _components(
    inputs: Inputs,
    state: Mapping[str, np.ndarray],
    own: Mapping[str, np.ndarray],
    total: np.ndarray,
    measured: tuple[float, float, np.ndarray, np.ndarray, np.ndarray],
) -> tuple[dict[str, float], tuple[float, ...]]:
    """Return (figures of table W9, components of the requirement in the order of COMPONENTS)."""
    var, es, btc, eth, sticky = measured
    market, limit, core = inputs.market, inputs.limit, inputs.core
    alpha = limit["confidence"]
    alone = [max(var_es(side, alpha)[1], 0.0) for side in (btc, eth)]
    undiversified = sum(alone)
    helped = max(undiversified - es, 0.0)
    cap = (1.0 - limit["reduction_max"]) * helped
    correlation = limit["correlation_stress"] * limit["reduction_max"] * helped
    before = es + cap + correlation
    buffer = max(limit["buffer.share.BTC"], limit["buffer.share.ETH"]) * before
    stressed = var_es(total[~core], limit["stress_period.confidence"])[1]
    mixed = (1.0 - limit["stressed weight"]) * before + limit["stressed weight"] * stressed
    weighted = max(mixed - before, 0.0)
    floor = max(stressed - (before + buffer + weighted), 0.0)

    held, years = abs(inputs.quantity[CALL]), market["T"] / 365.0
    s, scale = float(state["s now"]), market["S BTC"] / market["F"]
    d1 = np.log(market["F"] / market["K"]) / s + 0.5 * s
    delta = norm.cdf(d1)
    vega = scale * market["F"] * norm.pdf(d1) * np.sqrt(years)
    part = limit["participation"]
    volume = market["volume"]
    vega_days = held * vega / (part * max(volume * vega, limit["volume floor"] * vega))
    delta_days = held * delta / (part * (volume * delta + limit["outright volume BTC"]))
    slow = max(vega_days, delta_days)
    group = max(var_es(own[CALL][core], alpha)[0], 0.0)
    bucket = group * (np.sqrt(max(1.0, slow / 2.0)) - 1.0)
    share = held / market["open interest"]
    strike = limit["rate of the step"] * group
    half = 0.5 * (market["ask"] - market["bid"]) * market["S BTC"]
    usual = limit["size_share"] * market["open interest"]
    grown = min(max(held / usual, 1.0) ** limit["size_power"], limit["size_factor_max"])
    rate = limit["outright half spread"]
    linear = abs(inputs.quantity[LINEAR]) * rate * market["S BTC"]
    inverse = abs(inputs.quantity[INVERSE]) * rate
    liquidity = held * half * grown + linear + inverse
    changed = var_es(sticky[core], alpha)[0]
    least = limit["share_min"] * max(var, 0.0)
    risk = max(changed - var, 0.0, least)
    parts = (es, cap, correlation, buffer, weighted, floor, bucket + strike, liquidity, risk, 0.0)
    figures = {
        "ES of BTC alone": alone[0], "ES of ETH alone": alone[1],
        "undiversified sum": undiversified, "diversification benefit": helped,
        "core + cap + correlation": before, "stress-period ES": stressed,
        "weighted mean": mixed, "delta of the option": delta, "vega of the option": vega,
        "days to close delta": delta_days, "days to close vega": vega_days,
        "bucket and strike VaR": group, "bucket charge": bucket,
        "share of open interest": share, "strike charge": strike,
        "half spread of the option": half, "size factor": grown,
        "liquidity of the option": held * half * grown,
        "liquidity of the BTC perpetual": linear, "liquidity of the ETH perpetual": inverse,
        "VaR, sticky strike": changed, "least model risk": least,
    }  # fmt: skip
    return figures, parts


def row_in_full() -> list[float]:
    """Return the numbers that the text gives for row 0 beyond those of the tables."""
    inputs = Inputs()
    share = float(shocked(inputs)["w"])
    basis = inputs.basis[0] @ np.array([1.0 - share, share])
    nodes = np.array([1.0 - share, share]) @ inputs.nodes[0]
    at = float(shocked(inputs)["atm"]) * Z
    middle = [float(x) for i in (3, 4) for x in (nodes[i], np.exp(nodes[i]), at[i])]
    return [1.0 - share, basis, inputs.spot["BTC"][0] + basis, *middle]


def numbers_of_the_text() -> list[str]:
    """Return the numbers with four decimals, or with cents, that stand between the tables."""
    worked = TEXT[TEXT.index("## One account worked through") :]
    prose = "\n".join(line for line in worked.splitlines() if not line.startswith("|"))
    return re.findall(r"(?<![\d.,])\d{1,3}(?:,\d{3})*\.\d{4,}|\d{1,3}(?:,\d{3})+\.\d\d\b", prose)
