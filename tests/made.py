"""Made scenarios and models for tests of the engine."""

import numpy as np

from margin_actors.engine.parameters import ModelParameters, parameters_from_mapping
from margin_actors.engine.scenarios import Provenance, ScenarioSet

DAY = np.timedelta64(86_400_000, "ms")


def made_scenarios(
    n: int, seed: int = 0, *, surface: bool = True, scale: float = 1.0
) -> ScenarioSet:
    """Random joint moves of BTC and ETH of a realistic size."""
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
    """The default model with revaluation fields changed; made scenarios need no history."""
    return parameters_from_mapping(
        {"extends": "hs-surface", "revaluation": revaluation}, where="test"
    )
