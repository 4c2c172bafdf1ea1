"""Named models, and models made from one by changing fields."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from margin_actors.engine.parameters.model import (
    HistoryParameters,
    MeasureParameters,
    ModelParameters,
    RevaluationParameters,
    ScenarioParameters,
)
from margin_actors.errors import InvalidParameters, Problem, raise_if_any

_ALL_SOURCES = ("*{u}USD*_1d", "*{u}USD*_1h")

PRESETS: dict[str, ModelParameters] = {
    "plain-hs": ModelParameters(
        name="plain-hs",
        description=(
            "Replicable to the last digit: daily closes of one source, 1,825 overlapping 2-day "
            "returns, marks frozen at the strike, VaR at 99.5 %, no add-ons."
        ),
        history=HistoryParameters(
            sources=("binance_{u}USDT_1d",), aggregate="first", cleanse=False
        ),
        scenarios=ScenarioParameters(),
        revaluation=RevaluationParameters(
            smile="mark",
            dynamics="sticky_strike",
            pnl_quantum_usd=None,
            settlement_window_minutes=0.0,
        ),
        measure=MeasureParameters(core="var"),
    ),
    "hs-surface": ModelParameters(
        name="hs-surface",
        description=(
            "Historical simulation of price and volatility surface: cleansed median of all "
            "sources, five years of overlapping 2-day windows, SVI smiles moving with the forward, "
            "surface moves from the chain history or its proxies, expected shortfall at 99.5 %."
        ),
        history=HistoryParameters(sources=_ALL_SOURCES),
        scenarios=ScenarioParameters(surface_moves="history"),
    ),
}
"""The presets, by name."""

DEFAULT_PRESET = "hs-surface"


def preset(name: str) -> ModelParameters:
    """Return the preset of that name.

    Raises
    ------
    InvalidParameters
        If there is none; the message lists those there are.
    """
    if name not in PRESETS:
        known = ", ".join(sorted(PRESETS))
        raise InvalidParameters(
            f"there is no model preset {name!r}",
            [Problem("--model", f"{name!r}", f"give a TOML file or one of: {known}")],
        )
    return PRESETS[name]


def parameters_from_mapping(mapping: Mapping[str, Any], *, where: str) -> ModelParameters:
    """Return the parameters that a model file holds.

    A file names the preset it starts from with ``extends`` and gives the fields it changes; without
    ``extends`` it must give every field that has no default.

    Raises
    ------
    InvalidParameters
        Naming every unknown field and every value out of its range.
    """
    given = dict(mapping)
    base_name = given.pop("extends", None)
    merged: dict[str, Any] = {"name": where}
    if base_name is not None:
        merged = preset(str(base_name)).model_dump(mode="json") | {"name": f"{base_name} changed"}
    for key, value in given.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = {**merged[key], **value}
        else:
            merged[key] = value
    try:
        return ModelParameters.model_validate(merged)
    except ValidationError as error:
        problems = [
            Problem(
                f"{where}, {'.'.join(str(part) for part in item['loc']) or 'model'}",
                f"{item['msg']} (got {item['input']!r})"
                if not isinstance(item["input"], dict)
                else item["msg"],
            )
            for item in error.errors()
        ]
        raise_if_any(problems, InvalidParameters, f"the model {where} is not valid")
        raise
