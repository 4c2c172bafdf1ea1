"""Conversion of table columns to arrays."""

import pyarrow as pa

from margin_actors.market.tables import text_codes


def test_a_dictionary_that_repeats_a_value_gives_equal_texts_equal_codes() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 2]), ["A", "A", "B"])
    codes, values = text_codes(pa.table({"name": column}), "name")
    assert values == ["A", "B"]
    assert codes.tolist() == [0, 0, -1, 1]
