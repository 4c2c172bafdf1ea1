"""Conversion of protobuf messages to results: one reader per class, derived from its fields."""

import hashlib
import json
import types
import typing
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from google.protobuf.message import Message
from margin_protos.v1 import margin_service_pb2, margin_types_pb2

from margin_client.results import (
    AccountFailure,
    BookResult,
    CalculationKind,
    CallClass,
    CallStatus,
    ExportedFiles,
    Generation,
    InputIds,
    Progress,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
FieldReader: TypeAlias = Callable[[Message, str], object]
"""Reads the field of a message with a name."""
_ENUMS: dict[Any, dict[int, StrEnum]] = {
    CalculationKind: {1: CalculationKind.ACCOUNT, 2: CalculationKind.BOOK},
    CallClass: {1: CallClass.INITIAL, 2: CallClass.VARIATION, 3: CallClass.DEFAULT_FUND},
    CallStatus: {
        1: CallStatus.ISSUED,
        2: CallStatus.ACKNOWLEDGED,
        3: CallStatus.PARTLY_MET,
        4: CallStatus.OVERDUE,
        5: CallStatus.MET,
        6: CallStatus.CANCELLED,
        7: CallStatus.DEFAULT_DECLARED,
    },
}
"""Values by their number in the contract; another number is UNKNOWN."""


def read(kind: type[T], message: Message) -> T:
    """Return an instance of `kind`, whose fields have the same names as the message's fields."""
    return cast("T", _reader(cast("type[DataclassInstance]", kind))(message))


@cache
def _reader(kind: "type[DataclassInstance]") -> Callable[[Message], object]:
    hints = typing.get_type_hints(kind)
    parts = [(field.name, _field_reader(hints[field.name])) for field in fields(kind)]
    plain = tuple(name for name, convert in parts if convert is None)
    converted = tuple((name, convert) for name, convert in parts if convert is not None)

    def make(message: Message) -> object:
        values = {name: getattr(message, name) for name in plain}
        for name, convert in converted:
            values[name] = convert(message, name)
        return kind(**values)

    return make


def _field_reader(hint: Any) -> FieldReader | None:
    """Return a function (message, name) that reads a field, or None if no conversion is needed."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        item = arguments[0]
        if item in (str, float, int):
            return lambda message, name: tuple(getattr(message, name))
        one = _reader(item)
        return lambda message, name: tuple(one(m) for m in getattr(message, name))
    if origin is dict:
        return lambda message, name: dict(getattr(message, name))
    if origin is types.UnionType:  # a message that may be unset
        (inner,) = (a for a in arguments if a is not types.NoneType)
        set_reader: FieldReader = _field_reader(inner) or getattr
        return lambda message, name: set_reader(message, name) if message.HasField(name) else None
    if hint is datetime:
        return lambda message, name: getattr(message, name).ToDatetime(tzinfo=UTC)
    if hint in (str, float, int, bool):
        return None
    if hint in _ENUMS:
        values = _ENUMS[hint]
        return lambda message, name: values.get(getattr(message, name), hint.UNKNOWN)
    nested = _reader(hint)
    return lambda message, name: nested(getattr(message, name))


class BookReader:
    """Assembles the stream of a book; the result is available once all messages have arrived."""

    def __init__(self, on_progress: Callable[[Progress], None] | None) -> None:
        self._on_progress = on_progress
        self._generation: margin_types_pb2.Generation | None = None
        self._columns: dict[str, list[Any]] = {}
        self._failures: list[AccountFailure] = []
        self._summary: margin_service_pb2.BookSummary | None = None

    def add(self, message: margin_service_pb2.CalculateBookResponse) -> None:
        """Add the next message; call the progress callback for a progress message."""
        which = message.WhichOneof("content")
        if which == "generation":
            self._generation = message.generation
        elif which == "progress" and self._on_progress is not None:
            self._on_progress(Progress(message.progress.done, message.progress.total))
        elif which == "batch":
            self._add_columns(message.batch)
        elif which == "failures":
            self._failures += [read(AccountFailure, f) for f in message.failures.failures]
        elif which == "summary":
            self._summary = message.summary

    def _add_columns(self, batch: margin_types_pb2.AccountMarginColumns) -> None:
        before = len(self._columns.get("account_id", ()))
        given = {f.name: getattr(batch, f.name) for f in batch.DESCRIPTOR.fields}
        for component in given.pop("other_components"):
            given[f"{component.name}_usd"] = component.amount_usd
        for name, values in given.items():
            if not values and name not in self._columns:
                continue
            # Earlier versions of the service omit a column if all its values are 0.
            column = self._columns.setdefault(name, [0.0] * before)
            column.extend(values or [0.0] * len(batch.account_id))

    def result(self) -> BookResult | None:
        """Return the book, or None if the stream is incomplete."""
        if self._summary is None or self._generation is None:
            return None
        end, accounts = self._summary, self._columns.get("account_id", [])
        if len(accounts) != end.accounts or len(self._failures) != end.accounts_failed:
            return None
        return BookResult(
            calculation_id=end.calculation_id,
            generation=read(Generation, self._generation),
            inputs=read(InputIds, end.inputs),
            digest=end.digest,
            positions=end.positions,
            initial_margin_usd=end.initial_margin_usd,
            columns=self._columns,
            places={account: row for row, account in enumerate(accounts)},
            failures=tuple(self._failures),
            is_complete=not self._failures,
            portfolio_version=end.portfolio_version,
            expired_positions=end.expired_positions,
        )


class FilesReader:
    """Assembles the stream of an export; the files are checked against their manifest."""

    def __init__(self) -> None:
        self._files: dict[str, bytearray] = {}
        self._is_complete = False

    def add(self, message: margin_service_pb2.ExportMarginResponse) -> None:
        """Add the next piece of a file."""
        self._files.setdefault(message.file_name, bytearray()).extend(message.content)
        self._is_complete = message.is_last

    def result(self) -> ExportedFiles | None:
        """Return the files, or None if one of them is incomplete."""
        if not self._is_complete:
            return None
        content = {name: bytes(piece) for name, piece in self._files.items()}
        for entry in json.loads(content["manifest.json"])["files"]:
            found = hashlib.sha256(content.get(entry["name"], b"")).hexdigest()
            if found != entry["sha256"]:
                return None
        return ExportedFiles(content)


class LastReader(typing.Generic[T]):
    """Reads a stream whose last message is the result and whose other messages report progress."""

    def __init__(
        self, kind: type[T], name: str, on_progress: Callable[[Progress], None] | None
    ) -> None:
        self._kind, self._name, self._on_progress = kind, name, on_progress
        self._result: T | None = None

    def add(self, message: Message) -> None:
        """Add the next message; call the progress callback for a progress message."""
        which = message.WhichOneof("content")
        if which == self._name:
            self._result = read(self._kind, getattr(message, which))
        elif which == "progress" and self._on_progress is not None:
            step = getattr(message, which)
            self._on_progress(Progress(step.done, step.total, step.stage))

    def result(self) -> T | None:
        """Return the result, or None if it did not arrive."""
        return self._result
