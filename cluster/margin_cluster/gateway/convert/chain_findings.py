"""Conversion of findings on option chains."""

from collections.abc import Sequence

from margin_protos.v1 import margin_types_pb2 as pb

from margin_actors.market.chain_quality import ChainFinding

FINDINGS_MAX = 1_000
"""Largest number of findings in one message."""


def findings_to_proto(findings: Sequence[ChainFinding]) -> list[pb.ChainFinding]:
    """Return the wire form of the first findings, those on whole expiries before the others."""
    ordered = sorted(findings, key=lambda f: f.effect == "quote_excluded")
    return [pb.ChainFinding(**finding.to_mapping()) for finding in ordered[:FINDINGS_MAX]]
