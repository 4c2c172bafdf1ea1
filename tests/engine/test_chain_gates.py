"""Quality gates in a calculation: only accounts that hold a quarantined expiry are affected."""

from dataclasses import replace

import chain_faults as faults
import numpy as np
import pytest
from made import EVERYTHING, made_scenarios, model_from, sections

from margin_actors.engine.margin import (
    MarginResult,
    PricedMarket,
    assess_book,
    calculate_margin,
    fit_model_surfaces,
    prepare_market,
)
from margin_actors.engine.parameters import ModelParameters, changes_between, preset
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.errors import MissingMarketData
from margin_actors.market.books import Book, book_of_portfolios
from margin_actors.market.chain_quality import ScreenedSnapshot
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.surfaces import fit_surfaces

GATED = model_from("hs-surface", chain_quality={"enabled": True})


def row_of(snapshot: MarketSnapshot, name: str) -> int:
    return snapshot.option_row[name]


@pytest.fixture(scope="module")
def held(snapshot: MarketSnapshot) -> dict[str, str]:
    """An option near the money of the third and of the eighth expiry of BTC, and their future."""
    names: dict[str, str] = {}
    for key, at in (("near", 3), ("far", 8)):
        rows = np.flatnonzero(snapshot.options.expiry_index == at)
        forward = snapshot.expiries[at].forward_usd
        row = rows[np.abs(snapshot.options.strike_usd[rows] / forward - 1.0).argmin()]
        names[key] = snapshot.options.names[row]
        names[f"{key}_future"] = "-".join(names[key].split("-")[:2])
    return names


@pytest.fixture(scope="module")
def accounts(held: dict[str, str]) -> Book:
    """Accounts that hold the near expiry, the far one, its future, both, and neither."""
    return book_of_portfolios(
        [
            ("both", "M", {held["near"]: 1.0, held["far"]: -2.0}),
            ("far", "M", {held["far"]: 5.0, "BTC-PERPETUAL": -100.0}),
            ("future", "M", {held["far_future"]: 1000.0}),
            ("near", "M", {held["near"]: -3.0}),
            ("perpetual", "M", {"ETH-PERPETUAL": 500.0}),
        ]
    )


def without(snapshot: MarketSnapshot, rows: np.ndarray, *, forward: bool) -> MarketSnapshot:
    """Return the snapshot as if the options `rows` of one expiry, or all of it, were not listed."""
    quotes = snapshot.options
    keep = np.setdiff1d(np.arange(len(quotes)), rows)
    at = int(quotes.expiry_index[rows[0]])
    index = quotes.expiry_index[keep]
    columns = {
        name: getattr(quotes, name)[keep]
        for name in ("strike_usd", "is_call", "is_inverse", "bid", "ask", "mark", "mark_vol",
                     "open_interest", "volume")
    }  # fmt: skip
    expiries = snapshot.expiries
    if forward:
        expiries = (*expiries[:at], *expiries[at + 1 :])
        index = np.where(index > at, index - 1, index).astype(np.int32)
    names = tuple(quotes.names[r] for r in keep)
    options = replace(quotes, names=names, expiry_index=index, **columns)
    return replace(snapshot, expiries=expiries, options=options)


def amounts(result: MarginResult) -> dict[str, tuple[float, ...]]:
    m = result.margins
    return {
        a: (m.initial_margin_usd[i], m.var_usd[i], m.es_usd[i], m.value_usd[i], m.worst_usd[i])
        for i, a in enumerate(result.book.accounts)
    }


@pytest.mark.parametrize(
    ("fault", "failed"),
    [
        ("forward_off", {"both", "far", "future"}),
        ("shifted_marks_with_their_prices", {"both", "far"}),
    ],
)
@pytest.mark.parametrize("everything", [False, True])
def test_the_others_are_margined_as_if_the_expiry_were_not_listed(
    snapshot: MarketSnapshot,
    accounts: Book,
    held: dict[str, str],
    fault: str,
    failed: set[str],
    everything: bool,
) -> None:
    gated, scenarios = GATED, made_scenarios(120)
    if everything:
        gated = model_from("hs-surface", **EVERYTHING, chain_quality={"enabled": True})
        scenarios = sections()
    row = row_of(snapshot, held["far"])
    broken = faults.EXPIRY_FAULTS[fault](snapshot, row)
    result = calculate_margin(broken, scenarios, accounts, gated)
    assert {f.account_id for f in result.failures} == failed
    for failure in result.failures:
        assert all("is quarantined" in p.description for p in failure.problems)
        names = {p.instrument_name for p in failure.problems}
        assert names <= {held["far"], held["far_future"]}
    assert result.snapshot_id == broken.id
    assert faults.whole_expiries(result.findings) == {faults.expiry_of(snapshot, row)}
    rest = without(snapshot, faults.siblings(snapshot, row), forward=fault == "forward_off")
    plain = gated.model_copy(update={"chain_quality": preset("hs-surface").chain_quality})
    expected = calculate_margin(rest, scenarios, accounts, plain)
    assert amounts(result) == {a: v for a, v in amounts(expected).items() if a not in failed}
    assert set(amounts(result)) == set(accounts.accounts) - failed


