"""A connection to PostgreSQL that is lost at the commit: the log never guesses the result."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

import pytest
from clearing_logs import all_events, opened
from margin_cluster.ledger.verification import verify_ledger
from postgres_server import PostgresServer
from small_house import Deposit, Require, fold_all

from margin_actors.errors import LedgerUnavailable

pytestmark = [
    pytest.mark.postgres,
    # The driver leaves the socket of a broken connection to the garbage collector, which warns.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


class Proxy:
    """Forwards connections, and cuts the one that commits when it is armed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cut: Literal["", "request", "reply"] = ""
        """What of the next commit is lost: the request, or the server's reply to it."""
        self.cuts = 0
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                for one in (client, server):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets += [client, server]
                for pair in ((client, server, "request"), (server, client, "reply")):
                    thread = threading.Thread(target=self._forward, args=pair)
                    self._threads.append(thread)
                    thread.start()

    def _forward(self, source: socket.socket, target: socket.socket, what: str) -> None:
        words = b"commit\x00" if what == "request" else b"COMMIT\x00"
        with suppress(OSError):
            while data := source.recv(65_536):
                if self.cut == what and words in data:
                    self.cut, self.cuts = "", self.cuts + 1
                    break
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for one in self._sockets:
            one.close()
        for thread in self._threads:
            thread.join()


@contextmanager
def proxied(server: PostgresServer, url: str) -> Iterator[tuple[Proxy, str]]:
    proxy = Proxy(server.port)
    try:
        yield proxy, url.replace(f":{server.port}/", f":{proxy.port}/")
    finally:
        proxy.close()


@pytest.fixture
def url(request: pytest.FixtureRequest, postgres_server: PostgresServer) -> str:
    template = request.getfixturevalue("empty_database")
    name = f"cut_{len(postgres_server.execute('SELECT datname FROM pg_database'))}"
    postgres_server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    return postgres_server.url(name)


@pytest.mark.parametrize("cut", ["request", "reply"])
def test_a_commit_of_unknown_result_is_read_again_and_can_be_repeated(
    cut: Literal["request", "reply"], postgres_server: PostgresServer, url: str
) -> None:
    with proxied(postgres_server, url) as (proxy, through), opened(through) as log:
        log.commit([Deposit("d1", "A", 100)])
        before = log.committed
        proxy.cut = cut
        with pytest.raises(LedgerUnavailable):
            log.commit([Deposit("d2", "A", 10), Require("r1", "A", 1)])
        assert proxy.cuts == 1
        assert log.committed is before
        was_committed = cut == "reply"
        assert log.refresh().at.number == before.at.number + 3 * was_committed
        repeated = log.commit([Deposit("d2", "A", 10), Require("r1", "A", 1)])
        assert [d.is_repeat for d in repeated] == [was_committed] * 2
        assert log.state.resources_cents("A") == 110
        assert log.state == fold_all(all_events(log))
        assert verify_ledger(log._database).findings == ()


def test_a_repeat_without_reading_first_finds_what_was_committed(
    postgres_server: PostgresServer, url: str
) -> None:
    """In the queue: every command of the lost commit fails, and each can be submitted again."""
    with proxied(postgres_server, url) as (proxy, through), opened(through) as log:
        log.commit([Deposit("d0", "A", 1)])
        commands = [Deposit(f"d{i}", "A", 1) for i in range(1, 6)]
        proxy.cut = "reply"
        lost = [log.submit(command) for command in commands]
        assert isinstance(lost[0].exception(30), LedgerUnavailable)
        for result in lost:
            result.exception(30)
        again = [log.submit(command).result(30) for command in commands]
        assert again[0].is_repeat
        assert log.state.resources_cents("A") == 6
        assert log.committed.at.number == 12
        assert log.state == fold_all(all_events(log))


def test_a_server_that_ends_the_connection_in_the_transaction_leaves_nothing(
    postgres_server: PostgresServer, url: str
) -> None:
    with opened(url) as log:
        log.commit([Deposit("d1", "A", 1)])
        name = url.rsplit("/", 1)[1]
        ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"

        def clock() -> object:  # read while the head is locked
            postgres_server.execute(ended)
            return log._clock()

        with pytest.raises(LedgerUnavailable):
            log.commit([Deposit("d2", "A", 1)], clock=clock)
        assert log.refresh().at.number == 2
        assert not log.commit([Deposit("d2", "A", 1)])[0].is_repeat
