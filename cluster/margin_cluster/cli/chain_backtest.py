"""`margin backtest --chains`: the whole requirement on recorded option chains."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from pydantic import BaseModel
from rich.table import Table

from margin_actors.engine.backtest import (
    CoverageRow,
    GroupDay,
    PathStatistics,
    Responsiveness,
    group_of,
)
from margin_actors.engine.backtest.portfolios import DEFINITIONS
from margin_cluster.chain_backtest import ChainBacktest, ChainBacktestRequest, run_chain_backtest
from margin_cluster.cli.console import (
    amounts_in,
    count_of,
    opened_workspace,
    out,
    percent,
    print_json,
)
from margin_cluster.cli.outputs import output_folder
from margin_cluster.cli.provenance import study_identity
from margin_cluster.cli.schemas.chain_backtest import (
    ChainBacktestDocument,
    CoverageTest,
    GroupDate,
    MarginResponse,
    MemberDate,
    PooledResponse,
    PooledShare,
    RequirementException,
    SkippedDay,
)
from margin_cluster.report import ReportIdentity, chain_backtest_html
from margin_cluster.wiring import Workspace

_EXCEPTIONS_SHOWN = 20


def backtest_chains(
    request: ChainBacktestRequest, *, out_dir: Path, data: Path | None, force: bool, as_json: bool
) -> None:
    """Run the backtest, write its files and print the result."""
    with (
        output_folder(out_dir, command="backtest", replace=force) as folder,
        opened_workspace(data, quiet=as_json) as (workspace, progress),
    ):
        found = run_chain_backtest(workspace, request, progress=progress)
        document = _document(found, out_dir)
        _write_tables(folder, found, document)
        progress("Drawing the report", 0, 0)
        page = chain_backtest_html(
            found.history,
            found.model,
            identity=_identity(workspace, found),
            verdict=document.verdict,
            remarks=document.remarks,
            coverage=found.coverage,
            days=found.days,
        )
        (folder / "report.html").write_text(page, encoding="utf-8")
    if as_json:
        print_json(document)
    else:
        _show(document)


def _identity(workspace: Workspace, found: ChainBacktest) -> ReportIdentity:
    """Return the identity of the report; the dates are read by several processes."""
    first, last = found.history.time[[0, -1]]
    return study_identity(
        workspace,
        [found.model],
        valuation=f"{_day(first)} to {_day(last)}",
        files=workspace.data.chain_history(last),
    )


def _day(time: np.datetime64) -> str:
    return str(time.astype("datetime64[D]"))


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _document(found: ChainBacktest, folder: Path) -> ChainBacktestDocument:
    history = found.history
    return ChainBacktestDocument(
        out=str(folder),
        verdict=list(found.verdict()),
        model=f"{found.model.name} {found.model.version}",
        model_id=found.model.id,
        confidence=found.model.measure.confidence,
        first_date=str(history.time[0].astype("datetime64[D]")),
        last_date=str(history.time[-1].astype("datetime64[D]")),
        remarks=_remarks(found),
        definitions=DEFINITIONS,
        pooled=[
            PooledShare(
                group=p.group,
                measure=p.measure,
                observations=p.observations,
                exceptions=p.exceptions,
                covered=p.covered,
                dates=p.dates,
                dates_with_exceptions=p.dates_with_exceptions,
                windows=p.windows,
            )
            for p in found.pooled
        ],
        tests=[_test(row) for row in found.coverage],
        exceptions=[
            RequirementException(
                group=e.group,
                account=e.account,
                member=e.member,
                time=f"{e.time}Z",
                end=f"{e.end}Z",
                loss_usd=e.loss_usd,
                core_usd=e.core_usd,
                requirement_usd=e.requirement_usd,
                above_usd=e.above_usd,
            )
            for e in found.exceptions
        ],
        dates=[_date(day) for day in found.days],
        members=[
            MemberDate(
                group=m.group,
                member=m.member,
                time=f"{m.time}Z",
                requirement_usd=m.requirement_usd,
                above_margin_usd=m.above_margin_usd,
                above_collateral_usd=_known(m.above_collateral_usd),
            )
            for m in found.members
        ],
        response=_pooled_response(found.responsiveness),
        responses=_responses(found.responsiveness),
        skipped=[SkippedDay(time=f"{s.time}Z", reason=s.reason) for s in found.skipped],
    )


def _remarks(found: ChainBacktest) -> list[str]:
    remarks = [found.first_reason, found.last_reason]
    later = [s for s in found.skipped if s.time > found.history.time[0]]
    if later:
        days = ", ".join(str(s.time.astype("datetime64[D]")) for s in later)
        remarks.append(f"Dates that could not be margined: {days}.")
    for group in found.groups:
        held = sum(
            int(d.positions[[group_of(a)[0] == group for a in d.accounts]].sum())
            for d in found.history.dates
        )
        lost = sum(d.left_out.get(group, 0) for d in found.history.dates)
        if lost:
            remarks.append(
                f"{group}: {percent(lost / (lost + held), 1)} of the positions had expired, or "
                "were not listed with a mark at both ends of a margin period, and are left out."
            )
    failed = sum(len(d.failures) for d in found.history.dates)
    if failed:
        remarks.append(f"Accounts that could not be margined, summed over dates: {failed:,}.")
    return remarks


def _test(row: CoverageRow) -> CoverageTest:
    return CoverageTest(
        scope=row.scope,
        group=row.group,
        name=row.name,
        measure=row.measure,
        observations=row.observations,
        exceptions_all_dates=row.exceptions,
        covered=row.covered,
        severity_mean=row.severity_mean,
        severity_max=row.severity_max,
        windows=row.test.days,
        exceptions=row.test.exceptions,
        expected=row.test.expected,
        rejected_from=row.rejected_from,
        kupiec_p=row.test.kupiec_p,
        independence_p=row.test.independence_p,
        conditional_p=row.test.conditional_p,
        light=row.test.light,
    )


def _date(day: GroupDay) -> GroupDate:
    return GroupDate(
        group=day.group,
        time=f"{day.time}Z",
        accounts=day.accounts,
        core_usd=day.core_usd,
        requirement_usd=day.requirement_usd,
        components_usd=dict(day.components_usd),
        loss_usd=day.loss_usd,
        above_core_usd=day.above_core_usd,
        above_margin_usd=day.above_margin_usd,
        above_collateral_usd=_known(day.above_collateral_usd),
        cover_1_usd=day.cover_1_usd,
        cover_1_member=day.cover_1_member,
        cover_2_usd=day.cover_2_usd,
        stress_cover_1_usd=_known(day.stress_cover_1_usd),
        stress_cover_2_usd=_known(day.stress_cover_2_usd),
        default_fund_usd=_known(day.default_fund_usd),
    )


def _pooled_response(found: Responsiveness) -> PooledResponse:
    return PooledResponse(
        changes=found.changes,
        core_change_95=_known(found.core_change_95),
        requirement_change_95=_known(found.requirement_change_95),
        ratio=_known(found.ratio),
        component_change_95={k: _known(v) for k, v in found.component_change_95.items()},
    )


def _responses(found: Responsiveness) -> list[MarginResponse]:
    rows: list[MarginResponse] = []
    for account in found.accounts:
        both: tuple[tuple[str, PathStatistics], ...] = (
            ("core", account.core),
            ("requirement", account.requirement),
        )
        rows += [
            MarginResponse(
                group=account.group,
                name=account.name,
                measure="core" if measure == "core" else "requirement",
                dates=path.dates,
                mean=path.mean,
                peak_to_trough=path.peak_to_trough,
                largest_rise_1d=path.rise_1d,
                largest_rise_5d=path.rise_5d,
                largest_rise_30d=path.rise_30d,
                change_95=_known(path.change_95),
            )
            for measure, path in both
        ]
    return rows


def _write_tables(folder: Path, found: ChainBacktest, document: ChainBacktestDocument) -> None:
    """Write tests, exceptions, dates, members, responses (Parquet and CSV) and accounts."""
    tables: dict[str, Sequence[BaseModel]] = {
        "tests": document.tests,
        "exceptions": document.exceptions,
        "members": document.members,
        "responses": document.responses,
    }
    for name, records in tables.items():
        if records:
            write_table(folder, name, pa.Table.from_pylist([r.model_dump() for r in records]))
    flat = [
        r.model_dump(exclude={"components_usd"})
        | {f"component.{k}_usd": v for k, v in r.components_usd.items()}
        for r in document.dates
    ]
    write_table(folder, "dates", pa.Table.from_pylist(flat))
    pq.write_table(_accounts(found), folder / "accounts.parquet", compression="zstd")


def write_table(folder: Path, name: str, table: pa.Table) -> None:
    """Write a table as Parquet and as CSV."""
    pq.write_table(table, folder / f"{name}.parquet", compression="zstd")
    pa_csv.write_csv(table, folder / f"{name}.csv")


def _accounts(found: ChainBacktest) -> pa.Table:
    """Return one row per account and date, unchanged parts included; amounts in US dollars."""
    dates = found.history.dates
    sizes = [len(d.accounts) for d in dates]
    columns: dict[str, pa.Array | np.ndarray] = {
        "time": pa.array(np.repeat(found.history.time, sizes), pa.timestamp("ms", "UTC")),
        "end": pa.array(np.repeat(found.history.end, sizes), pa.timestamp("ms", "UTC")),
        "group": pa.array([group_of(a)[0] for d in dates for a in d.accounts]),
        "account_id": pa.array([group_of(a)[1] for d in dates for a in d.accounts]),
        "member_id": pa.array([group_of(m)[1] for d in dates for m in d.members]),
    }
    for name in ("positions", "core_usd", "requirement_usd", "profit_usd", "shortfall_usd"):
        columns[name] = np.concatenate([getattr(d, name) for d in dates])
    return pa.table(columns)


def _show(document: ChainBacktestDocument) -> None:
    for sentence in document.verdict:
        out.print(sentence, highlight=False)
    table = Table(title="Coverage", title_justify="left")
    for name in ("group", "measure", "account-dates", "exceptions", "covered", "dates", "windows"):
        table.add_column(name, justify="left" if name in ("group", "measure") else "right")
    for p in document.pooled:
        table.add_row(
            p.group,
            p.measure,
            f"{p.observations:,}",
            f"{p.exceptions:,}",
            percent(p.covered, 3),
            f"{p.dates_with_exceptions} of {p.dates}",
            f"{p.windows}",
        )
    out.print(table)
    _show_exceptions(document)
    _show_response(document.response)
    for remark in document.remarks:
        out.print(remark, highlight=False)
    folder = Path(document.out)
    out.print(f"\nResults in [bold]{folder}[/]; open [bold]{folder / 'report.html'}[/]")


def _show_exceptions(document: ChainBacktestDocument) -> None:
    found = sorted(document.exceptions, key=lambda e: -e.above_usd)
    if not found:
        return
    unit, shown_as = amounts_in(max(e.loss_usd for e in found))
    title = f"Losses greater than the requirement, {unit}"
    table = Table(title=title, title_justify="left")
    for name in ("date", "account", "loss", "core", "requirement", "above"):
        table.add_column(name, justify="left" if name in ("date", "account") else "right")
    for e in found[:_EXCEPTIONS_SHOWN]:
        amounts = (e.loss_usd, e.core_usd, e.requirement_usd, e.above_usd)
        table.add_row(e.time[:10], f"{e.group}/{e.account}", *(shown_as(x) for x in amounts))
    out.print(table)
    if len(found) > _EXCEPTIONS_SHOWN:
        out.print(f"The {_EXCEPTIONS_SHOWN} largest of {len(found):,}; exceptions.csv lists all.")


def _show_response(found: PooledResponse) -> None:
    if found.core_change_95 is None or found.requirement_change_95 is None or found.ratio is None:
        return
    out.print(
        f"Unchanged positions, {count_of(found.changes, 'daily change')}: 95 % of the changes of "
        f"the requirement are below {percent(found.requirement_change_95, 1)}, of the core below "
        f"{percent(found.core_change_95, 1)}; ratio {found.ratio:.2f}.",
        highlight=False,
    )