def test_a_wrong_mark_no_longer_moves_the_margin(
    snapshot: MarketSnapshot, accounts: Book, held: dict[str, str]
) -> None:
    """An option whose mark fails a gate is priced on the smile, within 2 % of its sound margin."""
    scenarios = made_scenarios(120)
    broken = faults.mark_at_350_with_its_price(snapshot, row_of(snapshot, held["near"]))
    free = preset("hs-surface")
    sound = amounts(calculate_margin(snapshot, scenarios, accounts, free))
    wrong = amounts(calculate_margin(broken, scenarios, accounts, free))
    gated = calculate_margin(broken, scenarios, accounts, GATED)
    assert abs(wrong["near"][0] / sound["near"][0] - 1.0) > 0.25
    assert not gated.failures
    assert [f.where for f in gated.findings] == [held["near"]]
    assert amounts(gated)["near"][0] == pytest.approx(sound["near"][0], rel=0.02)
    for account in ("far", "future", "perpetual"):
        assert amounts(gated)[account][3] == sound[account][3]


def test_sound_chains_have_the_same_margins_with_and_without_gates(
    snapshot: MarketSnapshot, book: Book
) -> None:
    scenarios = made_scenarios(80)
    gated = calculate_margin(snapshot, scenarios, book, GATED)
    free = calculate_margin(snapshot, scenarios, book, preset("hs-surface"))
    assert amounts(gated) == amounts(free)
    assert gated.findings == ()
    assert gated.model_id != free.model_id


def test_an_expiry_with_too_few_quotes_stops_only_its_holders(
    snapshot: MarketSnapshot, accounts: Book, held: dict[str, str]
) -> None:
    """Accounts without options of the expiry have the margins that they have without the expiry."""
    row = row_of(snapshot, held["far"])
    thin = faults.few_marks(snapshot, row)
    with pytest.raises(MissingMarketData, match="no surface can be fitted"):
        fit_surfaces(thin)
    result = calculate_margin(thin, made_scenarios(80), accounts, preset("hs-surface"))
    assert {f.account_id for f in result.failures} == {"both", "far"}
    assert [(f.gate, f.value, f.limit) for f in result.findings] == [("too_few_quotes", 3.0, 5.0)]
    unlisted = without(snapshot, faults.siblings(snapshot, row), forward=False)
    expected = calculate_margin(unlisted, made_scenarios(80), accounts, preset("hs-surface"))
    assert amounts(result) == amounts(expected)


def test_without_any_smile_the_calculation_is_refused(
    snapshot: MarketSnapshot, accounts: Book
) -> None:
    nothing = np.full(len(snapshot.options), np.nan)
    rows = np.arange(len(snapshot.options))
    blind = faults.with_quotes(snapshot, rows, bid=nothing, ask=nothing, mark_vol=nothing)
    with pytest.raises(MissingMarketData, match="no surface can be fitted"):
        fit_model_surfaces(blind, preset("hs-surface"))


def test_a_book_of_quarantined_options_alone_names_the_finding(
    snapshot: MarketSnapshot, held: dict[str, str]
) -> None:
    broken = faults.forward_off(snapshot, row_of(snapshot, held["far"]))
    alone = book_of_portfolios([("a", "M", {held["far"]: 1.0})])
    with pytest.raises(MissingMarketData) as caught:
        calculate_margin(broken, made_scenarios(40), alone, GATED)
    assert "contradicts put-call parity" in str(caught.value.problems[0])


def test_a_service_prices_the_screened_snapshot_and_says_why_an_account_is_not_margined(
    snapshot: MarketSnapshot, accounts: Book, held: dict[str, str]
) -> None:
    scenarios: ScenarioSet = made_scenarios(80)
    broken = faults.forward_off(snapshot, row_of(snapshot, held["far"]))
    market = prepare_market(broken, GATED)
    assert market.snapshot.id == broken.id
    assert isinstance(market.snapshot, ScreenedSnapshot)
    assert [f.where for f in market.findings] == [
        faults.expiry_of(snapshot, row_of(snapshot, held["far"]))
    ]
    assert held["far"] not in market.contracts.names
    assert held["far_future"] not in market.contracts.names
    priced = PricedMarket(market, scenarios, None)
    assessed = assess_book(priced, accounts)
    assert {f.account_id for f in assessed.failures} == {"both", "far", "future"}
    whole = calculate_margin(broken, scenarios, accounts, GATED)
    assert assessed.failures == whole.failures
    margins = priced.margins(assessed.book)
    np.testing.assert_array_equal(margins.initial_margin_usd, whole.margins.initial_margin_usd)
    with pytest.raises(MissingMarketData, match="quarantined"):
        priced.margins(book_of_portfolios([("a", "M", {held["far"]: 1.0})]))


def test_gates_are_part_of_the_model_s_id_and_off_in_published_models() -> None:
    base = preset("ccp-default@1")
    assert not base.chain_quality.enabled
    assert "chain_quality" not in base.model_dump(mode="json")
    limits = base.chain_quality.model_copy(update={"enabled": True})
    gated: ModelParameters = base.model_copy(update={"chain_quality": limits})
    assert gated.id != base.id
    assert [c.field for c in changes_between(base, gated)][:1] == ["chain_quality.enabled"]
    assert ModelParameters.model_validate(gated.model_dump(mode="json")) == gated
