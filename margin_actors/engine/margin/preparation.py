"""Preparation of a book for the kernels: its positions and the risk inputs of its contracts."""

from margin_actors.engine.addons import account_groups, contract_risk, market_depth
from margin_actors.engine.margin.margins import position_sums
from margin_actors.engine.margin.prepared_book import PreparedBook
from margin_actors.engine.margin.prepared_market import PreparedMarket
from margin_actors.engine.margin.prescribed import grid_arrays, span_arrays
from margin_actors.engine.margin.requirement.needs import needs_of
from margin_actors.engine.margin.risk_inputs import RiskInputs
from margin_actors.engine.margin.sample import sample_of
from margin_actors.engine.parameters import ModelParameters
from margin_actors.engine.revaluation import holdings_from_book
from margin_actors.engine.scenarios import CORE, LONG, STRESS, STRESS_PERIOD, ScenarioSet
from margin_actors.errors import InvalidScenario, Problem, raise_if_any
from margin_actors.market.books import Book

_ORDER = (LONG, STRESS_PERIOD, STRESS)


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
    without = [u for u in scenarios.underlyings if u not in calibration.buffer_shares]
    if model.procyclicality.buffer.enabled and without:
        problem = f"has no calibrated buffer shares of {', '.join(without)}"
        problems.append(Problem(f"scenario set {scenarios.id}", problem))
    if model.scenarios.perpetual_basis.moves != "none" and scenarios.perpetual_basis is None:
        problem = "does not move the basis of perpetuals"
        problems.append(Problem(f"scenario set {scenarios.id}", problem))
    raise_if_any(
        problems, InvalidScenario, "the scenario set was built for a different model; rebuild it"
    )


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
    risk = None
    if needs_of(model).contract_risk:
        risk = contract_risk(
            contracts,
            market.snapshot,
            model.revaluation,
            model.addons,
            horizon_hours=model.horizon_hours_total,
            depth=market.depth or market_depth(market.snapshot, model.addons),
        )
    span = grid = None
    notes: tuple[str, ...] = ()
    rates = _rate_notes(market)
    today = market.value_today
    if model.measure.core in ("span", "hybrid"):
        span, notes = span_arrays(market.snapshot, contracts, scenarios, model, today)
    if model.measure.core == "venue_grid":
        grid = grid_arrays(market.snapshot, contracts, scenarios, model, today)
    return RiskInputs(
        model=model,
        sample=sample_of(scenarios, model),
        sections=scenarios.sections or (scenarios.section(CORE),),
        calibration=scenarios.calibration,
        risk=risk,
        span=span,
        grid=grid,
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


def prepare_book(market: PreparedMarket, book: Book, inputs: RiskInputs) -> PreparedBook:
    """Return a book's positions in the contracts of a market, with the groups that are measured.

    The market must hold all instruments of the book, and `inputs` must be those of its contracts.

    Raises
    ------
    InvalidPortfolio
        If a quantity is not a whole number of lots; names all such positions.
    """
    holdings = holdings_from_book(market.contracts, book)
    value = position_sums(market.unit_value_usd, holdings.start, holdings.index, book.quantity)
    groups = None
    kinds = needs_of(inputs.model).groups
    if inputs.risk is not None and kinds:
        groups = account_groups(holdings, book.quantity, inputs.risk, inputs.model, kinds)
    return PreparedBook(book.accounts, holdings, book.quantity, groups, value, inputs)
