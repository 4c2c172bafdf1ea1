"""margin_types.proto."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp
from margin_protos.v1 import margin_types_pb2 as pb

from margin_actors.actors.generation import ResidentGeneration
from margin_actors.engine.margin import Margins
from margin_actors.engine.parameters import ModelParameters
from margin_actors.errors import Problem
from margin_actors.market.instruments import holding_fault

POSITIONS_MAX = 50_000
ID_LENGTH_MAX = 128
_AMOUNTS = (
    "value_usd",
    "var_usd",
    "var_low_usd",
    "var_high_usd",
    "es_usd",
    "es_standard_error_usd",
    "worst_usd",
    "core_usd",
    "initial_margin_usd",
    "rounding_bound_usd",
)
_COUNTS = ("positions", "worst_scenario")


def timestamp_from_time(time: datetime) -> Timestamp:
    """Return a wire time."""
    stamp = Timestamp()
    stamp.FromDatetime(time.astimezone(UTC).replace(tzinfo=None))
    return stamp


def timestamp_from_stamp(stamp: np.datetime64) -> Timestamp:
    """Return a wire time of a datetime64[ms]."""
    out = Timestamp()
    out.FromMilliseconds(int(stamp.astype("datetime64[ms]").astype(np.int64)))
    return out


def time_from_timestamp(stamp: Timestamp, where: str, problems: list[Problem]) -> datetime:
    """Return the time, or note why it is none and return 1970."""
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as fault:
        problems.append(Problem(where, f"{stamp.seconds} s is no time: {fault}"))
        return datetime(1970, 1, 1, tzinfo=UTC)


def check_id(text: str, where: str, problems: list[Problem]) -> str:
    """Return an account or member id, or note what is wrong with it."""
    if not text:
        problems.append(Problem(where, "is empty", "give an id"))
    elif len(text) > ID_LENGTH_MAX or not text.isprintable():
        problems.append(
            Problem(where, f"{text[:40]!r}…", f"at most {ID_LENGTH_MAX} printable characters")
        )
    return text


def positions_from_proto(
    positions: Sequence[Any], where: str, problems: list[Problem], *, limit: int = POSITIONS_MAX
) -> dict[str, float]:
    """Return quantities by instrument; names that repeat are a fault."""
    if len(positions) > limit:
        problems.append(Problem(where, f"{len(positions):,} positions", f"at most {limit:,}"))
        return {}
    out: dict[str, float] = {}
    for number, item in enumerate(positions):
        name, quantity = item.instrument_name, item.quantity
        if not math.isfinite(quantity):
            problems.append(
                Problem(f"{where}[{number}].quantity", f"{quantity}", "give a finite number")
            )
        if name in out:
            problems.append(
                Problem(f"{where}[{number}].instrument_name", f"{name} again", "add them up")
            )
        fault = None if name in out else holding_fault(name, None)
        if fault is not None:
            problems.append(Problem(f"{where}[{number}].instrument_name", *fault))
        out[name] = quantity
    return out


def positions_to_proto(held: Mapping[str, float]) -> Iterable[Any]:
    """Return wire positions in the order of instrument names."""
    return (pb.Position(instrument_name=n, quantity=q) for n, q in sorted(held.items()))


def generation_to_mapping(generation: ResidentGeneration) -> dict[str, Any]:
    """Return what the ledger keeps of a generation."""
    handle, market = generation.handle, generation.priced.market
    return {
        "number": handle.number,
        "snapshot_id": handle.snapshot_id,
        "snapshot_time": market.snapshot.time.isoformat(),
        "scenarios_id": handle.scenarios_id,
        "scenarios": len(generation.priced.scenarios),
        "model_id": handle.model_id,
        "model_name": market.parameters.name,
        "instruments": handle.n_contracts,
        "is_synthetic": market.snapshot.is_synthetic or generation.priced.scenarios.is_synthetic,
    }


def generation_to_proto(kept: Mapping[str, Any]) -> pb.Generation:
    """Return the wire form of what `generation_to_mapping` made."""
    fields = dict(kept)
    time = _timestamp_from_text(fields.pop("snapshot_time"))
    return pb.Generation(snapshot_time=time, **fields)


@lru_cache(maxsize=64)
def _timestamp_from_text(text: str) -> Timestamp:
    return timestamp_from_time(datetime.fromisoformat(text))


def inputs_to_mapping(generation: ResidentGeneration, book_id: str) -> dict[str, Any]:
    """Return the ids of all inputs of a calculation."""
    handle = generation.handle
    return {
        "snapshot_id": handle.snapshot_id,
        "scenarios_id": handle.scenarios_id,
        "model_id": handle.model_id,
        "book_id": book_id,
        "surface_ids": list(generation.priced.market.surface_ids),
    }


def margin_to_mapping(
    margins: Margins, account: int, parameters: ModelParameters, *, account_id: str, member_id: str
) -> dict[str, Any]:
    """Return one account's margin as the ledger keeps it."""
    out: dict[str, Any] = {"account_id": account_id, "member_id": member_id}
    out |= {name: int(getattr(margins, name)[account]) for name in _COUNTS}
    out |= {name: float(getattr(margins, name)[account]) for name in _AMOUNTS}
    out["parts"] = [
        {
            "name": "core",
            "amount_usd": out["core_usd"],
            "inputs": [
                ["confidence", parameters.measure.confidence],
                ["var_usd", out["var_usd"]],
                ["es_usd", out["es_usd"]],
            ],
        }
    ]
    return out


def margin_to_proto(kept: Mapping[str, Any]) -> pb.AccountMargin:
    """Return the wire form of what `margin_to_mapping` made."""
    fields = dict(kept)
    parts = [
        pb.RequirementPart(
            name=p["name"],
            amount_usd=p["amount_usd"],
            inputs=[pb.PartInput(name=n, value=v) for n, v in p["inputs"]],
        )
        for p in fields.pop("parts", [])
    ]
    return pb.AccountMargin(parts=parts, **fields)


def margins_to_columns(
    margins: Margins, accounts: Sequence[str], members: Sequence[str]
) -> pb.AccountMarginColumns:
    """Return the margins of many accounts in columns."""
    numbers = {name: getattr(margins, name).tolist() for name in (*_COUNTS, *_AMOUNTS)}
    return pb.AccountMarginColumns(account_id=accounts, member_id=members, **numbers)
