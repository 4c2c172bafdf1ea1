"""What is disclosed to members: margins, repaired rows, and risk arrays with their bound."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import EVERYTHING, made_scenarios, model_from, sections

from margin_actors.engine.disclosure import (
    REPAIRS,
    MemberArrays,
    disclose,
    member_arrays,
    row_repairs,
)
from margin_actors.engine.margin import (
    PreparedMarket,
    applied_scenarios,
    calculate_margin,
    prepare_market,
)
from margin_actors.engine.measures import expected_shortfall
from margin_actors.errors import InvalidParameters
from margin_actors.market.books import Book, select_account
from margin_actors.market.snapshots import MarketSnapshot


@pytest.fixture(scope="module")
def full(snapshot: MarketSnapshot) -> PreparedMarket:
    return prepare_market(snapshot, model_from("hs-surface", **EVERYTHING))


def test_disclosed_margins_are_those_of_the_calculation(full, snapshot, book) -> None:
    found = disclose(full, sections(), book)
    known = calculate_margin(snapshot, sections(), book, full.model)
    assert np.array_equal(found.margins.components_usd, known.margins.components_usd)
    assert np.array_equal(found.margins.initial_margin_usd, known.margins.initial_margin_usd)


def test_the_disclosure_of_one_account_does_not_depend_on_the_others(full, book) -> None:
    alone = disclose(full, sections(), select_account(book, 3))
    whole = disclose(full, sections(), book)
    assert np.array_equal(alone.margins.components_usd[0], whole.margins.components_usd[3])
    assert np.array_equal(alone.pnl.accounts.pnl_usd[0], whole.pnl.accounts.pnl_usd[3])


def test_the_amounts_closed_per_day_are_the_denominators_of_days_to_close(full, book) -> None:
    found = disclose(full, sections(), book)
    per_day = found.closed_per_day
    assert per_day is not None
    labels = found.inputs.risk.depth.bucket_labels
    values: dict[tuple[int, str, str], float] = {
        (account, label, figure): value
        for account, component, label, figure, value in found.margins.inputs.rows()
        if component == "concentration"
    }
    days = {k: v for k, v in values.items() if k[2] == "vega_days_to_close"}
    assert days
    for (account, label, _), value in days.items():
        vega = 100.0 * values[account, label, "vega_usd_per_point"]
        expected = abs(vega) / per_day[1].ravel()[labels.index(label)]
        assert value == pytest.approx(expected, rel=1e-12)


def test_repairs_agree_with_the_counts_of_the_check(full) -> None:
    built = made_scenarios(400, seed=9, scale=3.0)
    applied, checks = applied_scenarios(full, built)
    found = row_repairs(built, applied, full.surfaces)
    assert sum(check.repaired for check in checks) > 20
    for u, check in enumerate(checks):
        words = np.array(REPAIRS)[found.outcome[:, u]]
        butterfly, calendar = found.butterfly[check.underlying], found.calendar[check.underlying]
        assert butterfly.any(axis=1).sum() == check.butterfly
        assert calendar.any(axis=1).sum() == check.calendar
        assert np.isin(words, ("half", "level")).sum() == check.repaired
        assert (words == "left").sum() == check.left
        broken = butterfly.any(axis=1) | calendar.any(axis=1)
        assert np.array_equal(broken, words != "none")
        same = (applied.vol_change[:, u] == built.vol_change[:, u]).all(axis=(1, 2))
        assert np.array_equal(same, np.isin(words, ("none", "left")))


def test_a_set_without_surface_moves_has_no_repairs(full) -> None:
    built = made_scenarios(10, surface=False)
    assert not row_repairs(built, built, full.surfaces).outcome.any()


# -- risk arrays -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(snapshot: MarketSnapshot) -> PreparedMarket:
    return prepare_market(snapshot, model_from("hs-surface"))


@pytest.fixture(scope="module")
def arrays(plain: PreparedMarket, book: Book) -> MemberArrays:
    return member_arrays(plain, made_scenarios(600), book, n_random=40)


def unit_profits(market: PreparedMarket) -> np.ndarray:
    """Profits of one unit of every contract, from a book of one account per contract."""
    from margin_actors.market.books import book_of_portfolios

    names = market.contracts.names
    units = [100.0 if "_" not in n and n.count("-") < 3 else 1.0 for n in names]
    singles = book_of_portfolios([(n, "M", {n: q}) for n, q in zip(names, units, strict=True)])
    result = calculate_margin(
        market.snapshot, made_scenarios(600), singles, market.model, keep_pnl=True
    )
    order = [result.book.accounts.index(n) for n in names]
    return result.pnl_usd[order] / np.array(units)[:, None]


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25)
def test_the_maximum_over_arrays_never_exceeds_expected_shortfall(plain, arrays, seed) -> None:
    rng = np.random.default_rng(seed)
    unit = unit_profits_of(plain)
    quantity = np.zeros((1, len(arrays.names)))
    quantity[0, rng.integers(0, len(arrays.names), 8)] = rng.normal(size=8) * 100.0
    target = expected_shortfall(quantity @ unit, confidence=plain.model.measure.confidence)
    bound = max(float(target[0]), 0.0)
    assert arrays.requirement_usd(quantity)[0] <= bound * (1.0 + 1e-9) + 1e-6


_UNIT: dict[int, np.ndarray] = {}


def unit_profits_of(market: PreparedMarket) -> np.ndarray:
    if id(market) not in _UNIT:
        _UNIT[id(market)] = unit_profits(market)
    return _UNIT[id(market)]


def test_arrays_are_means_of_losses_with_the_weights_of_the_tail(plain, arrays) -> None:
    unit, m = unit_profits_of(plain), 600 * (1.0 - plain.model.measure.confidence)
    assert arrays.is_lower_bound
    for k, (row, weight) in enumerate(zip(arrays.row, arrays.weight, strict=True)):
        assert weight.sum() == pytest.approx(1.0, rel=1e-12)
        assert weight.max() <= 1.0 / m * (1.0 + 1e-9)
        np.testing.assert_allclose(
            arrays.loss_usd[:, k], -(unit[:, row] @ weight), rtol=1e-9, atol=1e-7
        )


def test_the_stated_errors_are_those_of_the_accounts(plain, arrays, book) -> None:
    known = calculate_margin(plain.snapshot, made_scenarios(600), book, plain.model)
    place = plain.contracts.place
    quantity = np.zeros((len(book.accounts), len(arrays.names)))
    for a in range(len(book.accounts)):
        for p in range(book.start[a], book.start[a + 1]):
            quantity[a, place[book.instruments[book.instrument_index[p]]]] = book.quantity[p]
    error = arrays.requirement_usd(quantity) / known.margins.es_usd - 1.0
    stated = arrays.errors[0]
    assert stated.portfolios == len(book.accounts)
    assert stated.median == pytest.approx(np.median(error), abs=1e-9)
    assert stated.worst == pytest.approx(error.min(), abs=1e-9)
    assert stated.low == pytest.approx(np.quantile(error, 0.05), abs=1e-9)


def test_more_arrays_approximate_better_and_the_choice_is_reproducible(plain, book) -> None:
    few, many = (
        member_arrays(plain, made_scenarios(300), book, n_random=40, n_arrays=n) for n in (2, 12)
    )
    again = member_arrays(plain, made_scenarios(300), book, n_random=40, n_arrays=12)
    assert few.loss_usd.shape[1] == 2
    assert many.errors[0].median > few.errors[0].median
    assert np.array_equal(many.loss_usd, again.loss_usd)


def test_an_array_of_the_floors_has_rows_of_their_sections(full, book) -> None:
    found = member_arrays(full, sections(), book, n_random=40, target="floored")
    assert set(found.section) & {"long", "stress_period"}
    assert found.is_lower_bound
    for name, row in zip(found.section, found.row, strict=True):
        section = sections().section(name)
        assert section.first <= row.min()
        assert row.max() < section.first + section.count


def test_arrays_of_var_are_single_rows(snapshot, book) -> None:
    market = prepare_market(snapshot, model_from("hs-surface", measure={"core": "var"}))
    found = member_arrays(market, made_scenarios(300), book, n_random=40)
    assert {row.size for row in found.row} == {1}
    assert not found.is_lower_bound


def test_weights_of_rows_enter_the_arrays(plain, book) -> None:
    weight = np.linspace(1.0, 3.0, 300)
    aged = replace(made_scenarios(300), weight=weight / weight.sum())
    assert member_arrays(plain, aged, book, n_random=40).is_lower_bound


def test_span_has_arrays_of_its_own(snapshot, book) -> None:
    market = prepare_market(snapshot, model_from("span"))
    with pytest.raises(InvalidParameters, match="VaR or ES"):
        member_arrays(market, made_scenarios(300), book, n_random=40)
