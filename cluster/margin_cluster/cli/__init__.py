"""The `margin` command with its subcommands: run, report, explain, compare, serve and others."""

import typer

from margin_cluster.cli.explain import explain_app
from margin_cluster.cli.ledger import ledger_app
from margin_cluster.cli.market import data_app, surface_app
from margin_cluster.cli.model import model_app, scenarios_app
from margin_cluster.cli.run import report, run
from margin_cluster.cli.serve import serve_command, status_command
from margin_cluster.cli.studies import backtest, compare, procyclicality

app = typer.Typer(
    name="margin",
    help="Initial margin for cleared crypto options.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("run")(run)
app.command("report")(report)
app.command("compare")(compare)
app.command("backtest")(backtest)
app.command("procyclicality")(procyclicality)
app.command("serve")(serve_command)
app.command("status")(status_command)
app.add_typer(explain_app, name="explain")
app.add_typer(data_app, name="data")
app.add_typer(surface_app, name="surface")
app.add_typer(scenarios_app, name="scenarios")
app.add_typer(model_app, name="model")
app.add_typer(ledger_app, name="ledger")

__all__ = ["app"]
