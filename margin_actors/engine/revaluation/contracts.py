"""Instruments with their market data from a snapshot, in the layout of the pricing kernel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from margin_actors.arrays import BoolArray, FloatArray, IndexArray
from margin_actors.engine.parameters import RevaluationParameters
from margin_actors.engine.pricing import FROZEN, LINEAR, SABR, SVI
from margin_actors.engine.revaluation.curves import BOOK, Curve, curve_key, curves_of
from margin_actors.errors import InvalidPortfolio, MissingMarketData, Problem, raise_if_any
from margin_actors.market.instruments import (
    Instrument,
    Kind,
    expiry_label,
    has_expired,
    holding_fault,
    instrument_from_name,
)
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.surfaces import VolatilitySurface, slice_parameters
from margin_actors.numerics.elementary import logarithms


@dataclass(frozen=True)
class Contracts:
    """Inputs of the kernel for n_contracts instruments; arrays (n_contracts,) unless stated."""

    names: tuple[str, ...]
    curves: tuple[Curve, ...]
    kind: IndexArray
    """int32: FROZEN, SVI, SABR or LINEAR."""
    curve: IndexArray
    """int32: index in `curves`."""
    strike: FloatArray
    """US dollars; 1 for everything except options."""
    ln_strike: FloatArray
    """ln(strike), the high part of a two-part sum."""
    ln_strike_low: FloatArray
    """The low part."""
    sign: FloatArray
    """+1 for calls, -1 for everything else."""
    mark_deviation: FloatArray
    """sigma * sqrt(T) from the mark volatility; without a mark, from the smile if the dynamics are
    "frozen" on a fitted smile, else NaN."""
    unit_value: FloatArray
    """LINEAR: profit of one unit in US dollars for a rise of its curve by one dollar; else 0."""
    settles_daily: np.ndarray
    """bool: True for futures and perpetuals, whose value today has already been settled."""
    smiles: FloatArray
    """float64 (n_curves, 5): parameters of each curve's smile; zeros without one."""
    at_money_deviation: FloatArray
    """float64 (n_curves,): sigma_atm * sqrt(T) of each curve's smile; 0 without one."""
    ticks_per_usd: FloatArray
    """Ticks per lot for a profit of one US dollar per unit; 1 without rounding."""
    lot: FloatArray
    """Quantity of one lot; 1 without rounding."""
    quantum_usd: float | None
    """US dollars per tick of one lot; None without rounding."""

    def __len__(self) -> int:
        """Return the number of contracts."""
        return len(self.names)

    def expire_within(self, hours: float) -> BoolArray:
        """Return which contracts expire at most `hours` from now, bool (n_contracts,)."""
        expires = np.array([curve.expires_within(hours) for curve in self.curves], np.bool_)
        return expires[self.curve]

    @cached_property
    def place(self) -> dict[str, int]:
        """Index of each contract by name."""
        return {name: place for place, name in enumerate(self.names)}


def contracts_from_names(
    names: Sequence[str],
    snapshot: MarketSnapshot,
    surfaces: Mapping[str, VolatilitySurface],
    parameters: RevaluationParameters,
) -> Contracts:
    """Return the contracts `names`, in their order, in the layout of the kernel.

    Raises
    ------
    InvalidPortfolio
        If an instrument is unknown, has expired, or is not listed and the model rejects unlisted
        options; names all of them and any missing market data.
    MissingMarketData
        If an underlying has no index price, an expiry no forward or no smile, or an option no mark
        volatility although the model prices on marks; names all of them.
    """
    instruments, curves, curve, mark_vol = _priceable(names, snapshot, surfaces, parameters)
    tenor = np.array([c.tenor_years for c in curves], np.float64)[curve]
    is_option = np.array([i.kind is Kind.OPTION for i in instruments], np.bool_)
    is_inverse = np.array([i.is_inverse for i in instruments], np.bool_)
    strike = np.array([i.strike or 1.0 for i in instruments], np.float64)
    ln_strike, ln_strike_low = logarithms(strike)
    smile_kind = {"mark": FROZEN, "svi": SVI, "sabr": SABR}[parameters.smile]
    if parameters.dynamics == "frozen":
        smile_kind = FROZEN
    smiles, at_money = _smiles_of(curves, surfaces)
    deviation = mark_vol * np.sqrt(tenor)
    if smile_kind == FROZEN and parameters.smile != "mark":
        _marks_from_smiles(deviation, is_option, curve, curves, strike, surfaces)
    lot, ticks, quantum = _lots(instruments, is_inverse, parameters)
    return Contracts(
        names=tuple(names),
        curves=curves,
        kind=np.where(is_option, smile_kind, LINEAR).astype(np.int32),
        curve=curve,
        strike=strike,
        ln_strike=ln_strike,
        ln_strike_low=ln_strike_low,
        sign=np.array([1.0 if i.is_call else -1.0 for i in instruments]),
        mark_deviation=deviation,
        unit_value=_unit_values(instruments, curve, curves),
        settles_daily=np.array(
            [i.kind in (Kind.FUTURE, Kind.PERPETUAL) for i in instruments], np.bool_
        ),
        smiles=smiles,
        at_money_deviation=at_money,
        ticks_per_usd=ticks,
        lot=lot,
        quantum_usd=quantum,
    )


