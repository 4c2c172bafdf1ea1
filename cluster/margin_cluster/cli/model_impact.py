"""`margin model impact`."""

from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import typer
from rich.table import Table

from margin_actors.engine.backtest import ModelImpact
from margin_actors.engine.parameters import ModelParameters
from margin_cluster.cli.chain_backtest import write_table
from margin_cluster.cli.console import amounts_in, opened_workspace, out, percent, print_json
from margin_cluster.cli.errors import reporting_errors
from margin_cluster.cli.model import find_model
from margin_cluster.cli.options import AsJson, CollateralFile, Data, Force, OutDir
from margin_cluster.cli.outputs import output_folder
from margin_cluster.cli.provenance import study_identity
from margin_cluster.cli.schemas import ModelImpactDocument, ParameterChange
from margin_cluster.cli.schemas.model_impact import (
    AccountImpact,
    ComparedModel,
    ImpactDate,
    ImpactResponsiveness,
    MemberImpact,
)
from margin_cluster.model_impact import (
    ImpactRequest,
    ImpactStudy,
    run_model_impact,
    snapshot_list,
)
from margin_cluster.report import ImpactPage, impact_html
from margin_cluster.wiring import Workspace, time_from_text

_PERCENTILES = (0, 5, 25, 50, 75, 95, 100)
_MOVERS_SHOWN = 10


