"""Conversions for portfolio_service.proto."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from margin_protos.v1 import margin_types_pb2 as types
from margin_protos.v1 import portfolio_service_pb2 as pb

from margin_actors.errors import InvalidPortfolio, InvalidRequest, Problem, raise_if_any
from margin_actors.market.portfolios import QUANTITY_MAX
from margin_cluster.gateway.convert.margin_types import check_id, check_key
from margin_cluster.gateway.convert.stream import Ending
from margin_cluster.ledger import Trade

ROWS_A_MESSAGE_MAX = 100_000
ROWS_MAX = 5_000_000
TRADES_MAX = 10_000
QUANTITY_MIN = 1e-9
"""Smallest change of a position; quantities are kept to a billionth."""


class UploadBuilder:
    """Collects the messages of one upload and combines them into one table."""

    def __init__(self) -> None:
        self.key = ""
        self._tables: list[pa.Table] = []
        self._rows = 0
        self._ending = Ending()

    def add(self, request: pb.UploadPositionsRequest) -> None:
        """Add one message.

        Raises
        ------
        InvalidRequest
            If the message follows the last one or is too large, its columns differ in length, an
            index is out of range, or an id is invalid or repeated; names every problem.
        """
        problems: list[Problem] = []
        number = self._ending.messages
        self._ending.note(request)
        if number == 0:
            self.key = check_key(request.idempotency_key, problems, is_required=False)
        columns, where = request.positions, f"message {number}"
        n = len(columns.quantity)
        if n > ROWS_A_MESSAGE_MAX or self._rows + n > ROWS_MAX:
            problems.append(
                Problem(
                    where,
                    f"{n:,} rows after {self._rows:,}",
                    f"at most {ROWS_A_MESSAGE_MAX:,} per message and {ROWS_MAX:,} in total",
                )
            )
            raise_if_any(problems, InvalidRequest, "the upload is not valid")
        account = np.array(columns.account, np.int64)
        instrument = np.array(columns.instrument, np.int64)
        problems += _column_faults(columns, account, instrument, where)
        raise_if_any(problems, InvalidRequest, "the upload is not valid")
        self._rows += n
        self._tables.append(
            pa.table(
                {
                    "member_id": _coded(columns.member_ids, account),
                    "account_id": _coded(columns.account_ids, account),
                    "instrument_name": _coded(columns.instrument_names, instrument),
                    "quantity": np.array(columns.quantity, np.float64),
                }
            )
        )

    def table(self) -> pa.Table:
        """Return all rows, in the order received.

        The columns are member_id, account_id and instrument_name (dictionary-encoded strings) and
        quantity (float64, long positive; its values are not checked here).

        Raises
        ------
        InvalidRequest
            If no message was marked as the last.
        InvalidPortfolio
            If there are no rows.
        """
        self._ending.require()
        if self._rows == 0:
            raise InvalidPortfolio(
                "the upload contains no positions",
                [Problem("positions", "no rows", "send at least one")],
            )
        return pa.concat_tables(self._tables)


def _column_faults(
    columns: types.PositionColumns, account: np.ndarray, instrument: np.ndarray, where: str
) -> list[Problem]:
    """Return every fault in the lengths, indices and ids of a message; `where` names it."""
    problems: list[Problem] = []
    n = len(columns.quantity)
    for name, codes, values in (
        ("account", account, columns.account_ids),
        ("instrument", instrument, columns.instrument_names),
    ):
        if codes.size != n:
            problems.append(
                Problem(f"{where}.{name}", f"{codes.size} values", f"{n} quantities are given")
            )
        elif codes.size and codes.max() >= len(values):
            remedy = f"only {len(values)} values are listed"
            problems.append(Problem(f"{where}.{name}", f"index {codes.max()}", remedy))
    if len(columns.member_ids) != len(columns.account_ids):
        problems.append(
            Problem(
                f"{where}.member_ids",
                f"{len(columns.member_ids)} member ids",
                f"{len(columns.account_ids)} account ids are given",
            )
        )
    problems += _repeated(columns.account_ids, f"{where}.account_ids")
    problems += _repeated(columns.instrument_names, f"{where}.instrument_names")
    for name, ids in (("account_ids", columns.account_ids), ("member_ids", columns.member_ids)):
        for i, text in enumerate(ids):
            check_id(text, f"{where}.{name}[{i}]", problems)
    return problems


def _repeated(texts: Iterable[str], where: str) -> list[Problem]:
    seen: set[str] = set()
    problems: list[Problem] = []
    for i, text in enumerate(texts):
        if text in seen:
            problems.append(Problem(f"{where}[{i}]", f"{text[:40]!r} is repeated", "give it once"))
        seen.add(text)
    return problems


def _coded(values: Iterable[str], codes: np.ndarray) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(
        pa.array(codes.astype(np.int32)), pa.array(list(values), pa.string())
    )


def trades_from_proto(request: pb.ApplyTradesRequest) -> tuple[str, tuple[Trade, ...]]:
    """Return (idempotency key, trades).

    Raises
    ------
    InvalidRequest
        If a field is invalid; names every invalid field.
    """
    problems: list[Problem] = []
    key = check_key(request.idempotency_key, problems, is_required=True)
    count = len(request.trades)
    trades: list[Trade] = []
    if not 1 <= count <= TRADES_MAX:
        problems.append(Problem("trades", f"{count:,} trades", f"give 1 to {TRADES_MAX:,}"))
    else:
        for number, item in enumerate(request.trades):
            where = f"trades[{number}]"
            check_id(item.account_id, f"{where}.account_id", problems)
            if item.member_id:
                check_id(item.member_id, f"{where}.member_id", problems)
            if not QUANTITY_MIN <= abs(item.quantity) <= QUANTITY_MAX:
                remedy = f"give a number from {QUANTITY_MIN:g} to {QUANTITY_MAX:g}, or its negative"
                problems.append(Problem(f"{where}.quantity", f"{item.quantity}", remedy))
            trades.append(
                Trade(item.account_id, item.member_id, item.instrument_name, item.quantity)
            )
    raise_if_any(problems, InvalidRequest, "the request is not valid")
    return key, tuple(trades)
