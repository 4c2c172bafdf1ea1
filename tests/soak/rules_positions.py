"""Rules that change positions: trades and uploads, valid and not, with keys reused."""

import math
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, rule
from margin_protos.v1 import margin_types_pb2 as types_pb
from margin_protos.v1 import portfolio_service_pb2 as pb
from soak.calls import Caller, Outcome
from soak.checks import check_positions
from soak.model import QUANTITY_MAX, Row, Used
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
    lot_of,
    name_of,
    quantity_of,
)

REFUSED = ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "NOT_FOUND")


def rows_of(session: Session, legs: list[Leg]) -> list[Row]:
    """Return trades with the members that are known, or a member for new accounts."""
    rows: list[Row] = []
    for leg in legs:
        name = name_of(leg, session.model.snapshot)
        member = session.model.positions.get(leg.account, (f"M{ord(leg.account[-1]) % 5}", {}))[0]
        rows.append((leg.account, member, name, quantity_of(leg, name)))
    return rows


def trades_request(rows: list[Row], key: str) -> pb.ApplyTradesRequest:
    trades = [
        pb.Trade(account_id=a, member_id=m, instrument_name=n, quantity=q) for a, m, n, q in rows
    ]
    return pb.ApplyTradesRequest(idempotency_key=key, trades=trades)


def well_formed(rows: list[Row]) -> bool:
    """Return whether the fields of trades may be what they are."""
    return all(
        a
        and all(len(i) <= 128 and i.isprintable() and i == i.strip() for i in (a, m))
        and math.isfinite(q)
        and q != 0.0
        and abs(q) <= QUANTITY_MAX
        for a, m, _, q in rows
    )


def send_trades(
    session: Session, rows: list[Row], key: str, gateway: int, **arguments: Any
) -> Outcome:
    """Send trades, repeat them until their outcome is known, and judge it against the model."""
    model, request = session.model, trades_request(rows, key)
    used = model.trade_keys.get(key)
    first: list[Outcome] = []

    def attempt(caller: Caller) -> Outcome:
        given = arguments if not first else {}
        if arguments or first:
            outcome = caller.call("ApplyTrades", request, **given)
        else:
            outcome = session.ordinary("ApplyTrades", request, caller=caller, expect=_ANY)
        first.append(outcome)
        return outcome

    outcome = session.decided(attempt, gateway=gateway)
    if used is not None:
        judge_repeat(session, outcome, used, tuple(rows))
    else:
        verdict, why = model.judge_trades(rows) if well_formed(rows) and key else (False, "")
        judge_trades(session, outcome, rows, key, verdict, why, attempts=len(first))
    return outcome


_ANY = ("OK", *REFUSED, "ALREADY_EXISTS", "RESOURCE_EXHAUSTED", "UNAVAILABLE")


def judge_repeat(session: Session, outcome: Outcome, used: Used, content: object) -> None:
    """Check the answer to a key that was used before."""
    record = session.record
    if used.content == content:
        if not outcome.is_ok:
            record.violation(
                f"{outcome.method} repeated under its key ended with {outcome.code}",
                message=outcome.message,
                reasons=outcome.reasons,
            )
        elif not outcome.answer.was_repeated:
            record.violation(f"{outcome.method} took effect twice under one key")
            session.adopt("a repeat took effect")
        elif hasattr(outcome.answer, "version") and outcome.answer.version != used.version:
            record.violation(
                f"{outcome.method} repeated under its key returned another version",
                found=outcome.answer.version,
                expected=used.version,
            )
    elif outcome.code != "ALREADY_EXISTS":
        record.violation(
            f"{outcome.method} with other content under a used key ended with {outcome.code}",
            message=outcome.message,
        )
        if outcome.is_ok:
            session.adopt("a reused key took effect")


def judge_trades(
    session: Session,
    outcome: Outcome,
    rows: list[Row],
    key: str,
    verdict: bool | None,
    why: str,
    *,
    attempts: int = 1,
) -> None:
    """Check that trades were accepted or refused as the contract says, and take them in."""
    record, model = session.record, session.model
    if outcome.is_ok:
        if verdict is False:
            record.violation("trades were accepted that the contract refuses", why=why, rows=rows)
        if outcome.answer.was_repeated and attempts == 1:
            record.violation("first trades under a key are called a repeat", key=key)
        if outcome.answer.version != model.version + 1:
            record.violation(
                "the version after trades is not the next one",
                found=outcome.answer.version,
                expected=model.version + 1,
            )
        model.apply(rows, outcome.answer.version)
        model.trade_keys[key] = Used(tuple(rows), outcome.answer.version)
    elif outcome.code not in REFUSED:
        record.violation(
            f"trades ended with {outcome.code}", message=outcome.message, rows=rows[:5]
        )
        session.adopt("trades ended strangely")
    elif verdict is True:
        record.violation(
            "trades were refused that the contract accepts",
            rows=rows,
            message=outcome.message,
            reasons=outcome.reasons,
        )


