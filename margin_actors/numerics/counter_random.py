"""Random numbers as a function of (seed, stream, index), identical on every machine.

NumPy does not guarantee that its streams stay the same between versions. This module implements
Philox4x32-10, tested against its published known-answer vectors. Since it is counter-based, any
slice of a sequence can be generated independently.

References
----------
Salmon, J. et al. (2011), "Parallel random numbers: as easy as 1, 2, 3", SC11.
Wichura, M. (1988), "Algorithm AS 241: the percentage points of the normal distribution", PPND16.
"""

import numpy as np

from margin_actors.arrays import FloatArray, IntArray
from margin_actors.numerics.elementary import logarithm_in_two_parts
from margin_actors.numerics.jit import compiled, inlined

_MASK = 0xFFFFFFFF


# pyright: reportAssignmentType=false
@inlined
def _philox(c0: int, c1: int, c2: int, c3: int, k0: int, k1: int) -> tuple[int, int, int, int]:
    """Return four 32-bit words; all arguments are 32-bit words stored in 64-bit integers."""
    for _ in range(10):
        # Products of two 32-bit words require unsigned 64-bit integers.
        p0 = np.uint64(0xD2511F53) * np.uint64(c0)
        p1 = np.uint64(0xCD9E8D57) * np.uint64(c2)
        h0, l0 = np.int64(p0 >> np.uint64(32)), np.int64(p0 & np.uint64(_MASK))
        h1, l1 = np.int64(p1 >> np.uint64(32)), np.int64(p1 & np.uint64(_MASK))
        c0, c1, c2, c3 = h1 ^ c1 ^ k0, l1, h0 ^ c3 ^ k1, l0
        k0, k1 = (k0 + 0x9E3779B9) & _MASK, (k1 + 0xBB67AE85) & _MASK
    return c0, c1, c2, c3


@compiled
def philox_words(counter: IntArray, key: IntArray) -> IntArray:
    """Return the Philox4x32-10 output of a counter under a key.

    Parameters
    ----------
    counter : int64 array of shape (4,)
        32-bit words.
    key : int64 array of shape (2,)
        32-bit words.

    Returns
    -------
    int64 array of shape (4,)
        32-bit words.
    """
    a, b, c, d = _philox(counter[0], counter[1], counter[2], counter[3], key[0], key[1])
    return np.array([a, b, c, d])


@inlined
def uniform_of(seed: int, stream: int, i: int) -> float:
    """Return the uniform number with index `i` of a stream, in (0, 1); see `uniforms`."""
    n = i // 2
    a, b, c, d = _philox(n & _MASK, n >> 32, stream & _MASK, stream >> 32, seed & _MASK, seed >> 32)
    high, low = (a, b) if i % 2 == 0 else (c, d)
    # 52 random bits plus one half: the result is never 0 and never 1.
    return ((high >> 6) * 67108864.0 + (low >> 6) + 0.5) / 4503599627370496.0


@compiled
def _first_of_each(seed: int, streams: IntArray, out: FloatArray) -> None:
    for i in range(streams.size):
        out[i] = uniform_of(seed, streams[i], 0)


def uniform_per_stream(seed: int, streams: IntArray) -> FloatArray:
    """Return the first uniform number of each stream; see `uniforms`.

    Parameters
    ----------
    seed : int in [0, 2**62)
    streams : int64 array of shape (n_streams,)
        Stream numbers in [0, 2**62).

    Returns
    -------
    float64 array of shape (n_streams,), in (0, 1)
    """
    out = np.empty(streams.size)
    _first_of_each(seed, np.ascontiguousarray(streams, dtype=np.int64), out)
    return out


@compiled
def _uniforms(seed: int, stream: int, first: int, out: FloatArray) -> None:
    for i in range(out.size):
        out[i] = uniform_of(seed, stream, first + i)


def uniforms(seed: int, stream: int, n: int) -> FloatArray:
    """Return the first `n` uniform numbers of a stream.

    Parameters
    ----------
    seed, stream : int in [0, 2**62)
    n : int

    Returns
    -------
    float64 array of shape (n,), in (0, 1)
    """
    out = np.empty(n)
    _uniforms(seed, stream, 0, out)
    return out


@inlined
def normal_quantile(p: float) -> float:
    """Return the standard normal quantile of p in (0, 1), relative error about 1e-16."""
    q = p - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        numerator = (
            (
                (
                    (
                        (
                            (2509.0809287301226727 * r + 33430.575583588128105) * r
                            + 67265.770927008700853
                        )
                        * r
                        + 45921.953931549871457
                    )
                    * r
                    + 13731.693765509461125
                )
                * r
                + 1971.5909503065514427
            )
            * r
            + 133.14166789178437745
        ) * r + 3.387132872796366608
        denominator = (
            (
                (
                    (
                        (
                            (5226.495278852545925 * r + 28729.085735721942674) * r
                            + 39307.89580009271061
                        )
                        * r
                        + 21213.794301586595867
                    )
                    * r
                    + 5394.1960214247511077
                )
                * r
                + 687.1870074920579083
            )
            * r
            + 42.313330701600911252
        ) * r + 1.0
        return q * numerator / denominator
    tail = p if q < 0.0 else 1.0 - p
    ln_tail, _ = logarithm_in_two_parts(tail)
    r = np.sqrt(-ln_tail)
    if r <= 5.0:
        r -= 1.6
        numerator = (
            (
                (
                    (
                        (
                            (7.7454501427834140764e-4 * r + 0.0227238449892691845833) * r
                            + 0.24178072517745061177
                        )
                        * r
                        + 1.27045825245236838258
                    )
                    * r
                    + 3.64784832476320460504
                )
                * r
                + 5.7694972214606914055
            )
            * r
            + 4.6303378461565452959
        ) * r + 1.42343711074968357734
        denominator = (
            (
                (
                    (
                        (
                            (1.05075007164441684324e-9 * r + 5.475938084995344946e-4) * r
                            + 0.0151986665636164571966
                        )
                        * r
                        + 0.14810397642748007459
                    )
                    * r
                    + 0.68976733498510000455
                )
                * r
                + 1.6763848301838038494
            )
            * r
            + 2.05319162663775882187
        ) * r + 1.0
    else:
        r -= 5.0
        numerator = (
            (
                (
                    (
                        (
                            (2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r
                            + 0.0012426609473880784386
                        )
                        * r
                        + 0.026532189526576123093
                    )
                    * r
                    + 0.29656057182850489123
                )
                * r
                + 1.7848265399172913358
            )
            * r
            + 5.4637849111641143699
        ) * r + 6.6579046435011037772
        denominator = (
            (
                (
                    (
                        (
                            (2.04426310338993978564e-15 * r + 1.4215117583164458887e-7) * r
                            + 1.8463183175100546818e-5
                        )
                        * r
                        + 7.868691311456132591e-4
                    )
                    * r
                    + 0.0148753612908506148525
                )
                * r
                + 0.13692988092273580531
            )
            * r
            + 0.59983220655588793769
        ) * r + 1.0
    value = numerator / denominator
    return -value if q < 0.0 else value


@compiled
def _to_normals(u: FloatArray) -> None:
    for i in range(u.size):
        u[i] = normal_quantile(u[i])


def normals(seed: int, stream: int, n: int) -> FloatArray:
    """Return the first `n` standard normal numbers of a stream, float64 (n,); see `uniforms`."""
    out = uniforms(seed, stream, n)
    _to_normals(out)
    return out
