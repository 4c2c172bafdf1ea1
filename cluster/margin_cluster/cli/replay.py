"""`margin replay`: recorded calculations computed again and compared."""

from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

import typer

from margin_actors.errors import InvalidRequest, Problem, raise_if_any
from margin_cluster.archive import StoreArchive
from margin_cluster.cli.console import print_json, print_plain, settings
from margin_cluster.cli.errors import EXIT_INVALID, EXIT_MISSING, reporting_errors
from margin_cluster.cli.ledger import ledger_location
from margin_cluster.cli.options import AsJson, LedgerUrl, StateFolder
from margin_cluster.cli.schemas import ReplayDifference, ReplayDocument, ReplayedCalculation
from margin_cluster.ledger import CalculationRecord, Ledger
from margin_cluster.replay import Replay, replayed
from margin_cluster.sources import ModelRegistry

_SHOWN = 10
"""Differences of one calculation that are printed as text."""


@reporting_errors
def replay_command(
    calculation_id: Annotated[
        str | None, typer.Argument(help="Id of a recorded calculation.")
    ] = None,
    first: Annotated[
        str | None,
        typer.Option("--from", help="Replay all calculations from this time (ISO 8601, UTC) on."),
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", help="Replay all calculations up to this time.")
    ] = None,
    account: Annotated[str, typer.Option(help="Only calculations of this account.")] = "",
    ledger: LedgerUrl = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """Compute recorded calculations again and compare; exit code 2 if one differs.

    The exit code is 6 if none differs and an input of one is missing.
    """
    url, root = ledger_location(ledger, state)
    start, end = _moment("--from", first), _moment("--to", last)
    _require_choice(calculation_id, first, last, account)
    archive = StoreArchive(root, url, is_inspection=True)
    with closing(archive.ledger) as opened:
        registry = ModelRegistry(settings().store)
        chosen = _chosen(opened, calculation_id, start, end, account)
        replays: list[Replay] = []
        for replay in replayed(archive, chosen, registry):
            replays.append(replay)
            if not as_json:
                _print(replay)
    document = _document(replays)
    if as_json:
        print_json(document)
    elif calculation_id is None:
        print_plain(
            f"{document.equal:,} equal, {document.different:,} different, "
            f"{document.missing:,} with a missing input"
        )
    if document.different:
        raise typer.Exit(EXIT_INVALID)
    if document.missing:
        raise typer.Exit(EXIT_MISSING)


def _require_choice(
    calculation_id: str | None, first: str | None, last: str | None, account: str
) -> None:
    has_range = first is not None or last is not None or account != ""
    problems: list[Problem] = []
    if calculation_id is None and not has_range:
        remedy = "give an id, or --from, --to or --account"
        problems.append(Problem("CALCULATION_ID", "is missing", remedy))
    if calculation_id is not None and has_range:
        remedy = "give either an id, or --from, --to and --account"
        problems.append(Problem("CALCULATION_ID", calculation_id, remedy))
    raise_if_any(problems, InvalidRequest, "the choice of calculations is not valid")


def _moment(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        remedy = "give a time such as 2026-05-15 or 2026-05-15T11:27:31Z"
        raise InvalidRequest(
            "an option is not valid", [Problem(option, repr(text), remedy)]
        ) from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def _chosen(
    ledger: Ledger,
    calculation_id: str | None,
    start: datetime | None,
    end: datetime | None,
    account: str,
) -> Iterable[CalculationRecord]:
    if calculation_id is not None:
        return [ledger.calculation(calculation_id)]
    return ledger.calculations_between(start, end, account_id=account)


def _print(replay: Replay) -> None:
    shown = _calculation(replay)
    subject = f"account {shown.account}" if shown.account else shown.kind
    print_plain(f"{shown.calculation_id}  {subject}, {shown.create_time}")
    asked = shown.caller or "a caller that was not recorded"
    print_plain(f"  requested by {asked}, request {shown.request_id or 'without id'}")
    print_plain(f"  model {shown.model_name}@{shown.model_version}, {_signatures(shown)}")
    for name, value in shown.inputs.items():
        print_plain(f"  {name:<18} {value}")
    print_plain(f"  requirement        {shown.initial_margin_usd:,.2f} USD")
    if shown.missing:
        print_plain(f"  NOT REPLAYED: {shown.missing}")
    elif shown.is_equal:
        print_plain(f"  EQUAL: digest {shown.found_digest}")
    else:
        print_plain(f"  DIFFERENT: {len(shown.differences):,} differences, first:")
        for d in shown.differences[:_SHOWN]:
            print_plain(f"    {d.where}: recorded {d.recorded}, now {d.found}")


def _signatures(shown: ReplayedCalculation) -> str:
    registered = f"registered by {shown.registered_by}" if shown.registered_by else "not registered"
    if not shown.approved_by:
        return f"{registered}, not approved"
    later = "" if shown.approved_when_calculated else " (not yet when it was calculated)"
    return f"{registered}, approved by {shown.approved_by}{later}"


def _calculation(replay: Replay) -> ReplayedCalculation:
    record, model = replay.record, replay.model
    missing = "" if replay.missing is None else "; ".join(map(str, replay.missing.problems))
    return ReplayedCalculation(
        calculation_id=record.calculation_id,
        kind=record.kind,
        account=record.account_id,
        create_time=record.create_time.isoformat(),
        caller=record.caller,
        request_id=record.request_id,
        model_name=record.generation.model_name,
        model_version=record.generation.model_version,
        registered_by=model.registered_by if model else "",
        approved_by=model.approved_by if model else "",
        approved_when_calculated=record.generation.model_approved_by != "",
        inputs={
            **record.inputs.independent,
            "portfolio_version": str(record.portfolio_version),
        },
        initial_margin_usd=record.initial_margin_usd,
        recorded_digest=record.digest,
        found_digest=replay.digest,
        is_equal=replay.is_equal,
        differences=[
            ReplayDifference(where=d.where, recorded=d.recorded, found=d.found)
            for d in replay.differences
        ],
        missing=missing,
    )


def _document(replays: list[Replay]) -> ReplayDocument:
    equal = sum(r.is_equal for r in replays)
    missing = sum(r.missing is not None for r in replays)
    return ReplayDocument(
        is_equal=equal == len(replays),
        equal=equal,
        different=len(replays) - equal - missing,
        missing=missing,
        calculations=[_calculation(r) for r in replays],
    )


__all__ = ["replay_command"]
