"""The model's parameters: stored with each result. Settings of the machine are not here."""

from typing import Literal

from pydantic import Field, model_validator

from margin_actors.engine.parameters.part import Part
from margin_actors.engine.parameters.requirement import (
    AddOnParameters,
    CollateralParameters,
    DiversificationParameters,
    HybridParameters,
    ProcyclicalityParameters,
    SpanParameters,
    VenueGridParameters,
)
from margin_actors.engine.parameters.scenarios import ScenarioParameters
from margin_actors.market.identity import content_id


class HistoryParameters(Part):
    """Which prices make the history."""

    sources: tuple[str, ...] = Field(min_length=1)
    """Names of price files without their ending; ``{u}`` stands for the underlying, ``*`` for any
    letters. Those that match nothing are left out as long as one source remains. Sources finer than
    the frequency are read at its grid points."""
    frequency: Literal["1d", "1h", "1min"] = "1d"
    """Grid of the aggregated history."""
    aggregate: Literal["median", "volume_weighted_median", "first"] = "median"
    """How sources become one price; `first` takes the first source that has one, as it came."""
    outlier_score_max: float = Field(default=12.0, gt=0)
    """Robust score (distance from a rolling median in units of 1.4826 MAD) beyond which a price is
    dropped, if the other sources or its own next price contradict it too."""
    outlier_window: int = Field(default=61, ge=5)
    """Grid points of the rolling median."""
    disagreement_max: float = Field(default=0.10, gt=0)
    """Largest relative distance from the other sources' median before a price is dropped."""
    stale_points_max: int = Field(default=6, ge=1)
    """Longest run of identical closes; the repeats of a longer one are stale and dropped."""
    gap_rule: Literal["none", "previous", "linear"] = "none"
    """How a gap is filled."""
    gap_points_max: int = Field(default=0, ge=0)
    """Longest gap that is filled, in grid points."""
    cleanse: bool = True
    """False: take closes as they came (still refusing what is not a positive number)."""


class QualityParameters(Part):
    """Limits whose breach stops a run."""

    missing_fraction_max: float = Field(default=0.02, ge=0, le=1)
    """Grid points of the lookback without a price, a fraction."""
    repaired_fraction_max: float = Field(default=0.02, ge=0, le=1)
    """Grid points dropped or filled, a fraction."""
    end_age_hours_max: float = Field(default=30.0, gt=0)
    """Age of the last price at the valuation time, hours."""


class RevaluationParameters(Part):
    """How a scenario becomes a profit or loss."""

    smile: Literal["mark", "svi", "sabr"] = "svi"
    """`mark`: each option keeps its own mark volatility."""
    sabr_beta: float = Field(default=1.0, ge=0, le=1)
    """SABR's exponent; the other parameters are fitted."""
    anchor_to_marks: bool = True
    """Scale the smile at each listed option so that it starts from the mark volatility."""
    dynamics: Literal["sticky_moneyness", "sticky_strike", "sticky_delta", "frozen"] = (
        "sticky_moneyness"
    )
    """What of the smile stays when the forward moves."""
    time: Literal["instantaneous", "horizon", "settle_expiring"] = "instantaneous"
    """Take the profit at once, or when the margin period of risk has passed; `settle_expiring`: at
    once, but options that expire within it are settled on the path's price at their expiry."""
    settlement_window_minutes: float = Field(default=30.0, ge=0)
    """The index is averaged over the last minutes before expiry; only the rest is shocked."""
    shocked_surfaces: Literal["repair", "keep"] = "repair"
    """Draw surface moves that allow arbitrage towards their move at the money, or keep them."""
    unlisted_options: Literal["reject", "surface"] = "reject"
    """Options that are not in the chain: refuse, or price on the surface of their expiry."""
    pnl_quantum_usd: float | None = Field(default=1e-6, gt=0)
    """Profit of one lot is rounded to it so that sums are exact in any order; null: no rounding,
    sums run in the order of the instruments."""
    lot_coins: float = Field(default=0.01, gt=0)
    """Least quantity of options, spot and linear futures, coins."""
    lot_usd: float = Field(default=10.0, gt=0)
    """Least notional of inverse futures and perpetuals, US dollars."""

    @model_validator(mode="after")
    def _dynamics_need_a_smile(self) -> "RevaluationParameters":
        if self.smile == "mark" and self.dynamics not in ("frozen", "sticky_strike"):
            raise ValueError(
                f"dynamics = {self.dynamics!r} needs a smile: set smile to 'svi' or 'sabr', or "
                "dynamics to 'sticky_strike'"
            )
        return self


