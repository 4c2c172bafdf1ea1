"""Rules of badly behaved callers: cancelled calls, short deadlines, disconnects, bursts."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from margin_protos.v1 import margin_service_pb2 as pb
from margin_protos.v1 import portfolio_service_pb2 as portfolio_pb
from margin_protos.v1 import scenario_service_pb2 as scenario_pb
from soak.calls import SERVICE_OF, Caller
from soak.market import MarketSpec, publication, snapshot_of
from soak.model import Positions, Used
from soak.parallel import Parallel, small_trades
from soak.rules_margin import calculate_book
from soak.rules_positions import (
    rows_of,
    send_trades,
    trades_request,
    upload_stream,
)
from soak.session import Session
from soak.values import ACCOUNTS, GATEWAYS, LEGS, PLACES, Leg

SHORT_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.03, 0.1)
CUT_OFF = ("CANCELLED", "DEADLINE_EXCEEDED", "OK", "UNAVAILABLE")
STALLED_MAX = 6
BURST_ONE_CALLER = 200


def readings(session: Session, account: str) -> dict[str, Callable[[], Any]]:
    """Return requests that change nothing, by method."""
    what_if = pb.SimulateMarginRequest(account_id=account, candidates=[pb.Candidate()] * 20)
    return {
        "CalculateMargin": lambda: pb.CalculateMarginRequest(account_id=account),
        "CalculateBook": pb.CalculateBookRequest,
        "SimulateMargin": lambda: what_if,
        "ExplainMargin": lambda: pb.ExplainMarginRequest(account_id=account),
        "ExportMargin": lambda: pb.ExportMarginRequest(account_id=account),
        "ListCalculations": lambda: pb.ListCalculationsRequest(page_size=1000),
        "GetPortfolio": lambda: portfolio_pb.GetPortfolioRequest(account_id=account),
        "PublishSnapshot": lambda: publication(session.model.snapshot),
    }


def priceable_positions(session: Session, salt: int) -> Positions:
    """Return the first book without what cannot be priced at present, and one position more."""
    model, out = session.model, Positions()
    for account, (member, held) in session.seed.positions.items():
        kept = {n: q for n, q in held.items() if not model.engine.fault(model.snapshot, n)}
        out[account] = (member, kept)
    underlying = sorted(model.snapshot.index_usd)[0]
    out["A00"][1][f"{underlying}_USDC-PERPETUAL"] = round(0.01 * (1 + salt % 900), 2)
    return {a: p for a, p in out.items() if p[1]}


class HostileRules(RuleBasedStateMachine):
    """See the module."""

    session: Session

    def _cut(self, how: str, place: int, account: str, **arguments: Any) -> None:
        session = self.session
        requests = readings(session, account)
        method = sorted(requests)[place % len(requests)]
        outcome = session.caller(place).call(method, requests[method](), **arguments)
        session.record.event(how)
        known = ("NOT_FOUND", "INVALID_ARGUMENT", "FAILED_PRECONDITION")
        if outcome.code not in (*CUT_OFF, *known):
            session.record.violation(
                f"a {how} {method} ended with {outcome.code}", message=outcome.message
            )

    @rule(place=PLACES, account=ACCOUNTS, seconds=st.sampled_from(SHORT_SECONDS))
    def cancel_a_call(self, place: int, account: str, seconds: float) -> None:
        self._cut("cancelled", place, account, cancel_after=seconds)

    @rule(place=PLACES, account=ACCOUNTS, seconds=st.sampled_from(SHORT_SECONDS))
    def short_deadline(self, place: int, account: str, seconds: float) -> None:
        self._cut("short deadline", place, account, seconds=seconds)

    @rule(seconds=st.sampled_from(SHORT_SECONDS), cancel=st.booleans(), gateway=GATEWAYS)
    def next_book_after_a_cut_one(self, seconds: float, cancel: bool, gateway: int) -> None:
        """A book whose caller has gone does not delay the next."""
        session = self.session
        how = {"cancel_after": seconds} if cancel else {"seconds": seconds}
        session.caller(gateway).call("CalculateBook", pb.CalculateBookRequest(), **how)
        session.record.event("cut book")
        calculate_book(session, gateway, kind="book after a cut one")

    @rule(legs=st.lists(LEGS, min_size=1, max_size=4), seconds=st.sampled_from(SHORT_SECONDS),
          cancel=st.booleans(), gateway=GATEWAYS)  # fmt: skip
    def trade_that_is_cut_off(
        self, legs: list[Leg], seconds: float, cancel: bool, gateway: int
    ) -> None:
        """The outcome is open; repeating under the key decides it and never counts twice."""
        session = self.session
        how = {"cancel_after": seconds} if cancel else {"seconds": seconds}
        rows = rows_of(session, legs)
        send_trades(session, rows, session.fresh("cut"), gateway, **how)
        session.record.event("cut trade")

    @rule(place=PLACES, account=ACCOUNTS, seconds=st.sampled_from(SHORT_SECONDS))
    def disconnect(self, place: int, account: str, seconds: float) -> None:
        """A channel is closed in the middle of its call."""
        session = self.session
        target = session.caller(place).target
        caller = Caller(target, "leaver", session.record)
        timer = threading.Timer(seconds, caller.close)
        requests = readings(session, account)
        method = sorted(requests)[place % len(requests)]
        timer.start()
        caller.call(method, requests[method](), seconds=10.0)
        timer.join()
        session.record.event("disconnected")

    @rule(gateway=GATEWAYS, seconds=st.sampled_from([0.05, 0.5]))
    def silent_upload(self, gateway: int, seconds: float) -> None:
        """A stream that sends one message and falls silent holds nothing up."""
        session = self.session
        while len(session.stalled) >= STALLED_MAX:
            release(session)
        stop = threading.Event()
        first = next(upload_stream({"A00": ("M0", {"BTC-PERPETUAL": 10.0})}, "", is_whole=False))

        def messages() -> Iterator[Any]:
            yield first
            stop.wait(90.0)

        caller = Caller(session.caller(gateway).target, "silent", session.record)
        call = caller.method("UploadPositions").future(messages(), timeout=80.0)
        session.stalled.append((caller, call, stop))
        session.record.event("silent upload")
        time.sleep(seconds)  # the stream has begun by then; nothing depends on it
        calculate_book(session, gateway, kind="book beside silent uploads")

    @rule()
    def end_silent_uploads(self) -> None:
        while self.session.stalled:
            release(self.session)

    @rule(gateway=GATEWAYS, seconds=st.sampled_from([0.01, 0.1, 0.4]))
    def slow_reader(self, gateway: int, seconds: float) -> None:
        """A caller that reads a book slowly gets all of it."""
        session = self.session
        outcome = session.caller(gateway).call(
            "CalculateBook", pb.CalculateBookRequest(), between=lambda _: time.sleep(seconds)
        )
        session.record.event("slow reader")
        holders = any(held for _, held in session.model.positions.values())
        if holders and not outcome.is_ok:
            session.record.violation(
                f"a slow reader's book ended with {outcome.code}", message=outcome.message
            )

    @rule(count=st.integers(1, 24), salt=PLACES, uploads=st.sampled_from([0, 0, 0, 1, 2]),
          snapshots=st.sampled_from([0, 0, 1, 2]))  # fmt: skip
    def changes_at_once(self, count: int, salt: int, uploads: int, snapshots: int) -> None:
        """Trades, uploads and publications at once through all gateways, with reads beside them."""
        session, model = self.session, self.session.model
        parallel = Parallel(session)
        parallel.trades(count, salt)
        for number in range(uploads):
            parallel.upload(priceable_positions(session, salt + number))
        for number in range(snapshots):
            spec = MarketSpec(model.snapshot.time, (salt % 97, number + 1), salt % 5)
            if snapshot_of(spec).id not in model.snapshots:
                parallel.publish(snapshot_of(spec))
        parallel.reads(2, 4)
        parallel.finish(is_calm=True)
        session.record.event("changes at once")

    @rule(count=st.integers(2, 8), salt=PLACES)
    def one_key_at_once(self, count: int, salt: int) -> None:
        """Concurrent uses of one key take effect once."""
        session, model = self.session, self.session.model
        wanted = small_trades(session, 1, salt)
        if not wanted:
            return
        rows, key = wanted[0]
        request = trades_request(rows, key)
        with ThreadPoolExecutor(count) as pool:
            attempts = [
                pool.submit(
                    session.decided, lambda c: c.call("ApplyTrades", request), gateway=number
                )
                for number in range(count)
            ]
            outcomes = [a.result() for a in attempts]
        session.record.event("one key at once")
        versions = {o.answer.version for o in outcomes if o.is_ok}
        fresh = sum(not o.answer.was_repeated for o in outcomes if o.is_ok)
        # An answer that was lost on its way leaves repeats alone.
        if versions != {model.version + 1} or fresh > 1 or not all(o.is_ok for o in outcomes):
            session.record.violation(
                "concurrent uses of one key are not one change",
                versions=sorted(versions),
                fresh=fresh,
                codes=[o.code for o in outcomes],
            )
            session.adopt("one key at once")
        else:
            model.apply(rows, model.version + 1)
            model.trade_keys[key] = Used(tuple(rows), model.version)

    @rule(account=ACCOUNTS, gateway=GATEWAYS)
    def burst_of_one_caller(self, account: str, gateway: int) -> None:
        """A burst of one well-behaved caller is served without a rejection."""
        session = self.session
        if account not in session.model.positions:
            account = "A00"
        request = pb.SimulateMarginRequest(candidates=[pb.Candidate()])
        request.portfolio.SetInParent()
        caller = session.caller(gateway)
        calls = [
            caller.method("SimulateMargin").future(request, timeout=60.0)
            for _ in range(BURST_ONE_CALLER)
        ]
        codes: dict[str, int] = {}
        for call in calls:
            code = call.code().name
            codes[code] = codes.get(code, 0) + 1
            session.record.call("SimulateMargin", code)
        session.record.event("burst of one caller")
        if set(codes) != {"OK"}:
            session.record.violation("a burst of one caller was not served", codes=codes)

    @rule(place=PLACES, data=st.binary(max_size=200), size=st.sampled_from([0, 0, 0, 17 * 2**20]),
          gateway=GATEWAYS)  # fmt: skip
    def garbage_bytes(self, place: int, data: bytes, size: int, gateway: int) -> None:
        """Bytes that are not a message, messages that are too large, methods that do not exist."""
        session = self.session
        unary = ("CalculateMargin", "SimulateMargin", "GetPortfolio", "ApplyTrades", "NoSuchMethod")
        method = unary[place % len(unary)]
        service = SERVICE_OF.get(method, "MarginService")
        path = f"/margin_protos.v1.{service}/{method}"
        raw = session.caller(gateway).channel.unary_unary(path)
        body = b"\xff" * size if size else b"\x0a\xff" + data
        code = "OK"
        try:
            raw(body, timeout=20.0)
        except grpc.RpcError as error:
            code = error.code().name  # pyright: ignore[reportAttributeAccessIssue]
        session.record.call(f"bytes to {method}", code)
        expected = {"INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED"}
        if method == "NoSuchMethod":
            expected = {"UNIMPLEMENTED"}
        if code not in expected:
            session.record.violation(
                f"garbage bytes ended with {code}", method=method, data=body[:50]
            )

    @rule(seconds=st.sampled_from(SHORT_SECONDS), gateway=GATEWAYS)
    def build_that_is_cut_off(self, seconds: float, gateway: int) -> None:
        session = self.session
        request = scenario_pb.BuildScenarioSetRequest()
        outcome = session.caller(gateway).call(
            "BuildScenarioSet", request, cancel_after=seconds, seconds=60.0
        )
        session.record.event("cut build")
        if outcome.code not in (*CUT_OFF, "FAILED_PRECONDITION", "INVALID_ARGUMENT"):
            session.record.violation(
                f"a cut build ended with {outcome.code}", message=outcome.message
            )


def release(session: Session) -> None:
    """Cancel one of the calls that are held open."""
    caller, call, stop = session.stalled.pop(0)
    call.cancel()
    stop.set()
    with contextlib.suppress(Exception):
        call.result(5.0)
    caller.close()
