"""Invariants: what the service says is what the model and the engine say."""

from collections.abc import Iterable, Mapping
from typing import Any

from margin_protos.v1 import margin_service_pb2 as pb
from margin_protos.v1 import operations_service_pb2 as operations_pb
from soak.calls import Outcome
from soak.engine import FIELDS, Expected, canonical_book, is_expired
from soak.session import Session

from margin_actors.engine.margin import MarginResult
from margin_actors.errors import MarginError

REFUSED_MARGIN = ("INVALID_ARGUMENT", "FAILED_PRECONDITION")
"""How a margin that the engine cannot compute may be refused."""


def differences(found: Any, result: MarginResult, row: int) -> dict[str, tuple[Any, Any]]:
    """Return the fields of a margin that differ from the engine's, (service, engine)."""
    out: dict[str, tuple[Any, Any]] = {}
    for name in FIELDS:
        expected = getattr(result.margins, name)[row].item()
        if getattr(found, name) != expected:
            out[name] = (getattr(found, name), expected)
    return out


def check_generation(session: Session, generation: Any) -> bool:
    """Return whether an answer comes from the market in use."""
    model = session.model
    found = (generation.snapshot_id, generation.scenarios_id)
    if found == (model.snapshot_id, model.scenarios_id):
        return True
    session.record.violation(
        "an answer came from another generation than the one in use",
        found=found,
        number=generation.number,
        expected=(model.snapshot_id, model.scenarios_id, model.generation),
    )
    return False


def check_account_margin(
    session: Session,
    found: Any,
    generation: Any,
    held: Mapping[str, float],
    *,
    account: str = "",
    member: str = "",
) -> None:
    """Compare one returned margin with the engine's for these positions."""
    model = session.model
    snapshot = model.snapshots[generation.snapshot_id]
    scenarios = model.scenario_sets[generation.scenarios_id]
    expected = model.engine.account(snapshot, scenarios, account or "x", member, held)
    if isinstance(expected, MarginError):
        session.record.violation(
            "a margin was returned that the engine refuses",
            account=account,
            error=str(expected),
            held=dict(held),
        )
        return
    if expected is None:
        if found.initial_margin_usd != 0.0 or found.positions != 0:
            session.record.violation(
                "an account without live positions has a margin", margin=str(found)[:500]
            )
        return
    wrong = differences(found, expected, 0)
    if wrong:
        session.record.violation(
            "a margin differs from the engine's",
            account=account,
            wrong=wrong,
            held=dict(held),
            snapshot=snapshot.id,
            scenarios=scenarios.id,
        )
    expired = sorted(n for n in held if is_expired(n, snapshot))
    if expired and sorted(found.expired_instruments) != expired:
        session.record.violation(
            "the expired instruments of a margin are not listed",
            expected=expired,
            found=list(found.expired_instruments),
        )


def expected_codes(session: Session, held: Mapping[str, float] | None) -> tuple[str, ...]:
    """Return how asking for the margin of these positions must end; None: unknown account."""
    if held is None:
        return ("NOT_FOUND",)
    model = session.model
    found = model.engine.account(model.snapshot, model.scenarios, "x", "", held)
    return REFUSED_MARGIN if isinstance(found, MarginError) else ("OK",)


def check_calculated(session: Session, outcome: Outcome, account: str) -> None:
    """Check an answer of CalculateMargin for a resident account."""
    answer: pb.CalculateMarginResponse = outcome.answer
    model = session.model
    if not check_generation(session, answer.generation):
        return
    member, held = model.positions[account]
    check_account_margin(
        session, answer.margin, answer.generation, held, account=account, member=member
    )
    book_id = canonical_book({account: (member, held)}).id
    if held and answer.inputs.book_id != book_id:
        session.record.violation(
            "the book id of an account's calculation is not that of its positions",
            account=account,
            found=answer.inputs.book_id,
            expected=book_id,
        )
    if answer.portfolio_version != model.version:
        session.record.violation(
            "a calculation names another version of the positions",
            found=answer.portfolio_version,
            expected=model.version,
        )
    remember(session, answer.calculation_id, answer)


