from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin_actors.market.instruments import Kind, expiry_label, instrument_from_name


@pytest.mark.parametrize(
    ("name", "kind", "underlying", "is_inverse"),
    [
        ("BTC-3JAN26-88000-C", Kind.OPTION, "BTC", True),
        ("BTC_USDC-26JUN26-100000-P", Kind.OPTION, "BTC", False),
        ("XRP_USDC-26JUN26-0d55-P", Kind.OPTION, "XRP", False),
        ("BTC-26JUN26", Kind.FUTURE, "BTC", True),
        ("ETH-PERPETUAL", Kind.PERPETUAL, "ETH", True),
        ("ETH_USDC-PERPETUAL", Kind.PERPETUAL, "ETH", False),
        ("BTC_USDC", Kind.SPOT, "BTC", False),
        ("BTC-SPOT", Kind.SPOT, "BTC", False),
    ],
)
def test_names_tell_what_a_contract_is(
    name: str, kind: Kind, underlying: str, is_inverse: bool
) -> None:
    found = instrument_from_name(name)
    assert (found.kind, found.underlying, found.is_inverse) == (kind, underlying, is_inverse)


def test_an_option_settles_at_eight_and_keeps_its_strike() -> None:
    option = instrument_from_name("XRP_USDC-26JUN26-0d55-P")
    assert option.expiry == datetime(2026, 6, 26, 8, tzinfo=UTC)
    assert option.strike == 0.55
    assert option.is_call is False


@pytest.mark.parametrize(
    "name",
    ["", "BTC", "btc-3JAN26-88000-C", "BTC-31FEB26-1-C", "BTC-3XXX26-1-C", "BTC-3JAN26-0-C",
     "BTC-3JAN26-88000-X", "BTC-3JAN26-88000-C ", "BTC-3JAN26-1e5-C"],
)  # fmt: skip
def test_what_is_no_name_is_refused_with_the_name(name: str) -> None:
    with pytest.raises(ValueError, match=r"'.*'"):
        instrument_from_name(name)


@given(st.datetimes(datetime(2020, 1, 1), datetime(2099, 12, 31)))
def test_expiry_labels_are_read_back(day: datetime) -> None:
    name = f"BTC-{expiry_label(day)}-1000-C"
    expiry = instrument_from_name(name).expiry
    assert expiry is not None
    assert expiry.date() == day.date()
