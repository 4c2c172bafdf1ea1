"""Results of calls: frozen dataclasses with the field names of the protobuf messages.

The comments of the .proto files define every field. Amounts are in US dollars. VaR, expected
shortfall and requirements are positive for losses; profits are negative for losses. Times are UTC.
"""

from margin_client.results.margin import (
    BookResult,
    Calculation,
    CalculationDetail,
    CalculationKind,
    Explanation,
    ExportedFiles,
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
    FeedStatus,
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
    ChainFinding,
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
    "ChainFinding",
    "Explanation",
    "ExportedFiles",
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
    "FeedStatus",
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
