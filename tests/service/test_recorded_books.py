"""The recorded books on actors: any number of shards gives the digests of one process."""

import asyncio
import json
from functools import cache
from pathlib import Path

import pytest
from actor_world import SmallWorld, archive_of, complete, connected
from margin_cluster.holdings import read_book
from margin_cluster.settings import Settings
from margin_cluster.wiring import build_scenarios, load_market, load_model, open_workspace

from margin_actors.actors.book_run import Completed
from margin_actors.actors.layout import Layout
from margin_actors.engine.margin import calculate_margin

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "recorded_digests.json").read_text())
RECORDED = {(model, time): digest for model, time, _, digest in GOLDEN["digests"]}
BOOKS = {time: book for _, time, book, _ in GOLDEN["digests"]}

pytestmark = [pytest.mark.slow, pytest.mark.data]


@cache
def recorded(data: Path, store: Path, model: str, time: str) -> tuple[SmallWorld, str]:
    """Return a recorded market and book, and the digest of a calculation in this process."""
    settings = Settings(store=store, data=data, threads=2, deribit_url="")
    workspace, parameters = open_workspace(settings, data), load_model(model)
    snapshot, _ = load_market(workspace, time)
    scenarios, _ = build_scenarios(workspace, parameters, snapshot.time)
    book = read_book(workspace.store, data / "portfolios" / BOOKS[time]).book
    expected = calculate_margin(snapshot, scenarios, book, parameters, threads=2)
    return SmallWorld(snapshot, scenarios, parameters, book), expected.digest


@pytest.mark.parametrize("time", BOOKS)
@pytest.mark.parametrize("model", ["plain-hs", "ccp-default@1", "ccp-default"])
def test_any_number_of_shards_gives_the_recorded_digest(
    embedded: None, data_root: Path, store_root: Path, tmp_path: Path, model: str, time: str
) -> None:
    world, digest = recorded(data_root, store_root, model, time)
    assert RECORDED.get((model, time), digest) == digest

    async def digest_with(shards: int) -> str:
        archive = archive_of(world, tmp_path / str(shards))
        layout = Layout(shards=shards, refresh_seconds=0.5)
        async with connected(archive, world, layout) as cluster:
            last = (await complete(cluster, world.book))[-1]
        assert isinstance(last, Completed)
        return last.digest

    assert [asyncio.run(digest_with(shards)) for shards in (1, 2, 3, 7)] == [digest] * 4
