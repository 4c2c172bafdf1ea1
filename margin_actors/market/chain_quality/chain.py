"""The options of one expiry as the gates see them."""

from dataclasses import dataclass

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IntArray
from margin_actors.market.instruments import expiry_label
from margin_actors.market.snapshots import ExpiryForward, MarketSnapshot
from margin_actors.numerics.black76 import black76_price
from margin_actors.numerics.elementary import exponentials, logarithms


@dataclass(frozen=True)
class ExpiryChain:
    """The options of one expiry, in the order of the snapshot.

    All arrays have shape (n_options,); all except the rows and the two flags are float64.
    """

    item: ExpiryForward
    index_usd: float
    rows: IntArray
    """Rows of the options in the snapshot."""
    names: tuple[str, ...]
    strike: FloatArray
    """US dollars."""
    log_moneyness: FloatArray
    """ln(K / F)."""
    is_call: BoolArray
    """True for calls."""
    is_inverse: BoolArray
    """True for options that are settled in the coin."""
    bid: FloatArray
    """Coins per coin for inverse options, US dollars for linear ones; NaN without a bid."""
    ask: FloatArray
    """Unit as `bid`; NaN without an ask."""
    mark: FloatArray
    """Unit as `bid`; NaN if not reported."""
    mark_vol: FloatArray
    """Annual volatility, a fraction; NaN if not reported."""
    age: FloatArray
    """Seconds; NaN if not reported."""
    discount: float
    """Discount factor of linear options."""

    @property
    def label(self) -> str:
        """Expiry as in instrument names."""
        return expiry_label(self.item.expiry)

    @property
    def forward(self) -> float:
        """Forward, US dollars."""
        return self.item.forward_usd

    @property
    def tenor(self) -> float:
        """Time to expiry, years."""
        return self.item.tenor_years

    @property
    def unit_usd(self) -> FloatArray:
        """float64 (n_options,): undiscounted US dollars at expiry per unit of a quoted price."""
        return np.where(self.is_inverse, self.forward, 1.0 / self.discount)

    def model_price(self) -> FloatArray:
        """Return Black-76 prices at the mark volatilities, float64 (n_options,), unit of `mark`."""
        known = np.isfinite(self.mark_vol)
        out = np.full(self.rows.size, np.nan)
        deviation = self.mark_vol[known] * np.sqrt(self.tenor)
        price = black76_price(self.forward, self.strike[known], deviation, self.is_call[known])
        out[known] = price / self.unit_usd[known]
        return out


def chains_of(snapshot: MarketSnapshot) -> list[ExpiryChain]:
    """Return the options of every expiry of a snapshot, in the order of its expiries."""
    options = snapshot.options
    order = np.argsort(options.expiry_index, kind="stable")
    last = np.searchsorted(options.expiry_index[order], np.arange(len(snapshot.expiries) + 1))
    k = np.empty(0)
    if len(options):
        forward = np.array([e.forward_usd for e in snapshot.expiries])[options.expiry_index]
        k = logarithms(options.strike_usd / forward)[0]
    ages = options.age_seconds
    out: list[ExpiryChain] = []
    for e, item in enumerate(snapshot.expiries):
        rows = order[last[e] : last[e + 1]]
        out.append(
            ExpiryChain(
                item=item,
                index_usd=snapshot.index_usd[item.underlying],
                rows=rows,
                names=tuple(options.names[row] for row in rows.tolist()),
                strike=options.strike_usd[rows],
                log_moneyness=k[rows],
                is_call=options.is_call[rows],
                is_inverse=options.is_inverse[rows],
                bid=options.bid[rows],
                ask=options.ask[rows],
                mark=options.mark[rows],
                mark_vol=options.mark_vol[rows],
                age=np.full(rows.size, np.nan) if ages is None else ages[rows],
                discount=float(
                    exponentials(np.array([-snapshot.discount_annual * item.tenor_years]))[0]
                ),
            )
        )
    return out
