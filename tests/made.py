"""Synthetic scenarios and models for tests of the engine."""

from dataclasses import replace
from functools import cache

import numpy as np

from margin_actors.engine.parameters import ModelParameters, parameters_from_mapping
from margin_actors.engine.scenarios import (
    CORE,
    EXTENDED,
    LONG,
    STRESS,
    STRESS_PERIOD,
    Calibration,
    Provenance,
    ScenarioSet,
    VolatilityIndex,
    join_sections,
)
from margin_actors.engine.scenarios.prescribed import extended_rows
from margin_actors.market.cleansing import PriceGrid
from margin_actors.market.snapshots import MarketSnapshot

DAY = np.timedelta64(86_400_000, "ms")


ADD_ONS = {name: {"enabled": True} for name in
           ("concentration", "liquidity", "model_risk", "expiry_risk")}  # fmt: skip
EVERYTHING: dict[str, object] = {
    "scenarios": {"stress": {"enabled": True}},
    "diversification": {"enabled": True, "reduction_max": 0.7, "correlation_stress": 0.1},
    "procyclicality": {
        "buffer": {"enabled": True},
        "stressed_weight": {"enabled": True},
        "long_floor": {"enabled": True},
        "stress_period": {"floor": True},
    },
    "tails": {
        "extended_moves": {
            "enabled": True,
            "jointly": [{"spot": [-0.5, -0.2, 0.2, 1.0], "vol": [0.7, 1.5], "share": 0.6}],
        },
        "short_option_minimum": {"enabled": True},
    },
    "addons": ADD_ONS,
}
"""Sections of a model that enable every component on top of the core."""


def made_scenarios(
    n: int, seed: int = 0, *, surface: bool = True, scale: float = 1.0
) -> ScenarioSet:
    """Return n random joint moves of BTC and ETH of a realistic size.

    Without `surface`, volatilities and bases do not move. `scale` multiplies all moves.
    """
    rng = np.random.default_rng(seed)
    spot = scale * rng.standard_t(4, (n, 2)) * 0.03
    half = 0.5 * spot + 0.005 * scale * rng.normal(size=(n, 2))
    level = -0.5 * spot + 0.06 * scale * rng.normal(size=(n, 2))
    vol = level[:, :, None, None] * np.linspace(1.3, 0.4, 7)[None, None, :, None]
    vol = vol + 0.01 * scale * rng.normal(size=(n, 2, 7, 7))
    end = np.datetime64("2026-01-16", "ms") - DAY * np.arange(n)[::-1]
    return ScenarioSet(
        engine="historical",
        underlyings=("BTC", "ETH"),
        horizon_hours=48.0,
        start_time=end - 2 * DAY,
        end_time=end,
        spot_return=spot,
        path_hours=np.array([24.0, 48.0]),
        path_return=np.stack([half, spot], axis=2),
        basis_change=0.001 * scale * rng.normal(size=(n, 2, 7)) if surface else np.zeros((n, 2, 7)),
        vol_change=vol if surface else np.zeros_like(vol),
        weight=np.full(n, 1 / n),
        provenance=np.full((n, 2), Provenance.OBSERVED if surface else Provenance.NONE, np.uint8),
        is_synthetic=True,
    )


def model(**revaluation: object) -> ModelParameters:
    """Return the default model with revaluation fields changed; no price history is needed."""
    return parameters_from_mapping(
        {"extends": "hs-surface", "revaluation": revaluation}, where="test"
    )


def model_from(preset_name: str, **sections: object) -> ModelParameters:
    """Return a preset with sections changed."""
    return parameters_from_mapping({"extends": preset_name, **sections}, where="test")


UNDERLYINGS = ("BTC", "ETH")
BEGIN = np.datetime64("2018-01-01", "ms")


def grids(n: int, seed: int = 1, jump: tuple[int, float] | None = None) -> dict[str, PriceGrid]:
    """Return n daily closes of each underlying, whose volatility changes regime every 200 days.

    `jump` is (day, log return) of an additional move of all underlyings.
    """
    rng = np.random.default_rng(seed)
    out: dict[str, PriceGrid] = {}
    shared = rng.normal(size=n)
    for i, u in enumerate(UNDERLYINGS):
        vol = np.where((np.arange(n) // 200) % 2 == 0, 0.02, 0.05) * (1.0 + 0.3 * i)
        moves = vol * (0.8 * shared + 0.6 * rng.normal(size=n))
        if jump is not None:
            moves[jump[0]] += jump[1]
        out[u] = PriceGrid(
            underlying=u,
            time=BEGIN + DAY * np.arange(n),
            price_usd=1000.0 * np.exp(np.cumsum(moves)),
            interval_seconds=86_400,
            is_synthetic=True,
        )
    return out


def indices(n: int) -> dict[str, VolatilityIndex]:
    rng = np.random.default_rng(3)
    out = {}
    for u in UNDERLYINGS:
        level = np.exp(np.cumsum(0.03 * rng.normal(size=n)) * 0.2) * 60.0
        out[u] = VolatilityIndex(u, BEGIN + DAY * np.arange(n), level)
    return out


def extended_of(parameters: ModelParameters) -> ScenarioSet:
    """Return the extended rows of a model, to be joined with synthetic scenarios."""
    core = made_scenarios(2)
    return extended_rows(
        parameters.tails.extended_moves,
        core.underlyings,
        tenors_days=core.tenors_days,
        path_hours=core.path_hours,
        horizon_hours=core.horizon_hours,
    )


def options_of(snapshot: MarketSnapshot) -> list[str]:
    """Return options of one expiry of each underlying, of all strikes."""
    quotes, out = snapshot.options, []
    for underlying in ("BTC", "ETH"):
        expiry = sorted(
            (e.tenor_years, i) for i, e in enumerate(snapshot.expiries)
            if e.underlying == underlying and e.tenor_years > 0.1
        )[0][1]  # fmt: skip
        out += [n for n, e in zip(quotes.names, quotes.expiry_index, strict=True) if e == expiry]
    return sorted(out)


@cache
def sections(seed: int = 0) -> ScenarioSet:
    """Return a synthetic set with every section."""
    whole = join_sections(
        [
            (CORE, made_scenarios(200, seed)),
            (LONG, made_scenarios(150, seed + 1, scale=1.2)),
            (STRESS_PERIOD, made_scenarios(60, seed + 2, scale=1.5)),
            (STRESS, made_scenarios(5, seed + 3, scale=3.0)),
            (EXTENDED, extended_of(model_from("hs-surface", **EVERYTHING))),
        ]
    )
    return replace(whole, calibration=Calibration({"BTC": 0.2, "ETH": 0.1}, 0.95))
