"""Parameters of the scenario engines."""

from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from margin_actors.engine.parameters.part import Part


class FilterParameters(Part):
    """Filtered historical simulation: past moves scaled from the volatility of then to now's."""

    volatility: Literal["ewma", "garch"] = "ewma"
    """How volatility is followed: exponentially weighted squares, or GARCH(1,1)."""
    ewma_lambda: float = Field(default=0.97, gt=0, lt=1)
    """Weight of yesterday's variance; a step is one step of the windows."""
    warm_up_steps: int = Field(default=60, ge=10)
    """Steps at the start of the history whose mean square begins the recursion."""
    garch_refit_days: int = Field(default=30, ge=1)
    """GARCH parameters stay for so many days; they are fitted at the start of the period."""
    garch_steps_min: int = Field(default=500, ge=100)
    """Fewest returns that GARCH is fitted to; with fewer, EWMA is used and the set says so."""
    ratio_min: float = Field(default=0.4, gt=0, le=1)
    """Least factor on a past move."""
    ratio_max: float = Field(default=2.5, ge=1)
    """Largest factor on a past move."""
    floor_share: float = Field(default=0.6, ge=0, le=1)
    """Volatility now is at least this share of its root mean square over the lookback."""
    correlation_scaling: bool = False
    """Turn each past joint return from the correlation of then to the correlation of now."""
    surface: Literal["own", "none"] = "own"
    """Scale volatility moves by the volatility of the 30-day volatility itself, or leave them."""


class MonteCarloParameters(Part):
    """Monte Carlo: marginals and a Student-t copula fitted to the historical rows."""

    rows: int = Field(default=10_000, ge=100, le=1_000_000)
    """Scenarios."""
    marginals: Literal["student_t", "empirical"] = "empirical"
    """Student-t fitted to each factor, or its own sorted moves with Pareto tails."""
    filtered: bool = True
    """Fit to filtered rows (see `scenarios.filter`) instead of rows as they were."""
    copula_dof: int | None = Field(default=None, ge=2, le=60)
    """Degrees of freedom of the copula; null: fitted."""
    correlation_shrinkage: float = Field(default=0.10, ge=0, le=1)
    """Correlations between factors are drawn towards 0 by this share."""
    tail_share: float = Field(default=0.05, gt=0, le=0.25)
    """Empirical marginals: share of the moves on each side to which a Pareto tail is fitted."""
    tail_index_max: float = Field(default=0.35, gt=0, lt=1)
    """Largest shape of those tails: beyond 0.5 a move has no variance."""
    reach: float = Field(default=2.0, ge=1)
    """A drawn move is at most so many times the largest seen on its side."""
    seed: int = Field(default=20260515, ge=0, lt=2**62)
    """With the row's number it decides every random number of the row."""


class StressEvent(Part):
    """A day that is read from the price history, with every window that holds it."""

    name: str = Field(min_length=1)
    """What people call it."""
    day: date
    """UTC."""


class HypotheticalMove(Part):
    """A joint move written by the user."""

    name: str = Field(min_length=1)
    """What people call it."""
    spot: dict[str, float]
    """Relative change of each index named, for example -0.4; the others stay."""
    vol: dict[str, float] = Field(default_factory=dict)
    """Relative change of each volatility surface named, for example 0.5."""

    @model_validator(mode="after")
    def _possible(self) -> "HypotheticalMove":
        for what, moves in (("spot", self.spot), ("vol", self.vol)):
            for underlying, move in moves.items():
                if move <= -1.0:
                    raise ValueError(f"{what}.{underlying} = {move} leaves nothing")
        return self


_DAYS = (
    ("the pandemic's crash", date(2020, 3, 12)),
    ("mining ban", date(2021, 5, 19)),
    ("Celsius", date(2022, 6, 13)),
    ("FTX", date(2022, 11, 9)),
    ("yen carry trade", date(2024, 8, 5)),
    ("tariff liquidations", date(2025, 10, 10)),
    ("February fall", date(2026, 2, 5)),
)


