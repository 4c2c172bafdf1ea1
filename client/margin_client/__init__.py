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
    UnavailableError,
)
from margin_client.results import (
    AccountFailure,
    AccountMargin,
    AccountProblem,
    BookResult,
    Calculation,
    CalculationKind,
    ChangeStep,
    ComponentCents,
    Explanation,
    Generation,
    InputChange,
    MarginResult,
    Portfolio,
    Progress,
    RequirementChange,
    ScenarioSetSummary,
    ServiceStatus,
    Simulation,
    SnapshotSummary,
    Surface,
)
from margin_client.values import (
    AccountPosition,
    Candidate,
    Forward,
    OptionQuote,
    Position,
    RateCurve,
    Snapshot,
    Trade,
)

__version__: str = version("margin-cluster")

__all__ = [
    "RequirementChange",
    "InputChange",
    "ComponentCents",
    "ChangeStep",
    "AccessError",
    "AccountFailure",
    "AccountMargin",
    "AccountPosition",
    "AccountProblem",
    "AsyncMarginClient",
    "BookResult",
    "BusyError",
    "Calculation",
    "CalculationKind",
    "Candidate",
    "ConflictError",
    "DeadlineError",
    "Explanation",
    "Forward",
    "Generation",
    "InvalidRequestError",
    "MarginClient",
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
    "__version__",
]
