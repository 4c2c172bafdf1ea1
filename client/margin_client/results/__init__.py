"""Results of calls: frozen values named as in the contract, whose comments define each field.

Amounts are US dollars; a VaR, a shortfall and a requirement are positive losses. Times are UTC.
"""

from margin_client.results.margin import (
    BookResult,
    Calculation,
    CalculationDetail,
    CalculationKind,
    Explanation,
    MarginResult,
    PositionContribution,
    SimulatedMargin,
    Simulation,
    TailScenario,
    TracedPosition,
    UnderlyingMove,
)
from margin_client.results.market_data import (
    PublishedSnapshot,
    SnapshotSummary,
    Surface,
    SurfaceSlice,
)
from margin_client.results.operations import (
    ServiceStatus,
    ShardStatus,
)
from margin_client.results.portfolio import (
    AppliedTrades,
    Portfolio,
    UploadedPositions,
)
from margin_client.results.scenario import (
    ActivatedScenarioSet,
    ScenarioSetSummary,
)
from margin_client.results.types import (
    PARTS,
    AccountFailure,
    AccountMargin,
    AccountProblem,
    Generation,
    InputIds,
    PartInput,
    Progress,
    RequirementPart,
)

__all__ = [
    "AccountFailure",
    "AccountMargin",
    "AccountProblem",
    "ActivatedScenarioSet",
    "AppliedTrades",
    "BookResult",
    "Calculation",
    "CalculationDetail",
    "CalculationKind",
    "Explanation",
    "Generation",
    "InputIds",
    "MarginResult",
    "PARTS",
    "PartInput",
    "Portfolio",
    "PositionContribution",
    "Progress",
    "PublishedSnapshot",
    "RequirementPart",
    "ScenarioSetSummary",
    "ServiceStatus",
    "ShardStatus",
    "SimulatedMargin",
    "Simulation",
    "SnapshotSummary",
    "Surface",
    "SurfaceSlice",
    "TailScenario",
    "TracedPosition",
    "UnderlyingMove",
    "UploadedPositions",
]
