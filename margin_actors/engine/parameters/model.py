"""The parameters of a margin model, stored with each result; machine settings are not included."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from margin_actors.engine.parameters.components import NamedComponent
from margin_actors.engine.parameters.rates import RateParameters
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
from margin_actors.engine.parameters.tails import TailParameters
from margin_actors.market.chain_quality import ChainQualityLimits
from margin_actors.market.cleansing import CleansingRules, QualityLimits
from margin_actors.market.identity import content_id
from margin_actors.parameter_section import ParameterSection


class PriceSources(ParameterSection):
    """The sources of the price history."""

    sources: tuple[str, ...] = Field(min_length=1)
    """Names of price files without extension; ``{u}`` stands for the underlying, ``*`` for any
    characters. Names that match no file are ignored as long as one source remains. Sources with
    shorter candles than the frequency are sampled at its grid points; sources with longer candles
    are ignored."""
    frequency: Literal["1d", "1h", "1min"] = "1d"
    """Interval of the grid of the aggregated history."""


class HistoryParameters(CleansingRules, PriceSources):
    """The price history and its cleansing."""


class RevaluationParameters(ParameterSection):
    """How positions are revalued in a scenario."""

    later_fields: ClassVar[frozenset[str]] = frozenset({"rates"})

    smile: Literal["mark", "svi", "sabr"] = "svi"
    """Smile model; `mark`: each option keeps its own mark volatility."""
    sabr_beta: float = Field(default=1.0, ge=0, le=1)
    """Exponent beta of SABR; its other parameters are fitted."""
    anchor_to_marks: bool = True
    """Scale the smile at each listed option so that it reproduces the mark volatility."""
    dynamics: Literal["sticky_moneyness", "sticky_strike", "sticky_delta", "frozen"] = (
        "sticky_moneyness"
    )
    """How the smile moves when the forward moves."""
    time: Literal["instantaneous", "horizon", "settle_expiring"] = "instantaneous"
    """When positions are revalued: at once, or at the end of the margin period of risk;
    `settle_expiring`: at once, except that options which expire within the margin period of risk
    are settled at the path's price at their expiry."""
    settlement_window_minutes: float = Field(default=30.0, ge=0)
    """Minutes before expiry over which the settlement price averages the index; only the part of
    the average that is not yet fixed is shocked."""
    shocked_surfaces: Literal["repair", "keep"] = "repair"
    """Surface moves that admit arbitrage: shrink them towards the move at the money, or keep
    them."""
    unlisted_options: Literal["reject", "surface"] = "reject"
    """Options that are not in the chain: reject, or price on the surface at their expiry."""
    pnl_quantum_usd: float | None = Field(default=1e-6, gt=0)
    """Tick, US dollars: the profit of one lot is rounded to a multiple of it, so that sums are
    exact in any order; null: no rounding, and sums run in the order of the instruments."""
    lot_coins: float = Field(default=0.01, gt=0)
    """Lot size of options, spot, and linear futures and perpetuals, coins."""
    lot_usd: float = Field(default=10.0, gt=0)
    """Lot size of inverse futures and perpetuals, notional in US dollars."""
    rates: RateParameters = RateParameters()
    """Interest rates."""

    @model_validator(mode="after")
    def _dynamics_need_a_smile(self) -> "RevaluationParameters":
        if self.smile == "mark" and self.dynamics not in ("frozen", "sticky_strike"):
            raise ValueError(
                f"dynamics = {self.dynamics!r} needs a smile: set smile to 'svi' or 'sabr', or "
                "dynamics to 'sticky_strike'"
            )
        return self


class MeasureParameters(ParameterSection):
    """The risk measure of the core."""

    confidence: float = Field(default=0.995, gt=0, lt=1)
    """Probability that the loss is not exceeded."""
    core: Literal["var", "es", "blend", "span", "venue_grid", "hybrid"] = "es"
    """Value at risk (`var`); expected shortfall (`es`); a weighted mean of VaR and VaR over the
    stress period (`blend`); SPAN (`span`); the venue grid (`venue_grid`); SPAN with a floor at a
    share of VaR (`hybrid`)."""
    blend_var_share: float = Field(default=0.75, ge=0, le=1)
    """`blend`: weight of VaR; the rest is the weight of VaR over the stress period."""
    overlap: Literal["pooled", "mean_of_sub_samples"] = "pooled"
    """Treatment of overlapping windows: one sample of all windows, or the mean of the measures of
    the sub-samples of windows that do not overlap."""