def remember(session: Session, calculation_id: str, answer: Any) -> None:
    """Keep an acknowledged calculation, to ask for it later."""
    before = session.calculations.get(calculation_id)
    if before is not None and before.digest != answer.digest:
        session.record.violation("one calculation id has two digests", id=calculation_id)
    session.calculations[calculation_id] = answer


def collect(outcome: Outcome) -> dict[str, Any]:
    """Return a book's stream in parts; raises ValueError where its order is wrong."""
    kinds = [m.WhichOneof("content") for m in outcome.messages]
    if not kinds or kinds[0] != "generation" or kinds[-1] != "summary":
        raise ValueError(f"the stream begins or ends wrongly: {kinds}")
    if kinds.count("generation") > 1 or kinds.count("summary") > 1:
        raise ValueError(f"the stream repeats its head or its end: {kinds}")
    order = [k for k in kinds if k in ("failures", "batch")]
    if order != sorted(order, key=lambda k: k == "batch"):
        raise ValueError(f"failures come after batches: {kinds}")
    return {
        "generation": outcome.messages[0].generation,
        "failures": [f for m in outcome.messages for f in m.failures.failures],
        "batches": [m.batch for m in outcome.messages if m.WhichOneof("content") == "batch"],
        "summary": outcome.messages[-1].summary,
    }


class _Row:
    """One account of a batch, by field name."""

    def __init__(self, batch: Any, row: int) -> None:
        self._batch, self._row = batch, row

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)[self._row]


def check_book(session: Session, outcome: Outcome, accounts: Iterable[str] | None = None) -> None:
    """Compare a book's stream with the engine's for the model's positions."""
    record, model = session.record, session.model
    try:
        parts = collect(outcome)
    except ValueError as error:
        record.violation("a book's stream is out of order", error=str(error))
        return
    if not check_generation(session, parts["generation"]):
        return
    chosen = model.positions
    if accounts is not None:
        chosen = {a: model.positions[a] for a in accounts}
    expected = model.engine.book(model.snapshot, model.scenarios, chosen)
    summary = parts["summary"]
    _check_rows(session, parts, expected)
    _check_summary(session, summary, expected, chosen)
    remember(session, summary.calculation_id, summary)


def _check_rows(session: Session, parts: dict[str, Any], expected: Expected) -> None:
    rows = {
        account: _Row(batch, i)
        for batch in parts["batches"]
        for i, account in enumerate(batch.account_id)
    }
    sent = [a for batch in parts["batches"] for a in batch.account_id]
    failures = {f.account_id: f for f in parts["failures"]}
    record = session.record
    if sent != list(expected.accounts):
        record.violation(
            "a book holds other accounts than the model",
            missing=sorted(set(expected.accounts) - set(sent)),
            unexpected=sorted(set(sent) - set(expected.accounts)),
            is_sorted=sent == sorted(sent),
        )
    if set(failures) != expected.failed or list(failures) != sorted(failures):
        record.violation(
            "a book lists other failures than the engine",
            found={a: str(f)[:300] for a, f in failures.items()},
            expected=sorted(expected.failed),
        )
    if any(not f.problems or f.problems_total < len(f.problems) for f in failures.values()):
        record.violation("a failed account has no reasons", failures=str(failures)[:1000])
    if expected.result is None:
        return
    for row, account in enumerate(expected.accounts):
        wrong = differences(rows[account], expected.result, row) if account in rows else {}
        if wrong:
            record.violation(
                "a margin of a book differs from the engine's",
                account=account,
                wrong=wrong,
                held=session.model.positions[account][1],
            )
            return


