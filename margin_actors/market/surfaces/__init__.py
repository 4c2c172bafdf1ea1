"""Volatility smiles and surfaces: calibration and evaluation of SVI and SABR."""

from margin_actors.market.surfaces.sabr import SabrSlice
from margin_actors.market.surfaces.surface import (
    QUOTES_MIN,
    QuoteFilter,
    Slice,
    SliceDiagnostics,
    SmileModel,
    VolatilitySurface,
    fit_surfaces,
    slice_parameters,
    smile_from_parameters,
)
from margin_actors.market.surfaces.svi import SviSlice

__all__ = [
    "QUOTES_MIN",
    "QuoteFilter",
    "SabrSlice",
    "Slice",
    "SliceDiagnostics",
    "SmileModel",
    "SviSlice",
    "VolatilitySurface",
    "fit_surfaces",
    "slice_parameters",
    "smile_from_parameters",
]
