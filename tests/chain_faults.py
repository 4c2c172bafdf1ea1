"""Faults that tests plant in the option chain of a snapshot."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from margin_actors.arrays import FloatArray
from margin_actors.market.chain_quality import ChainFinding, ChainQualityLimits, ScreenedSnapshot
from margin_actors.market.chain_quality import screen_snapshot as apply_gates
from margin_actors.market.instruments import expiry_label
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.numerics.black76 import black76_price

GATES = ChainQualityLimits(enabled=True)
Fault = Callable[[MarketSnapshot, int], MarketSnapshot]
"""Function (snapshot, row of an option) -> snapshot with a fault in that option or its expiry."""


def screened(snapshot: MarketSnapshot, limits: ChainQualityLimits = GATES) -> ScreenedSnapshot:
    found = apply_gates(snapshot, limits)
    assert isinstance(found, ScreenedSnapshot)
    return found


def expiry_of(snapshot: MarketSnapshot, row: int) -> str:
    """Return the underlying and the expiry of an option, as findings name them."""
    item = snapshot.expiries[snapshot.options.expiry_index[row]]
    return f"{item.underlying} {expiry_label(item.expiry)}"


def whole_expiries(findings: tuple[ChainFinding, ...]) -> set[str]:
    return {f.where for f in findings if f.effect != "quote_excluded"}


def siblings(snapshot: MarketSnapshot, row: int) -> np.ndarray:
    """Return the rows of the options of the same expiry."""
    index = snapshot.options.expiry_index
    return np.flatnonzero(index == index[row])


def with_quotes(snapshot: MarketSnapshot, rows: object, **columns: object) -> MarketSnapshot:
    """Return the snapshot with new values of some columns in some rows."""
    changed: dict[str, FloatArray] = {}
    for name, values in columns.items():
        column = np.array(getattr(snapshot.options, name))
        column[rows] = values
        changed[name] = column
    return replace(snapshot, options=replace(snapshot.options, **changed))


def fair_marks(snapshot: MarketSnapshot, rows: np.ndarray) -> FloatArray:
    """Return Black-76 prices of inverse options at their mark volatilities, coins."""
    options = snapshot.options
    items = [snapshot.expiries[e] for e in options.expiry_index[rows]]
    forward = np.array([e.forward_usd for e in items])
    root = np.sqrt([e.tenor_years for e in items])
    is_call = options.is_call[rows]
    price = black76_price(forward, options.strike_usd[rows], options.mark_vol[rows] * root, is_call)
    return price / np.where(options.is_inverse[rows], forward, 1.0)


def forward_off(snapshot: MarketSnapshot, row: int, factor: float = 1.05) -> MarketSnapshot:
    at = snapshot.options.expiry_index[row]
    items = list(snapshot.expiries)
    items[at] = replace(items[at], forward_usd=items[at].forward_usd * factor)
    return replace(snapshot, expiries=tuple(items))


def forward_off_with_its_marks(snapshot: MarketSnapshot, row: int) -> MarketSnapshot:
    rows = siblings(snapshot, row)
    moved = forward_off(snapshot, row)
    nothing = np.full(rows.size, np.nan)
    return with_quotes(moved, rows, mark=fair_marks(moved, rows), bid=nothing, ask=nothing)


def mark_at_350(snapshot: MarketSnapshot, row: int) -> MarketSnapshot:
    return with_quotes(snapshot, row, mark_vol=3.5)


def mark_at_350_with_its_price(snapshot: MarketSnapshot, row: int) -> MarketSnapshot:
    moved = mark_at_350(snapshot, row)
    return with_quotes(moved, row, mark=fair_marks(moved, np.array([row]))[0])


def swapped_sides(snapshot: MarketSnapshot, row: int) -> MarketSnapshot:
    rows, quotes = siblings(snapshot, row), snapshot.options
    return with_quotes(snapshot, rows, bid=quotes.ask[rows], ask=quotes.bid[rows])


def one_crossed(snapshot: MarketSnapshot, row: int) -> MarketSnapshot:
    return with_quotes(snapshot, row, bid=0.05, ask=0.04)


def shifted_marks(snapshot: MarketSnapshot, row: int) -> MarketSnapshot:
    rows = siblings(snapshot, row)
    return with_quotes(snapshot, rows, mark_vol=snapshot.options.mark_vol[rows] + 0.1)


def shifted_marks_with_their_prices(snapshot: MarketSnapshot, row: int) -> MarketSnapshot:
    moved, rows = shifted_marks(snapshot, row), siblings(snapshot, row)
    return with_quotes(moved, rows, mark=fair_marks(moved, rows))


def aged(snapshot: MarketSnapshot) -> MarketSnapshot:
    """Return the snapshot with the age of each quote: up to one second."""
    ages = np.linspace(0.0, 1.0, len(snapshot.options))
    return replace(snapshot, options=replace(snapshot.options, age_seconds=ages))


def old_row(snapshot: MarketSnapshot, row: int) -> MarketSnapshot:
    return with_quotes(aged(snapshot), row, age_seconds=3600.0)


def old_expiry(snapshot: MarketSnapshot, row: int) -> MarketSnapshot:
    return with_quotes(aged(snapshot), siblings(snapshot, row), age_seconds=3600.0)


def wrong_strike(snapshot: MarketSnapshot, row: int) -> MarketSnapshot:
    """Replace the quotes of an option by those of the strike with the most different price."""
    rows, quotes = siblings(snapshot, row), snapshot.options
    same = rows[quotes.is_call[rows] == quotes.is_call[row]]
    other = same[int(np.nanargmax(np.abs(quotes.mark[same] - quotes.mark[row])))]
    columns = {n: getattr(quotes, n)[other] for n in ("bid", "ask", "mark", "mark_vol")}
    return with_quotes(snapshot, row, **columns)


def listed_twice(snapshot: MarketSnapshot, row: int) -> MarketSnapshot:
    quotes = snapshot.options
    order = np.append(np.arange(len(quotes)), row)
    columns = {
        name: getattr(quotes, name)[order]
        for name in ("expiry_index", "strike_usd", "is_call", "is_inverse", "bid", "ask", "mark",
                     "mark_vol", "open_interest", "volume")
    }  # fmt: skip
    if quotes.age_seconds is not None:
        columns["age_seconds"] = quotes.age_seconds[order]
    names = (*quotes.names, quotes.names[row])
    twice = replace(snapshot, options=replace(quotes, names=names, **columns))
    return with_quotes(twice, len(names) - 1, mark=quotes.mark[row] + 0.01)


def implausible_mark(snapshot: MarketSnapshot, row: int) -> MarketSnapshot:
    return with_quotes(snapshot, row, mark_vol=0.01)


def few_marks(snapshot: MarketSnapshot, row: int) -> MarketSnapshot:
    rows = siblings(snapshot, row)[3:]
    none = {name: np.full(rows.size, np.nan) for name in ("bid", "ask", "mark", "mark_vol")}
    return with_quotes(snapshot, rows, **none)


def falling_variance(snapshot: MarketSnapshot, row: int) -> MarketSnapshot:
    """Halve the volatilities of an expiry, without bids and asks."""
    rows = siblings(snapshot, row)
    halved = with_quotes(snapshot, rows, mark_vol=0.5 * snapshot.options.mark_vol[rows])
    nothing = np.full(rows.size, np.nan)
    return with_quotes(halved, rows, mark=fair_marks(halved, rows), bid=nothing, ask=nothing)


QUOTE_FAULTS: dict[str, Fault] = {
    "mark_at_350": mark_at_350,
    "mark_at_350_with_its_price": mark_at_350_with_its_price,
    "one_crossed": one_crossed,
    "old_row": old_row,
    "wrong_strike": wrong_strike,
    "listed_twice": listed_twice,
    "implausible_mark": implausible_mark,
}
"""Faults of one option."""
EXPIRY_FAULTS: dict[str, Fault] = {
    "forward_off": forward_off,
    "forward_off_with_its_marks": forward_off_with_its_marks,
    "swapped_sides": swapped_sides,
    "shifted_marks": shifted_marks,
    "shifted_marks_with_their_prices": shifted_marks_with_their_prices,
    "old_expiry": old_expiry,
    "few_marks": few_marks,
}
"""Faults of one expiry."""
