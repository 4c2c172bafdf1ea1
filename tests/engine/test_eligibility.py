"""Accounts that can be margined are margined; the others are listed with the reasons."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import EVERYTHING, made_scenarios, model, model_from, sections

from margin_actors.engine.margin import (
    AccountFailure,
    AccountProblem,
    MarginResult,
    PricedMarket,
    assess_book,
    attribute_account,
    calculate_margin,
    instrument_faults,
    prepare_market,
    price_slice,
    result_digest,
)
from margin_actors.engine.pricing import TILE
from margin_actors.errors import InvalidPortfolio, InvalidScenario, MissingMarketData
from margin_actors.market.books import Book, book_of_portfolios
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.surfaces import fit_surfaces

EXPIRED = "BTC-2JAN26-90000-C"
SOUND = {"BTC-PERPETUAL": 100.0, "ETH-PERPETUAL": -50.0, "BTC_USDC": 1.5}
BAD: dict[str, tuple[float, str]] = {
    "nonsense": (1.0, "unknown instrument"),
    "BTC-27MAR26-1-C": (1.0, "is not in the snapshot's chain"),
    "BTC-3JUL26": (10.0, "has no forward and no quotes"),
    "SOL-PERPETUAL": (10.0, "SOL has no index price"),
    "BTC-PERPETUAL": (3.0, "3 of BTC-PERPETUAL is not a whole number of lots of 10"),
    "ETH-PERPETUAL": (5e-324, "of ETH-PERPETUAL is not a whole number of lots of 10"),
    "ETH_USDC": (float("nan"), "quantity is nan"),
    "BTC_USDC-PERPETUAL": (1e308, "quantity is 1e+308 (at most 1e+12"),
    "ETH_USDC-PERPETUAL": (1e12, "too large to be summed exactly"),
}


def book_of(accounts: Mapping[str, Mapping[str, float]]) -> Book:
    return book_of_portfolios((a, f"M-{a}", held) for a, held in accounts.items())


def priced(
    snapshot: MarketSnapshot,
    tiles: int = 100,
    *,
    keep: bool = True,
    parameters=None,
    scenarios=None,
) -> PricedMarket:
    scenarios = made_scenarios(200) if scenarios is None else scenarios
    market = prepare_market(snapshot, parameters or model())
    n_core = scenarios.section("core").count
    slices = tuple(
        price_slice(
            market,
            scenarios.rows(b, min(b + tiles * TILE, len(scenarios))),
            b,
            n_core=n_core,
        )
        for b in range(0, len(scenarios), tiles * TILE)
    )
    return PricedMarket(market, scenarios, slices if keep else None)


@pytest.fixture(scope="module")
def ready(snapshot: MarketSnapshot) -> PricedMarket:
    return priced(snapshot)


def digest(result: MarginResult, margins, failures: Sequence[AccountFailure]) -> str:
    return result_digest(
        margins,
        snapshot_id=result.snapshot_id,
        scenarios_id=result.scenarios_id,
        model_id=result.model_id,
        book_id=result.assessment.book_id,
        failures=failures,
    )


def test_a_sound_book_is_passed_on_as_the_same_object(ready: PricedMarket, book: Book) -> None:
    assessment = assess_book(ready, book)
    assert assessment.book is book
    assert (assessment.failures, assessment.expired, assessment.expired_positions) == ((), {}, 0)
    assert assessment.book_id == book.id


@pytest.mark.parametrize("name", BAD)
def test_one_position_that_cannot_be_margined_stops_its_own_account_only(
    ready: PricedMarket, snapshot: MarketSnapshot, name: str
) -> None:
    """The other accounts have, to the last bit, the margins that they have without it."""
    quantity, text = BAD[name]
    held = {"A": SOUND, "B": SOUND | {name: quantity}, "C": {"BTC_USDC": 2.0}}
    book = book_of(held)
    assessment = assess_book(ready, book)
    (failure,) = assessment.failures
    assert (failure.account_id, failure.member_id) == ("B", "M-B")
    assert failure.positions == len(held["B"])
    (problem,) = failure.problems
    assert text in problem.description
    assert problem.instrument_name == ("" if "too large" in text else name)
    assert assessment.book.accounts == ("A", "C")
    result = calculate_margin(snapshot, ready.scenarios, book, model())
    assert result.failures == assessment.failures
    margins = ready.margins(assessment.book)
    assert digest(result, margins, assessment.failures) == result.digest
    alone = calculate_margin(snapshot, ready.scenarios, book_of({"A": SOUND}), model())
    assert result.margins.initial_margin_usd[0] == alone.margins.initial_margin_usd[0] > 0.0


def test_an_account_of_any_size_is_found_where_prices_are_made_when_needed(
    snapshot: MarketSnapshot,
) -> None:
    unkept = priced(snapshot, keep=False)
    book = book_of({"A": SOUND, "B": {"BTC_USDC": 1e12}})
    assessment = assess_book(unkept, book)
    with pytest.raises(InvalidPortfolio) as caught:
        unkept.margins(assessment.book)
    assert caught.value.too_large == ("B",)
    assert calculate_margin(snapshot, unkept.scenarios, book, model()).failures == (
        assess_book(priced(snapshot), book).failures
    )


def test_contributions_are_those_of_the_account_s_own_contracts(snapshot: MarketSnapshot) -> None:
    """The cube still holds the contracts of an excluded account, so places in it are shifted."""
    scenarios = made_scenarios(200)
    book = book_of({"A": SOUND, "B": {"BTC_USDC-PERPETUAL": 1e12}})
    result = calculate_margin(snapshot, scenarios, book, model())
    assert [failure.account_id for failure in result.failures] == ["B"]
    alone = calculate_margin(snapshot, scenarios, book_of({"A": SOUND}), model())
    expected = attribute_account(alone, 0)
    np.testing.assert_array_equal(
        attribute_account(result, 0).component_var, expected.component_var
    )
    assert expected.component_var.sum() == pytest.approx(result.margins.var_usd[0], rel=1e-9)


def test_expired_positions_are_taken_out_and_listed(
    ready: PricedMarket, snapshot: MarketSnapshot
) -> None:
    """Accounts are margined on the positions that remain, and no expired position is a failure."""
    book = book_of(
        {
            "A": SOUND | {EXPIRED: 0.015},
            "B": {EXPIRED: float("nan"), "BTC-2JAN26": 10.0},
            "C": {"nonsense": 1.0, EXPIRED: 1.0},
        }
    )
    assessment = assess_book(ready, book)
    assert assessment.expired == {
        "A": (EXPIRED,),
        "B": ("BTC-2JAN26", EXPIRED),
        "C": (EXPIRED,),
    }
    assert assessment.expired_positions == 4
    assert assessment.book.accounts == ("A", "B")
    assert [f.account_id for f in assessment.failures] == ["C"]
    assert assessment.failures[0].positions == 2
    margins = ready.margins(assessment.book)
    assert margins.positions.tolist() == [3, 0]
    assert margins.initial_margin_usd[1] == 0.0
    result = calculate_margin(snapshot, ready.scenarios, book, model())
    assert digest(result, margins, assessment.failures) == result.digest
    assert result.assessment.expired == assessment.expired


def test_a_book_whose_positions_have_all_expired_needs_nothing(
    ready: PricedMarket, snapshot: MarketSnapshot
) -> None:
    book = book_of({"A": {EXPIRED: 1.0}, "B": {EXPIRED: 2.0}})
    result = calculate_margin(snapshot, ready.scenarios, book, model())
    assert result.margins.initial_margin_usd.tolist() == [0.0, 0.0]
    assert result.failures == ()
    margins = ready.margins(assess_book(ready, book).book)
    assert digest(result, margins, ()) == result.digest
    unkept = priced(snapshot, keep=False)
    assert digest(result, unkept.margins(assess_book(unkept, book).book), ()) == result.digest


def test_a_digest_without_failures_is_that_of_the_margins_and_covers_any_failure(
    snapshot: MarketSnapshot, ready: PricedMarket
) -> None:
    result = calculate_margin(snapshot, ready.scenarios, book_of({"A": SOUND}), model())
    whole = digest(result, result.margins, ())
    failure = AccountFailure("B", "M", 1, (AccountProblem("X", "unknown"),))
    others = [
        failure,
        replace(failure, account_id="C"),
        replace(failure, member_id="N"),
        replace(failure, positions=2),
        replace(failure, problems=(AccountProblem("Y", "unknown"),)),
        replace(failure, problems=(AccountProblem("X", "expired"),)),
        replace(failure, problems=failure.problems * 2),
    ]
    digests = [whole, *(digest(result, result.margins, (f,)) for f in others)]
    assert result.digest == whole
    assert len(set(digests)) == len(digests)


def test_a_result_that_must_be_complete_names_the_accounts_that_are_missing(
    snapshot: MarketSnapshot, ready: PricedMarket
) -> None:
    book = book_of({"A": SOUND, "B": {"nonsense": 1.0}})
    result = calculate_margin(snapshot, ready.scenarios, book, model())
    with pytest.raises(InvalidPortfolio, match="account B: unknown instrument"):
        result.complete()
    only = calculate_margin(snapshot, ready.scenarios, book_of({"A": SOUND}), model())
    assert only.complete() is only


@pytest.mark.parametrize(
    ("held", "error"),
    [
        ({"A": {"SOL-PERPETUAL": 1.0}}, MissingMarketData),
        ({"A": {"SOL-PERPETUAL": 1.0}, "B": {"nonsense": 1.0}}, InvalidPortfolio),
        ({"A": {"BTC_USDC": 1e12}}, InvalidPortfolio),
    ],
)
def test_if_no_account_can_be_margined_everything_wrong_is_named(
    snapshot: MarketSnapshot, held: dict[str, dict[str, float]], error: type[Exception]
) -> None:
    with pytest.raises(error):
        calculate_margin(snapshot, made_scenarios(64), book_of(held), model())


def test_an_underlying_that_no_scenario_moves_stops_only_its_holders(
    snapshot: MarketSnapshot,
) -> None:
    only_eth = replace(made_scenarios(64), underlyings=("SOL", "ETH"))
    book = book_of({"A": {"BTC-PERPETUAL": 10.0}, "B": {"ETH-PERPETUAL": 10.0}})
    result = calculate_margin(snapshot, only_eth, book, model())
    assert "do not move BTC" in result.failures[0].problems[0].description
    assert result.book.accounts == ("B",)
    with pytest.raises(InvalidScenario, match="do not move BTC"):
        calculate_margin(snapshot, only_eth, book_of({"A": {"BTC-PERPETUAL": 10.0}}), model())


def test_faults_of_names_are_given_by_name_and_expired_ones_have_none(
    snapshot: MarketSnapshot,
) -> None:
    rules = model().revaluation
    listed = snapshot.options.names[0]
    names = [*BAD, EXPIRED, "BTC-2JAN26", listed]
    faults = instrument_faults(names, snapshot, fit_surfaces(snapshot), rules)
    assert set(faults) == {"nonsense", "BTC-27MAR26-1-C", "BTC-3JUL26", "SOL-PERPETUAL"}
    assert all(fault.where == name for name, fault in faults.items())
    without_smiles = instrument_faults([listed, "BTC-16JAN26"], snapshot, {}, rules)
    assert list(without_smiles) == [listed]
    assert "has no smile" in without_smiles[listed].what


NAMES = (*SOUND, *BAD, EXPIRED, "ETH-16JAN26", "BTC-16JAN26-140000-C")
QUANTITIES = (10.0, -20.0, 0.015, 3.0, 1e13, 1e12, -1e12, float("nan"), float("inf"))


@settings(max_examples=40)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(NAMES), st.sampled_from(QUANTITIES), max_size=5),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from([1, 2, 100]),
)
def test_every_account_is_margined_as_it_is_alone_or_listed(
    snapshot: MarketSnapshot, held: list[dict[str, float]], tiles: int
) -> None:
    ready = _CACHE.setdefault(tiles, priced(snapshot, tiles))
    book = book_of({f"A{n}": positions for n, positions in enumerate(held)})
    assessment = assess_book(ready, book)
    failed = [f.account_id for f in assessment.failures]
    assert sorted((*assessment.book.accounts, *failed)) == sorted(book.accounts)
    assert not set(failed) & set(assessment.book.accounts)
    assert all(f.problems for f in assessment.failures)
    if not assessment.book.accounts:
        return
    margins = ready.margins(assessment.book)
    for place, account in enumerate(assessment.book.accounts):
        alone = assess_book(ready, book_of({account: held[int(account[1:])]}))
        assert alone.failures == ()
        own = ready.margins(alone.book)
        assert own.initial_margin_usd[0] == margins.initial_margin_usd[place]
        assert own.var_usd[0] == margins.var_usd[place]
        assert own.tail_usd[0].tolist() == margins.tail_usd[place].tolist()
    for failure in assessment.failures:
        alone = assess_book(ready, book_of({failure.account_id: held[int(failure.account_id[1:])]}))
        assert alone.book.accounts == ()
        assert alone.failures[0].problems == failure.problems


_CACHE: dict[int, PricedMarket] = {}


def test_a_model_with_every_part_margins_the_same_accounts_in_one_piece_and_in_slices(
    snapshot: MarketSnapshot,
) -> None:
    parameters, scenarios = model_from("hs-surface", **EVERYTHING), sections()
    held = {
        "A": SOUND | {"BTC-16JAN26-140000-C": 2.0},
        "B": SOUND | {"nonsense": 1.0},
        "C": {"ETH_USDC-PERPETUAL": 1e12},
        "D": {EXPIRED: 1.0},
        "E": {"ETH-PERPETUAL": 500.0, EXPIRED: 1.0},
    }
    book = book_of(held)
    result = calculate_margin(snapshot, scenarios, book, parameters)
    assert [f.account_id for f in result.failures] == ["B", "C"]
    for tiles in (1, 3):
        ready = priced(snapshot, tiles, parameters=parameters, scenarios=scenarios)
        assessment = assess_book(ready, book)
        assert assessment.failures == result.failures
        margins = ready.margins(assessment.book)
        assert digest(result, margins, assessment.failures) == result.digest
