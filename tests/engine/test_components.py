"""Requirement components: the list, and components that a model names in addition."""

import gap_component
import numpy as np
import pytest
from made import EVERYTHING, made_scenarios, model_from, sections

from margin_actors.engine.explain import State, changes_of_margin
from margin_actors.engine.margin import (
    ADD_ONS,
    COMPONENT_NAMES,
    COMPONENTS,
    FLOORS,
    PricedMarket,
    calculate_margin,
    components_of,
    concatenate_margins,
    prepare_market,
    price_slice,
    result_digest,
    select_margins,
)
from margin_actors.engine.margin.requirement.component import Component
from margin_actors.engine.margin.requirement.needs import needs_of
from margin_actors.engine.margin.requirement.registry import columns_of
from margin_actors.engine.parameters import (
    ModelParameters,
    RevaluationParameters,
    changes_between,
)
from margin_actors.errors import InvalidParameters
from margin_actors.market.books import Book, select_account
from margin_actors.market.snapshots import MarketSnapshot

GAP = {"name": "gap_risk", "parameters": {"usd_per_coin": 250.0}}


def with_gap(usd_per_coin: float = 250.0, **sections: object) -> ModelParameters:
    item = {"name": "gap_risk", "parameters": {"usd_per_coin": usd_per_coin}}
    return model_from("hs-surface", components=[item], **sections)


def test_the_list_is_in_summation_order_with_the_core_first() -> None:
    assert COMPONENT_NAMES == (
        "core", "diversification_cap", "correlation_stress", "buffer", "stressed_weight", "floor",
        "extended_moves", "short_option_minimum", "concentration", "liquidity", "model_risk",
        "expiry_risk",
    )  # fmt: skip
    assert FLOORS == ("floor", "extended_moves", "short_option_minimum")
    assert ADD_ONS == ("concentration", "liquidity", "model_risk", "expiry_risk")
    assert components_of(model_from("hs-surface")) == COMPONENTS[:1]
    assert components_of(model_from("hs-surface", **EVERYTHING)) == COMPONENTS


@pytest.mark.parametrize("others", [{}, EVERYTHING], ids=["core", "everything"])
def test_a_further_component_is_added_and_changes_no_other(
    snapshot: MarketSnapshot, book: Book, others: dict[str, object]
) -> None:
    scenarios = sections() if others else made_scenarios(200)
    plain = calculate_margin(snapshot, scenarios, book, model_from("hs-surface", **others)).margins
    result = calculate_margin(snapshot, scenarios, book, with_gap(**others))
    found = result.margins
    assert found.components == (*columns_of(model_from("hs-surface", **others)), "gap_risk")
    np.testing.assert_array_equal(found.components_usd[:, :-1], plain.components_usd)
    risk, index = result.risk_inputs.risk, book.instrument_index
    assert risk is not None
    account = np.repeat(np.arange(len(book.accounts)), np.diff(book.start))
    gross = np.bincount(account, weights=np.abs(book.quantity * risk.delta[index]))
    np.testing.assert_allclose(found.component_usd("gap_risk"), 250.0 * gross, rtol=1e-12)
    np.testing.assert_array_equal(
        found.initial_margin_usd, plain.initial_margin_usd + found.component_usd("gap_risk")
    )
    rows = [row for row in found.inputs.of(3).rows() if row[1] == "gap_risk"]
    assert rows == [(0, "gap_risk", "", "gross_delta_coins", pytest.approx(gross[3]))]


def test_a_further_component_has_the_same_bits_in_slices_and_batches(
    snapshot: MarketSnapshot, book: Book
) -> None:
    scenarios, model = made_scenarios(200), with_gap()
    result = calculate_margin(snapshot, scenarios, book, model)
    market = prepare_market(snapshot, model)
    slices = tuple(price_slice(market, scenarios.rows(b, b + 128), b) for b in (0, 128))
    margins = PricedMarket(market, scenarios, slices).margins(book)
    accounts = np.arange(len(book.accounts))
    halves = [select_margins(margins, chosen) for chosen in np.array_split(accounts, 2)]
    for found in (margins, concatenate_margins(halves)):
        assert list(found.inputs.rows()) == list(result.margins.inputs.rows())
        digest = result_digest(
            found,
            snapshot_id=result.snapshot_id,
            scenarios_id=result.scenarios_id,
            model_id=result.model_id,
            book_id=book.id,
        )
        assert digest == result.digest


