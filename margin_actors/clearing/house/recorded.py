"""The base class of events and commands: payload and hash follow from an explicit form."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar, TypeVar

from margin_actors.clearing.house.forms import Form, record, written
from margin_actors.hash_chain import content_hash

T = TypeVar("T", bound="Recorded")


class Recorded:
    """An event or command with a kind, a canonical payload, and a hash of it."""

    log_kind: str = ""
    """The kind, for events that in the log; set by `recorded` for each class."""
    form: ClassVar[Form[Any]]
    """How it is written and read."""

    @cached_property
    def payload(self) -> str:
        """The content as canonical JSON."""
        return written(self.form, self)

    @property
    def payload_hash(self) -> str:
        """Hash of the kind and the payload, 64 hexadecimal digits."""
        return self._payload_hash

    @cached_property
    def _payload_hash(self) -> str:
        return content_hash(self.log_kind, {"payload": self.payload})


def recorded(log_kind: str, /, **fields: Form[Any]) -> Callable[[type[T]], type[T]]:
    """Return a decorator that gives a class its kind and the form of each field."""

    def decorate(kind: type[T]) -> type[T]:
        kind.log_kind = log_kind
        kind.form = record(kind, **fields)
        return kind

    return decorate
