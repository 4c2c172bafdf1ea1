"""A small synthetic chain for tests that revalue every contract."""

from dataclasses import fields, replace
from functools import cache

import numpy as np

from margin_actors.market.snapshots import MarketSnapshot, OptionQuotes
from margin_actors.market.synthetic import synthetic_market


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
    rows = np.flatnonzero(kept)
    chosen = {
        f.name: None if (column := getattr(quotes, f.name)) is None else column[rows]
        for f in fields(OptionQuotes)
        if f.name != "names"
    }
    names = tuple(quotes.names[r] for r in rows)
    return replace(whole, options=OptionQuotes(names=names, **chosen))
