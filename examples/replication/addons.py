"""The add-ons, and the bound on losses: section 6 of the page."""

from typing import Any

import numpy as np
import pandas as pd

from replication.export import Array, Bucket, Export, Exposures, HedgeRates
from replication.requirement import Account, add_on_measure, var_and_es
from replication.revaluation import pnl_of

ROUNDING = 1e-9
"""Relative tolerance for the rounding of payoffs."""


def net_exposures(held: pd.DataFrame) -> Exposures:
    """Delta in coins and vega in US dollars by underlying and expiry bucket, (42)."""
    delta, vega = held["quantity"] * held["delta_coins"], held["quantity"] * held["vega_usd"]
    sums = held.assign(delta=delta, vega=vega).groupby(["underlying", "tier"])[["delta", "vega"]]
    rows = sums.sum().reset_index().to_dict("records")
    return {(r["underlying"], r["tier"]): (r["delta"], r["vega"]) for r in rows}


def hedges_of(export: Export) -> HedgeRates:
    """The rates of hedges, computed once."""
    if export.hedges is None:
        export.hedges = hedge_rates(export)
    return export.hedges


def hedge_rates(export: Export) -> HedgeRates:
    """Vega ratio, spread and remaining risk of a hedge of (45a), by bucket and neighbour."""
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
    """phi of (45a): what the vega of a bucket adds at most to its factor."""
    h, least = account.export.horizon_hours / 24.0, np.inf
    vega = of.get(key, (0.0, 0.0))[1]
    days = abs(vega) / per_day[key]["vega_closed_per_day_usd"]
    left = 1.0 - h / max(days, h)
    for tier, (ratio, spread, basis) in hedges_of(account.export).get(key, {}).items():
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
    of_strike = ["place", "lots", "strike_open_interest_coins", "strike_size_coins"]
    options = held[held["kind"] == "option"]
    for _, part in options[of_strike].groupby(options["strike_name"]):
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
    """The bound of (49): the value of an account that owes nothing at any settlement; else inf."""
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
