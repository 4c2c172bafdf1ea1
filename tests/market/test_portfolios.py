from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin_actors.errors import InvalidPortfolio
from margin_actors.market.portfolios import QUANTITY_MAX, book_from_table, collateral_from_table

X, Y, Z = "BTC-PERPETUAL", "ETH-PERPETUAL", "SOL-PERPETUAL"


def rows(*items: tuple[str | None, str | None, str | None, float | None]) -> pa.Table:
    member, account, name, quantity = zip(*items, strict=True)
    return pa.table(
        {
            "member_id": pa.array(member, pa.string()),
            "account_id": pa.array(account, pa.string()),
            "instrument_name": pa.array(name, pa.string()),
            "quantity": pa.array(quantity, pa.float64()),
        }
    )


def test_positions_of_an_account_stand_together_in_the_order_of_instruments() -> None:
    book = book_from_table(
        rows(("M", "B", Z, 1.0), ("M", "A", Y, 2.0), ("M", "B", X, 3.0)), where="b"
    )
    assert book.accounts == ("A", "B")
    assert book.instruments == (X, Y, Z)
    np.testing.assert_array_equal(book.start, [0, 1, 3])
    np.testing.assert_array_equal(book.instrument_index, [1, 0, 2])
    np.testing.assert_array_equal(book.quantity, [2.0, 3.0, 1.0])


HELD = [
    ("M", "b", X, 1.0),
    ("M", "b", Z, -2.0),
    ("N", "B", Y, 3.0),
    ("N", "é", X, 4.0),
    ("M", "A", Z, 5.0),
]
NOT_HELD = [("M", "b", Y, 0.0), ("N", "Z", X, 0.0), ("M", "A", "SOL_USDC", 0.0)]


@given(st.permutations(HELD), st.lists(st.sampled_from(NOT_HELD), unique=True))
def test_equal_positions_have_equal_book_ids_however_they_were_given(
    held: list[tuple[str, str, str, float]], not_held: list[tuple[str, str, str, float]]
) -> None:
    """The id depends on the positions alone: not on their order, nor on quantities of zero."""
    book = book_from_table(rows(*held, *not_held), where="b")
    assert book.accounts == ("A", "B", "b", "é")
    assert book.members == ("M", "N", "M", "N")
    assert book.instruments == (X, Y, Z)
    assert book.id == book_from_table(rows(*HELD), where="b").id


def test_a_book_of_zero_quantities_has_no_accounts() -> None:
    book = book_from_table(rows(*NOT_HELD), where="b")
    assert (book.accounts, book.members, book.instruments) == ((), (), ())
    np.testing.assert_array_equal(book.start, [0])
    assert book.n_positions == 0


def test_quantities_that_could_overflow_are_refused_by_row() -> None:
    """The limit itself is accepted; every row above it is named with its quantity."""
    table = rows(("M", "A", X, QUANTITY_MAX), ("M", "A", Y, -2e12), ("M", "B", Y, 1e308))
    with pytest.raises(InvalidPortfolio, match="2 problems") as caught:
        book_from_table(table, where="b")
    for part in ("b, row 1: quantity is -2e+12 (at most 1e+12", "b, row 2: quantity is 1e+308"):
        assert part in str(caught.value)
    assert book_from_table(table.slice(0, 1), where="b").quantity[0] == QUANTITY_MAX


@given(st.permutations(range(6)))
def test_the_order_of_rows_does_not_change_who_holds_what(order: list[int]) -> None:
    items = [
        ("M", a, n, q) for a, n, q in zip("AABBCC", (X, Y, X, Y, X, Z), range(1, 7), strict=True)
    ]
    book = book_from_table(rows(*(items[i] for i in order)), where="b")
    held = {
        (book.accounts[a], book.instruments[book.instrument_index[p]], book.quantity[p])
        for a in range(3)
        for p in range(book.start[a], book.start[a + 1])
    }
    assert held == {(a, n, q) for _, a, n, q in items}


