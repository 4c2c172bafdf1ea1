"""The report on paper, on a narrow screen, in the dark, and for a reader who cannot see charts."""

import re
from pathlib import Path

import pytest
from margin_cluster.cli.console import settings
from margin_cluster.report import page, report_html
from margin_cluster.results import CalculationOutput
from margin_cluster.runs import RunRequest, run_margin
from margin_cluster.sources import DataFolder, ParquetStore
from margin_cluster.wiring import Workspace, load_model


@pytest.fixture(scope="module")
def output(folder: Path, store_root: Path) -> CalculationOutput:
    store = ParquetStore(store_root)
    workspace = Workspace(settings(), store, DataFolder(folder, store))
    return run_margin(workspace, RunRequest(None, None, None, load_model("hs-surface")))


@pytest.fixture
def html(output: CalculationOutput, monkeypatch: pytest.MonkeyPatch) -> str:
    """The page, with two deficits shown before the reader asks for all."""
    monkeypatch.setattr(page, "_DEFICITS_FIRST", 2)
    return report_html(output)


def styles(html: str) -> str:
    return html[html.index("<style>") : html.index("</style>")]


def section(html: str, title: str) -> str:
    start = html.index(f"<h2>{title}")
    return html[start : html.index("</section>", start)]


def test_every_deficit_is_on_the_page_the_largest_first(
    output: CalculationOutput, html: str
) -> None:
    excess = output.excess_usd
    assert excess is not None
    short = sorted(
        (e, a) for e, a in zip(excess, output.result.book.accounts, strict=True) if e < 0
    )
    assert len(short) > 2
    table = section(html, "Accounts in deficit")
    assert table.startswith(f"<h2>Accounts in deficit: {len(short)}</h2>")
    assert re.findall(r"<tr><td>([^<]+)</td>", table) == [account for _, account in short]
    first, more = table.split('<tbody id="more-deficits" hidden>')
    assert first.count("<tr><td>") == 2
    assert f'<button data-shows="more-deficits">Show all {len(short)} accounts in deficit' in more


def test_the_excess_is_beside_the_account_so_that_a_narrow_screen_shows_it(html: str) -> None:
    for title in ("Accounts in deficit", "Accounts</h2>"):
        table = section(html, title)
        heads = re.findall(r"<th[^>]*>([^<]+)</th>", table)
        assert heads[:4] == ["account", "member", "excess", "requirement"]
        assert '<th class="l wide">member</th>' in table  # not shown on a narrow screen
        assert 'class="scroll sideways"' in table
    assert ".wide { display:none }" in styles(html)
    assert "Scroll sideways for more columns" in styles(html)
    assert ".scroll td:first-child { position:sticky; left:0;" in styles(html)


def test_a_printed_page_has_whole_tables_and_flat_surfaces(html: str) -> None:
    printed = styles(html).split("@media print {")[1]
    assert ".scroll { max-height:none!important; overflow:visible" in printed
    assert "tbody[hidden] { display:table-row-group }" in printed
    assert ".screen-only,.modebar-container,select,button { display:none!important }" in printed
    for name in ("BTC", "ETH"):
        assert f'<div class="plot screen-only" id="surface-{name}"' in html
        assert f'<div class="plot print-only" id="map-{name}"' in html
        assert re.search(rf'draw\("map-{name}", {{"data":\[{{.*?"type":"contour"', html)
    assert 'addEventListener("beforeprint"' in html


def test_every_chart_has_a_text_alternative(html: str) -> None:
    body = html[html.index("<main") :]
    charts = set(re.findall(r'draw\("([a-z]+(?:-[A-Z]+)?)"', body))
    assert {"accounts", "risk", "tail", "distribution", "smile-BTC", "surface-ETH"} <= charts
    for chart in charts:
        found = re.search(rf'id="{chart}" role="img" aria-label="([^"]+)"', body)
        assert found, chart
        assert len(found[1]) > 40
    assert re.search(r"At the money it is \d+\.\d % at \d+ days and", body)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2.1, "contrast ratio"."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("form", ["light", "dark"])
def test_text_has_sufficient_contrast_in_both_forms(html: str, form: str) -> None:
    found = re.findall(r":root \{([^}]+)\}", styles(html))
    assert len(found) == 2
    colours = dict(re.findall(r"--(\w+):(#\w+)", found[form == "dark"]))
    colours = {k: v if len(v) == 7 else "#" + "".join(2 * c for c in v[1:])
               for k, v in colours.items()}  # fmt: skip
    for name in ("ink", "soft", "blue", "red", "warn", "green"):
        for ground in ("page", "panel"):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    # Lines and bars of charts: 3 : 1.
    if form == "dark":
        table = dict(re.findall(r'"(#\w{6})":"(#\w{6})"', html))
        for light in ("#2563a8", "#c0392b", "#2e8b6f", "#6b4fa0", "#55606d"):
            assert contrast(table[light], colours["panel"]) >= 3.0, light