class ModelParameters(ParameterSection):
    """A complete margin model; models with equal parameters have equal ids."""

    later_fields: ClassVar[frozenset[str]] = frozenset({"components", "tails", "chain_quality"})

    name: str
    version: str = Field(default="0", min_length=1)
    """Stated in every result; a name and version always denote the same parameters."""
    description: str = ""
    history: HistoryParameters
    """Price history."""
    quality: QualityLimits = QualityLimits()
    """Quality limits."""
    chain_quality: ChainQualityLimits = ChainQualityLimits()
    """Quality gates of option chains."""
    scenarios: ScenarioParameters = ScenarioParameters()
    """Scenario generation."""
    revaluation: RevaluationParameters = RevaluationParameters()
    """Revaluation in scenarios."""
    measure: MeasureParameters = MeasureParameters()
    """Risk measure."""
    span: SpanParameters = SpanParameters()
    """SPAN parameters."""
    venue_grid: VenueGridParameters = VenueGridParameters()
    """Venue grid."""
    hybrid: HybridParameters = HybridParameters()
    """SPAN with a VaR floor."""
    diversification: DiversificationParameters = DiversificationParameters()
    """Cross-underlying diversification."""
    procyclicality: ProcyclicalityParameters = ProcyclicalityParameters()
    """Procyclicality tools: buffer, stressed weight and floors."""
    addons: AddOnParameters = AddOnParameters()
    """Add-ons."""
    collateral: CollateralParameters = CollateralParameters()
    """Collateral."""
    tails: TailParameters = TailParameters()
    """Extended moves and the short option minimum."""
    components: tuple[NamedComponent, ...] = ()
    """Requirement components of installed packages, added after the built-in ones in this
    order."""

    @model_validator(mode="after")
    def _consistent(self) -> "ModelParameters":
        names = [item.name for item in self.components]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"components named more than once: {', '.join(repeated)}")
        moves, on_marks = self.scenarios.surface_moves, self.revaluation.smile == "mark"
        if moves == "history" and on_marks:
            raise ValueError("surface_moves = 'history' needs smile = 'svi' or 'sabr'")
        if on_marks and self.addons.model_risk.enabled:
            raise ValueError(
                "addons.model_risk needs smile = 'svi' or 'sabr'; or set its enabled = false"
            )
        is_fixed = on_marks or self.revaluation.dynamics == "frozen"
        if is_fixed and self.tails.extended_moves.enabled:
            raise ValueError(
                "tails.extended_moves needs a smile that moves: smile = 'svi' or 'sabr', and "
                "dynamics other than 'frozen'"
            )
        if self.addons.members.enabled and self.revaluation.pnl_quantum_usd is None:
            raise ValueError(
                "addons.members needs positions in whole lots: set revaluation.pnl_quantum_usd"
            )
        return self

    @property
    def id(self) -> str:
        """Content id; it does not depend on the name, version and description."""
        named = {"name", "version", "description"}
        return content_id("model", self.model_dump(mode="json", exclude=named))

    def core_only(self) -> "ModelParameters":
        """Return the model with VaR or expected shortfall alone, without tools, add-ons and stress.

        A core other than VaR is replaced by expected shortfall. The parameters of the
        procyclicality tools and add-ons keep their values but are disabled.
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
                        for name in (
                            "concentration",
                            "liquidity",
                            "model_risk",
                            "expiry_risk",
                            "loss_bound",
                        )
                    }
                ),
                "tails": TailParameters(),
                "components": (),
            }
        )

    @property
    def horizon_hours_total(self) -> float:
        """Margin period of risk including its extension, hours."""
        return self.scenarios.horizon_hours + self.scenarios.extension_hours
