"""Risk arrays for members: few losses per contract, whose largest sum approximates the requirement.

Expected shortfall is the largest mean loss over all ways to put the weight of the tail on rows: the
mean under the tail of one portfolio is at most the expected shortfall of any other (Artzner et al.,
1999, proposition 4.1). An array is therefore the mean of the losses of a contract over the tail of
one portfolio, with the model's own rows and weights. For any positions,

    max over arrays of sum of q * array  <=  expected shortfall,

and equality holds for the portfolios whose tails were chosen. The tails are chosen among those of
accounts, of their positions in one underlying, and of random portfolios, such that the mean
relative shortfall is least: greedily, then by exchanges. The gain from a further array diminishes
with the number of arrays (the objective is submodular), so that the greedy choice alone reaches at
least the share 1 - 1/e of the best possible gain (Nemhauser, Wolsey and Fisher, 1978).

If the core is VaR, an array is one row; the maximum is then an estimate and not a bound.

References
----------
Artzner, P., Delbaen, F., Eber, J.-M., Heath, D. (1999), "Coherent measures of risk", Mathematical
Finance 9.
Nemhauser, G., Wolsey, L., Fisher, M. (1978), "An analysis of approximations for maximizing
submodular set functions", Mathematical Programming 14.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IntArray
from margin_actors.engine.disclosure.array_portfolios import Portfolios, training_portfolios
from margin_actors.engine.margin import (
    PreparedMarket,
    RiskInputs,
    prepare_inputs,
    price_own_slice,
)
from margin_actors.engine.measures import tail_shares
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.revaluation import RiskCube
from margin_actors.engine.scenarios import CORE, LONG, STRESS_PERIOD, ScenarioSet
from margin_actors.errors import InvalidParameters, Problem
from margin_actors.market.books import Book

ArrayTarget: TypeAlias = Literal["core", "floored"]
"""What arrays approximate: the core measure, or the larger of it and the floors of the model."""
N_ARRAYS = 16
"""Default number of arrays: the number that SPAN tools read."""
RANDOM_PORTFOLIOS = 500
"""Default number of random portfolios."""
_EXCHANGES_MAX = 20
_DIGITS = 9
"""Decimals to which mean errors are compared, so that rounding does not affect the choice."""


@dataclass(frozen=True, slots=True)
class ArrayErrors:
    """Relative errors (max over arrays - target) / target over some portfolios, fractions."""

    sample: str
    """Which portfolios, and whether the arrays were chosen from them."""
    portfolios: int
    """Number with a positive target."""
    worst: float
    """The smallest error: the largest understatement."""
    low: float
    """5 % quantile."""
    median: float
    high: float
    """95 % quantile."""
    largest: float
    """The largest error; at most 0 if the measure is expected shortfall."""


@dataclass(frozen=True)
class MemberArrays:
    """Risk arrays of n_contracts contracts, with their measured errors."""

    names: tuple[str, ...]
    loss_usd: FloatArray
    """float64 (n_contracts, n_arrays), US dollars: loss of one unit of a long position."""
    row: tuple[IntArray, ...]
    """int64 (n_rows,) per array: rows of the scenario set."""
    weight: tuple[FloatArray, ...]
    """float64 (n_rows,) per array: weights of these rows, which sum to 1."""
    section: tuple[str, ...]
    """Section of the rows of each array."""
    chosen_for: tuple[str, ...]
    """Description of the portfolio whose tail each array is."""
    target: ArrayTarget
    errors: tuple[ArrayErrors, ...]
    """Of the accounts; of the accounts with arrays chosen from the others; of random portfolios."""

    @property
    def is_lower_bound(self) -> bool:
        """True if no maximum over the arrays exceeds the target."""
        return max(e.largest for e in self.errors) <= 1e-9

    @property
    def multiplier_95(self) -> float | None:
        """Factor with which the requirement reaches the target of 95 % of the accounts.

        Of accounts that were not used for the choice; None if none of them is approximated.
        """
        least = 1.0 + self.errors[min(1, len(self.errors) - 2)].low
        return 1.0 / least if least > 0.0 else None

    def requirement_usd(self, quantity: FloatArray) -> FloatArray:
        """Return the largest sum over the arrays, at least 0, float64 (n_portfolios,), US dollars.

        `quantity` is float64 (n_portfolios, n_contracts), in units; long is positive.
        """
        return np.maximum((quantity @ self.loss_usd).max(axis=1), 0.0)


@dataclass(frozen=True)
class _Tails:
    """Targets of portfolios and the tails in which they are attained."""

    target_usd: FloatArray
    """float64 (n_portfolios,)."""
    weight: FloatArray
    """float64 (n_portfolios, n_rows): weights over the rows of the whole set, which sum to 1."""
    section: tuple[str, ...]


def member_arrays(
    market: PreparedMarket,
    scenarios: ScenarioSet,
    book: Book,
    *,
    n_arrays: int = N_ARRAYS,
    target: ArrayTarget = "core",
    seed: int = 1,
    n_random: int = RANDOM_PORTFOLIOS,
) -> MemberArrays:
    """Return risk arrays of all contracts of a market, chosen for a book and random portfolios.

    Parameters
    ----------
    market : PreparedMarket
        With at least the book's instruments; one array element per contract.
    scenarios : ScenarioSet
        As built.
    book : Book
        Accounts that can be margined, without expired positions.
    n_arrays : int
        Number of arrays; fewer if fewer suffice to attain every target.
    target : ArrayTarget
    seed : int
        Seed of the random portfolios.
    n_random : int
        Number of random portfolios for the choice, and of others for the measurement.

    Raises
    ------
    InvalidParameters
        If the core of the model is neither VaR nor expected shortfall.
    """
    model = market.model
    _require_var_or_es(model)
    inputs = prepare_inputs(market, scenarios)
    unit = _unit_profits(market, scenarios)
    trained = training_portfolios(market, book, n_random, seed)
    fresh = training_portfolios(market, book, n_random, seed + 1).of_kind("random")
    tails = _tails(trained.quantity @ unit, inputs, model, target)
    losses = -(trained.quantity @ unit)
    ratio = _ratios(losses, tails, tails)
    chosen = _choose(ratio, trained.is_used(tails.target_usd), n_arrays)
    weight = tails.weight[chosen]
    errors = [_errors("accounts", ratio[:, chosen], tails, trained.mask("account"))]
    if len(book.accounts) > 1:
        errors.append(_held_out(ratio, tails, trained, n_arrays))
    errors.append(_fresh(unit, fresh, tails, chosen, inputs, target))
    rows = tuple(np.flatnonzero(w) for w in weight)
    return MemberArrays(
        names=market.contracts.names,
        loss_usd=_array_losses(unit, weight),
        row=rows,
        weight=tuple(w[r] for w, r in zip(weight, rows, strict=True)),
        section=tuple(tails.section[c] for c in chosen),
        chosen_for=tuple(trained.labels[c] for c in chosen),
        target=target,
        errors=tuple(errors),
    )


def _require_var_or_es(model: ModelParameters) -> None:
    if model.measure.core not in ("var", "es"):
        what = f"measure.core = {model.measure.core!r}"
        remedy = "use a model with 'var' or 'es'; SPAN and the venue grid have arrays of their own"
        raise InvalidParameters(
            "risk arrays need a core of VaR or ES", [Problem("model", what, remedy)]
        )


def _fresh(
    unit: FloatArray,
    fresh: Portfolios,
    tails: _Tails,
    chosen: list[int],
    inputs: RiskInputs,
    target: ArrayTarget,
) -> ArrayErrors:
    """Return the errors of random portfolios that were not used for the choice."""
    fresh_tails = _tails(fresh.quantity @ unit, inputs, inputs.model, target)
    fresh_ratio = _ratios(-(fresh.quantity @ unit), fresh_tails, tails, chosen)
    everyone = np.ones(fresh.quantity.shape[0], np.bool_)
    name = "random portfolios, not used for the choice"
    return _errors(name, fresh_ratio, fresh_tails, everyone)


def _unit_profits(market: PreparedMarket, scenarios: ScenarioSet) -> FloatArray:
    """Return the profit of one unit of each contract, (n_contracts, n_scenarios), US dollars."""
    cube: RiskCube = price_own_slice(market, scenarios, 0).cube
    flat = cube.values.transpose(1, 0, 2).reshape(len(market.contracts), -1)
    return flat[:, : len(scenarios)] / market.contracts.ticks_per_usd[:, None]


def _sections(
    inputs: RiskInputs, model: ModelParameters, target: ArrayTarget
) -> list[tuple[str, slice, float, FloatArray | None, int]]:
    """Return (name, rows, confidence, weights, number of sub-samples) of each measure."""
    sample, tools = inputs.sample, model.procyclicality
    core = slice(0, sample.n_scenarios)
    found = [(CORE, core, sample.confidence, sample.weight, sample.n_samples)]
    if target == "core":
        return found
    floors = (
        (LONG, tools.long_floor.enabled, sample.confidence),
        (STRESS_PERIOD, tools.stress_period.floor, inputs.calibration.stress_confidence),
    )
    for name, is_enabled, confidence in floors:
        section = inputs.section(name)
        if is_enabled and section is not None and confidence is not None:
            found.append((name, section.rows, confidence, None, 1))
    return found


def _tails(
    pnl: FloatArray, inputs: RiskInputs, model: ModelParameters, target: ArrayTarget
) -> _Tails:
    """Return the target of each portfolio and the weights of the rows at which it is attained."""
    n = pnl.shape[0]
    best, weight, name_of = np.full(n, -np.inf), np.zeros(pnl.shape), [""] * n
    for name, rows, confidence, given, n_samples in _sections(inputs, model, target):
        for p in range(n):
            shares = np.zeros(pnl.shape[1])
            for start in range(n_samples):
                part = np.arange(rows.start + start, rows.stop, n_samples)
                own = None if given is None else given[start::n_samples]
                if own is not None:
                    own = own / own.sum()
                tail, share = tail_shares(pnl[p, part], confidence=confidence, weight=own)
                if model.measure.core == "var":
                    tail, share = tail[-1:], np.ones(1)
                shares[part[tail]] += share / n_samples
            loss = -float(pnl[p] @ shares)
            if loss > best[p]:
                best[p], weight[p], name_of[p] = loss, shares, name
    return _Tails(best, weight, tuple(name_of))


def _ratios(
    losses: FloatArray, of: _Tails, candidates: _Tails, chosen: list[int] | None = None
) -> FloatArray:
    """Return mean losses under candidate tails / targets, (n_portfolios, n_candidates).

    1 for portfolios without a positive target, which no choice can approximate.
    """
    weight = candidates.weight if chosen is None else candidates.weight[chosen]
    positive = of.target_usd > 0.0
    scale = np.where(positive, of.target_usd, 1.0)[:, None]
    # A maximum below 0 counts as 0.
    return np.where(positive[:, None], np.maximum(losses @ weight.T, 0.0) / scale, 1.0)


def _choose(ratio: FloatArray, used: BoolArray, n_arrays: int) -> list[int]:
    """Return the candidates whose maximum has the least mean absolute error over `used`."""
    ratio, own = ratio[used], np.flatnonzero(used)
    chosen: list[int] = []
    best = np.full(ratio.shape[0], -np.inf)
    last = np.inf
    while len(chosen) < min(n_arrays, own.size):
        place, error = _best_addition(ratio, best, own)
        if error >= last:
            break
        chosen.append(place)
        best, last = np.maximum(best, ratio[:, place]), error
    for _ in range(_EXCHANGES_MAX):
        before = last
        for slot in range(len(chosen)):
            others = [c for k, c in enumerate(chosen) if k != slot]
            rest = ratio[:, others].max(axis=1) if others else np.full(ratio.shape[0], -np.inf)
            place, error = _best_addition(ratio, rest, own)
            if error < last:
                chosen[slot], last = place, error
        if last == before:
            break
    return chosen


def _best_addition(ratio: FloatArray, best: FloatArray, own: IntArray) -> tuple[int, float]:
    """Return (candidate, mean absolute error with it); the first of equal candidates."""
    errors = np.empty(own.size)
    for k, candidate in enumerate(own.tolist()):
        errors[k] = np.abs(1.0 - np.maximum(best, ratio[:, candidate])).mean()
    errors = np.round(errors, _DIGITS)
    at = int(errors.argmin())
    return int(own[at]), float(errors[at])


def _held_out(ratio: FloatArray, tails: _Tails, trained: Portfolios, n_arrays: int) -> ArrayErrors:
    """Return the errors of accounts under arrays that were chosen from the other half of them."""
    reached = np.empty((ratio.shape[0], 1))
    accounts = trained.mask("account")
    used = trained.is_used(tails.target_usd)
    for half in (0, 1):
        is_out = trained.owner % 2 == half
        chosen = _choose(ratio, used & ~(is_out & (trained.owner >= 0)), n_arrays)
        reached[is_out, 0] = ratio[np.ix_(is_out, chosen)].max(axis=1)
    return _errors("accounts, with arrays chosen from the other half", reached, tails, accounts)


def _errors(sample: str, ratio: FloatArray, tails: _Tails, mask: BoolArray) -> ArrayErrors:
    error = ratio[mask & (tails.target_usd > 0.0)].max(axis=1) - 1.0
    if error.size == 0:
        return ArrayErrors(sample, 0, 0.0, 0.0, 0.0, 0.0, 0.0)
    low, median, high = (float(x) for x in np.quantile(error, [0.05, 0.5, 0.95]))
    return ArrayErrors(
        sample, error.size, float(error.min()), low, median, high, float(error.max())
    )


def _array_losses(unit: FloatArray, weight: FloatArray) -> FloatArray:
    """Return the mean loss of each contract under each tail, in a fixed order of the rows."""
    loss = np.zeros((unit.shape[0], weight.shape[0]))
    for k, shares in enumerate(weight):
        for row in np.flatnonzero(shares):
            loss[:, k] -= shares[row] * unit[:, row]
    return loss
