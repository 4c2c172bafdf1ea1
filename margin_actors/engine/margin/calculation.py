"""From snapshot, scenarios and book to every account's initial margin."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from margin_actors.arrays import FloatArray, IndexArray
from margin_actors.engine.measures import (
    Attribution,
    attribute,
    es_from_tail,
    es_standard_error_from_tail,
    expected_shortfall,
    tail_size,
    value_at_risk,
    var_from_tail,
    var_interval_from_tail,
)
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.revaluation import (
    RiskCube,
    ShockCheck,
    aggregate_book,
    build_cube,
    contracts_from_names,
    repair_shocked_surfaces,
)
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.errors import InvalidPortfolio, Problem
from margin_actors.market.identity import content_id
from margin_actors.market.portfolios import Book, Collateral
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.surfaces import VolatilitySurface, fit_surfaces

USD_ASSETS = ("USD", "USDC", "USDT")
"""Collateral taken at one dollar a unit."""


@dataclass(frozen=True)
class MarginResult:
    """Margins of all accounts; arrays have shape (n_accounts,), US dollars, in the book's order."""

    book: Book
    snapshot_id: str
    scenarios_id: str
    model_id: str
    surface_ids: tuple[str, ...]
    shock_checks: tuple[ShockCheck, ...]
    """Arbitrage found in the shocked surfaces, and how much of it was repaired."""
    positions: np.ndarray
    """int64: number of positions."""
    value_usd: FloatArray
    """Value of options and spot; futures and perpetuals are paid daily."""
    var_usd: FloatArray
    """A loss is positive."""
    var_low_usd: FloatArray
    """Lower end of VaR's 95 % interval."""
    var_high_usd: FloatArray
    es_usd: FloatArray
    es_standard_error_usd: FloatArray
    worst_usd: FloatArray
    """Loss in the worst scenario."""
    worst_scenario: IndexArray
    core_usd: FloatArray
    """The measure that the model names as core; not below 0."""
    initial_margin_usd: FloatArray
    rounding_bound_usd: FloatArray
    """Most that rounding to ticks can have moved any of an account's profits."""
    tail_usd: FloatArray
    """(n_accounts, n_tail): worst profits, ascending."""
    tail_scenario: IndexArray
    pnl_usd: FloatArray | None
    """(n_accounts, n_scenarios) if asked for."""
    cube: RiskCube

    @cached_property
    def digest(self) -> str:
        """Hash of every account's result to the bit, whatever machine or sharding made it."""
        return content_id(
            "result",
            {
                "inputs": [self.snapshot_id, self.scenarios_id, self.model_id, self.book.id],
                "arrays": [
                    self.value_usd,
                    self.var_usd,
                    self.es_usd,
                    self.worst_usd,
                    self.worst_scenario,
                    self.initial_margin_usd,
                ],
            },
        )


def fit_model_surfaces(
    snapshot: MarketSnapshot, parameters: ModelParameters
) -> dict[str, VolatilitySurface]:
    """Return the smiles that the model prices on; none where it keeps the marks."""
    smile = parameters.revaluation.smile
    if smile == "mark":
        return {}
    return fit_surfaces(snapshot, model=smile, beta=parameters.revaluation.sabr_beta)


def calculate_margin(
    snapshot: MarketSnapshot,
    scenarios: ScenarioSet,
    book: Book,
    parameters: ModelParameters,
    *,
    surfaces: dict[str, VolatilitySurface] | None = None,
    keep_pnl: bool = False,
    threads: int = 1,
    where: str = "book",
) -> MarginResult:
    """Return the initial margin of every account of a book.

    Parameters
    ----------
    snapshot, scenarios, book, parameters
        All that decides the result.
    surfaces : mapping, optional
        Smiles already fitted to the snapshot; fitted here by default.
    keep_pnl : bool
        Keep every account's profit in every scenario.
    threads : int
        Does not change a bit of the result.
    where : str
        Name of the book in messages.

    Raises
    ------
    InvalidPortfolio, MissingMarketData, InvalidScenario
        Naming everything that is wrong at once.
    """
    if book.n_positions == 0:
        raise InvalidPortfolio(
            f"{where} holds no position", [Problem(where, "the book is empty", "add positions")]
        )
    fitted = fit_model_surfaces(snapshot, parameters) if surfaces is None else surfaces
    contracts = contracts_from_names(
        book.instruments, snapshot, fitted, parameters.revaluation, where=where
    )
    applied, checks = scenarios, ()
    if fitted and parameters.revaluation.shocked_surfaces == "repair":
        applied, checks = repair_shocked_surfaces(scenarios, fitted)
    cube = build_cube(contracts, snapshot, applied, parameters.revaluation, threads=threads)
    return margin_from_cube(
        cube,
        book,
        parameters,
        scenarios=scenarios,
        snapshot_id=snapshot.id,
        surface_ids=tuple(s.id for s in fitted.values()),
        shock_checks=checks,
        keep_pnl=keep_pnl,
        threads=threads,
        where=where,
    )


