"""Documents of `margin data` and `margin surface`."""

from typing import Literal

from pydantic import Field

from margin_cluster.cli.schemas.base import Document, Record


class CheckedSource(Record):
    """Counts for one price source."""

    source: str
    rows: int
    first: str
    """First close time, to the minute, UTC; empty if there is none."""
    last: str
    """Last close time, to the minute, UTC; empty if there is none."""
    missing: int
    """Grid points without a usable price between the first and the last usable price."""
    not_used: int
    """Rows that close after the time up to which prices are checked; they are not faults."""
    faults: dict[str, int]
    """Number of rows or points with each fault."""


class PriceRepair(Record):
    """One price that was dropped or filled."""

    time: str
    """Close time, ISO 8601, UTC."""
    source: str
    rule: str
    """Fault of a dropped price, or ``filled:`` and the rule of a filled one."""
    found_usd: float | None
    """Price before the repair, per coin; null if there was none."""
    reference_usd: float | None
    """Price to which it was compared, or which replaces it, per coin; null for a stale price."""


class CheckedPrices(Record):
    """Findings for one underlying."""

    underlying: str
    frequency_seconds: int
    grid_points: int
    """Number of points in the range that is judged, the last points of the grid."""
    missing: int
    """Number of these points without a price after all repairs."""
    filled: int
    """Number of these points whose price was filled."""
    dropped: int
    """Number of prices of any source that were dropped in the range."""
    end_age_hours: float
    """Age of the last price."""
    breaches: list[str]
    """One sentence per quality limit that is exceeded."""
    sources: list[CheckedSource]
    repairs: list[PriceRepair]


class FoundInChain(Record):
    """A value of the option chain that violates a limit of the model's quality gates."""

    gate: str
    """Name of the gate."""
    underlying: str
    expiry: str
    """Label as in instrument names, for example ``3JAN26``."""
    instrument_name: str
    """Option concerned; empty for a finding on the whole expiry."""
    what: str
    """Sentence with the values that contradict each other."""
    value: float
    """Measured value, in the unit of the limit."""
    limit: float
    effect: str
    """``expiry_quarantined``: neither options nor the future of the expiry are priced;
    ``options_quarantined``: its options are not priced; ``quote_excluded``: the quote of one option
    is not used."""


class DataCheckDocument(Document):
    """Findings of the cleansing; the exit code is 3 if a quality limit is exceeded."""

    form_id: Literal["margin.data-check/1"] = Field(
        default="margin.data-check/1", serialization_alias="schema"
    )
    """Name and version of this form."""
    time: str
    """Time up to which prices were checked, ISO 8601, UTC."""
    has_chains: bool
    """False if the folder has no option chains, so that prices alone were checked."""
    synthetic: bool
    prices: list[CheckedPrices]
    """One entry per underlying."""
    chain_findings: list[FoundInChain]
    """Findings of the model's quality gates on the option chain of the snapshot."""


class DataFetchDocument(Document):
    """An option chain that was added to a data folder."""

    form_id: Literal["margin.data-fetch/1"] = Field(
        default="margin.data-fetch/1", serialization_alias="schema"
    )
    """Name and version of this form."""
    file: str
    rows: int
    """Number of options."""


class FittedExpiry(Record):
    """Quality of the fit of one expiry."""

    underlying: str
    expiry: str
    """Label as in instrument names, for example ``3JAN26``."""
    tenor_days: float
    quotes: int
    """Number of options with bid, ask and open interest."""
    inside: int
    """Number of these whose model price is between bid and ask."""
    fitted: int
    """Number of quotes or marks used in the fit."""
    fitted_to: Literal["quotes", "marks"]
    no_bid: int
    """Number of options without a bid; an option may be in several of these counts."""
    no_ask: int
    crossed: int
    too_wide: int
    tiny_vega: int
    rmse_vol_annual: float
    """Root mean square distance from the middles of the fitted quotes, fraction per year."""
    atm_vol_annual: float
    """Volatility at the forward, fraction per year."""
    least_density: float
    """Smallest Durrleman g; the smile has no butterfly arbitrage if it is not negative."""
    least_calendar_rise: float
    """Smallest relative rise of total variance over the previous expiry."""
    arbitrage_free: bool


class SurfaceDocument(Document):
    """Fit of the smiles of a snapshot."""

    form_id: Literal["margin.surface/1"] = Field(
        default="margin.surface/1", serialization_alias="schema"
    )
    """Name and version of this form."""
    time: str
    """Time of the snapshot, ISO 8601, UTC."""
    smile: Literal["svi", "sabr"]
    synthetic: bool
    inside: int
    """Number of quotes whose model price is between bid and ask, over all expiries."""
    quotes: int
    """Number of options with bid, ask and open interest, over all expiries."""
    expiries: list[FittedExpiry]
    chain_findings: list[FoundInChain]
    """Findings of the model's quality gates, and the expiries without a smile."""
