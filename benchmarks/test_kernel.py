# pyright: basic
"""Speed of the Black-76 kernel, with and without the smile, compared with other libraries."""

import math

import numpy as np
import pytest
import QuantLib as ql
from numba import njit
from scipy.special import ndtr
from vollib.black import undiscounted_black  # pyright: ignore[reportMissingImports]

from margin_actors.engine.pricing import FIELDS, FROZEN, N_FIELDS, SABR, SVI, TILE, fill_tile
from margin_actors.numerics.black76 import price_grid
from margin_actors.numerics.elementary import logarithms

N_OPTIONS, N_SCENARIOS, N_CURVES = 200, 2500, 12
N_TILES = -(-N_SCENARIOS // TILE)
PADDED = N_TILES * TILE


class Grid:
    """Inputs and buffers for 200 options and 2,500 forwards."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.F = 60_000 * np.exp(rng.normal(0, 0.06, PADDED))
        self.K = np.linspace(30_000, 120_000, N_OPTIONS)
        self.T = rng.uniform(0.01, 0.8, N_OPTIONS)
        self.vol = rng.uniform(0.3, 1.1, N_OPTIONS)
        self.s = self.vol * np.sqrt(self.T)
        self.is_call = rng.random(N_OPTIONS) < 0.5
        self.sign = np.where(self.is_call, 1.0, -1.0)
        self.ln_F, self.ln_K = logarithms(self.F), logarithms(self.K)
        self.out = np.empty((N_OPTIONS, N_SCENARIOS))
        self.cube = np.empty((N_TILES, N_OPTIONS, TILE))
        states = np.zeros((N_CURVES, N_FIELDS, PADDED))
        states[:, FIELDS.forward] = self.F
        states[:, FIELDS.ln_forward], states[:, FIELDS.ln_forward_low] = self.ln_F
        states[:, FIELDS.value_scale], states[:, FIELDS.smile_scale] = 1.0, 1.0
        states[:, FIELDS.smile_offset] = -self.ln_F[0]
        states[:, FIELDS.factor] = np.exp(rng.normal(0, 0.1, PADDED))
        n_slopes = N_FIELDS - FIELDS.slope
        states[:, FIELDS.slope :] = rng.normal(0, 0.05, (N_CURVES, n_slopes, PADDED))
        shaped = states.reshape(N_CURVES, N_FIELDS, N_TILES, TILE)
        self.states = np.ascontiguousarray(shaped.transpose(2, 0, 1, 3))
        self.nodes = np.tile(0.1 * np.array([-2, -1, -0.5, 0, 0.5, 1, 2.0]), (N_CURVES, 1))
        self.curve = (np.arange(N_OPTIONS) * N_CURVES // N_OPTIONS).astype(np.int32)


GRID = Grid()


def textbook() -> np.ndarray:
    g = GRID
    F, K = g.F[None, :N_SCENARIOS], g.K[:, None]
    T, vol = g.T[:, None], g.vol[:, None]
    d1 = (np.log(F / K) + 0.5 * vol**2 * T) / (vol * np.sqrt(T))
    d2 = d1 - vol * np.sqrt(T)
    call = F * ndtr(d1) - K * ndtr(d2)
    put = K * ndtr(-d2) - F * ndtr(-d1)
    return np.where(g.is_call[:, None], call, put)


def blocked() -> np.ndarray:
    """The textbook formula row by row, only call or put, in buffers that fit the cache."""
    g = GRID
    F, ln_F = g.F[:N_SCENARIOS], g.ln_F[0][:N_SCENARIOS]
    d1, d2 = np.empty(N_SCENARIOS), np.empty(N_SCENARIOS)
    for i in range(N_OPTIONS):
        w, s, K = g.sign[i], g.s[i], g.K[i]
        np.subtract(ln_F, g.ln_K[0][i], out=d1)
        np.multiply(d1, w / s, out=d1)
        np.add(d1, 0.5 * w * s, out=d1)
        np.subtract(d1, w * s, out=d2)
        ndtr(d1, out=d1)
        ndtr(d2, out=d2)
        np.multiply(d1, F, out=d1)
        np.multiply(d2, K, out=d2)
        np.subtract(d1, d2, out=d1)
        np.multiply(d1, w, out=g.out[i])
    return g.out


@njit(error_model="numpy")
def _erfc_grid(F, K, s, sign, out):
    for i in range(K.size):
        for j in range(F.size):
            d1 = sign[i] * (math.log(F[j] / K[i]) / s[i] + 0.5 * s[i])
            d2 = d1 - sign[i] * s[i]
            out[i, j] = (
                sign[i]
                * 0.5
                * (F[j] * math.erfc(-d1 / math.sqrt(2.0)) - K[i] * math.erfc(-d2 / math.sqrt(2.0)))
            )


def erfc_numba() -> np.ndarray:
    g = GRID
    _erfc_grid(g.F[:N_SCENARIOS], g.K, g.s, g.sign, g.out)
    return g.out


def quantlib() -> np.ndarray:
    g = GRID
    forwards = [float(f) for f in g.F[:N_SCENARIOS]]
    out = []
    for i in range(N_OPTIONS):
        kind = ql.Option.Call if g.is_call[i] else ql.Option.Put
        K, s = float(g.K[i]), float(g.s[i])
        out.append([ql.blackFormula(kind, K, F, s) for F in forwards])
    return np.array(out)


def vollib() -> np.ndarray:
    g = GRID
    forwards = [float(f) for f in g.F[:N_SCENARIOS]]
    out = []
    for i in range(N_OPTIONS):
        flag = "c" if g.is_call[i] else "p"
        K, vol, T = float(g.K[i]), float(g.vol[i]), float(g.T[i])
        out.append([undiscounted_black(F, K, vol, T, flag) for F in forwards])
    return np.array(out)


def ours() -> np.ndarray:
    g = GRID
    price_grid(
        g.F[:N_SCENARIOS],
        g.ln_F[0][:N_SCENARIOS],
        g.ln_F[1][:N_SCENARIOS],
        g.K,
        *g.ln_K,
        g.sign,
        g.s,
        g.out,
    )
    return g.out


def tiles(kind: int, *, surface: bool) -> np.ndarray:
    """The kernel as the risk cube uses it: 2,560 scenarios in tiles of 64."""
    g = GRID
    parameters = [0.6, 1.0, -0.2, 1.2, 0.2] if kind == SABR else [0.01, 0.05, -0.2, 0.01, 0.1]
    smiles = np.tile(parameters, (N_CURVES, 1))
    deviation = g.s if kind == FROZEN else np.ones(N_OPTIONS)
    kinds = np.full(N_OPTIONS, kind, np.int32)
    moving = np.full(N_CURVES, float(surface))
    zero, one = np.zeros(N_OPTIONS), np.ones(N_OPTIONS)
    for t in range(N_TILES):
        fill_tile(
            g.states[t],
            smiles,
            g.nodes,
            moving,
            kinds,
            g.curve,
            g.K,
            *g.ln_K,
            g.sign,
            deviation,
            zero,
            one,
            0.0,
            g.cube[t],
        )
    return g.cube


CASES = {
    "ours, volatilities given": (ours, N_SCENARIOS),
    "ours in tiles, volatilities given": (lambda: tiles(FROZEN, surface=False), PADDED),
    "ours in tiles, SVI sticky moneyness": (lambda: tiles(SVI, surface=False), PADDED),
    "ours in tiles, SVI and surface moves": (lambda: tiles(SVI, surface=True), PADDED),
    "ours in tiles, SABR and surface moves": (lambda: tiles(SABR, surface=True), PADDED),
    "scipy textbook": (textbook, N_SCENARIOS),
    "scipy blocked": (blocked, N_SCENARIOS),
    "numba with math.erfc": (erfc_numba, N_SCENARIOS),
    "QuantLib from Python": (quantlib, N_SCENARIOS),
    "vollib": (vollib, N_SCENARIOS),
}


@pytest.mark.parametrize("name", CASES)
def test_prices(benchmark, name: str) -> None:
    call, n = CASES[name]
    call()
    rounds = 3 if name in ("QuantLib from Python", "vollib") else 31
    benchmark.extra_info.update(table="kernel", unit="ns", count=N_OPTIONS * n)
    benchmark.pedantic(call, rounds=rounds, iterations=1)
    if "tiles" not in name:
        expected = textbook()
        np.testing.assert_allclose(call(), expected, atol=1e-10 * g_max(), rtol=0)


def g_max() -> float:
    return float(max(GRID.F.max(), GRID.K.max()))
