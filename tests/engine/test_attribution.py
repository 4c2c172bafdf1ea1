"""Contributions of positions and weighted measures against their definitions, on small tables."""

import numpy as np
import pytest

from margin_actors.engine.measures import (
    attribute,
    es_standard_error_from_tail,
    expected_shortfall,
    tail_shares,
    value_at_risk,
)

RNG = np.random.default_rng(11)
PNL = RNG.standard_t(4, (5, 400)) * 1_000.0
QUANTITY = np.array([2.0, -3.0, 0.5, 0.0, 10.0])
WEIGHT = np.exp(-np.arange(400.0)[::-1] / 150.0)
WEIGHT /= WEIGHT.sum()


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["equal weights", "weighted"])
def test_every_contribution_is_what_its_name_says(weight: np.ndarray | None) -> None:
    rules = {"confidence": 0.98, "weight": weight}
    found = attribute(PNL, QUANTITY, **rules)
    total = PNL.sum(axis=0)
    for measure, component, marginal, incremental in (
        (value_at_risk, found.component_var, found.marginal_var, found.incremental_var),
        (expected_shortfall, found.component_es, found.marginal_es, found.incremental_es),
    ):
        whole = measure(total[None, :], **rules)[0]
        assert component.sum() == pytest.approx(whole, rel=1e-12)
        for i, quantity in enumerate(QUANTITY):
            expected = component[i] / quantity if quantity else 0.0
            assert marginal[i] == pytest.approx(expected, rel=1e-12)
            without = measure((total - PNL[i])[None, :], **rules)[0]
            assert incremental[i] == pytest.approx(whole - without, rel=1e-12)
    order, share = tail_shares(total, **rules)
    for i in range(5):
        assert found.component_es[i] == pytest.approx(-(PNL[i, order] * share).sum(), rel=1e-12)


def test_an_effect_of_the_weights_is_an_effect_on_every_contribution() -> None:
    equal, weighted = (attribute(PNL, QUANTITY, confidence=0.98, weight=w) for w in (None, WEIGHT))
    for name in ("component_var", "component_es", "incremental_var", "incremental_es"):
        assert np.all(getattr(equal, name) != getattr(weighted, name)), name


def test_among_equal_profits_the_earlier_scenario_comes_first() -> None:
    pnl = np.zeros(1_000)
    order, _ = tail_shares(pnl, confidence=0.97)
    np.testing.assert_array_equal(order, np.arange(31))
    order, _ = tail_shares(pnl, confidence=0.97, weight=np.full(1_000, 1e-3))
    np.testing.assert_array_equal(order, np.arange(31))


@pytest.mark.parametrize("last", [0.0, -5.0])
def test_a_weighted_tail_ends_at_the_cumulated_probability(last: float) -> None:
    """Weights 0.01, 0.02 and 0.97: the tail of 3 % is the first two rows exactly."""
    pnl, weight = np.array([[-30.0, -20.0, last]]), np.array([0.01, 0.02, 0.97])
    assert value_at_risk(pnl, confidence=0.97, weight=weight)[0] == -last
    expected = (0.01 * 30.0 + 0.02 * 20.0) / 0.03
    assert expected_shortfall(pnl, confidence=0.97, weight=weight)[0] == pytest.approx(expected)
    order, share = tail_shares(pnl[0], confidence=0.97, weight=weight)
    np.testing.assert_array_equal(order, [0, 1, 2])
    np.testing.assert_allclose(share, [1 / 3, 2 / 3, 0.0], atol=1e-12)


def test_a_tail_beyond_the_sum_of_the_weights_ends_at_the_last_row() -> None:
    """Rounding may leave the sum of the weights below the probability of the tail."""
    pnl, weight = np.array([[-2.0, 4.0]]), np.array([0.5, 0.5 - 4e-10])
    tail = 1.0 - 1e-10
    assert value_at_risk(pnl, confidence=1.0 - tail, weight=weight)[0] == -4.0
    order, share = tail_shares(pnl[0], confidence=1.0 - tail, weight=weight)
    np.testing.assert_array_equal(order, [0, 1])
    assert share.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("bad", [0.0, 1.0, 1.5, -0.1])
def test_a_weighted_measure_refuses_a_confidence_outside_zero_and_one(bad: float) -> None:
    with pytest.raises(ValueError, match="it must lie between 0 and 1"):
        value_at_risk(PNL, confidence=bad, weight=WEIGHT)


@pytest.mark.parametrize(
    "weight",
    [WEIGHT[:-1], np.append(-0.5, np.full(399, 1.5 / 399)), 1.01 * WEIGHT, 0.5 * WEIGHT],
    ids=["too few", "negative", "above 1", "below 1"],
)
def test_weights_that_are_not_probabilities_are_refused(weight: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"^weights must have one element per scenario"):
        expected_shortfall(PNL, confidence=0.98, weight=weight)


def test_a_weight_of_zero_is_permitted() -> None:
    weight = np.append(0.0, np.full(399, 1.0 / 399))
    alone = value_at_risk(PNL[:, 1:], confidence=0.98)
    np.testing.assert_array_equal(value_at_risk(PNL, confidence=0.98, weight=weight), alone)


def test_the_standard_error_of_an_account_does_not_depend_on_the_others() -> None:
    tail = np.sort(PNL, axis=1)[:, :40]
    rules = {"n_scenarios": 400, "confidence": 0.95, "effective_size": 200.0}
    together = es_standard_error_from_tail(tail, **rules)
    alone = [es_standard_error_from_tail(tail[a : a + 1], **rules)[0] for a in range(5)]
    np.testing.assert_array_equal(together, alone)
    assert np.unique(together).size == 5
