"""The files of an export, and the refusal of what is not known."""

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rules = dict[str, Any]
"""Revaluation rules: the section `revaluation` of the model."""
Bucket = tuple[str, str]
"""Underlying and expiry bucket."""
Exposures = dict[Bucket, tuple[float, float]]
"""Net delta in coins and vega in US dollars per 1.00 of volatility, by bucket."""
HedgeRates = dict[Bucket, dict[str, tuple[float, float, float]]]
"""Vega of the hedge per vega, spread and remaining risk per risk, by bucket and neighbour."""

FORM = "margin.export/1"
HOURS_PER_YEAR = 8760.0


SECTIONS = {"core", "long", "stress_period", "stress", "extended"}
PARAMETERS = """
revaluation: smile sabr_beta anchor_to_marks dynamics time settlement_window_minutes
revaluation: shocked_surfaces unlisted_options pnl_quantum_usd lot_coins lot_usd
revaluation.rates: use treasury_sources overnight_sources age_days_max missing_forwards
measure: confidence core blend_var_share overlap
diversification: enabled reduction_max correlation_stress
procyclicality.buffer: enabled share fast_rise fast_days rebuild_days
procyclicality.stressed_weight: enabled weight form
procyclicality.long_floor: enabled years
procyclicality.stress_period: floor days confidence
tails.extended_moves: enabled jointly alone opposite rows vol_power
tails.extended_moves: past_days_share short_tenors_days
tails.short_option_minimum: enabled at_money half_distance least count
addons: bucket_days measure
addons.concentration: enabled participation outright_volume_coins volume_floor_coins
addons.concentration: open_interest_steps
addons.liquidity: enabled outright_half_spread vol_half_spread_default offset_share size_share
addons.liquidity: size_power size_factor_max
addons.model_risk: enabled alternatives share_min
addons.expiry_risk: enabled
addons.depth: days change_max
addons.members: enabled
addons.hedge: enabled crossings
addons.close_out: parity value_bound settling_share
addons.loss_bound: enabled
"""
"""Parameters of the sections that this program reads: the others determine its input files."""
CHOICES: dict[str, set[str]] = {
    "revaluation.smile": {"mark", "svi", "sabr"},
    "revaluation.dynamics": {"sticky_moneyness", "sticky_strike", "sticky_delta", "frozen"},
    "revaluation.time": {"instantaneous", "horizon", "settle_expiring"},
    "procyclicality.stressed_weight.form": {"blend", "observations"},
    "tails.short_option_minimum.count": {"larger_side", "sum"},
    "addons.measure": {"var", "core"},
}


class UnknownContentError(Exception):
    """The export contains something that this program does not recompute."""


@dataclass
class Export:
    """The files of an export, and what has been computed from them."""

    manifest: dict[str, Any]
    model: dict[str, Any]
    contracts: pd.DataFrame
    smiles: pd.DataFrame
    scenarios: pd.DataFrame
    depth: pd.DataFrame
    positions: pd.DataFrame
    components: pd.DataFrame
    measures: pd.DataFrame
    member_sizes: pd.DataFrame
    accounts: list[str]
    hedges: HedgeRates | None = None
    """Rates of hedges, computed when they are first needed."""
    profits: dict[str, Array] = field(default_factory=dict)
    """By rules, as JSON: profit of one lot in ticks, (n_contracts, n_rows)."""
    section_rows: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    """By section of the scenario set, as far as they were needed: its rows."""

    @property
    def horizon_hours(self) -> float:
        """Margin period of risk."""
        return float(self.manifest["scenarios"]["horizon_hours"])

    @property
    def rules(self) -> Rules:
        """The model's own revaluation rules."""
        return self.model["revaluation"]

    def rows(self, section: str) -> NDArray[np.int64]:
        """Rows of a section of the scenario set."""
        if section not in self.section_rows:
            found = np.flatnonzero((self.scenarios["section"] == section).to_numpy())
            self.section_rows[section] = found
        return self.section_rows[section]


def load(folder: Path) -> Export:
    """Read an export after checking every file against the manifest."""
    manifest = json.loads((folder / "manifest.json").read_text())
    if manifest["schema"] != FORM:
        raise UnknownContentError(f"the export has the form {manifest['schema']}, not {FORM}")
    for entry in manifest["files"]:
        found = hashlib.sha256((folder / entry["name"]).read_bytes()).hexdigest()
        if found != entry["sha256"]:
            raise UnknownContentError(f"{entry['name']} was changed: its sha256 is {found}")
    listed = {entry["name"] for entry in manifest["files"]}

    def table(name: str) -> pd.DataFrame:
        file = f"{name}.parquet"
        return pd.read_parquet(folder / file) if file in listed else pd.DataFrame()

    model = json.loads((folder / "model.json").read_text())
    export = Export(
        manifest=manifest,
        model=model,
        contracts=table("contracts"),
        smiles=table("smiles"),
        scenarios=table("scenarios"),
        depth=table("depth"),
        positions=table("positions"),
        components=table("components"),
        measures=table("measures"),
        member_sizes=table("member_sizes"),
        accounts=manifest["accounts"],
    )
    held = set(export.positions["instrument_name"])
    export.contracts = export.contracts[export.contracts["instrument_name"].isin(held)]
    export.contracts = export.contracts.reset_index(drop=True)
    refuse_unknown_moves(export)
    refuse_unknown_parameters(model)
    return export


def refuse_unknown_moves(export: Export) -> None:
    """Refuse scenarios that move something, or have a section, that is not priced here."""
    common = "scenario|section|window_start|window_end|weight|loss_share|name"
    moves = r"(spot_return|path_return\..*h|basis_change\..*d|vol_change\..*d\.z.*)"
    perpetual = r"perpetual_basis_(change|provenance)"
    known = re.compile(rf"({common})|[^.]+\.({moves}|{perpetual}|provenance|repair)")
    unknown = [c for c in export.scenarios.columns if not known.fullmatch(c)]
    sections = set(export.scenarios["section"]) - SECTIONS
    if unknown or sections:
        raise UnknownContentError(
            f"unknown columns {unknown} or sections {sorted(sections)} of scenarios"
        )
    values = re.compile(r"stress_period\.confidence|buffer\.share\..*|depth\..*")
    unknown = [v for v in export.manifest["scenarios"]["calibration"] if not values.fullmatch(v)]
    if unknown:
        raise UnknownContentError(f"unknown calibrated values {unknown}")


def refuse_unknown_parameters(model: dict[str, Any]) -> None:
    """Refuse a parameter that may change what is computed here, or an unknown choice for one."""
    known = {
        f"{section}.{name}"
        for section, names in (line.split(":") for line in PARAMETERS.strip().splitlines())
        for name in names.split()
    }
    found = {
        name: value
        for section in sorted({name.partition(".")[0] for name in known})
        for name, value in parameters_of(model[section], section)
    }
    unknown = sorted(set(found) - known)
    unknown += [f"{n} = {found[n]!r}" for n, known in CHOICES.items() if found[n] not in known]
    unknown += sorted(known - set(found))
    if unknown:
        raise UnknownContentError(f"unknown or missing parameters of the model: {unknown}")


def parameters_of(section: dict[str, Any], prefix: str) -> list[tuple[str, Any]]:
    """Names and values of the parameters of a section; lists and mappings by coin are values."""
    found: list[tuple[str, Any]] = []
    for name, value in section.items():
        whole = f"{prefix}.{name}"
        if isinstance(value, dict) and name != "outright_volume_coins":
            found += parameters_of(value, whole)
        else:
            found.append((whole, value))
    return found