def _priceable(
    names: Sequence[str],
    snapshot: MarketSnapshot,
    surfaces: Mapping[str, VolatilitySurface],
    parameters: RevaluationParameters,
) -> tuple[list[Instrument], tuple[Curve, ...], IndexArray, FloatArray]:
    """Return (instruments, curves, curve of each instrument, mark volatilities).

    Raises InvalidPortfolio and MissingMarketData as `contracts_from_names`.
    """
    instruments, unusable = _parse(names, snapshot)
    curves, curve_of, curve_faults = curves_of(instruments, snapshot, surfaces, parameters)
    mark_vol, unlisted, unmarked = _mark_vols(instruments, snapshot, parameters)
    missing = [fault.problem for fault in curve_faults.values()] + list(unmarked.values())
    # All problems are reported at once; faults of the book determine the type of the error.
    if unusable or unlisted:
        unusable += [*unlisted.values(), *missing]
        raise_if_any(
            unusable, InvalidPortfolio, "the book contains instruments that cannot be margined"
        )
    raise_if_any(missing, MissingMarketData, "market data that the book needs are missing")
    curve = np.array([curve_of[curve_key(i)] for i in instruments], np.int32)
    return instruments, curves, curve, mark_vol


def instrument_faults(
    names: Sequence[str],
    snapshot: MarketSnapshot,
    surfaces: Mapping[str, VolatilitySurface],
    parameters: RevaluationParameters,
) -> dict[str, Problem]:
    """Return why instruments cannot be priced, by name.

    Instruments that can be priced are left out, and so are expired ones, which await settlement and
    need no price. Never raises.
    """
    live = [name for name in names if not has_expired(name, snapshot.time)]
    faults: dict[str, Problem] = {}
    instruments: list[Instrument] = []
    for name in live:
        fault = holding_fault(name, snapshot.time)
        if fault is None:
            instruments.append(instrument_from_name(name))
        else:
            faults[name] = Problem(name, *fault)
    _, _, curve_faults = curves_of(instruments, snapshot, surfaces, parameters)
    _, unlisted, unmarked = _mark_vols(instruments, snapshot, parameters)
    for instrument in instruments:
        name, fault = instrument.name, curve_faults.get(curve_key(instrument))
        found = unlisted.get(name) or unmarked.get(name)
        if fault is not None and (instrument.kind is Kind.OPTION or not fault.concerns_options):
            found = fault.problem
        if found is not None:
            faults[name] = replace(found, location=name)
    return faults


def _parse(
    names: Sequence[str], snapshot: MarketSnapshot
) -> tuple[list[Instrument], list[Problem]]:
    instruments: list[Instrument] = []
    problems: list[Problem] = []
    for name in names:
        fault = holding_fault(name, snapshot.time)
        if fault is None:
            instruments.append(instrument_from_name(name))
        else:
            problems.append(Problem(BOOK, *fault))
    return instruments, problems


def _mark_vols(
    instruments: list[Instrument],
    snapshot: MarketSnapshot,
    parameters: RevaluationParameters,
) -> tuple[FloatArray, dict[str, Problem], dict[str, Problem]]:
    """Return (annual mark volatilities or NaN, unlisted options, options without a mark)."""
    unlisted: dict[str, Problem] = {}
    unmarked: dict[str, Problem] = {}
    vols = np.full(len(instruments), np.nan)
    for i, instrument in enumerate(instruments):
        is_option = instrument.kind is Kind.OPTION
        if not is_option or (instrument.underlying, instrument.expiry) not in snapshot.expiry_row:
            continue  # a missing expiry is reported once, with its curve
        row = snapshot.option_row.get(instrument.name)
        if row is not None:
            vols[i] = snapshot.options.mark_vol[row]
        elif parameters.unlisted_options == "reject":
            unlisted[instrument.name] = Problem(
                BOOK,
                f"{instrument.name} is not in the snapshot's chain",
                "correct the name, add the option to the snapshot, or set "
                "revaluation.unlisted_options = 'surface'",
            )
            continue
        if np.isnan(vols[i]) and parameters.smile == "mark":
            unmarked[instrument.name] = Problem(
                BOOK,
                f"{instrument.name} has no mark volatility in the snapshot",
                "use a model with a fitted smile",
            )
    return vols, unlisted, unmarked


