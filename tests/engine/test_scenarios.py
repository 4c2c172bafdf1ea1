"""Historical scenarios: windows, joint moves, proxies, provenance, and the set as a table."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import made_scenarios

from margin_actors.engine.parameters import ScenarioParameters
from margin_actors.engine.scenarios import (
    MONEYNESS,
    TENORS_DAYS,
    Provenance,
    SurfaceHistory,
    VolatilityIndex,
    build_historical,
    scenario_set_from_table,
    scenario_set_to_table,
)
from margin_actors.engine.scenarios.history.surface_history import nearest_rows, surface_moves
from margin_actors.engine.scenarios.surface_moves import design_matrix, fit_proxy
from margin_actors.errors import InvalidScenario, MissingMarketData
from margin_actors.market.chains import snapshot_from_chain, snapshot_times
from margin_actors.market.cleansing import PriceGrid
from margin_actors.market.surfaces import fit_surfaces
from margin_actors.market.synthetic import SyntheticMarket

HOUR = np.timedelta64(3_600_000, "ms")


def grid(underlying: str, price: np.ndarray, *, step_hours: int = 24, shift: int = 0) -> PriceGrid:
    time = np.datetime64("2020-01-01", "ms") + HOUR * step_hours * (np.arange(price.size) + shift)
    return PriceGrid(underlying, step_hours * 3600, time, price)


def walk(n: int, seed: int) -> np.ndarray:
    return 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.03, n)))


def params(**changes: object) -> ScenarioParameters:
    return ScenarioParameters.model_validate({"windows": 50, **changes})


FUTURE = np.datetime64("2030-01-01", "ms")


@given(n=st.integers(60, 120), windows=st.integers(2, 55), shift=st.integers(0, 4))
def test_a_row_moves_all_underlyings_over_the_same_window(n: int, windows: int, shift: int) -> None:
    a, b = walk(n, 1), walk(n, 2)
    made = build_historical(
        {"BTC": grid("BTC", a), "ETH": grid("ETH", b, shift=shift)},
        params(windows=windows),
        as_of=FUTURE,
    )
    assert len(made) == windows
    last = n - 1  # the last row of BTC, whose history ends first
    for row in range(windows):
        end = last - (windows - 1 - row)
        assert made.end_time[row] == np.datetime64("2020-01-01", "ms") + HOUR * 24 * end
        assert made.spot_return[row, 0] == pytest.approx(np.log(a[end] / a[end - 2]), rel=1e-12)
        other = end - shift
        assert made.spot_return[row, 1] == pytest.approx(np.log(b[other] / b[other - 2]), rel=1e-12)


def test_nothing_after_the_valuation_time_is_used() -> None:
    p = walk(100, 1)
    as_of = np.datetime64("2020-03-20T13:00", "ms")
    early = build_historical({"BTC": grid("BTC", p)}, params(underlyings=("BTC",)), as_of=as_of)
    changed = p.copy()
    changed[81:] *= 7
    late = build_historical(
        {"BTC": grid("BTC", changed)}, params(underlyings=("BTC",)), as_of=as_of
    )
    assert early.id == late.id
    assert early.end_time[-1] == np.datetime64("2020-03-20", "ms")


def test_windows_with_a_missing_end_are_left_out() -> None:
    p = walk(70, 1)
    p[40] = np.nan
    made = build_historical({"BTC": grid("BTC", p)}, params(underlyings=("BTC",)), as_of=FUTURE)
    hole = np.datetime64("2020-01-01", "ms") + HOUR * 24 * 40
    assert hole not in made.end_time
    assert hole + HOUR * 48 not in made.end_time
    assert hole + HOUR * 24 in made.end_time
    assert np.isfinite(made.path_return).all()


@pytest.mark.parametrize(
    ("changes", "step_hours", "count"),
    [
        ({"step_hours": 1.0, "windows": 400}, 1, 400),
        ({"sampling": "non_overlapping", "windows": 30}, 24, 30),
        ({"horizon_hours": 24.0, "extension_hours": 72.0}, 24, 50),
    ],
)
def test_steps_samplings_and_extensions(
    changes: dict[str, object], step_hours: int, count: int
) -> None:
    made = build_historical(
        {"BTC": grid("BTC", walk(500, 1), step_hours=step_hours)},
        params(underlyings=("BTC",), **changes),
        as_of=FUTURE,
    )
    assert len(made) == count
    length = (made.end_time - made.start_time) / HOUR
    assert set(length) == {made.horizon_hours}
    if changes.get("sampling") == "non_overlapping":
        assert np.all(made.start_time[1:] == made.end_time[:-1])
        assert made.effective_size == count
    if step_hours == 1:
        assert made.path_hours.size == 48
        np.testing.assert_array_equal(made.path_return[:, :, -1], made.spot_return)


def test_a_history_too_short_or_too_coarse_is_refused() -> None:
    prices = {"BTC": grid("BTC", walk(40, 1))}
    with pytest.raises(InvalidScenario, match="38 windows, the model requires 50"):
        build_historical(prices, params(underlyings=("BTC",)), as_of=FUTURE)
    with pytest.raises(InvalidScenario, match="not a whole number of grid intervals"):
        build_historical(prices, params(underlyings=("BTC",), step_hours=1.0), as_of=FUTURE)
    with pytest.raises(MissingMarketData, match="every underlying"):
        build_historical(prices, params(), as_of=FUTURE)


@pytest.mark.parametrize("bad", [{"horizon_hours": 0}, {"horizon_hours": -48}, {"windows": 1},
                                 {"horizon_hours": 36}])  # fmt: skip
def test_impossible_periods_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"greater than|whole number"):
        params(**bad)


def test_the_proxy_finds_the_coefficients_it_was_made_with() -> None:
    rng = np.random.default_rng(0)
    r = rng.normal(0, 0.05, 400)
    design = design_matrix(r)
    true = np.array([[0.01, 0.0], [-0.5, 0.3], [1.7, 0.7]])
    moves = design @ true + 0.01 * rng.normal(size=(400, 2))
    found = fit_proxy("BTC", design, moves, names=("1", "r", "max(-r, 0)"))
    np.testing.assert_allclose(
        found.coefficients, np.linalg.lstsq(design, moves, rcond=None)[0], rtol=1e-9
    )
    np.testing.assert_allclose(found.coefficients, true, atol=0.08)
    np.testing.assert_allclose(found.residuals.mean(axis=0), 0, atol=1e-12)
    assert found.residual_deviation == pytest.approx(np.full(2, 0.01), rel=0.1)


@pytest.fixture(scope="module")
def histories(market: SyntheticMarket) -> dict[str, SurfaceHistory]:
    out: dict[str, SurfaceHistory] = {}
    times = snapshot_times(market.chain)
    fits = []
    for stamp in times:
        now = stamp.astype("datetime64[us]").astype(datetime).replace(tzinfo=UTC)
        snapshot = snapshot_from_chain(market.chain, time=now, origin="chain")
        fits.append((snapshot, fit_surfaces(snapshot, target="marks")))
    for u in ("BTC", "ETH"):
        out[u] = SurfaceHistory(
            u, times, np.array([s.index_usd[u] for s, _ in fits]), tuple(f[u] for _, f in fits)
        )
    return out


def test_surface_moves_are_log_ratios_at_the_first_surface_s_moneyness(
    histories: dict[str, SurfaceHistory],
) -> None:
    history = histories["BTC"]
    basis, vol = surface_moves(history, np.array([3]), np.array([5]))
    first, second = history.surfaces[3], history.surfaces[5]
    T = 30 / 365
    at_money = first.volatility(np.zeros(1), T)[0]
    for z in (0, 3, 6):
        k = np.array([MONEYNESS[z] * at_money * np.sqrt(T)])
        expected = np.log(second.volatility(k, T) / first.volatility(k, T))[0]
        assert vol[0, TENORS_DAYS.index(30.0), z] == pytest.approx(expected, abs=1e-12)
    assert np.abs(basis).max() < 0.05


def test_rows_are_observed_where_the_chain_was_recorded_and_proxied_elsewhere(
    market: SyntheticMarket, histories: dict[str, SurfaceHistory]
) -> None:
    prices = {
        u: PriceGrid(u, 86400, market.path.time, market.path.price_usd[u]) for u in ("BTC", "ETH")
    }
    index = {
        u: VolatilityIndex(u, market.path.time[-500:], 100 * market.path.volatility[u][-500:])
        for u in ("BTC", "ETH")
    }
    wanted = params(windows=600, surface_moves="history")
    made = build_historical(prices, wanted, as_of=FUTURE, surfaces=histories, vol_index=index)
    flags = made.provenance[:, 0]
    assert (flags[-38:] == Provenance.OBSERVED).all()
    assert (flags[-498:-38] == Provenance.PROXIED_BY_VOL_INDEX).all()
    assert (flags[:-498] == Provenance.PROXIED_BY_SPOT).all()
    assert any("residual" in note for note in made.notes)
    again = build_historical(
        prices, wanted.model_copy(update={"windows": 300}), as_of=FUTURE, surfaces=histories,
        vol_index=index,
    )  # fmt: skip
    np.testing.assert_array_equal(again.vol_change, made.vol_change[-300:])
    calm = build_historical(
        prices, wanted.model_copy(update={"proxy_residuals": False}), as_of=FUTURE,
        surfaces=histories, vol_index=index,
    )  # fmt: skip
    assert calm.vol_change[:100].std() < made.vol_change[:100].std()
    other = build_historical(
        prices, wanted.model_copy(update={"seed": 1}), as_of=FUTURE, surfaces=histories,
        vol_index=index,
    )  # fmt: skip
    assert other.id != made.id
    np.testing.assert_array_equal(other.vol_change[-38:], made.vol_change[-38:])


def test_surface_moves_without_a_chain_are_refused() -> None:
    prices = {"BTC": grid("BTC", walk(80, 1))}
    wanted = params(underlyings=("BTC",), surface_moves="history")
    with pytest.raises(MissingMarketData, match="require a chain history"):
        build_historical(prices, wanted, as_of=FUTURE)


@given(
    st.lists(st.integers(0, 10_000), min_size=1, max_size=30, unique=True),
    st.integers(-500, 10_500),
)
def test_nearest_row_is_the_nearest_within_the_tolerance(times: list[int], wanted: int) -> None:
    stamps = np.array(sorted(times), dtype="datetime64[m]").astype("datetime64[ms]")
    target = np.array([wanted], dtype="datetime64[m]").astype("datetime64[ms]")
    row = int(nearest_rows(stamps, target, tolerance_hours=2.0)[0])
    distance = np.abs(np.array(sorted(times)) - wanted)
    if distance.min() <= 120:
        assert distance[row] == distance.min()
    else:
        assert row == -1


@pytest.mark.parametrize("surface", [True, False])
def test_a_set_is_the_same_after_being_a_table(surface: bool) -> None:
    made = made_scenarios(40, surface=surface)
    again = scenario_set_from_table(scenario_set_to_table(made), where="t")
    assert again.id == made.id
    np.testing.assert_array_equal(again.vol_change, made.vol_change)


def test_a_set_that_was_changed_is_refused() -> None:
    table = scenario_set_to_table(made_scenarios(40))
    changed = table.set_column(table.column_names.index("weight"), "weight", [np.full(40, 1 / 41)])
    with pytest.raises(InvalidScenario, match="does not match its id"):
        scenario_set_from_table(changed, where="t")
    place = table.column_names.index("BTC.provenance")
    unknown = table.set_column(place, "BTC.provenance", [["guessed"] * 40])
    with pytest.raises(InvalidScenario, match="unknown: guessed"):
        scenario_set_from_table(unknown, where="t")
    with pytest.raises(InvalidScenario, match="is not a scenario set"):
        scenario_set_from_table(table.replace_schema_metadata({}), where="t")


def test_the_id_depends_on_every_number_in_the_set() -> None:
    made = made_scenarios(10)
    ids = {made.id}
    for name in (
        "spot_return",
        "path_return",
        "basis_change",
        "vol_change",
        "weight",
        "provenance",
    ):
        changed = getattr(made, name).copy()
        changed.flat[3] += 1
        ids.add(replace(made, **{name: changed}).id)
    assert len(ids) == 7
