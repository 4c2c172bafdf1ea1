"""The report of a run: page one, charts, previous close, in a browser and on paper."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import plotly.offline
import pytest
from browser import Browser, started_browser
from margin_cluster import report
from margin_cluster.cli.console import settings
from margin_cluster.previous_close import read_previous_close
from margin_cluster.report import ReportOrigin, officer_html, page, report_html
from margin_cluster.report.figures import component_colour
from margin_cluster.report.from_run import officer_page as page_of_run
from margin_cluster.report.panels import COLOURS
from margin_cluster.report.scripts import PLOTLY, vendored
from margin_cluster.results import CalculationOutput, write_tables
from margin_cluster.runs import RunRequest, run_margin
from margin_cluster.shortfalls import write_shortfalls
from margin_cluster.sources import DataFolder, ParquetStore
from margin_cluster.wiring import Workspace, load_model
from officer_pages import officer_page
from report_parts import body_of, unpacked

from margin_actors.errors import InvalidRequest

ORIGIN = ReportOrigin("margin run --out results", datetime(2026, 1, 16, 8, tzinfo=UTC))


@pytest.fixture(scope="module")
def output(folder: Path, store_root: Path) -> CalculationOutput:
    store = ParquetStore(store_root)
    workspace = Workspace(settings(), store, DataFolder(folder, store))
    return run_margin(workspace, RunRequest(None, None, None, load_model("hs-surface")))


@pytest.fixture(scope="module")
def html(output: CalculationOutput) -> str:
    return report_html(output, ORIGIN)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started_browser() as running:
        yield running


@pytest.fixture
def results(output: CalculationOutput, tmp_path: Path) -> Path:
    """The files of a run of the day before, with the same amounts."""
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    write_tables(earlier, output)
    write_shortfalls(earlier, output)
    inputs = earlier / "inputs.json"
    day = output.snapshot.time - timedelta(days=1)
    now, written = output.snapshot.time.isoformat(), f"{output.snapshot.time:%Y-%m-%dT%H:%M:%SZ}"
    inputs.write_text(inputs.read_text().replace(now, day.isoformat()))
    short = earlier / "shortfalls.csv"
    before = f"{day - timedelta(days=2):%Y-%m-%dT%H:%M:%SZ}"
    short.write_text(short.read_text().replace(written, before))
    return earlier


def page_one(output: CalculationOutput) -> str:
    """Return the text of the risk officer's page of a run, without the charts."""
    return body_of(officer_html(page_of_run(output, ORIGIN)))


def test_page_one_ranks_the_accounts_in_deficit(output: CalculationOutput, html: str) -> None:
    excess = output.excess_usd
    assert excess is not None
    accounts = output.result.book.accounts
    short = sorted((e, a) for e, a in zip(excess, accounts, strict=True) if e < 0)
    assert len(short) > 2
    body = body_of(html)
    table = body[body.index('<table id="shortfalls">') :]
    table = table[: table.index("</table>")]
    assert re.findall(r"<tr><td>([^<]+)</td>", table) == [account for _, account in short]
    total = round(-sum(e for e, _ in short))
    assert f"{len(short)} of {len(accounts)} accounts are short, by {total:,} US dollars" in body
    assert body.index("are short, by") < body.index('<table id="members">')


def test_the_columns_in_the_page_give_the_amounts_to_the_dollar(
    output: CalculationOutput, html: str
) -> None:
    data = unpacked(html, "accounts")
    r = output.result
    assert output.excess_usd is not None
    place = {a: i for i, a in enumerate(data["accounts"])}
    order = [place[a] for a in r.book.accounts]
    requirement = np.array(data["requirement"])[order]
    np.testing.assert_array_equal(requirement, np.round(r.margins.initial_margin_usd))
    resources = np.array(data["resources"])[order]
    deficit = np.maximum(requirement - resources, 0) + np.array(data["deficit_rest"])[order]
    np.testing.assert_array_equal(deficit, np.round(np.maximum(-output.excess_usd, 0.0)))
    assert output.collateral_usd is not None
    rest = np.array(data["collateral_rest"])[order]
    collateral = resources - np.array(data["option_value"])[order] + rest
    np.testing.assert_array_equal(collateral, np.round(output.collateral_usd))


def test_totals_by_member_and_component_agree(output: CalculationOutput, html: str) -> None:
    body = body_of(html)
    margins = output.result.margins
    table = body[body.index('<table id="components-table">') :]
    rows = re.findall(r"<tr[^>]*>((?:<td>[^<]*</td>)+)</tr>", table[: table.index("</table>")])
    amounts = [re.findall(r"<td>([^<]*)</td>", row)[:2] for row in rows]
    shown = {name: float(amount.replace(",", "").replace("−", "-")) for name, amount in amounts}
    scale = 1e6 if "Million US dollars, all accounts" in body else 1.0
    total = float(margins.initial_margin_usd.sum()) / scale
    assert shown["all"] == pytest.approx(total, abs=0.51 if scale == 1.0 else 0.0051)
    for name in margins.components_used:
        own = float(margins.component_usd(name).sum()) / scale
        assert shown[name.replace("_", " ")] == pytest.approx(own, abs=0.51)


