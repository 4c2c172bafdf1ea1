"""The JSON documents that commands print with ``--json``, as typed records with JSON Schemas.

Within a version of a form, fields are only added. A form whose fields are removed or change their
meaning gets a new version.
"""

from margin_cluster.cli.schemas.base import Document, Record
from margin_cluster.cli.schemas.calculations import (
    ChangeStep,
    CompareDocument,
    ExplainAccountDocument,
    ExplainChangesDocument,
    ExplainedPosition,
    Figure,
    MethodTotals,
    RunDocument,
    TailScenario,
    TracedInstrument,
    TracedScenario,
)
from margin_cluster.cli.schemas.chain_backtest import ChainBacktestDocument
from margin_cluster.cli.schemas.market import (
    CheckedPrices,
    CheckedSource,
    DataCheckDocument,
    DataFetchDocument,
    FittedExpiry,
    PriceRepair,
    SurfaceDocument,
)
from margin_cluster.cli.schemas.model_impact import ModelImpactDocument
from margin_cluster.cli.schemas.models import (
    ListedModel,
    ModelDiffDocument,
    ModelDocument,
    ModelListDocument,
    ModelVersionsDocument,
    ParameterChange,
    RecordedVersion,
    ScenariosDocument,
    ScenariosListDocument,
)
from margin_cluster.cli.schemas.service import (
    ErrorDocument,
    ErrorKind,
    ErrorProblem,
    LedgerBackupDocument,
    LedgerFinding,
    LedgerVerifyDocument,
    StatusDocument,
)
from margin_cluster.cli.schemas.studies import (
    BacktestDocument,
    BacktestTest,
    ProcyclicalityDocument,
    ToolResponse,
)

COMMANDS: dict[type[Document], tuple[str, ...]] = {
    RunDocument: ("run",),
    CompareDocument: ("compare",),
    ExplainAccountDocument: ("explain account",),
    ExplainChangesDocument: ("explain changes",),
    BacktestDocument: ("backtest",),
    ChainBacktestDocument: ("backtest --chains",),
    ProcyclicalityDocument: ("procyclicality",),
    DataCheckDocument: ("data check",),
    DataFetchDocument: ("data fetch",),
    SurfaceDocument: ("surface show",),
    ScenariosDocument: ("scenarios build", "scenarios show"),
    ScenariosListDocument: ("scenarios list",),
    ModelListDocument: ("model list", "model show"),
    ModelDocument: ("model show MODEL",),
    ModelDiffDocument: ("model diff",),
    ModelImpactDocument: ("model impact",),
    ModelVersionsDocument: ("model versions",),
    StatusDocument: ("status",),
    LedgerBackupDocument: ("ledger backup", "ledger restore"),
    LedgerVerifyDocument: ("ledger verify",),
    ErrorDocument: ("every command that fails",),
}
"""All documents, with the commands that print them."""

__all__ = [
    "COMMANDS",
    "BacktestDocument",
    "BacktestTest",
    "ChainBacktestDocument",
    "ChangeStep",
    "CheckedPrices",
    "CheckedSource",
    "CompareDocument",
    "DataCheckDocument",
    "DataFetchDocument",
    "Document",
    "ErrorDocument",
    "ErrorKind",
    "ErrorProblem",
    "ExplainAccountDocument",
    "ExplainChangesDocument",
    "ExplainedPosition",
    "Figure",
    "FittedExpiry",
    "LedgerBackupDocument",
    "LedgerFinding",
    "LedgerVerifyDocument",
    "ListedModel",
    "MethodTotals",
    "ModelDiffDocument",
    "ModelDocument",
    "ModelImpactDocument",
    "ModelListDocument",
    "ModelVersionsDocument",
    "ParameterChange",
    "PriceRepair",
    "ProcyclicalityDocument",
    "Record",
    "RecordedVersion",
    "RunDocument",
    "ScenariosDocument",
    "ScenariosListDocument",
    "StatusDocument",
    "SurfaceDocument",
    "TailScenario",
    "ToolResponse",
    "TracedInstrument",
    "TracedScenario",
]
