"""Two gateways and many clients on the same accounts: the ledger is a serial history of them."""

import random
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from clearing_desk import DOLLAR, LINEAR, Desk, desk
from margin_client import ClearedTrade, MarginClient, MarginClientError, RefusedError
from margin_cluster.gateway.call_feed import KINDS
from margin_cluster.ledger.verification import verify_ledger
from postgres_server import PostgresServer
from service_world import Running, World, beside, served

from margin_actors.clearing.house import EMPTY_HOUSE, event_of, fold, payload_of
from margin_actors.clearing.house.queries import balances, quantities
from margin_actors.clearing.journal import integrity_findings

ROUNDS = 6


@pytest.fixture(scope="module")
def on_postgres(
    embedded: None,
    world: World,
    postgres_server: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Running]:
    url = postgres_server.new_database()
    with served(world, tmp_path_factory.mktemp("service"), ledger_url=url) as running:
        yield running


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def gateways(request: pytest.FixtureRequest, world: World) -> Iterator[list[Running]]:
    names = {"sqlite": "service_of_session", "postgres": "on_postgres"}
    first: Running = request.getfixturevalue(names[request.param])
    url = first.gateway.archive.ledger_url
    with beside(first, world, ledger_url=url) as second:
        yield [first, second]


class Crowd:
    """What many clients do, and what was acknowledged to them."""

    def __init__(self, found: Desk, targets: list[str]) -> None:
        self.desk, self.targets = found, targets
        self.lock = threading.Lock()
        self.deposited: Counter[str] = Counter()
        self.traded: dict[str, Decimal] = defaultdict(Decimal)
        self.spent: Counter[str] = Counter()
        self.reserved: set[str] = set()
        self.unexpected: list[str] = []

    def member(self, seed: int) -> None:
        """One client: it pays, trades and quotes at random, and sends some requests twice."""
        chance = random.Random(seed)
        with MarginClient(self.targets[seed % 2]) as client:
            for step in range(ROUNDS):
                act = chance.choice([self.pay, self.trade, self.quote, self.quote])
                try:
                    act(client, chance, f"{self.desk.prefix}-{seed}-{step}")
                except RefusedError:
                    continue  # for example before a cycle includes a trade
                except MarginClientError as error:
                    self.unexpected.append(str(error))

    def pay(self, client: MarginClient, chance: random.Random, name: str) -> None:
        account, dollars = chance.choice(self.desk.accounts), chance.randint(1, 1_000)
        answers = [
            self.desk.deposit(client, account, dollars, key=name)
            for _ in range(chance.choice([1, 2]))
        ]
        with self.lock:
            self.deposited[account] += sum(not a.was_repeated for a in answers) * dollars

    def trade(self, client: MarginClient, chance: random.Random, name: str) -> None:
        buyer, seller = chance.sample(self.desk.accounts, 2)
        self.book(client, ClearedTrade(name, LINEAR, buyer, seller, "0.1", "50000"), chance)

    def book(self, client: MarginClient, trade: ClearedTrade, chance: random.Random) -> None:
        answers = [
            client.book_trades([trade], idempotency_key=trade.trade_id)
            for _ in range(chance.choice([1, 2]))
        ]
        with self.lock:
            if any(not a.was_repeated for a in answers):
                self.traded[trade.buyer_account_id] += Decimal(trade.quantity)
                self.traded[trade.seller_account_id] -= Decimal(trade.quantity)

    def quote(self, client: MarginClient, chance: random.Random, name: str) -> None:
        """Reserve; then cancel, leave it, or let two clients trade on the same quote at once."""
        buyer, seller = chance.sample(self.desk.accounts, 2)
        expires = datetime.now(UTC) + timedelta(minutes=5)
        client.reserve_margin(buyer, name, {LINEAR: 0.2}, expire_time=expires, idempotency_key=name)
        with self.lock:
            self.reserved.add(name)
        end = chance.choice(["cancel", "trade", "trade", "leave"])
        if end == "cancel":
            client.cancel_reservation(buyer, name)
        if end == "trade":
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(lambda n: self.spend(f"{name}-{n}", name, buyer, seller, n), (0, 1)))

    def spend(self, trade_id: str, quote: str, buyer: str, seller: str, gateway: int) -> None:
        trade = ClearedTrade(trade_id, LINEAR, buyer, seller, "0.2", "50000", quote)
        with MarginClient(self.targets[gateway]) as client:
            try:
                self.book(client, trade, random.Random(gateway))
            except RefusedError:
                return
            with self.lock:
                self.spent[quote] += 1


@pytest.mark.slow
def test_fifty_clients_on_two_gateways_leave_one_serial_history(
    gateways: list[Running], world: World
) -> None:
    with desk(gateways[0], world, "abcd", dollars=10_000_000) as found:
        found.cycle()
        start = found.log.refresh().at
        crowd = Crowd(found, [g.target for g in gateways])
        watched: list[int] = []
        ends = threading.Event()

        def watch() -> None:
            with MarginClient(gateways[1].target) as client:
                for message in client.watch_margin_calls(
                    resume_token=start.token, timeout_seconds=120
                ):
                    if message.change is not None:
                        watched.append(message.change.log_number)
                    number = int(message.resume_token.partition(":")[0])
                    if ends.is_set() and number >= found.log.state.number:
                        return

        def cycles() -> None:
            step = 0
            while not ends.wait(0.2):
                step += 1
                called = {found.accounts[step % 4]: 12_000_000 * (step % 2)}
                found.cycle(called)

        watcher, loop = threading.Thread(target=watch), threading.Thread(target=cycles)
        watcher.start()
        loop.start()
        with ThreadPoolExecutor(50) as pool:
            list(pool.map(crowd.member, range(50)))
        ends.set()
        loop.join()
        watcher.join(60)
        assert not watcher.is_alive()
        assert crowd.unexpected == []
        require_serial_history(found, gateways, crowd)
        events = found.log.events_after(start.number, KINDS, limit=100_000).events
        assert watched == [e.number for e in events]
        assert len(watched) > 3
        database = gateways[0].gateway.archive.ledger.database
        assert verify_ledger(database).findings == ()


def require_serial_history(found: Desk, gateways: list[Running], crowd: Crowd) -> None:
    """The state is the fold of the log in its own order, and counts each acknowledgement once."""
    first, second = (g.gateway.clearing.log.refresh() for g in gateways)
    assert first.at == second.at
    assert first.state == second.state
    state = EMPTY_HOUSE
    position: int | str = 0
    while page := found.log.events_after(position, limit=1_000):
        for one in page.events:
            copied = event_of(one.event.log_kind, payload_of(one.event))
            state = fold(state, copied, one.recorded_at)
        position = page.token
        if len(page.events) < 1_000:
            break
    assert state == first.state
    assert integrity_findings(state.journal) == ()
    for account in found.accounts:
        (usdc,) = [b for b in balances(state, account) if b.asset.name == "USDC"]
        # Trades at one price pay fees only, which leave the cash.
        assert usdc.collateral == (10_000_000 + crowd.deposited[account]) * DOLLAR
        held = quantities(state, account).get(LINEAR, Decimal(0))
        assert held == crowd.traded[account]
        gateways[1].gateway.positions.follow()
        book, _ = gateways[1].gateway.positions.held(account)
        assert book.positions.get(LINEAR, 0.0) == pytest.approx(float(held), abs=1e-9)
    assert crowd.spent
    assert set(crowd.spent.values()) == {1}, "no reservation was spent twice"
    assert set(crowd.spent) <= crowd.reserved
