"""The board of a challenge: all contracts that can be held, with limits, prices and losses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import ndtr

from margin_actors.arrays import FloatArray, IntArray
from margin_actors.engine.challenge.moves import PlausibleMoves, unit_losses
from margin_actors.engine.challenge.settings import PortfolioLimits
from margin_actors.engine.margin import (
    CubeSlice,
    PreparedMarket,
    PricedMarket,
    fit_smiles,
    model_faults,
    prepare_market,
    price_slice,
)
from margin_actors.engine.parameters import ModelParameters, RevaluationParameters
from margin_actors.engine.revaluation import (
    Contracts,
    contracts_from_names,
    instrument_faults,
    listed_names,
    repair_shocked_surfaces,
    total_deviations,
)
from margin_actors.engine.scenarios import CORE, ScenarioSet
from margin_actors.errors import MissingMarketData, Problem
from margin_actors.market.instruments import Instrument, Kind, instrument_from_name
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.surfaces import VolatilitySurface, fit_surfaces
from margin_actors.numerics.elementary import logarithms
from margin_actors.progress import ProgressCallback, no_progress


@dataclass(frozen=True)
class Board:
    """Contracts that can be held; arrays are in the order of the contracts of `priced.market`."""

    priced: PricedMarket
    """The market under the challenged model, priced in every row of the scenario set."""
    moves: PlausibleMoves
    limits: PortfolioLimits
    instruments: tuple[Instrument, ...]
    """The contracts."""
    lot: FloatArray
    """float64 (n_contracts,): units of one lot of the model."""
    coins: FloatArray
    """float64 (n_contracts,): coins of the underlying in one lot."""
    notional_usd: FloatArray
    """float64 (n_contracts,): coins of one lot times the index, US dollars."""
    lots_max: FloatArray
    """float64 (n_contracts,): largest absolute position, whole lots; 0 if it cannot be held."""
    loss_usd: FloatArray
    """float64 (n_moves, n_contracts): loss of one lot in each plausible move, US dollars."""
    delta: FloatArray
    """float64 (n_contracts,): Black-76 delta of options, signed; 1 for other contracts."""

    @cached_property
    def loss_by_contract_usd(self) -> FloatArray:
        """`loss_usd` with contracts as rows, float64 (n_contracts, n_moves), contiguous."""
        return np.ascontiguousarray(self.loss_usd.T)

    def __len__(self) -> int:
        """Return the number of contracts."""
        return len(self.instruments)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the contracts."""
        return self.priced.market.contracts.names

    @cached_property
    def sorted_names(self) -> tuple[str, ...]:
        """Names of the contracts in ascending order."""
        return tuple(sorted(self.names))

    @cached_property
    def place_by_name(self) -> IntArray:
        """int64 (n_contracts,): place of each contract in `sorted_names`."""
        place = {name: k for k, name in enumerate(self.sorted_names)}
        return np.array([place[name] for name in self.names], np.int64)

    @cached_property
    def held(self) -> IntArray:
        """int64 (n_held,): indices of the contracts that can be held."""
        return np.flatnonzero(self.lots_max > 0.0)

    @cached_property
    def lot_profit_ticks_usd(self) -> FloatArray:
        """float64 (n_contracts,): US dollars per entry of the risk cube, for one lot."""
        contracts = self.priced.market.contracts
        return self.lot / contracts.ticks_per_usd

    def profits_usd(self, lots: FloatArray) -> FloatArray:
        """Return the profit in every row of the scenario set.

        Parameters
        ----------
        lots : float64 (n_contracts,)
            Position in each contract, lots; a long position is positive.

        Returns
        -------
        float64 (n_rows,), US dollars
        """
        parts: list[FloatArray] = []
        weights = lots * self.lot_profit_ticks_usd
        chosen = np.flatnonzero(weights)
        for item in self._slices:
            summed = np.einsum("c,tcs->ts", weights[chosen], item.cube.values[:, chosen])
            parts.append(summed.reshape(-1)[: item.n_scenarios])
        return np.concatenate(parts)

    def weighted_profits_usd(self, rows: IntArray, share: FloatArray) -> FloatArray:
        """Return the weighted sum over rows of the profit of one lot of each contract.

        Parameters
        ----------
        rows : int64 (n_chosen,)
            Rows of the scenario set.
        share : float64 (n_chosen,)
            Weight of each row.

        Returns
        -------
        float64 (n_contracts,), US dollars
        """
        total = np.zeros(len(self))
        for item in self._slices:
            own = (rows >= item.first_scenario) & (rows < item.rows.stop)
            local = rows[own] - item.first_scenario
            size = item.cube.values.shape[2]
            entries = item.cube.values[local // size, :, local % size]
            total += share[own] @ entries
        return total * self.lot_profit_ticks_usd

    @property
    def _slices(self) -> tuple[CubeSlice, ...]:
        assert self.priced.slices is not None
        return self.priced.slices


def plausible_rules(model: ModelParameters) -> RevaluationParameters:
    """Return the rules under which plausible losses are computed, the same for every model.

    Smiles are SVI, anchored at the marks, and move with the forward; moves are instantaneous and
    profits are not rounded. A model cannot hide a loss by its own rules of revaluation.
    """
    own = model.revaluation
    return RevaluationParameters(
        shocked_surfaces="keep",
        unlisted_options=own.unlisted_options,
        settlement_window_minutes=own.settlement_window_minutes,
        pnl_quantum_usd=None,
    )


def prepare_board(
    snapshot: MarketSnapshot,
    scenarios: ScenarioSet,
    model: ModelParameters,
    moves: PlausibleMoves,
    limits: PortfolioLimits,
    *,
    threads: int = 1,
    progress: ProgressCallback = no_progress,
) -> Board:
    """Return the board of a snapshot under a model.

    Contracts are left out if the model or the plausible rules cannot price them, or if the
    scenarios do not move their underlying.

    Raises
    ------
    MissingMarketData
        If no contract can be held, or a smile cannot be fitted.
    InvalidScenario
        If the scenario set lacks a section that the model needs.
    """
    progress("Pricing the board", 0, 0)
    smiles = fit_smiles(snapshot, model)
    surfaces = smiles.get("svi") or fit_surfaces(snapshot)
    rules = plausible_rules(model)
    names = listed_names(snapshot, smiles[model.revaluation.smile], model.revaluation)
    faults = model_faults(names, snapshot, model, smiles)
    faults |= instrument_faults(names, snapshot, surfaces, rules)
    moved = set(scenarios.underlyings)
    names = tuple(
        n for n in names if n not in faults and instrument_from_name(n).underlying in moved
    )
    if not names:
        raise MissingMarketData(
            "no contract of the snapshot can be held",
            [Problem("snapshot", "no contract can be priced", "choose another snapshot or model")],
        )
    market = prepare_market(snapshot, model, names=names, smiles=smiles)
    n_core = scenarios.section(CORE).count
    priced = price_slice(market, scenarios, 0, n_core=n_core, threads=threads)
    return _board(PricedMarket(market, scenarios, (priced,)), moves, limits, surfaces, rules)


def _board(
    priced: PricedMarket,
    moves: PlausibleMoves,
    limits: PortfolioLimits,
    surfaces: Mapping[str, VolatilitySurface],
    rules: RevaluationParameters,
) -> Board:
    market = priced.market
    snapshot, names, own = market.snapshot, market.contracts.names, market.model.revaluation
    instruments = tuple(instrument_from_name(name) for name in names)
    index = np.array([snapshot.index_usd[i.underlying] for i in instruments])
    in_usd = np.array([i.is_inverse and i.kind in _IN_USD for i in instruments], np.bool_)
    lot = np.where(in_usd, own.lot_usd, own.lot_coins)
    coins = np.where(in_usd, lot / index, lot)
    interest = _open_interest(market, instruments)
    contracts = contracts_from_names(names, snapshot, surfaces, rules)
    return Board(
        priced=priced,
        moves=moves,
        limits=limits,
        instruments=instruments,
        lot=lot,
        coins=coins,
        notional_usd=coins * index,
        # The tolerance keeps 6 % of 100 coins at 600 lots of 0.01, not 599.
        lots_max=np.floor(limits.open_interest_share * interest / coins + 1e-9),
        loss_usd=unit_losses(_without_arbitrage(moves, surfaces), contracts, snapshot, rules) * lot,
        delta=_deltas(market, contracts, rules),
    )


def _without_arbitrage(
    moves: PlausibleMoves, surfaces: Mapping[str, VolatilitySurface]
) -> PlausibleMoves:
    """Return the moves with past windows repaired where they would admit arbitrage today.

    Prices that admit arbitrage are not those of a plausible market. The grid is not repaired: it
    has no change of the skew, which is all that the repair removes.
    """
    sets = tuple(
        rows
        if np.isnat(rows.start_time).all()
        else repair_shocked_surfaces(rows, dict(surfaces))[0]
        for rows in moves.sets
    )
    return replace(moves, sets=sets)


_IN_USD = (Kind.FUTURE, Kind.PERPETUAL)


def _open_interest(market: PreparedMarket, instruments: Sequence[Instrument]) -> FloatArray:
    """Return the open interest of each contract in coins, 0 if unknown, (n_contracts,).

    For contracts other than options it is the open interest of all options on the underlying.
    """
    quotes = market.snapshot.options
    known = np.where(np.isfinite(quotes.open_interest), quotes.open_interest, 0.0)
    total: dict[str, float] = {}
    for row, name in enumerate(quotes.names):
        underlying = instrument_from_name(name).underlying
        total[underlying] = total.get(underlying, 0.0) + float(known[row])
    rows = market.snapshot.option_row
    return np.array(
        [
            float(known[rows[i.name]]) if i.kind is Kind.OPTION else total.get(i.underlying, 0.0)
            for i in instruments
        ]
    )


def _deltas(
    market: PreparedMarket, contracts: Contracts, rules: RevaluationParameters
) -> FloatArray:
    """Return the Black-76 delta of options and 1 for other contracts, float64 (n_contracts,)."""
    deviation = total_deviations(contracts, rules)
    level = np.array([c.level_usd for c in contracts.curves])[contracts.curve]
    is_option = np.array(
        [instrument_from_name(n).kind is Kind.OPTION for n in market.contracts.names], np.bool_
    )
    deviation = np.where(is_option & (deviation > 0.0), deviation, 1.0)
    d1 = (logarithms(level / contracts.strike)[0] / deviation) + 0.5 * deviation
    return np.where(is_option, contracts.sign * ndtr(contracts.sign * d1), 1.0)
