from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin_actors.market.instruments import (
    Kind,
    expiry_label,
    has_expired,
    holding_fault,
    instrument_from_name,
)


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
     "BTC-3JAN26-88000-X", "BTC-3JAN26-88000-C ", "BTC-3JAN26-1e5-C",
     f"BTC-3JAN26-1{400 * '0'}-C", f"BTC-3JAN26-0d{400 * '0'}1-C", "BTC-\u0663JAN26-88000-C"],
)  # fmt: skip
def test_what_is_no_name_is_refused_with_the_name(name: str) -> None:
    with pytest.raises(ValueError, match=r"'.*'"):
        instrument_from_name(name)


def test_a_contract_has_expired_at_its_settlement_and_not_before() -> None:
    name, at_expiry = "BTC-3JAN26-88000-C", datetime(2026, 1, 3, 8, tzinfo=UTC)
    assert has_expired(name, at_expiry)
    assert not has_expired(name, at_expiry - timedelta(microseconds=1))
    assert not has_expired("BTC-PERPETUAL", at_expiry)
    assert not has_expired("not a name", at_expiry)


@given(st.text(max_size=60))
def test_any_text_is_a_contract_or_has_a_fault(name: str) -> None:
    fault = holding_fault(name, datetime(2026, 1, 3, 8, tzinfo=UTC))
    assert fault is None or "unknown instrument" in fault[0] or "expired" in fault[0]


@given(st.datetimes(datetime(2020, 1, 1), datetime(2099, 12, 31)))
def test_expiry_labels_are_read_back(day: datetime) -> None:
    name = f"BTC-{expiry_label(day)}-1000-C"
    expiry = instrument_from_name(name).expiry
    assert expiry is not None
    assert expiry.date() == day.date()