class StressParameters(Part):
    """Stress rows: reported beside the requirement, and not part of any quantile."""

    enabled: bool = False
    """Revalue every account in the stress rows."""
    events: tuple[StressEvent, ...] = tuple(StressEvent(name=n, day=d) for n, d in _DAYS)
    """Historical days; those the history does not cover are left out and named."""
    hypothetical: tuple[HypotheticalMove, ...] = (
        HypotheticalMove(
            name="fall by half, volatility doubles",
            spot={"BTC": -0.5, "ETH": -0.5},
            vol={"BTC": 1.0, "ETH": 1.0},
        ),
        HypotheticalMove(
            name="rally by half, volatility up by half",
            spot={"BTC": 0.5, "ETH": 0.5},
            vol={"BTC": 0.5, "ETH": 0.5},
        ),
        HypotheticalMove(name="BTC rises, ETH falls", spot={"BTC": 0.2, "ETH": -0.2}),
        HypotheticalMove(name="volatility halves", spot={}, vol={"BTC": -0.5, "ETH": -0.5}),
    )
    """Moves that never happened."""


class ScenarioParameters(Part):
    """Where scenarios come from."""

    engine: Literal["historical", "filtered", "monte_carlo"] = "historical"
    """Windows as they were, scaled to today's volatility, or drawn from a fitted distribution."""
    underlyings: tuple[str, ...] = Field(default=("BTC", "ETH"), min_length=1)
    """One row moves all of them together."""
    windows: int = Field(default=1825, ge=2)
    """Number of most recent windows (5 years of daily steps)."""
    horizon_hours: float = Field(default=48.0, gt=0)
    """Margin period of risk, hours."""
    extension_hours: float = Field(default=0.0, ge=0)
    """Added where collateral cannot be collected over a weekend or holiday, hours."""
    step_hours: float = Field(default=24.0, gt=0)
    """Distance of one window's end from the next, hours."""
    sampling: Literal["overlapping", "non_overlapping"] = "overlapping"
    """A window at every step, or one behind the other."""
    half_life_days: float | None = Field(default=None, gt=0)
    """The weight of a window halves in so many days; null: all weigh the same."""
    surface_moves: Literal["none", "history", "index"] = "none"
    """`history`: volatility and basis moves from the chain history, proxied where it is missing.
    `index`: from the volatility index alone, the same at every strike; nothing of the basis."""
    surface_tolerance_hours: float = Field(default=4.0, gt=0)
    """A chain snapshot stands for a time at most this far from its own, hours."""
    vol_index_sources: tuple[str, ...] = ("deribit_dvol_{u}_1d_ohlc", "*dvol_{u}_1d")
    """Names of volatility index files, the first that exists is used; as `history.sources`."""
    vol_index_decay: float = Field(default=0.45, ge=0, le=1)
    """`index`: a maturity of T days moves (30 / T) to this power as much as the index."""
    proxy_residuals: bool = True
    """Each proxied row draws one of the fitted residuals."""
    seed: int = Field(default=20260515, ge=0, lt=2**62)
    """Seed of those draws."""
    filter: FilterParameters = FilterParameters()
    """How windows are scaled to today's volatility."""
    monte_carlo: MonteCarloParameters = MonteCarloParameters()
    """How rows are drawn."""
    stress: StressParameters = StressParameters()
    """Named days and hypothetical moves."""

    @model_validator(mode="after")
    def _whole_steps(self) -> "ScenarioParameters":
        total = self.horizon_hours + self.extension_hours
        if abs(total / self.step_hours - round(total / self.step_hours)) > 1e-9:
            raise ValueError(
                f"horizon_hours + extension_hours = {total} is not a whole number of "
                f"step_hours = {self.step_hours}"
            )
        if self.half_life_days is not None and self.engine == "monte_carlo":
            raise ValueError("half_life_days weighs windows; Monte Carlo draws rows")
        return self
