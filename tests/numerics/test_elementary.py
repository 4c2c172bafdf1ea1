"""exp and log against 50-digit arithmetic; random numbers against published test vectors."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri
from scipy.stats import kstest

from margin_actors.numerics.counter_random import normals, philox_words, uniforms
from margin_actors.numerics.elementary import exponentials, logarithms


@given(st.floats(-700, 700))
def test_exponential_is_within_one_unit_in_the_last_place(x: float) -> None:
    with mp.workdps(40):
        true = mp.exp(mp.mpf(x))
        assert abs(mp.mpf(float(exponentials(np.array([x]))[0])) / true - 1) <= 2.3e-16


@given(st.floats(1e-300, 1e300))
def test_logarithm_in_two_parts_is_exact_to_2e_minus_18(x: float) -> None:
    high, low = logarithms(np.array([x]))
    with mp.workdps(50):
        error = mp.mpf(float(high[0])) + mp.mpf(float(low[0])) - mp.log(mp.mpf(x))
        assert abs(error) <= 2e-18 * max(1, abs(float(high[0])))


@pytest.mark.parametrize("x", [5e-324, 1e-310, 1e-308, 2.2250738585072014e-308])
def test_logarithm_of_subnormal_numbers_is_exact_to_one_unit_in_the_last_place(x: float) -> None:
    high, low = logarithms(np.array([x, 2.0]))
    with mp.workdps(50):
        assert abs(mp.mpf(float(high[0])) + mp.mpf(float(low[0])) - mp.log(mp.mpf(x))) <= 1.2e-13
    assert high[1] == logarithms(np.array([2.0]))[0][0]


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_logarithm_refuses_what_has_none(bad: float) -> None:
    with pytest.raises(ValueError, match="positive and finite"):
        logarithms(np.array([1.0, bad]))


# Random123 1.14, kat_vectors: philox4x32 10.
KNOWN_ANSWERS = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_philox_gives_the_published_words(
    counter: list[int], key: list[int], words: list[int]
) -> None:
    np.testing.assert_array_equal(
        philox_words(np.array(counter, np.int64), np.array(key, np.int64)), words
    )


def test_a_longer_stream_begins_like_a_shorter_one() -> None:
    np.testing.assert_array_equal(uniforms(9, 4, 1000)[:37], uniforms(9, 4, 37))
    assert not np.array_equal(uniforms(9, 4, 37), uniforms(9, 5, 37))
    assert not np.array_equal(uniforms(9, 4, 37), uniforms(8, 4, 37))


def test_normals_are_the_quantiles_of_the_uniforms_and_look_normal() -> None:
    u = uniforms(2, 3, 50_000)
    np.testing.assert_allclose(normals(2, 3, 50_000), ndtri(u), rtol=3e-15)
    assert kstest(normals(2, 3, 50_000), "norm").pvalue > 1e-3
