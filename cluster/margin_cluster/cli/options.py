"""Options that several commands share; each is declared once."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

Data: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--data", help="Folder of market data; default MARGIN_DATA, otherwise synthetic data."
    ),
]
Snapshot: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--snapshot",
        help="Valuation time (2026-05-15T11:27:31Z) or a .toml file; default the latest.",
    ),
]
Model: TypeAlias = Annotated[
    str, typer.Option("--model", help="Preset or TOML file; see `margin model list`.")
]
BookFile: TypeAlias = Annotated[
    Path | None, typer.Option("--book", help="Positions: Parquet or CSV.")
]
CollateralFile: TypeAlias = Annotated[
    Path | None, typer.Option("--collateral", help="Collateral: CSV or Parquet.")
]
ListUnknown: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--list-unknown-collateral",
        help="List and omit collateral of accounts that are not in the book; by default an error.",
    ),
]
Previous: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--previous",
        help="Results of an earlier run, the previous close; the report compares with it.",
    ),
]
Scenarios: TypeAlias = Annotated[
    str | None, typer.Option("--scenarios", help="Id of a built scenario set.")
]
OutDir: TypeAlias = Annotated[Path, typer.Option("--out", help="Folder for the results.")]
Force: TypeAlias = Annotated[
    bool, typer.Option("--force", help="Replace earlier results of this command.")
]
AsJson: TypeAlias = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document, also for errors; see `margin schema`."),
]
First: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="First date, for example 2022-01-01; default the first with enough history.",
    ),
]
Last: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--to",
        help="Last date; default the last one whose outcome is known. A replay ends with the "
        "volatility index.",
    ),
]
LedgerUrl: TypeAlias = Annotated[
    str | None,
    typer.Option("--ledger", help="Database URL of the ledger; default SQLite in --state."),
]
StateFolder: TypeAlias = Annotated[
    Path | None, typer.Option("--state", help="Folder of the ledger and of stored objects.")
]
__all__ = [
    "AsJson",
    "BookFile",
    "CollateralFile",
    "Data",
    "First",
    "Force",
    "Last",
    "LedgerUrl",
    "ListUnknown",
    "Model",
    "OutDir",
    "Previous",
    "Scenarios",
    "Snapshot",
    "StateFolder",
]
