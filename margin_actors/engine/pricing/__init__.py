"""Compiled revaluation of contracts over a tile of scenarios, including the smile lookup."""

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
