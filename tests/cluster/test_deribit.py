"""The HTTP adapter against a real local server that answers as the exchange does."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pyarrow.parquet as pq
import pytest
from json_documents import validated
from margin_cluster.cli import app
from margin_cluster.sources.deribit import DeribitClient, fetch_chain
from typer.testing import CliRunner

from margin_actors.errors import InvalidMarketData, SourceUnavailable
from margin_actors.market.chains import snapshot_from_chain
from margin_actors.market.surfaces import fit_surfaces
from margin_actors.market.synthetic import SyntheticMarket


@dataclass
class Exchange:
    """What the server says, what it was asked, and which faults it shows first."""

    answers: dict[tuple[str, str], object]
    faults: list[tuple[int, bytes]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def exchange(market: SyntheticMarket) -> Iterator[Exchange]:
    """A server on this machine that lists the synthetic chain in the exchange's format."""
    said = Exchange(answers(market))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parsed = urlparse(self.path)
            fields = {k: v[0] for k, v in parse_qs(parsed.query).items()}
            said.asked.append(self.path)
            if said.faults:
                self._send(*said.faults.pop(0))
                return
            method = parsed.path.removeprefix("/api/v2/public/")
            key = (method, fields.get("currency") or fields.get("instrument_name", ""))
            if key not in said.answers:
                error = {"code": -32602, "message": "Invalid params"}
                self._send(400, json.dumps({"jsonrpc": "2.0", "error": error}).encode())
                return
            body = {"jsonrpc": "2.0", "result": said.answers[key], "usDiff": 180, "testnet": False}
            self._send(200, json.dumps(body).encode())

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    said.url = f"http://127.0.0.1:{server.server_port}/api/v2"
    yield said
    server.shutdown()
    thread.join()
    server.server_close()


def answers(market: SyntheticMarket) -> dict[tuple[str, str], object]:
    snapshot, out = market.snapshot, {}
    stamp = int(snapshot.time.timestamp() * 1000)
    options = snapshot.options

    def number(x: float) -> float | None:
        return None if x != x else float(x)

    for u in ("BTC", "ETH"):
        rows = [i for i, n in enumerate(options.names) if n.startswith(u)]
        out["get_instruments", u] = [
            {"instrument_name": options.names[i], "kind": "option", "is_active": True}
            for i in rows[1:]
        ]
        out["get_book_summary_by_currency", u] = [
            {
                "instrument_name": options.names[i],
                "bid_price": number(options.bid[i]),
                "ask_price": number(options.ask[i]),
                "mark_price": options.mark[i],
                "mark_iv": 100 * options.mark_vol[i],
                "open_interest": options.open_interest[i],
                "volume": options.volume[i],
                "underlying_price": snapshot.expiries[options.expiry_index[i]].forward_usd,
                "underlying_index": "index_price",
                "creation_timestamp": stamp + i % 700,
            }
            for i in rows
        ]
        out["ticker", f"{u}-PERPETUAL"] = {"index_price": snapshot.index_usd[u], "state": "open"}
    return out


def client(exchange: Exchange, **changes: object) -> tuple[DeribitClient, list[float]]:
    slept: list[float] = []
    made = DeribitClient(
        exchange.url, clock=lambda: 0.0, sleep=slept.append, **changes  # type: ignore[arg-type]
    )  # fmt: skip
    return made, slept


def test_a_fetched_chain_is_a_snapshot_that_can_be_fitted(
    exchange: Exchange, market: SyntheticMarket, tmp_path: Path
) -> None:
    made, _ = client(exchange)
    path, rows = fetch_chain(made, ["BTC", "ETH"], tmp_path)
    assert rows == len(market.snapshot.options) - 2  # two are no longer listed as live
    snapshot = snapshot_from_chain(
        pq.read_table(path), time=datetime(2026, 1, 16, tzinfo=UTC), origin=str(path)
    )
    assert snapshot.index_usd == market.snapshot.index_usd
    assert [e.forward_usd for e in snapshot.expiries] == [
        e.forward_usd for e in market.snapshot.expiries
    ]
    assert set(fit_surfaces(snapshot)) == {"BTC", "ETH"}


TOO_MANY = json.dumps({"error": {"code": 10028, "message": "too_many_requests"}}).encode()