def test_the_previous_close_gives_changes_and_since_when(
    output: CalculationOutput, results: Path
) -> None:
    previous = read_previous_close(results)
    assert previous.time == output.snapshot.time - timedelta(days=1)
    sums = previous.components_usd
    margins = output.result.margins
    assert set(sums) == set(margins.components_used)
    assert sum(sums.values()) == pytest.approx(float(margins.initial_margin_usd.sum()))
    body = page_one(replace(output, previous=previous))
    since = output.snapshot.time - timedelta(days=3)
    assert f"short since {since:%Y-%m-%d %H:%M} UTC" in body
    assert "0 accounts became short since" in body
    assert previous.digest in body
    # An account that had enough resources at the previous close is new.
    none = replace(previous, short_since={}, excess_usd=dict.fromkeys(previous.members, 1.0))
    body = page_one(replace(output, previous=none))
    assert "new since the previous close" in body
    assert "were 0 US dollars" in body


def test_without_a_previous_close_the_time_is_an_upper_bound(html: str) -> None:
    body = body_of(html)
    assert "at the latest (no previous close was given)" in body
    assert "No previous close was given (option --previous)" in body


def test_without_collateral_resources_are_unknown(output: CalculationOutput) -> None:
    shown = page_one(replace(output, equity=None))
    assert "Resources are unknown: no collateral was given" in shown
    assert "<h2>Largest requirements</h2>" in shown
    assert "Shortfalls" not in shown


def test_the_identity_names_time_data_model_software_and_command(
    output: CalculationOutput, html: str
) -> None:
    body = body_of(html)
    block = body[body.index('id="identity"') :]
    r = output.result
    for text in (
        f"{output.snapshot.time:%Y-%m-%d %H:%M:%S} UTC", "margin run --out results", r.snapshot_id,
        r.scenarios_id, r.model_id, r.digest, "margin-cluster ", "SYNTHETIC",
        *(file.sha256 for file in output.files),
    ):  # fmt: skip
        assert text in block, text


def test_no_report_can_be_written_without_an_identity() -> None:
    writers = [name for name in report.__all__ if name.endswith("_html")]
    assert len(writers) >= 8
    for name in writers:
        given = inspect.signature(getattr(report, name)).parameters
        # The record of the risk officer's page contains its identity.
        wanted = {"report_html": "origin", "officer_html": "page"}.get(name, "identity")
        assert given[wanted].default is inspect.Parameter.empty, name


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2.1, "contrast ratio"."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_lines_and_bars_of_charts_have_a_contrast_of_at_least_3_in_both_schemes(html: str) -> None:
    dark = dict(re.findall(r'"(#\w{6})":"(#\w{6})"', html))
    assert len(dark) > 5
    for colour in {*COLOURS, *(component_colour(k) for k in range(15)), "#8793a1"}:
        assert contrast(colour, "#ffffff") >= 3.0, colour
        assert contrast(dark.get(colour, colour), "#18212b") >= 3.0, colour


@pytest.mark.parametrize(
    ("width", "scheme"),
    [(1440, "light"), pytest.param(1440, "dark", marks=pytest.mark.slow), (390, "dark")],
)
def test_the_report_draws_every_figure_and_fits(
    browser: Browser, html: str, tmp_path: Path, width: int, scheme: str
) -> None:
    path = tmp_path / "report.html"
    path.write_text(html, encoding="utf-8")
    shown = browser.page()
    shown.view(width, 900, scheme=scheme)
    shown.open(path)
    assert shown.errors == []
    assert shown.requests == []
    assert shown.run("document.documentElement.scrollWidth <= innerWidth")
    figures = shown.run(
        """[...document.querySelectorAll(".plot")].map(p => [p.id, p.getAttribute("role"),
        p.getAttribute("aria-label"), p.querySelectorAll("svg.main-svg").length])"""
    )
    assert {"accounts", "risk", "tail", "distribution", "smile-BTC", "map-ETH"} <= {
        f[0] for f in figures
    }
    for name, role, alternative, drawn in figures:
        assert role == "img", name
        assert len(alternative) > 40, name
        assert drawn > 0, name


def test_the_report_of_ten_thousand_accounts_stays_below_2_mb(
    output: CalculationOutput, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = officer_page(10_000)
    monkeypatch.setattr(page, "officer_page", lambda _output, _origin: large)
    assert len(report_html(output, ORIGIN).encode()) < 2_000_000


def test_the_vendored_charts_are_those_that_plotly_for_python_writes_for() -> None:
    head = vendored(PLOTLY)[:200]
    assert f"v{plotly.offline.get_plotlyjs_version()}" in head


def test_a_folder_without_results_is_not_a_previous_close(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="does not hold the results of a run") as refused:
        read_previous_close(tmp_path)
    assert refused.value.problems[0].where == "--previous"
    (tmp_path / "inputs.json").write_text("{}")
    (tmp_path / "margin.parquet").write_bytes(b"no parquet")
    with pytest.raises(InvalidRequest, match="does not hold the results of a run"):
        read_previous_close(tmp_path)


def test_a_previous_close_must_be_earlier(
    output: CalculationOutput, folder: Path, store_root: Path, results: Path
) -> None:
    store = ParquetStore(store_root)
    workspace = Workspace(settings(), store, DataFolder(folder, store))
    same = replace(read_previous_close(results), time=output.snapshot.time)
    request = RunRequest(None, None, None, load_model("hs-surface"), previous=same)
    with pytest.raises(InvalidRequest, match="not earlier"):
        run_margin(workspace, request)