class MeasureParameters(Part):
    """Which measure is the margin."""

    confidence: float = Field(default=0.995, gt=0, lt=1)
    """Probability that the loss is not exceeded."""
    core: Literal["var", "es", "blend", "span", "venue_grid", "hybrid"] = "es"
    """Value at risk; expected shortfall; a blend of VaR with VaR over the stress period; SPAN; the
    venue grid; SPAN with scan ranges from VaR and a floor at a share of VaR."""
    blend_var_share: float = Field(default=0.75, ge=0, le=1)
    """`blend`: share of VaR; the rest is the stress period's."""
    overlap: Literal["pooled", "mean_of_sub_samples"] = "pooled"
    """Overlapping windows: all in one sample, or the mean of the measures over the sub-samples of
    windows that do not overlap."""


class ModelParameters(Part):
    """A complete model: equal parameters have an equal id."""

    name: str
    version: str = Field(default="0", min_length=1)
    """Named in every result. The same name and version always mean the same parameters."""
    description: str = ""
    history: HistoryParameters
    """Prices."""
    quality: QualityParameters = QualityParameters()
    """When data are not good enough."""
    scenarios: ScenarioParameters = ScenarioParameters()
    """Scenarios."""
    revaluation: RevaluationParameters = RevaluationParameters()
    """Prices in scenarios."""
    measure: MeasureParameters = MeasureParameters()
    """The core."""
    span: SpanParameters = SpanParameters()
    """SPAN."""
    venue_grid: VenueGridParameters = VenueGridParameters()
    """The venue's grid."""
    hybrid: HybridParameters = HybridParameters()
    """SPAN from VaR."""
    diversification: DiversificationParameters = DiversificationParameters()
    """Help between underlyings."""
    procyclicality: ProcyclicalityParameters = ProcyclicalityParameters()
    """Buffers and floors."""
    addons: AddOnParameters = AddOnParameters()
    """Charges on top."""
    collateral: CollateralParameters = CollateralParameters()
    """Deposits."""

    @model_validator(mode="after")
    def _consistent(self) -> "ModelParameters":
        moves, on_marks = self.scenarios.surface_moves, self.revaluation.smile == "mark"
        if moves == "history" and on_marks:
            raise ValueError("surface_moves = 'history' needs smile = 'svi' or 'sabr'")
        if on_marks and self.addons.model_risk.enabled:
            raise ValueError("addons.model_risk needs smile = 'svi' or 'sabr'")
        return self

    @property
    def id(self) -> str:
        """Content id; the name, version and description are not part of it."""
        named = {"name", "version", "description"}
        return content_id("model", self.model_dump(mode="json", exclude=named))

    def core_only(self) -> "ModelParameters":
        """Return the model with nothing but a VaR or expected shortfall: no tool, no add-on.

        The sizes of the procyclicality tools stay, switched off.
        """
        tools, addons = self.procyclicality, self.addons
        off = {"enabled": False}
        kept = self.measure.core if self.measure.core in ("var", "es") else "es"
        return self.model_copy(
            update={
                "scenarios": self.scenarios.model_copy(
                    update={"stress": self.scenarios.stress.model_copy(update=off)}
                ),
                "measure": self.measure.model_copy(update={"core": kept}),
                "diversification": DiversificationParameters(),
                "procyclicality": tools.model_copy(
                    update={
                        "buffer": tools.buffer.model_copy(update=off),
                        "stressed_weight": tools.stressed_weight.model_copy(update=off),
                        "long_floor": tools.long_floor.model_copy(update=off),
                        "stress_period": tools.stress_period.model_copy(update={"floor": False}),
                    }
                ),
                "addons": addons.model_copy(
                    update={
                        name: getattr(addons, name).model_copy(update=off)
                        for name in ("concentration", "liquidity", "model_risk", "expiry_risk")
                    }
                ),
            }
        )

    @property
    def needs_stress_period(self) -> bool:
        """True where the requirement needs the stress days."""
        tools = self.procyclicality
        return (
            tools.stress_period.floor
            or tools.stressed_weight.enabled
            or self.measure.core == "blend"
        )

    @property
    def horizon_hours_total(self) -> float:
        """Margin period of risk with its extension, hours."""
        return self.scenarios.horizon_hours + self.scenarios.extension_hours
