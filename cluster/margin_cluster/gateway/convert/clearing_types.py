"""Conversions for clearing_types.proto."""

from datetime import datetime
from decimal import Decimal, InvalidOperation

from google.protobuf.timestamp_pb2 import Timestamp
from margin_protos.v1 import clearing_types_pb2 as pb

from margin_actors.clearing.amounts import ASSETS, UNITS_MAX, USD, Asset
from margin_actors.errors import InvalidRequest, Problem, raise_if_any
from margin_cluster.gateway.convert.margin_types import time_from_timestamp, timestamp_from_time
from margin_cluster.gateway.resources import AccountStanding
from margin_cluster.ledger.clearing_rows import LogPosition

DECIMAL_LENGTH_MAX = 40


def position_to_proto(at: LogPosition) -> pb.LogPosition:
    """Return the wire form of a position; a past state has no token."""
    time = None if at.recorded_at is None else timestamp_from_time(at.recorded_at)
    return pb.LogPosition(number=at.number, time=time, token=at.token if at.hash else "")


def as_of_from_proto(message: pb.AsOf, *, is_set: bool) -> int | datetime | None:
    """Return the number or time of a past state; None for the present.

    Raises
    ------
    InvalidRequest
        If the field is set without a number or a time, or the value is not valid.
    """
    if not is_set:
        return None
    problems: list[Problem] = []
    which = message.WhichOneof("position")
    if which == "log_number":
        if message.log_number < 0:
            problems.append(Problem("as_of.log_number", f"{message.log_number}", "at least 0"))
        raise_if_any(problems, InvalidRequest, "the request is not valid")
        return message.log_number
    if which is None:
        problems.append(Problem("as_of", "is empty", "give log_number or time"))
    time = time_from_timestamp(message.time, "as_of.time", problems)
    raise_if_any(problems, InvalidRequest, "the request is not valid")
    return time


def amount_from_proto(
    message: pb.AssetAmount, where: str, problems: list[Problem]
) -> tuple[Asset, int]:
    """Return (asset, units); append faults to `problems`."""
    asset = ASSETS.get(message.asset)
    if asset is None:
        known = ", ".join(ASSETS)
        problems.append(Problem(f"{where}.asset", f"{message.asset[:40]!r}", f"one of {known}"))
    if not 1 <= message.units <= UNITS_MAX:
        problems.append(Problem(f"{where}.units", f"{message.units}", f"from 1 to {UNITS_MAX}"))
    return asset or USD, message.units


def decimal_from_text(
    text: str, where: str, problems: list[Problem], *, decimals_max: int
) -> Decimal:
    """Return an exact decimal; 0 if it is not valid, with a problem appended."""
    try:
        value = Decimal(text) if len(text) <= DECIMAL_LENGTH_MAX and text.isascii() else None
    except InvalidOperation:
        value = None
    if value is None or not value.is_finite() or "e" in text.lower():
        problems.append(Problem(where, f"{text[:40]!r}", "give a decimal such as 12.5"))
        return Decimal(0)
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or -exponent > decimals_max:
        problems.append(Problem(where, text, f"at most {decimals_max} decimals"))
    return value


def time_from_proto(
    stamp: Timestamp, where: str, problems: list[Problem], *, is_set: bool
) -> datetime:
    """Return a required time in UTC; append faults to `problems`."""
    if not is_set:
        problems.append(Problem(where, "is not set", "give a time"))
    return time_from_timestamp(stamp, where, problems)


def resources_to_proto(found: AccountStanding | None) -> pb.AccountResources | None:
    """Return the wire form of resources; None leaves the field unset."""
    if found is None:
        return None
    now, resources = found.headroom, found.resources
    return pb.AccountResources(
        requirement_cents=now.requirement_cents,
        resources_cents=now.resources_cents,
        excess_cents=now.excess_cents,
        reserved_cents=now.reserved_cents,
        free_cents=now.free_cents,
        collateral=[
            pb.CollateralValue(
                asset=value.asset.name,
                units=value.units,
                market_cents=value.market_cents,
                counted_cents=value.counted_cents,
            )
            for value in resources.collateral
        ],
        option_cents=resources.option_cents,
        unsettled_cents=resources.unsettled_cents,
        is_frozen=found.is_frozen,
        position=position_to_proto(found.at),
    )
