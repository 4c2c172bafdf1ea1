"""Portfolios for which risk arrays are chosen: accounts, their underlyings, random portfolios."""

from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IntArray
from margin_actors.engine.margin import PreparedMarket
from margin_actors.engine.pricing import LINEAR
from margin_actors.market.books import Book, accounts_of_positions
from margin_actors.numerics.counter_random import uniforms

_LEGS_MAX = 12


@dataclass(frozen=True)
class Portfolios:
    """Positions of n_portfolios portfolios in n_contracts contracts."""

    quantity: FloatArray
    """float64 (n_portfolios, n_contracts), units; long is positive."""
    kinds: tuple[str, ...]
    """``account``, ``underlying`` (positions of an account in one underlying) or ``random``."""
    labels: tuple[str, ...]
    """Description of each portfolio; does not name accounts."""
    owner: IntArray
    """int64 (n_portfolios,): index of the account; -1 for random portfolios."""

    def mask(self, kind: str) -> BoolArray:
        """Return which portfolios are of a kind, bool (n_portfolios,)."""
        return np.array([k == kind for k in self.kinds], np.bool_)

    def is_used(self, target_usd: FloatArray) -> BoolArray:
        """Return which portfolios can be approximated, bool (n_portfolios,).

        Those with a positive target; `target_usd` is float64 (n_portfolios,), US dollars.
        """
        assert target_usd.shape == (len(self.kinds),)
        return target_usd > 0.0

    def of_kind(self, kind: str) -> "Portfolios":
        """Return the portfolios of a kind."""
        at = np.flatnonzero(self.mask(kind))
        names = tuple(self.labels[i] for i in at.tolist())
        return Portfolios(self.quantity[at], (kind,) * at.size, names, self.owner[at])


def training_portfolios(market: PreparedMarket, book: Book, n_random: int, seed: int) -> Portfolios:
    """Return accounts, the underlyings of accounts that hold several, and random portfolios.

    Parameters
    ----------
    market : PreparedMarket
        With at least the book's instruments.
    book : Book
    n_random : int
        Number of random portfolios: 1 to 12 contracts of one underlying or of several, of either
        sign, with a notional that is log-uniform over a factor of 100.
    seed : int
    """
    place = market.contracts.place
    column = np.array([place[name] for name in book.instruments], np.int64)
    contract, owner = column[book.instrument_index], accounts_of_positions(book)
    whole = np.zeros((len(book.accounts), len(market.contracts)))
    np.add.at(whole, (owner, contract), book.quantity)
    names = sorted({c.underlying for c in market.contracts.curves})
    number = {name: i for i, name in enumerate(names)}
    of_curve = np.array([number[c.underlying] for c in market.contracts.curves], np.int64)
    underlying = of_curve[market.contracts.curve]
    rows, kinds, labels, owners = [whole], ["account"] * len(book.accounts), [], []
    labels += ["tail of an account"] * len(book.accounts)
    owners += list(range(len(book.accounts)))
    holds = np.zeros((len(book.accounts), len(names)), np.bool_)
    holds[owner, underlying[contract]] = True
    for u, name in enumerate(names):
        several = np.flatnonzero(holds[:, u] & (holds.sum(axis=1) > 1))
        rows.append(np.where(underlying == u, whole[several], 0.0))
        kinds += ["underlying"] * several.size
        labels += [f"tail of an account's positions in {name}"] * several.size
        owners += several.tolist()
    rows.append(_random(market, underlying, n_random, seed))
    kinds += ["random"] * n_random
    labels += ["tail of a random portfolio"] * n_random
    owners += [-1] * n_random
    return Portfolios(np.concatenate(rows), tuple(kinds), tuple(labels), np.array(owners, np.int64))


def _random(market: PreparedMarket, underlying: IntArray, n_random: int, seed: int) -> FloatArray:
    contracts, index = market.contracts, market.snapshot.index_usd
    n_names = int(underlying.max()) + 1
    # One unit of an inverse future is one US dollar of notional, other units are one coin.
    level = np.array([index[contracts.curves[c].underlying] for c in contracts.curve.tolist()])
    in_usd = (contracts.kind == LINEAR) & (contracts.unit_value != 1.0)
    per_unit = np.where(in_usd, 1.0, level)
    groups = [np.flatnonzero(underlying == u) for u in range(n_names)]
    groups.append(np.arange(len(contracts)))
    out = np.zeros((n_random, len(contracts)))
    for p in range(n_random):
        draw = uniforms(seed, p, 2 + 3 * _LEGS_MAX)
        legs = 1 + int(draw[0] * _LEGS_MAX)
        group = groups[int(draw[1] * len(groups))]
        for leg in range(legs):
            pick, side, size = draw[2 + 3 * leg : 5 + 3 * leg]
            at = group[int(pick * group.size)]
            out[p, at] += (1.0 if side < 0.5 else -1.0) * 1e4 * 100.0**size / per_unit[at]
    return out
