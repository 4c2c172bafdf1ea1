"""Rate limit, gaps, silence, prices over venues, and the choice of a feed: pure parts."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from margin_cluster.feeds import (
    DeribitChoice,
    FeedEvent,
    IntakeLimits,
    Quote,
    ReplayChoice,
    SilenceRule,
    Trade,
    VenuePrice,
    VolatilityTick,
    cross_venue_price,
    decide_on_silence,
    feed_from_text,
    judge_snapshot,
)
from margin_cluster.feeds.channels import ChannelWatch
from margin_cluster.feeds.deribit.messages import events_of, parse_frame
from margin_cluster.feeds.rate_limit import TokenBucket
from margin_cluster.feeds.sequences import BookReplica, TradeSequence, ranges
from small_chain import quotes_of, small_snapshot

from margin_actors.clearing.settlement.parameters import IndexParameters
from margin_actors.errors import InvalidParameters
from margin_actors.market.snapshots import MarketSnapshot


@given(gaps=st.lists(st.floats(0.0, 3.0), min_size=1, max_size=60))
def test_a_bucket_never_exceeds_its_rate(gaps: list[float]) -> None:
    bucket, now, sent = TokenBucket(4.0, 3.0), 0.0, []
    for gap in gaps:
        now += gap
        sent.append(now + bucket.take(now))
        now = sent[-1]
    for i in range(len(sent)):
        for j in range(i, len(sent)):
            assert j - i + 1 <= 3.0 + 4.0 * (sent[j] - sent[i]) + 1e-6


def test_a_drained_bucket_waits_for_its_next_token() -> None:
    bucket = TokenBucket(4.0, 10.0)
    bucket.take(0.0)
    bucket.drain(0.0)
    assert bucket.take(0.0) == 0.25


@given(order=st.permutations(range(10)), repeats=st.lists(st.integers(0, 9), max_size=10))
def test_each_trade_is_delivered_once_in_any_order(order: list[int], repeats: list[int]) -> None:
    sequence = TradeSequence()
    sequence.accept(-1)
    arrivals = [n for n in [*order, *repeats] if sequence.accept(n) != "repeated"]
    assert sorted(arrivals) == list(range(10))
    assert not sequence.missing


def test_only_the_latest_trades_of_a_huge_gap_are_remembered() -> None:
    sequence = TradeSequence(missing_max=3)
    sequence.accept(1)
    assert sequence.accept(1_000_000_000) == "gap"
    assert ranges(sequence.missing) == [(999_999_997, 999_999_999)]


def test_an_order_book_is_invalid_after_a_gap() -> None:
    book = BookReplica()
    start = {"type": "snapshot", "change_id": 5, "prev_change_id": None,
             "bids": [["new", 10.0, 1.0], ["new", 9.0, 2.0]], "asks": [["new", 11.0, 1.0]],
             }  # fmt: skip
    assert book.apply(start) == "new"
    change = {"change_id": 6, "prev_change_id": 5, "bids": [["delete", 10.0, 0.0]], "asks": []}
    assert book.apply(change) == "new"
    assert book.best == (9.0, 11.0)
    assert book.apply(change) == "repeated"
    assert book.apply({**change, "change_id": 8, "prev_change_id": 7}) == "gap"
    assert np.isnan(book.best).all()
    with pytest.raises(TypeError):
        book.apply({**start, "change_id": "6"})


def test_a_channel_is_reported_as_silent_once() -> None:
    watch = ChannelWatch(60.0)
    watch.start(["a", "b"], 0.0)
    watch.arrived("a", 50.0)
    assert watch.newly_silent(61.0) == [("b", 61.0)]
    assert watch.newly_silent(62.0) == []
    assert watch.arrived("b", 63.0)
    assert not watch.arrived("b", 64.0)
    assert watch.newly_silent(125.0) == [("a", 75.0), ("b", 61.0)]


RULE = SilenceRule(silent_seconds=60, keep_seconds=600, stop_seconds=3600, widen_per_hour=0.3,
                   widen_max=1.2)  # fmt: skip


@pytest.mark.parametrize(
    ("age", "action", "factor"),
    [(0.0, "use", 1.0), (600.0, "use", 1.0), (1800.0, "keep_last", 1.1), (3600.0, "keep_last", 1.2),
     (3601.0, "stop_calls", 1.2), (None, "stop_calls", 1.2)],
)  # fmt: skip
def test_what_follows_from_the_age_of_the_market(
    age: float | None, action: str, factor: float
) -> None:
    found = decide_on_silence(age, {"a": 1.0, "b": 61.0, "c": None}, RULE)
    assert (found.action, found.factor) == (action, pytest.approx(factor))
    assert found.silent == ("b", "c")
    assert len(found.alarms) == 2 + (action != "use")


def test_a_rule_that_stops_before_it_keeps_is_refused() -> None:
    with pytest.raises(InvalidParameters, match="not valid"):
        SilenceRule(keep_seconds=700, stop_seconds=600)


def venues(*prices: float, age_ms: int = 0) -> list[VenuePrice]:
    return [VenuePrice(f"v{i}", Decimal(str(p)), -age_ms) for i, p in enumerate(prices)]


INDEX = IndexParameters()


@pytest.mark.parametrize("wrong", [0.65, 0.0001, 40.0])
def test_one_venue_does_not_move_the_price_of_collateral(wrong: float) -> None:
    """10 October 2025: a stablecoin fell to 0.65 on one venue, others stayed near 0.97."""
    found = cross_venue_price(venues(0.97, wrong, 0.972, 0.968), INDEX, now_ms=0)
    assert found.price is not None
    assert abs(found.price / Decimal("0.97") - 1) < Decimal("0.01")
    assert found.status == "sound"
    assert found.clamped == ("v1",)


@given(
    prices=st.lists(st.floats(0.5, 2.0), min_size=3, max_size=9),
    wrong=st.floats(1e-6, 1e6),
    at=st.integers(0, 8),
)
def test_the_price_stays_within_the_clamp_of_the_median(
    prices: list[float], wrong: float, at: int
) -> None:
    prices[at % len(prices)] = wrong
    found = cross_venue_price(venues(*prices), INDEX, now_ms=0)
    assert found.price is not None
    assert abs(float(found.price) / float(np.median(prices)) - 1.0) <= 0.0051 + 1e-4


def test_old_prices_and_prices_of_nothing_do_not_count() -> None:
    prices = [*venues(0.97, 0.972, 0.968), VenuePrice("old", Decimal("0.65"), -61_000),
              VenuePrice("zero", Decimal(0), 0), VenuePrice("nan", Decimal("NaN"), 0)]  # fmt: skip
    found = cross_venue_price(prices, INDEX, now_ms=0)
    assert found.price == Decimal("0.9700")
    assert cross_venue_price(venues(0.65, 0.97), INDEX, now_ms=0).status == "disagreement"
    assert cross_venue_price(venues(0.97, age_ms=61_000), INDEX, now_ms=0).price is None


def test_feeds_are_named_by_a_text(tmp_path: Path) -> None:
    url = "https://venue.example/api/v2"
    assert feed_from_text("none", default_url=url) is None
    assert feed_from_text("deribit", default_url=url) == DeribitChoice(url)
    assert feed_from_text("deribit:http://h:1/api/v2", default_url=url) == DeribitChoice(
        "http://h:1/api/v2"
    )
    folder = tmp_path / "a@b"
    folder.mkdir()
    for text, speed in (
        (f"{folder}@60x", 60.0),
        (f"{folder}@0.5x", 0.5),
        (f"{folder}@max", np.inf),
    ):
        assert feed_from_text(f"replay:{text}", default_url=url) == ReplayChoice(folder, speed)


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "write none, deribit"), ("binance", "write none"), ("none:x", "write none"),
     ("deribit:venue", "write https://HOST"), ("replay:", "write none"),
     ("replay:/nowhere@60x", "the folder /nowhere does not exist"),
     ("replay:/@60", "the speed '60'"), ("replay:/@0x", "the speed '0x'"),
     ("replay:/@-1x", "the speed '-1x'")],
)  # fmt: skip
def test_another_text_is_refused_with_a_remedy(text: str, said: str) -> None:
    with pytest.raises(InvalidParameters) as caught:
        feed_from_text(text, default_url="https://venue.example/api/v2")
    assert said in str(caught.value)


def judged(snapshot: MarketSnapshot, previous: MarketSnapshot | None = None) -> list[str]:
    now = snapshot.time + timedelta(seconds=1)
    found = judge_snapshot(snapshot, previous, IntakeLimits(), now=now, required=("BTC", "ETH"))
    return [str(p) for p in found.problems]


def test_a_good_snapshot_passes() -> None:
    snapshot = small_snapshot()
    assert judged(snapshot) == []
    assert judged(snapshot, snapshot) == []


def test_half_a_chain_is_bad() -> None:
    whole = small_snapshot()
    rows = np.arange(0, len(whole.options), 2)
    half = replace(whole, options=quotes_of(whole.options, rows))
    problems = judged(half, whole)
    assert [p.partition(":")[0] for p in problems] == ["BTC", "ETH"]
    assert "in the last good snapshot (limit 60 %)" in problems[0]


def test_a_jump_of_the_index_is_bad() -> None:
    whole = small_snapshot()
    moved = replace(whole, index_usd=whole.index_usd | {"BTC": 0.6 * whole.index_usd["BTC"]})
    [forwards, jump] = judged(moved, whole)
    assert "fail the quality gates" in forwards  # the forwards did not move
    assert "the index moves from" in jump


def test_a_chain_that_fails_the_gates_is_bad() -> None:
    whole = small_snapshot()
    quotes = replace(whole.options, mark_vol=np.full(len(whole.options), 9.0))
    problems = judged(replace(whole, options=quotes))
    assert [p.partition(":")[0] for p in problems] == ["BTC", "ETH"]
    assert "3 of 3 expiries fail the quality gates (limit 50 %)" in problems[0]


def test_a_missing_underlying_and_a_time_ahead_of_the_clock_are_bad() -> None:
    whole = small_snapshot()
    only = np.flatnonzero([n.startswith("BTC") for n in whole.options.names])
    alone = replace(whole, options=quotes_of(whole.options, only))
    assert judged(alone) == ["ETH: the snapshot has no index or no options of it"]
    now = whole.time - timedelta(seconds=61)
    found = judge_snapshot(whole, None, IntakeLimits(), now=now)
    assert "is 61 s after the clock" in str(found.problems[0])


@pytest.mark.data
def test_recorded_messages_are_read(data_root: Path) -> None:
    folder = data_root / "api_samples" / "deribit"

    def events(name: str) -> list[FeedEvent]:
        frame = parse_frame((folder / f"fixture_ws_{name}.json").read_text())
        return events_of("deribit", frame.channel, frame.data)

    first, second = events("trades")
    assert isinstance(first, Trade)
    assert isinstance(second, Trade)
    assert (first.sequence, second.sequence) == (271252854, 271252855)
    assert second.coins == pytest.approx(750.0 / 92288.5)
    assert events("volatility_index") == [VolatilityTick("deribit", "BTC", 1619777946007, 129.36)]
    [quote] = events("ticker")
    assert isinstance(quote, Quote)
    assert (quote.bid, quote.ask, quote.mark) == (92283.5, 92284.0, 92281.78)
    assert events("quote") == []
    refused = parse_frame((folder / "fixture_ws_error.json").read_text())
    assert (refused.error_code, refused.error) == (10028, "too_many_requests (10028)")
