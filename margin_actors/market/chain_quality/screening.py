"""A snapshot without the quotes and expiries that fail the quality gates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

import numpy as np

from margin_actors.arrays import BoolArray
from margin_actors.market.chain_quality.calendar import calendar_findings
from margin_actors.market.chain_quality.chain import ExpiryChain, chains_of
from margin_actors.market.chain_quality.findings import ChainFinding
from margin_actors.market.chain_quality.forwards import forward_findings
from margin_actors.market.chain_quality.limits import ChainQualityLimits
from margin_actors.market.chain_quality.marks import JudgedExpiry, judge_expiry
from margin_actors.market.instruments import Instrument, Kind, expiry_label
from margin_actors.market.snapshots import MarketSnapshot, OptionQuotes


@dataclass(frozen=True)
class ScreenedSnapshot(MarketSnapshot):
    """A snapshot without what the gates have excluded.

    Its id is that of the snapshot as published: what is excluded follows from that and the limits,
    which are part of the model's id.
    """

    published_id: str = ""
    """Id of the snapshot as published."""
    findings: tuple[ChainFinding, ...] = ()
    """By underlying and expiry."""
    quarantined: Mapping[tuple[str, datetime], ChainFinding] = field(
        default_factory=dict[tuple[str, datetime], ChainFinding]
    )
    """The first finding on each quarantined (underlying, expiry)."""

    @property
    def id(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Content id of the snapshot as published."""
        return self.published_id

    def quarantine_of(self, instrument: Instrument) -> ChainFinding | None:
        """Return why an option or a future is not priced; None if it is not quarantined."""
        if instrument.expiry is None:
            return None
        found = self.quarantined.get((instrument.underlying, instrument.expiry))
        if found is None or instrument.kind is Kind.OPTION:
            return found
        return found if found.effect == "expiry_quarantined" else None


def screen_snapshot(snapshot: MarketSnapshot, limits: ChainQualityLimits) -> MarketSnapshot:
    """Return the snapshot without quotes and expiries that fail a gate, with the findings.

    The snapshot itself is returned if the gates are disabled or have been applied before.
    """
    if not limits.enabled or isinstance(snapshot, ScreenedSnapshot):
        return snapshot
    chains = chains_of(snapshot)
    findings: list[ChainFinding] = []
    judged: list[JudgedExpiry] = []
    for underlying in sorted(snapshot.index_usd):
        own = sorted((c for c in chains if c.item.underlying == underlying), key=lambda c: c.tenor)
        found, kept = _screen_underlying(own, limits)
        findings += found
        judged += kept
    return _without(snapshot, judged, findings)


def _screen_underlying(
    chains: Sequence[ExpiryChain], limits: ChainQualityLimits
) -> tuple[list[ChainFinding], list[JudgedExpiry]]:
    findings = forward_findings(chains, limits)
    failed = {f.expiry for f in findings}
    judged = [judge_expiry(c, limits) for c in chains if c.label not in failed and c.rows.size > 0]
    findings += [f for item in judged for f in item.findings]
    findings += calendar_findings([j for j in judged if not j.is_quarantined], limits)
    order = {chain.label: i for i, chain in enumerate(chains)}
    return sorted(findings, key=lambda f: order[f.expiry]), judged


def _without(
    snapshot: MarketSnapshot, judged: Sequence[JudgedExpiry], findings: Sequence[ChainFinding]
) -> ScreenedSnapshot:
    whole = {(f.underlying, f.expiry) for f in findings if f.effect == "expiry_quarantined"}
    partly = {(f.underlying, f.expiry) for f in findings if f.effect == "options_quarantined"}
    expiries = {(e.underlying, expiry_label(e.expiry)): e.expiry for e in snapshot.expiries}
    quarantined: dict[tuple[str, datetime], ChainFinding] = {}
    for f in findings:
        if f.effect != "quote_excluded":
            quarantined.setdefault((f.underlying, expiries[f.underlying, f.expiry]), f)
    n = len(snapshot.options)
    keep, no_mark, no_quote = (np.zeros(n, np.bool_) for _ in range(3))
    for item in judged:
        rows, key = item.chain.rows, (item.chain.item.underlying, item.chain.label)
        keep[rows] = ~item.dropped & (key not in whole | partly)
        no_mark[rows], no_quote[rows] = item.no_mark, item.no_quote
    position = np.full(len(snapshot.expiries), -1, np.int32)
    kept = [
        i
        for i, e in enumerate(snapshot.expiries)
        if (e.underlying, expiry_label(e.expiry)) not in whole
    ]
    position[kept] = np.arange(len(kept), dtype=np.int32)
    options = _selected(snapshot.options, keep, no_mark, no_quote, position)
    rest: dict[str, Any] = {item.name: getattr(snapshot, item.name) for item in fields(snapshot)}
    del rest["expiries"], rest["options"]
    return ScreenedSnapshot(
        **rest,
        expiries=tuple(snapshot.expiries[i] for i in kept),
        options=options,
        published_id=snapshot.id,
        findings=tuple(findings),
        quarantined=quarantined,
    )


def _selected(
    options: OptionQuotes,
    keep: BoolArray,
    no_mark: BoolArray,
    no_quote: BoolArray,
    position: np.ndarray,
) -> OptionQuotes:
    ages = options.age_seconds
    return replace(
        options,
        names=tuple(n for n, k in zip(options.names, keep.tolist(), strict=True) if k),
        expiry_index=position[options.expiry_index[keep]],
        strike_usd=options.strike_usd[keep],
        is_call=options.is_call[keep],
        is_inverse=options.is_inverse[keep],
        bid=np.where(no_quote, np.nan, options.bid)[keep],
        ask=np.where(no_quote, np.nan, options.ask)[keep],
        mark=np.where(no_mark, np.nan, options.mark)[keep],
        mark_vol=np.where(no_mark, np.nan, options.mark_vol)[keep],
        open_interest=options.open_interest[keep],
        volume=options.volume[keep],
        age_seconds=None if ages is None else ages[keep],
    )
