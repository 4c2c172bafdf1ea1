"""Findings of the quality gates of option chains."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypedDict

Gate: TypeAlias = Literal[
    "forward_parity",
    "forward_term",
    "forward_index",
    "duplicate",
    "age",
    "crossed",
    "volatility_range",
    "mark_price",
    "smile",
    "outside_quotes",
    "excluded_share",
    "too_few_quotes",
    "calendar",
]
"""The gates, in the order in which they are applied."""

Effect: TypeAlias = Literal["expiry_quarantined", "options_quarantined", "quote_excluded"]
"""What follows from a finding: neither options nor the future of the expiry are priced; its options
are not priced; the quote of one option is not used."""

GATE_MEANING: Mapping[Gate, str] = {
    "forward_parity": "the forward contradicts put-call parity of the expiry's own quotes",
    "forward_term": "the forward contradicts those of the other expiries",
    "forward_index": "the forward is too far from the index",
    "duplicate": "the instrument is listed several times in one snapshot",
    "age": "the quote is too old for the snapshot",
    "crossed": "the bid is not below the ask",
    "volatility_range": "the mark volatility is not plausible",
    "mark_price": "the mark price contradicts the mark volatility",
    "smile": "the mark volatility is far from the smile of its expiry",
    "outside_quotes": "the marks are outside their bids and asks",
    "excluded_share": "too many quotes of the expiry are excluded",
    "too_few_quotes": "the expiry has too few marks for a smile",
    "calendar": "total variance falls from one expiry to the next",
}


class FindingMapping(TypedDict):
    """The fields of `ChainFinding` for JSON."""

    gate: str
    underlying: str
    expiry: str
    instrument_name: str
    what: str
    value: float
    limit: float
    effect: str


@dataclass(frozen=True, slots=True)
class ChainFinding:
    """A value of an option chain that violates a limit."""

    gate: Gate
    underlying: str
    expiry: str
    """Label as in instrument names, for example ``3JAN26``."""
    instrument_name: str
    """The option concerned; empty for a finding on the whole expiry."""
    what: str
    """One sentence with the values that contradict each other."""
    value: float
    """Measured value, in the unit of the limit."""
    limit: float
    effect: Effect

    @property
    def where(self) -> str:
        """The option, or the underlying and the expiry."""
        return self.instrument_name or f"{self.underlying} {self.expiry}"

    def sentence(self) -> str:
        """Return the finding as one sentence."""
        effect = self.effect.replace("_", " ")
        return f"{self.where}: {self.what} ({effect})"

    def to_mapping(self) -> FindingMapping:
        """Return the finding as plain types for JSON."""
        return {
            "gate": self.gate,
            "underlying": self.underlying,
            "expiry": self.expiry,
            "instrument_name": self.instrument_name,
            "what": self.what,
            "value": self.value,
            "limit": self.limit,
            "effect": self.effect,
        }