def test_models_without_further_components_keep_their_ids() -> None:
    plain = model_from("hs-surface")
    assert "components" not in plain.model_dump(mode="json")
    assert with_gap().id not in (plain.id, with_gap(251.0).id)
    assert ModelParameters.model_validate(with_gap().model_dump(mode="json")) == with_gap()
    changed = [change.field for change in changes_between(plain, with_gap())]
    assert changed == ["components"]
    assert with_gap().core_only().components == ()


def test_a_change_of_the_model_shows_the_components_of_both(
    snapshot: MarketSnapshot, book: Book
) -> None:
    own, scenarios = select_account(book, 2), made_scenarios(200)
    before = State(snapshot, scenarios, own, model_from("hs-surface"))
    after = State(snapshot, scenarios, own, with_gap())
    found = changes_of_margin(before, after, own.accounts[0])
    assert found.components == (*COMPONENT_NAMES, "gap_risk")
    assert found.components_usd[0, -1] == 0.0
    assert found.components_usd[-1, -1] == pytest.approx(found.change_usd.sum(), rel=1e-9) != 0.0


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"name": "moon_risk"}, "components, moon_risk: the component is not installed"),
        ({"name": "gap_risk"}, "components, gap_risk: parameters are none"),
        ({"name": "liquidity"}, "components, liquidity: the name is reserved"),
        ({"name": "var"}, "components, var: the name is reserved"),
        ({"name": "gap_risk", "parameters": {"usd_per_coin": 1.0, "x": 2.0}}, "usd_per_coin, x"),
    ],
)
def test_a_component_that_cannot_be_used_is_named(
    snapshot: MarketSnapshot, book: Book, item: dict[str, object], message: str
) -> None:
    model = model_from("hs-surface", components=[item])
    with pytest.raises(InvalidParameters) as raised:
        calculate_margin(snapshot, made_scenarios(64), book, model)
    assert message in str(raised.value)


@pytest.mark.parametrize("items", [[GAP, GAP], [{"name": "Gap risk"}], [{"parameters": {}}]])
def test_a_list_of_components_that_is_not_valid_is_refused(items: list[object]) -> None:
    with pytest.raises(InvalidParameters, match="components"):
        model_from("hs-surface", components=items)


def test_a_module_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARGIN_COMPONENTS", "gap_component, no_such_module")
    with pytest.raises(InvalidParameters, match=r"module no_such_module.*ModuleNotFoundError"):
        components_of(with_gap())
    assert components_of(model_from("hs-surface")) == COMPONENTS[:1]


def _component(name: str, label: str, **changes: object) -> Component:
    """Return a component that charges nothing and needs profits under other rules."""

    def alternatives(model: ModelParameters) -> dict[str, RevaluationParameters]:
        return {label: model.revaluation.model_copy(update=changes)}

    return Component(
        name=name, amount=lambda context: np.zeros(context.n_accounts), alternatives=alternatives
    )


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"smile": "mark"}, "marks are not an alternative"),
        ({"anchor_to_marks": False}, "only the smile, its dynamics and the time may differ"),
    ],
)
def test_an_alternative_that_cannot_be_priced_is_refused(
    changes: dict[str, object], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gap_component, "COMPONENTS", [_component("other", "x", **changes)])
    # Loaded modules are cached by this text, which differs in every test.
    monkeypatch.setenv("MARGIN_COMPONENTS", "gap_component" + " " * len(fault))
    with pytest.raises(InvalidParameters, match=fault):
        needs_of(model_from("hs-surface", components=[{"name": "other"}]))


def test_one_label_has_one_set_of_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the profits of one component would be those of the other's rules."""
    two = [
        _component("one", "x", dynamics="sticky_strike"),
        _component("two", "x", dynamics="sticky_delta"),
    ]
    monkeypatch.setattr(gap_component, "COMPONENTS", two)
    monkeypatch.setenv("MARGIN_COMPONENTS", "gap_component ")
    with pytest.raises(InvalidParameters, match="'x' already has other rules"):
        needs_of(model_from("hs-surface", components=[{"name": "one"}, {"name": "two"}]))
