"""Conversions for margin_service.proto."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from margin_protos.v1 import margin_service_pb2 as pb

from margin_actors.arrays import FloatArray
from margin_actors.clearing.amounts import requirement_units
from margin_actors.engine.explain import TracedPosition
from margin_actors.engine.margin import Margins
from margin_actors.engine.measures import Attribution
from margin_actors.engine.scenarios import (
    AT_MONEY,
    Provenance,
    ScenarioSet,
)
from margin_actors.errors import InvalidRequest, Problem, raise_if_any
from margin_actors.market.books import Book
from margin_cluster.gateway.convert.generations import generation_to_proto, inputs_to_proto
from margin_cluster.gateway.convert.margin_types import (
    check_id,
    check_key,
    margin_to_proto,
    positions_from_proto,
    timestamp_from_stamp,
    timestamp_from_time,
)
from margin_cluster.gateway.resources import AccountStanding
from margin_cluster.ledger import AccountMarginRecord, CalculationKind, CalculationRecord

CANDIDATES_MAX = 100
TRADES_MAX = 1_000
ACCOUNTS_MAX = 100_000
MEMBERS_MAX = 10_000
_KINDS: dict[int, CalculationKind | None] = {0: None, 1: "account", 2: "book"}
_KIND_NUMBERS = {"account": 1, "book": 2}
_OfSubject: TypeAlias = (
    pb.CalculateMarginRequest
    | pb.SimulateMarginRequest
    | pb.ExplainMarginRequest
    | pb.ExportMarginRequest
)


@dataclass(frozen=True)
class Subject:
    """The account or portfolio whose margin is requested."""

    account_id: str
    """Empty for a portfolio in the request."""
    positions: dict[str, float] | None
    """Quantity by instrument of a portfolio in the request; None for a resident account."""
    snapshot_id: str
    """Snapshot that must be in use; empty for any."""


def subject_from_proto(
    request: _OfSubject, problems: list[Problem], *, may_be_empty: bool
) -> Subject:
    """Return the subject of a request; append invalid fields to `problems`."""
    which = request.WhichOneof("subject")
    positions = None
    if which is None:
        problems.append(Problem("subject", "is not set", "give account_id or portfolio"))
    elif which == "account_id":
        check_id(request.account_id, "account_id", problems)
    else:
        where = "portfolio.positions"
        positions = positions_from_proto(request.portfolio.positions, where, problems)
        if not request.portfolio.positions and not may_be_empty:
            problems.append(Problem(where, "is empty", "give at least one position"))
    return Subject(request.account_id, positions, request.snapshot_id)


def calculate_from_proto(request: pb.CalculateMarginRequest) -> tuple[Subject, str]:
    """Return (subject, idempotency key).

    Raises
    ------
    InvalidRequest
        If a field is invalid; names every invalid field.
    """
    problems: list[Problem] = []
    subject = subject_from_proto(request, problems, may_be_empty=False)
    key = check_key(request.idempotency_key, problems, is_required=False)
    raise_if_any(problems, InvalidRequest, "the request is not valid")
    return subject, key


def simulate_from_proto(
    request: pb.SimulateMarginRequest,
) -> tuple[Subject, list[tuple[str, dict[str, float]]]]:
    """Return (subject, candidates), each candidate as (id, traded quantity by instrument).

    Raises
    ------
    InvalidRequest
        If a field is invalid; names every invalid field.
    """
    problems: list[Problem] = []
    subject = subject_from_proto(request, problems, may_be_empty=True)
    count = len(request.candidates)
    candidates: list[tuple[str, dict[str, float]]] = []
    if not 1 <= count <= CANDIDATES_MAX:
        problems.append(Problem("candidates", f"{count} candidates", f"give 1 to {CANDIDATES_MAX}"))
    else:
        for number, item in enumerate(request.candidates):
            where = f"candidates[{number}].trades"
            trades = positions_from_proto(item.trades, where, problems, limit=TRADES_MAX)
            candidates.append((item.candidate_id, trades))
    raise_if_any(problems, InvalidRequest, "the request is not valid")
    return subject, candidates


def export_from_proto(request: pb.ExportMarginRequest) -> Subject:
    """Return the subject of an export.

    Raises
    ------
    InvalidRequest
        If a field is invalid; names every invalid field.
    """
    problems: list[Problem] = []
    subject = subject_from_proto(request, problems, may_be_empty=False)
    raise_if_any(problems, InvalidRequest, "the request is not valid")
    return subject


def explain_from_proto(request: pb.ExplainMarginRequest) -> tuple[Subject, int, int | None]:
    """Return (subject, number of tail scenarios, index of the scenario to trace or None).

    The number is 0 if the request leaves it to the service.

    Raises
    ------
    InvalidRequest
        If a field is invalid; names every invalid field.
    """
    problems: list[Problem] = []
    subject = subject_from_proto(request, problems, may_be_empty=False)
    if request.scenarios_max < 0:
        problems.append(Problem("scenarios_max", f"{request.scenarios_max}", "at least 0"))
    traced = request.traced_scenario if request.HasField("traced_scenario") else None
    if traced is not None and traced < 0:
        problems.append(Problem("traced_scenario", f"{traced}", "at least 0"))
    raise_if_any(problems, InvalidRequest, "the request is not valid")
    return subject, request.scenarios_max, traced


@dataclass(frozen=True)
class BookSubject:
    """The accounts of the book whose margins are requested: all if no id is given."""

    account_ids: tuple[str, ...]
    member_ids: tuple[str, ...]
    """Members of which every account is included."""
    snapshot_id: str
    """Snapshot that must be in use; empty for any."""


def book_from_proto(request: pb.CalculateBookRequest) -> tuple[BookSubject, str]:
    """Return (subject, idempotency key).

    Raises
    ------
    InvalidRequest
        If a field is invalid; names every invalid field.
    """
    problems: list[Problem] = []
    for name, ids, limit in (
        ("account_ids", request.account_ids, ACCOUNTS_MAX),
        ("member_ids", request.member_ids, MEMBERS_MAX),
    ):
        if len(ids) > limit:
            problems.append(Problem(name, f"{len(ids):,} ids", f"at most {limit:,}"))
    key = check_key(request.idempotency_key, problems, is_required=False)
    raise_if_any(problems, InvalidRequest, "the request is not valid")
    subject = BookSubject(
        tuple(request.account_ids), tuple(request.member_ids), request.snapshot_id
    )
    return subject, key


def contributions_to_proto(
    book: Book, values_usd: FloatArray, attribution: Attribution
) -> list[pb.PositionContribution]:
    """Return the contributions of the positions of a one-account book, in the book's order.

    Parameters
    ----------
    book : Book
        With one account.
    values_usd : float64 (n_positions,), US dollars
        Value of each position (quantity included).
    attribution : Attribution
        Arrays of shape (n_positions,), US dollars, the marginal measures per unit of quantity; a
        loss is positive.
    """
    return [
        pb.PositionContribution(
            instrument_name=book.instruments[book.instrument_index[p]],
            quantity=float(book.quantity[p]),
            value_usd=float(values_usd[p]),
            component_var_usd=float(attribution.component_var[p]),
            component_es_usd=float(attribution.component_es[p]),
            marginal_var_usd=float(attribution.marginal_var[p]),
            marginal_es_usd=float(attribution.marginal_es[p]),
            incremental_var_usd=float(attribution.incremental_var[p]),
            incremental_es_usd=float(attribution.incremental_es[p]),
        )
        for p in range(book.n_positions)
    ]


def traced_to_proto(traced: Iterable[TracedPosition]) -> list[pb.TracedPosition]:
    """Return positions before and after a scenario; fields that are NaN are left unset."""

    def known(value: float) -> float | None:
        return None if math.isnan(value) else value

    return [
        pb.TracedPosition(
            instrument_name=t.instrument,
            quantity=t.quantity,
            tenor_years=t.tenor_years,
            strike_usd=known(t.strike_usd),
            forward_usd=t.forward_usd,
            forward_after_usd=t.forward_after_usd,
            volatility=known(t.vol),
            volatility_after=known(t.vol_after),
            scale=known(t.scale),
            scale_after=known(t.scale_after),
            unit_value_usd=t.unit_value_usd,
            unit_value_after_usd=t.unit_value_after_usd,
            profit_usd=t.profit_usd,
        )
        for t in traced
    ]


def tail_to_proto(
    scenarios: ScenarioSet, margins: Margins, account: int, count: int
) -> list[pb.TailScenario]:
    """Return the worst core scenarios of an account, worst first, with their moves.

    Parameters
    ----------
    scenarios : ScenarioSet
    margins : Margins
        Calculated with these scenarios.
    account : int
        Row of the account in `margins`.
    count : int
        Number of scenarios; fewer are returned if `margins` holds fewer.
    """
    out: list[pb.TailScenario] = []
    month = scenarios.month
    for rank in range(min(count, margins.tail_usd.shape[1])):
        s = int(margins.tail_scenario[account, rank])
        out.append(
            pb.TailScenario(
                scenario=s,
                window_start=timestamp_from_stamp(scenarios.start_time[s]),
                window_end=timestamp_from_stamp(scenarios.end_time[s]),
                profit_usd=float(margins.tail_usd[account, rank]),
                name=scenarios.row_name(s),
                moves=[
                    pb.UnderlyingMove(
                        underlying=name,
                        spot_return=float(scenarios.spot_return[s, u]),
                        vol_change_30d=float(scenarios.vol_change[s, u, month, AT_MONEY]),
                        basis_change_30d=float(scenarios.basis_change[s, u, month]),
                        provenance=Provenance(int(scenarios.provenance[s, u])).name.lower(),
                    )
                    for u, name in enumerate(scenarios.underlyings)
                ],
            )
        )
    return out


def calculation_to_proto(record: CalculationRecord) -> pb.Calculation:
    """Return the wire form of a recorded calculation."""
    return pb.Calculation(
        calculation_id=record.calculation_id,
        kind=_KIND_NUMBERS[record.kind],  # pyright: ignore[reportArgumentType]
        create_time=timestamp_from_time(record.create_time),
        request_id=record.request_id,
        generation=generation_to_proto(record.generation),
        inputs=inputs_to_proto(record.inputs),
        digest=record.digest,
        accounts=record.accounts,
        positions=record.positions,
        initial_margin_usd=record.initial_margin_usd,
        account_id=record.account_id,
        accounts_failed=record.accounts_failed,
        is_complete=record.accounts_failed == 0,
        portfolio_version=record.portfolio_version,
        expired_positions=record.expired_positions,
    )


def summary_to_proto(record: CalculationRecord) -> pb.BookSummary:
    """Return the last message of a book run."""
    return pb.BookSummary(
        calculation_id=record.calculation_id,
        inputs=inputs_to_proto(record.inputs),
        digest=record.digest,
        accounts=record.accounts,
        positions=record.positions,
        initial_margin_usd=record.initial_margin_usd,
        accounts_failed=record.accounts_failed,
        is_complete=record.accounts_failed == 0,
        portfolio_version=record.portfolio_version,
        expired_positions=record.expired_positions,
    )


def kind_from_proto(number: int, problems: list[Problem]) -> CalculationKind | None:
    """Return the kind to filter by, or None for any; append an unknown number to `problems`."""
    if number not in _KINDS:
        problems.append(Problem("kind", f"{number} is not a CalculationKind", "give 0, 1 or 2"))
    return _KINDS.get(number)


def simulated_to_proto(
    candidate_id: str,
    before: AccountMarginRecord,
    after: AccountMarginRecord,
    now: AccountStanding | None,
) -> pb.SimulatedMargin:
    """Return the margin after a candidate and its changes, after less before, in US dollars.

    `now` has the resources of the account; None if it has no clearing account.
    """
    message = pb.SimulatedMargin(
        candidate_id=candidate_id,
        after=margin_to_proto(after),
        initial_margin_change_usd=after.initial_margin_usd - before.initial_margin_usd,
        var_change_usd=after.var_usd - before.var_usd,
        es_change_usd=after.es_usd - before.es_usd,
        value_change_usd=after.value_usd - before.value_usd,
    )
    if now is not None:
        message.headroom_cents = now.headroom_after(requirement_units(after.initial_margin_usd))
        message.can_carry = message.headroom_cents >= 0 and not now.is_frozen
    return message
