"""A prepared market gives the bits of a calculation from scratch, for any number of slices."""

import numpy as np
import pytest
from made import made_scenarios, model

from margin_actors.engine.margin import (
    PricedMarket,
    attribute_account,
    calculate_margin,
    prepare_market,
    price_slice,
    result_digest,
)
from margin_actors.engine.measures import attribute
from margin_actors.engine.pricing import TILE
from margin_actors.errors import InvalidPortfolio
from margin_actors.market.books import Book
from margin_actors.market.snapshots import MarketSnapshot

BESPOKE = {"unlisted_options": "surface"}


def digest_of(margins, result):
    return result_digest(
        margins,
        snapshot_id=result.snapshot_id,
        scenarios_id=result.scenarios_id,
        model_id=result.model_id,
        book_id=result.book.id,
    )


def priced(snapshot, scenarios, parameters, tiles_per_slice):
    market = prepare_market(snapshot, parameters)
    step = tiles_per_slice * TILE
    slices = tuple(
        price_slice(market, scenarios.rows(b, min(b + step, len(scenarios))), b)
        for b in range(0, len(scenarios), step)
    )
    return PricedMarket(market, scenarios, slices)


def with_bespoke(book: Book, snapshot: MarketSnapshot) -> Book:
    """Return the first account's positions with two options whose strikes are not listed."""
    item = next(e for e in snapshot.expiries if e.underlying == "BTC")
    chain = next(n for n in snapshot.options.names if n.startswith("BTC-")).split("-")
    odd = [f"BTC-{chain[1]}-{round(item.forward_usd * x) // 100 * 100 + 13}-C" for x in (0.9, 1.1)]
    held = slice(0, int(book.start[1]))
    names = [book.instruments[i] for i in book.instrument_index[held]] + odd
    order = np.argsort(names)
    quantity = np.concatenate([book.quantity[held], [3.0, -2.0]])[order]
    return Book(
        ("A",),
        ("M",),
        tuple(sorted(names)),
        np.array([0, len(names)]),
        np.arange(len(names), dtype=np.int32),
        quantity,
    )


@pytest.mark.parametrize("tiles", [1, 2, 3, 100])
@pytest.mark.parametrize("weighted", [False, True])
def test_slices_give_the_bits_of_one_calculation(snapshot, book, tiles, weighted):
    scenarios, parameters = made_scenarios(300), model()
    if weighted:
        weight = np.linspace(1, 2, 300)
        scenarios = scenarios.__class__(**{**vars(scenarios), "weight": weight / weight.sum()})
    result = calculate_margin(snapshot, scenarios, book, parameters)
    margins = priced(snapshot, scenarios, parameters, tiles).margins(book)
    assert digest_of(margins, result) == result.digest
    assert np.array_equal(margins.tail_scenario, result.margins.tail_scenario)


@pytest.mark.parametrize("slices", [True, False])
def test_contracts_that_no_chain_lists_are_priced_when_asked_for(snapshot, book, slices):
    scenarios, parameters = made_scenarios(300), model(**BESPOKE)
    odd = with_bespoke(book, snapshot)
    result = calculate_margin(snapshot, scenarios, odd, parameters)
    market = priced(snapshot, scenarios, parameters, 2)
    if not slices:
        market = PricedMarket(market.market, scenarios, None)
    assert digest_of(market.margins(odd), result) == result.digest
    rows = market.position_profits_usd(odd)
    again = attribute(rows, odd.quantity, confidence=0.995)
    whole = attribute_account(result, 0)
    assert np.array_equal(again.component_var, whole.component_var)


def test_what_cannot_be_priced_is_refused_by_name(snapshot, book):
    market = priced(snapshot, made_scenarios(100), model(), 1)
    with pytest.raises(InvalidPortfolio, match="is not in the snapshot's chain"):
        market.margins(with_bespoke(book, snapshot))


def test_unrounded_models_are_the_same_in_slices_too(snapshot, book):
    parameters = model(pnl_quantum_usd=None)
    scenarios = made_scenarios(200)
    result = calculate_margin(snapshot, scenarios, book, parameters)
    assert digest_of(priced(snapshot, scenarios, parameters, 1).margins(book), result) == (
        result.digest
    )
