"""The configuration of a cluster."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layout:
    """Distribution of the work over the cluster; no setting changes a single bit of a result."""

    shards: int = 0
    """Number of scenario shards; 0 for one per processor, adjusted when nodes join or leave."""
    reducers: int = 1
    """Number of reducers."""
    run_slots: int = 2
    """Maximum number of concurrent book runs, over all gateways."""
    cube_bytes_max: int = 2 * 2**30
    """Size in bytes up to which the risk cube is kept; prices of a larger cube are computed on
    demand."""
    refresh_seconds: float = 5.0
    """Interval in seconds at which the coordinator lists the nodes and reads the inputs in use."""
