"""Preset models, and models read from files that extend a preset."""

from collections.abc import Mapping

from pydantic import ValidationError

from margin_actors.engine.parameters.clearing_house import CCP_DEFAULT
from margin_actors.engine.parameters.model import (
    HistoryParameters,
    MeasureParameters,
    ModelParameters,
    RevaluationParameters,
)
from margin_actors.engine.parameters.named import FILTERED, SURFACE, named_model
from margin_actors.engine.parameters.requirement import HybridParameters, SpanParameters
from margin_actors.engine.parameters.scenarios import ScenarioParameters
from margin_actors.errors import InvalidParameters, Problem, raise_if_any

_TABLES = (
    "charge_rate",
    "depeg",
    "haircuts",
    "outright_volume_coins",
    "price_scan",
    "vol_scan",
)
"""Fields that map names to numbers; a model file replaces them as a whole."""


HYBRID = (
    named_model(
        "hybrid",
        "SPAN with scan ranges from the VaR of outrights, and at least 80 % of VaR.",
        measure=MeasureParameters(core="hybrid"),
    ),
    named_model(
        "hybrid",
        "SPAN with the price scan range of outrights' VaR and 35 % of the volatility range, and at "
        "least VaR.",
        version="2",
        measure=MeasureParameters(core="hybrid"),
        span=SpanParameters(vol_scan_share=0.35),
        hybrid=HybridParameters(var_floor=1.0),
    ),
)
"""All versions of `hybrid`, the current one last."""

PRESETS: dict[str, ModelParameters] = {
    model.name: model
    for model in (
        named_model(
            "plain-hs",
            "Replicable to the last digit: daily closes of one source, 1,825 overlapping 2-day "
            "returns, marks frozen at the strike, VaR at 99.5 %, no add-ons.",
            history=HistoryParameters(
                sources=("binance_{u}USDT_1d",), aggregate="first", cleanse=False
            ),
            scenarios=ScenarioParameters(),
            revaluation=RevaluationParameters(
                smile="mark",
                dynamics="sticky_strike",
                pnl_quantum_usd=None,
                settlement_window_minutes=0.0,
            ),
            measure=MeasureParameters(core="var"),
        ),
        named_model(
            "hs-surface",
            "Historical simulation of price and volatility surface: cleansed median of all "
            "sources, five years of overlapping 2-day windows, SVI smiles moving with the forward, "
            "surface moves from the chain history or its proxies, expected shortfall at 99.5 %.",
        ),
        named_model(
            "fhs-surface",
            "As hs-surface, every window scaled to the volatility of now (EWMA).",
            scenarios=FILTERED,
        ),
        named_model(
            "mc-surface",
            "10,000 rows drawn from filtered windows: empirical marginals with Pareto tails, a "
            "Student-t copula; expected shortfall at 99.5 %.",
            scenarios=SURFACE.model_copy(update={"engine": "monte_carlo"}),
        ),
        named_model(
            "span",
            "SPAN with sixteen scenarios, scan ranges from the VaR of outrights, calendar and "
            "inter-commodity spreads and a short option minimum.",
            measure=MeasureParameters(core="span"),
        ),
        named_model(
            "venue-grid",
            "A trading venue's 24-row grid of spot and volatility; no offset between underlyings.",
            measure=MeasureParameters(core="venue_grid"),
        ),
        HYBRID[-1],
        CCP_DEFAULT[-1],
    )
}
"""The current version of each preset model, by name."""

EARLIER: dict[str, ModelParameters] = {
    f"{model.name}@{model.version}": model for model in (*HYBRID[:-1], *CCP_DEFAULT[:-1])
}
"""Earlier versions of presets, by ``name@version``."""

DEFAULT_PRESET = "hs-surface"


def preset(name: str) -> ModelParameters:
    """Return the current version of a preset by name, or the version that ``name@version`` names.

    Raises
    ------
    InvalidParameters
        If there is no such preset; the message lists the available ones.
    """
    found = PRESETS.get(name) or EARLIER.get(name)
    if found is None:
        stem, _, version = name.rpartition("@")
        if stem in PRESETS and PRESETS[stem].version == version:
            return PRESETS[stem]
        known = ", ".join(sorted([*PRESETS, *EARLIER]))
        raise InvalidParameters(
            f"unknown model preset {name!r}",
            [Problem("--model", f"{name!r}", f"give a TOML file or one of: {known}")],
        )
    return found


def parameters_from_mapping(mapping: Mapping[str, object], *, where: str) -> ModelParameters:
    """Return the parameters given by a parsed model file.

    ``extends`` names the preset that the file modifies; without it, the file must give every field
    that has no default. Without ``version``, the version is the end of the content id, so that it
    changes with every parameter.

    Parameters
    ----------
    mapping : mapping
        Content of the file: sections and their fields.
    where : str
        Name of the file in error messages.

    Raises
    ------
    InvalidParameters
        If the preset is unknown, or naming every unknown field and every invalid value.
    """
    given = dict(mapping)
    base_name = given.pop("extends", None)
    merged: dict[str, object] = {"name": where}
    if base_name is not None:
        merged.update(preset(str(base_name)).model_dump(mode="json"))
        merged["name"] = f"{base_name} changed"
    _merge(merged, given)
    if "version" not in given:
        merged.pop("version", None)
    try:
        model = ModelParameters.model_validate(merged)
        # A version derived from the content id never denotes two different models.
        own = "version" in given
        return model if own else model.model_copy(update={"version": model.id[-8:]})
    except ValidationError as error:
        problems = [
            Problem(
                f"{where}, {'.'.join(str(part) for part in item['loc']) or 'model'}",
                f"{item['msg']} (got {item['input']!r})"
                if not isinstance(item["input"], dict)
                else item["msg"],
            )
            for item in error.errors()
        ]
        raise_if_any(problems, InvalidParameters, f"the model {where} is not valid")
        raise


def _merge(into: dict[str, object], given: Mapping[str, object]) -> None:
    """Merge the given fields into `into`, section by section; fields in `_TABLES` are replaced."""
    for key, value in given.items():
        here = into.get(key)
        if isinstance(value, Mapping) and isinstance(here, Mapping) and key not in _TABLES:
            below = dict(here)
            _merge(below, value)
            into[key] = below
        else:
            into[key] = value
