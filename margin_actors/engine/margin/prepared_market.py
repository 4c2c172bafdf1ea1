"""A market prepared for pricing: a snapshot, its smiles, and some of its contracts.

A model with a charge for model risk or expiry risk also prices the same contracts under alternative
rules: with another smile model, with other smile dynamics, or with options that expire within the
margin period of risk settled at expiry.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from margin_actors.arrays import FloatArray, IntArray
from margin_actors.engine.addons import MarketDepth, market_depth
from margin_actors.engine.margin.chain_gates import (
    fit_findings,
    quarantine_faults,
    require_not_quarantined,
    screened_snapshot,
)
from margin_actors.engine.margin.requirement.needs import needs_of
from margin_actors.engine.parameters import ModelParameters, RevaluationParameters
from margin_actors.engine.revaluation import (
    Contracts,
    contracts_from_names,
    instrument_faults,
    listed_names,
    unit_values,
    values_today,
)
from margin_actors.errors import MissingMarketData, Problem
from margin_actors.market.chain_quality import ChainFinding, ScreenedSnapshot
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.surfaces import VolatilitySurface, fit_surfaces


@dataclass(frozen=True)
class Alternative:
    """The contracts of a market, priced under alternative rules."""

    label: str
    revaluation: RevaluationParameters
    surfaces: Mapping[str, VolatilitySurface]
    contracts: Contracts
    value_today: FloatArray
    """float64 (n_contracts,): as `PreparedMarket.value_today`, under these rules."""
    repriced: IntArray | None
    """int64 (n_repriced,): indices of the contracts whose prices can differ; None for all."""


@dataclass(frozen=True)
class PreparedMarket:
    """A snapshot with its smiles and some of its contracts in the layout of the pricing kernel."""

    snapshot: MarketSnapshot
    """Without quotes and expiries that fail a quality gate of the model; its id is that of the
    published snapshot."""
    model: ModelParameters
    surfaces: Mapping[str, VolatilitySurface]
    contracts: Contracts
    value_today: FloatArray
    """float64 (n_contracts,): value of one unit today, US dollars. For futures and perpetuals this
    is before daily settlement; see `unit_value_usd`."""
    alternatives: tuple[Alternative, ...] = ()
    depth: MarketDepth | None = None
    """Market depth of the whole chain; None if the model does not need it."""
    other_surfaces: Mapping[str, Mapping[str, VolatilitySurface]] = field(
        default_factory=dict[str, Mapping[str, VolatilitySurface]]
    )
    """Smiles by smile model and underlying, as `fit_smiles` returns them; for the alternatives."""

    @cached_property
    def unit_value_usd(self) -> FloatArray:
        """float64 (n_contracts,): value of one unit, US dollars; 0 for futures and perpetuals."""
        return unit_values(self.contracts, self.value_today)

    @property
    def surface_ids(self) -> tuple[str, ...]:
        """Content ids of the smiles."""
        return tuple(surface.id for surface in self.surfaces.values())

    @property
    def unit_values(self) -> dict[str, float]:
        """Value of one unit of each contract after daily settlement, US dollars, by name."""
        return dict(zip(self.contracts.names, self.unit_value_usd.tolist(), strict=True))

    @cached_property
    def findings(self) -> tuple[ChainFinding, ...]:
        """Findings of the quality gates, and the expiries that have too few quotes for a smile."""
        return chain_findings(self.snapshot, self.model, self.surfaces)

    @cached_property
    def quarantined_expiries(self) -> tuple[str, ...]:
        """Expiries whose options are not priced because of a finding, as ``BTC 27MAR26``."""
        whole = (f.where for f in self.findings if f.effect != "quote_excluded")
        return tuple(dict.fromkeys(whole))

    def with_contracts(self, names: Sequence[str]) -> "PreparedMarket":
        """Return the same market with the contracts `names`, in their order.

        Raises
        ------
        InvalidPortfolio, MissingMarketData
            If a contract cannot be priced; names all of them.
        """
        rules = self.model.revaluation
        require_not_quarantined(names, self.snapshot)
        contracts = contracts_from_names(names, self.snapshot, self.surfaces, rules)
        today = values_today(contracts, self.snapshot, rules)
        market = replace(self, contracts=contracts, value_today=today)
        return replace(market, alternatives=_alternatives(market, names))


def fit_model_surfaces(
    snapshot: MarketSnapshot, model: ModelParameters
) -> dict[str, VolatilitySurface]:
    """Return the model's fitted smiles by underlying; empty if it prices on mark volatilities.

    Expiries that are quarantined or have too few quotes have no smile.

    Raises
    ------
    MissingMarketData
        If no smile at all can be fitted although the snapshot has options that are not quarantined.
    """
    smile = model.revaluation.smile
    if smile == "mark":
        return {}
    beta = model.revaluation.sabr_beta
    return fit_surfaces(screened_snapshot(snapshot, model), model=smile, beta=beta, thin="omit")


def fit_smiles(
    snapshot: MarketSnapshot,
    model: ModelParameters,
    *,
    surfaces: Mapping[str, VolatilitySurface] | None = None,
) -> dict[str, Mapping[str, VolatilitySurface]]:
    """Return the smiles of the model and of its alternatives, by smile model and underlying.

    `surfaces` are the model's own smiles, if already fitted.

    Raises
    ------
    MissingMarketData
        As `fit_model_surfaces`.
    """
    screened = screened_snapshot(snapshot, model)
    fitted = fit_model_surfaces(screened, model) if surfaces is None else surfaces
    smiles: dict[str, Mapping[str, VolatilitySurface]] = {model.revaluation.smile: fitted}
    for rules in needs_of(model).alternatives.values():
        if rules.smile not in smiles and rules.smile != "mark":
            smiles[rules.smile] = fit_surfaces(
                screened, model=rules.smile, beta=rules.sabr_beta, thin="omit"
            )
    return smiles


def chain_findings(
    snapshot: MarketSnapshot,
    model: ModelParameters,
    surfaces: Mapping[str, VolatilitySurface],
) -> tuple[ChainFinding, ...]:
    """Return the findings of the model's quality gates, and the expiries without a smile.

    `surfaces` is the result of `fit_model_surfaces`.
    """
    screened = screened_snapshot(snapshot, model)
    if model.revaluation.smile == "mark":
        return screened.findings if isinstance(screened, ScreenedSnapshot) else ()
    return fit_findings(screened, surfaces)


def model_faults(
    names: Sequence[str],
    snapshot: MarketSnapshot,
    model: ModelParameters,
    smiles: Mapping[str, Mapping[str, VolatilitySurface]],
) -> dict[str, Problem]:
    """Return why instruments cannot be priced under a model or one of its alternatives, by name.

    Like `instrument_faults`; `smiles` is the result of `fit_smiles`. If several rules fail for an
    instrument, the fault under the first of them is returned, starting with the model's own.
    """
    snapshot = screened_snapshot(snapshot, model)
    faults: dict[str, Problem] = {}
    for rules in (model.revaluation, *needs_of(model).alternatives.values()):
        found = instrument_faults(names, snapshot, smiles.get(rules.smile, {}), rules)
        faults = found | faults
    return faults | quarantine_faults(names, snapshot)


def prepare_market(
    snapshot: MarketSnapshot,
    model: ModelParameters,
    *,
    names: Sequence[str] | None = None,
    surfaces: Mapping[str, VolatilitySurface] | None = None,
    smiles: Mapping[str, Mapping[str, VolatilitySurface]] | None = None,
) -> PreparedMarket:
    """Return the market with fitted smiles and prepared contracts.

    Parameters
    ----------
    snapshot, model
    names : sequence of str, optional
        Names of the contracts; all that the snapshot can price by default (`listed_names`).
    surfaces : mapping, optional
        The model's smiles if already fitted to the snapshot; fitted here by default.
    smiles : mapping, optional
        Result of `fit_smiles`, alternatives included; `surfaces` is then ignored.

    Raises
    ------
    MissingMarketData, InvalidPortfolio
        If the snapshot has nothing to price, a smile cannot be fitted, or a contract cannot be
        priced.
    """
    snapshot = screened_snapshot(snapshot, model)
    if smiles is None:
        smiles = fit_smiles(snapshot, model, surfaces=surfaces)
    fitted = smiles[model.revaluation.smile]
    if names is None:
        names = listed_names(snapshot, fitted, model.revaluation)
    if not names:
        raise MissingMarketData(
            "the snapshot contains no contract that can be priced",
            [
                Problem(
                    "snapshot", "neither index prices nor options", "give index prices and chains"
                )
            ],
        )
    depth = None
    if needs_of(model).contract_risk:
        depth = market_depth(snapshot, model.addons)
    require_not_quarantined(names, snapshot)
    contracts = contracts_from_names(names, snapshot, fitted, model.revaluation)
    today = values_today(contracts, snapshot, model.revaluation)
    market = PreparedMarket(snapshot, model, fitted, contracts, today, (), depth, smiles)
    return replace(market, alternatives=_alternatives(market, names))


def _alternatives(market: PreparedMarket, names: Sequence[str]) -> tuple[Alternative, ...]:
    """Return the market's contracts under the rules of every alternative."""
    snapshot, own = market.snapshot, market.model.revaluation
    contracts, today = market.contracts, market.value_today
    alternatives: list[Alternative] = []
    for label, rules in needs_of(market.model).alternatives.items():
        repriced = None
        theirs, value = contracts, today
        if rules == own.model_copy(update={"time": "settle_expiring"}):
            repriced = np.flatnonzero(contracts.expire_within(market.model.horizon_hours_total))
            if repriced.size == 0:
                continue
        elif rules.smile != own.smile or "frozen" in (rules.dynamics, own.dynamics):
            surfaces = market.other_surfaces[rules.smile]
            theirs = contracts_from_names(names, snapshot, surfaces, rules)
            value = values_today(theirs, snapshot, rules)
        surfaces = market.other_surfaces[rules.smile]
        alternatives.append(Alternative(label, rules, surfaces, theirs, value, repriced))
    return tuple(alternatives)