def margin_from_cube(
    cube: RiskCube,
    book: Book,
    parameters: ModelParameters,
    *,
    scenarios: ScenarioSet,
    snapshot_id: str,
    surface_ids: tuple[str, ...] = (),
    shock_checks: tuple[ShockCheck, ...] = (),
    keep_pnl: bool = False,
    threads: int = 1,
    where: str = "book",
) -> MarginResult:
    """Return the margins of a book on a finished cube."""
    n, confidence = cube.n_scenarios, parameters.measure.confidence
    effective = scenarios.effective_size
    is_weighted = bool(np.any(scenarios.weight != scenarios.weight[0]))
    n_samples = 1
    if parameters.measure.overlap == "mean_of_sub_samples":
        n_samples = round(parameters.horizon_hours_total / parameters.scenarios.step_hours)
    profits = aggregate_book(
        cube,
        book,
        n_tail=tail_size(n, confidence, effective),
        keep_pnl=keep_pnl or is_weighted or n_samples > 1,
        threads=threads,
        where=where,
    )
    tail = profits.tail_usd
    if profits.pnl_usd is not None and (is_weighted or n_samples > 1):
        # The worst few rows of all do not do: weights, or each sub-sample, choose their own.
        weight = scenarios.weight if is_weighted else None
        var, es = _mean_over_samples(profits.pnl_usd, weight, n_samples, confidence)
    else:
        var = var_from_tail(tail, n_scenarios=n, confidence=confidence)
        es = es_from_tail(tail, n_scenarios=n, confidence=confidence)
    low, high = var_interval_from_tail(
        tail, n_scenarios=n, confidence=confidence, effective_size=effective
    )
    core = np.maximum(var if parameters.measure.core == "var" else es, 0.0)
    return MarginResult(
        book=book,
        snapshot_id=snapshot_id,
        scenarios_id=scenarios.id,
        model_id=parameters.id,
        surface_ids=surface_ids,
        shock_checks=shock_checks,
        positions=np.diff(book.start),
        value_usd=account_values(cube.unit_value_usd, book),
        var_usd=var,
        var_low_usd=low,
        var_high_usd=high,
        es_usd=es,
        es_standard_error_usd=es_standard_error_from_tail(
            tail, n_scenarios=n, confidence=confidence, effective_size=effective
        ),
        worst_usd=-tail[:, 0],
        worst_scenario=profits.tail_scenario[:, 0].copy(),
        core_usd=core,
        initial_margin_usd=core.copy(),
        rounding_bound_usd=profits.rounding_bound_usd,
        tail_usd=tail,
        tail_scenario=profits.tail_scenario,
        pnl_usd=profits.pnl_usd if keep_pnl else None,
        cube=cube,
    )


def _mean_over_samples(
    pnl_usd: FloatArray, weight: FloatArray | None, n_samples: int, confidence: float
) -> tuple[FloatArray, FloatArray]:
    """Return (VaR, ES), the mean over every n_samples-th scenario from each start."""
    var, es = np.zeros(pnl_usd.shape[0]), np.zeros(pnl_usd.shape[0])
    for start in range(n_samples):
        part = pnl_usd[:, start::n_samples]
        share = (
            None if weight is None else weight[start::n_samples] / weight[start::n_samples].sum()
        )
        var += value_at_risk(part, confidence=confidence, weight=share) / n_samples
        es += expected_shortfall(part, confidence=confidence, weight=share) / n_samples
    return var, es


def account_values(unit_value_usd: FloatArray, book: Book) -> FloatArray:
    """Return the value of each account, US dollars, summed in the order of its positions."""
    account = np.repeat(np.arange(len(book.accounts)), np.diff(book.start))
    worth = book.quantity * unit_value_usd[book.instrument_index]
    summed = np.bincount(account, weights=worth, minlength=len(book.accounts))
    return summed.astype(np.float64)


def attribute_account(result: MarginResult, account: int, *, confidence: float) -> Attribution:
    """Return what each position of one account contributes to its VaR and ES, in its own order.

    Scenarios count equally.
    """
    book, cube = result.book, result.cube
    held = slice(int(book.start[account]), int(book.start[account + 1]))
    index, quantity = book.instrument_index[held], book.quantity[held]
    pnl = np.array([q * cube.profits_usd(int(i)) for i, q in zip(index, quantity, strict=True)])
    return attribute(pnl, quantity, confidence=confidence)


def collateral_values(
    collateral: Collateral, snapshot: MarketSnapshot, book: Book, *, where: str = "collateral"
) -> FloatArray:
    """Return the market value of each account's deposits, US dollars, without haircut.

    Raises
    ------
    InvalidPortfolio
        Naming every asset without a price; accounts that the book lacks are left out.
    """
    prices = dict.fromkeys(USD_ASSETS, 1.0) | snapshot.index_usd
    unknown = sorted(set(collateral.assets) - set(prices))
    if unknown:
        raise InvalidPortfolio(
            f"{where} holds assets without a price",
            [
                Problem(where, f"{a} has no index price", "take it out or add its price")
                for a in unknown
            ],
        )
    position = {account: i for i, account in enumerate(book.accounts)}
    out = np.zeros(len(book.accounts))
    for account, asset, amount in zip(
        collateral.account_ids, collateral.assets, collateral.amounts, strict=True
    ):
        if account in position:
            out[position[account]] += amount * prices[asset]
    return out
