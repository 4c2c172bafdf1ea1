"""Requirement components: the list, and components that a model names in addition."""

import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import gap_component
import numpy as np
import pytest
from made import EVERYTHING, made_scenarios, model_from, sections

from margin_actors.engine.addons import GroupKind
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
from margin_actors.engine.margin.requirement import has_floors, registry
from margin_actors.engine.margin.requirement.component import Component
from margin_actors.engine.margin.requirement.needs import needs_of
from margin_actors.engine.margin.requirement.registry import columns_of
from margin_actors.engine.parameters import (
    ModelParameters,
    RevaluationParameters,
    changes_between,
)
from margin_actors.engine.scenarios import EXTENDED, LONG, STRESS_PERIOD
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


TOOLS = {
    "buffer": {"buffer": {"enabled": True}},
    "stressed_weight": {"stressed_weight": {"enabled": True}},
    "long_floor": {"long_floor": {"enabled": True}},
    "stress_period": {"stress_period": {"floor": True}},
}


@pytest.mark.parametrize(
    ("changes", "names", "needed"),
    [
        ({"measure": {"core": "var"}}, (), ()),
        ({"measure": {"core": "span"}}, (), ()),
        ({"measure": {"core": "blend"}}, (), (STRESS_PERIOD,)),
        ({"procyclicality": TOOLS["buffer"]}, ("buffer",), ()),
        ({"procyclicality": TOOLS["stressed_weight"]}, ("stressed_weight",), (STRESS_PERIOD,)),
        ({"procyclicality": TOOLS["long_floor"]}, ("floor",), (LONG,)),
        ({"procyclicality": TOOLS["stress_period"]}, ("floor",), (STRESS_PERIOD,)),
        ({"tails": EVERYTHING["tails"]}, ("extended_moves", "short_option_minimum"), (EXTENDED,)),
    ],
)
def test_a_model_enables_components_and_needs_their_sections(
    changes: dict[str, object], names: tuple[str, ...], needed: tuple[str, ...]
) -> None:
    model = model_from("hs-surface", **changes)
    assert tuple(c.name for c in components_of(model)) == ("core", *names)
    later = {"extended_moves", "short_option_minimum"} - set(names)
    assert columns_of(model) == tuple(name for name in COMPONENT_NAMES if name not in later)
    assert has_floors(model) == any(name in FLOORS for name in names)
    found = needs_of(model)
    assert found.sections == set(needed)
    assert found.contract_risk == ("buffer" in names)
    assert (found.groups, found.alternatives, found.all_profits) == (frozenset(), {}, False)


def test_the_needs_of_add_ons() -> None:
    named = {name: needs_of(model_from("hs-surface", addons={name: {"enabled": True}}))
             for name in ADD_ONS}  # fmt: skip
    risk = {name: found.contract_risk for name, found in named.items()}
    assert risk == {**dict.fromkeys(ADD_ONS, True), "model_risk": False}
    assert named["concentration"].groups == {GroupKind.BUCKET, GroupKind.STRIKE}
    labels = {name: tuple(found.alternatives) for name, found in named.items()}
    assert labels["model_risk"] == (
        "svi sticky_strike", "svi sticky_delta", "sabr sticky_moneyness",
    )  # fmt: skip
    assert labels["expiry_risk"] == ("expiring options settled",)
    own = model_from("hs-surface").revaluation
    settled = named["expiry_risk"].alternatives["expiring options settled"]
    assert settled == own.model_copy(update={"time": "settle_expiring"})
    for label, rules in named["model_risk"].alternatives.items():
        smile, dynamics = label.split()
        assert rules == own.model_copy(update={"smile": smile, "dynamics": dynamics})
    timed = model_from(
        "hs-surface", revaluation={"time": "settle_expiring", "dynamics": "sticky_strike"},
        addons={"expiry_risk": {"enabled": True}, "model_risk": {"enabled": True}},
    )  # fmt: skip
    assert tuple(needs_of(timed).alternatives) == labels["model_risk"][1:]
    form = {"stressed_weight": {"enabled": True, "form": "observations"}}
    assert needs_of(model_from("hs-surface", procyclicality=form)).all_profits
    groups = needs_of(model_from("hs-surface", diversification={"enabled": True})).groups
    assert groups == {GroupKind.UNDERLYING}


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


REMEDY = "install its package or list its module in MARGIN_COMPONENTS; available: gap_risk"


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"name": "moon_risk"}, f"moon_risk: the component is not installed ({REMEDY})"),
        ({"name": "gap_risk"}, "gap_risk: parameters are none (give: usd_per_coin)"),
        ({"name": "liquidity"}, "liquidity: the name is reserved (choose another name)"),
        ({"name": "var"}, "var: the name is reserved (choose another name)"),
        (
            {"name": "gap_risk", "parameters": {"x": 2.0, "usd_per_coin": 1.0}},
            "gap_risk: parameters are usd_per_coin, x (give: usd_per_coin)",
        ),
    ],
)
def test_a_component_that_cannot_be_used_is_named(item: dict[str, object], message: str) -> None:
    model = model_from("hs-surface", components=[item])
    with pytest.raises(InvalidParameters) as raised:
        components_of(model)
    assert raised.value.summary == f"the model {model.name} cannot be used (1 problem)"
    assert [str(problem) for problem in raised.value.problems] == [f"components, {message}"]


