"""Settings of a challenge: limits on portfolios, plausible moves, and the extent of the search."""

from dataclasses import asdict, dataclass

from margin_actors.errors import InvalidParameters, Problem, raise_if_any


@dataclass(frozen=True, kw_only=True)
class PortfolioLimits:
    """Limits that every portfolio of a challenge satisfies."""

    open_interest_share: float = 0.06
    """Largest absolute position in an option, as a share of its open interest. For futures,
    perpetuals and spot, which have no open interest in a snapshot, a share of the open interest of
    all options on the underlying."""
    gross_usd: float | None = None
    """Largest sum of absolute positions times the index, US dollars; None: no limit."""
    legs_max: int | None = None
    """Largest number of contracts; None: no limit."""
    loss_min_usd: float = 100_000.0
    """Smallest plausible loss of a portfolio, US dollars, so that the rounding of positions to lots
    does not decide the result."""

    def __post_init__(self) -> None:
        problems: list[Problem] = []
        if not 0.0 < self.open_interest_share <= 1.0:
            shown = f"{self.open_interest_share:g}"
            problems.append(Problem("open interest share", shown, "give a share above 0, up to 1"))
        if self.gross_usd is not None and not self.gross_usd > 0.0:
            problems.append(Problem("gross notional", f"{self.gross_usd:g}", "give an amount > 0"))
        if self.legs_max is not None and self.legs_max < 1:
            problems.append(Problem("number of legs", str(self.legs_max), "give at least 1"))
        if not self.loss_min_usd > 0.0:
            shown = f"{self.loss_min_usd:g}"
            problems.append(Problem("smallest loss", shown, "give an amount above 0"))
        raise_if_any(problems, InvalidParameters, "the limits of the challenge are not valid")

    def content(self) -> dict[str, object]:
        """Return the limits by name, for the content id of a challenge."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class MoveSettings:
    """The grid of plausible moves: each change of spot with each change of volatility."""

    spot: tuple[float, ...] = (
        -0.30, -0.25, -0.20, -0.15, -0.10, -0.05, 0.0, 0.05, 0.10, 0.15, 0.20, 0.25, 0.30,
    )  # fmt: skip
    """Relative changes of the index of every underlying."""
    volatility: tuple[float, ...] = (0.7, 0.85, 1.0, 1.3, 1.6)
    """Factors on volatility at 30 days."""
    term_power: float = 0.3
    """The relative change of volatility at d days is that at 30 days times
    (30 / max(1, d)) to this power."""
    parallel: bool = False
    """Also use each move without term structure: the same factor on volatility at all expiries."""


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """Extent of the search; equal settings give equal results."""

    seed: int = 20260515
    """Seed of the random structures."""
    program_rounds: int = 4
    """Rounds of the cutting-plane loop for each plausible move in the first pass."""
    refined_moves: int = 48
    """Number of moves, those with the smallest ratios, that a second pass refines."""
    refined_rounds: int = 8
    """Rounds of the cutting-plane loop for each of these moves."""
    guided_rounds: int = 4
    """Rounds with the requirement of the engine linearised at the portfolio found last."""
    structures: int = 20_000
    """Number of random structures."""
    improved: int = 24
    """Number of portfolios that local improvement starts from, each the worst of another move."""
    improvement_rounds: int = 12
    """Largest number of steps from each of them."""
    reported: int = 10
    """Number of portfolios that are reported, each the worst of another move."""

    def content(self) -> dict[str, object]:
        """Return the settings by name, for the content id of a challenge."""
        return asdict(self)
