"""Values of positions: array operations give what rational numbers give, to the cent."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from math import floor

from hypothesis import given
from hypothesis import strategies as st
from margin_cluster.operations.lots import LotRow, lot_table
from margin_cluster.operations.valuation import value_book

from margin_actors.clearing.settlement import contract_from_name, variation_value

OPTIONS = ("BTC-26JUN26-60000-C", "ETH_USDC-26JUN26-3000-P", "BTC-26JUN26-40000-P")
FUTURES = ("BTC-PERPETUAL", "BTC_USDC-PERPETUAL", "ETH_USDC-26JUN26", "BTC-26JUN26")
CONTRACTS = {name: contract_from_name(name) for name in (*OPTIONS, *FUTURES)}
PRICES = {"BTC": Decimal("60000.01"), "ETH": Decimal("3000.07")}

positive = st.decimals("0.0001", "100000", places=4)
sizes = st.decimals("-1000000", "1000000", places=4).filter(bool)
lots = st.one_of(
    st.builds(LotRow, st.sampled_from(OPTIONS), sizes, st.none()),
    st.builds(LotRow, st.sampled_from(FUTURES), sizes, positive),
)


def exact_cents(rows: Sequence[LotRow], marks: dict[str, Decimal]) -> tuple[int, dict[str, int]]:
    """Unsettled variation, and option value by asset, as rational numbers."""
    unsettled, options = Fraction(0), dict[str, Fraction]()
    for row in rows:
        contract = CONTRACTS[row.instrument]
        asset = contract.asset.name
        price = Fraction(PRICES.get(asset, Decimal(1)))
        mark = marks[row.instrument]
        if row.base is None:
            value = Fraction(row.size) * Fraction(mark) * price
            options[asset] = options.get(asset, Fraction(0)) + value
        else:
            unsettled += variation_value(contract, row.size, row.base, mark) * price
    return floor(unsettled * 100), {a: floor(v * 100) for a, v in options.items()}


@given(
    st.lists(st.lists(lots, max_size=6), min_size=1, max_size=5),
    st.fixed_dictionaries(dict.fromkeys(CONTRACTS, positive)),
)
def test_values_are_those_of_rational_numbers(
    accounts: list[list[LotRow]], marks: dict[str, Decimal]
) -> None:
    found = value_book(lot_table(accounts), accounts, CONTRACTS, marks=marks, prices=PRICES)
    assert not found.missing
    for row, held in enumerate(accounts):
        unsettled, options = exact_cents(held, marks)
        assert found.unsettled_cents[row] == unsettled
        for asset, cents in found.option_values_cents.items():
            assert cents[row] == options.get(asset, 0)


def test_a_value_on_the_border_of_a_cent_is_rounded_down_exactly() -> None:
    name = "BTC_USDC-PERPETUAL"
    base, mark = Decimal("60000.00"), Decimal("60000.10")
    rows = [
        [LotRow(name, Decimal("0.1"), base)],
        [LotRow(name, Decimal("-0.1"), base)],
        [LotRow(name, Decimal("0.0999999999"), base)],
        [LotRow(name, Decimal(3), mark), LotRow(name, Decimal(-3), mark)],
        [],
    ]
    found = value_book(lot_table(rows), rows, CONTRACTS, marks={name: mark}, prices={})
    assert found.unsettled_cents == (1, -1, 0, 0, 0)


def test_an_account_without_a_mark_or_price_is_named() -> None:
    rows = [
        [LotRow("BTC-PERPETUAL", Decimal(100), Decimal(60_000))],
        [LotRow("BTC_USDC-PERPETUAL", Decimal(1), Decimal(60_000))],
        [LotRow("ETH_USDC-26JUN26", Decimal(1), Decimal(3_000))],
    ]
    marks = {"BTC-PERPETUAL": Decimal(60_100), "BTC_USDC-PERPETUAL": Decimal(60_100)}
    found = value_book(lot_table(rows), rows, CONTRACTS, marks=marks, prices={})
    assert found.missing == {0: ("BTC",), 2: ("ETH_USDC-26JUN26",)}
    assert found.unsettled_cents[1] == 10_000
