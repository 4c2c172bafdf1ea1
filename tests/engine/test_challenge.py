"""Challenges of models on small boards, some of which have a known worst portfolio."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import EVERYTHING, extended_of, made_scenarios, model_from, sections
from small_chain import small_snapshot

from margin_actors.engine.challenge import (
    Board,
    ChallengeResult,
    ExplainedPortfolio,
    MoveSettings,
    PlausibleMoves,
    PortfolioLimits,
    SearchSettings,
    challenge,
    evaluate,
    plausible_moves,
    prepare_board,
)
from margin_actors.engine.challenge.cuts import EXTENDED, lower_model
from margin_actors.engine.challenge.families import family_portfolios
from margin_actors.engine.challenge.ladders import ladders_of
from margin_actors.engine.challenge.portfolios import portfolio_of
from margin_actors.engine.challenge.structures import random_structures
from margin_actors.engine.margin import calculate_margin
from margin_actors.engine.measures import expected_shortfall
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import CORE, ScenarioSet, join_sections
from margin_actors.errors import InvalidParameters
from margin_actors.market.books import account_book

MOVES = MoveSettings(spot=(-0.3, -0.1, 0.0, 0.1, 0.3), volatility=(0.7, 1.0, 1.6))
QUICK = SearchSettings(
    seed=7, program_rounds=2, refined_moves=3, refined_rounds=6, guided_rounds=1, structures=300,
    improved=2, improvement_rounds=4, reported=4,
)  # fmt: skip
SMALL_LOSS = PortfolioLimits(loss_min_usd=20_000.0)


def moves_of(scenarios: ScenarioSet, settings: MoveSettings = MOVES) -> PlausibleMoves:
    basis = {"BTC": (-0.03, 0.04), "ETH": (-0.02, 0.05)}
    return plausible_moves(small_snapshot(), scenarios, settings, perpetual_basis=basis)


def board_of(
    scenarios: ScenarioSet, model: ModelParameters, limits: PortfolioLimits = SMALL_LOSS
) -> Board:
    return prepare_board(small_snapshot(), scenarios, model, moves_of(scenarios), limits)


@cache
def plain_board() -> Board:
    return board_of(made_scenarios(200), model_from("hs-surface"))


@cache
def full_result() -> ChallengeResult:
    """A challenge of a model with every component."""
    model = model_from("hs-surface", **EVERYTHING)
    scenarios = sections()
    moves = plausible_moves(small_snapshot(), scenarios, MOVES)
    return challenge(small_snapshot(), scenarios, model, moves, limits=SMALL_LOSS, settings=QUICK)


def explained(found: ChallengeResult) -> Iterator[ExplainedPortfolio]:
    yield from found.worst
    yield from (f.worst for f in found.families if f.worst is not None)


def test_a_contract_that_the_model_misses_is_found() -> None:
    whole = made_scenarios(200)
    still = replace(
        whole,
        spot_return=whole.spot_return * [1.0, 0.0],
        path_return=whole.path_return * np.array([1.0, 0.0])[None, :, None],
        basis_change=whole.basis_change * np.array([1.0, 0.0])[None, :, None],
        vol_change=whole.vol_change * np.array([1.0, 0.0])[None, :, None, None],
    )
    model = model_from("hs-surface")
    moves = plausible_moves(small_snapshot(), still, MOVES)
    found = challenge(small_snapshot(), still, model, moves, limits=SMALL_LOSS, settings=QUICK)
    assert found.ratio == 0.0
    assert found.best_of_method["program"] == 0.0
    assert found.ratio_bound == 0.0
    worst = found.worst[0]
    assert any(name.startswith("ETH") for name in worst.quantities)
    assert worst.loss_usd >= SMALL_LOSS.loss_min_usd
    assert "No component charges this portfolio." in worst.missed
    assert found.verdict == "The smallest requirement found is 0 of the plausible loss."


def grid_model(**grid: object) -> ModelParameters:
    base = {"power_short": 0.0, "power_long": 0.0, "vol_up": 0.6, "vol_down": -0.3, "only_up": []}
    return model_from("venue-grid", venue_grid=base | grid)


def test_a_grid_of_all_plausible_moves_requires_at_least_every_plausible_loss() -> None:
    spot = (-0.3, -0.1, 0.1, 0.3)
    scenarios = replace(made_scenarios(50), basis_change=np.zeros((50, 2, 7)))
    settings = MoveSettings(spot=spot, volatility=(0.7, 1.6), term_power=0.0)
    moves = plausible_moves(small_snapshot(), scenarios, settings)
    found = challenge(
        small_snapshot(), scenarios, grid_model(spot=list(spot)), moves, limits=SMALL_LOSS,
        settings=QUICK,
    )  # fmt: skip
    assert sum(found.evaluated.values()) > 300
    assert found.ratio_of_move.min() >= 1.0 - 1e-6
    assert found.ratio == pytest.approx(1.0, abs=1e-6)
    assert found.ratio_bound is None


def test_a_move_that_counts_in_part_is_required_in_that_part_and_not_in_full() -> None:
    scenarios = replace(made_scenarios(50), basis_change=np.zeros((50, 2, 7)))
    settings = MoveSettings(spot=(0.5,), volatility=(1.6,), term_power=0.0)
    moves = plausible_moves(small_snapshot(), scenarios, settings)
    model = grid_model(extremes=[{"spot": 0.5, "share": 0.4}])
    found = challenge(small_snapshot(), scenarios, model, moves, limits=SMALL_LOSS, settings=QUICK)
    assert found.ratio >= 0.4 - 1e-6
    assert found.ratio == pytest.approx(0.4, abs=1e-3)


def test_equal_seeds_give_equal_results_and_other_seeds_other_structures() -> None:
    board = plain_board()
    ladders = ladders_of(board)
    drawn = [random_structures(board, ladders, seed=s, n=100) for s in (1, 1, 2)]
    keys = [[p.key for p in portfolios] for portfolios in drawn]
    assert keys[0] == keys[1] != keys[2]
    # A structure is a function of the seed and its number.
    assert keys[0][:5] == [p.key for p in random_structures(board, ladders, seed=1, n=60)][:5]
    first = full_result()
    again = challenge(
        small_snapshot(), sections(), first.model, first.moves, limits=SMALL_LOSS, settings=QUICK
    )
    assert again.id == first.id
    assert [e.portfolio.key for e in again.worst] == [e.portfolio.key for e in first.worst]
    assert [e.requirement_usd for e in again.worst] == [e.requirement_usd for e in first.worst]
    np.testing.assert_array_equal(again.ratio_of_move, first.ratio_of_move)


def test_the_id_depends_on_every_input() -> None:
    nothing = replace(QUICK, structures=0, program_rounds=1, refined_moves=0, improved=0)
    rise, fall = (
        plausible_moves(small_snapshot(), sections(), MoveSettings(spot=(s,), volatility=(1.0,)))
        for s in (0.3, -0.3)
    )
    few = replace(SMALL_LOSS, legs_max=3)
    ids = {
        challenge(small_snapshot(), made_scenarios(n), model_from("hs-surface", measure=measure),
                  moves, limits=limits, settings=settings).id
        for n, measure, moves, limits, settings in [
            (60, {}, rise, SMALL_LOSS, nothing),
            (61, {}, rise, SMALL_LOSS, nothing),
            (60, {"confidence": 0.99}, rise, SMALL_LOSS, nothing),
            (60, {}, fall, SMALL_LOSS, nothing),
            (60, {}, rise, few, nothing),
            (60, {}, rise, SMALL_LOSS, replace(nothing, seed=8)),
        ]
    }  # fmt: skip
    assert len(ids) == 6


def test_every_reported_figure_is_that_of_the_engine() -> None:
    found = full_result()
    flat = model_from("hs-surface")
    for item in explained(found):
        book = account_book("A", "M", item.quantities)
        margins = calculate_margin(small_snapshot(), sections(), book, found.model).margins
        assert margins.initial_margin_usd[0] == item.requirement_usd
        assert margins.amounts_of(0) == item.components_usd
        assert item.ratio == item.requirement_usd / item.loss_usd
        assert item.loss_usd == max(item.losses_usd.values())
        assert item.loss_usd >= SMALL_LOSS.loss_min_usd
        part, row = next(
            (part, row)
            for part in found.moves.sets
            for row in range(len(part))
            if part.row_name(row) == item.move
        )
        # Only past windows are repaired if they would admit arbitrage.
        shocked = "keep" if np.isnat(part.start_time).all() else "repair"
        rules = flat.revaluation.model_copy(update={"shocked_surfaces": shocked})
        alike = flat.model_copy(update={"revaluation": rules})
        one = calculate_margin(small_snapshot(), part, book, alike, keep_pnl=True)
        assert one.pnl_usd is not None
        assert -one.pnl_usd[0, row] == pytest.approx(item.loss_usd, abs=1.0)


def test_a_perpetual_loses_its_own_move_and_spot_does_not() -> None:
    board = plain_board()
    names, at = board.moves.names, board.names.index
    row = names.index("BTC perpetual 3.0 % below the index")
    index = small_snapshot().index_usd["BTC"]
    fall = 1.0 - np.exp(-0.03)
    assert board.loss_usd[row, at("BTC-PERPETUAL")] == pytest.approx(10.0 * fall)
    assert board.loss_usd[row, at("BTC_USDC-PERPETUAL")] == pytest.approx(0.01 * index * fall)
    others = [
        c for c, n in enumerate(board.names) if n not in ("BTC-PERPETUAL", "BTC_USDC-PERPETUAL")
    ]
    assert not board.loss_usd[row, others].any()
    down = names.index("spot -30 %, volatility x 1")
    assert board.loss_usd[down, at("BTC_USDC")] == pytest.approx(0.01 * index * 0.3)


@pytest.mark.parametrize(
    "limits",
    [
        PortfolioLimits(loss_min_usd=5_000.0, legs_max=2),
        PortfolioLimits(loss_min_usd=5_000.0, gross_usd=400_000.0),
        PortfolioLimits(loss_min_usd=5_000.0, open_interest_share=0.02),
    ],
)
def test_limits_hold_for_every_portfolio(limits: PortfolioLimits) -> None:
    scenarios = made_scenarios(100)
    found = challenge(
        small_snapshot(), scenarios, model_from("hs-surface"), moves_of(scenarios), limits=limits,
        settings=replace(QUICK, program_rounds=1, refined_moves=1),
    )  # fmt: skip
    assert found.worst
    quotes = small_snapshot().options
    interest = dict(zip(quotes.names, quotes.open_interest.tolist(), strict=True))
    for item in explained(found):
        assert limits.legs_max is None or len(item.quantities) <= limits.legs_max
        assert limits.gross_usd is None or item.gross_usd <= limits.gross_usd * (1 + 1e-9)
        for name, quantity in item.quantities.items():
            if name in interest:
                allowed = limits.open_interest_share * interest[name]
                assert abs(quantity) <= allowed * (1 + 1e-9)


@given(st.integers(0, 2**31), st.sampled_from([None, 1, 5]), st.sampled_from([None, 1e5, 1e7]))
def test_positions_are_whole_lots_within_the_limits(
    seed: int, legs: int | None, gross: float | None
) -> None:
    limits = PortfolioLimits(legs_max=legs, gross_usd=gross)
    board = replace(plain_board(), limits=limits)
    lots = np.random.default_rng(seed).normal(scale=1e4, size=len(board))
    found = portfolio_of(board, "random", "", lots)
    if found is None:
        assert gross is not None
        return
    np.testing.assert_array_equal(found.lots, np.round(found.lots))
    assert np.all(np.abs(found.lots) <= board.lots_max[found.contract])
    assert np.all(found.lots != 0.0)
    assert legs is None or found.lots.size <= legs
    held = np.abs(found.lots) @ board.notional_usd[found.contract]
    assert gross is None or held <= gross * (1 + 1e-9)


@given(st.integers(0, 2**31))
def test_a_cut_is_exact_at_its_portfolio_and_below_expected_shortfall_elsewhere(seed: int) -> None:
    board = plain_board()
    lower = lower_model(board)
    rng = np.random.default_rng(seed)
    one, other = np.round(rng.normal(scale=50.0, size=(2, len(board))))

    def shortfall(lots: np.ndarray) -> float:
        profit = board.profits_usd(lots)[None, :]
        return float(expected_shortfall(profit, confidence=0.995)[0])

    (cut,) = lower.cuts(one, -np.inf)
    assert cut @ one == pytest.approx(shortfall(one), rel=1e-9)
    assert cut @ other <= shortfall(other) + 1e-6 * abs(shortfall(other))


def test_no_ratio_is_below_the_bound_of_the_linear_programs() -> None:
    found = full_result()
    assert found.ratio_bound is not None
    assert 0.0 <= found.ratio_bound <= found.ratio
    assert found.ratio == min(found.best_of_method.values())
    assert found.ratio == found.ratio_of_move.min()


def test_programs_are_better_than_random_structures_if_their_bound_is_the_whole_requirement() -> (
    None
):
    scenarios, model = made_scenarios(200), model_from("hs-surface")
    moves = plausible_moves(small_snapshot(), scenarios, MOVES)
    settings = replace(QUICK, improved=0)
    found = challenge(
        small_snapshot(), scenarios, model, moves, limits=SMALL_LOSS, settings=settings
    )
    assert found.best_of_method["program"] < found.best_of_method["random"]


def test_the_worst_portfolios_are_in_ascending_order_one_per_move() -> None:
    found = full_result()
    ratios = [item.ratio for item in found.worst]
    assert ratios == sorted(ratios)
    assert len({item.move for item in found.worst}) == len(found.worst) == QUICK.reported
    for item in found.worst:
        number = found.moves.names.index(item.move)
        assert found.ratio_of_move[number] <= item.ratio


def test_extended_rows_are_part_of_the_lower_model_with_their_shares() -> None:
    rises = {0.1: 1.0, 0.2: 0.5, 0.3: 0.25, 0.4: 0.1, 0.05: 0.02}
    rows = [{"name": f"{r}", "spot": {"*": r}, "share": s} for r, s in rises.items()]
    grids: dict[str, object] = {"jointly": [], "alone": [], "opposite": []}
    moves = {"enabled": True, "rows": rows, **grids}
    model = model_from("hs-surface", tails={"extended_moves": moves})
    extended = join_sections([(CORE, made_scenarios(200)), (EXTENDED, extended_of(model))])
    count, share = len(rises), extended.loss_share
    assert share is not None
    board = board_of(extended, model)
    lower = lower_model(board)
    assert lower_model(board_of(extended, model_from("hs-surface"))).extended is None
    lots = np.zeros(len(board))
    lots[board.names.index("BTC-PERPETUAL")] = -1_000.0
    counted = -(board.profits_usd(lots) * share)[-count:]
    core = board.priced.scenarios.section(CORE)
    cuts = [float(cut @ lots) for cut in lower.cuts(lots, -np.inf)]
    tail = expected_shortfall(board.profits_usd(lots)[None, core.rows], confidence=0.995)[0]
    assert cuts == pytest.approx([tail, *np.sort(counted)[::-1][:3]])


def test_families_have_the_structure_that_they_name() -> None:
    board = plain_board()
    families = family_portfolios(board, ladders_of(board))
    assert {"ratio spread", "calendar spread", "spot against perpetual"} <= set(families)
    for name, members in families.items():
        for portfolio in members:
            sides = portfolio.lots > 0.0
            if name.startswith("short"):
                assert not sides.any()
            else:
                assert sides.tolist().count(True) == 1
                assert portfolio.lots.size == 2
    ratios = evaluate(board, families["spot against perpetual"]).ratio
    # The model has no move of the perpetual against the index.
    assert np.all(ratios < 0.01)


def test_the_explanation_names_the_sections_that_lack_the_move() -> None:
    worst = full_result().worst[0]
    assert [s.section for s in worst.sections] == [
        "core",
        "long",
        "stress_period",
        "stress",
        "extended",
    ]
    assert worst.missed.startswith("Of the plausible loss the requirement has ")
    assert worst.missed.endswith("were charged in full.")
    for item in worst.sections:
        name = item.section.replace("_", " ")
        lacks = f"No row of the {name} section loses as much" in worst.missed
        assert lacks == (item.counted_usd < worst.loss_usd)


def test_limits_that_permit_no_portfolio_are_reported_as_such() -> None:
    scenarios = made_scenarios(50)
    found = challenge(
        small_snapshot(), scenarios, model_from("hs-surface"), moves_of(scenarios),
        limits=PortfolioLimits(loss_min_usd=1e13), settings=QUICK,
    )  # fmt: skip
    assert found.ratio == np.inf
    assert found.worst == ()
    assert found.verdict.startswith("No portfolio within the limits has a plausible loss")


def test_invalid_limits_are_refused_all_at_once() -> None:
    with pytest.raises(InvalidParameters) as fault:
        PortfolioLimits(open_interest_share=0.0, gross_usd=-1.0, legs_max=0, loss_min_usd=0.0)
    assert len(fault.value.problems) == 4
