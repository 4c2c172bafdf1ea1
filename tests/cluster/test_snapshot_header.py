"""The header of a published snapshot: prices of perpetuals and interest rates over the wire."""

from dataclasses import replace
from datetime import date

import pytest
from margin_client._write import publication
from margin_cluster.gateway.convert.market_data import SnapshotBuilder
from margin_protos.v1 import market_data_service_pb2 as pb
from service_world import wire

from margin_actors.errors import InvalidMarketData
from margin_actors.market.rates import curve_from_yields
from margin_actors.market.snapshots import MarketSnapshot

CURVE = curve_from_yields(date(2026, 1, 15), {0.25: 0.0369, 1.0: 0.0351}, overnight=0.0366)


def received(messages: list[pb.PublishSnapshotRequest]) -> MarketSnapshot:
    builder = SnapshotBuilder()
    for message in messages:
        builder.add(pb.PublishSnapshotRequest.FromString(message.SerializeToString()))
    return builder.snapshot(origin="test")


def messages_of(snapshot: MarketSnapshot) -> list[pb.PublishSnapshotRequest]:
    header, quotes = wire(snapshot)
    return list(publication(header, quotes, "", allow_older=False)())


def test_the_service_receives_the_snapshot_that_the_client_has(snapshot: MarketSnapshot) -> None:
    prices = {u: 1.0004 * price for u, price in snapshot.index_usd.items()}
    for item in (snapshot, replace(snapshot, perpetual_usd=prices, rates=CURVE)):
        assert received(messages_of(item)).id == item.id


def test_every_fault_of_the_header_is_named(snapshot: MarketSnapshot) -> None:
    messages = messages_of(snapshot)
    header = messages[0].header
    header.perpetual_prices.add(underlying="XRP", price_usd=1.0)
    header.perpetual_prices.add(underlying="BTC", price_usd=-1.0)
    header.rates.day = "yesterday"
    with pytest.raises(InvalidMarketData) as caught:
        received(messages)
    places = {problem.where for problem in caught.value.problems}
    assert places == {
        "header.perpetual_prices[0].underlying",
        "header.perpetual_prices[1].price_usd",
        "header.rates.day",
    }
    header.rates.day = "2026-01-15"
    header.rates.tenor_years.extend([1.0, 0.5])
    header.rates.zero_rate.extend([0.03, 0.03])
    with pytest.raises(InvalidMarketData, match="cannot be used") as caught:
        received(messages)
    assert any("ascending" in problem.what for problem in caught.value.problems)
    header.rates.tenor_years.extend([float(i + 2) for i in range(1000)])
    with pytest.raises(InvalidMarketData) as caught:
        received(messages)
    assert any("1,002 nodes" in problem.what for problem in caught.value.problems)
