"""Parameters of the scenario engines."""

from datetime import date
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from margin_actors.engine.parameters.perpetual_basis import PerpetualBasisParameters
from margin_actors.parameter_section import ParameterSection


class FilterParameters(ParameterSection):
    """Filtered historical simulation: past moves scaled to the current volatility."""

    volatility: Literal["ewma", "garch"] = "ewma"
    """Volatility estimator: exponentially weighted squares, or GARCH(1,1)."""
    ewma_lambda: float = Field(default=0.97, gt=0, lt=1)
    """Weight of the variance of the previous step; one step is `scenarios.step_hours`."""
    warm_up_steps: int = Field(default=60, ge=10)
    """Number of returns at the start of the history whose mean square is the initial variance."""
    garch_refit_days: int = Field(default=30, ge=1)
    """Days for which GARCH parameters are kept; they are fitted to the history before that
    period."""
    garch_steps_min: int = Field(default=500, ge=100)
    """Smallest number of returns for a GARCH fit; with fewer returns, EWMA is used and the notes of
    the set state it."""
    ratio_min: float = Field(default=0.4, gt=0, le=1)
    """Smallest factor on a past move."""
    ratio_max: float = Field(default=2.5, ge=1)
    """Largest factor on a past move."""
    floor_share: float = Field(default=0.6, ge=0, le=1)
    """Floor of the current volatility, as a share of the root mean square return over the
    lookback."""
    correlation_scaling: bool = False
    """Transform each past joint return from the correlation at its time to the current
    correlation."""
    surface: Literal["own", "none"] = "own"
    """Scale volatility moves by the volatility of the 30-day volatility (`own`), or leave them
    unchanged."""


class MonteCarloParameters(ParameterSection):
    """Monte Carlo: marginals and a Student-t copula fitted to historical rows."""

    rows: int = Field(default=10_000, ge=100, le=1_000_000)
    """Number of scenarios."""
    marginals: Literal["student_t", "empirical"] = "empirical"
    """Marginal of each factor: fitted Student-t, or its empirical distribution with Pareto
    tails."""
    filtered: bool = True
    """Fit to filtered rows (see `scenarios.filter`) instead of historical rows."""
    copula_dof: int | None = Field(default=None, ge=2, le=60)
    """Degrees of freedom of the copula; null: fitted."""
    correlation_shrinkage: float = Field(default=0.10, ge=0, le=1)
    """Share by which the correlations between factors are shrunk towards 0."""
    tail_share: float = Field(default=0.05, gt=0, le=0.25)
    """Empirical marginals: share of the moves on each side to which the Pareto tail is fitted."""
    tail_index_max: float = Field(default=0.35, gt=0, lt=1)
    """Largest shape parameter of these tails; from 0.5 on, the variance is infinite."""
    reach: float = Field(default=2.0, ge=1)
    """Bound of a drawn move, as a multiple of the largest fitted move on the same side."""
    seed: int = Field(default=20260515, ge=0, lt=2**62)
    """Seed; together with the row number it determines every random number of the row."""


class StressEvent(ParameterSection):
    """A historical stress day; every window that contains the whole day becomes a stress row."""

    name: str = Field(min_length=1)
    """Name of the event."""
    day: date
    """Day, UTC."""


class HypotheticalMove(ParameterSection):
    """A hypothetical joint move specified by the user."""

    later_fields: ClassVar[frozenset[str]] = frozenset({"perpetual_basis", "forward_basis"})

    name: str = Field(min_length=1)
    """Name of the move."""
    spot: dict[str, float]
    """Relative change of the index by underlying, for example -0.4; other indices do not move."""
    vol: dict[str, float] = Field(default_factory=dict)
    """Relative change of the volatility surface by underlying, for example 0.5."""
    perpetual_basis: dict[str, float] = Field(default_factory=dict)
    """Relative change of the price of perpetuals to the index by underlying, for example -0.03."""
    forward_basis: dict[str, float] = Field(default_factory=dict)
    """Relative change of the forwards to the index by underlying, from 7 days to expiry on; for
    earlier expiries proportional to the time to expiry."""

    @model_validator(mode="after")
    def _possible(self) -> "HypotheticalMove":
        for what in ("spot", "vol", "perpetual_basis", "forward_basis"):
            moves: dict[str, float] = getattr(self, what)
            for underlying, move in moves.items():
                if move <= -1.0:
                    raise ValueError(f"{what}.{underlying} = {move} must be above -1")
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