Positions = dict[str, tuple[str, dict[str, float]]]


def upload_stream(
    positions: Positions, key: str, *, rows_a_message: int = 40, is_whole: bool = True
) -> Iterator[pb.UploadPositionsRequest]:
    """Yield the stream of an upload; one that is not whole lacks the end."""
    rows = [(a, n, q) for a, (_, held) in positions.items() for n, q in held.items()]
    parts = [rows[i : i + rows_a_message] for i in range(0, len(rows), rows_a_message)] or [[]]
    for number, part in enumerate(parts):
        accounts = list(dict.fromkeys(a for a, _, _ in part))
        names = list(dict.fromkeys(n for _, n, _ in part))
        columns = types_pb.PositionColumns(
            account_ids=accounts,
            member_ids=[positions[a][0] for a in accounts],
            instrument_names=names,
            account=[accounts.index(a) for a, _, _ in part],
            instrument=[names.index(n) for _, n, _ in part],
            quantity=[q for _, _, q in part],
        )
        is_last = is_whole and number == len(parts) - 1
        yield pb.UploadPositionsRequest(
            idempotency_key=key if number == 0 else "", positions=columns, is_last=is_last
        )


def send_upload(session: Session, positions: Positions, key: str, gateway: int) -> Outcome:
    """Upload positions and judge the answer against the model."""
    model = session.model
    used = model.upload_keys.get(key) if key else None
    content = {a: (m, dict(h)) for a, (m, h) in positions.items()}
    attempts = 0

    def attempt(caller: Caller) -> Outcome:
        nonlocal attempts
        attempts += 1
        stream = upload_stream(positions, key)
        return session.ordinary("UploadPositions", stream, caller=caller, expect=_ANY)

    outcome = session.decided(attempt, gateway=gateway) if key else attempt(session.caller(gateway))
    if used is not None:
        judge_repeat(session, outcome, used, content)
        return outcome
    verdict, why = model.judge_upload(positions)
    if outcome.is_ok:
        answer = outcome.answer
        if verdict is False:
            session.record.violation("an upload was accepted that the contract refuses", why=why)
        if answer.version != model.version + 1 or (answer.was_repeated and attempts == 1):
            session.record.violation(
                "the version after an upload is not the next one",
                found=answer.version,
                repeated=answer.was_repeated,
                expected=model.version + 1,
            )
        model.replace(content, answer.version)
        if key:
            model.upload_keys[key] = Used(content, answer.version)
    elif outcome.code not in REFUSED or verdict is True:
        session.record.violation(
            f"an upload ended with {outcome.code}",
            why=why,
            message=outcome.message,
            reasons=outcome.reasons,
        )
        session.adopt("an upload ended strangely")
    return outcome


