"""What the preset models share."""

from margin_actors.engine.parameters.model import HistoryParameters, ModelParameters
from margin_actors.engine.parameters.scenarios import ScenarioParameters
from margin_actors.parameter_section import ParameterSection

SURFACE = ScenarioParameters(surface_moves="history")
"""Historical windows of prices and volatility surfaces."""
FILTERED = SURFACE.model_copy(update={"engine": "filtered"})
"""The same windows, scaled to the current volatility."""

_ALL_PRICES = HistoryParameters(sources=("*{u}USD*_1d", "*{u}USD*_1h"))


def named_model(
    name: str, description: str, version: str = "1", **sections: ParameterSection
) -> ModelParameters:
    """Return a model with the given sections, by default with windows of all price sources."""
    named = {"name": name, "version": version, "description": description}
    return ModelParameters.model_validate(
        {**named, "history": _ALL_PRICES, "scenarios": SURFACE, **sections}
    )
