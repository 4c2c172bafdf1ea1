"""The services that these tests call, all on the Ray cluster of the session."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from actor_world import SharedActors
from margin_client import MarginClient
from ray_session import shared_cluster, stop_shared_cluster
from service_world import Running, World, make_world, served

from margin_actors.engine.parameters import parameters_from_mapping
from margin_actors.market.synthetic import SyntheticMarket

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Warnings of Ray are not failures; tests that need another Ray cluster come last."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.filterwarnings("ignore"))
    items.sort(key=lambda item: "without_shared_cluster" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def world(market: SyntheticMarket) -> World:
    return make_world(market, parameters_from_mapping({"extends": "hs-surface"}, where="test"))


@pytest.fixture(scope="session")
def embedded() -> Iterator[None]:
    """Attach this process to the Ray cluster of the session."""
    shared_cluster()
    yield
    stop_shared_cluster()


@pytest.fixture(scope="session")
def actors(embedded: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedActors]:
    """Actors without gateway, for tests that only run books."""
    shared = SharedActors(tmp_path_factory.mktemp("actors"))
    yield shared
    shared.stop()


_services = ExitStack()
"""The service of the session, if it runs."""


@pytest.fixture
def without_shared_cluster() -> None:
    """Stop the service and the Ray cluster of the session; such tests run after all others."""
    _services.close()
    stop_shared_cluster()


@pytest.fixture(scope="session")
def service_of_session(
    embedded: None, world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """The service that all modules share that leave it as they found it."""
    yield _services.enter_context(served(world, tmp_path_factory.mktemp("service")))
    _services.close()


@pytest.fixture(scope="module")
def running(service_of_session: Running, world: World) -> Iterator[Running]:
    """The service of the session; after the module it has the same market and positions."""
    yield service_of_session
    with MarginClient(service_of_session.target) as client:
        assert client.calculate_book().digest == world.expected.digest
        assert client.get_status().problems == ()


@pytest.fixture
def client(running: Running) -> Iterator[MarginClient]:
    with MarginClient(running.target) as client:
        yield client
