"""Extended moves, and both floors for large losses in every core: values by hand, laws, bits."""

from dataclasses import replace

import numpy as np
import pytest
from extended_models import GRID, model_with
from hypothesis import given, settings
from hypothesis import strategies as st
from made import (
    extended_of,
    made_scenarios,
    model_from,
    options_of,
    sections,
)

from margin_actors.engine.margin import (
    PricedMarket,
    applied_scenarios,
    binding_components,
    calculate_margin,
    concatenate_margins,
    needs_of,
    prepare_market,
    price_slice,
    worst_extended_moves,
)
from margin_actors.engine.parameters import (
    EARLIER,
    PRESETS,
    ExtendedMoveParameters,
    ModelParameters,
    TailParameters,
)
from margin_actors.engine.scenarios import (
    CORE,
    EXTENDED,
    ScenarioSet,
    join_sections,
)
from margin_actors.engine.scenarios.prescribed import extended_moves
from margin_actors.errors import InvalidParameters, InvalidScenario
from margin_actors.market.books import Book, book_of_portfolios
from margin_actors.market.snapshots import MarketSnapshot


def with_extended(model: ModelParameters, n: int = 100) -> ScenarioSet:
    """Return quiet core rows with the extended rows of a model."""
    core = made_scenarios(n, scale=0.02)
    return join_sections([(CORE, core), (EXTENDED, extended_of(model))])


def book_of(*accounts: dict[str, float]) -> Book:
    return book_of_portfolios((f"A{i}", "M", held) for i, held in enumerate(accounts))


def amounts(result, name: str) -> np.ndarray:
    return result.margins.component_usd(name)


# ---- the rows


def test_the_default_moves_are_few_distinct_and_cover_any_number_of_underlyings() -> None:
    rules = ExtendedMoveParameters(enabled=True)
    for underlyings, count in ((("BTC",), 60), (("BTC", "ETH"), 66), (("A", "B", "C"), 72)):
        moves = extended_moves(rules, underlyings)
        assert len(moves) == len({move.name for move in moves}) == count + len(rules.rows)
    three = {m.name: m.spot for m in extended_moves(rules, ("A", "B", "C"))}
    assert three["B alone -20 %, volatility × 1.3"] == (0.0, -0.2, 0.0)
    assert three["C +15 %, A -15 %, volatility × 1.3"] == (-0.15, 0.0, 0.15)


def test_a_row_has_the_moves_that_its_formula_gives() -> None:
    rows = [
        {"name": "all", "spot": {"*": -0.5, "ETH": 0.2}, "vol": 2.0, "share": 0.4},
        {"name": "shape", "skew": -0.1, "term": 0.2, "share": 0.3},
    ]
    model = model_with({"jointly": [], "rows": rows, "vol_power": 0.3})
    found = extended_of(model)
    assert found.row_names == ("all", "shape")
    np.testing.assert_allclose(np.exp(found.spot_return), [[0.5, 1.2], [1.0, 1.0]])
    np.testing.assert_allclose(found.path_return[0, 0], np.log(0.5) * np.ones(2))
    days = np.array([7.0, 14.0, 30.0, 60.0, 90.0, 180.0, 365.0])
    level = np.log(1.0 + (30.0 / days) ** 0.3)
    np.testing.assert_allclose(found.vol_change[0, 1], np.repeat(level[:, None], 7, axis=1))
    z = np.array([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0])
    shape = 0.2 * np.log(30.0 / days)[:, None] - 0.1 * z
    np.testing.assert_allclose(found.vol_change[1, 0], shape, atol=1e-15)
    np.testing.assert_array_equal(found.loss_share, [0.4, 0.3])


@pytest.mark.parametrize(
    ("moves", "message"),
    [
        ({"rows": [{"name": "x", "spot": {"XYZ": 0.1}, "share": 0.5}]}, "unknown underlying XYZ"),
        ({"rows": [{"name": "x", "share": 0.5}, {"name": "x", "share": 0.4}]}, "are named 'x'"),
    ],
)
def test_rows_that_cannot_be_used_are_named(moves: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidParameters, match=message):
        extended_of(model_with(moves))


@pytest.mark.parametrize(
    ("tails", "message"),
    [
        ({"extended_moves": {"jointly": [{"spot": [-1.0], "share": 0.5}]}}, "must be above -1"),
        ({"extended_moves": {"jointly": [{"spot": [0.1], "vol": [], "share": 0.5}]}}, "is empty"),
        ({"extended_moves": {"jointly": [{"spot": [0.1], "share": 0.0}]}}, "greater than 0"),
        ({"extended_moves": {"rows": [{"name": "x", "spot": {"*": -1.5}, "share": 1.0}]}}, "above"),
    ],
)
def test_parameters_that_are_not_possible_are_refused(
    tails: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidParameters, match=message):
        model_from("hs-surface", tails=tails)


