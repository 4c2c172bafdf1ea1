"""Preparation of a book for the kernels: its positions and the risk inputs of its contracts."""

import numpy as np

from margin_actors.engine.addons import (
    ContractRisk,
    MarketDepth,
    MemberSizes,
    account_groups,
    bucket_names,
    calibrated_depth,
    contract_risk,
    hedge_rates,
    largest_losses,
    market_depth,
    member_sizes,
    net_positions,
)
from margin_actors.engine.margin.margins import position_sums
from margin_actors.engine.margin.prepared_book import PreparedBook
from margin_actors.engine.margin.prepared_market import PreparedMarket
from margin_actors.engine.margin.prescribed import grid_arrays, span_arrays
from margin_actors.engine.margin.requirement.needs import needs_of
from margin_actors.engine.margin.risk_inputs import RiskInputs
from margin_actors.engine.margin.sample import sample_of
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.revaluation import holdings_from_book
from margin_actors.engine.scenarios import (
    CORE,
    EXTENDED,
    LONG,
    STRESS,
    STRESS_PERIOD,
    ScenarioSet,
    uses_recorded_depth,
)
from margin_actors.engine.scenarios.prescribed import extended_moves
from margin_actors.engine.tails import extended_shares, short_rates
from margin_actors.errors import InvalidScenario, Problem, raise_if_any
from margin_actors.market.books import Book

_ORDER = (LONG, STRESS_PERIOD, STRESS, EXTENDED)


def require_sections(scenarios: ScenarioSet, model: ModelParameters) -> None:
    """Check that a scenario set has the sections and calibrated values that the model needs.

    Raises
    ------
    InvalidScenario
        If something is missing; names all of it.
    """
    needed = set(needs_of(model).sections)
    if model.scenarios.stress.enabled:
        needed.add(STRESS)
    problems = [
        Problem(f"scenario set {scenarios.id}", f"has no section {name!r}")
        for name in (*_ORDER, *sorted(needed.difference(_ORDER)))
        if name in needed and name not in scenarios.section_names
    ]
    calibration = scenarios.calibration
    if STRESS_PERIOD in scenarios.section_names and calibration.stress_confidence is None:
        problem = f"has no confidence for the section {STRESS_PERIOD!r}"
        problems.append(Problem(f"scenario set {scenarios.id}", problem))
    recorded = calibration.depth
    if recorded is not None and uses_recorded_depth(model):
        known = set(bucket_names(model.addons.bucket_days))
        if not {bucket for _, bucket in recorded.delta_coins} <= known:
            problem = "has market depth of other expiry buckets than the model"
            problems.append(Problem(f"scenario set {scenarios.id}", problem))
    without = [u for u in scenarios.underlyings if u not in calibration.buffer_shares]
    if model.procyclicality.buffer.enabled and without:
        problem = f"has no calibrated buffer shares of {', '.join(without)}"
        problems.append(Problem(f"scenario set {scenarios.id}", problem))
    has_extended = model.tails.extended_moves.enabled and EXTENDED in scenarios.section_names
    if has_extended and not _are_extended_moves(scenarios, model):
        problem = "has other extended moves or shares than the model"
        problems.append(Problem(f"scenario set {scenarios.id}", problem))
    if model.scenarios.perpetual_basis.moves != "none" and scenarios.perpetual_basis is None:
        problem = "does not move the basis of perpetuals"
        problems.append(Problem(f"scenario set {scenarios.id}", problem))
    raise_if_any(
        problems, InvalidScenario, "the scenario set was built for a different model; rebuild it"
    )


def _are_extended_moves(scenarios: ScenarioSet, model: ModelParameters) -> bool:
    """Return whether the extended rows of a set have the names and shares that a model gives.

    The names of past windows depend on the history, those of all other rows on the model.
    """
    found = extended_shares(scenarios)
    if found is None:
        return False
    parameters = model.tails.extended_moves
    moves = extended_moves(parameters, scenarios.underlyings)
    given = [(move.name, move.share) for move in moves]
    section = scenarios.section(EXTENDED).rows
    is_past = (~np.isnat(scenarios.start_time[section])).tolist()
    pairs = list(zip(found.names, found.share.tolist(), strict=True))
    written = [pair for pair, past in zip(pairs, is_past, strict=True) if not past]
    past_shares = {pair[1] for pair, past in zip(pairs, is_past, strict=True) if past}
    return written == given and past_shares <= {parameters.past_days_share}


