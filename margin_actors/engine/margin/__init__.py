"""Initial margin: the core measure, its floors and the add-ons."""

from margin_actors.engine.margin.calculation import (
    MarginResult,
    attribute_account,
    calculate_margin,
    margin_from_slab,
)
from margin_actors.engine.margin.collateral import (
    Equity,
    check_collateral,
    collateral_equity,
    with_collateral,
)
from margin_actors.engine.margin.eligibility import (
    BookAssessment,
    assess_book,
    instrument_faults,
)
from margin_actors.engine.margin.failures import AccountFailure, AccountProblem
from margin_actors.engine.margin.margins import (
    MARGIN_FIELDS,
    Margins,
    Sample,
    concatenate_margins,
    measures_of,
    position_sums,
    result_digest,
    sample_of,
    select_margins,
)
from margin_actors.engine.margin.parts import ADD_ONS, PARTS, PartInputs
from margin_actors.engine.margin.prepared import (
    PreparedMarket,
    fit_model_surfaces,
    model_faults,
    prepare_market,
)
from margin_actors.engine.margin.priced import LaidOut, PricedMarket, hold, market_terms
from margin_actors.engine.margin.records import BookProfits, HeldPositions
from margin_actors.engine.margin.requirement import requirements
from margin_actors.engine.margin.slabs import (
    Slab,
    SlabPrices,
    SliceBundle,
    book_profits,
    join_bundles,
    price_slab,
    revalue_slice,
    slab_profits,
)
from margin_actors.engine.margin.terms import (
    Terms,
    grid_arrays,
    require_sections,
    span_arrays,
    terms_of,
)

__all__ = [
    "ADD_ONS",
    "MARGIN_FIELDS",
    "PARTS",
    "AccountFailure",
    "AccountProblem",
    "BookAssessment",
    "BookProfits",
    "Equity",
    "HeldPositions",
    "LaidOut",
    "MarginResult",
    "Margins",
    "PartInputs",
    "PreparedMarket",
    "PricedMarket",
    "Sample",
    "Slab",
    "SlabPrices",
    "SliceBundle",
    "Terms",
    "assess_book",
    "attribute_account",
    "book_profits",
    "calculate_margin",
    "check_collateral",
    "collateral_equity",
    "concatenate_margins",
    "fit_model_surfaces",
    "grid_arrays",
    "hold",
    "instrument_faults",
    "join_bundles",
    "margin_from_slab",
    "market_terms",
    "measures_of",
    "model_faults",
    "position_sums",
    "prepare_market",
    "price_slab",
    "require_sections",
    "requirements",
    "result_digest",
    "revalue_slice",
    "sample_of",
    "select_margins",
    "slab_profits",
    "span_arrays",
    "terms_of",
    "with_collateral",
]