def test_a_smile_that_cannot_move_is_refused() -> None:
    with pytest.raises(InvalidParameters, match="needs a smile that moves"):
        model_from("plain-hs", tails={"extended_moves": {"enabled": True}})


def test_published_models_have_no_tails_in_their_stored_form() -> None:
    published = [m for name, m in PRESETS.items() if name != "ccp-default"]
    for model in (*published, *EARLIER.values()):
        assert "tails" not in model.model_dump(mode="json")
        assert EXTENDED not in needs_of(model).sections
    enabled = model_with()
    assert ModelParameters.model_validate(enabled.model_dump(mode="json")) == enabled
    assert enabled.id != PRESETS["hs-surface"].id
    assert enabled.core_only().tails == TailParameters()


def test_a_set_without_the_model_s_rows_is_refused(snapshot: MarketSnapshot, book: Book) -> None:
    model = model_with()
    with pytest.raises(InvalidScenario, match="has no section 'extended'"):
        calculate_margin(snapshot, made_scenarios(80), book, model)
    others = model_with({"jointly": [{"spot": [-0.3, 0.3], "vol": [0.7, 1.6], "share": 0.4}]})
    with pytest.raises(InvalidScenario, match="other extended moves or shares"):
        calculate_margin(snapshot, with_extended(others), book, model)


def test_prescribed_rows_are_not_repaired(snapshot: MarketSnapshot) -> None:
    """The repair would turn the change of the skew into a parallel move."""
    rows = [{"name": f"skew {s}", "skew": s, "term": -0.5, "share": 0.5} for s in (-0.25, 0.25)]
    model = model_with({"jointly": [], "rows": rows})
    market = prepare_market(snapshot, model)
    prescribed = extended_of(model)
    applied, checks = applied_scenarios(market, prescribed)
    np.testing.assert_array_equal(applied.vol_change, prescribed.vol_change)
    assert [check.scenarios for check in checks] == [0, 0]
    drawn = replace(prescribed, provenance=np.full((2, 2), 4, np.uint8))
    _, checks = applied_scenarios(market, drawn)
    assert sum(check.repaired + check.left for check in checks) > 0


def test_prices_are_finite_under_the_largest_moves(snapshot: MarketSnapshot) -> None:
    model = model_from("hs-surface", tails={"extended_moves": {"enabled": True}})
    market = prepare_market(snapshot, model)
    values = price_slice(market, extended_of(model), 0).cube.values
    assert np.all(np.isfinite(values))


# ---- extended moves, the component


def test_the_floor_of_a_future_by_hand(snapshot: MarketSnapshot) -> None:
    """A short perpetual on 1,000,000 dollars loses 300,000 at +30 %, of which half counts."""
    model = model_with()
    held = {"BTC-PERPETUAL": -1_000_000.0}
    result = calculate_margin(snapshot, with_extended(model), book_of(held), model)
    margins = result.margins
    assert margins.initial_margin_usd[0] == pytest.approx(150_000.0, rel=1e-9)
    assert amounts(result, "extended_moves")[0] == pytest.approx(150_000.0 - margins.core_usd[0])
    found = {(of, f): v for _, p, of, f, v in margins.inputs.rows() if p == "extended_moves"}
    row = "all +30 %, volatility × 0.7"  # the first of two equal losses
    assert found == {
        (row, "loss_usd"): pytest.approx(300_000.0),
        (row, "loss_share"): 0.5,
        (row, "counted_loss_usd"): pytest.approx(150_000.0),
    }
    assert binding_components(margins) == ("extended_moves",)
    worst = worst_extended_moves(margins)
    assert worst is not None
    assert worst[1] == (row,)


def test_a_floor_of_cents_binds_and_an_account_without_a_loss_has_no_row(
    snapshot: MarketSnapshot,
) -> None:
    model = model_with({"jointly": [{"spot": [-0.1, 0.1], "vol": [1.0], "share": 0.5}]})
    hedged = {"BTC_USDC": 1.0, "BTC_USDC-PERPETUAL": -1.0}
    book = book_of({"BTC-PERPETUAL": -10.0}, hedged)
    margins = calculate_margin(snapshot, with_extended(model), book, model).margins
    worst = worst_extended_moves(margins)
    assert worst is not None
    assert worst[0].tolist() == [pytest.approx(0.5, abs=0.01), 0.0]
    assert worst[1][0].startswith("all +10 %")
    assert worst[1][1] == ""
    assert binding_components(margins) == ("extended_moves", "core")


