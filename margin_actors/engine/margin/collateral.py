"""What deposits are worth: haircuts by asset, or coins simulated beside the positions.

    equity = sum of collateral * (1 - haircut) + net option value + unsettled variation margin,
    excess (or deficit) = equity - requirement.

In the joint simulation coins join the account as spot positions, so that their falls meet the
account's own profits scenario by scenario, and then carry no haircut. A coin is held in whole lots
there; what is left over keeps the haircut.
"""

from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.parameters import ModelParameters
from margin_actors.errors import InvalidPortfolio, Problem
from margin_actors.market.portfolios import Book, Collateral
from margin_actors.market.snapshots import MarketSnapshot

USD_ASSETS = ("USD", "USDC", "USDT")
"""Collateral taken at one dollar a unit."""
_OTHERS = "*"


@dataclass(frozen=True)
class Equity:
    """Deposits of the accounts of a book, US dollars; arrays (n_accounts,)."""

    market_value_usd: FloatArray
    """Without haircut."""
    haircut_usd: FloatArray
    """What does not count."""
    simulated_usd: FloatArray
    """Coins that are simulated with the account: they count in full."""

    @property
    def counted_usd(self) -> FloatArray:
        """What counts."""
        return self.market_value_usd - self.haircut_usd

    def excess_usd(
        self,
        option_value_usd: FloatArray,
        requirement_usd: FloatArray,
        unsettled_usd: FloatArray | float = 0.0,
    ) -> FloatArray:
        """Return equity less requirement: negative is a deficit.

        `option_value_usd` is the account's value without simulated collateral.
        """
        return self.counted_usd + option_value_usd + unsettled_usd - requirement_usd


def collateral_equity(
    collateral: Collateral,
    snapshot: MarketSnapshot,
    book: Book,
    parameters: ModelParameters,
    *,
    where: str = "collateral",
) -> Equity:
    """Return what the deposits of a book's accounts are worth under a model.

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
    haircuts = parameters.collateral.haircuts
    position = {account: i for i, account in enumerate(book.accounts)}
    value, cut, simulated = (np.zeros(len(book.accounts)) for _ in range(3))
    for account, asset, amount in zip(
        collateral.account_ids, collateral.assets, collateral.amounts, strict=True
    ):
        if account not in position:
            continue
        a, worth = position[account], float(amount) * prices[asset]
        joined = 0.0
        if _is_simulated(asset, parameters):
            joined = _whole_lots(float(amount), parameters) * prices[asset]
        share = haircuts.get(asset, haircuts.get(_OTHERS, 1.0))
        value[a] += worth
        simulated[a] += joined
        cut[a] += share * (worth - joined)
    return Equity(value, cut, simulated)


def with_collateral(book: Book, collateral: Collateral, parameters: ModelParameters) -> Book:
    """Return the book with coin deposits as spot positions, where the model simulates them.

    The book itself where it does not.
    """
    added: dict[int, dict[str, float]] = {}
    position = {account: i for i, account in enumerate(book.accounts)}
    for account, asset, amount in zip(
        collateral.account_ids, collateral.assets, collateral.amounts, strict=True
    ):
        if account in position and _is_simulated(asset, parameters):
            coins = added.setdefault(position[account], {})
            name = f"{asset}_USDC"
            coins[name] = coins.get(name, 0.0) + _whole_lots(float(amount), parameters)
    if not added:
        return book
    instruments = tuple(sorted({*book.instruments, *(n for c in added.values() for n in c)}))
    place = {name: i for i, name in enumerate(instruments)}
    moved = np.array([place[name] for name in book.instruments], np.int32)
    start, index, quantity = [0], list[int](), list[float]()
    for a in range(len(book.accounts)):
        own = slice(int(book.start[a]), int(book.start[a + 1]))
        places = moved[book.instrument_index[own]].tolist()
        held = dict(zip(places, book.quantity[own].tolist(), strict=True))
        for name, amount in added.get(a, {}).items():
            held[place[name]] = held.get(place[name], 0.0) + amount
        for i in sorted(held):
            index.append(i)
            quantity.append(held[i])
        start.append(len(index))
    return Book(
        book.accounts,
        book.members,
        instruments,
        np.array(start, np.int64),
        np.array(index, np.int32),
        np.array(quantity, np.float64),
    )


def _is_simulated(asset: str, parameters: ModelParameters) -> bool:
    return (
        parameters.collateral.joint_simulation
        and asset not in USD_ASSETS
        and asset in parameters.scenarios.underlyings
    )


def _whole_lots(amount: float, parameters: ModelParameters) -> float:
    lot = parameters.revaluation.lot_coins
    if parameters.revaluation.pnl_quantum_usd is None:
        return amount
    return float(np.floor(amount / lot + 1e-9)) * lot
