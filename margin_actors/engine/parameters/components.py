"""Requirement components that a model names in addition to the built-in ones."""

from pydantic import Field

from margin_actors.parameter_section import ParameterSection


class NamedComponent(ParameterSection):
    """A requirement component whose implementation is provided by an installed package."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    """Name of the component; its column in results is the name followed by ``_usd``."""
    parameters: dict[str, float] = Field(default_factory=dict[str, float])
    """Values of all parameters of the component, by name."""
