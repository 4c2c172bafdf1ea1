"""Rules of MarginService: margins, books, what-ifs, explanations, records."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, rule
from margin_protos.v1 import margin_service_pb2 as pb
from margin_protos.v1 import margin_types_pb2 as types_pb
from soak.calls import Outcome
from soak.checks import (
    REFUSED_MARGIN,
    check_account_margin,
    check_book,
    check_calculated,
    check_generation,
    expected_codes,
    remember,
)
from soak.engine import canonical_book, is_expired
from soak.model import exact_sum
from soak.session import Session
from soak.values import (
    ACCOUNTS,
    GATEWAYS,
    LEGS,
    PLACES,
    REQUEST_IDS,
    STRANGE_INSTRUMENTS,
    STRANGE_QUANTITIES,
    STRANGE_TEXTS,
    Leg,
    portfolio_of,
    positions_proto,
)

from margin_actors.errors import MarginError

SNAPSHOTS = st.sampled_from(["", "", "", "", "current", "other", "strange"])
BAD = ("INVALID_ARGUMENT",)


def snapshot_asked(session: Session, which: str) -> tuple[str, tuple[str, ...]]:
    """Return a snapshot id to ask for, and the statuses that follow from it (none: any)."""
    model = session.model
    if which == "current":
        return model.snapshot_id, ()
    if which == "other":
        others = sorted(set(model.snapshots) - {model.snapshot_id})
        if others:
            return others[0], ("FAILED_PRECONDITION",)
    if which == "strange":
        return STRANGE_TEXTS[3], ("FAILED_PRECONDITION", "INVALID_ARGUMENT")
    return "", ()


def held_by(session: Session, account: str) -> dict[str, float] | None:
    return session.model.positions[account][1] if account in session.model.positions else None


def after_trades(held: Mapping[str, float], trades: Mapping[str, float]) -> dict[str, float]:
    """Return positions after trades; those that come to nothing are gone."""
    out = dict(held)
    for name, quantity in trades.items():
        total = exact_sum(out.get(name, 0.0), quantity)
        if total == 0.0:
            out.pop(name, None)
        else:
            out[name] = total
    return out


def calculate_account(
    session: Session, account: str, gateway: int = 0, **arguments: Any
) -> Outcome:
    """Ask for a resident account's margin and check it against the engine."""
    held = held_by(session, account)
    request = pb.CalculateMarginRequest(account_id=account)
    expect = expected_codes(session, held)
    outcome = session.ordinary(
        "CalculateMargin", request, gateway=gateway, expect=expect, **arguments
    )
    if outcome.is_ok and held is not None:
        check_calculated(session, outcome, account)
    return outcome


def calculate_book(
    session: Session,
    gateway: int = 0,
    accounts: list[str] | None = None,
    members: list[str] | None = None,
    kind: str = "CalculateBook",
    **arguments: Any,
) -> Outcome:
    """Ask for the margins of a book and check them against the engine."""
    model = session.model
    request = pb.CalculateBookRequest(account_ids=accounts or (), member_ids=members or ())
    chosen: list[str] | None = None
    holders = {a for a, (_, held) in model.positions.items() if held}
    expect: tuple[str, ...] = ("OK",) if holders else ("FAILED_PRECONDITION",)
    if accounts or members:
        wanted, of = set(accounts or ()), set(members or ())
        chosen = sorted(a for a in model.positions if a in wanted or model.positions[a][0] in of)
        known = {m for _, (m, held) in model.positions.items() if held}
        if wanted - holders or of - known:
            # An account that is known and holds nothing may be refused or left out.
            unknown = wanted - set(model.positions) or of - {m for m, _ in model.positions.values()}
            expect = ("NOT_FOUND", *(() if unknown else ("OK", *expect)))
    outcome = session.ordinary(
        "CalculateBook", request, gateway=gateway, expect=expect, kind=kind, **arguments
    )
    if outcome.is_ok and holders:
        check_book(session, outcome, chosen)
    return outcome


