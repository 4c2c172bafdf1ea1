# pyright: basic
"""CalculateBook of 10,000 accounts, from a new snapshot to the last result, and the engine alone.

In every round both calculate the same new snapshot: first the service, which fits, prices, shards,
sums and streams, then the engine in this process on two threads.
"""

import dataclasses
import statistics
import time

import pandas as pd
from margin_client import Forward, MarginClient, Snapshot
from serving import made_market, report, serving

from margin_actors.engine.margin import calculate_margin
from margin_actors.market.portfolios import book_from_table
from margin_actors.market.snapshots import MarketSnapshot

REPEATS = 9


def main() -> None:
    made = made_market(n_accounts=10_000, n_positions=1_000_000, n_instruments=2_000)
    book = book_from_table(made.book, where="made")
    times: dict[str, list[float]] = {"engine": [], "published": [], "sent": []}
    with serving(made, singles=False) as served, MarginClient(served.target) as client:
        warm = client.calculate_book()
        assert len(warm) == len(book.accounts)
        for number in range(-2, REPEATS):
            snapshot = dataclasses.replace(made.snapshot, discount_annual=1e-6 * (number + 3))
            header, quotes = wire_snapshot(snapshot)
            begin = time.perf_counter()
            published = client.publish_snapshot(header, quotes)
            middle = time.perf_counter()
            answer = client.calculate_book(snapshot_id=published.snapshot_id)
            end = time.perf_counter()
            result = calculate_margin(snapshot, made.scenarios, book, made.model, threads=2)
            alone = time.perf_counter() - end
            assert answer.digest == result.digest
            if number >= 0:
                times["engine"].append(alone)
                times["published"].append(end - middle)
                times["sent"].append(end - begin)
    figures = {f"{name}_s": statistics.median(t) for name, t in times.items()}
    figures["published / engine"] = figures["published_s"] / figures["engine_s"]
    figures["sent / engine"] = figures["sent_s"] / figures["engine_s"]
    figures["peak_gateway_mib"] = served.peak_mib
    report("book", figures)


def wire_snapshot(snapshot: MarketSnapshot) -> tuple[Snapshot, pd.DataFrame]:
    """Return the header and the quotes with which a client would publish a snapshot."""
    options = snapshot.options
    numbers = ("bid", "ask", "mark", "mark_vol", "open_interest", "volume")
    header = Snapshot(
        time=snapshot.time,
        index_prices=snapshot.index_usd,
        forwards=tuple(Forward(e.underlying, e.expiry, e.forward_usd) for e in snapshot.expiries),
        discount_annual=snapshot.discount_annual,
        is_synthetic=snapshot.is_synthetic,
    )
    columns = {name: getattr(options, name) for name in numbers}
    return header, pd.DataFrame({"instrument_name": options.names} | columns)


if __name__ == "__main__":
    main()
