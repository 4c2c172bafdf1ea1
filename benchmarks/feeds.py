# pyright: basic
"""Messages of a feed per second: parsed, and parsed and recorded.

python benchmarks/feeds.py [SECONDS]
"""

import json
import sys
import tempfile
import time
from pathlib import Path

from margin_cluster.feeds import Recorder, TradesComplete
from margin_cluster.feeds.deribit.messages import events_of, parse_frame

NAME = "BTC-PERPETUAL"
START = 1_767_225_600_000


def messages(count: int) -> list[str]:
    """Texts of the channels of one underlying: index, ticker, trades, in equal numbers."""
    out = []
    for n in range(count):
        stamp, price = START + 50 * n, 95_000.0 + n % 500
        trade = {
            "timestamp": stamp,
            "price": price,
            "amount": 100.0,
            "direction": "buy",
            "instrument_name": NAME,
            "trade_seq": n,
            "trade_id": str(n),
        }
        ticker = {
            "timestamp": stamp,
            "instrument_name": NAME,
            "best_bid_price": price,
            "best_ask_price": price + 0.5,
            "mark_price": price,
            "index_price": price,
        }
        index = {"timestamp": stamp, "index_name": "btc_usd", "price": price}
        channels = (
            (f"trades.{NAME}.100ms", [trade]),
            (f"ticker.{NAME}.100ms", ticker),
            ("deribit_price_index.btc_usd", index),
        )
        channel, data = channels[n % 3]
        out.append(
            json.dumps(
                {
                    "jsonrpc": "2.0",
                    "method": "subscription",
                    "params": {"channel": channel, "data": data},
                }
            )
        )
    return out


def rate(seconds: float, texts: list[str], folder: str | None) -> float:
    """Return messages per second; the time of writing the recorded minutes is included."""
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        recorder = None if folder is None else Recorder(Path(folder))
        for text in texts:
            frame = parse_frame(text)
            for event in events_of("deribit", frame.channel, frame.data):
                if recorder is not None:
                    recorder.receive(event)
        if recorder is not None:
            recorder.receive(TradesComplete("deribit", NAME, START + 50 * len(texts)))
            recorder.write(recorder.take())
        done += len(texts)
    return done / (time.perf_counter() - start)


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    texts = messages(30_000)
    print(f"parsed: {rate(seconds, texts, None):,.0f} messages per second")
    with tempfile.TemporaryDirectory() as folder:
        recorded = rate(seconds, texts, folder)
    print(f"parsed and recorded: {recorded:,.0f} messages per second")


if __name__ == "__main__":
    main()
