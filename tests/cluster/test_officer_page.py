"""The risk officer's page in a headless browser: tables, drill-down, print, contrast, size."""

import json
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, Page, started_browser
from margin_cluster.report import officer_html
from officer_pages import officer_page

ACCOUNTS = 240
VIEWS = ((1440, "light"), (1440, "dark"), (390, "dark"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started_browser() as running:
        yield running


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "officer.html"
    path.write_text(officer_html(officer_page(ACCOUNTS, calls=True)), encoding="utf-8")
    return path


@pytest.fixture(scope="module", params=VIEWS, ids=lambda view: f"{view[0]}-{view[1]}")
def page(browser: Browser, report: Path, request: pytest.FixtureRequest) -> Page:
    width, scheme = request.param
    shown = browser.page()
    shown.view(width, 900, scheme=scheme)
    shown.open(report)
    return shown


@pytest.fixture
def fresh(browser: Browser, report: Path) -> Page:
    shown = browser.page()
    shown.view(1440, 900)
    shown.open(report)
    return shown


def test_it_opens_without_network_and_console_errors_and_fits_the_window(page: Page) -> None:
    assert page.errors == []
    assert page.requests == []
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    assert page.run("document.querySelectorAll('.tabulator-row').length") > 5


CONTRASTS = """(() => {
  const numbers = text => text.match(/[\\d.]+/g).map(Number);
  const over = (top, under) => { const a = top[3] ?? 1;
    return [0, 1, 2].map(k => a * top[k] + (1 - a) * under[k]); };
  const ground = e => { const found = [];
    for (let at = e; at; at = at.parentElement) {
      const own = getComputedStyle(at), colour = numbers(own.backgroundColor);
      if (own.backgroundImage.startsWith("linear-gradient(115deg"))
        return numbers(own.backgroundImage.match(/rgb\\([^)]*\\)(?!.*rgb)/)[0]);
      found.push(colour); if ((colour[3] ?? 1) === 1) break; }
    return found.reverse().reduce((under, top) => over(top, under), [255, 255, 255]); };
  const light = c => { const l = c.slice(0, 3).map(v => v / 255).map(v =>
    v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * l[0] + 0.7152 * l[1] + 0.0722 * l[2]; };
  const worst = {};
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (!own || !e.checkVisibility() || e.closest("svg,script,style,noscript")) continue;
    const style = getComputedStyle(e), under = ground(e);
    const two = [light(over(numbers(style.color), under)), light(under)];
    const [low, high] = two.sort((a, b) => a - b);
    const key = `${e.tagName}.${e.className} ${style.color} on ${under}`;
    worst[key] = Math.min(worst[key] ?? 99, (high + 0.05) / (low + 0.05)); }
  return worst; })()"""


def test_every_text_has_a_contrast_of_at_least_4_5(page: Page) -> None:
    found = page.run(CONTRASTS)
    assert len(found) > 20
    assert {key: ratio for key, ratio in found.items() if ratio < 4.5} == {}


def test_the_contrast_test_notices_pale_text(fresh: Page) -> None:
    fresh.run("document.querySelector('#shortfalls td').style.color = '#999'; 0")
    assert min(fresh.run(CONTRASTS).values()) < 4.5


@pytest.mark.parametrize("opened", [False, True], ids=["page", "dialog"])
def test_axe_finds_no_violation(page: Page, opened: bool) -> None:
    path = os.environ.get("MARGIN_AXE")
    if not path:
        pytest.skip("set MARGIN_AXE to axe.min.js of axe-core to run this")
    page.run(Path(path).read_text() + "; 0")
    if opened:
        page.run("document.querySelector('button.account').click()")
    found = page.run("axe.run(document).then(r => r.violations.map(v => [v.id, v.nodes[0].html]))")
    page.run("document.getElementById('account').close()")
    assert found == []


def test_everything_that_can_be_operated_has_a_name(page: Page) -> None:
    names = page.run(
        """[...document.querySelectorAll("button,input,select,a,summary,[role=region]")].map(e =>
        (e.labels?.[0]?.textContent || e.getAttribute("aria-label") || e.textContent).trim())"""
    )
    assert len(names) > 20
    assert all(names)


def cells(page: Page, field: str) -> list[str]:
    """Return the first cells of a column of the table of all accounts, as shown."""
    return page.run(
        f"[...document.querySelectorAll('.tabulator-row .tabulator-cell[tabulator-field={field}]')]"
        ".map(c => c.textContent)"
    )


def settled(page: Page) -> None:
    page.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def test_the_table_is_searched_filtered_and_sorted_with_the_mouse(fresh: Page) -> None:
    source = officer_page(ACCOUNTS)
    fresh.click("#search")
    fresh.write("c00017")
    settled(fresh)
    assert cells(fresh, "account") == ["M017-C00017"]
    assert fresh.run("document.getElementById('shown').textContent") == f"1 of {ACCOUNTS} accounts"
    fresh.run("document.getElementById('search').select()")
    fresh.press("Backspace")
    fresh.run("""(() => { const s = document.getElementById("search"); s.value = "";
        s.dispatchEvent(new Event("input")); })()""")
    fresh.click("#only-short")
    settled(fresh)
    assert source.deficit_usd is not None
    short = int((source.deficit_usd > 0).sum())
    text = fresh.run("document.getElementById('shown').textContent")
    assert text == f"{short} of {ACCOUNTS} accounts"
    fresh.click("#only-short")
    fresh.click(".tabulator-col[tabulator-field=requirement] button")
    settled(fresh)
    top = cells(fresh, "requirement")
    expected = np.sort(source.requirement_usd)[::-1]
    assert top[:3] == [f"{round(x):,}" for x in expected[:3]]


def test_the_member_filter_shows_the_accounts_of_one_member(fresh: Page) -> None:
    source = officer_page(ACCOUNTS)
    member = source.members[3]
    fresh.run(
        f"""(() => {{ const s = document.getElementById("member"); s.value = {json.dumps(member)};
        s.dispatchEvent(new Event("input")); }})()"""
    )
    settled(fresh)
    assert set(cells(fresh, "member")) == {member}
    count = source.members.count(member)
    assert fresh.run("document.getElementById('shown').textContent").startswith(f"{count} of")


def test_the_keyboard_sorts_opens_an_account_and_comes_back(fresh: Page) -> None:
    source = officer_page(ACCOUNTS)
    sort = ".tabulator-col[tabulator-field=requirement]"
    fresh.run(f"document.querySelector('{sort} button').focus()")
    fresh.press("Enter")
    settled(fresh)
    assert fresh.run(f"document.querySelector('{sort}').getAttribute('aria-sort')") == "descending"
    fresh.run("document.querySelector('.tabulator-row button.account').focus()")
    fresh.press("Enter")
    settled(fresh)
    largest = int(np.argmax(source.requirement_usd))
    title = fresh.run("document.getElementById('account-title').textContent")
    assert title == f"Account {source.accounts[largest]}, member {source.members[largest]}"
    fresh.press("Escape")
    settled(fresh)
    assert fresh.run("document.getElementById('account').open") is False
    assert fresh.run("document.activeElement.textContent") == source.accounts[largest]


def test_the_tab_key_reaches_the_search_field_and_the_table(fresh: Page) -> None:
    reached: list[str] = []
    for _ in range(30):
        fresh.press("Tab")
        reached.append(
            fresh.run("document.activeElement.id || document.activeElement.className || ''")
        )
    order = [reached.index(name) for name in ("search", "member", "only-short", "download")]
    assert order == sorted(order)
    assert "account" in reached


def test_an_account_shows_its_components_risks_and_worst_scenarios(fresh: Page) -> None:
    source = officer_page(ACCOUNTS)
    assert source.resources is not None
    worst = int(source.ranking[0])
    fresh.click("button.account")
    settled(fresh)
    shown = fresh.run(
        """[...document.querySelectorAll("#account-body table")].map(t =>
        [...t.querySelectorAll("tbody tr")].map(r => [...r.cells].map(c => c.textContent)))"""
    )
    parts, risks, scenarios = shown
    for k, name in enumerate(source.components):
        amount = round(source.components_usd[worst, k])
        row = next((r for r in parts if r[0] == name.replace("_", " ")), None)
        assert (row is None) if amount == 0 else (row is not None and row[1] == f"{amount:,}")
    assert [r[0] for r in risks] == [
        source.details.instruments[i] for i, _, _ in source.details.risks[worst]
    ]
    assert [r[1] for r in scenarios] == [
        f"{round(x):,}" for x in source.details.worst_loss_usd[worst]
    ]
    facts = dict(
        fresh.run(
            "[...document.querySelectorAll('#account-body dl div')].map(d => "
            "[d.firstChild.textContent, d.lastChild.textContent])"
        )
    )
    assert facts["collateral after haircut"] == f"{round(source.resources.collateral_usd[worst]):,}"
    assert facts["margin call"] == "issued"


def printed_text(pdf: bytes) -> str:
    """Return the text of a PDF of Chromium, in the order in which it was drawn."""
    objects = {
        int(number): body
        for number, body in re.findall(rb"(?m)^(\d+) 0 obj\s(.*?)\sendobj", pdf, re.DOTALL)
    }

    def content(body: bytes) -> bytes:
        head, data = body.split(b"stream\n", 1)
        length = re.search(rb"/Length (\d+)", head)
        assert length is not None
        data = data[: int(length[1])]
        return zlib.decompress(data) if b"FlateDecode" in head else data

    maps: dict[int, dict[str, str]] = {}
    for number, body in objects.items():
        found = re.search(rb"/ToUnicode (\d+) 0 R", body)
        if found:
            text = content(objects[int(found[1])]).decode("latin-1")
            own = dict(re.findall(r"<([0-9A-F]{4})> <([0-9A-F]{4,})>\n", text))
            for low, high, first in re.findall(r"<(\w{4})> <(\w{4})> <(\w{4})>", text):
                for code in range(int(low, 16), int(high, 16) + 1):
                    own[f"{code:04X}"] = f"{int(first, 16) + code - int(low, 16):04X}"
            maps[number] = {code: bytes.fromhex(t).decode("utf-16-be") for code, t in own.items()}
    words: list[str] = []
    for body in objects.values():
        if b"/Type /Page\n" not in body and b"/Type /Page " not in body:
            continue
        fonts = {name.decode(): int(ref) for name, ref in re.findall(rb"/(F\d+) (\d+) 0 R", body)}
        for ref in re.findall(rb"/Contents (\d+) 0 R", body):
            drawn = content(objects[int(ref)]).decode("latin-1")
            font: dict[str, str] = {}
            for name, codes in re.findall(r"/(F\d+) [\d.]+ Tf|<([0-9A-F]+)> Tj", drawn):
                if name:
                    font = maps.get(fonts.get(name, 0), {})
                else:
                    words.append("".join(font.get(codes[i : i + 4], "?")
                                         for i in range(0, len(codes), 4)))  # fmt: skip
    return "\n".join(words)


def test_print_contains_every_account_and_no_cut_column(fresh: Page) -> None:
    source = officer_page(ACCOUNTS)
    text = printed_text(fresh.pdf())
    joined = re.sub(r"\s", "", text)
    assert [a for a in source.accounts if a not in joined] == []
    amounts = [f"{round(x):,}" for x in source.requirement_usd]
    assert [x for x in amounts if x not in joined] == []
    fresh.call("Emulation.setEmulatedMedia", media="print")
    # A4 landscape less margins is 277 mm wide, at 96 pixels per inch and a zoom of 0.85.
    fresh.call("Emulation.setDeviceMetricsOverride", width=1046, height=700,
               deviceScaleFactor=1, mobile=False)  # fmt: skip
    fresh.run("dispatchEvent(new Event('beforeprint')); 0")
    wide = fresh.run(
        """[...document.querySelectorAll("main table")].filter(t => t.checkVisibility()
        && t.getBoundingClientRect().right > innerWidth).map(t => t.id || t.parentElement.id)"""
    )
    assert wide == []
    rows = fresh.run("document.querySelectorAll('#printed tbody tr').length")
    assert rows == ACCOUNTS


def test_names_of_accounts_are_text_and_not_markup(browser: Browser, tmp_path: Path) -> None:
    source = officer_page(12)
    evil = "<img src=x onerror=document.title='changed'></script>"
    named = replace(source, accounts=(evil,) * 12, members=(evil,) * 12)
    path = tmp_path / "evil.html"
    path.write_text(officer_html(named), encoding="utf-8")
    shown = browser.page()
    shown.view(1440, 900)
    shown.open(path)
    shown.click("button.account")
    shown.run("dispatchEvent(new Event('beforeprint')); 0")
    settled(shown)
    assert shown.run("document.querySelectorAll('img').length") == 0
    assert shown.run("document.title") != "changed"
    assert shown.errors == []


def test_a_report_without_resources_says_so_and_ranks_by_requirement() -> None:
    html = officer_html(officer_page(30, resources=False, previous=False))
    assert "Resources are unknown: no collateral was given" in html
    source = officer_page(30)
    ranked = re.findall(r"<tr><td>(M\d+-C\d+)</td>", html)
    order = np.argsort(-source.requirement_usd, kind="stable")[:25]
    assert ranked == [source.accounts[a] for a in order]
    assert "only-short" not in html.split("<script>")[0]


def test_since_when_is_new_after_the_previous_close() -> None:
    source = officer_page(60)
    assert source.resources is not None
    assert source.previous is not None
    html = officer_html(source)
    rows = re.findall(r"<tr><td>(M\d+-C\d+)</td>.*?</tr>", html)
    cells = dict(re.findall(r'<tr><td>(M\d+-C\d+)</td>.*?<td class="l">([^<]*)</td>', html))
    assert len(rows) >= 5
    since = dict(zip(source.accounts, source.resources.short_since, strict=True))
    kinds = set()
    for account in rows:
        time = since[account]
        assert time is not None
        is_new = time > source.previous.time
        kinds.add(is_new)
        assert cells[account] == ("new" if is_new else f"{time:%Y-%m-%d %H:%M}")
    assert kinds == {True, False}


@pytest.mark.slow
def test_ten_thousand_accounts_take_at_most_2_mb(browser: Browser, tmp_path: Path) -> None:
    source = officer_page(10_000)
    path = tmp_path / "large.html"
    path.write_text(officer_html(source), encoding="utf-8")
    assert path.stat().st_size < 1_200_000  # the charts of a run take another 0.85 MB
    shown = browser.page()
    shown.view(1440, 900)
    shown.open(path)
    assert shown.errors == []
    assert shown.run("document.getElementById('shown').textContent") == "10,000 of 10,000 accounts"


@pytest.mark.slow
def test_a_long_book_prints_whole(browser: Browser, tmp_path: Path) -> None:
    source = officer_page(3_000)
    path = tmp_path / "long.html"
    path.write_text(officer_html(source), encoding="utf-8")
    shown = browser.page()
    shown.view(1440, 900)
    shown.open(path)
    joined = re.sub(r"\s", "", printed_text(shown.pdf()))
    assert [a for a in source.accounts if a not in joined] == []