@reporting_errors
def impact(
    old: Annotated[str, typer.Argument(help="Preset, TOML file, or NAME@VERSION in the store.")],
    new: Annotated[str, typer.Argument(help="The other model, in the same form.")],
    out_dir: OutDir,
    book: Annotated[Path, typer.Option("--book", help="Positions: Parquet or CSV.")],
    data: Data = None,
    collateral: CollateralFile = None,
    snapshots: Annotated[
        list[str] | None,
        typer.Option("--snapshots", help="Times of recorded chains, separated by commas."),
    ] = None,
    first: Annotated[
        str | None, typer.Option("--from", help="First date, one chain per day.")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last date.")] = None,
    hour: Annotated[
        int, typer.Option("--hour", min=0, max=23, help="Hour, UTC, of the chain of a day.")
    ] = 0,
    processes: Annotated[int, typer.Option("--processes", min=1, help="Number of processes.")] = 1,
    challenge_old: Annotated[
        Path | None,
        typer.Option("--challenge-old", help="JSON document of a challenge of the old model."),
    ] = None,
    challenge_new: Annotated[
        Path | None, typer.Option("--challenge-new", help="The same of the new model.")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Compare the requirements of a book under two models: who pays more, and why."""
    request = ImpactRequest(
        old=find_model(old),
        new=find_model(new),
        book=book,
        collateral=collateral,
        snapshots=snapshot_list(snapshots or ()),
        first=None if first is None else time_from_text(first, option="--from"),
        last=None if last is None else time_from_text(last, option="--to"),
        hour=hour,
        processes=processes,
        challenge_old=challenge_old,
        challenge_new=challenge_new,
    )
    with (
        output_folder(out_dir, command="model impact", replace=force) as folder,
        opened_workspace(data, quiet=as_json) as (workspace, progress),
    ):
        study = run_model_impact(workspace, request, progress=progress)
        document = _document(study, out_dir)
        _write_tables(folder, study)
        (folder / "impact.json").write_text(
            document.model_dump_json(by_alias=True, indent=1) + "\n", encoding="utf-8"
        )
        progress("Drawing the report", 0, 0)
        (folder / "report.html").write_text(_page(workspace, study, document), encoding="utf-8")
    if as_json:
        print_json(document)
    else:
        _show(document)


def _title(model: ModelParameters) -> str:
    return f"{model.name} {model.version}"


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _compared(model: ModelParameters, ratio: float | None) -> ComparedModel:
    return ComparedModel(name=model.name, version=model.version, id=model.id, challenge_ratio=ratio)


def _document(study: ImpactStudy, folder: Path) -> ModelImpactDocument:
    impact, request = study.impact, study.request
    relative = impact.relative
    response = None
    if study.response is not None:
        r = study.response
        response = ImpactResponsiveness(
            accounts=r.accounts,
            old_change_95=_known(r.old_change_95),
            new_change_95=_known(r.new_change_95),
            old_peak_to_trough=r.old_peak_to_trough,
            new_peak_to_trough=r.new_peak_to_trough,
        )
    return ModelImpactDocument(
        out=str(folder),
        verdict=list(study.verdict()),
        old=_compared(request.old, study.challenge[0]),
        new=_compared(request.new, study.challenge[1]),
        book_id=study.book.id,
        changes=[
            ParameterChange(field=c.field, before=c.before, after=c.after) for c in study.changes
        ],
        dates=[_date(study, d) for d in range(impact.time.size)],
        accounts=_accounts(impact),
        members=_members(impact),
        distribution={
            str(q): float(np.quantile(relative, q / 100)) for q in _PERCENTILES if relative.size
        },
        responsiveness=response,
    )


def _date(study: ImpactStudy, d: int) -> ImpactDate:
    impact, old, new = study.impact, study.old[d], study.new[d]
    before, after = impact.total(d)
    totals = impact.component_totals(d)
    failed = {a.partition("/")[2] for date in (old, new) for a, _ in date.failures
              if a.startswith("book/")}  # fmt: skip
    deficits = [
        float(-np.minimum(np.nan_to_num(e[d]), 0.0).sum()) if study.has_collateral else None
        for e in (impact.old_excess_usd, impact.new_excess_usd)
    ]
    return ImpactDate(
        time=f"{impact.time[d]}Z",
        snapshot_id=old.snapshot_id,
        old_scenarios_id=old.scenarios_id,
        new_scenarios_id=new.scenarios_id,
        old_digest=old.digest,
        new_digest=new.digest,
        accounts=int(np.isfinite(impact.old_usd[d]).sum()),
        old_usd=before,
        new_usd=after,
        relative=after / before - 1.0 if before else 0.0,
        old_components_usd={name: a for name, (a, _) in totals.items()},
        new_components_usd={name: b for name, (_, b) in totals.items()},
        into_deficit=[
            impact.accounts[a] for a in np.flatnonzero(impact.falls_into_deficit()[d]).tolist()
        ],
        old_deficit_usd=deficits[0],
        new_deficit_usd=deficits[1],
        positions_left_out=old.left_out,
        not_compared=sorted(failed),
    )


def _accounts(impact: ModelImpact) -> list[AccountImpact]:
    """Return the accounts of the last date, by the size of the change."""
    last = impact.time.size - 1
    rows: list[AccountImpact] = []
    for a in np.flatnonzero(np.isfinite(impact.old_usd[last])).tolist():
        cause, amount = impact.cause(last, a)
        rows.append(
            AccountImpact(
                account=impact.accounts[a],
                member=impact.members[a],
                old_usd=float(impact.old_usd[last, a]),
                new_usd=float(impact.new_usd[last, a]),
                change_usd=float(impact.change_usd[last, a]),
                cause=cause,
                cause_usd=amount,
                old_excess_usd=_known(impact.old_excess_usd[last, a]),
                new_excess_usd=_known(impact.new_excess_usd[last, a]),
            )
        )
    return sorted(rows, key=lambda r: -abs(r.change_usd))


def _members(impact: ModelImpact) -> list[MemberImpact]:
    last = impact.time.size - 1
    rows: list[MemberImpact] = []
    for member in dict.fromkeys(impact.members):
        own = np.array([m == member for m in impact.members]) & np.isfinite(impact.old_usd[last])
        old, new = (float(v[last, own].sum()) for v in (impact.old_usd, impact.new_usd))
        rows.append(
            MemberImpact(
                member=member, accounts=int(own.sum()), old_usd=old, new_usd=new,
                change_usd=new - old,
            )
        )  # fmt: skip
    return sorted(rows, key=lambda r: -abs(r.change_usd))


def _write_tables(folder: Path, study: ImpactStudy) -> None:
    """Write accounts (Parquet and CSV): one row per account, date and component."""
    impact = study.impact
    known = np.argwhere(np.isfinite(impact.old_usd))
    d, a = known[:, 0], known[:, 1]
    columns: dict[str, pa.Array | np.ndarray] = {
        "time": pa.array(impact.time[d], pa.timestamp("ms", "UTC")),
        "account_id": pa.array([impact.accounts[i] for i in a.tolist()]),
        "member_id": pa.array([impact.members[i] for i in a.tolist()]),
        "old_usd": impact.old_usd[d, a],
        "new_usd": impact.new_usd[d, a],
        "old_excess_usd": impact.old_excess_usd[d, a],
        "new_excess_usd": impact.new_excess_usd[d, a],
    }
    for k, name in enumerate(impact.components):
        columns[f"{name}.old_usd"] = np.ascontiguousarray(impact.old_components_usd[d, a, k])
        columns[f"{name}.new_usd"] = np.ascontiguousarray(impact.new_components_usd[d, a, k])
    write_table(folder, "accounts", pa.table(columns))


def _page(workspace: Workspace, study: ImpactStudy, document: ModelImpactDocument) -> str:
    ids = [("book", document.book_id)]
    for date in document.dates:
        ids += [
            (f"snapshot {date.time}", date.snapshot_id),
            (f"scenario sets {date.time}", f"{date.old_scenarios_id}, {date.new_scenarios_id}"),
            (f"digests {date.time}", f"{date.old_digest}, {date.new_digest}"),
        ]
    return impact_html(
        study.impact,
        ImpactPage(
            _title(study.request.old), _title(study.request.new), document.verdict, study.changes,
            study.response, study.challenge,
        ),
        identity=study_identity(
            workspace,
            [study.request.old, study.request.new],
            valuation=", ".join(date.time for date in document.dates),
            inputs=ids,
        ),
    )  # fmt: skip


def _show(document: ModelImpactDocument) -> None:
    for sentence in document.verdict:
        out.print(sentence, highlight=False)
    last = document.dates[-1]
    unit, shown_as = amounts_in(max(last.old_usd, last.new_usd))
    table = Table(title=f"Components on {last.time[:16]}, {unit}", title_justify="left")
    for name in ("component", "old", "new", "change"):
        table.add_column(name, justify="left" if name == "component" else "right")
    for name, before in last.old_components_usd.items():
        after = last.new_components_usd[name]
        row = (shown_as(before), shown_as(after), shown_as(after - before))
        table.add_row(name.replace("_", " "), *row)
    out.print(table)
    movers = Table(title=f"Largest movers, {unit}", title_justify="left")
    for name in ("account", "old", "new", "change", "relative", "component"):
        movers.add_column(name, justify="left" if name in ("account", "component") else "right")
    for r in document.accounts[:_MOVERS_SHOWN]:
        relative = percent(r.change_usd / r.old_usd, 1, signed=True) if r.old_usd else ""
        amounts = (shown_as(x) for x in (r.old_usd, r.new_usd, r.change_usd))
        movers.add_row(r.account, *amounts, relative, r.cause.replace("_", " "))
    out.print(movers)
    if document.distribution:
        shown = ", ".join(
            f"{q} %: {percent(v, 1, signed=True)}" for q, v in document.distribution.items()
        )
        out.print(f"Percentiles of the relative changes: {shown}", highlight=False)
    if document.responsiveness is not None and document.responsiveness.old_change_95 is not None:
        r = document.responsiveness
        out.print(
            f"95 % of the daily changes of unchanged positions: {percent(r.old_change_95 or 0.0)} "
            f"before, {percent(r.new_change_95 or 0.0)} after.",
            highlight=False,
        )
    out.print(f"{len(document.changes)} parameters differ; impact.json lists them.")
    folder = Path(document.out)
    out.print(f"\nResults in [bold]{folder}[/]; open [bold]{folder / 'report.html'}[/]")
