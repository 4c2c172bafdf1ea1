"""Preset models, and models read from files that extend a preset."""

from collections.abc import Mapping

from pydantic import ValidationError

from margin_actors.engine.parameters.model import (
    HistoryParameters,
    MeasureParameters,
    ModelParameters,
    RevaluationParameters,
)
from margin_actors.engine.parameters.requirement import (
    AddOnParameters,
    BufferParameters,
    ConcentrationParameters,
    DiversificationParameters,
    ExpiryRiskParameters,
    LiquidityParameters,
    LongFloorParameters,
    ModelRiskParameters,
    ProcyclicalityParameters,
    StressPeriodParameters,
)
from margin_actors.engine.parameters.scenarios import ScenarioParameters, StressParameters
from margin_actors.errors import InvalidParameters, Problem, raise_if_any
from margin_actors.parameter_section import ParameterSection

_TABLES = ("haircuts", "outright_volume_coins", "price_scan", "vol_scan")
"""Fields that map names to numbers; a model file replaces them as a whole."""
_ALL_SOURCES = ("*{u}USD*_1d", "*{u}USD*_1h")

_SURFACE = ScenarioParameters(surface_moves="history")
_FILTERED = _SURFACE.model_copy(update={"engine": "filtered"})
_ALL = HistoryParameters(sources=_ALL_SOURCES)


def _named(name: str, description: str, **sections: ParameterSection) -> ModelParameters:
    named = {"name": name, "version": "1", "description": description}
    return ModelParameters.model_validate(
        {**named, "history": _ALL, "scenarios": _SURFACE, **sections}
    )


PRESETS: dict[str, ModelParameters] = {
    model.name: model
    for model in (
        _named(
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
        _named(
            "hs-surface",
            "Historical simulation of price and volatility surface: cleansed median of all "
            "sources, five years of overlapping 2-day windows, SVI smiles moving with the forward, "
            "surface moves from the chain history or its proxies, expected shortfall at 99.5 %.",
        ),
        _named(
            "fhs-surface",
            "As hs-surface, every window scaled to the volatility of now (EWMA).",
            scenarios=_FILTERED,
        ),
        _named(
            "mc-surface",
            "10,000 rows drawn from filtered windows: empirical marginals with Pareto tails, a "
            "Student-t copula; expected shortfall at 99.5 %.",
            scenarios=_SURFACE.model_copy(update={"engine": "monte_carlo"}),
        ),
        _named(
            "span",
            "SPAN with sixteen scenarios, scan ranges from the VaR of outrights, calendar and "
            "inter-commodity spreads and a short option minimum.",
            measure=MeasureParameters(core="span"),
        ),
        _named(
            "venue-grid",
            "A trading venue's 24-row grid of spot and volatility; no offset between underlyings.",
            measure=MeasureParameters(core="venue_grid"),
        ),
        _named(
            "hybrid",
            "SPAN with scan ranges from the VaR of outrights, and at least 80 % of VaR.",
            measure=MeasureParameters(core="hybrid"),
        ),
        _named(
            "ccp-default",
            "What a clearing house would start from: filtered historical simulation, expected "
            "shortfall at 99.5 %, at most 80 % of the help between underlyings, a released buffer, "
            "floors from ten years and from the stress period, and every add-on.",
            scenarios=_FILTERED.model_copy(update={"stress": StressParameters(enabled=True)}),
            diversification=DiversificationParameters(enabled=True, reduction_max=0.8),
            procyclicality=ProcyclicalityParameters(
                buffer=BufferParameters(enabled=True),
                long_floor=LongFloorParameters(enabled=True),
                stress_period=StressPeriodParameters(floor=True),
            ),
            addons=AddOnParameters(
                concentration=ConcentrationParameters(enabled=True),
                liquidity=LiquidityParameters(enabled=True),
                model_risk=ModelRiskParameters(enabled=True),
                expiry_risk=ExpiryRiskParameters(enabled=True),
            ),
        ),
    )
}
"""Preset models by name."""

DEFAULT_PRESET = "hs-surface"


def preset(name: str) -> ModelParameters:
    """Return a preset by name.

    Raises
    ------
    InvalidParameters
        If there is no such preset; the message lists the available ones.
    """
    if name not in PRESETS:
        known = ", ".join(sorted(PRESETS))
        raise InvalidParameters(
            f"unknown model preset {name!r}",
            [Problem("--model", f"{name!r}", f"give a TOML file or one of: {known}")],
        )
    return PRESETS[name]


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
