"""Rules of the lists: pages of calculations, snapshots and scenario sets, and forged tokens."""

import itertools
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from margin_protos.v1 import margin_service_pb2 as pb
from margin_protos.v1 import market_data_service_pb2 as market_pb
from margin_protos.v1 import scenario_service_pb2 as scenario_pb
from soak.session import Session
from soak.values import ACCOUNTS, GATEWAYS

BAD = ("INVALID_ARGUMENT",)
SIZES = st.sampled_from([0, 1, 3, 1000, 1001, -1])
TOKENS = st.sampled_from(["", "", "abc", "9" * 26, "-1", "\x00"])
PAGES_MAX = 60
_AT_ONCE_NANOSECONDS = 10_000_000_000
"""A write waits for the lock of the ledger for at most 10 s."""


class ListRules(RuleBasedStateMachine):
    """See the module."""

    session: Session

    @rule(size=SIZES, token=TOKENS, which=st.booleans(), gateway=GATEWAYS)
    def lists(self, size: int, token: str, which: bool, gateway: int) -> None:
        bad = not 0 <= size <= 1000
        expect = ("INVALID_ARGUMENT",) if bad else ("OK",) if not token else (
            "OK", "INVALID_ARGUMENT")  # fmt: skip
        method = "ListSnapshots" if which else "ListScenarioSets"
        message = market_pb.ListSnapshotsRequest if which else scenario_pb.ListScenarioSetsRequest
        kind = f"bad {method}" if bad else method
        self.session.ordinary(
            method,
            message(page_size=size, page_token=token),
            gateway=gateway,
            expect=expect,
            kind=kind,
        )

    @rule(size=st.sampled_from([1, 7, 1000]), gateway=GATEWAYS)
    def walk_the_snapshots(self, size: int, gateway: int) -> None:
        """Every page follows the one before, and one snapshot is current."""
        session, token, seen = self.session, "", list[Any]()
        for _ in range(40):
            request = market_pb.ListSnapshotsRequest(page_size=size, page_token=token)
            outcome = session.ordinary("ListSnapshots", request, gateway=gateway)
            if not outcome.is_ok:
                return
            seen += outcome.answer.snapshots
            token = outcome.answer.next_page_token
            if not token:
                break
        current = [s.snapshot_id for s in seen if s.is_current]
        is_whole = not token
        if (is_whole and set(current) != {session.model.snapshot_id}) or not set(current) <= {
            session.model.snapshot_id
        }:
            session.record.violation(
                "the list names another snapshot as current",
                found=current,
                expected=session.model.snapshot_id,
            )

    @rule(size=st.sampled_from([11, 100, 1000]), gateway=GATEWAYS)
    def walk_the_books(self, size: int, gateway: int) -> None:
        """Every book that was acknowledged is listed once."""
        session, token, seen = self.session, "", list[str]()
        known = {
            i
            for i, c in session.calculations.items()
            if not isinstance(c, pb.CalculateMarginResponse)
        }
        for _ in range(PAGES_MAX):
            request = pb.ListCalculationsRequest(page_size=size, page_token=token, kind=2)
            outcome = session.ordinary(
                "ListCalculations", request, gateway=gateway, kind=f"books by {size}"
            )
            if not outcome.is_ok:
                return
            seen += [c.calculation_id for c in outcome.answer.calculations]
            token = outcome.answer.next_page_token
            if not token:
                break
        missing = known - set(seen) if not token else set()
        if missing or len(seen) != len(set(seen)):
            session.record.violation(
                "the list of books lacks or repeats some",
                missing=sorted(missing)[:10],
                repeated=len(seen) - len(set(seen)),
            )

    @rule(kind=st.sampled_from([0, 1, 2, 2, 77, -1]), size=st.sampled_from([0, 1, 7, 1000, 1001,
          -1, 2**31 - 1]), token=st.sampled_from(["", "", "abc", "9" * 26, "-1", "0", "\x00",
          "x" * 10_000]), account=st.one_of(st.just(""), ACCOUNTS), gateway=GATEWAYS)  # fmt: skip
    def list_calculations(
        self, kind: int, size: int, token: str, account: str, gateway: int
    ) -> None:
        request = pb.ListCalculationsRequest(
            page_size=size, page_token=token, account_id=account, kind=kind
        )
        bad = kind not in (0, 1, 2) or not 0 <= size <= 1000
        expect = BAD if bad else ("OK",) if not token else ("OK", *BAD)
        kind_of = "bad list" if bad else "ListCalculations"
        outcome = self.session.ordinary(
            "ListCalculations", request, gateway=gateway, expect=expect, kind=kind_of
        )
        if outcome.is_ok and not token:
            found = outcome.answer.calculations
            times = [c.create_time.ToNanoseconds() for c in found]
            ok = len(found) <= (size or 50) and all(kind in (0, c.kind) for c in found)
            ok &= all(account in ("", c.account_id) for c in found)
            # The order is that of recording; gateways record at the same time what they calculated
            # one after the other.
            ok &= all(b - a < _AT_ONCE_NANOSECONDS for a, b in itertools.pairwise(times))
            if not ok:
                self.session.record.violation(
                    "a page of calculations is wrong", size=size, kind=kind, account=account
                )
