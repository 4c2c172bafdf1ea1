"""Initial margin: the core measure, its floors and the add-ons.

Data flow one way: records; requirement components, which state what they need; preparation of a
market and a book; prices and profits over slices of the scenarios; calculation.
"""

from margin_actors.engine.margin.calculation import (
    MarginResult,
    attribute_account,
    calculate_margin,
    margin_from_slice,
)
from margin_actors.engine.margin.chain_gates import fit_findings, screened_snapshot
from margin_actors.engine.margin.collateral import (
    Equity,
    check_collateral,
    collateral_equity,
    with_collateral,
)
from margin_actors.engine.margin.component_inputs import ComponentInputs
from margin_actors.engine.margin.cube_slice import (
    CubeSlice,
    applied_scenarios,
    price_own_slice,
    price_slice,
)
from margin_actors.engine.margin.eligibility import (
    TOO_LARGE,
    BookAssessment,
    assess_book,
    assess_unpriced_book,
    book_content_id,
    instrument_faults,
    overdue_instruments,
)
from margin_actors.engine.margin.failures import AccountFailure, AccountProblem
from margin_actors.engine.margin.margins import (
    Margins,
    concatenate_margins,
    position_sums,
    result_digest,
    select_margins,
)
from margin_actors.engine.margin.pnl import (
    SlicePnl,
    book_pnl,
    join_slice_pnl,
    revalue_slice,
    slice_pnl,
)
from margin_actors.engine.margin.preparation import (
    prepare_book,
    prepare_inputs,
    require_sections,
)
from margin_actors.engine.margin.prepared_book import BookPnl, PreparedBook
from margin_actors.engine.margin.prepared_market import (
    PreparedMarket,
    chain_findings,
    fit_model_surfaces,
    fit_smiles,
    model_faults,
    prepare_market,
)
from margin_actors.engine.margin.prescribed import grid_arrays, span_arrays
from margin_actors.engine.margin.priced_market import PricedMarket
from margin_actors.engine.margin.requirement import (
    ADD_ONS,
    COMPONENT_NAMES,
    COMPONENTS,
    FLOORS,
    Component,
    RequirementContext,
    binding_components,
    components_of,
    dominant_add_on,
    dominant_add_ons,
    has_floors,
    needs_of,
    requirements,
    worst_extended_moves,
)
from margin_actors.engine.margin.risk_inputs import RiskInputs
from margin_actors.engine.margin.sample import Sample, measures_of, measures_over, sample_of

__all__ = [
    "ADD_ONS",
    "COMPONENTS",
    "COMPONENT_NAMES",
    "FLOORS",
    "TOO_LARGE",
    "AccountFailure",
    "AccountProblem",
    "BookAssessment",
    "BookPnl",
    "Component",
    "ComponentInputs",
    "CubeSlice",
    "Equity",
    "MarginResult",
    "Margins",
    "PreparedBook",
    "PreparedMarket",
    "PricedMarket",
    "RequirementContext",
    "RiskInputs",
    "Sample",
    "SlicePnl",
    "applied_scenarios",
    "assess_book",
    "assess_unpriced_book",
    "attribute_account",
    "binding_components",
    "book_content_id",
    "book_pnl",
    "calculate_margin",
    "check_collateral",
    "chain_findings",
    "collateral_equity",
    "components_of",
    "concatenate_margins",
    "dominant_add_on",
    "dominant_add_ons",
    "fit_findings",
    "fit_model_surfaces",
    "fit_smiles",
    "grid_arrays",
    "has_floors",
    "instrument_faults",
    "join_slice_pnl",
    "margin_from_slice",
    "measures_of",
    "measures_over",
    "needs_of",
    "overdue_instruments",
    "model_faults",
    "position_sums",
    "prepare_book",
    "prepare_inputs",
    "prepare_market",
    "price_own_slice",
    "price_slice",
    "require_sections",
    "requirements",
    "result_digest",
    "revalue_slice",
    "sample_of",
    "screened_snapshot",
    "select_margins",
    "slice_pnl",
    "span_arrays",
    "with_collateral",
    "worst_extended_moves",
]
