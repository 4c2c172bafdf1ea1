"""The kernel that finds each contract's largest move in the cube."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from margin_actors.engine.revaluation.cube import raise_to_largest

ROWS = arrays.arrays(
    np.float64, st.tuples(st.integers(1, 5), st.integers(1, 70)), elements=st.floats(width=64)
)


@given(ROWS)
def test_it_is_numpys_largest_absolute_value_and_keeps_nan(rows: np.ndarray) -> None:
    largest = np.full(rows.shape[0], 0.5)
    raise_to_largest(rows.view(np.int64), largest.view(np.int64))
    expected = np.maximum(0.5, np.abs(rows).max(axis=1))
    np.testing.assert_array_equal(largest, expected)
