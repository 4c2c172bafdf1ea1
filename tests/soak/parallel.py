"""Changes that run at the same time: each under its key until its outcome is known.

The answers carry versions and generation numbers, which give the order in which the changes took
effect; the model takes them in that order, and what remains must agree.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from margin_protos.v1 import margin_service_pb2 as pb
from soak.calls import Caller, Outcome
from soak.checks import check_account_margin
from soak.market import publication
from soak.model import Positions, Row, Used
from soak.rules_positions import trades_request, upload_stream
from soak.session import TRANSIENT, Session
from soak.values import instruments_of, lot_of

from margin_actors.market.snapshots import MarketSnapshot

THREADS = 12


def small_trades(session: Session, count: int, salt: int) -> list[tuple[list[Row], str]]:
    """Return trades that the contract accepts whatever their order, each with its own key."""
    model = session.model
    names = [n for n in instruments_of(model.snapshot) if not model.engine.fault(model.snapshot, n)]
    # An upload at the same time has the first members; trades of others would be refused after it.
    first = {account: member for account, (member, _) in session.seed.positions.items()}
    accounts = sorted(a for a, (member, _) in model.positions.items() if first.get(a) == member)
    out: list[tuple[list[Row], str]] = []
    for number in range(count if accounts else 0):
        account = accounts[(salt + number) % min(3, len(accounts))]
        name = names[(salt * 7 + number % 4) % len(names)]
        member, positions = model.positions[account]
        held = positions.get(name, 0.0)
        if abs(held) > 1e9:
            continue
        sign = -1.0 if held > 0 else 1.0
        quantity = round(sign * lot_of(name) * (1 + (salt + number) % 9), 2)
        rows: list[Row] = [(account, member, name, quantity)]
        if model.judge_trades(rows)[0] is True:
            out.append((rows, session.fresh("parallel")))
    return out


@dataclass
class Parallel:
    """Changes and reads in progress; `finish` waits for all of them."""

    session: Session
    seconds: float = 60.0
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THREADS))
    _trades: list[tuple[list[Row], str, Future[Outcome]]] = field(default_factory=list)
    _uploads: list[tuple[Positions, str, Future[Outcome]]] = field(default_factory=list)
    _snapshots: list[tuple[MarketSnapshot, str, Future[Outcome]]] = field(default_factory=list)
    _reads: list[Future[Outcome]] = field(default_factory=list)
    _number: int = 0

    def __post_init__(self) -> None:
        self._version = self.session.model.version

    def _decided(self, attempt: Callable[[Caller], Outcome]) -> Future[Outcome]:
        self._number += 1
        return self._pool.submit(self.session.decided, attempt, gateway=self._number)

    def trades(self, count: int, salt: int) -> None:
        for rows, key in small_trades(self.session, count, salt):
            request = trades_request(rows, key)
            self._trades.append(
                (rows, key, self._decided(self._sender("ApplyTrades", lambda r=request: r)))
            )

    def upload(self, positions: Positions) -> None:
        key = self.session.fresh("parallel")
        send = self._sender("UploadPositions", lambda: upload_stream(positions, key))
        self._uploads.append((positions, key, self._decided(send)))

    def publish(self, snapshot: MarketSnapshot) -> None:
        """Publish a snapshot of the time of the current one, so that none is older."""
        key = self.session.fresh("parallel")
        self.session.model.snapshots[snapshot.id] = snapshot
        send = self._sender("PublishSnapshot", lambda: publication(snapshot, key=key))
        self._snapshots.append((snapshot, key, self._decided(send)))

    def _sender(self, method: str, request: Callable[[], Any]) -> Callable[[Caller], Outcome]:
        return lambda caller: caller.call(method, request(), seconds=self.seconds)

    def reads(self, books: int, margins: int) -> None:
        accounts = sorted(self.session.model.positions)
        for number in range(books):
            caller = self.session.caller(number)
            self._reads.append(
                self._pool.submit(
                    caller.call, "CalculateBook", pb.CalculateBookRequest(), seconds=self.seconds
                )
            )
        for number in range(margins if accounts else 0):
            request = pb.CalculateMarginRequest(account_id=accounts[number % 3 % len(accounts)])
            caller = self.session.caller(number)
            self._reads.append(
                self._pool.submit(caller.call, "CalculateMargin", request, seconds=self.seconds)
            )

    def finish(self, *, is_calm: bool) -> None:
        """Wait for everything and take the changes in; `is_calm`: nothing was killed."""
        trades = [(rows, key, f.result()) for rows, key, f in self._trades]
        uploads = [(positions, key, f.result()) for positions, key, f in self._uploads]
        snapshots = [(snapshot, key, f.result()) for snapshot, key, f in self._snapshots]
        reads = [f.result() for f in self._reads]
        self._pool.shutdown()
        self._account_positions(trades, uploads)
        self._account_snapshots(snapshots)
        for outcome in reads:
            check_concurrent_read(self.session, outcome, self._version, is_calm=is_calm)
        if snapshots:
            self.session.wait_for_generation("concurrent changes")

    def _account_positions(
        self,
        trades: list[tuple[list[Row], str, Outcome]],
        uploads: list[tuple[Positions, str, Outcome]],
    ) -> None:
        model, record = self.session.model, self.session.record
        changes: list[tuple[int, Any]] = []
        refused: list[Any] = []
        for rows, key, outcome in trades:
            if outcome.is_ok:
                changes.append((outcome.answer.version, ("trades", rows, key)))
            else:
                refused.append((outcome.code, outcome.message, outcome.reasons, rows))
        for positions, key, outcome in uploads:
            if outcome.is_ok:
                changes.append((outcome.answer.version, ("upload", positions, key)))
            else:
                refused.append((outcome.code, outcome.message, outcome.reasons, "upload"))
        versions = sorted(version for version, _ in changes)
        expected = list(range(model.version + 1, model.version + 1 + len(changes)))
        if versions != expected:
            record.violation(
                "versions of concurrent changes skip or repeat", found=versions, expected=expected
            )
        for version, (kind, content, key) in sorted(changes, key=lambda x: x[0]):
            if kind == "trades":
                model.apply(content, version)
                model.trade_keys[key] = Used(tuple(content), version)
            else:
                model.replace(content, version)
                model.upload_keys[key] = Used(content, version)
        if refused:
            record.violation("concurrent changes were refused", refused=refused[:5])
            self.session.adopt("concurrent changes were refused")

    def _account_snapshots(self, done: list[tuple[MarketSnapshot, str, Outcome]]) -> None:
        model, record = self.session.model, self.session.record
        made: list[tuple[int, MarketSnapshot, str]] = []
        for snapshot, key, outcome in done:
            if outcome.is_ok:
                made.append((outcome.answer.generation, snapshot, key))
            else:
                record.violation(
                    f"a concurrent publication ended with {outcome.code}",
                    message=outcome.message,
                    reasons=outcome.reasons,
                )
        numbers = sorted(number for number, _, _ in made)
        expected = list(range(model.generation + 1, model.generation + 1 + len(made)))
        if numbers != expected:
            record.violation(
                "generations of concurrent publications skip or repeat",
                found=numbers,
                expected=expected,
            )
        for number, snapshot, key in sorted(made, key=lambda x: x[0]):
            model.publish(snapshot, number)
            model.publish_keys[key] = Used(snapshot.id, number)


def check_concurrent_read(
    session: Session, outcome: Outcome, before: int, *, is_calm: bool
) -> None:
    """A read beside changes is the engine's for the version and generation that it names."""
    model = session.model
    refused = {"INVALID_ARGUMENT", "FAILED_PRECONDITION", "NOT_FOUND"}
    if not outcome.is_ok:
        if outcome.code not in (refused if is_calm else refused | TRANSIENT):
            session.record.violation(
                f"{outcome.method} beside changes ended with {outcome.code}",
                message=outcome.message,
            )
        return
    if outcome.method != "CalculateMargin":
        return
    answer = outcome.answer
    version = answer.portfolio_version
    if not before <= version <= model.version:
        session.record.violation(
            "a margin beside changes names another version",
            found=version,
            expected=(before, model.version),
        )
        return
    if answer.generation.snapshot_id not in model.snapshots:
        session.record.violation(
            "a margin beside changes names an unknown snapshot", found=str(answer.generation)
        )
        return
    account = answer.margin.account_id
    member, held = model.history[version].get(account, ("", {}))
    check_account_margin(
        session, answer.margin, answer.generation, held, account=account, member=member
    )
