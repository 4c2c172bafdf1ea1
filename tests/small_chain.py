"""Small chains, for tests that revalue every contract or drop some of a chain."""

from dataclasses import fields, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from margin_actors.market.snapshots import MarketSnapshot, OptionQuotes
from margin_actors.market.synthetic import synthetic_market


def quotes_of(quotes: OptionQuotes, rows: NDArray[np.int64]) -> OptionQuotes:
    """Return the quotes of some rows, in their order; ages only if the quotes have them."""
    columns = {f.name: getattr(quotes, f.name) for f in fields(OptionQuotes) if f.name != "names"}
    chosen = {name: None if c is None else c[rows] for name, c in columns.items()}
    return OptionQuotes(names=tuple(quotes.names[r] for r in rows), **chosen)


@cache
def small_snapshot() -> MarketSnapshot:
    """A synthetic chain with every second option of three expiries of each underlying."""
    whole = synthetic_market(seed=5, n_days=900, history_days=40, n_accounts=20).snapshot
    quotes = whole.options
    kept = np.zeros(len(quotes), np.bool_)
    for u in whole.index_usd:
        own = [k for k, e in enumerate(whole.expiries) if e.underlying == u]
        for k in (own[1], own[len(own) // 2], own[-1]):
            kept[np.flatnonzero(quotes.expiry_index == k)[::2]] = True
    return replace(whole, options=quotes_of(quotes, np.flatnonzero(kept)))
