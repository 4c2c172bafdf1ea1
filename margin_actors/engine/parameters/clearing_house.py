"""The versions of the preset `ccp-default`, with which a clearing house would start."""

from margin_actors.engine.parameters.depth import (
    CloseOutParameters,
    DepthParameters,
    HedgeParameters,
    LossBoundParameters,
    MemberParameters,
)
from margin_actors.engine.parameters.model import RevaluationParameters
from margin_actors.engine.parameters.named import FILTERED, named_model
from margin_actors.engine.parameters.perpetual_basis import PerpetualBasisParameters
from margin_actors.engine.parameters.rates import RateParameters
from margin_actors.engine.parameters.requirement import (
    AddOnParameters,
    BufferParameters,
    CollateralParameters,
    ConcentrationParameters,
    DiversificationParameters,
    ExpiryRiskParameters,
    LiquidityParameters,
    LongFloorParameters,
    ModelRiskParameters,
    ProcyclicalityParameters,
    StressPeriodParameters,
)
from margin_actors.engine.parameters.scenarios import FilterParameters, StressParameters
from margin_actors.engine.parameters.tails import (
    ExtendedMoveParameters,
    ShortOptionMinimumParameters,
    TailParameters,
)
from margin_actors.market.chain_quality import ChainQualityLimits

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

_VERSION_2 = named_model(
    "ccp-default",
    "What a clearing house would start from: filtered historical simulation, expected "
    "shortfall at 99.5 %, at most 80 % of the diversification benefit, a released buffer, floors "
    "from ten years, the stress period and extended moves, add-ons by member, and quality gates.",
    version="2",
    scenarios=FILTERED.model_copy(
        update={
            "filter": FilterParameters(floor_share=0.9),
            "stress": StressParameters(enabled=True, basis_rows=True),
            "perpetual_basis": PerpetualBasisParameters(moves="history"),
        }
    ),
    revaluation=RevaluationParameters(rates=RateParameters(use="curve")),
    diversification=DiversificationParameters(enabled=True, reduction_max=0.8),
    procyclicality=ProcyclicalityParameters(
        buffer=BufferParameters(enabled=True),
        long_floor=LongFloorParameters(enabled=True),
        stress_period=StressPeriodParameters(floor=True),
    ),
    tails=TailParameters(
        extended_moves=ExtendedMoveParameters(
            enabled=True, past_days_share=0.52, short_tenors_days=(1.0, 3.0)
        ),
        short_option_minimum=ShortOptionMinimumParameters(enabled=True),
    ),
    addons=AddOnParameters(
        measure="core",
        concentration=ConcentrationParameters(enabled=True, participation=0.3),
        liquidity=LiquidityParameters(enabled=True),
        model_risk=ModelRiskParameters(enabled=True),
        expiry_risk=ExpiryRiskParameters(enabled=True),
        depth=DepthParameters(days=30, change_max=0.05),
        members=MemberParameters(enabled=True),
        hedge=HedgeParameters(enabled=True),
        close_out=CloseOutParameters(parity=True, value_bound=True, settling_share=1.0),
        loss_bound=LossBoundParameters(enabled=True),
    ),
    collateral=CollateralParameters(depeg={"USDC": 0.13, "USDT": 0.11}),
    chain_quality=ChainQualityLimits(enabled=True),
)

CCP_DEFAULT = (_VERSION_1, _VERSION_2)
"""All versions, the current one last."""
