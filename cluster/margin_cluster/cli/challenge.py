"""`margin challenge`."""

import math
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import typer
from rich.table import Table

from margin_actors.engine.challenge import (
    ChallengeResult,
    ExplainedPortfolio,
    FamilyResult,
    MoveSettings,
    PortfolioLimits,
    SearchSettings,
)
from margin_actors.engine.parameters.presets import DEFAULT_PRESET
from margin_actors.errors import InvalidParameters, Problem
from margin_cluster.challenges import run_challenge
from margin_cluster.cli.console import count_of, opened_workspace, out, print_json, settings
from margin_cluster.cli.errors import reporting_errors
from margin_cluster.cli.options import AsJson, Data, Force, Model, Scenarios, Snapshot
from margin_cluster.cli.outputs import output_folder
from margin_cluster.cli.provenance import study_identity
from margin_cluster.cli.schemas import (
    ChallengedFamily,
    ChallengeDocument,
    ChallengedPortfolio,
    ChallengeHistoryDocument,
    ChallengeHistoryEntry,
    ChallengeSectionLoss,
)
from margin_cluster.report import challenge_html
from margin_cluster.sources import ChallengeHistory, ChallengeRecord
from margin_cluster.wiring import load_model

_LIMITS, _SEARCH = PortfolioLimits(), SearchSettings()
_LEGS_SHOWN = 8


