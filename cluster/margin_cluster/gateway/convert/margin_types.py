"""Conversions for margin_types.proto."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from google.protobuf.timestamp_pb2 import Timestamp
from margin_protos.v1 import margin_types_pb2 as pb

from margin_actors.actors.generation import ResidentGeneration
from margin_actors.engine.margin import AccountFailure, Margins
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.errors import Problem
from margin_actors.market.books import Book
from margin_actors.market.instruments import holding_fault
from margin_actors.market.portfolios import QUANTITY_MAX

POSITIONS_MAX = 50_000
ID_LENGTH_MAX = 128
KEY_LENGTH_MAX = 128
PROBLEMS_SHOWN_MAX = 20
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
_OPTIONAL = (
    "undiversified_usd",
    "span_usd",
    "venue_grid_usd",
    "long_usd",
    "stress_period_usd",
    "stress_usd",
)


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
    positions: Sequence[Any], where: str, problems: list[Problem], *, limit: int = POSITIONS_MAX
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


def positions_to_proto(held: Mapping[str, float]) -> Iterable[Any]:
    """Return wire positions in the order of instrument names."""
    return (pb.Position(instrument_name=n, quantity=q) for n, q in sorted(held.items()))


def generation_to_mapping(generation: ResidentGeneration) -> dict[str, Any]:
    """Return the description of a generation that the ledger stores; values that JSON can hold."""
    handle, market = generation.handle, generation.priced.market
    return {
        "number": handle.number,
        "snapshot_id": handle.snapshot_id,
        "snapshot_time": market.snapshot.time.isoformat(),
        "scenarios_id": handle.scenarios_id,
        "scenarios": len(generation.priced.scenarios),
        "model_id": handle.model_id,
        "model_name": market.model.name,
        "model_version": market.model.version,
        "instruments": handle.n_contracts,
        "is_synthetic": market.snapshot.is_synthetic or generation.priced.scenarios.is_synthetic,
    }


def generation_to_proto(kept: Mapping[str, Any]) -> pb.Generation:
    """Return the wire form of a result of `generation_to_mapping`."""
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
    margins: Margins,
    account: int,
    parameters: ModelParameters,
    scenarios: ScenarioSet,
    *,
    account_id: str,
    member_id: str,
) -> dict[str, Any]:
    """Return one account's margin as the ledger stores it; values that JSON can hold.

    Amounts are US dollars with the signs of `Margins`. Optional amounts that the model does not
    calculate (NaN) are left out. `parts` lists the core, then every other component that is not 0
    or has inputs.

    Parameters
    ----------
    margins : Margins
    account : int
        Row of the account in `margins`.
    parameters : ModelParameters
    scenarios : ScenarioSet
        Those with which the margins were calculated.
    account_id, member_id : str
    """
    out: dict[str, Any] = {"account_id": account_id, "member_id": member_id}
    out |= {name: int(getattr(margins, name)[account]) for name in _COUNTS}
    out |= {name: float(getattr(margins, name)[account]) for name in _AMOUNTS}
    for name in _OPTIONAL:
        value = float(getattr(margins, name)[account])
        if not math.isnan(value):
            out[name] = value
    if "stress_usd" in out:
        out["stress_name"] = scenarios.row_name(int(margins.stress_scenario[account]))
    inputs: dict[str, list[list[Any]]] = {}
    for _, part, label, figure, value in margins.inputs.of(account).rows():
        inputs.setdefault(part, []).append([figure, value, label])
    core = [["confidence", parameters.measure.confidence, ""]]
    core += inputs.get("core") or [["var_usd", out["var_usd"], ""], ["es_usd", out["es_usd"], ""]]
    parts = [{"name": "core", "amount_usd": out["core_usd"], "inputs": core}]
    for part, amount in margins.amounts_of(account).items():
        if part != "core" and (amount != 0.0 or part in inputs):
            given = inputs.get(part, [])
            parts.append({"name": part, "amount_usd": amount, "inputs": given})
    out["parts"] = parts
    return out


def margin_to_proto(kept: Mapping[str, Any]) -> pb.AccountMargin:
    """Return the wire form of a result of `margin_to_mapping` or `margin_from_row`."""
    fields = dict(kept)
    parts = [
        pb.RequirementPart(
            name=p["name"],
            amount_usd=p["amount_usd"],
            inputs=[pb.PartInput(name=i[0], value=i[1], of=i[2]) for i in p["inputs"]],
        )
        for p in fields.pop("parts", [])
    ]
    return pb.AccountMargin(parts=parts, **fields)


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
    numbers = {name: getattr(margins, name).tolist() for name in (*_COUNTS, *_AMOUNTS)}
    for k, part in enumerate(margins.components):
        if part != "core":
            numbers[f"{part}_usd"] = margins.components_usd[:, k].tolist()
    return pb.AccountMarginColumns(
        account_id=accounts, member_id=members, expired_positions=expired_positions, **numbers
    )


def failure_to_mapping(failure: AccountFailure) -> dict[str, Any]:
    """Return an account that could not be margined as the ledger stores it.

    At most `PROBLEMS_SHOWN_MAX` problems are listed; `problems_total` counts all.
    """
    shown = failure.problems[:PROBLEMS_SHOWN_MAX]
    return {
        "account_id": failure.account_id,
        "member_id": failure.member_id,
        "positions": failure.positions,
        "problems": [[p.instrument_name, p.description] for p in shown],
        "problems_total": len(failure.problems),
    }


def failure_to_proto(kept: Mapping[str, Any]) -> pb.AccountFailure:
    """Return the wire form of a result of `failure_to_mapping`."""
    fields = dict(kept)
    problems = [
        pb.AccountProblem(instrument_name=name, description=text)
        for name, text in fields.pop("problems")
    ]
    return pb.AccountFailure(problems=problems, **fields)


def margins_to_table(margins: Margins, book: Book, scenarios: ScenarioSet) -> pa.Table:
    """Return the margins of a book as the archive stores them, one row per account of `book`.

    Amounts are US dollars. A component is in column ``part_`` plus its name. Optional amounts that
    are NaN for every account have no column.
    """
    columns: dict[str, Any] = {
        "account_id": pa.array(book.accounts, pa.string()),
        "member_id": pa.array(book.members, pa.string()),
    } | {name: getattr(margins, name) for name in (*_COUNTS, *_AMOUNTS)}
    for name in _OPTIONAL:
        values = getattr(margins, name)
        if not np.isnan(values).all():
            columns[name] = values
    if "stress_usd" in columns:
        names = [scenarios.row_name(int(s)) for s in margins.stress_scenario]
        columns["stress_name"] = pa.array(names)
    for name in margins.components:
        columns[f"part_{name}"] = np.ascontiguousarray(margins.component_usd(name))
    return pa.table(columns)


def margin_from_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return one account's margin from a row of `margins_to_table`.

    The form is that of `margin_to_mapping`, but the inputs of the components are empty, because the
    table does not contain them.
    """
    kept = {name: value for name, value in row.items() if not name.startswith("part_")}
    amounts = [
        (name.removeprefix("part_"), value)
        for name, value in row.items()
        if name.startswith("part_")
    ]
    kept["parts"] = [
        {"name": part, "amount_usd": amount, "inputs": []}
        for part, amount in amounts
        if amount != 0.0 or part == "core"
    ]
    return kept
