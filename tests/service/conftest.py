"""The world that these tests serve. Ray's own warnings are not ours to fail on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from margin_client import MarginClient
from service_world import Running, World, make_world, ray_here, served

from margin_actors.engine.parameters import parameters_from_mapping
from margin_actors.market.synthetic import SyntheticMarket

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.filterwarnings("ignore"))


@pytest.fixture(scope="session")
def world(market: SyntheticMarket) -> World:
    return make_world(market, parameters_from_mapping({"extends": "hs-surface"}, where="test"))


@pytest.fixture(scope="module")
def embedded() -> Iterator[None]:
    """Ray inside this process for a module of tests."""
    with ray_here():
        yield


@pytest.fixture(scope="module")
def running(
    embedded: None, world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A service for a module of tests."""
    with served(world, tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture
def client(running: Running) -> Iterator[MarginClient]:
    with MarginClient(running.target) as client:
        yield client