def _smiles_of(
    curves: tuple[Curve, ...], surfaces: Mapping[str, VolatilitySurface]
) -> tuple[FloatArray, FloatArray]:
    """Return `Contracts.smiles` and `Contracts.at_money_deviation`."""
    smiles, at_money = np.zeros((len(curves), 5)), np.zeros(len(curves))
    for c, item in enumerate(curves):
        if item.slice_index >= 0:
            smile = surfaces[item.underlying].slices[item.slice_index]
            smiles[c] = slice_parameters(smile)
            at_money[c] = float(np.sqrt(smile.total_variance(np.zeros(1))[0]))
    return smiles, at_money


def _marks_from_smiles(
    deviation: FloatArray,
    is_option: np.ndarray,
    curve: IndexArray,
    curves: tuple[Curve, ...],
    strike: FloatArray,
    surfaces: Mapping[str, VolatilitySurface],
) -> None:
    """Set the deviation of frozen options without a mark to that of their smile, in place."""
    for i in np.flatnonzero(is_option & np.isnan(deviation)):
        item = curves[curve[i]]
        smile = surfaces[item.underlying].slices[item.slice_index]
        k = logarithms(np.array([strike[i] / item.level_usd]))[0]
        deviation[i] = float(np.sqrt(max(smile.total_variance(k)[0], 0.0)))


def _unit_values(
    instruments: list[Instrument], curve: IndexArray, curves: tuple[Curve, ...]
) -> FloatArray:
    """Inverse: N * (F'/F - 1) US dollars for N of notional; linear: F' - F US dollars per coin."""
    levels = [curves[c].level_usd for c in curve]
    return np.array(
        [
            0.0 if i.kind is Kind.OPTION else (1.0 / level if i.is_inverse else 1.0)
            for i, level in zip(instruments, levels, strict=True)
        ]
    )


def _lots(
    instruments: list[Instrument], is_inverse: np.ndarray, parameters: RevaluationParameters
) -> tuple[FloatArray, FloatArray, float | None]:
    n, quantum = len(instruments), parameters.pnl_quantum_usd
    if quantum is None:
        return np.ones(n), np.ones(n), None
    in_usd = (
        np.array([i.kind in (Kind.FUTURE, Kind.PERPETUAL) for i in instruments], np.bool_)
        & is_inverse
    )
    lot = np.where(in_usd, parameters.lot_usd, parameters.lot_coins)
    return lot, lot / quantum, quantum


def lot_of(name: str, parameters: RevaluationParameters) -> float:
    """Return the quantity of one lot of an instrument; 1 if the model does not round.

    Raises
    ------
    ValueError
        If `name` is not the name of an instrument.
    """
    if parameters.pnl_quantum_usd is None:
        return 1.0
    item = instrument_from_name(name)
    is_in_usd = item.is_inverse and item.kind in (Kind.FUTURE, Kind.PERPETUAL)
    return parameters.lot_usd if is_in_usd else parameters.lot_coins


def listed_names(
    snapshot: MarketSnapshot,
    surfaces: Mapping[str, VolatilitySurface],
    parameters: RevaluationParameters,
) -> tuple[str, ...]:
    """Return the names of all contracts that a snapshot can price under a model, sorted.

    These are the listed options with a smile (with a mark volatility if the model prices on marks),
    a future for every expiry, and the perpetuals and spot of every underlying.
    """
    fitted = {(u, e.expiry) for u, surface in surfaces.items() for e in surface.expiries}
    options, on_marks = snapshot.options, parameters.smile == "mark"
    names: set[str] = set()
    for row, name in enumerate(options.names):
        item = snapshot.expiries[options.expiry_index[row]]
        has_smile = (item.underlying, item.expiry) in fitted
        if np.isfinite(options.mark_vol[row]) if on_marks else has_smile:
            names.add(name)
    for item in snapshot.expiries:
        names.add(f"{item.underlying}-{expiry_label(item.expiry)}")
    for underlying in snapshot.index_usd:
        names |= {f"{underlying}-PERPETUAL", f"{underlying}_USDC-PERPETUAL", f"{underlying}_USDC"}
    return tuple(sorted(n for n in names if holding_fault(n, snapshot.time) is None))
