"""The use cases of a gateway, assembled from the resources on which they depend."""

from dataclasses import dataclass

from margin_actors.actors.cluster import Cluster
from margin_cluster.archive import StoreArchive
from margin_cluster.feeds import FeedBoard
from margin_cluster.gateway.account_margins import AccountMargins
from margin_cluster.gateway.book_margins import BookMargins
from margin_cluster.gateway.bookings import Bookings, ClearedPositions
from margin_cluster.gateway.calculations import Calculations
from margin_cluster.gateway.call_feed import CallFeed
from margin_cluster.gateway.clearing import Clearing
from margin_cluster.gateway.collateral import Collateral
from margin_cluster.gateway.health import HealthMonitor
from margin_cluster.gateway.margin_calls import MarginCalls
from margin_cluster.gateway.market_data import MarketData
from margin_cluster.gateway.operations import Operations
from margin_cluster.gateway.portfolios import Portfolios
from margin_cluster.gateway.recorder import Recorder
from margin_cluster.gateway.reservations import Reservations
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
    margin_calls: MarginCalls
    collateral: Collateral
    reservations: Reservations
    bookings: Bookings
    clearing: Clearing


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
    clearing: Clearing,
    call_feed: CallFeed,
) -> UseCases:
    """Return the use cases of a gateway with these resources."""
    portfolios = Portfolios(cluster, archive, positions, threads, ClearedPositions(clearing))
    accounts = AccountMargins(cluster, portfolios, recorder, threads)
    return UseCases(
        accounts=accounts,
        books=BookMargins(cluster, archive, positions, recorder, threads),
        calculations=Calculations(archive, threads),
        market=MarketData(cluster, archive.ledger, threads),
        portfolios=portfolios,
        scenario_sets=ScenarioSets(cluster, archive, threads, builder),
        operations=Operations(cluster, archive.ledger, positions, health, threads, feeds, clearing),
        margin_calls=MarginCalls(clearing, call_feed),
        collateral=Collateral(clearing),
        reservations=Reservations(clearing, accounts, portfolios),
        bookings=Bookings(cluster, clearing, positions),
        clearing=clearing,
    )