def _check_summary(session: Session, summary: Any, expected: Expected, chosen: Any) -> None:
    record = session.record
    complete = not expected.failed
    wrong: dict[str, Any] = {}
    names = ("accounts_failed", "is_complete", "expired_positions", "portfolio_version")
    values = (len(expected.failed), complete, expected.expired_positions, session.model.version)
    for name, value in zip(names, values, strict=True):
        if getattr(summary, name) != value:
            wrong[name] = (getattr(summary, name), value)
    if summary.accounts != len(expected.accounts):
        wrong["accounts"] = (summary.accounts, len(expected.accounts))
    if summary.inputs.book_id != expected.book_id:
        wrong["book_id"] = (summary.inputs.book_id, expected.book_id)
    if expected.digest and summary.digest != expected.digest:
        wrong["digest"] = (summary.digest, expected.digest)
    if wrong:
        record.violation(
            f"the summary of a book is wrong in {', '.join(sorted(wrong))}",
            wrong=wrong,
            failed=sorted(expected.failed),
            accounts=len(chosen),
        )


def check_positions(session: Session, gateway: int = 0) -> None:
    """Compare every account's positions with the model's."""
    model = session.model
    for account, (member, held) in sorted(model.positions.items()):
        outcome = session.portfolio(account, gateway)
        if not outcome.is_ok:
            session.record.violation(
                f"GetPortfolio of a known account ended with {outcome.code}",
                account=account,
                message=outcome.message,
            )
            continue
        answer = outcome.answer
        found = {p.instrument_name: p.quantity for p in answer.positions}
        names = [p.instrument_name for p in answer.positions]
        if found != held or answer.member_id != member or names != sorted(names):
            wrong = {
                n: (found.get(n), held.get(n))
                for n in {*found, *held}
                if found.get(n) != held.get(n)
            }
            session.record.violation(
                "an account holds other positions than were acknowledged",
                account=account,
                wrong=wrong,
                member=(answer.member_id, member),
                version=(answer.version, model.version),
            )
            session.adopt("positions differ")
            return
        if answer.version != model.version:
            session.record.violation(
                "GetPortfolio names another version", found=answer.version, expected=model.version
            )
        book_id = canonical_book({account: (member, held)}).id
        if held and answer.book_id and answer.book_id != book_id:
            session.record.violation(
                "GetPortfolio names another book id", found=answer.book_id, expected=book_id
            )


def check_status(session: Session, gateway: int = 0) -> None:
    """Compare the status with the model: versions, generation, counts, the ledger's head."""
    model = session.model
    request = operations_pb.GetStatusRequest()
    outcome = session.ordinary("GetStatus", request, gateway=gateway)
    if not outcome.is_ok:
        return
    status = outcome.answer
    holders = [a for a, (_, held) in model.positions.items() if held]
    expected = {
        "portfolio_version": model.version,
        "accounts": len(holders),
        "positions": sum(len(model.positions[a][1]) for a in holders),
    }
    wrong = {n: (getattr(status, n), v) for n, v in expected.items() if getattr(status, n) != v}
    generation = status.generation
    if generation.number != model.generation:
        wrong["generation"] = (generation.number, model.generation)
    if generation.snapshot_id != model.snapshot_id:
        wrong["snapshot_id"] = (generation.snapshot_id, model.snapshot_id)
    if generation.scenarios_id != model.scenarios_id:
        wrong["scenarios_id"] = (generation.scenarios_id, model.scenarios_id)
    if not status.is_ready or status.problems:
        session.record.violation(
            "the status names problems although nothing is dead",
            is_ready=status.is_ready,
            problems=list(status.problems),
        )
    if wrong:
        session.record.violation(
            f"the status is wrong in {', '.join(sorted(wrong))}", wrong=wrong, gateway=gateway
        )
        session.adopt("status differs")
    if status.ledger_sequence < session.last_sequence:
        session.record.violation("the ledger's sequence went back", found=status.ledger_sequence)
    session.last_sequence = status.ledger_sequence
