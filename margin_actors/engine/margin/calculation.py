"""From snapshot, scenarios and book to every account's initial margin."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.margin.margins import (
    MARGIN_FIELDS,
    Margins,
    margins_from_profits,
    position_sums,
    result_digest,
    sample_of,
)
from margin_actors.engine.measures import Attribution, attribute
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
from margin_actors.market.portfolios import Book, Collateral
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.surfaces import VolatilitySurface, fit_surfaces

USD_ASSETS = ("USD", "USDC", "USDT")
"""Collateral taken at one dollar a unit."""


@dataclass(frozen=True, kw_only=True)
class MarginResult(Margins):
    """Margins of all accounts of a book, in its order, with what they came from."""

    book: Book
    snapshot_id: str
    scenarios_id: str
    model_id: str
    surface_ids: tuple[str, ...]
    shock_checks: tuple[ShockCheck, ...]
    """Arbitrage found in the shocked surfaces, and how much of it was repaired."""
    pnl_usd: FloatArray | None
    """(n_accounts, n_scenarios) if asked for."""
    cube: RiskCube

    @cached_property
    def digest(self) -> str:
        """Hash of every account's result to the bit, whatever machine or sharding made it."""
        return result_digest(
            self,
            snapshot_id=self.snapshot_id,
            scenarios_id=self.scenarios_id,
            model_id=self.model_id,
            book_id=self.book.id,
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
    sample = sample_of(scenarios, parameters)
    profits = aggregate_book(
        cube,
        book,
        n_tail=sample.n_tail,
        keep_pnl=keep_pnl or sample.needs_all,
        threads=threads,
        where=where,
    )
    margins = margins_from_profits(
        profits,
        sample,
        parameters,
        positions=np.diff(book.start),
        value_usd=account_values(cube, book),
    )
    return MarginResult(
        **{name: getattr(margins, name) for name in MARGIN_FIELDS},
        book=book,
        snapshot_id=snapshot_id,
        scenarios_id=scenarios.id,
        model_id=parameters.id,
        surface_ids=surface_ids,
        shock_checks=shock_checks,
        pnl_usd=profits.pnl_usd if keep_pnl else None,
        cube=cube,
    )


def account_values(cube: RiskCube, book: Book) -> FloatArray:
    """Return the value of each account, US dollars, summed in the order of its positions."""
    per_unit = cube.unit_value_usd
    if cube.contracts.names != book.instruments:
        per_unit = per_unit[[cube.contracts.place[name] for name in book.instruments]]
    return position_sums(per_unit, book.start, book.instrument_index, book.quantity)


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
