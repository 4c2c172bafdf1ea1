"""The actors alone, without gateway and ledger: Ray, a folder of files, and a small market."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import ray
from made import made_scenarios

from margin_actors.engine.parameters import ModelParameters, parameters_from_mapping
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.market.portfolios import Book, book_from_table
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.synthetic import synthetic_market

N_SCENARIOS = 500
NAMESPACE = "actors"


@dataclass(frozen=True)
class SmallWorld:
    """A market, its scenarios, a model and a book."""

    snapshot: MarketSnapshot
    scenarios: ScenarioSet
    model: ModelParameters
    book: Book


@cache
def make_small_world() -> SmallWorld:
    market = synthetic_market(seed=5, n_days=900, history_days=2, n_accounts=20)
    return SmallWorld(
        market.snapshot,
        made_scenarios(N_SCENARIOS),
        parameters_from_mapping({"extends": "hs-surface"}, where="test"),
        book_from_table(market.book, where="book"),
    )


@contextmanager
def ray_here(cpus: int = 2, address: str = "local") -> Iterator[None]:
    """Run Ray in this process, or attach to one that runs; workers find these tests' modules."""
    here = str(Path(__file__).parent)
    path = os.environ.get("PYTHONPATH", "")
    if here not in path.split(os.pathsep):
        os.environ["PYTHONPATH"] = os.pathsep.join([here, path]) if path else here
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)
    ray.init(
        address=address,
        num_cpus=cpus if address == "local" else None,
        include_dashboard=False if address == "local" else None,
        log_to_driver=False,
        logging_level=logging.ERROR,
        namespace=NAMESPACE,
    )
    try:
        yield
    finally:
        ray.shutdown()
