"""Snapshots that may and that may not be published."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from margin_actors.market.snapshots import MarketSnapshot, OptionQuotes, publishable_faults

_NONE = np.empty(0)
NO_OPTIONS = OptionQuotes(
    (),
    np.empty(0, np.int32),
    _NONE,
    np.empty(0, np.bool_),
    np.empty(0, np.bool_),
    *([_NONE] * 6),
)


def faults(snapshot: MarketSnapshot, **changes: object) -> list[str]:
    arguments = {"current_time": None, "now": snapshot.time} | changes
    return [str(fault) for fault in publishable_faults(snapshot, **arguments)]


def test_a_market_with_options_may_be_published(snapshot: MarketSnapshot) -> None:
    assert faults(snapshot) == []
    assert faults(snapshot, current_time=snapshot.time) == []
    assert faults(snapshot, now=snapshot.time - timedelta(hours=23)) == []


def test_an_empty_snapshot_of_1970_has_every_fault_named_at_once() -> None:
    """All faults are in one error: the time, the index prices and the options."""
    empty = MarketSnapshot(datetime(1970, 1, 1, tzinfo=UTC), {}, (), NO_OPTIONS)
    found = "\n".join(faults(empty))
    for part in ("time: 1970-01-01", "index prices: none given", "options: none given"):
        assert part in found


def test_a_time_far_ahead_of_the_clock_may_not_be_published(snapshot: MarketSnapshot) -> None:
    (fault,) = faults(snapshot, now=snapshot.time - timedelta(hours=25))
    assert "more than 1 day after the clock" in fault


def test_a_snapshot_older_than_the_current_one_may_not_be_published(
    snapshot: MarketSnapshot,
) -> None:
    """The market does not go back by accident."""
    (fault,) = faults(snapshot, current_time=snapshot.time + timedelta(seconds=1))
    assert "is before the current snapshot's" in fault


@pytest.mark.parametrize("price", [5e-324, 1e308])
def test_prices_that_could_overflow_may_not_be_published(
    snapshot: MarketSnapshot, price: float
) -> None:
    (fault,) = faults(replace(snapshot, index_usd=snapshot.index_usd | {"XYZ": price}))
    assert "index of XYZ" in fault


def test_expiries_and_options_given_twice_may_not_be_published(snapshot: MarketSnapshot) -> None:
    twice = replace(snapshot, expiries=(*snapshot.expiries, snapshot.expiries[0]))
    assert "given 2 times" in faults(twice)[0]
    options = snapshot.options
    same = replace(options, names=(options.names[0], *options.names[:-1]))
    assert f"{options.names[0]}: given 2 times" in faults(replace(snapshot, options=same))[0]


def test_options_without_a_mark_or_quotes_may_not_be_published(snapshot: MarketSnapshot) -> None:
    unknown = np.full(len(snapshot.options), np.nan)
    silent = replace(
        snapshot.options, mark=unknown, mark_vol=unknown, bid=unknown, ask=snapshot.options.ask
    )
    (fault,) = faults(replace(snapshot, options=silent))
    assert "none has a mark or both quotes" in fault
