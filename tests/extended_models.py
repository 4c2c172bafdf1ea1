"""Models with extended moves on a small grid, for tests."""

from made import model_from

from margin_actors.engine.parameters import ModelParameters

GRID: dict[str, object] = {
    "enabled": True,
    "jointly": [{"spot": [-0.3, 0.3], "vol": [0.7, 1.6], "share": 0.5}],
    "alone": [],
    "opposite": [],
    "rows": [],
}


def model_with(moves: dict[str, object] | None = None, **sections: object) -> ModelParameters:
    tails = {"extended_moves": {**GRID, **(moves or {})}}
    return model_from("hs-surface", tails=tails, **sections)
