"""The `margin` command with its subcommands: run, report, explain, compare, serve and others."""

from importlib.metadata import version
from typing import Annotated

import typer

from margin_cluster.cli.audit import audit
from margin_cluster.cli.challenge import challenge
from margin_cluster.cli.compare import compare
from margin_cluster.cli.errors import JsonErrorGroup
from margin_cluster.cli.explain import explain_app
from margin_cluster.cli.explain_changes import changes_command
from margin_cluster.cli.export import export, risk_arrays
from margin_cluster.cli.ledger import ledger_app
from margin_cluster.cli.market import data_app
from margin_cluster.cli.model import model_app
from margin_cluster.cli.model_impact import impact
from margin_cluster.cli.model_versions import approve_model, list_versions, register_model
from margin_cluster.cli.procyclicality import procyclicality
from margin_cluster.cli.replay import replay_command
from margin_cluster.cli.run import report, run
from margin_cluster.cli.scenarios import scenarios_app
from margin_cluster.cli.schema import schema_command
from margin_cluster.cli.serve import serve_command
from margin_cluster.cli.simulate_day import simulate_day
from margin_cluster.cli.status import status_command
from margin_cluster.cli.studies import backtest
from margin_cluster.cli.surface import surface_app

app = typer.Typer(
    name="margin",
    cls=JsonErrorGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"margin-cluster {version('margin-cluster')}")
        raise typer.Exit


@app.callback(help="Initial margin for cleared crypto options.")
def main(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Handle the options of `margin` itself."""


app.command("run")(run)
model_app.command("register")(register_model)
model_app.command("approve")(approve_model)
model_app.command("versions")(list_versions)
model_app.command("impact")(impact)
app.command("report")(report)
app.command("export")(export)
app.command("risk-arrays")(risk_arrays)
app.command("compare")(compare)
app.command("backtest")(backtest)
app.command("procyclicality")(procyclicality)
app.command("challenge")(challenge)
app.command("audit")(audit)
app.command("simulate-day")(simulate_day)
app.command("serve")(serve_command)
app.command("replay")(replay_command)
app.command("status")(status_command)
explain_app.command("changes")(changes_command)
app.add_typer(explain_app, name="explain")
app.add_typer(data_app, name="data")
app.add_typer(surface_app, name="surface")
app.add_typer(scenarios_app, name="scenarios")
app.add_typer(model_app, name="model")
app.add_typer(ledger_app, name="ledger")
app.command("schema")(schema_command)

__all__ = ["app"]
