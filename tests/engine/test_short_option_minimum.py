"""The short option minimum: a value by hand, linear programming, laws."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import model_from, options_of
from scipy.optimize import linprog

from margin_actors.engine.margin import prepare_market
from margin_actors.engine.parameters import ShortOptionMinimumParameters
from margin_actors.engine.tails import minimum_fractions, short_minimum, short_rates
from margin_actors.market.snapshots import MarketSnapshot

RULES = ShortOptionMinimumParameters(enabled=True, at_money=0.04, half_distance=0.5, least=0.01)


def test_the_minimum_of_an_option_by_hand() -> None:
    """At the money 4 %, half of it at K = F e^0.5, the least far out; in the money as at it."""
    k = np.array([0.0, 0.5, 1.0, 3.0, -1.0])
    calls = minimum_fractions(k, np.ones(5, np.bool_), RULES)
    np.testing.assert_allclose(calls, [0.04, 0.02, 0.01, 0.01, 0.04], rtol=1e-14)
    np.testing.assert_array_equal(minimum_fractions(-k, np.zeros(5, np.bool_), RULES), calls)


@pytest.fixture(scope="module")
def listing(snapshot: MarketSnapshot):
    names = tuple(options_of(snapshot))
    market = prepare_market(snapshot, model_from("hs-surface"), names=names)
    return names, short_rates(market.contracts, snapshot.index_usd, RULES)


def least_cost(names, rates, quantity: np.ndarray) -> float:
    """Return the least minimum over all ways to cover short options, by linear programming."""
    total = 0.0
    sides: dict[tuple[int, int], float] = {}
    for series in sorted(set(rates.series.tolist())):
        held = np.flatnonzero((rates.series == series) & (quantity != 0.0))
        shorts = [i for i in held if quantity[i] < 0.0]
        longs = [i for i in held if quantity[i] > 0.0]
        pairs = [(s, g) for s in shorts for g in longs if rates.level[g] <= rates.level[s]]
        open_usd = sum(-quantity[s] * rates.rate_usd[s] for s in shorts)
        if pairs:
            limits = np.zeros((len(shorts) + len(longs), len(pairs)))
            for p, (s, g) in enumerate(pairs):
                limits[shorts.index(s), p] = limits[len(shorts) + longs.index(g), p] = 1.0
            bound = np.abs(
                np.array([*(quantity[s] for s in shorts), *(quantity[g] for g in longs)])
            )
            saved = linprog([-rates.rate_usd[s] for s, _ in pairs], A_ub=limits, b_ub=bound)
            open_usd += saved.fun
        for i in held[:1]:
            key = int(rates.underlying[i]), int(rates.side[i])
            sides[key] = sides.get(key, 0.0) + open_usd
    for u in range(len(rates.underlyings)):
        total += max(sides.get((u, 0), 0.0), sides.get((u, 1), 0.0))
    return total


def minimum_of(rates, quantity: np.ndarray, rules=RULES) -> float:
    held = np.flatnonzero(quantity).astype(np.int32)
    start = np.array([0, held.size])
    return float(short_minimum(start, held, quantity[held], rates, rules).total_usd[0])


@given(seed=st.integers(0, 100_000))
@settings(max_examples=40)
def test_greedy_cover_is_the_least_that_linear_programming_finds(listing, seed: int) -> None:
    names, rates = listing
    rng = np.random.default_rng(seed)
    quantity = np.zeros(len(names))
    chosen = rng.choice(len(names), 25, replace=False)
    quantity[chosen] = rng.integers(-20, 21, 25)
    assert minimum_of(rates, quantity) == pytest.approx(
        least_cost(names, rates, quantity), rel=1e-9, abs=1e-6
    )


@given(seed=st.integers(0, 100_000), k=st.integers(2, 50))
@settings(max_examples=40)
def test_laws_of_the_short_option_minimum(listing, seed: int, k: int) -> None:
    """Not negative, homogeneous, subadditive; a long option never raises it."""
    names, rates = listing
    rng = np.random.default_rng(seed)
    a, b = rng.integers(-9, 10, (2, len(names))).astype(float)
    first = minimum_of(rates, a)
    assert first >= 0.0
    assert minimum_of(rates, k * a) == pytest.approx(k * first, rel=1e-12)
    assert minimum_of(rates, a + b) <= (first + minimum_of(rates, b)) * (1 + 1e-12)
    more = a.copy()
    more[rng.integers(len(names))] += float(rng.integers(1, 20))
    assert minimum_of(rates, more) <= first * (1 + 1e-12)
    both = RULES.model_copy(update={"count": "sum"})
    assert minimum_of(rates, a, both) >= first


def test_only_a_strike_that_is_as_valuable_covers(listing) -> None:
    names, rates = listing
    for sign in ("C", "P"):
        series = sorted(
            (float(n.split("-")[2]), i)
            for i, n in enumerate(names) if n.startswith("BTC") and n.endswith(sign)
        )  # fmt: skip
        for (_, low), (_, high) in pairwise(series):
            spread = np.zeros(len(names))
            spread[low], spread[high] = 1.0, -1.0
            if sign == "P":
                spread = -spread
            assert minimum_of(rates, spread) == 0.0
            assert minimum_of(rates, -spread) > 0.0


def test_a_linear_option_covers_an_inverse_one(snapshot: MarketSnapshot) -> None:
    name = next(n for n in options_of(snapshot) if n.startswith("BTC") and n.endswith("-C"))
    linear = name.replace("BTC-", "BTC_USDC-")
    rules = model_from("hs-surface", revaluation={"unlisted_options": "surface"})
    market = prepare_market(snapshot, rules, names=(name, linear))
    rates = short_rates(market.contracts, snapshot.index_usd, RULES)
    assert rates.rate_usd[0] == rates.rate_usd[1]
    for quantity in ([1.0, -1.0], [-1.0, 1.0]):
        assert minimum_of(rates, np.array(quantity)) == 0.0
    assert minimum_of(rates, np.array([-1.0, -1.0])) == pytest.approx(2 * rates.rate_usd[0])
