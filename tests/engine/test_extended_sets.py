"""Scenario sets with extended moves: how they are built, stored, and joined."""

from dataclasses import replace

import numpy as np
import pytest
from extended_models import model_with
from made import DAY, grids, indices, made_scenarios

from margin_actors.engine.margin import needs_of
from margin_actors.engine.margin.preparation import require_sections
from margin_actors.engine.parameters import ExtendedMoveParameters
from margin_actors.engine.scenarios import (
    CORE,
    EXTENDED,
    STRESS,
    ScenarioSet,
    build_scenarios,
    join_sections,
    scenario_set_from_table,
    scenario_set_to_table,
)
from margin_actors.engine.scenarios.prescribed import extended_moves, extended_rows
from margin_actors.errors import InvalidParameters, InvalidScenario


def test_the_section_is_built_stored_and_read_with_its_shares() -> None:
    model = model_with(scenarios={"surface_moves": "index", "windows": 500})
    prices = grids(700)
    built = build_scenarios(
        prices, model, as_of=prices["BTC"].time[-1] + DAY,
        sections=needs_of(model).sections, vol_index=indices(700),
    )  # fmt: skip
    assert built.section_names == (CORE, EXTENDED)
    section = built.section(EXTENDED)
    assert built.loss_share is not None
    assert np.all(built.loss_share[: section.first] == 1.0)
    assert np.all(built.loss_share[section.rows] == 0.5)
    again = scenario_set_from_table(scenario_set_to_table(built), where="test")
    assert again.id == built.id
    other = replace(built, loss_share=np.ones(len(built)))
    assert other.id != built.id
    core = build_scenarios(
        prices, model, as_of=prices["BTC"].time[-1] + DAY, vol_index=indices(700)
    )
    assert core.loss_share is None
    assert "loss_share" not in scenario_set_to_table(core).column_names


def test_past_days_are_extended_moves_with_their_share() -> None:
    """They move as in the stress section, which the set need not have."""
    prices = grids(700)
    events = [{"name": "a day", "day": str(prices["BTC"].time[-200].astype("datetime64[D]"))}]
    kept: list[ScenarioSet] = []
    for enabled in (True, False):
        scenarios = {
            "surface_moves": "index", "windows": 500,
            "stress": {"enabled": enabled, "events": events, "hypothetical": []},
        }  # fmt: skip
        model = model_with({"past_days_share": 0.4}, scenarios=scenarios)
        built = build_scenarios(
            prices, model, as_of=prices["BTC"].time[-1] + DAY,
            sections=needs_of(model).sections, vol_index=indices(700),
        )  # fmt: skip
        require_sections(built, model)
        with pytest.raises(InvalidScenario, match="other extended moves or shares"):
            require_sections(built, model_with({"past_days_share": 0.5}, scenarios=scenarios))
        assert (STRESS in built.section_names) is enabled
        section = built.section(EXTENDED)
        written = len(extended_moves(model.tails.extended_moves, built.underlyings))
        assert section.count == written + 2
        kept.append(built.select(section.rows).select(slice(written, None)))
        assert kept[-1].loss_share is not None
        assert kept[-1].loss_share.tolist() == [0.4, 0.4]
        assert all(name.startswith("a day (") for name in kept[-1].row_names)
        if enabled:
            stress = built.select(built.section(STRESS).rows)
            assert np.abs(stress.spot_return).min() > 0.0
            np.testing.assert_array_equal(kept[-1].spot_return, stress.spot_return)
            np.testing.assert_array_equal(kept[-1].vol_change, stress.vol_change)
            # An option that expires within the window settles after the whole move.
            assert np.ptp(stress.path_return[0, 0]) > 0.0
            assert np.ptp(kept[-1].path_return, axis=2).max() == 0.0
    np.testing.assert_array_equal(kept[0].spot_return, kept[1].spot_return)


def test_short_tenors_change_extended_moves_and_no_others() -> None:
    prices = grids(700)
    scenarios = {"surface_moves": "index", "windows": 500}
    kept: list[ScenarioSet] = []
    for days in ((), (1.0, 3.0)):
        model = model_with({"short_tenors_days": days}, scenarios=scenarios)
        kept.append(
            build_scenarios(
                prices, model, as_of=prices["BTC"].time[-1] + DAY,
                sections=needs_of(model).sections, vol_index=indices(700),
            )
        )  # fmt: skip
    plain, short = kept
    assert short.tenors_days.tolist() == [1.0, 3.0, *plain.tenors_days]
    assert short.tenors_days[short.month] == plain.tenors_days[plain.month] == 30.0
    np.testing.assert_array_equal(short.vol_change[:, :, 2:], plain.vol_change)
    core, extended = plain.section(CORE).rows, plain.section(EXTENDED).rows
    vol, basis = plain.vol_change[core, :, 0], plain.basis_change[:, :, 0]
    for added in (0, 1):
        np.testing.assert_array_equal(short.vol_change[core, :, added], vol)
        np.testing.assert_array_equal(short.basis_change[:, :, added], basis)
    # The term structure goes on towards the expiry: 1 + (m - 1) 30^0.3 at one day.
    row = short.row_names.index("all -30 %, volatility × 1.6")
    assert row in range(extended.start, extended.stop)
    assert np.exp(short.vol_change[row, 0, 0, 3]) == pytest.approx(1.0 + 0.6 * 30**0.3)
    for bad in ((3.0, 1.0), (0.0,), (7.0,)):
        with pytest.raises(InvalidParameters, match="must be ascending, above 0 and below 7"):
            model_with({"short_tenors_days": bad})


def test_extended_rows_need_a_core_with_the_same_tenors() -> None:
    other = extended_rows(
        ExtendedMoveParameters(enabled=True), ("BTC", "ETH"), tenors_days=np.array([30.0]),
        path_hours=np.array([24.0, 48.0]), horizon_hours=48.0,
    )  # fmt: skip
    with pytest.raises(AssertionError):
        join_sections([(CORE, made_scenarios(10)), (EXTENDED, other)])
