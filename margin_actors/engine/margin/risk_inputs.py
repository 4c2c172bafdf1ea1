"""Inputs of requirements other than profits, fixed for the contracts of a market and a model."""

from dataclasses import dataclass

from margin_actors.engine.addons import ContractRisk, HedgeRates
from margin_actors.engine.margin.sample import Sample
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.scenarios import Calibration, Section
from margin_actors.engine.span import RiskArrays
from margin_actors.engine.tails import ExtendedShares, ShortRates


@dataclass(frozen=True)
class RiskInputs:
    """Inputs of requirements other than profits; arrays are in the order of the contracts."""

    model: ModelParameters
    sample: Sample
    sections: tuple[Section, ...]
    """Sections of the scenario set, the core first."""
    calibration: Calibration
    """Values calibrated with the scenario set."""
    risk: ContractRisk | None
    """Greeks, spreads and market depth; None if the model does not need them."""
    span: RiskArrays | None
    """SPAN risk arrays; None unless the core is SPAN or hybrid."""
    grid: RiskArrays | None
    """Risk arrays of the venue grid; None unless it is the core."""
    extended: ExtendedShares | None = None
    """Names and shares of the extended rows; None unless the model has extended moves."""
    short: ShortRates | None = None
    """Inputs of the short option minimum; None unless the model has one."""
    hedge: HedgeRates | None = None
    """Cost rates of hedges in neighbouring buckets; None if they bound no charge."""
    notes: tuple[str, ...] = ()
    """Descriptions of the SPAN scan ranges, and of interest rates."""

    def section(self, name: str) -> Section | None:
        """Return a section of the scenario set by name, or None if the set lacks it."""
        return next((s for s in self.sections if s.name == name), None)
