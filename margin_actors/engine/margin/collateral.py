"""Value of collateral: haircuts by asset, or joint simulation of coins with the positions.

    equity = sum of collateral * (1 - haircut) + net option value + unsettled variation margin,
    excess (or deficit) = equity - requirement.

In the joint simulation coin deposits are added to the account as spot positions, so that their
losses are offset against the account's own profits scenario by scenario; they then carry no
haircut. If the model rounds to ticks, only whole lots are simulated and the remainder keeps its
haircut.

In the de-peg scenario of a stablecoin, its deposits and a positive value of options that are
settled in it lose a share of their value. The same share is never counted, so that the equity in
the scenario is at least the counted one:

    counted share of a deposit = 1 - max(haircut, de-peg share),
    contract value not counted = de-peg share * max(0, value of the options settled in the asset).

Short options are owed in the asset, so that their value falls in the account's favour; this is not
credited.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.engine.parameters import ModelParameters
from margin_actors.errors import InvalidPortfolio, Location, Problem, raise_if_any
from margin_actors.market.books import Book, add_positions
from margin_actors.market.instruments import settlement_asset
from margin_actors.market.portfolios import Collateral
from margin_actors.market.snapshots import MarketSnapshot

USD_ASSETS = ("USD", "USDC", "USDT")
"""Assets valued at one US dollar per unit."""
_OTHERS = "*"


@dataclass(frozen=True)
class DepegScenario:
    """The de-peg scenario of one stablecoin; float64 arrays (n_accounts,), US dollars."""

    asset: str
    share: float
    """Share of its value that the asset loses."""
    deposit_loss_usd: FloatArray
    """Loss on the deposits of the asset."""
    contract_loss_usd: FloatArray
    """Loss on the options that are settled in the asset, at least 0."""


@dataclass(frozen=True)
class Equity:
    """Collateral of the accounts of a book; float64 arrays (n_accounts,), US dollars."""

    market_value_usd: FloatArray
    """Value before haircuts."""
    haircut_usd: FloatArray
    """Value that does not count towards equity; not negative."""
    simulated_usd: FloatArray
    """Coins that are simulated with the account: part of the market value, without a haircut."""
    depeg: tuple[DepegScenario, ...] = ()
    """De-peg scenarios of the model, ordered by asset."""

    @property
    def counted_usd(self) -> FloatArray:
        """Market value less haircut, (n_accounts,)."""
        return self.market_value_usd - self.haircut_usd

    @property
    def contract_depeg_usd(self) -> FloatArray:
        """Option value that is not counted because of the de-peg scenarios, (n_accounts,)."""
        total = np.zeros(self.market_value_usd.size)
        for scenario in self.depeg:
            total += scenario.contract_loss_usd
        return total

    def depeg_equity_usd(self, option_value_usd: FloatArray) -> FloatArray | None:
        """Return the least equity over the de-peg scenarios, (n_accounts,), without haircuts.

        It is the market value of deposits plus the option value, less the loss in the scenario;
        None if the model has no scenario. `option_value_usd`, float64 (n_accounts,), US dollars, is
        as in `excess_usd`.
        """
        worst: FloatArray | None = None
        for scenario in self.depeg:
            lost = scenario.deposit_loss_usd + scenario.contract_loss_usd
            worst = lost if worst is None else np.maximum(worst, lost)
        return None if worst is None else self.market_value_usd + option_value_usd - worst

    def excess_usd(
        self,
        option_value_usd: FloatArray,
        requirement_usd: FloatArray,
        unsettled_usd: FloatArray | float = 0.0,
    ) -> FloatArray:
        """Return equity less requirement, (n_accounts,), US dollars; negative for a deficit.

        Parameters
        ----------
        option_value_usd : float64 (n_accounts,)
            Net option value, without the spot positions of simulated collateral.
        requirement_usd : float64 (n_accounts,)
        unsettled_usd : float64 (n_accounts,) or float
            Unsettled variation margin, positive in the account's favour.
        """
        excess = self.counted_usd + option_value_usd + unsettled_usd - requirement_usd
        return excess - self.contract_depeg_usd if self.depeg else excess


def check_collateral(
    collateral: Collateral,
    snapshot: MarketSnapshot,
    accounts: Collection[str],
) -> None:
    """Check that every deposit belongs to a known account and has a price.

    Parameters
    ----------
    collateral : Collateral
    snapshot : MarketSnapshot
        Its index prices give the value of coins.
    accounts : collection of str
        Accounts that may hold collateral.

    Raises
    ------
    InvalidPortfolio
        If an account is unknown or an asset has no price; names all of them with their rows.
    """
    known, priced = set(accounts), {*USD_ASSETS, *snapshot.index_usd}
    problems = [
        Problem(
            place,
            f"account {account} is not in the book",
            "correct the account, or add a row for it to the book; its quantity may be 0",
        )
        for account, place in _rows_outside(collateral.account_ids, known)
    ]
    problems += [
        Problem(
            place,
            f"{asset} has no index price",
            f"remove it, or use one of {', '.join(sorted(priced))}",
        )
        for asset, place in _rows_outside(collateral.assets, priced)
    ]
    raise_if_any(problems, InvalidPortfolio, "the collateral cannot be used")


def _rows_outside(values: Sequence[str], allowed: set[str]) -> list[tuple[str, Location]]:
    """Return (value, its rows) for each value not in `allowed`, by first appearance."""
    rows: dict[str, list[int]] = {}
    for row, value in enumerate(values):
        if value not in allowed:
            rows.setdefault(value, []).append(row)
    return [
        (value, Location("collateral", row=found[0], more_rows=len(found) - 1))
        for value, found in rows.items()
    ]


def collateral_equity(
    collateral: Collateral,
    snapshot: MarketSnapshot,
    book: Book,
    model: ModelParameters,
    *,
    other_accounts: Collection[str] = (),
    unit_values: Mapping[str, float] | None = None,
) -> Equity:
    """Return the collateral of a book's accounts, valued under a model.

    Parameters
    ----------
    collateral : Collateral
    snapshot : MarketSnapshot
    book : Book
    model : ModelParameters
    other_accounts : collection of str
        Known accounts without a position in the book: their deposits are accepted, but are not part
        of the result.
    unit_values : mapping from name to float, optional
        Value of one unit of each contract of the book after daily settlement, US dollars; required
        if the model has de-peg scenarios.

    Raises
    ------
    InvalidPortfolio
        If an account is neither in the book nor in `other_accounts`, or an asset has no price;
        names all of them.
    """
    check_collateral(collateral, snapshot, {*book.accounts, *other_accounts})
    prices = dict.fromkeys(USD_ASSETS, 1.0) | snapshot.index_usd
    haircuts = model.collateral.haircuts
    position = {account: i for i, account in enumerate(book.accounts)}
    depeg = model.collateral.depeg
    value, cut, simulated = (np.zeros(len(book.accounts)) for _ in range(3))
    deposits = {asset: np.zeros(len(book.accounts)) for asset in sorted(depeg)}
    for account, asset, amount in zip(
        collateral.account_ids, collateral.assets, collateral.amounts, strict=True
    ):
        if account not in position:
            continue
        a, worth = position[account], float(amount) * prices[asset]
        joined = 0.0
        if _is_simulated(asset, model):
            joined = _whole_lots(float(amount), model) * prices[asset]
        share = max(haircuts.get(asset, haircuts.get(_OTHERS, 1.0)), depeg.get(asset, 0.0))
        value[a] += worth
        if asset in deposits:
            deposits[asset][a] += worth
        simulated[a] += joined
        cut[a] += share * (worth - joined)
    assert unit_values is not None or not depeg
    return Equity(value, cut, simulated, _scenarios(deposits, depeg, book, unit_values or {}))


def _scenarios(
    deposits: Mapping[str, FloatArray],
    depeg: Mapping[str, float],
    book: Book,
    unit_values: Mapping[str, float],
) -> tuple[DepegScenario, ...]:
    """Return the de-peg scenarios; `deposits` holds arrays (n_accounts,) by asset, US dollars."""
    return tuple(
        DepegScenario(
            asset,
            depeg[asset],
            depeg[asset] * worth,
            depeg[asset] * np.maximum(_settled_value(book, asset, unit_values), 0.0),
        )
        for asset, worth in deposits.items()
    )


def _settled_value(book: Book, asset: str, unit_values: Mapping[str, float]) -> FloatArray:
    """Return the value of the contracts settled in an asset, (n_accounts,), US dollars."""
    unit = np.array(
        [unit_values[n] if settlement_asset(n) == asset else 0.0 for n in book.instruments]
    )
    account = np.repeat(np.arange(len(book.accounts)), np.diff(book.start))
    held = book.quantity * unit[book.instrument_index]
    return np.bincount(account, weights=held, minlength=len(book.accounts)).astype(np.float64)


def with_collateral(book: Book, collateral: Collateral, model: ModelParameters) -> Book:
    """Return the book with coin deposits added as spot positions, if the model simulates them.

    Deposits of accounts that are not in the book are ignored. If there is nothing to add, the book
    itself is returned.
    """
    added: dict[int, dict[str, float]] = {}
    position = {account: i for i, account in enumerate(book.accounts)}
    for account, asset, amount in zip(
        collateral.account_ids, collateral.assets, collateral.amounts, strict=True
    ):
        if account in position and _is_simulated(asset, model):
            coins = added.setdefault(position[account], {})
            name = f"{asset}_USDC"
            coins[name] = coins.get(name, 0.0) + _whole_lots(float(amount), model)
    if not added:
        return book
    return add_positions(book, added)


def _is_simulated(asset: str, model: ModelParameters) -> bool:
    return (
        model.collateral.joint_simulation
        and asset not in USD_ASSETS
        and asset in model.scenarios.underlyings
    )


def _whole_lots(amount: float, model: ModelParameters) -> float:
    lot = model.revaluation.lot_coins
    if model.revaluation.pnl_quantum_usd is None:
        return amount
    return float(np.floor(amount / lot + 1e-9)) * lot
