"""Conversions for margin_types.proto."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp
from margin_protos.v1 import margin_types_pb2 as pb

from margin_actors.engine.margin import Margins, dominant_add_on, dominant_add_ons
from margin_actors.errors import Problem
from margin_actors.market.instruments import holding_fault
from margin_actors.market.portfolios import QUANTITY_MAX
from margin_cluster.ledger import AccountFailureRecord, AccountMarginRecord

POSITIONS_MAX = 50_000
ID_LENGTH_MAX = 128
KEY_LENGTH_MAX = 128


def timestamp_from_time(time: datetime) -> Timestamp:
    """Return the wire form of an aware datetime."""
    stamp = Timestamp()
    stamp.FromDatetime(time.astimezone(UTC).replace(tzinfo=None))
    return stamp


def timestamp_from_stamp(stamp: np.datetime64) -> Timestamp | None:
    """Return the wire form of a datetime64 in UTC; None for NaT, which leaves the field unset."""
    if np.isnat(stamp):
        return None
    out = Timestamp()
    out.FromMilliseconds(int(stamp.astype("datetime64[ms]").astype(np.int64)))
    return out


def time_from_timestamp(stamp: Timestamp, where: str, problems: list[Problem]) -> datetime:
    """Return the time in UTC; if it is out of range, append a problem and return 1970-01-01."""
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as fault:
        problems.append(Problem(where, f"{stamp.seconds} s is not a valid time: {fault}"))
        return datetime(1970, 1, 1, tzinfo=UTC)


def check_id(text: str, where: str, problems: list[Problem]) -> str:
    """Return an account or member id unchanged; append its faults to `problems`."""
    if not text or text != text.strip():
        what = "is empty" if not text else f"{text[:40]!r} begins or ends with a space"
        problems.append(Problem(where, what, "give an id"))
    elif len(text) > ID_LENGTH_MAX or not text.isprintable():
        problems.append(
            Problem(where, f"{text[:40]!r}…", f"at most {ID_LENGTH_MAX} printable characters")
        )
    return text


def check_key(key: str, problems: list[Problem], *, is_required: bool) -> str:
    """Return an idempotency key unchanged; append its faults to `problems`."""
    if is_required and not key:
        problems.append(Problem("idempotency_key", "is empty", "choose one for every new change"))
    if len(key) > KEY_LENGTH_MAX or not key.isprintable():
        problems.append(
            Problem(
                "idempotency_key", f"{key[:40]!r}", f"at most {KEY_LENGTH_MAX} printable characters"
            )
        )
    return key


def positions_from_proto(
    positions: Sequence[pb.Position],
    where: str,
    problems: list[Problem],
    *,
    limit: int = POSITIONS_MAX,
) -> dict[str, float]:
    """Return the signed quantity by instrument name; append faults to `problems`.

    Faults are repeated or malformed names, quantities that are not finite or too large, and more
    than `limit` positions, for which the result is empty. Whether an instrument has expired is not
    checked.
    """
    if len(positions) > limit:
        problems.append(Problem(where, f"{len(positions):,} positions", f"at most {limit:,}"))
        return {}
    out: dict[str, float] = {}
    for number, item in enumerate(positions):
        name, quantity = item.instrument_name, item.quantity
        if not abs(quantity) <= QUANTITY_MAX:
            remedy = f"give a finite number of at most {QUANTITY_MAX:g}"
            problems.append(Problem(f"{where}[{number}].quantity", f"{quantity}", remedy))
        if name in out:
            problems.append(
                Problem(
                    f"{where}[{number}].instrument_name",
                    f"{name} is repeated",
                    "send one position with the total",
                )
            )
        fault = None if name in out else holding_fault(name, None)
        if fault is not None:
            problems.append(Problem(f"{where}[{number}].instrument_name", *fault))
        out[name] = quantity
    return out


def positions_to_proto(held: Mapping[str, float]) -> Iterable[pb.Position]:
    """Return wire positions in the order of instrument names."""
    return (pb.Position(instrument_name=n, quantity=q) for n, q in sorted(held.items()))


def margin_to_proto(record: AccountMarginRecord) -> pb.AccountMargin:
    """Return the wire form of the margin of an account."""
    return pb.AccountMargin(
        account_id=record.account_id,
        member_id=record.member_id,
        positions=record.positions,
        value_usd=record.value_usd,
        var_usd=record.var_usd,
        var_low_usd=record.var_low_usd,
        var_high_usd=record.var_high_usd,
        es_usd=record.es_usd,
        es_standard_error_usd=record.es_standard_error_usd,
        worst_usd=record.worst_usd,
        worst_scenario=record.worst_scenario,
        core_usd=record.core_usd,
        initial_margin_usd=record.initial_margin_usd,
        rounding_bound_usd=record.rounding_bound_usd,
        parts=[
            pb.RequirementPart(
                name=component.name,
                amount_usd=component.amount_usd,
                inputs=[
                    pb.PartInput(name=i.name, value=i.value, of=i.of) for i in component.inputs
                ],
            )
            for component in record.components
        ],
        undiversified_usd=record.undiversified_usd,
        span_usd=record.span_usd,
        venue_grid_usd=record.venue_grid_usd,
        long_usd=record.long_usd,
        stress_period_usd=record.stress_period_usd,
        stress_usd=record.stress_usd,
        stress_name=record.stress_name,
        expired_instruments=record.expired_instruments,
        dominant_add_on=dominant_add_on(
            {component.name: component.amount_usd for component in record.components},
            record.initial_margin_usd,
        ),
    )


def margins_to_columns(
    margins: Margins,
    accounts: Sequence[str],
    members: Sequence[str],
    expired_positions: Sequence[int],
) -> pb.AccountMarginColumns:
    """Return margins in columns, one row per account; amounts in US dollars.

    Parameters
    ----------
    margins : Margins
        n_accounts rows.
    accounts, members : sequence of str, n_accounts
        Ids of the accounts and of their members.
    expired_positions : sequence of int, n_accounts
    """

    def column(name: str) -> list[float]:
        return margins.component_usd(name).tolist()

    return pb.AccountMarginColumns(
        account_id=accounts,
        member_id=members,
        positions=margins.positions.tolist(),
        value_usd=margins.value_usd.tolist(),
        var_usd=margins.var_usd.tolist(),
        var_low_usd=margins.var_low_usd.tolist(),
        var_high_usd=margins.var_high_usd.tolist(),
        es_usd=margins.es_usd.tolist(),
        es_standard_error_usd=margins.es_standard_error_usd.tolist(),
        worst_usd=margins.worst_usd.tolist(),
        worst_scenario=margins.worst_scenario.tolist(),
        core_usd=margins.core_usd.tolist(),
        initial_margin_usd=margins.initial_margin_usd.tolist(),
        rounding_bound_usd=margins.rounding_bound_usd.tolist(),
        diversification_cap_usd=column("diversification_cap"),
        correlation_stress_usd=column("correlation_stress"),
        buffer_usd=column("buffer"),
        stressed_weight_usd=column("stressed_weight"),
        floor_usd=column("floor"),
        concentration_usd=column("concentration"),
        liquidity_usd=column("liquidity"),
        model_risk_usd=column("model_risk"),
        expiry_risk_usd=column("expiry_risk"),
        expired_positions=expired_positions,
        dominant_add_on=dominant_add_ons(margins),
        other_components=[
            pb.ComponentColumn(name=name, amount_usd=column(name))
            for name in margins.components
            if f"{name}_usd" not in pb.AccountMarginColumns.DESCRIPTOR.fields_by_name
        ],
    )


def failure_to_proto(record: AccountFailureRecord) -> pb.AccountFailure:
    """Return the wire form of an account that could not be margined."""
    return pb.AccountFailure(
        account_id=record.account_id,
        member_id=record.member_id,
        positions=record.positions,
        problems=[
            pb.AccountProblem(instrument_name=name, description=description)
            for name, description in record.problems
        ],
        problems_total=record.problems_total,
    )