def test_all_components_that_cannot_be_used_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARGIN_COMPONENTS", "no_parameters")
    monkeypatch.setitem(sys.modules, "no_parameters", modules_of("no_parameters", "b", "a"))
    extra = {"name": "a", "parameters": {"x": 1.0, "y": 2.0}}
    model = model_from("hs-surface", components=[{"name": "span"}, {"name": "moon"}, extra])
    with pytest.raises(InvalidParameters) as raised:
        components_of(model)
    reserved, missing, given = (str(problem) for problem in raised.value.problems)
    assert reserved == "components, span: the name is reserved (choose another name)"
    assert missing.endswith("MARGIN_COMPONENTS; available: a, b)")
    assert given == "components, a: parameters are x, y (give: none)"
    monkeypatch.delenv("MARGIN_COMPONENTS")
    with pytest.raises(InvalidParameters, match=r"moon: .*; available: there is none\)"):
        components_of(model_from("hs-surface", components=[{"name": "moon"}]))


@pytest.mark.parametrize("items", [[GAP, GAP], [{"name": "Gap risk"}], [{"parameters": {}}]])
def test_a_list_of_components_that_is_not_valid_is_refused(items: list[object]) -> None:
    with pytest.raises(InvalidParameters, match="components"):
        model_from("hs-surface", components=items)


def modules_of(name: str, *components: object) -> ModuleType:
    """Return a module of components without parameters; other objects are listed as they are."""
    module = ModuleType(name)
    module.COMPONENTS = [  # type: ignore[attr-defined]
        Component(name=item, amount=lambda context: np.zeros(context.n_accounts))
        if isinstance(item, str)
        else item
        for item in components
    ]
    return module


def test_modules_and_packages_that_cannot_be_loaded_are_all_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    groups: list[str] = []

    def points(*, group: str) -> list[EntryPoint]:
        groups.append(group)
        return [
            EntryPoint("moon", "no_such_package:MOON", group),
            EntryPoint("gap", "gap_component:COMPONENTS", group),
        ]

    monkeypatch.setattr(registry, "entry_points", points)
    monkeypatch.setitem(sys.modules, "odd", modules_of("odd", 5))
    monkeypatch.setenv("MARGIN_COMPONENTS", "no_such_module, , odd ,gap_component")
    with pytest.raises(InvalidParameters) as raised:
        components_of(with_gap())
    assert raised.value.summary == "requirement components cannot be loaded (4 problems)"
    found = [(p.where, p.what, p.remedy) for p in raised.value.problems]
    missing = "ModuleNotFoundError: No module named"
    remedy = "correct or remove it"
    listed = repr(gap_component.COMPONENTS)
    assert found == [
        ("entry point moon (no_such_package:MOON)", f"{missing} 'no_such_package'", remedy),
        (
            "entry point gap (gap_component:COMPONENTS)",
            f"TypeError: {listed} is not a Component",
            remedy,
        ),
        ("MARGIN_COMPONENTS, module no_such_module", f"{missing} 'no_such_module'", remedy),
        ("MARGIN_COMPONENTS, module odd", "TypeError: 5 is not a Component", remedy),
    ]
    assert groups == ["margin_cluster.components"]
    assert components_of(model_from("hs-surface")) == COMPONENTS[:1]


def test_components_come_from_packages_and_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    moon = modules_of("moon", "moon_risk").COMPONENTS[0]
    monkeypatch.setitem(sys.modules, "one", modules_of("one", "sun_risk", "star_risk"))
    monkeypatch.setattr(gap_component, "MOON", moon, raising=False)

    def points(*, group: str) -> list[EntryPoint]:
        return [EntryPoint("moon", "gap_component:MOON", group)]

    monkeypatch.setattr(registry, "entry_points", points)
    monkeypatch.setenv("MARGIN_COMPONENTS", "one,gap_component,")
    names = ("star_risk", "gap_risk", "moon_risk", "sun_risk")
    items = [GAP if name == "gap_risk" else {"name": name} for name in names]
    found = components_of(model_from("hs-surface", components=items))
    assert tuple(component.name for component in found) == ("core", *names)
    assert found[3] is moon


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
        ({"smile": "mark"}, "marks are not an alternative to a fitted smile"),
        (
            {"anchor_to_marks": False},
            "only the smile, its dynamics and the time may differ from the model's own rules",
        ),
    ],
)
def test_an_alternative_that_cannot_be_priced_is_refused(
    changes: dict[str, object], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gap_component, "COMPONENTS", [_component("other", "x", **changes)])
    # Loaded modules are cached by this text, which differs in every test.
    monkeypatch.setenv("MARGIN_COMPONENTS", "gap_component" + " " * len(fault))
    model = model_from("hs-surface", components=[{"name": "other"}])
    with pytest.raises(InvalidParameters) as raised:
        needs_of(model)
    assert raised.value.summary == f"the model {model.name} cannot be used (1 problem)"
    (problem,) = raised.value.problems
    assert str(problem) == f"component other, alternatives: {fault}"


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
