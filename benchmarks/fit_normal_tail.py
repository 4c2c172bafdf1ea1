# pyright: basic
"""Fit P(d) / Q(d) = N(-d) exp(d**2 / 2), the function in `margin_actors.numerics.elementary`.

The Remez exchange algorithm minimises the largest relative error on [0, 39] with 60 digits, started
from a least-squares fit. Usage: ``python benchmarks/fit_normal_tail.py 9 10`` (degrees of P and Q).
"""

import sys

import mpmath as mp

mp.mp.dps = 60
TOP = mp.mpf(39)
SCALE = mp.mpf(2)
"""Half of the points are below this value, because the curvature is largest near zero."""


def ratio(d):
    return mp.erfc(d / mp.sqrt(2)) / 2 * mp.exp(d * d / 2)


def points(n):
    """Return n Chebyshev points of [0, 1], mapped to [0, 39] and dense near zero."""
    out = []
    for i in range(n):
        t = (1 - mp.cos(mp.pi * i / (n - 1))) / 2 * TOP / (TOP + SCALE)
        out.append(SCALE * t / (1 - t))
    return out


def evaluate(coefficients, x):
    return mp.polyval(coefficients[::-1], x)


def split(solution, m, n):
    p = [solution[j] for j in range(m + 1)]
    return p, [mp.mpf(1)] + [solution[m + j] for j in range(1, n + 1)]


def least_squares(m, n, grid, values):
    weights = [1 / v for v in values]
    p, q = [], []
    for _ in range(4):
        a, b = mp.matrix(len(grid), m + n + 1), mp.matrix(len(grid), 1)
        for i, x in enumerate(grid):
            for j in range(m + 1):
                a[i, j] = weights[i] * x**j
            for j in range(1, n + 1):
                a[i, m + j] = -weights[i] * values[i] * x**j
            b[i] = weights[i] * values[i]
        p, q = split(mp.lu_solve(a, b), m, n)
        weights = [1 / (v * evaluate(q, x)) for x, v in zip(grid, values, strict=True)]
    return p, q


def extrema(p, q, grid, values):
    """Return (x, relative error, value) at the largest error of each interval of constant sign."""
    out = []
    for x, v in zip(grid, values, strict=True):
        e = evaluate(p, x) / evaluate(q, x) / v - 1
        if not out or (e > 0) != (out[-1][1] > 0):
            out.append((x, e, v))
        elif abs(e) > abs(out[-1][1]):
            out[-1] = (x, e, v)
    return out


def remez(m, n):
    grid = points(240)
    p, q = least_squares(m, n, grid, [ratio(x) for x in grid])
    fine = points(3001)
    values = [ratio(x) for x in fine]
    worst = mp.inf
    for _ in range(12):
        ends = extrema(p, q, fine, values)
        while len(ends) > m + n + 2:
            ends.pop(0 if abs(ends[0][1]) < abs(ends[-1][1]) else -1)
        worst = max(abs(e) for _, e, _ in ends)
        if worst < mp.mpf("1.02") * min(abs(e) for _, e, _ in ends):
            break
        for _ in range(4):
            size = m + n + 2
            a, b = mp.matrix(size, size), mp.matrix(size, 1)
            for i, (x, _, v) in enumerate(ends):
                for j in range(m + 1):
                    a[i, j] = x**j
                for j in range(1, n + 1):
                    a[i, m + j] = -v * x**j
                a[i, size - 1] = -((-1) ** i) * v * evaluate(q, x)
                b[i] = v
            p, q = split(mp.lu_solve(a, b), m, n)
    return p, q, worst


if __name__ == "__main__":
    numerator, denominator, error = remez(int(sys.argv[1]), int(sys.argv[2]))
    print("P", [mp.nstr(c, 20) for c in numerator])
    print("Q", [mp.nstr(c, 20) for c in denominator])
    print("largest relative error", mp.nstr(error, 3))
    print("all positive", all(c > 0 for c in numerator + denominator))
