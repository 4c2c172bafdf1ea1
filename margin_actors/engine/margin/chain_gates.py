"""The quality gates of a model's option chain, and what follows for the instruments."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from margin_actors.engine.parameters import ModelParameters
from margin_actors.errors import Location, MissingMarketData, Problem, raise_if_any
from margin_actors.market.chain_quality import ChainFinding, ScreenedSnapshot, screen_snapshot
from margin_actors.market.instruments import expiry_label, holding_fault, instrument_from_name
from margin_actors.market.snapshots import MarketSnapshot
from margin_actors.market.surfaces import QUOTES_MIN, VolatilitySurface

REMEDY = "correct its quotes and publish the snapshot again"


def screened_snapshot(snapshot: MarketSnapshot, model: ModelParameters) -> MarketSnapshot:
    """Return the snapshot without what the model's gates exclude; see `screen_snapshot`."""
    return screen_snapshot(snapshot, model.chain_quality)


def fit_findings(
    snapshot: MarketSnapshot, surfaces: Mapping[str, VolatilitySurface]
) -> tuple[ChainFinding, ...]:
    """Return the findings of the gates that were applied, and the expiries without a smile.

    `surfaces` are those fitted to the snapshot. An expiry without options needs no smile.
    """
    own = snapshot.findings if isinstance(snapshot, ScreenedSnapshot) else ()
    return (*own, *_unfitted(snapshot, surfaces))


def _unfitted(
    snapshot: MarketSnapshot, surfaces: Mapping[str, VolatilitySurface]
) -> list[ChainFinding]:
    fitted = {(u, e.expiry) for u, surface in surfaces.items() for e in surface.expiries}
    options = snapshot.options
    listed = np.bincount(options.expiry_index, minlength=len(snapshot.expiries))
    marked = np.bincount(
        options.expiry_index, np.isfinite(options.mark_vol), minlength=len(snapshot.expiries)
    )
    out: list[ChainFinding] = []
    for i, item in enumerate(snapshot.expiries):
        if listed[i] == 0 or (item.underlying, item.expiry) in fitted:
            continue
        usable = f"{int(marked[i])} of {listed[i]} options have a mark"
        what = f"{usable} (a smile requires {QUOTES_MIN})"
        out.append(
            ChainFinding(
                "too_few_quotes", item.underlying, expiry_label(item.expiry), "", what,
                float(marked[i]), float(QUOTES_MIN), "options_quarantined",
            )
        )  # fmt: skip
    return out


def quarantine_faults(names: Sequence[str], snapshot: MarketSnapshot) -> dict[str, Problem]:
    """Return, by name, the instruments of quarantined expiries with the finding as reason."""
    if not isinstance(snapshot, ScreenedSnapshot) or not snapshot.quarantined:
        return {}
    faults: dict[str, Problem] = {}
    for name in names:
        if holding_fault(name, snapshot.time) is not None:
            continue
        finding = snapshot.quarantine_of(instrument_from_name(name))
        if finding is not None:
            faults[name] = Problem(name, f"{finding.where} is quarantined: {finding.what}", REMEDY)
    return faults


def require_not_quarantined(names: Sequence[str], snapshot: MarketSnapshot) -> None:
    """Check that no instrument is one of a quarantined expiry.

    Raises
    ------
    MissingMarketData
        Naming all such instruments.
    """
    problems = [
        replace(fault, location=Location("book"))
        for fault in quarantine_faults(names, snapshot).values()
    ]
    raise_if_any(problems, MissingMarketData, "market data that the book needs are quarantined")
