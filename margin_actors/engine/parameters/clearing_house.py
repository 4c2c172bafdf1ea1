"""The versions of the preset `ccp-default`, with which a clearing house would start."""

from margin_actors.engine.parameters.named import FILTERED, named_model
from margin_actors.engine.parameters.requirement import (
    AddOnParameters,
    BufferParameters,
    ConcentrationParameters,
    DiversificationParameters,
    ExpiryRiskParameters,
    LiquidityParameters,
    LongFloorParameters,
    ModelRiskParameters,
    ProcyclicalityParameters,
    StressPeriodParameters,
)
from margin_actors.engine.parameters.scenarios import StressParameters

_VERSION_1 = named_model(
    "ccp-default",
    "What a clearing house would start from: filtered historical simulation, expected "
    "shortfall at 99.5 %, at most 80 % of the help between underlyings, a released buffer, "
    "floors from ten years and from the stress period, and every add-on.",
    scenarios=FILTERED.model_copy(update={"stress": StressParameters(enabled=True)}),
    diversification=DiversificationParameters(enabled=True, reduction_max=0.8),
    procyclicality=ProcyclicalityParameters(
        buffer=BufferParameters(enabled=True),
        long_floor=LongFloorParameters(enabled=True),
        stress_period=StressPeriodParameters(floor=True),
    ),
    addons=AddOnParameters(
        concentration=ConcentrationParameters(enabled=True),
        liquidity=LiquidityParameters(enabled=True),
        model_risk=ModelRiskParameters(enabled=True),
        expiry_risk=ExpiryRiskParameters(enabled=True),
    ),
)

CCP_DEFAULT = (_VERSION_1,)
"""All versions, the current one last."""