def test_every_bad_row_is_named_at_once() -> None:
    table = rows(
        ("M", "A", X, float("nan")),
        ("M", "A", None, 1.0),
        ("M", "A", Y, float("inf")),
        ("M", None, Y, 1.0),
    )
    with pytest.raises(InvalidPortfolio) as caught:
        book_from_table(table, where="book.csv")
    text = str(caught.value)
    assert "4 problems" in text
    for part in ("line 2: quantity is nan", "line 4: quantity is inf", "line 3: instrument_name"):
        assert part in text


def test_a_repeated_position_and_an_account_of_two_members_are_refused() -> None:
    table = rows(("M", "A", X, 1.0), ("M", "A", X, 2.0), ("N", "A", Y, 1.0))
    with pytest.raises(InvalidPortfolio) as caught:
        book_from_table(table, where="b")
    assert "row 1: account A already has a position in BTC-PERPETUAL" in str(caught.value)
    assert "account A has more than one member" in str(caught.value)


def test_an_empty_book_is_refused() -> None:
    with pytest.raises(InvalidPortfolio, match="cannot be used"):
        book_from_table(rows(("M", "A", X, 1.0)).slice(0, 0), where="b")


def test_missing_and_mistyped_columns_are_all_named() -> None:
    table = pa.table({"account_id": [1], "quantity": ["x"], "member_id": ["M"]})
    with pytest.raises(InvalidPortfolio) as caught:
        book_from_table(table, where="b")
    text = str(caught.value)
    assert "'instrument_name' is missing" in text
    assert "'account_id' is int64" in text
    assert "'quantity' is string" in text


def test_negative_collateral_is_refused() -> None:
    table = pa.table({"account_id": ["A"], "asset": ["BTC"], "amount": [-1.0]})
    with pytest.raises(InvalidPortfolio, match=r"cannot be used") as caught:
        collateral_from_table(table, where="c")
    assert "amount is -1.0" in str(caught.value)
    table = pa.table({"account_id": ["A"], "asset": ["BTC"], "amount": [float("nan")]})
    with pytest.raises(InvalidPortfolio, match="amount is nan"):
        collateral_from_table(table, where="c")


@pytest.mark.parametrize("encoded", [False, True])
def test_a_book_in_many_chunks_is_the_same_book(encoded: bool) -> None:
    items = [("M", f"A{i % 7}", f"X{i // 7}-PERPETUAL", float(i + 1)) for i in range(70)]
    parts = [rows(*items[i : i + 9]) for i in range(0, 70, 9)]
    if encoded:
        parts = [
            pa.table(
                {n: p.column(n).dictionary_encode() for n in p.column_names[:3]}
            ).append_column("quantity", p.column("quantity"))
            for p in parts
        ]
    chunked = pa.concat_tables(parts)
    assert chunked.column("account_id").num_chunks > 1
    assert book_from_table(chunked, where="b").id == book_from_table(rows(*items), where="b").id


def test_faults_of_every_kind_are_named_in_one_message() -> None:
    old = "BTC-2JAN26-90000-C"
    table = rows(
        ("M", "A", X, float("nan")),
        ("M", "A", "what", 1.0),
        ("M", "B", "what", 1.0),
        ("M", "B", old, 1.0),
        ("M", "C", X, 1.0),
        ("M", "C", X, 2.0),
        ("N", "C", Y, 1.0),
        ("M", None, Y, 1.0),
    )
    with pytest.raises(InvalidPortfolio) as caught:
        book_from_table(table, where="b", as_of=datetime(2026, 1, 16, tzinfo=UTC))
    text = str(caught.value)
    assert "6 problems" in text
    for part in (
        "b, row 0: quantity is nan",
        "b, row 1 and 1 more: unknown instrument: 'what'",
        "b, row 3: BTC-2JAN26-90000-C expired at 2026-01-02 08:00 UTC",
        "b, row 5: account C already has a position in BTC-PERPETUAL",
        "b, row 7: account_id is empty",
        "account C has more than one member",
    ):
        assert part in text
    with pytest.raises(InvalidPortfolio, match="5 problems"):
        book_from_table(table, where="b")  # without a time, expiries are not checked
