"""Compiled revaluation of contracts along a tile of scenarios, smile lookup inside."""

from margin_actors.engine.pricing.tile import (
    FIELDS,
    FROZEN,
    LINEAR,
    N_FIELDS,
    SABR,
    SVI,
    TILE,
    fill_tile,
)

__all__ = ["FIELDS", "FROZEN", "LINEAR", "N_FIELDS", "SABR", "SVI", "TILE", "fill_tile"]
