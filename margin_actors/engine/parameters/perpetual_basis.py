"""Parameters of the basis of perpetuals: the price of the perpetual relative to the index."""

from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from margin_actors.parameter_section import ParameterSection


class PerpetualBasisParameters(ParameterSection):
    """Moves of ln(perpetual / index), from recorded prices of the perpetual and of spot."""

    moves: Literal["none", "history"] = "none"
    """`none`: perpetuals move as the index. `history`: their basis moves as recorded, and by a
    proxy with residuals where it was not recorded."""
    perpetual_sources: tuple[str, ...] = ("binance_perp_{u}USDT_1h", "synthetic_perp_{u}_1d")
    """Names of files with prices of the perpetual, as in `history.sources`; the first is used."""
    spot_sources: tuple[str, ...] = ("binance_spot_{u}USDT_1h", "synthetic_spot_{u}_1d")
    """Names of files with spot prices on the same exchange and in the same quote currency, so that
    their difference contains no premium of that currency; the first is used."""
    first_day: date = date(2020, 1, 1)
    """Earlier prices are not used (the first months of trading in the perpetuals)."""
    tolerance_hours: float = Field(default=4.0, gt=0)
    """Largest age of the last known basis at the start or the end of a window, hours."""
    floor_confidence: float | None = Field(default=0.995, gt=0.5, lt=1)
    """The moves of the core rows are scaled up, by one factor per underlying, until the loss on
    either side reaches, at this confidence, the quantile of the absolute moves over the whole
    recorded history; null: no scaling."""
    charge_rate: dict[str, float] | None = None
    """SPAN and venue grid: charge per coin of perpetual delta that offsets delta of other contracts
    of the underlying, as a fraction of the index; null: the quantile of the absolute basis moves of
    the core rows at the confidence of the measure."""

    @model_validator(mode="after")
    def _rates(self) -> "PerpetualBasisParameters":
        for underlying, rate in (self.charge_rate or {}).items():
            if not 0.0 <= rate < 1.0:
                raise ValueError(
                    f"perpetual_basis.charge_rate.{underlying} = {rate} must be from 0 to below 1"
                )
        return self