@pytest.mark.parametrize("core", ["var", "es", "blend", "span", "venue_grid", "hybrid"])
def test_every_core_has_both_floors(snapshot: MarketSnapshot, book: Book, core: str) -> None:
    tails = {
        "extended_moves": {**GRID, "jointly": [{"spot": [-0.6, 1.5], "vol": [1.6], "share": 0.9}]},
        "short_option_minimum": {"enabled": True, "at_money": 0.4, "least": 0.3},
    }
    model = model_from("hs-surface", measure={"core": core}, tails=tails)
    parts = [(s.name, sections().select(s.rows)) for s in sections().sections]
    scenarios = join_sections([*parts[:-1], (EXTENDED, extended_of(model))])
    scenarios = replace(scenarios, calibration=sections().calibration)
    result = calculate_margin(snapshot, scenarios, book, model)
    m = result.margins
    figures = {(a, p, f): v for a, p, _, f, v in m.inputs.rows()}
    counted = [figures[a, "extended_moves", "counted_loss_usd"] for a in range(len(book.accounts))]
    least = [figures[a, "short_option_minimum", "minimum_usd"] for a in range(len(book.accounts))]
    expected = np.maximum(np.maximum(m.core_usd, counted), least)
    np.testing.assert_allclose(m.initial_margin_usd, expected, rtol=1e-12)
    assert {"extended_moves", "short_option_minimum"} <= set(binding_components(m))


@given(seed=st.integers(0, 10_000), share=st.floats(0.05, 0.95), k=st.integers(2, 9))
@settings(max_examples=10)
def test_laws_of_the_extended_moves(
    snapshot: MarketSnapshot, seed: int, share: float, k: int
) -> None:
    """Never negative; monotone in the share; homogeneous; the sum is not lowered by splitting."""
    rng = np.random.default_rng(seed)
    names = options_of(snapshot)
    halves = [
        {n: float(rng.integers(-9, 10) or 1) for n in rng.choice(names, 6, replace=False)}
        for _ in range(2)
    ]
    whole = {n: sum(h.get(n, 0.0) for h in halves) for n in {*halves[0], *halves[1]}}
    whole = {n: q for n, q in whole.items() if q}
    many = {n: k * q for n, q in halves[0].items()}
    found = []
    for level in (share, min(share + 0.05, 1.0)):
        model = model_with({"jointly": [{"spot": [-0.3, 0.3], "vol": [0.7, 1.6], "share": level}]})
        # An account without positions is not in a book.
        accounts = [*halves, many, *([whole] if whole else [])]
        result = calculate_margin(snapshot, with_extended(model), book_of(*accounts), model)
        found.append(result)
    low, high = (r.margins.initial_margin_usd for r in found)
    assert np.all(amounts(found[0], "extended_moves") >= 0.0)
    assert np.all(high >= low)
    np.testing.assert_allclose(low[2], k * low[0], rtol=1e-9, atol=1e-4)
    for result, margin in zip(found, (low, high), strict=True):
        worst = worst_extended_moves(result.margins)
        assert worst is not None
        assert np.all(margin >= worst[0] * (1 - 1e-12))
        if whole:  # the floor of the whole is at most the sum of the floors of the halves
            assert worst[0][3] <= worst[0][0] + worst[0][1] + 1e-4


# ---- the same bits however the work is divided


def test_both_floors_have_the_same_bits_in_slices_and_batches(
    snapshot: MarketSnapshot, book: Book
) -> None:
    model = model_from(
        "hs-surface",
        tails={
            "extended_moves": {"enabled": True},
            "short_option_minimum": {"enabled": True, "at_money": 0.1, "least": 0.1},
        },
    )
    scenarios = with_extended(model, n=90)
    whole = calculate_margin(snapshot, scenarios, book, model)
    market = prepare_market(snapshot, model)
    slices = tuple(
        price_slice(market, scenarios.rows(b, min(b + 64, len(scenarios))), b, n_core=90)
        for b in range(0, len(scenarios), 64)
    )
    found = PricedMarket(market, scenarios, slices).margins(book)
    halves = concatenate_margins([
        calculate_margin(snapshot, scenarios, part, model).margins
        for part in (
            book_of_portfolios(
                (book.accounts[a], book.members[a], dict(_held(book, a))) for a in accounts
            )
            for accounts in np.array_split(np.arange(len(book.accounts)), 2)
        )
    ])  # fmt: skip
    for margins in (found, halves):
        np.testing.assert_array_equal(margins.components_usd, whole.margins.components_usd)
        assert list(margins.inputs.rows()) == list(whole.margins.inputs.rows())
    assert np.any(amounts(whole, "extended_moves") > 0.0)
    assert np.any(amounts(whole, "short_option_minimum") > 0.0)


def _held(book: Book, account: int):
    for p in range(int(book.start[account]), int(book.start[account + 1])):
        yield book.instruments[book.instrument_index[p]], float(book.quantity[p])