def prepare_inputs(market: PreparedMarket, scenarios: ScenarioSet) -> RiskInputs:
    """Return the risk inputs of a market's contracts under its model.

    Raises
    ------
    InvalidScenario
        As `require_sections`.
    InvalidParameters
        As `scan_ranges`, if the core is SPAN or hybrid.
    """
    model, contracts = market.model, market.contracts
    require_sections(scenarios, model)
    risk = hedge = None
    if needs_of(model).contract_risk:
        depth = market.depth or market_depth(market.snapshot, model.addons)
        recorded = scenarios.calibration.depth
        if uses_recorded_depth(model) and recorded is not None:
            depth = calibrated_depth(depth, recorded, market.snapshot.index_usd)
        risk = _risk_of(market, depth)
        if model.addons.hedge.enabled and model.addons.concentration.enabled:
            hedge = hedge_rates(scenarios, depth, model)
    span = grid = None
    notes: tuple[str, ...] = ()
    rates = _rate_notes(market)
    today = market.value_today
    if model.measure.core in ("span", "hybrid"):
        span, notes = span_arrays(market.snapshot, contracts, scenarios, model, today)
    if model.measure.core == "venue_grid":
        grid = grid_arrays(market.snapshot, contracts, scenarios, model, today)
    tails = model.tails
    short = None
    if tails.short_option_minimum.enabled:
        short = short_rates(contracts, market.snapshot.index_usd, tails.short_option_minimum)
    return RiskInputs(
        model=model,
        sample=sample_of(scenarios, model, all_profits=needs_of(model).all_profits),
        sections=scenarios.sections or (scenarios.section(CORE),),
        calibration=scenarios.calibration,
        risk=risk,
        span=span,
        grid=grid,
        extended=extended_shares(scenarios) if tails.extended_moves.enabled else None,
        short=short,
        hedge=hedge,
        notes=(*notes, *rates),
    )


def _rate_notes(market: PreparedMarket) -> tuple[str, ...]:
    """Return a sentence on the interest rates of a model that uses a curve, else nothing."""
    curve, flat = market.snapshot.rates, market.snapshot.discount_annual
    if market.model.revaluation.rates.use == "flat":
        return ()
    if curve is None:
        return (
            "The snapshot has no rate curve: linear contracts are discounted at the flat rate of "
            f"{100 * flat:.3f} % a year",
        )
    return (
        f"Linear contracts are discounted at the interest rates of {curve.day}: "
        f"{100 * curve.rate(0.25):.3f} % to 3 months, {100 * curve.rate(1.0):.3f} % to one year",
    )


def _risk_of(market: PreparedMarket, depth: MarketDepth) -> ContractRisk:
    model = market.model
    return contract_risk(
        market.contracts,
        market.snapshot,
        model.revaluation,
        model.addons,
        horizon_hours=model.horizon_hours_total,
        depth=depth,
        unit_value_usd=market.unit_value_usd,
    )


def prepare_book(
    market: PreparedMarket, book: Book, inputs: RiskInputs, others: Book | None = None
) -> PreparedBook:
    """Return a book's positions in the contracts of a market, with the groups that are measured.

    Parameters
    ----------
    market : PreparedMarket
        With at least the instruments of the book.
    book : Book
    inputs : RiskInputs
        Risk inputs of the market's contracts.
    others : Book, optional
        Accounts that are not margined but belong to members of the book's accounts. Used only by
        models that measure size by member.

    Raises
    ------
    InvalidPortfolio
        If a quantity is not a whole number of lots; names all such positions.
    """
    holdings = holdings_from_book(market.contracts, book)
    value = position_sums(market.unit_value_usd, holdings.start, holdings.index, book.quantity)
    groups = None
    members = _member_sizes(market, book, inputs, others)
    kinds = needs_of(inputs.model).groups
    if inputs.risk is not None and kinds:
        groups = account_groups(holdings, book.quantity, inputs.risk, inputs.model, kinds, members)
    loss_max = None
    if inputs.model.addons.loss_bound.enabled:
        loss_max = largest_losses(market.contracts, holdings, book.quantity, value)
    return PreparedBook(
        book.accounts, holdings, book.quantity, groups, value, inputs, members, loss_max
    )


def _member_sizes(
    market: PreparedMarket, book: Book, inputs: RiskInputs, others: Book | None
) -> MemberSizes | None:
    """Return the sizes of the members' positions; None if the model does not use them."""
    if inputs.risk is None or not inputs.model.addons.members.enabled:
        return None
    risk = inputs.risk
    if others is not None and not market.contracts.place.keys() >= {*others.instruments}:
        market = market.with_contracts(sorted({*book.instruments, *others.instruments}))
        risk = _risk_of(market, risk.depth)
    return member_sizes(net_positions(market.contracts, book, others), risk, inputs.model)
