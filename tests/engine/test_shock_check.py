from dataclasses import replace

import numpy as np
from made import made_scenarios, model

from margin_actors.engine.margin import calculate_margin
from margin_actors.engine.revaluation import repair_shocked_surfaces
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.books import Book
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.surfaces import fit_surfaces


def broken_set() -> ScenarioSet:
    """Return forty mild scenarios, of which two break arbitrage conditions of BTC.

    Row 7 makes the smile non-convex, and row 9 inverts the term structure.
    """
    made = made_scenarios(40, scale=0.2)
    vol = made.vol_change.copy()
    vol[7, 0, :, 4] -= 0.6
    vol[9, 0, :4] += 1.2
    vol[9, 0, 4:] -= 1.0
    return replace(made, vol_change=vol)


def test_broken_surfaces_are_found_mended_and_counted(snapshot: MarketSnapshot) -> None:
    broken = broken_set()
    mended, checks = repair_shocked_surfaces(broken, fit_surfaces(snapshot))
    btc, eth = checks
    assert (btc.butterfly >= 1, btc.calendar >= 1) == (True, True)
    assert btc.repaired >= 1
    assert eth.repaired == eth.left == 0
    row = mended.vol_change[7, 0]
    assert not np.array_equal(row, broken.vol_change[7, 0])
    np.testing.assert_array_equal(row[:, 3], broken.vol_change[7, 0][:, 3])  # the level is kept
    np.testing.assert_array_equal(mended.vol_change[9], broken.vol_change[9])  # cannot be repaired
    assert btc.left >= 1
    untouched = np.delete(np.arange(40), [7, 9])
    np.testing.assert_array_equal(mended.vol_change[untouched], broken.vol_change[untouched])


def test_what_is_repaired_passes_the_check(snapshot: MarketSnapshot) -> None:
    surfaces = fit_surfaces(snapshot)
    mended, first = repair_shocked_surfaces(broken_set(), surfaces)
    _, second = repair_shocked_surfaces(mended, surfaces)
    assert second[0].butterfly + second[0].calendar <= 2 * first[0].left
    assert second[0].repaired == 0


def test_the_result_reports_the_repaired_share_and_keeps_the_id_of_the_set(
    snapshot: MarketSnapshot, book: Book
) -> None:
    scenarios = broken_set()
    result = calculate_margin(snapshot, scenarios, book, model())
    assert result.scenarios_id == scenarios.id
    assert "repaired" in result.shock_checks[0].sentence()
    kept = calculate_margin(snapshot, scenarios, book, model(shocked_surfaces="keep"))
    assert kept.shock_checks == ()
    assert kept.digest != result.digest


def test_a_set_without_surface_moves_is_left_alone(snapshot: MarketSnapshot) -> None:
    made = made_scenarios(20, surface=False)
    same, checks = repair_shocked_surfaces(made, fit_surfaces(snapshot))
    assert same is made
    assert checks == ()
