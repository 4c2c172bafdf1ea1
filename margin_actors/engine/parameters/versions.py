"""Differences between two models, and the rule that a model version is immutable."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from margin_actors.engine.parameters.model import ModelParameters
from margin_actors.errors import InvalidParameters, Problem


@dataclass(frozen=True, slots=True)
class Change:
    """A parameter that differs between two models."""

    field: str
    """Name with its sections, for example ``measure.confidence``."""
    before: str
    after: str


_MISSING = "(missing)"


def changes_between(before: ModelParameters, after: ModelParameters) -> tuple[Change, ...]:
    """Return the parameters that differ, in the order of the sections.

    Name, version and description are not compared. The result is empty if and only if both models
    have the same id.
    """
    named = {"name", "version", "description"}
    old = dict(_flat(before.model_dump(mode="json", exclude=named), ""))
    new = dict(_flat(after.model_dump(mode="json", exclude=named), ""))
    return tuple(
        Change(field, old.get(field, _MISSING), new.get(field, _MISSING))
        for field in dict.fromkeys([*old, *new])
        if old.get(field, _MISSING) != new.get(field, _MISSING)
    )


def _flat(value: object, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{where}.{key}" if where else str(key))
    else:
        yield where, repr(value)


def require_same_version(model: ModelParameters, known: ModelParameters) -> None:
    """Check that the name and version of a model have not been used for other parameters.

    Raises
    ------
    InvalidParameters
        If the name and version are equal and the ids differ; names every changed parameter.
    """
    if (model.name, model.version) != (known.name, known.version) or model.id == known.id:
        return
    changes = changes_between(known, model)
    raise InvalidParameters(
        f"version {model.version!r} of the model {model.name!r} is already used for other "
        "parameters",
        [Problem(change.field, f"was {change.before}, is {change.after}", "") for change in changes]
        + [Problem("version", model.version, "give the changed model a new version")],
    )