class PositionRules(RuleBasedStateMachine):
    """Rules of PortfolioService."""

    session: Session
    trade_keys = Bundle("trade_keys")

    @rule(target=trade_keys, legs=st.lists(LEGS, min_size=1, max_size=6), gateway=GATEWAYS,
          request_id=REQUEST_IDS)  # fmt: skip
    def trade(self, legs: list[Leg], gateway: int, request_id: str) -> str:
        key = self.session.fresh("trade")
        rows = rows_of(self.session, legs)
        extra = {"request_id": request_id} if request_id else {}
        send_trades(self.session, rows, key, gateway, **extra)
        return key

    @rule(key=trade_keys, same=st.booleans(), leg=LEGS, gateway=GATEWAYS)
    def reuse_a_trade_key(self, key: str, same: bool, leg: Leg, gateway: int) -> None:
        used = self.session.model.trade_keys.get(key)
        if used is None:
            return
        rows = list(used.content) if same else rows_of(self.session, [leg])  # type: ignore[call-overload]
        send_trades(self.session, rows, key, gateway)

    @rule(leg=LEGS, what=st.integers(0, 4), place=PLACES, gateway=GATEWAYS)
    def bad_trade(self, leg: Leg, what: int, place: int, gateway: int) -> None:
        """Trades with one field that may not be: each is refused and changes nothing."""
        account, member, name, quantity = rows_of(self.session, [leg])[0]
        key = self.session.fresh("bad")
        if what == 0:
            name = STRANGE_INSTRUMENTS[place % len(STRANGE_INSTRUMENTS)]
        elif what == 1:
            quantity = STRANGE_QUANTITIES[place % len(STRANGE_QUANTITIES)]
        elif what == 2:
            account = STRANGE_TEXTS[place % len(STRANGE_TEXTS)]
        elif what == 3:
            member = "" if account not in self.session.model.positions else "other"
        else:
            key = ("", "k" * 129, "line\nbreak")[place % 3]
        rows = [(account, member, name, quantity)]
        if what == 4:
            request = trades_request(rows, key)
            self.session.ordinary("ApplyTrades", request, gateway=gateway, expect=REFUSED)
        else:
            send_trades(self.session, rows, key, gateway)

    @rule(legs=st.lists(LEGS, min_size=1, max_size=3), place=PLACES, gateway=GATEWAYS)
    def one_bad_trade_among_good_ones(self, legs: list[Leg], place: int, gateway: int) -> None:
        rows = rows_of(self.session, legs)
        account, member, _, quantity = rows[0]
        name = STRANGE_INSTRUMENTS[place % len(STRANGE_INSTRUMENTS)]
        rows.insert(place % (len(rows) + 1), (account, member, name, quantity))
        send_trades(self.session, rows, self.session.fresh("mixed"), gateway)

    @rule(account=ACCOUNTS, place=PLACES, share=st.sampled_from([1.0, 1.0, 0.5, 2.0]),
          gateway=GATEWAYS)  # fmt: skip
    def close_a_position(self, account: str, place: int, share: float, gateway: int) -> None:
        """Trade a position to nothing, to a half or to its opposite, whatever it is in."""
        member, held = self.session.model.positions.get(account, ("", {}))
        if not held:
            return
        name = sorted(held)[place % len(held)]
        lot = lot_of(name)
        quantity = round(round(-held[name] * share / lot) * lot, 2)
        if quantity != 0.0:
            rows = [(account, member, name, quantity)]
            send_trades(self.session, rows, self.session.fresh("close"), gateway)

    @rule(legs=st.lists(LEGS, min_size=1, max_size=25), keyed=st.booleans(),
          keep=st.integers(0, 9), gateway=GATEWAYS)  # fmt: skip
    def upload(self, legs: list[Leg], keyed: bool, keep: int, gateway: int) -> None:
        """Replace all positions: mostly by the first book and some more, rarely by a few rows."""
        positions: Positions = {}
        if keep:
            snapshot = self.session.model.snapshot
            engine = self.session.model.engine
            for account, (member, held) in self.session.seed.positions.items():
                kept = {n: q for n, q in held.items() if not engine.fault(snapshot, n)}
                positions[account] = (member, kept)
        for account, member, name, quantity in rows_of(self.session, legs):
            known, held = positions.get(account, (member, {}))
            positions[account] = (known, held | {name: quantity})
        positions = {a: p for a, p in positions.items() if p[1]}
        key = self.session.fresh("upload") if keyed else ""
        send_upload(self.session, positions, key, gateway)

    @rule(place=PLACES, other=st.booleans(), gateway=GATEWAYS)
    def reuse_an_upload_key(self, place: int, other: bool, gateway: int) -> None:
        keys = sorted(self.session.model.upload_keys)
        if not keys:
            return
        key = keys[place % len(keys)]
        content: Any = self.session.model.upload_keys[key].content
        if other:
            content = {**content, "A00": ("M0", {"BTC-PERPETUAL": 10.0 + 10.0 * place})}
        send_upload(self.session, content, key, gateway)

    @rule(what=st.integers(0, 5), place=PLACES, gateway=GATEWAYS)
    def bad_upload(self, what: int, place: int, gateway: int) -> None:
        """Uploads that are cut off, empty, or hold what may not be: each changes nothing."""
        positions = dict(self.session.seed.positions)
        held: dict[str, float] = {"BTC-PERPETUAL": 10.0}
        if what == 0:
            never = [n for n in STRANGE_INSTRUMENTS if "7JAN2" not in n]  # others may have expired
            held = {never[place % len(never)]: 1.0}
        elif what == 1:
            quantities = [q for q in STRANGE_QUANTITIES if q != 0.0]
            held = {"ETH-PERPETUAL": quantities[place % len(quantities)]}
        positions["A00"] = ("M0", held)
        if what == 2:
            positions[STRANGE_TEXTS[place % 4 if place % 4 != 1 else 0]] = ("M0", held)
        stream = list(upload_stream(positions, "", is_whole=what != 3))
        if what == 4:
            stream[0].positions.account.append(7_000)
        if what == 5:
            stream = [stream[0], stream[-1], stream[0]]
        self.session.ordinary(
            "UploadPositions", iter(stream), gateway=gateway, expect=REFUSED, kind="bad upload"
        )

    @rule(account=ACCOUNTS, place=PLACES, strange=st.integers(0, 5), gateway=GATEWAYS)
    def read_a_portfolio(self, account: str, place: int, strange: int, gateway: int) -> None:
        if strange == 0:
            account = STRANGE_TEXTS[place % len(STRANGE_TEXTS)]
        known = account in self.session.model.positions
        expect = ("OK",) if known else ("NOT_FOUND", "INVALID_ARGUMENT")
        request = pb.GetPortfolioRequest(account_id=account)
        outcome = self.session.ordinary("GetPortfolio", request, gateway=gateway, expect=expect)
        if outcome.is_ok and known:
            found = {p.instrument_name: p.quantity for p in outcome.answer.positions}
            if found != self.session.model.positions[account][1]:
                check_positions(self.session, gateway)
