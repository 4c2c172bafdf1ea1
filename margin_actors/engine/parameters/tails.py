"""Parameters of the floors for large losses: extended moves and the short option minimum."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from margin_actors.parameter_section import ParameterSection

EVERY = "*"
"""Name that stands for every underlying that is not named."""


class MoveGrid(ParameterSection):
    """A grid of moves: each change of the index with each change of volatility."""

    spot: tuple[float, ...] = Field(min_length=1)
    """Relative changes of the index."""
    vol: tuple[float, ...] = (1.0,)
    """Factors on the 30-day volatility; 1 leaves the volatility unchanged."""
    share: float = Field(gt=0, le=1)
    """Share of the loss that counts."""

    @model_validator(mode="after")
    def _possible(self) -> "MoveGrid":
        if not self.vol:
            raise ValueError("vol is empty; give 1.0 to leave the volatility unchanged")
        for name, values, least in (("spot", self.spot, -1.0), ("vol", self.vol, 0.0)):
            for value in values:
                if value <= least:
                    raise ValueError(f"{name} = {value} must be above {least:g}")
        return self


class ExtendedRow(ParameterSection):
    """One extended move with a name."""

    name: str = Field(min_length=1)
    """Name in results."""
    spot: dict[str, float] = Field(default_factory=dict[str, float])
    """Relative change of the index by underlying; `*` stands for all others. Without an entry, an
    index does not move."""
    vol: float = Field(default=1.0, gt=0)
    """Factor on the 30-day volatility of every underlying."""
    skew: float = Field(default=0.0, ge=-0.25, le=0.25)
    """Change of ln(volatility) per unit of standardised moneyness, between -2 and 2: if negative,
    low strikes gain volatility and high strikes lose it."""
    term: float = Field(default=0.0, ge=-0.5, le=0.5)
    """Change of ln(volatility) per unit of ln(30 days / time to expiry): if positive, short
    expiries gain volatility and long expiries lose it."""
    perpetual_basis: dict[str, float] = Field(default_factory=dict[str, float])
    """Relative change of perpetuals against the index by underlying, as `spot`."""
    forward_basis: dict[str, float] = Field(default_factory=dict[str, float])
    """Relative change of dated forwards against the index by underlying, as `spot`."""
    share: float = Field(gt=0, le=1)
    """Share of the loss that counts."""

    @property
    def changes(self) -> dict[str, dict[str, float]]:
        """The changes by underlying, by the name of the field."""
        return {
            "spot": self.spot,
            "perpetual_basis": self.perpetual_basis,
            "forward_basis": self.forward_basis,
        }

    @model_validator(mode="after")
    def _possible(self) -> "ExtendedRow":
        for name, changes in self.changes.items():
            for underlying, move in changes.items():
                if move <= -1.0:
                    raise ValueError(f"{name}.{underlying} = {move} must be above -1")
        return self


def _steps(first: int, last: int, step: int) -> tuple[float, ...]:
    return tuple(percent / 100 for percent in range(first, last + 1, step))


_SHARE = 0.58
_EXTREMES = (
    (-0.66, 0.18),
    (-0.33, 0.36),
    (0.50, 0.24),
    (1.00, 0.12),
    (2.00, 0.06),
    (3.00, 0.04),
    (4.00, 0.03),
    (5.00, 0.024),
)
"""The moves of the venue grid with three quarters of its shares."""
_SHAPES = (
    ExtendedRow(
        name="the largest recorded fall, volatility doubles",
        spot={"BTC": -0.40, "ETH": -0.46, EVERY: -0.46},
        vol=2.0,
        share=0.45,
    ),
    ExtendedRow(name="volatility doubles", vol=2.0, share=0.3),
    ExtendedRow(name="volatility halves", vol=0.5, share=0.3),
    ExtendedRow(name="low strikes gain volatility", skew=-0.04, share=_SHARE),
    ExtendedRow(name="high strikes gain volatility", skew=0.04, share=_SHARE),
    ExtendedRow(name="short expiries gain volatility", term=0.06, share=_SHARE),
    ExtendedRow(name="long expiries gain volatility", term=-0.06, share=_SHARE),
)
_PERPETUAL_MOVES = (
    ("rise", {"BTC": 0.037, "ETH": 0.085, EVERY: 0.085}),
    ("fall", {"BTC": -0.034, "ETH": -0.026, EVERY: -0.034}),
)
_BASIS = (
    *(
        ExtendedRow(name=f"perpetuals {way} against the index", perpetual_basis=moves, share=_SHARE)
        for way, moves in _PERPETUAL_MOVES
    ),
    *(
        ExtendedRow(
            name=f"perpetuals {way} against the index, BTC alone",
            perpetual_basis={EVERY: 0.0, "BTC": moves["BTC"]},
            share=_SHARE,
        )
        for way, moves in _PERPETUAL_MOVES
    ),
    *(
        ExtendedRow(
            name=f"perpetuals {way} against the index, without BTC",
            perpetual_basis={**moves, "BTC": 0.0},
            share=_SHARE,
        )
        for way, moves in _PERPETUAL_MOVES
    ),
    *(
        ExtendedRow(
            name=f"dated forwards {way} against the index",
            forward_basis={EVERY: move},
            share=_SHARE,
        )
        for way, move in (("rise", 0.012), ("fall", -0.012))
    ),
)
"""The largest recorded two-day moves of perpetuals, hourly closes of 2020 to 2026, and of dated
forwards in the recorded chains of 2026."""


class ExtendedMoveParameters(ParameterSection):
    """Floor on the requirement: a share of the loss in each of a list of large moves."""

    later_fields: ClassVar[frozenset[str]] = frozenset({"past_days_share", "short_tenors_days"})

    enabled: bool = False
    """Apply the floor, whatever the core is."""
    jointly: tuple[MoveGrid, ...] = (
        MoveGrid(spot=_steps(-30, 30, 5), vol=(0.7, 1.0, 1.3, 1.6), share=_SHARE),
        *(MoveGrid(spot=(spot,), vol=(1.4,), share=share) for spot, share in _EXTREMES),
    )
    """Moves of all underlyings together."""
    alone: tuple[MoveGrid, ...] = (MoveGrid(spot=(-0.2, 0.2), vol=(1.3,), share=_SHARE),)
    """Moves of one index while the others do not move, for each underlying in turn; the volatility
    of all underlyings changes."""
    opposite: tuple[MoveGrid, ...] = (MoveGrid(spot=(0.15,), vol=(1.3,), share=_SHARE),)
    """Moves of one index by the change and of another by its negative, for each ordered pair of
    underlyings; the volatility of all underlyings changes."""
    rows: tuple[ExtendedRow, ...] = (*_SHAPES, *_BASIS)
    """Further moves, with names."""
    past_days_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the loss that counts in each window of the past days of `scenarios.stress.events`,
    with the recorded changes of index, volatility and basis, that of the index at the start of the
    window; 0: these windows are not among the extended moves."""
    short_tenors_days: tuple[float, ...] = ()
    """Tenors below 7 days at which moves of volatility are also given, days, ascending. Without
    them, volatility at shorter expiries moves as at 7 days."""
    vol_power: float = Field(default=0.3, ge=0, le=1)
    """A factor m on the 30-day volatility is 1 + (m - 1) * (30 / days)^vol_power at other expiries,
    at least 0.05."""

    @model_validator(mode="after")
    def _short(self) -> "ExtendedMoveParameters":
        days = self.short_tenors_days
        if list(days) != sorted(set(days)) or not all(0.0 < d < 7.0 for d in days):
            raise ValueError("short_tenors_days must be ascending, above 0 and below 7")
        return self


class ShortOptionMinimumParameters(ParameterSection):
    """Floor on the requirement: a minimum per short option that no long option covers."""

    enabled: bool = False
    """Apply the floor, whatever the core is."""
    at_money: float = Field(default=0.005, ge=0)
    """Minimum of a short option on one coin at or in the money, as a fraction of the index."""
    half_distance: float = Field(default=0.5, gt=0)
    """Distance out of the money, as a log-moneyness, over which the minimum halves."""
    least: float = Field(default=0.005, ge=0)
    """Minimum of any short option on one coin, as a fraction of the index."""
    count: Literal["sum", "larger_side"] = "larger_side"
    """Within an underlying: calls plus puts, or the larger of the two."""


class TailParameters(ParameterSection):
    """Floors on the requirement before add-ons, in every engine."""

    extended_moves: ExtendedMoveParameters = ExtendedMoveParameters()
    """Extended moves."""
    short_option_minimum: ShortOptionMinimumParameters = ShortOptionMinimumParameters()
    """Short option minimum."""
