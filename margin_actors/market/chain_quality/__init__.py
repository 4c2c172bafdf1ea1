"""Quality gates of option chains: findings, quarantined expiries and excluded quotes."""

from margin_actors.market.chain_quality.findings import (
    GATE_MEANING,
    ChainFinding,
    Effect,
    FindingMapping,
    Gate,
)
from margin_actors.market.chain_quality.limits import ChainQualityLimits
from margin_actors.market.chain_quality.screening import ScreenedSnapshot, screen_snapshot

__all__ = [
    "GATE_MEANING",
    "ChainFinding",
    "ChainQualityLimits",
    "Effect",
    "FindingMapping",
    "Gate",
    "ScreenedSnapshot",
    "screen_snapshot",
]
