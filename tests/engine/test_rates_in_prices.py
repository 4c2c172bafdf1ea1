"""Interest rates in prices: discounting of linear contracts, and forwards that are not listed."""

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import made_scenarios, model_from

from margin_actors.engine.margin import calculate_margin, prepare_market
from margin_actors.engine.parameters import ModelParameters
from margin_actors.errors import InvalidPortfolio, MissingMarketData
from margin_actors.market.books import account_book
from margin_actors.market.chains import ChainQuotes, snapshot_from_quotes
from margin_actors.market.instruments import instrument_from_name
from margin_actors.market.rates import RateCurve, curve_from_yields
from margin_actors.market.snapshots import MarketSnapshot

NOW = datetime(2026, 2, 23, 8, tzinfo=UTC)
CURVE = curve_from_yields(
    date(2026, 2, 20), {1 / 12: 0.0372, 0.25: 0.0369, 0.5: 0.0361, 1.0: 0.0351}, overnight=0.0366
)
INDEX, FORWARD, VOL = 80_000.0, 81_000.0, 0.55
EXPIRIES = ("27MAR26", "25JUN27")
FUTURE = "BTC-25SEP26"


def linear_market(curve: RateCurve | None, strike: float = 85_000.0) -> MarketSnapshot:
    """Return a snapshot of linear calls and puts on BTC with one strike."""
    names = [f"BTC_USDC-{e}-{strike:g}-{side}" for e in EXPIRIES for side in "CP"]
    n, nothing = len(names), np.full(len(names), np.nan)
    quotes = ChainQuotes(
        forward_usd=np.full(n, FORWARD),
        index_usd=np.full(n, INDEX),
        bid=nothing,
        ask=nothing,
        mark=nothing,
        mark_vol=np.full(n, VOL),
        open_interest=nothing,
        volume=nothing,
    )
    instruments = [instrument_from_name(name) for name in names]
    made = snapshot_from_quotes(instruments, quotes, time=NOW, origin="test")
    return replace(made, rates=curve)


def on_marks(**rates: str) -> ModelParameters:
    return model_from("plain-hs", revaluation={"rates": rates})


def values(snapshot: MarketSnapshot, parameters: ModelParameters, *names: str) -> dict[str, float]:
    listed = names or snapshot.options.names
    return prepare_market(snapshot, parameters, names=listed).unit_values


@given(strike=st.integers(20_000, 300_000), level=st.floats(-0.02, 0.2))
def test_parity_of_linear_calls_and_puts_holds_with_the_curve_s_discount(strike, level) -> None:
    curve = RateCurve(CURVE.day, CURVE.tenor_years, CURVE.zero_rate + level)
    snapshot = linear_market(curve, float(strike))
    found = values(snapshot, on_marks(use="curve"))
    for item in snapshot.expiries:
        sides = [v for n, v in found.items() if instrument_from_name(n).expiry == item.expiry]
        expected = curve.discount(item.tenor_years) * (FORWARD - strike)
        assert sides[0] - sides[1] == pytest.approx(expected, rel=1e-9, abs=1e-6)


def test_each_expiry_has_its_own_discount() -> None:
    snapshot = linear_market(CURVE)
    plain, discounted = (values(snapshot, on_marks(use=use)) for use in ("flat", "curve"))
    for name, value in plain.items():
        expiry = instrument_from_name(name).expiry
        years = (expiry - NOW).total_seconds() / (365 * 86_400)
        assert discounted[name] / value == pytest.approx(CURVE.discount(years), rel=1e-12)


def test_a_model_without_the_curve_ignores_it() -> None:
    with_curve, without = (values(linear_market(c), on_marks()) for c in (CURVE, None))
    assert with_curve == without


def test_without_a_curve_the_flat_rate_is_used_and_the_notes_state_it() -> None:
    snapshot = replace(linear_market(None), discount_annual=0.05)
    parameters = on_marks(use="curve")
    flat, found = values(snapshot, on_marks()), values(snapshot, parameters)
    assert found == flat
    book = account_book("A", "M", {snapshot.options.names[0]: 1.0})
    for market, text in ((snapshot, "flat rate of 5.000 %"), (linear_market(CURVE), "2026-02-20")):
        result = calculate_margin(market, made_scenarios(60), book, parameters)
        assert any(text in note for note in result.risk_inputs.notes)
    result = calculate_margin(snapshot, made_scenarios(60), book, on_marks())
    assert not any("rate" in note for note in result.risk_inputs.notes)


def test_inverse_options_are_not_discounted(snapshot: MarketSnapshot) -> None:
    market, name = replace(snapshot, rates=CURVE), snapshot.options.names[0]
    assert not name.startswith("BTC_")
    plain, found = (values(market, on_marks(use=use), name) for use in ("flat", "curve"))
    assert plain == found


def test_a_forward_that_is_not_listed_grows_at_the_interest_rate() -> None:
    snapshot = linear_market(CURVE)
    with pytest.raises(MissingMarketData, match="market data"):
        prepare_market(snapshot, on_marks(use="curve"), names=[FUTURE])
    parameters = on_marks(use="curve", missing_forwards="rates")
    market = prepare_market(snapshot, parameters, names=[FUTURE, "BTC-27MAR26"])
    years = (datetime(2026, 9, 25, 8, tzinfo=UTC) - NOW).total_seconds() / (365 * 86_400)
    levels = {c.expiry: c.level_usd for c in market.contracts.curves}
    built = levels.pop(datetime(2026, 9, 25, 8, tzinfo=UTC))
    assert built == pytest.approx(INDEX / CURVE.discount(years), rel=1e-12)
    assert list(levels.values()) == [FORWARD]  # a listed forward is used as it is
    flat = replace(snapshot, rates=None, discount_annual=0.04)
    market = prepare_market(flat, parameters, names=[FUTURE])
    assert market.contracts.curves[0].level_usd == pytest.approx(INDEX * np.exp(0.04 * years))


def test_options_of_an_expiry_without_quotes_are_still_refused() -> None:
    parameters = on_marks(use="curve", missing_forwards="rates")
    book = account_book("A", "M", {"BTC_USDC-25SEP26-90000-C": 1.0})
    with pytest.raises((InvalidPortfolio, MissingMarketData)):
        calculate_margin(linear_market(CURVE), made_scenarios(60), book, parameters)
