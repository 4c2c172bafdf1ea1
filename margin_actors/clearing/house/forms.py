"""Forms: how a value is written as JSON, and read back exactly.

A form exists for each type that is stored; there is none for arbitrary objects. Decimals and
fractions are written as text, times in ISO 8601 with ``Z``, and enumerations by value. Equal values
have one form, and reading refuses everything that writing does not produce.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from fractions import Fraction
from typing import Any, Generic, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from margin_actors.clearing.settlement.exact import canonical, utc_text
from margin_actors.errors import InvalidRequest, Problem

T = TypeVar("T")
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Form(Generic[T]):
    """How values of one type are written and read."""

    write: Callable[[T], Any]
    """Return the JSON value of a value."""
    read: Callable[[Any], T]
    """Return the value of a JSON value; raises `InvalidRequest` if it is not one of the form."""


def written(form: Form[T], value: T) -> str:
    """Return a value as canonical JSON: sorted names, no spaces."""
    return _encode(form.write(value))


def read_text(form: Form[T], text: str) -> T:
    """Return the value of a text that `written` returned.

    Raises
    ------
    InvalidRequest
        If the text is not JSON or not of the form.
    """
    try:
        return form.read(json.loads(text))
    except (json.JSONDecodeError, RecursionError) as error:
        _refuse(f"is not JSON: {error}")


def _refuse(what: str) -> NoReturn:
    raise InvalidRequest("the payload cannot be read", [Problem("payload", what)])


def _same(value: Any) -> Any:
    return value


def _exactly(kind: type[T]) -> Form[T]:
    def read(value: Any) -> T:
        if type(value) is not kind:
            _refuse(f"{value!r} is not of type {kind.__name__}")
        return value

    return Form(_same, read)


TEXT = _exactly(str)
INTEGER = _exactly(int)
BOOLEAN = _exactly(bool)


def _moment(value: Any) -> datetime:
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        _refuse(f"{value!r} is not a time")
    if found.utcoffset() != timedelta(0) or utc_text(found) != value:
        _refuse(f"{value!r} is not a time in UTC as it is written")
    return found


def _decimal(value: Any) -> Decimal:
    try:
        found = Decimal(TEXT.read(value))
    except InvalidOperation:
        _refuse(f"{value!r} is not a decimal number")
    if not found.is_finite() or canonical(found) != value:
        _refuse(f"{value!r} is not a decimal number as it is written")
    return found


def _fraction(value: Any) -> Fraction:
    try:
        found = Fraction(TEXT.read(value))
    except (ValueError, ZeroDivisionError):
        _refuse(f"{value!r} is not a fraction")
    if str(found) != value:
        _refuse(f"{value!r} is not a fraction as it is written")
    return found


MOMENT: Form[datetime] = Form(utc_text, _moment)
DECIMAL: Form[Decimal] = Form(canonical, _decimal)
FRACTION: Form[Fraction] = Form(str, _fraction)


def enumeration(kind: type[StrEnum]) -> Form[Any]:
    """Return the form of an enumeration: the values of its members."""
    members = {member.value: member for member in kind}

    def read(value: Any) -> StrEnum:
        member = members.get(value) if isinstance(value, str) else None
        return _refuse(f"{value!r} is not a {kind.__name__}") if member is None else member

    return Form(lambda member: member.value, read)


def one_of(*values: str) -> Form[Any]:
    """Return the form of a text that is one of a few."""

    def read(value: Any) -> str:
        return value if value in values else _refuse(f"{value!r} is not one of {values}")

    return Form(_same, read)


def optional(form: Form[T]) -> Form[T | None]:
    """Return the form of a value that may be None."""
    return Form(
        lambda value: None if value is None else form.write(value),
        lambda value: None if value is None else form.read(value),
    )


def many(form: Form[T]) -> Form[tuple[T, ...]]:
    """Return the form of a tuple."""

    def read(values: Any) -> tuple[T, ...]:
        if type(values) is not list:
            _refuse(f"{values!r} is not a list")
        return tuple([form.read(value) for value in values])

    if form.write is _same:
        return Form(list, read)
    return Form(lambda values: [form.write(value) for value in values], read)


def table(form: Form[T]) -> Form[Mapping[str, T]]:
    """Return the form of a mapping from text."""

    def read(values: Any) -> Mapping[str, T]:
        if type(values) is not dict:
            _refuse(f"{values!r} is not an object")
        return {TEXT.read(name): form.read(value) for name, value in values.items()}

    return Form(lambda values: {name: form.write(v) for name, v in values.items()}, read)


def record(kind: type[T], /, **fields: Form[Any]) -> Form[T]:
    """Return the form of a dataclass: an object with all of its fields."""
    writers = [(name, None if form.write is _same else form.write) for name, form in fields.items()]

    def write(value: T) -> dict[str, Any]:
        return {
            name: getattr(value, name) if write is None else write(getattr(value, name))
            for name, write in writers
        }

    def read(value: Any) -> T:
        if type(value) is not dict or value.keys() != fields.keys():
            _refuse(f"{value!r} does not have the fields of {kind.__name__}: {', '.join(fields)}")
        return kind(**{name: form.read(value[name]) for name, form in fields.items()})

    return Form(write, read)


def variant(**kinds: tuple[type[Any], Form[Any]]) -> Form[Any]:
    """Return the form of a union: the name of the type and the value."""
    names = {kind: name for name, (kind, _) in kinds.items()}

    def write(value: Any) -> list[Any]:
        name = names[type(value)]
        return [name, kinds[name][1].write(value)]

    def read(value: Any) -> Any:
        if type(value) is not list or len(value) != 2 or value[0] not in kinds:
            _refuse(f"{value!r} is not one of {', '.join(kinds)}")
        return kinds[value[0]][1].read(value[1])

    return Form(write, read)


def _plain(value: Any) -> Any:
    """Return the JSON value of a dumped section; decimals in their one form."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Decimal):
        return canonical(value)
    return value.isoformat() if isinstance(value, date | time) else value


def section(kind: type[BaseModel]) -> Form[Any]:
    """Return the form of a section of parameters: the JSON of the section."""

    def read(value: Any) -> BaseModel:
        try:
            return kind.model_validate_json(_encode(value))
        except ValidationError as error:
            _refuse(f"it is not a {kind.__name__}: {error}")

    return Form(lambda value: _plain(value.model_dump()), read)
