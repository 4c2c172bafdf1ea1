"""The use cases of a gateway, assembled from the resources on which they depend."""

from dataclasses import dataclass

from margin_actors.actors.cluster import Cluster
from margin_cluster.archive import StoreArchive
from margin_cluster.feeds import FeedBoard
from margin_cluster.gateway.account_margins import AccountMargins
from margin_cluster.gateway.book_margins import BookMargins
from margin_cluster.gateway.calculations import Calculations
from margin_cluster.gateway.health import HealthMonitor
from margin_cluster.gateway.market_data import MarketData
from margin_cluster.gateway.operations import Operations
from margin_cluster.gateway.portfolios import Portfolios
from margin_cluster.gateway.recorder import Recorder
from margin_cluster.gateway.scenario_sets import ScenarioBuilder, ScenarioSets
from margin_cluster.gateway.threads import GatewayThreads
from margin_cluster.positions import Positions


@dataclass(frozen=True)
class UseCases:
    """The use cases of one gateway; they belong to one event loop."""

    accounts: AccountMargins
    books: BookMargins
    calculations: Calculations
    market: MarketData
    portfolios: Portfolios
    scenario_sets: ScenarioSets
    operations: Operations


def assemble_use_cases(
    *,
    cluster: Cluster,
    archive: StoreArchive,
    positions: Positions,
    recorder: Recorder,
    threads: GatewayThreads,
    health: HealthMonitor,
    builder: ScenarioBuilder,
    feeds: FeedBoard,
) -> UseCases:
    """Return the use cases of a gateway with these resources."""
    portfolios = Portfolios(cluster, archive, positions, threads)
    return UseCases(
        accounts=AccountMargins(cluster, portfolios, recorder, threads),
        books=BookMargins(cluster, archive, positions, recorder, threads),
        calculations=Calculations(archive, threads),
        market=MarketData(cluster, archive.ledger, threads),
        portfolios=portfolios,
        scenario_sets=ScenarioSets(cluster, archive, threads, builder),
        operations=Operations(cluster, archive.ledger, positions, health, threads, feeds),
    )
