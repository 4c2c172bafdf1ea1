"""The client of the margin service, for venues and clearing members.

The base install contains only this package and the protobuf messages; it imports neither numpy nor
the server.
"""

from importlib.metadata import version

from margin_client._channels import Tls
from margin_client._retries import RetryPolicy
from margin_client.aio import AsyncMarginClient
from margin_client.client import MarginClient
from margin_client.errors import (
    AccessError,
    BusyError,
    ConflictError,
    DeadlineError,
    InvalidRequestError,
    MarginClientError,
    NotFoundError,
    NotReadyError,
    Problem,
    RefusedError,
    UnavailableError,
)
from margin_client.results import (
    AccountFailure,
    AccountMargin,
    AccountProblem,
    AccountResources,
    BookResult,
    Calculation,
    CalculationKind,
    CallClass,
    CallStatus,
    Explanation,
    Generation,
    MarginCall,
    MarginResult,
    Portfolio,
    Progress,
    ScenarioSetSummary,
    ServiceStatus,
    Simulation,
    SnapshotSummary,
    Surface,
    WatchedCall,
)
from margin_client.values import (
    AccountPosition,
    CallAction,
    Candidate,
    ClearedTrade,
    Forward,
    OptionQuote,
    Position,
    RateCurve,
    Snapshot,
    Trade,
)

__version__: str = version("margin-cluster")

__all__ = [
    "AccessError",
    "AccountFailure",
    "AccountMargin",
    "AccountPosition",
    "AccountProblem",
    "AccountResources",
    "AsyncMarginClient",
    "BookResult",
    "BusyError",
    "Calculation",
    "CalculationKind",
    "CallAction",
    "CallClass",
    "CallStatus",
    "Candidate",
    "ClearedTrade",
    "ConflictError",
    "DeadlineError",
    "Explanation",
    "Forward",
    "Generation",
    "InvalidRequestError",
    "MarginClient",
    "MarginCall",
    "MarginClientError",
    "MarginResult",
    "NotFoundError",
    "NotReadyError",
    "OptionQuote",
    "RateCurve",
    "Portfolio",
    "Position",
    "Problem",
    "Progress",
    "RefusedError",
    "RetryPolicy",
    "ScenarioSetSummary",
    "ServiceStatus",
    "Simulation",
    "Snapshot",
    "SnapshotSummary",
    "Surface",
    "Tls",
    "Trade",
    "UnavailableError",
    "WatchedCall",
    "__version__",
]