@reporting_errors
def challenge(
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder for the results; not with --history.")
    ] = None,
    data: Data = None,
    snapshot: Snapshot = None,
    model: Model = DEFAULT_PRESET,
    scenarios: Scenarios = None,
    share: Annotated[
        float, typer.Option("--share", help="Largest share of each contract's open interest.")
    ] = _LIMITS.open_interest_share,
    gross: Annotated[
        float | None, typer.Option("--gross", help="Largest gross notional, US dollars.")
    ] = None,
    legs: Annotated[
        int | None, typer.Option("--legs", help="Largest number of contracts of a portfolio.")
    ] = None,
    loss: Annotated[
        float, typer.Option("--loss", help="Smallest plausible loss of a portfolio, US dollars.")
    ] = _LIMITS.loss_min_usd,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Seed of the random structures.")
    ] = _SEARCH.seed,
    structures: Annotated[
        int, typer.Option("--structures", min=0, help="Number of random structures.")
    ] = _SEARCH.structures,
    parallel: Annotated[
        bool,
        typer.Option(
            "--parallel-moves",
            help="Also use moves of volatility by the same factor at all expiries.",
        ),
    ] = False,
    history: Annotated[
        bool, typer.Option("--history", help="Print the recorded results of all challenges.")
    ] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Search for portfolios whose requirement is small for what they can plausibly lose."""
    kept = ChallengeHistory(settings().store)
    if history:
        _print_history(kept.records(), as_json=as_json)
        return
    if out_dir is None:
        raise InvalidParameters(
            "no folder for the results", [Problem("--out", "not given", "name a folder")]
        )
    limits = PortfolioLimits(
        open_interest_share=share, gross_usd=gross, legs_max=legs, loss_min_usd=loss
    )
    parameters = load_model(model)
    with (
        output_folder(out_dir, command="challenge", replace=force) as folder,
        opened_workspace(data, quiet=as_json) as (workspace, progress),
    ):
        found = run_challenge(
            workspace,
            parameters,
            snapshot=snapshot,
            scenarios_id=scenarios,
            limits=limits,
            settings=SearchSettings(seed=seed, structures=structures),
            grid=MoveSettings(parallel=parallel),
            progress=progress,
        )
        document = _document(found, out_dir)
        _write_tables(found, folder)
        progress("Drawing the report", 0, 0)
        identity = study_identity(
            workspace,
            [parameters],
            valuation=f"{found.snapshot.time:%Y-%m-%d %H:%M:%S} UTC",
            inputs=[
                ("snapshot", found.snapshot.id),
                ("scenario set", found.scenarios_id),
                ("challenge", found.id),
            ],
        )
        page = challenge_html(found, identity=identity, earlier=kept.records())
        (folder / "report.html").write_text(page, encoding="utf-8")
    if as_json:
        print_json(document)
    else:
        _show(found, out_dir)


def _number(ratio: float) -> float | None:
    return ratio if math.isfinite(ratio) else None


def _document(found: ChallengeResult, folder: Path) -> ChallengeDocument:
    return ChallengeDocument(
        out=str(folder),
        id=found.id,
        verdict=found.verdict,
        ratio=_number(found.ratio),
        ratio_bound=found.ratio_bound,
        model=found.model.name,
        model_version=found.model.version,
        model_id=found.model.id,
        snapshot_time=found.snapshot.time.isoformat(),
        snapshot_id=found.snapshot.id,
        scenarios_id=found.scenarios_id,
        moves_id=found.moves.id,
        moves=len(found.moves),
        contracts=found.contracts,
        open_interest_share=found.limits.open_interest_share,
        gross_usd=found.limits.gross_usd,
        legs_max=found.limits.legs_max,
        loss_min_usd=found.limits.loss_min_usd,
        seed=found.settings.seed,
        evaluated=dict(found.evaluated),
        best_of_method={name: _number(ratio) for name, ratio in found.best_of_method.items()},
        worst=[_portfolio(p) for p in found.worst],
        families=[_family(f) for f in found.families],
        ratio_of_move={
            name: _number(ratio)
            for name, ratio in zip(found.moves.names, found.ratio_of_move.tolist(), strict=True)
        },
        synthetic=found.snapshot.is_synthetic,
    )


def _portfolio(found: ExplainedPortfolio) -> ChallengedPortfolio:
    return ChallengedPortfolio(
        method=found.portfolio.method,
        label=found.portfolio.label,
        positions=found.quantities,
        gross_usd=found.gross_usd,
        requirement_usd=found.requirement_usd,
        loss_usd=found.loss_usd,
        ratio=found.ratio,
        move=found.move,
        components_usd=found.components_usd,
        losses_usd=found.losses_usd,
        sections=[
            ChallengeSectionLoss(
                section=s.section, row=s.row, loss_usd=s.loss_usd, counted_usd=s.counted_usd
            )
            for s in found.sections
        ],
        missed=found.missed,
    )


def _family(found: FamilyResult) -> ChallengedFamily:
    worst = None if found.worst is None else _portfolio(found.worst)
    return ChallengedFamily(family=found.family, portfolios=found.portfolios, worst=worst)


def _write_tables(found: ChallengeResult, folder: Path) -> None:
    """Write the positions of the worst portfolios, and the families, as Parquet and CSV."""
    legs = [
        {
            "rank": rank,
            "instrument_name": name,
            "quantity": quantity,
            "ratio": item.ratio,
            "requirement_usd": item.requirement_usd,
            "loss_usd": item.loss_usd,
            "move": item.move,
            "method": item.portfolio.method,
        }
        for rank, item in enumerate(found.worst, 1)
        for name, quantity in item.quantities.items()
    ]
    families = [
        {
            "family": item.family,
            "portfolios": item.portfolios,
            "ratio": None if item.worst is None else item.worst.ratio,
            "requirement_usd": None if item.worst is None else item.worst.requirement_usd,
            "loss_usd": None if item.worst is None else item.worst.loss_usd,
            "move": None if item.worst is None else item.worst.move,
            "label": None if item.worst is None else item.worst.portfolio.label,
        }
        for item in found.families
    ]
    for name, rows in (("portfolios", legs), ("families", families)):
        table = pa.Table.from_pylist(rows)
        pq.write_table(table, folder / f"{name}.parquet")
        pa_csv.write_csv(table, folder / f"{name}.csv")


def _show(found: ChallengeResult, folder: Path) -> None:
    out.print(f"[bold]{found.verdict}[/]", highlight=False)
    if found.ratio_bound is not None:
        out.print(
            f"No portfolio within the limits has less than {found.ratio_bound:.2g} (linear "
            "programs).",
            highlight=False,
        )
    total = sum(found.evaluated.values())
    out.print(
        f"{count_of(total, 'portfolio')} of {count_of(found.contracts, 'contract')} in "
        f"{count_of(len(found.moves), 'plausible move')}",
        highlight=False,
    )
    shown = Table(title="Smallest requirements per plausible loss", title_justify="left")
    for name in ("ratio", "requirement", "loss", "legs", "method", "move"):
        is_text = name in ("method", "move")
        shown.add_column(
            name, justify="left" if is_text else "right", overflow="fold" if is_text else "ellipsis"
        )
    for item in found.worst:
        shown.add_row(
            f"{item.ratio:.3g}",
            f"{item.requirement_usd:,.0f}",
            f"{item.loss_usd:,.0f}",
            f"{len(item.quantities)}",
            item.portfolio.method,
            item.move,
        )
    out.print(shown)
    if found.worst:
        _show_worst(found.worst[0])
    families = Table(title="Known families", title_justify="left")
    for name in ("family", "portfolios", "smallest ratio", "move"):
        families.add_column(name, justify="left" if name in ("family", "move") else "right")
    for family in found.families:
        worst = family.worst
        ratio = "none" if worst is None else f"{worst.ratio:.3g}"
        move = "" if worst is None else worst.move
        families.add_row(family.family, f"{family.portfolios:,}", ratio, move)
    out.print(families)
    out.print(f"\nResults in [bold]{folder}[/]; open [bold]{folder / 'report.html'}[/]")


def _show_worst(item: ExplainedPortfolio) -> None:
    legs = sorted(item.quantities.items())
    said = ", ".join(f"{quantity:+,g} {name}" for name, quantity in legs[:_LEGS_SHOWN])
    more = f" and {len(legs) - _LEGS_SHOWN} more" if len(legs) > _LEGS_SHOWN else ""
    out.print(f"Worst portfolio: {said}{more}.", highlight=False)
    out.print(item.missed, highlight=False)


def _print_history(records: list[ChallengeRecord], *, as_json: bool) -> None:
    if as_json:
        entries = [_entry(record) for record in records]
        print_json(ChallengeHistoryDocument(challenges=entries))
        return
    shown = Table(title="Recorded challenges", title_justify="left")
    for name in ("model", "version", "snapshot", "limits", "ratio", "method", "move", "recorded"):
        shown.add_column(name, justify="right" if name == "ratio" else "left", overflow="fold")
    for r in records:
        shown.add_row(
            r.model_name,
            r.model_version,
            f"{r.snapshot_time:%Y-%m-%d %H:%M}",
            _limits_text(r),
            "none" if r.ratio is None else f"{r.ratio:.3g}",
            r.method,
            r.move,
            f"{r.recorded_at:%Y-%m-%d %H:%M}",
        )
    out.print(shown if records else "No challenge is recorded in this store.")


def _limits_text(record: ChallengeRecord) -> str:
    """Return the limits of a recorded challenge in words."""
    said = [f"{100 * record.open_interest_share:g} % of open interest"]
    if record.gross_usd is not None:
        said.append(f"{record.gross_usd:,.0f} USD gross")
    if record.legs_max is not None:
        said.append(count_of(record.legs_max, "leg"))
    return ", ".join(said)


def _entry(record: ChallengeRecord) -> ChallengeHistoryEntry:
    return ChallengeHistoryEntry(
        id=record.id,
        recorded_at=record.recorded_at.isoformat(),
        model=record.model_name,
        model_version=record.model_version,
        model_id=record.model_id,
        snapshot_time=record.snapshot_time.isoformat(),
        snapshot_id=record.snapshot_id,
        open_interest_share=record.open_interest_share,
        gross_usd=record.gross_usd,
        legs_max=record.legs_max,
        loss_min_usd=record.loss_min_usd,
        ratio=record.ratio,
        method=record.method,
        move=record.move,
    )