class StressParameters(ParameterSection):
    """Stress rows, which are reported with the requirement and not part of any quantile."""

    later_fields: ClassVar[frozenset[str]] = frozenset({"basis_rows"})

    enabled: bool = False
    """Revalue every account in the stress rows."""
    events: tuple[StressEvent, ...] = tuple(StressEvent(name=n, day=d) for n, d in _DAYS)
    """Historical days; days that the history does not cover are skipped and listed in the notes."""
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
    """Hypothetical moves."""
    basis_rows: bool = False
    """Also add rows in which the basis of perpetuals, or of dated forwards, moves up and down by
    its largest recorded move and by its recorded quantile; see `basis_rows`. Perpetuals require
    `scenarios.perpetual_basis`, dated forwards a chain history."""


class ScenarioParameters(ParameterSection):
    """Generation of the scenarios."""

    later_fields: ClassVar[frozenset[str]] = frozenset({"perpetual_basis"})

    engine: Literal["historical", "filtered", "monte_carlo"] = "historical"
    """Historical windows, windows scaled to the current volatility, or draws from a fitted
    distribution."""
    underlyings: tuple[str, ...] = Field(default=("BTC", "ETH"), min_length=1)
    """Underlyings; each scenario moves all of them jointly."""
    windows: int = Field(default=1825, ge=2)
    """Number of most recent windows (5 years of daily steps)."""
    horizon_hours: float = Field(default=48.0, gt=0)
    """Margin period of risk, hours."""
    extension_hours: float = Field(default=0.0, ge=0)
    """Extension of the margin period of risk for weekends or holidays on which collateral cannot be
    collected, hours."""
    step_hours: float = Field(default=24.0, gt=0)
    """Interval between the ends of consecutive windows, hours."""
    sampling: Literal["overlapping", "non_overlapping"] = "overlapping"
    """One window per step, or consecutive windows that do not overlap."""
    half_life_days: float | None = Field(default=None, gt=0)
    """Half-life of the weight of a window, days; null: equal weights."""
    surface_moves: Literal["none", "history", "index"] = "none"
    """`none`: the surface does not move. `history`: volatility and basis moves from the chain
    history, proxied where it is missing. `index`: volatility moves from the volatility index,
    equal at all strikes; the basis does not move."""
    surface_tolerance_hours: float = Field(default=4.0, gt=0)
    """Largest distance between a chain snapshot and the time that it represents, hours; half of it
    for the windows to which proxies are fitted."""
    vol_index_sources: tuple[str, ...] = ("deribit_dvol_{u}_1d_ohlc", "*dvol_{u}_1d")
    """Names of volatility index files, as in `history.sources`; the first file found is used."""
    vol_index_decay: float = Field(default=0.45, ge=0, le=1)
    """`index`: the log move at a tenor of T days is (30 / T) to this power times that of the
    index."""
    proxy_residuals: bool = True
    """Add one of the residuals of the fit, drawn at random, to each proxied row."""
    seed: int = Field(default=20260515, ge=0, lt=2**62)
    """Seed of the residual draws."""
    filter: FilterParameters = FilterParameters()
    """Scaling of windows to the current volatility."""
    monte_carlo: MonteCarloParameters = MonteCarloParameters()
    """Monte Carlo simulation."""
    stress: StressParameters = StressParameters()
    """Stress days and hypothetical moves."""
    perpetual_basis: PerpetualBasisParameters = PerpetualBasisParameters()
    """Moves of the basis of perpetuals."""

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