def test_busy_answers_are_tried_again_with_growing_delays(exchange: Exchange) -> None:
    exchange.faults = [(400, TOO_MANY), (429, b""), (503, b"<html>"), (502, b"")]
    made, slept = client(exchange, requests_per_second=1e9)
    assert len(made.instruments("BTC", "option")) > 100
    assert [round(s, 6) for s in slept if s > 1e-6] == [0.5, 1.0, 2.0, 4.0]
    assert len(exchange.asked) == 5


def test_a_source_that_stays_busy_is_given_up_with_its_words(exchange: Exchange) -> None:
    exchange.faults = [(400, TOO_MANY)] * 9
    made, _ = client(exchange, attempts=3)
    with pytest.raises(SourceUnavailable) as caught:
        made.instruments("BTC", "option")
    assert "too_many_requests (10028) after 3 attempts" in str(caught.value)
    assert len(exchange.asked) == 3


def test_a_refusal_is_final_at_once(exchange: Exchange) -> None:
    made, slept = client(exchange)
    with pytest.raises(InvalidMarketData, match="rejected the request") as caught:
        made.instruments("DOGE", "option")
    assert "Invalid params (code -32602)" in str(caught.value)
    assert len(exchange.asked) == 1
    assert slept == []


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"result": 3}', b"{}"])
def test_answers_that_are_something_else_are_refused(exchange: Exchange, body: bytes) -> None:
    exchange.faults = [(200, body)]
    made, _ = client(exchange)
    with pytest.raises(InvalidMarketData, match="cannot be read"):
        made.book_summaries("BTC", "option")


@pytest.mark.parametrize("field", ["instrument_name", "creation_timestamp"])
def test_a_summary_without_a_field_is_refused_by_name(
    exchange: Exchange, field: str, tmp_path: Path
) -> None:
    summaries = exchange.answers["get_book_summary_by_currency", "BTC"]
    assert isinstance(summaries, list)
    del summaries[5][field]
    made, _ = client(exchange)
    with pytest.raises(InvalidMarketData, match="cannot be read") as caught:
        fetch_chain(made, ["BTC"], tmp_path)
    assert field in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_nobody_listening_is_unavailable() -> None:
    made = DeribitClient("http://127.0.0.1:9", attempts=2, sleep=lambda _: None)
    with pytest.raises(SourceUnavailable, match="is not available"):
        made.ticker("BTC-PERPETUAL")


def test_requests_keep_their_pace(exchange: Exchange) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    made = DeribitClient(exchange.url, requests_per_second=4, clock=lambda: now[0], sleep=sleep)
    for _ in range(9):
        made.ticker("BTC-PERPETUAL")
    assert now[0] == pytest.approx(8 / 4)


@pytest.mark.usefixtures("environment")
def test_fetch_from_the_command_line(exchange: Exchange, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["data", "fetch", "--out", str(tmp_path), "--url", exchange.url, "--json"]
    )
    assert result.exit_code == 0, result.output
    assert Path(validated(result.stdout)["file"]).exists()
    exchange.answers.clear()
    result = CliRunner().invoke(
        app, ["data", "fetch", "--out", str(tmp_path / "n"), "--url", exchange.url]
    )
    assert result.exit_code == 2
    assert not (tmp_path / "n").exists()


@pytest.mark.data
@pytest.mark.parametrize("name", ["BTC"])
def test_answers_as_recorded_are_read(
    exchange: Exchange, data_root: Path, tmp_path: Path, name: str
) -> None:
    samples = data_root / "api_samples" / "deribit"

    def recorded(what: str) -> object:
        return json.loads((samples / f"live_2026-05-22_{what}.json").read_text())["result"]

    exchange.answers = {
        ("get_instruments", name): recorded("get_instruments_btc_option"),
        ("get_book_summary_by_currency", name): recorded("book_summary_btc_option"),
        ("ticker", f"{name}-PERPETUAL"): recorded("ticker_btc_perpetual"),
    }
    made, _ = client(exchange)
    path, rows = fetch_chain(made, [name], tmp_path)
    table = pq.read_table(path)
    assert rows == table.num_rows > 0
    time = table.column("snapshot")[0].as_py()
    snapshot = snapshot_from_chain(table, time=time, origin=str(path))
    assert snapshot.index_usd[name] == 76735.99
