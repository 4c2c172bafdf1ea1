"""A service whose model has quality gates: who publishes and who asks learns what was excluded."""

from collections.abc import Iterator
from dataclasses import replace

import chain_faults as faults
import numpy as np
import pyarrow as pa
import pytest
from made import model_from
from margin_client import MarginClient
from service_world import Running, World, make_world, served, wire

from margin_actors.engine.margin import calculate_margin
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.synthetic import SyntheticMarket

pytestmark = pytest.mark.slow


ROW = 700
"""An option whose expiry one of the two accounts holds."""


@pytest.fixture(scope="module")
def world(market: SyntheticMarket) -> World:
    held = market.snapshot.options.names[ROW]
    table = pa.table(
        {
            "member_id": ["M", "M"],
            "account_id": ["HOLDS", "OTHER"],
            "instrument_name": [held, "BTC-PERPETUAL"],
            "quantity": [1.0, 1000.0],
        }
    )
    model = model_from("hs-surface", chain_quality={"enabled": True})
    return make_world(replace(market, book=table), model)


@pytest.fixture(scope="module")
def running(embedded: None, world: World, tmp_path_factory) -> Iterator[Running]:
    with served(world, tmp_path_factory.mktemp("gates")) as running:
        yield running


@pytest.fixture
def client(running: Running) -> Iterator[MarginClient]:
    with MarginClient(running.target) as client:
        yield client


@pytest.fixture(scope="module")
def broken(world: World) -> MarketSnapshot:
    """The market with a forward that is 5 % off."""
    return faults.forward_off(world.snapshot, ROW)


def test_findings_reach_publisher_status_results_and_record(
    client: MarginClient, world: World, broken: MarketSnapshot
) -> None:
    published = client.publish_snapshot(*wire(broken))
    assert published.snapshot_id == broken.id
    label = faults.expiry_of(broken, ROW)
    assert {f"{f.underlying} {f.expiry}" for f in published.findings} == {label}
    assert {f.effect for f in published.findings} == {"expiry_quarantined"}
    assert published.findings[0].gate == "forward_parity"
    assert all(f.value > f.limit for f in published.findings)
    book = client.calculate_book(snapshot_id=broken.id)
    assert book.generation.quarantined_expiries == (label,)
    expected = calculate_margin(broken, world.scenarios, world.book, world.model)
    assert book.digest == expected.digest
    assert not book.is_complete
    assert [f.account_id for f in book.failures] == ["HOLDS"]
    described = {p.description for f in book.failures for p in f.problems}
    assert all("is quarantined: forward" in text for text in described)
    status = client.get_status()
    assert status.chain_findings == published.findings
    record = client.get_calculation(book.calculation_id).calculation
    assert record.generation.quarantined_expiries == (label,)
    again = client.publish_snapshot(*wire(world.snapshot), allow_older=True)
    assert again.findings == ()


def test_ages_are_published(client: MarginClient, world: World) -> None:
    header, quotes = wire(world.snapshot)
    old = [replace(q, age_seconds=3600.0 if i == 700 else 0.5) for i, q in enumerate(quotes)]
    published = client.publish_snapshot(header, old)
    ages = np.full(len(quotes), 0.5)
    ages[700] = 3600.0
    options = replace(world.snapshot.options, age_seconds=ages)
    assert published.snapshot_id == replace(world.snapshot, options=options).id
    assert [(f.gate, f.instrument_name) for f in published.findings] == [
        ("age", world.snapshot.options.names[700])
    ]


def test_a_part_of_the_ages_is_refused(world: World) -> None:
    from margin_cluster.gateway.convert.market_data import SnapshotBuilder
    from margin_protos.v1 import market_data_service_pb2 as pb

    names = world.snapshot.options.names[:2]
    columns = {n: [1.0, 1.0] for n in ("bid", "ask", "mark", "mark_vol", "open_interest", "volume")}
    builder = SnapshotBuilder()
    builder.add(pb.PublishSnapshotRequest(header=pb.SnapshotHeader()))
    quotes = pb.OptionQuoteColumns(instrument_name=names, age_seconds=[1.0], **columns)
    with pytest.raises(Exception, match="not a snapshot") as caught:
        builder.add(pb.PublishSnapshotRequest(quotes=quotes, is_last=True))
    assert "age_seconds" in str(caught.value.problems[0])