class MarginRules(RuleBasedStateMachine):
    """See the module."""

    session: Session
    calculation_keys = Bundle("calculation_keys")

    @rule(account=ACCOUNTS, gateway=GATEWAYS, request_id=REQUEST_IDS)
    def margin_of_an_account(self, account: str, gateway: int, request_id: str) -> None:
        calculate_account(self.session, account, gateway, request_id=request_id)

    @rule(account=ACCOUNTS, which=SNAPSHOTS, gateway=GATEWAYS)
    def margin_on_a_snapshot(self, account: str, which: str, gateway: int) -> None:
        """A snapshot that is not current cannot be selected."""
        snapshot_id, refused = snapshot_asked(self.session, which)
        held = held_by(self.session, account)
        expect = {*refused, "NOT_FOUND"} if refused else set(expected_codes(self.session, held))
        request = pb.CalculateMarginRequest(account_id=account, snapshot_id=snapshot_id)
        outcome = self.session.ordinary(
            "CalculateMargin", request, gateway=gateway, expect=expect, kind="margin on a snapshot"
        )
        if outcome.is_ok and held is not None:
            check_calculated(self.session, outcome, account)

    @rule(target=calculation_keys, account=ACCOUNTS, gateway=GATEWAYS)
    def margin_under_a_key(self, account: str, gateway: int) -> str:
        """Two attempts under one key are one calculation; without a key they are two."""
        session, key = self.session, self.session.fresh("calculation")
        held = held_by(session, account)
        ids: list[str] = []
        for number in range(2):
            request = pb.CalculateMarginRequest(account_id=account, idempotency_key=key)
            outcome = session.ordinary(
                "CalculateMargin",
                request,
                gateway=gateway + number,
                expect=expected_codes(session, held),
            )
            if outcome.is_ok:
                ids.append(outcome.answer.calculation_id)
        if len(set(ids)) > 1:
            session.record.violation("one key gave two calculation ids", ids=ids)
        if ids and held:
            free = [calculate_account(session, account, gateway) for _ in range(2)]
            found = {o.answer.calculation_id for o in free if o.is_ok}
            if len(found | set(ids)) != 3:
                session.record.violation("calculations without a key share an id", ids=list(found))
        return key

    @rule(legs=st.lists(LEGS, max_size=8), strange=st.integers(0, 7), place=PLACES,
          gateway=GATEWAYS)  # fmt: skip
    def margin_of_a_portfolio(
        self, legs: list[Leg], strange: int, place: int, gateway: int
    ) -> None:
        session, model = self.session, self.session.model
        held = portfolio_of(legs, model.snapshot)
        positions = positions_proto(held)
        expect: tuple[str, ...] = ()
        if strange == 0:
            name = STRANGE_INSTRUMENTS[place % len(STRANGE_INSTRUMENTS)]
            positions.append(types_pb.Position(instrument_name=name, quantity=10.0))
            expect = REFUSED_MARGIN
        elif strange == 1:
            quantity = STRANGE_QUANTITIES[place % len(STRANGE_QUANTITIES)]
            positions.append(types_pb.Position(instrument_name="BTC-PERPETUAL", quantity=quantity))
            expect = REFUSED_MARGIN if abs(quantity) > 1e-12 else ("OK", *REFUSED_MARGIN)
            expect = expect if quantity == quantity else REFUSED_MARGIN
        elif strange == 2 and positions:
            positions.append(positions[0])
            expect = BAD
        elif not positions:
            expect = BAD
        request = pb.CalculateMarginRequest(portfolio=types_pb.Portfolio(positions=positions))
        expect = expect or expected_codes(session, held)
        outcome = session.ordinary(
            "CalculateMargin", request, gateway=gateway, expect=expect, kind="margin of a portfolio"
        )
        if outcome.is_ok and strange not in (0, 1, 2):
            answer = outcome.answer
            if check_generation(session, answer.generation):
                check_account_margin(session, answer.margin, answer.generation, held)
            if answer.portfolio_version != 0:
                session.record.violation("a portfolio's margin names a version of the positions")
            if answer.inputs.book_id != canonical_book({"": ("", held)}).id:
                session.record.violation(
                    "a portfolio's book id is not that of its positions", held=held
                )
            remember(session, answer.calculation_id, answer)

    @rule(gateway=GATEWAYS)
    def margin_of_nothing(self, gateway: int) -> None:
        for method, request in (
            ("CalculateMargin", pb.CalculateMarginRequest()),
            ("SimulateMargin", pb.SimulateMarginRequest()),
            ("ExplainMargin", pb.ExplainMarginRequest()),
        ):
            self.session.ordinary(
                method, request, gateway=gateway, expect=BAD, kind=f"empty {method}"
            )

    @rule(gateway=GATEWAYS, request_id=REQUEST_IDS)
    def whole_book(self, gateway: int, request_id: str) -> None:
        calculate_book(self.session, gateway, request_id=request_id)

    @rule(accounts=st.lists(ACCOUNTS, max_size=5, unique=True),
          members=st.lists(st.sampled_from(["M0", "M1", "M2", "M9", "", "x" * 200]), max_size=2),
          gateway=GATEWAYS)  # fmt: skip
    def part_of_a_book(self, accounts: list[str], members: list[str], gateway: int) -> None:
        if accounts or members:
            calculate_book(self.session, gateway, accounts, members, kind="part of a book")

    @rule(which=SNAPSHOTS, gateway=GATEWAYS)
    def book_on_a_snapshot(self, which: str, gateway: int) -> None:
        snapshot_id, refused = snapshot_asked(self.session, which)
        if not refused:
            return
        request = pb.CalculateBookRequest(snapshot_id=snapshot_id)
        self.session.ordinary(
            "CalculateBook", request, gateway=gateway, expect=refused, kind="book, other snapshot"
        )

    @rule(account=ACCOUNTS, own=st.booleans(),
          candidates=st.lists(st.lists(LEGS, max_size=4), min_size=1, max_size=4),
          gateway=GATEWAYS)  # fmt: skip
    def what_if(self, account: str, own: bool, candidates: list[list[Leg]], gateway: int) -> None:
        session, model = self.session, self.session.model
        held = held_by(session, account) if own else {}
        trades = [portfolio_of(legs, model.snapshot) for legs in candidates]
        request = pb.SimulateMarginRequest(
            candidates=[
                pb.Candidate(candidate_id=str(i), trades=positions_proto(t))
                for i, t in enumerate(trades)
            ]
        )
        if own:
            request.account_id = account
        else:
            request.portfolio.SetInParent()
        known = held is not None
        sides = [held or {}, *(after_trades(held or {}, t) for t in trades)]
        results = [
            model.engine.account(model.snapshot, model.scenarios, "x", "", side) for side in sides
        ]
        live = {n for t in trades for n in t if is_expired(n, model.snapshot)}
        refused = any(isinstance(r, MarginError) for r in results) or bool(live)
        expect = REFUSED_MARGIN if refused else ("OK",)
        if not known:
            expect = (*expect, "NOT_FOUND")
        outcome = session.ordinary("SimulateMargin", request, gateway=gateway, expect=expect)
        if not outcome.is_ok or refused:
            return
        answer = outcome.answer
        if not check_generation(session, answer.generation):
            return
        found = [answer.before, *(c.after for c in answer.candidates)]
        if len(found) != len(sides):
            session.record.violation("a what-if returns another number of candidates")
            return
        for margin, side in zip(found, sides, strict=True):
            check_account_margin(session, margin, answer.generation, side)

    @rule(what=st.integers(0, 3), place=PLACES, account=ACCOUNTS, gateway=GATEWAYS)
    def bad_what_if(self, what: int, place: int, account: str, gateway: int) -> None:
        name, quantity = "BTC-PERPETUAL", 10.0
        if what == 0:
            name = STRANGE_INSTRUMENTS[place % len(STRANGE_INSTRUMENTS)]
        elif what == 1:
            quantity = [q for q in STRANGE_QUANTITIES if q != 0.0][place % 13]
        trade = types_pb.Position(instrument_name=name, quantity=quantity)
        trades = [trade] * (1_001 if what == 2 else 1)
        candidates = [pb.Candidate(trades=trades)] * (101 if what == 3 else 1)
        request = pb.SimulateMarginRequest(account_id=account, candidates=candidates)
        expect = (*REFUSED_MARGIN, "NOT_FOUND")
        if abs(quantity) < 1e-6:  # within the tolerance of whole lots
            expect = ("OK", *expect)
        self.session.ordinary(
            "SimulateMargin", request, gateway=gateway, expect=expect, kind=f"bad what-if {what}"
        )

    @rule(account=ACCOUNTS, scenarios=st.sampled_from([0, 0, 1, 5, 500, 10**9, -1]),
          traced=st.sampled_from([None, None, 0, 7, 499, 500, -1, 2**31 - 1]),
          gateway=GATEWAYS)  # fmt: skip
    def explanation(self, account: str, scenarios: int, traced: int | None, gateway: int) -> None:
        session, model = self.session, self.session.model
        held = held_by(session, account)
        request = pb.ExplainMarginRequest(
            account_id=account, scenarios_max=scenarios, traced_scenario=traced
        )
        bad = scenarios < 0 or not (traced is None or 0 <= traced < len(model.scenarios))
        expect = expected_codes(session, held)
        if bad:
            expect = (*BAD, *(() if expect == ("OK",) else expect))
        live = model.engine.live(model.snapshot, held or {})
        if held is not None and not live:
            expect = (*expect, "OK", *REFUSED_MARGIN)
        outcome = session.ordinary("ExplainMargin", request, gateway=gateway, expect=expect)
        if not outcome.is_ok or not live or held is None:
            return
        answer = outcome.answer
        if not check_generation(session, answer.generation):
            return
        member = model.positions[account][0]
        check_account_margin(
            session, answer.margin, answer.generation, held, account=account, member=member
        )
        names = [p.instrument_name for p in answer.positions]
        if names != sorted(live):
            session.record.violation(
                "an explanation has other positions", found=names, expected=sorted(live)
            )
        if traced is not None and len(answer.traced) != len(live):
            session.record.violation("a traced scenario has other positions")
        total = sum(p.component_es_usd for p in answer.positions)
        scale = sum(abs(p.component_es_usd) for p in answer.positions) + 1.0
        if abs(total - answer.margin.es_usd) > 1e-9 * scale:
            session.record.violation(
                "components do not add up to expected shortfall",
                total=total,
                es=answer.margin.es_usd,
            )

    @rule(place=PLACES, strange=st.integers(0, 4), accounts=st.lists(ACCOUNTS, max_size=3),
          gateway=GATEWAYS)  # fmt: skip
    def recorded_calculation(
        self, place: int, strange: int, accounts: list[str], gateway: int
    ) -> None:
        session = self.session
        ids = list(session.calculations)
        if strange == 0 or not ids:
            bad = (*STRANGE_TEXTS, "calculation-" + "0" * 32)[place % (len(STRANGE_TEXTS) + 1)]
            request = pb.GetCalculationRequest(calculation_id=bad)
            expect = ("NOT_FOUND", "INVALID_ARGUMENT")
            session.ordinary(
                "GetCalculation", request, gateway=gateway, expect=expect, kind="no calculation"
            )
            return
        calculation_id = ids[-1 - place % min(len(ids), 200)]
        known = session.calculations[calculation_id]
        request = pb.GetCalculationRequest(calculation_id=calculation_id, account_ids=accounts)
        outcome = session.ordinary(
            "GetCalculation", request, gateway=gateway, expect=("OK", "NOT_FOUND")
        )
        if not outcome.is_ok:
            if not accounts or isinstance(known, pb.CalculateMarginResponse):
                session.record.violation("a recorded calculation is gone", id=calculation_id)
            return
        answer = outcome.answer
        wrong = answer.calculation.digest != known.digest
        wrong |= answer.calculation.inputs != known.inputs
        if isinstance(known, pb.CalculateMarginResponse):
            wrong |= list(answer.margins) != [known.margin]
        if wrong:
            session.record.violation(
                "a recorded calculation is not what was returned",
                id=calculation_id,
                found=str(answer)[:1500],
                expected=str(known)[:1500],
            )
