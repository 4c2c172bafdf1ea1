"""Snapshots and scenario sets of the simulated cluster: ids with the properties that matter."""

from margin_actors.actors.inputs import ActiveInputs

SCENARIOS = {"x1": 500, "x2": 64, "x3": 1_000}
MOVED = {"x1": ("BTC", "ETH"), "x2": ("BTC",), "x3": ("BTC", "ETH", "SOL")}
USED = {"s1": ("BTC",), "s2": ("BTC", "ETH"), "s3": ("BTC", "ETH"), "s4": ("SOL",)}
CONTRACTS = {"s1": 10, "s2": 100, "s3": 10_000, "s4": 10}
UNUSABLE = ("s0", "x0")
"""A snapshot and a scenario set that cannot be prepared."""


def are_compatible(inputs: ActiveInputs) -> bool:
    """Return True if the scenarios move all underlyings of the market."""
    return set(USED[inputs.snapshot_id]) <= set(MOVED[inputs.scenarios_id])
