"""Parameters of the clearing house: rules of calls, of collateral and of settlement."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from margin_actors.clearing.calls import CallParameters
from margin_actors.clearing.house.forms import section, written
from margin_actors.clearing.journal.resources import CollateralRules
from margin_actors.clearing.settlement import SettlementParameters
from margin_actors.clearing.settlement.exact import canonical
from margin_actors.market.identity import content_id
from margin_actors.parameter_section import ParameterSection

Share = Annotated[Decimal, Field(ge=0, le=1)]


class CollateralParameters(ParameterSection):
    """What of an asset counts as collateral, see `CollateralRules`."""

    haircuts: Mapping[str, Share] = Field(default_factory=dict[str, Decimal])
    """Share of the value that is not counted, by asset; ``*`` applies to all other assets, which
    otherwise do not count at all."""
    depeg: Mapping[str, Share] = Field(default_factory=dict[str, Decimal])
    """Share of its value that a stablecoin loses in its de-peg scenario, by asset."""
    simulated: tuple[str, ...] = ()
    """Coins that the requirement simulates with the account; they count without a haircut."""
    simulated_lot: Annotated[Decimal, Field(gt=0)] | None = None
    """Only whole lots of this many coins are simulated; None: the whole deposit."""


class HouseParameters(ParameterSection):
    """All rules with a number by which the clearing house decides."""

    version: str = "1"
    """Human-readable version of the parameters; not part of `id`."""
    calls: CallParameters = CallParameters()
    """When margin is called, and by when it has to be paid."""
    collateral: CollateralParameters = CollateralParameters()
    """Haircuts; by default no asset counts."""
    settlement: SettlementParameters = SettlementParameters()
    """Settlement, delivery and fees."""
    reminder_minutes: tuple[Annotated[int, Field(gt=0)], ...] = (30, 10)
    """Minutes before the due time of a tranche at which the member is reminded."""
    withdrawal_minutes: int = Field(default=24 * 60, gt=0)
    """Minutes after which a requested withdrawal without approval lapses."""

    @property
    def id(self) -> str:
        """Content id of all parameters except `version`."""
        return content_id("house", {"content": written(_CONTENT, self.model_copy(update=_UNNAMED))})

    @property
    def withdrawal_time(self) -> timedelta:
        """Time after which a requested withdrawal lapses."""
        return timedelta(minutes=self.withdrawal_minutes)

    @property
    def rules(self) -> CollateralRules:
        """The rules by which resources are computed."""
        section = self.collateral
        return CollateralRules(
            section.haircuts, section.depeg, frozenset(section.simulated), section.simulated_lot
        )


_CONTENT = section(HouseParameters)
_UNNAMED = {"version": ""}


def collateral_parameters(rules: CollateralRules) -> CollateralParameters:
    """Return the parameters of rules, for example of those of a model (`collateral_rules`)."""
    lot = rules.simulated_lot
    return CollateralParameters(
        haircuts={asset: Decimal(canonical(share)) for asset, share in rules.haircuts.items()},
        depeg={asset: Decimal(canonical(share)) for asset, share in rules.depeg.items()},
        simulated=tuple(sorted(rules.simulated)),
        simulated_lot=None if lot is None else Decimal(canonical(lot)),
    )
