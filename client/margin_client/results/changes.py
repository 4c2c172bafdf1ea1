"""Results of ExplainChange."""

from dataclasses import dataclass

from margin_client.results.margin import Calculation


@dataclass(frozen=True, slots=True)
class ComponentCents:
    """An amount of one component of a requirement."""

    name: str
    amount_cents: int


@dataclass(frozen=True, slots=True)
class InputChange:
    """An input that differs between two calculations."""

    name: str
    """``portfolio_version``, ``book``, ``snapshot``, ``scenarios`` or ``model``."""
    before_id: str
    after_id: str


@dataclass(frozen=True, slots=True)
class ChangeStep:
    """The effect of replacing one kind of input."""

    replaced: str
    """``positions``, ``time``, ``index``, ``volatility``, ``scenarios`` or ``parameters``; or
    ``market`` or ``scenarios and parameters`` if they had to be replaced together."""
    change_cents: int
    """Change of the requirement, US cents; an increase is positive."""
    components: tuple[ComponentCents, ...]
    """Changes of the components that are not 0; they sum to `change_cents`."""
    inputs: tuple[InputChange, ...]
    """The inputs that the step replaced; empty if they are equal."""


@dataclass(frozen=True, slots=True)
class RequirementChange:
    """What changed an account's requirement between two recorded calculations."""

    before: Calculation
    after: Calculation
    account_id: str
    before_cents: int
    """The old requirement, rounded up to US cents."""
    before_components: tuple[ComponentCents, ...]
    steps: tuple[ChangeStep, ...]
    """In the order in which the inputs were replaced; their changes sum to the whole change."""
    after_cents: int
    """The new requirement."""
    after_components: tuple[ComponentCents, ...]
