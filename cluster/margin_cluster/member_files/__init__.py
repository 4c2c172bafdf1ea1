"""The files from which a clearing member recomputes its margin, and risk arrays for members."""

from margin_cluster.member_files.array_files import ARRAYS_FORM, risk_array_files
from margin_cluster.member_files.columns import FILES, Column, ExportedFile, reference_page
from margin_cluster.member_files.package import FORM, MANIFEST, exported_files

__all__ = [
    "ARRAYS_FORM",
    "FILES",
    "FORM",
    "MANIFEST",
    "Column",
    "ExportedFile",
    "exported_files",
    "reference_page",
    "risk_array_files",
]
