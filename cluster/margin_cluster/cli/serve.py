"""`margin serve`."""

from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.markup import escape

from margin_actors.actors.layout import Layout
from margin_actors.engine.parameters.presets import DEFAULT_PRESET
from margin_actors.errors import InvalidParameters, Problem
from margin_cluster.cli.console import err, out, settings, stages, synthetic_banner
from margin_cluster.cli.errors import reporting_errors
from margin_cluster.cli.options import Data, LedgerUrl, Model, StateFolder
from margin_cluster.feeds import feed_from_text
from margin_cluster.gateway import Gateway, GatewayOptions
from margin_cluster.gateway.tls import load_server_tls
from margin_cluster.ledger import address_from_url
from margin_cluster.live_feeds import FeedRequest, require_feed_library
from margin_cluster.service import ServiceRequest, ray_session, serve, start_logging
from margin_cluster.streams import protect_standard_streams
from margin_cluster.wiring import load_model

_DEFAULTS = GatewayOptions()
_TLS, _LIMITS, _TIMES, _FEED = "TLS", "Limits", "Time limits", "Feed"
"""Groups of options in the help."""


@reporting_errors
def serve_command(
    data: Data = None,
    snapshot: Annotated[
        str | None,
        typer.Option(
            help="Initial snapshot if the ledger is empty: time or .toml file; default the latest."
        ),
    ] = None,
    book: Annotated[
        Path | None, typer.Option(help="Initial positions if the ledger is empty: Parquet or CSV.")
    ] = None,
    scenarios: Annotated[
        str | None, typer.Option(help="Id of the initial scenario set if the ledger is empty.")
    ] = None,
    replace_snapshot: Annotated[
        bool,
        typer.Option(
            "--replace-snapshot",
            help="Replace the market in use by --snapshot and --scenarios, or by the latest.",
        ),
    ] = False,
    replace_book: Annotated[
        bool,
        typer.Option("--replace-book", help="Replace all positions of the ledger by --book."),
    ] = False,
    feed: Annotated[
        str,
        typer.Option(
            help="Source of market data: none, deribit, deribit:URL, or replay:DIR@60x for "
            "recorded snapshots at 60 times real time (@max without pauses).",
            rich_help_panel=_FEED,
        ),
    ] = "none",
    record: Annotated[
        Path | None,
        typer.Option(
            help="Data folder that --feed deribit extends; default 'recorded' in --state.",
            rich_help_panel=_FEED,
        ),
    ] = None,
    feed_seconds: Annotated[
        float,
        typer.Option(
            min=1.0,
            help="Seconds between two snapshots that --feed deribit requests.",
            rich_help_panel=_FEED,
        ),
    ] = 60.0,
    model: Model = DEFAULT_PRESET,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="gRPC port; 0 for any free port.")] = 50051,
    health_port: Annotated[
        int, typer.Option(help="Port of health checks; 0 for any free port.")
    ] = 50052,
    metrics_port: Annotated[
        int | None, typer.Option(help="Port of Prometheus metrics over HTTP; default none.")
    ] = None,
    ray_address: Annotated[
        str | None,
        typer.Option(help="Address of a running Ray cluster; default: start a local one."),
    ] = None,
    cpus: Annotated[
        int | None, typer.Option(min=1, help="Processors of the local cluster; default all.")
    ] = None,
    shards: Annotated[
        int, typer.Option(min=0, help="Number of scenario shards; 0 for one per processor.")
    ] = 0,
    state: StateFolder = None,
    ledger: LedgerUrl = None,
    tls_certificate: Annotated[
        Path | None,
        typer.Option(
            help="PEM certificate chain; with --tls-key, for all ports.", rich_help_panel=_TLS
        ),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="PEM key of the certificate.", rich_help_panel=_TLS)
    ] = None,
    tls_client_ca: Annotated[
        Path | None,
        typer.Option(
            help="PEM file of authorities; callers must present a certificate signed by one.",
            rich_help_panel=_TLS,
        ),
    ] = None,
    unary_active: Annotated[
        int, typer.Option(help="Unary calls processed at the same time.", rich_help_panel=_LIMITS)
    ] = _DEFAULTS.unary_active_max,
    unary_waiting: Annotated[
        int,
        typer.Option(
            help="Length of the queue of unary calls, all callers together, beyond which calls are "
            "rejected; at most 4 waiting calls of each caller count.",
            rich_help_panel=_LIMITS,
        ),
    ] = _DEFAULTS.unary_waiting_max,
    unary_caller_waiting: Annotated[
        int,
        typer.Option(
            help="Longest queue of unary calls of one caller; its further calls are rejected.",
            rich_help_panel=_LIMITS,
        ),
    ] = _DEFAULTS.unary_caller_waiting_max,
    streaming_active: Annotated[
        int,
        typer.Option(help="Streaming calls processed at the same time.", rich_help_panel=_LIMITS),
    ] = _DEFAULTS.streaming_active_max,
    streaming_caller_active: Annotated[
        int,
        typer.Option(
            help="Streaming calls of one caller processed at the same time.",
            rich_help_panel=_LIMITS,
        ),
    ] = _DEFAULTS.streaming_caller_active_max,
    streaming_waiting: Annotated[
        int,
        typer.Option(
            help="Waiting streaming calls, counting at most 4 of each caller.",
            rich_help_panel=_LIMITS,
        ),
    ] = _DEFAULTS.streaming_waiting_max,
    streaming_caller_waiting: Annotated[
        int, typer.Option(help="Waiting streaming calls of one caller.", rich_help_panel=_LIMITS)
    ] = _DEFAULTS.streaming_caller_waiting_max,
    uploads: Annotated[
        int, typer.Option(help="Open uploads and publications.", rich_help_panel=_LIMITS)
    ] = _DEFAULTS.uploads_max,
    caller_uploads: Annotated[
        int,
        typer.Option(help="Open uploads and publications of one caller.", rich_help_panel=_LIMITS),
    ] = _DEFAULTS.caller_uploads_max,
    connection_streams: Annotated[
        int, typer.Option(help="Calls in progress on one connection.", rich_help_panel=_LIMITS)
    ] = _DEFAULTS.connection_streams_max,
    message_bytes: Annotated[
        int, typer.Option(help="Maximum size of a request message, bytes.", rich_help_panel=_LIMITS)
    ] = _DEFAULTS.message_bytes_max,
    waiting_bytes: Annotated[
        int,
        typer.Option(
            help="Maximum total size of waiting requests, bytes.", rich_help_panel=_LIMITS
        ),
    ] = _DEFAULTS.waiting_bytes_max,
    first_message_seconds: Annotated[
        float, typer.Option(help="Longest wait for a call's first message.", rich_help_panel=_TIMES)
    ] = _DEFAULTS.first_message_seconds_max,
    stall_seconds: Annotated[
        float,
        typer.Option(help="Longest wait for an upload's next message.", rich_help_panel=_TIMES),
    ] = _DEFAULTS.stall_seconds_max,
    unread_seconds: Annotated[
        float, typer.Option(help="Longest wait until a response is read.", rich_help_panel=_TIMES)
    ] = _DEFAULTS.unread_seconds_max,
    drain_seconds: Annotated[
        float,
        typer.Option(help="Longest time to finish calls after SIGTERM.", rich_help_panel=_TIMES),
    ] = _DEFAULTS.drain_seconds_max,
) -> None:
    """Serve margins over gRPC until stopped; without a data folder, from synthetic data."""
    options = GatewayOptions(
        host=host,
        port=port,
        health_port=health_port,
        metrics_port=metrics_port,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        tls_client_ca=tls_client_ca,
        unary_active_max=unary_active,
        unary_waiting_max=unary_waiting,
        unary_caller_waiting_max=unary_caller_waiting,
        streaming_active_max=streaming_active,
        streaming_caller_active_max=streaming_caller_active,
        streaming_waiting_max=streaming_waiting,
        streaming_caller_waiting_max=streaming_caller_waiting,
        uploads_max=uploads,
        caller_uploads_max=caller_uploads,
        connection_streams_max=connection_streams,
        message_bytes_max=message_bytes,
        waiting_bytes_max=waiting_bytes,
        first_message_seconds_max=first_message_seconds,
        stall_seconds_max=stall_seconds,
        unread_seconds_max=unread_seconds,
        drain_seconds_max=drain_seconds,
    )
    # Checked before Ray starts, so that a mistake is reported at once.
    load_server_tls(tls_certificate, tls_key, tls_client_ca)
    here = settings()
    choice = feed_from_text(feed, default_url=here.deribit_url)
    require_feed_library(choice)
    request = ServiceRequest(
        model=load_model(model),
        data=data,
        snapshot=snapshot,
        book=book,
        scenarios_id=scenarios,
        replace_snapshot=replace_snapshot,
        replace_book=replace_book,
        ray_address=ray_address,
        cpus=cpus,
        ledger_url=ledger,
        state=state,
        layout=Layout(shards=shards),
        feed=None if choice is None else FeedRequest(choice, record, feed_seconds),
    )
    if replace_book and book is None:
        raise InvalidParameters(
            "the positions cannot be replaced",
            [Problem("--replace-book", "--book is not given", "name the file of positions")],
        )
    if ledger is not None:
        address_from_url(ledger)  # a mistake in it is reported before anything starts
    protect_standard_streams()
    start_logging()
    with stages(quiet=False) as progress:
        progress("Starting Ray", 0, 0)

        def ready(gateway: Gateway) -> None:
            progress("Serving; press Ctrl-C or send SIGTERM to stop", 0, 0)
            _say_ready(gateway)

        with ray_session(request):
            uvloop.run(
                serve(here, request, options, progress=progress, notify=_notify, ready=ready)
            )
    err.print("Stopped.")


def _notify(notice: str) -> None:
    err.print(f"[yellow]Note:[/] {escape(notice)}", soft_wrap=True, highlight=False)


def _say_ready(gateway: Gateway) -> None:
    now = gateway.cluster.current
    gateway.positions.follow()
    accounts, _ = gateway.positions.counts()
    if now is not None and (
        now.priced.scenarios.is_synthetic or now.priced.market.snapshot.is_synthetic
    ):
        out.print(synthetic_banner())
    host = gateway.options.host
    out.print(f"[bold]Ready[/] on {host}:{gateway.port}", highlight=False)
    if now is not None:
        out.print(
            f"{now.parameters.name} at {now.priced.market.snapshot.time:%Y-%m-%d %H:%M:%S} UTC: "
            f"{now.handle.n_contracts:,} contracts, {len(now.priced.scenarios):,} scenarios, "
            f"{accounts:,} accounts",
            highlight=False,
            soft_wrap=True,
        )
    if gateway.metrics_port is not None:
        out.print(f"[dim]metrics on {host}:{gateway.metrics_port}[/]", highlight=False)
    out.print(f"[dim]health on {host}:{gateway.health_port}[/]", highlight=False)
    out.file.flush()
