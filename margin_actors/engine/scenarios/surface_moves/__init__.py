"""Moves of volatility surfaces and forward curves over windows, observed or proxied."""

from margin_actors.engine.scenarios.surface_moves.from_history import nodes_from_history
from margin_actors.engine.scenarios.surface_moves.from_index import index_spread, nodes_from_index
from margin_actors.engine.scenarios.surface_moves.nodes import (
    N_NODES,
    N_TENORS,
    N_Z,
    SurfaceNodes,
    VolatilityIndex,
    WindowMoves,
    index_at,
)
from margin_actors.engine.scenarios.surface_moves.perpetual_basis import (
    perpetual_basis_moves,
    with_basis_floor,
)
from margin_actors.engine.scenarios.surface_moves.proxy import (
    WINDOWS_MIN,
    Proxy,
    design_matrix,
    fit_proxy,
)

__all__ = [
    "N_NODES",
    "N_TENORS",
    "N_Z",
    "WINDOWS_MIN",
    "Proxy",
    "SurfaceNodes",
    "VolatilityIndex",
    "WindowMoves",
    "design_matrix",
    "fit_proxy",
    "index_spread",
    "index_at",
    "nodes_from_history",
    "nodes_from_index",
    "perpetual_basis_moves",
    "with_basis_floor",
]
